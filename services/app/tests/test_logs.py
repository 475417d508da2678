"""What the lines hold: an id that goes from the request into its tasks, and nothing secret."""

import io
import json
import logging
import logging.config

import pytest

from s3tasks import logs

ID = "8f14e45f-ceea-467f-9e5a-0123456789ab"


@pytest.fixture
def lines(monkeypatch):
    """Production's lines, read."""
    stream = io.StringIO()
    configuration = logs.configuration(json=True)
    configuration["handlers"]["console"]["stream"] = stream
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    logging.config.dictConfig(configuration)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:], root.level = kept, level


@pytest.fixture(autouse=True)
def behind_a_proxy(settings):
    settings.TRUSTED_PROXIES = 1


@pytest.mark.django_db
def test_a_request_is_a_line_of_json_with_the_routers_id(client, lines):
    client.get("/files/?secret=word", headers={"X-Request-ID": ID})
    (line,) = [line for line in lines() if line["logger"] == "s3tasks.access"]
    assert line["request_id"] == ID
    assert (line["level"], line["status"]) == ("INFO", 200)
    assert line["message"].startswith("GET /files/ 200 in ")


@pytest.mark.django_db
def test_no_line_holds_a_link_or_a_query(client, lines):
    client.get("/f/AAAAAAAAAAAAAAAAAAAAAA?secret=word")
    client.get("/a-visitors-report.pdf")
    assert lines()
    assert not [x for x in map(str, lines()) if "AAAA" in x or "word" in x or "report" in x]


@pytest.mark.parametrize("forged", ["short", "x" * 201, 'a"b' * 10, "a b" * 10])
@pytest.mark.django_db
def test_what_is_no_id_is_replaced(client, lines, forged):
    client.get("/", headers={"X-Request-ID": forged})
    assert lines()
    assert forged not in {line["request_id"] for line in lines()}


@pytest.mark.django_db
def test_without_a_proxy_nobody_chooses_the_id(client, lines, settings):
    settings.TRUSTED_PROXIES = 0
    client.get("/", headers={"X-Request-ID": ID})
    assert ID not in {line["request_id"] for line in lines()}


def test_a_task_carries_the_id_of_what_sent_it():
    headers: dict = {}
    token = logs.request_id.set(ID)
    logs.send_request_id(headers=headers)
    logs.request_id.reset(token)
    assert headers == {"request_id": ID}


def test_a_task_takes_the_id_and_leaves_it(lines):
    class Task:
        class request:
            request_id = ID

    logs.take_request_id(task=Task)
    logging.getLogger("uploads").info("at work")
    logs.leave_request_id()
    logging.getLogger("uploads").info("idle")
    first, second = lines()
    assert first["request_id"] == ID
    assert "request_id" not in second


def test_a_tick_is_not_worth_a_line(lines):
    for name in ("tick", "expire"):
        logging.getLogger("celery.app.trace").info("ended", extra={"data": {"name": name}})
    assert len(lines()) == 1
