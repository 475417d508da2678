"""What a bucket on S3 is told by its owner, and what a release finds."""

from io import StringIO
from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError, call_command

from uploads import bucket_rules
from uploads.errors import StorageUnavailable
from uploads.storage import S3
from uploads.storage.s3 import shared_session

pytestmark = pytest.mark.django_db


@pytest.fixture
def production(settings):
    settings.SECURE_SSL_REDIRECT = True
    settings.ALLOWED_HOSTS = ["drop.example.org"]


@pytest.fixture
def on_aws(s3, settings):
    """The bucket, as one that no endpoint is set for; the clients are made already."""
    settings.AWS_S3_ENDPOINT_URL = ""
    return s3


def run(command, *arguments) -> str:
    output = StringIO()
    call_command(command, *arguments, stdout=output, stderr=output)
    return output.getvalue()


def test_a_bucket_that_was_set_up_lacks_nothing(on_aws, production):
    said = run("setup_bucket")
    assert "https://drop.example.org may send uploads" in said
    assert "uploads go after 2 days at the latest" in said
    assert run("verify_bucket") == ""
    assert run("setup_bucket") == said


def test_temporary_keys_bring_their_token(settings):
    settings.AWS_SESSION_TOKEN = "for an hour"
    assert shared_session.__wrapped__().get_credentials().token == "for an hour"


def test_what_a_fresh_bucket_lacks_is_named_and_does_not_stop_a_release(on_aws, production):
    said = run("verify_bucket")
    for prefix in ("incoming/", "images/", "thumbs/", "files/"):
        assert f"No lifecycle rule expires {prefix}" in said
    assert "No lifecycle rule aborts multipart uploads" in said
    assert "CORS does not let pages of https://drop.example.org send uploads" in said


def test_release_verifies_the_bucket(on_aws, production):
    assert "No lifecycle rule expires" in run("release")


@pytest.mark.parametrize(("ttl_max", "days"), [(1, 2), (86400, 2), (86401, 3), (7 * 86400, 8)])
def test_the_bucket_forgets_a_day_after_the_longest_life(s3, settings, ttl_max, days):
    settings.UPLOAD_TTL_MAX = ttl_max
    run("setup_bucket", "--origin", "https://a.example")
    rules = bucket_rules.lifecycle_rules(s3)
    assert {r["Expiration"]["Days"] for r in rules if "Expiration" in r} == {days}
    assert {bucket_rules.prefix_of(r) for r in rules if "Expiration" in r} == {
        "incoming/", "images/", "thumbs/", "files/",
    }  # fmt: skip


def test_rules_of_others_stay(s3):
    rule = {
        "ID": "logs",
        "Status": "Enabled",
        "Filter": {"Prefix": "logs/"},
        "Expiration": {"Days": 9},
    }
    s3.client.put_bucket_lifecycle_configuration(
        Bucket=s3.bucket, LifecycleConfiguration={"Rules": [rule]}
    )
    run("setup_bucket", "--origin", "https://a.example")
    assert "logs" in {r["ID"] for r in bucket_rules.lifecycle_rules(s3)}


def test_a_bucket_that_keeps_versions_is_refused(s3):
    s3.client.put_bucket_versioning(Bucket=s3.bucket, VersioningConfiguration={"Status": "Enabled"})
    with pytest.raises(CommandError, match="keeps versions"):
        run("setup_bucket", "--origin", "https://a.example")
    with pytest.raises(CommandError, match="keeps versions"):
        run("verify_bucket")


def test_a_bucket_in_another_region_stops_a_release(on_aws, settings):
    settings.AWS_S3_REGION_NAME = "eu-west-3"
    with pytest.raises(CommandError, match="The bucket is in us-east-1"):
        run("verify_bucket")


def test_a_bucket_that_deletes_nothing_stops_a_release(s3, monkeypatch):
    monkeypatch.setattr(s3, "delete", lambda keys: dict.fromkeys(keys, "AccessDenied"))
    with pytest.raises(CommandError, match="may not empty the bucket: AccessDenied"):
        run("verify_bucket")


def test_what_the_app_may_not_look_at_does_not_stop_a_release(s3, monkeypatch):
    def forbidden(s3):
        raise StorageUnavailable("no") from PermissionError("AccessDenied")

    monkeypatch.setattr(bucket_rules, "lifecycle_rules", forbidden)
    assert "Not verified, AccessDenied" in run("verify_bucket")


def test_a_bucket_that_is_gone_stops_a_release(s3):
    s3.bucket = "gone"
    with pytest.raises(CommandError):
        run("verify_bucket")


def test_it_asks_for_an_origin_where_the_settings_know_none(s3):
    with pytest.raises(CommandError, match="--origin"):
        run("setup_bucket")


def test_there_is_none_to_set_up_on_the_local_disk(disk):
    assert run("verify_bucket") == ""
    with pytest.raises(CommandError, match="no bucket"):
        run("setup_bucket")


class TestOutsideUsEast1:
    """Offline: only what is signed."""

    @pytest.fixture
    def paris(self, settings, monkeypatch):
        settings.AWS_S3_ENDPOINT_URL = settings.AWS_S3_PUBLIC_ENDPOINT_URL = ""
        settings.AWS_S3_REGION_NAME = "eu-west-3"
        settings.AWS_STORAGE_BUCKET_NAME = "bucket"
        return S3()

    def test_a_ticket_leads_to_the_buckets_own_host(self, paris):
        ticket = paris.ticket("files/a", size_bytes=1, content_type="x/y", seconds=60)
        assert ticket.url == "https://bucket.s3.eu-west-3.amazonaws.com/"
        assert "/eu-west-3/s3/aws4_request" in ticket.fields["x-amz-credential"]

    def test_a_link_leads_to_the_buckets_own_host(self, paris):
        url = urlsplit(paris.url("files/a", seconds=60, content_type="x/y", download_as="a"))
        assert (url.netloc, url.path) == ("bucket.s3.eu-west-3.amazonaws.com", "/files/a")
        assert "eu-west-3" in url.query
        assert "AWS4-HMAC-SHA256" in url.query
