"""A release takes only a bucket that does what the app asks, and refuses what nobody may do."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from moto.s3.responses import S3Response

from support import s3_server
from uploads.errors import StorageUnavailable

pytestmark = pytest.mark.django_db


def verify() -> str:
    output = StringIO()
    call_command("verify_bucket", stdout=output, stderr=output)
    return output.getvalue()


def keys(s3) -> set[str]:
    """All that is in the bucket, and what was begun in parts."""
    stored = s3.client.list_objects_v2(Bucket=s3.bucket).get("Contents", ())
    begun = s3.client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads", ())
    return {found["Key"] for found in [*stored, *begun]}


def answer_forms_by(monkeypatch, answer) -> None:
    """Let the S3 server answer forms so."""
    monkeypatch.setattr(S3Response, "_bucket_response_post", answer)


def fail(*_, **__):
    raise StorageUnavailable("no") from PermissionError("AccessDenied")


def test_a_bucket_that_does_all_of_it_is_taken_and_left_as_it_was(s3):
    before = keys(s3)
    verify()
    assert keys(s3) == before == {"marker"}


@pytest.mark.parametrize(
    ("ignoring", "said"),
    [
        ("length", "a form with a byte more than its policy allows: a visitor could store without"),
        ("key", "a form for another key than its policy names: a visitor could write over"),
        ("time", "a form whose time is over"),
        ("signature", "a form with a signature that is not the app's"),
    ],
)
def test_a_server_that_ignores_one_rule_of_a_form_is_refused_by_its_name(
    s3, monkeypatch, ignoring, said
):
    answer_forms_by(monkeypatch, s3_server.honour_policies(ignoring=ignoring))
    with pytest.raises(CommandError, match="The server takes ") as refused:
        verify()
    assert said in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert keys(s3) == {"marker"}


def test_a_server_that_ignores_the_whole_policy_is_refused_with_each_rule(s3, monkeypatch):
    answer_forms_by(monkeypatch, s3_server.ANY_FORM)
    with pytest.raises(CommandError) as refused:
        verify()
    assert len(str(refused.value).splitlines()) == 4
    assert keys(s3) == {"marker"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (s3_server.takes_no_form, "it answers 501 NotImplemented"),
        (lambda *_: (405, {}, ""), "it answers 405"),
        (lambda *_: (200, {}, "<html>Welcome</html>"), "it answers 200"),
        (lambda *_: (307, {"Location": "http://elsewhere.example/"}, ""), "it answers 307"),
    ],
    ids=["unknown", "forbidden", "taken and not stored", "elsewhere"],
)
def test_a_server_that_takes_no_form_is_refused(s3, monkeypatch, answer, said):
    def only_forms(response, request, bucket_name):
        if "policy" in response.querystring:
            return answer(response, request, bucket_name)
        return s3_server.ANY_FORM(response, request, bucket_name)

    answer_forms_by(monkeypatch, only_forms)
    with pytest.raises(CommandError, match="The server takes no form: ") as refused:
        verify()
    assert said in str(refused.value)
    assert keys(s3) == {"marker"}


def test_a_refusal_that_stores_nevertheless_is_none(s3, monkeypatch):
    def stores_and_refuses(response, request, bucket_name):
        answer = s3_server.ANY_FORM(response, request, bucket_name)
        refused = s3_server.honour_policies()(response, request, bucket_name)
        return refused if refused[0] == 403 else answer

    answer_forms_by(monkeypatch, stores_and_refuses)
    with pytest.raises(CommandError, match="for another key"):
        verify()
    assert keys(s3) == {"marker"}


def test_a_server_that_fails_at_a_wrong_form_has_not_refused_it(s3, monkeypatch):
    honest = s3_server.honour_policies()

    def fails(response, request, bucket_name):
        answer = honest(response, request, bucket_name)
        return (503, {}, "") if answer[0] == 403 else answer

    answer_forms_by(monkeypatch, fails)
    with pytest.raises(CommandError, match=r"let a visitor send a form in the bucket: .* 503"):
        verify()


@pytest.mark.parametrize(
    "call",
    ["put", "head", "read", "begin_parts", "put_part", "join_parts", "abort_parts", "list_parts"],
)
def test_what_the_app_may_not_do_is_named_and_leaves_nothing_behind(s3, monkeypatch, call):
    with monkeypatch.context() as forbidden:
        forbidden.setattr(s3, call, fail)
        with pytest.raises(CommandError, match="AccessDenied"):
            verify()
    left = keys(s3) - {"marker"}
    # Where parts may not be aborted either, they stay, and are named.
    assert not left or call == "abort_parts"


def test_a_bucket_that_deletes_nothing_in_batches_is_emptied_key_by_key(s3, monkeypatch):
    monkeypatch.setattr(s3, "delete", lambda keys: dict.fromkeys(keys, "AccessDenied"))
    with pytest.raises(CommandError, match="may not empty the bucket: AccessDenied"):
        verify()
    assert keys(s3) == {"marker"}


def test_parts_whose_id_was_lost_on_the_way_are_found_and_dropped(s3, monkeypatch):
    begin = s3.begin_parts

    def begin_and_lose(*arguments, **options):
        begin(*arguments, **options)
        fail()

    monkeypatch.setattr(s3, "begin_parts", begin_and_lose)
    with pytest.raises(CommandError, match="store an object in parts"):
        verify()
    assert keys(s3) == {"marker"}


def test_an_operator_who_interrupts_leaves_nothing_behind(s3, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(s3, "put_part", interrupt)
    with pytest.raises(KeyboardInterrupt):
        verify()
    assert keys(s3) == {"marker"}


def test_a_bucket_that_anybody_may_read_is_refused(s3):
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{s3.bucket}/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    s3.client.put_bucket_policy(Bucket=s3.bucket, Policy=json.dumps(policy))
    with pytest.raises(CommandError, match="Anybody may read the bucket's objects"):
        verify()


def test_a_server_that_copies_nothing_is_refused(s3, monkeypatch):
    monkeypatch.setattr(s3, "copy", lambda *_, **__: True)
    with pytest.raises(CommandError, match="The server copies no object"):
        verify()


def test_a_server_that_copies_what_was_exchanged_meanwhile_is_refused(s3, monkeypatch):
    monkeypatch.setattr(S3Response, "copy_object", s3_server.ANY_COPY)
    with pytest.raises(CommandError, match="it ignores x-amz-copy-source-if-match"):
        verify()
    assert keys(s3) == {"marker"}
