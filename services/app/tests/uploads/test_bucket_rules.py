"""What a bucket on S3 is told by its owner, and what a release finds."""

from io import StringIO
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError, call_command
from moto.s3.responses import S3Response

from uploads.bucket import rules as bucket_rules
from uploads.errors import StorageUnavailable
from uploads.storage import S3, s3_admin
from uploads.storage.s3_client import shared_session

pytestmark = pytest.mark.django_db
UNKNOWN = [(501, "NotImplemented"), (405, "MethodNotAllowed")]


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
    assert "uploads are deleted after 2 days at the latest" in said
    assert run("verify_bucket") == ""
    assert run("setup_bucket") == said


def test_temporary_keys_bring_their_token(settings):
    settings.AWS_SESSION_TOKEN = "for an hour"
    assert shared_session.__wrapped__().get_credentials().token == "for an hour"


def test_what_a_fresh_bucket_lacks_is_named_and_does_not_stop_a_release(on_aws, production):
    said = run("verify_bucket")
    for prefix in ("incoming/", "images/", "thumbs/", "files/", "zips/"):
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
        "incoming/", "images/", "thumbs/", "files/", "zips/",
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


class TestServersThatKnowLess:
    """What a server does not know at all is said, and stops nobody."""

    @pytest.fixture
    def without(self, monkeypatch):
        """Let the S3 server know no call of this name, and answer it so."""
        knows = S3Response._bucket_response

        def without(call, status=501, code="NotImplemented"):
            def answer(response, request, full_url):
                if call in request.args:
                    return status, {}, f"<Error><Code>{code}</Code></Error>"
                return knows(response, request, full_url)

            monkeypatch.setattr(S3Response, "_bucket_response", answer)

        return without

    @pytest.mark.parametrize(
        ("status", "code"), [(501, "NotImplemented"), (405, "MethodNotAllowed")]
    )
    @pytest.mark.parametrize("call", ["lifecycle", "versioning", "cors"])
    def test_setting_up_says_so_and_sets_the_rest(self, s3, without, call, status, code):
        without(call, status, code)
        said = run("setup_bucket", "--origin", "https://a.example")
        assert ("this server supports no rules" in said) == (call == "lifecycle")
        assert ("uploads are deleted after 2 days" in said) == (call != "lifecycle")
        assert ("https://a.example may send uploads" in said) == (call != "cors")
        assert ("set it there" in said) == (call == "cors")

    @pytest.mark.parametrize(
        ("status", "code"), [(501, "NotImplemented"), (405, "MethodNotAllowed")]
    )
    @pytest.mark.parametrize(
        ("call", "sentence"),
        [
            ("lifecycle", "Lifecycle: this server supports no rules"),
            ("versioning", "Versions: this server does not support them"),
            ("cors", "CORS does not let pages of https://drop.example.org send uploads"),
        ],
    )
    def test_a_release_says_so_and_goes_on(
        self, s3, production, without, call, sentence, status, code
    ):
        run("setup_bucket")
        without(call, status, code)
        with patch.object(bucket_rules, "preflight", return_value=False):
            said = run("verify_bucket")
        assert sentence in said
        assert "Not verified" not in said
        assert len(said.splitlines()) == 1

    def test_an_error_of_another_kind_is_none_of_them(self, s3, production, without):
        run("setup_bucket")
        without("lifecycle", 403, "AccessDenied")
        assert "Not verified, An error occurred (AccessDenied)" in run("verify_bucket")


class TestCors:
    """Asked of every server, as browsers ask it where no rule of the bucket says it."""

    def test_a_bucket_without_rules_is_named_on_any_server(self, s3, production):
        said = run("verify_bucket")
        assert "CORS does not let pages of https://drop.example.org send uploads" in said

    def test_a_server_that_welcomes_the_page_by_itself_lacks_nothing(self, s3, production):
        with patch.object(bucket_rules, "preflight", return_value=True) as asked:
            assert "CORS" not in run("verify_bucket")
        asked.assert_called_once_with(s3, "https://drop.example.org")

    @pytest.mark.parametrize(
        ("allowed", "is_welcome"),
        [
            ("https://drop.example.org", True),
            ("https://*.example.org", True),
            ("*", True),
            ("https://*.example.com", False),
            ("https://dropXexample.org", False),
            ("http://drop.example.org", False),
            ("https://drop.example.org:8443", False),
        ],
    )
    def test_a_rule_welcomes_the_pages_that_its_origin_stands_for(
        self, on_aws, production, allowed, is_welcome
    ):
        run("setup_bucket", "--origin", allowed)
        assert ("CORS" in run("verify_bucket")) != is_welcome

    def test_the_preflight_is_a_browsers(self, s3, production):
        run("setup_bucket", "--origin", "https://drop.example.org")
        assert s3_admin.preflight(s3, "https://drop.example.org")
        assert not s3_admin.preflight(s3, "https://elsewhere.example")

    def test_the_port_of_https_is_a_part_of_the_origin(self, s3, production, settings):
        settings.HTTPS_PORT = 8443
        assert "may send uploads" in run("setup_bucket")
        assert bucket_rules.origins() == ["https://drop.example.org:8443"]


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
