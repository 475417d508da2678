"""What stands in two images stands there in the same words."""

from support import ROOT

SERVICES = ROOT / "services"


def test_flower_goes_to_redis_in_the_same_words():
    ours, flowers = SERVICES / "app/s3tasks/worker/broker.py", SERVICES / "flower/broker.py"
    assert flowers.read_text() == ours.read_text()
