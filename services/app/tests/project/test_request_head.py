"""What a request's head shows to be wrong is said at every door, before its body is looked at."""

import time
from itertools import product

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.test import Client

from localstorage.views import asked_range
from s3tasks.web.request_head import is_utf8
from support import multipart
from support.gateway import send
from support.multipart import nothing_is_left
from uploads.models import Upload

pytestmark = pytest.mark.django_db

FORM = "application/x-www-form-urlencoded"
CODECS = [
    "punycode",
    "idna",
    "zlib_codec",
    "rot13",
    "uu_codec",
    "undefined",
    "unicode_escape",
    "raw_unicode_escape",
    "utf-7",
    "utf-16",
    "utf_8_sig",
    "iso-8859-1",
    "us-ascii",
    "no-such",
    "",
    "a\0b",
    "é",
    "x" * 8000,
]
SLOW = b"name=" + b"a-b" * 30_000  # in punycode, seconds


@pytest.fixture
def doors(disk, receive):
    """Every address that reads a form or JSON: what it is, and a path of it."""
    from uploads.links import follow
    from uploads.storage import storage

    upload = receive("file", b"x")
    ticket = storage().ticket("files/a", size_bytes=1, content_type="", seconds=60)
    return {
        "images": "/",
        "files": "/files/",
        "clear images": "/images/clear/",
        "clear files": "/files/clear/",
        "delete": f"/uploads/{upload.id}/delete/",
        "link": f"/f/{upload.link.token}",
        "deletion": f"/d/{follow.deletion_secret(upload)}",
        "login": "/admin/login/",
        "storage": ticket.url,
        "begin": "/api/uploads",
        "complete": f"/api/uploads/{upload.id}/complete",
        "nothing": "/nothing/here",
    }


@pytest.mark.parametrize("charset", CODECS)
def test_a_form_in_another_charset_is_refused_at_every_door(doors, charset):
    for door, path in doors.items():
        for kind in (FORM, multipart.CONTENT_TYPE, "application/json", "text/plain"):
            status, text = send(path, f"{kind}; charset={charset}", SLOW)
            assert (status, "Only UTF-8" in text) == (400, True), (door, kind, status)
    assert Upload.objects.count() == 1


OTHER_WAYS = [
    "x*=punycode''%41-",
    "x*=idna''%ff",
    "x*=no-such''a",
    "x*=a%00''b",
    "x*=é''a",
    "charset*=punycode''utf-8",
    "charset*0=puny; charset*1=code",
    "x*" + "9" * 5000 + "=1",
    "boundary*=idna''%ff",
    'charset="punycode"',
    "CHARSET=punycode",
    "charset=<punycode>",
    "charset=utf-8; charset=punycode",
    "charset=punycode; charset=utf-8",
    "charset = punycode",
    "charset='utf-8'",
]


@pytest.mark.parametrize("path", ["/", "/files/", "/admin/login/", "/api/uploads"])
def test_a_content_type_that_names_an_encoding_in_another_way_is_refused(disk, path):
    for way, kind in product(OTHER_WAYS, (FORM, multipart.CONTENT_TYPE, "application/json")):
        assert send(path, f"{kind}; {way}", b"name=a-b")[0] == 400, (way, kind)


@pytest.mark.parametrize(
    "path", ["/?a=b-%ff", "/files/?a=b", "/admin/login/?next=b-", "/api/uploads?a=b-"]
)
def test_an_address_is_not_decoded_by_a_header_either(disk, path):
    for charset in CODECS:
        assert send(path, f"text/plain; charset={charset}", method="GET")[0] == 400, charset


def test_nothing_is_decoded_before_it_is_refused(disk, monkeypatch):
    def decode(self):
        raise AssertionError("decoded")

    monkeypatch.setattr(WSGIRequest, "_load_post_and_files", decode)
    start = time.monotonic()
    for _ in range(8):
        assert send("/", f"{FORM}; charset=punycode", b"name=" + b"a-b" * 200_000)[0] == 400
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", *(f"{FORM}; charset={c}" for c in ("utf-8", "UTF-8", "utf8", '"utf-8"'))],
)
def test_utf8_is_taken_however_it_is_written(content_type):
    assert is_utf8(content_type)
    assert is_utf8(f"{multipart.CONTENT_TYPE}*; charset=utf-8")  # a boundary may hold one


def test_a_form_that_says_utf8_is_read(disk):
    body = multipart.body(("description", "größer"), ("file", "a.txt", b"1"))
    content_type = f"{multipart.CONTENT_TYPE}; charset=UTF-8"
    assert Client().post("/files/", body, content_type=content_type).status_code == 302
    assert Upload.objects.get().link.name == "größer"


def test_a_charset_inside_a_form_decides_nothing(disk):
    """A field `_charset_`, and a part's own Content-Type, are only what somebody wrote there."""
    head = multipart.head("file", "é.txt").replace(b"image/png", b"text/plain; charset=punycode")
    name = multipart.head("description").replace(
        b"\r\n\r\n", b"\r\nContent-Type: text/plain; charset=punycode\r\n\r\n"
    )
    body = multipart.body(("_charset_", "punycode"))[: -len(multipart.TAIL)]
    body += name + "größer".encode() + b"\r\n" + head + b"1\r\n" + multipart.TAIL
    answer = Client().post("/files/", body, content_type=multipart.CONTENT_TYPE)
    assert answer.status_code == 302
    upload = Upload.objects.get()
    assert (upload.link.name, upload.filename) == ("größer", "é.txt")


@pytest.mark.parametrize("charset", ["iso-8859-1", "punycode", "no-such", "x*=idna''%ff"])
def test_a_file_that_is_put_may_be_in_any_encoding(disk, charset):
    status, _ = send("/a.csv", f"text/csv; charset={charset}", b"\xe4", method="PUT")
    assert status == 201


class TestContentRange:
    """`curl -C 600 -T` sends the rest of a file, which was stored as the file."""

    HEADERS = ["bytes 600-999/1000", "bytes 0-999/1000", "bytes */1000", "", "9" * 5000]

    @pytest.mark.parametrize("value", HEADERS)
    def test_a_piece_is_not_put_as_a_file(self, disk, client, value):
        answer = client.put("/a.bin", b"x" * 400, headers={"Content-Range": value})
        assert answer.status_code == 400
        assert "without -C" in answer.content.decode()
        assert answer["Content-Type"] == "text/plain; charset=utf-8"
        assert nothing_is_left(disk)

    @pytest.mark.parametrize("value", HEADERS)
    def test_nor_sent_by_any_other_door(self, disk, doors, value):
        for door, path in doors.items():
            kind = "application/json" if path.startswith("/api/") else multipart.CONTENT_TYPE
            status, text = send(path, kind, b"x", HTTP_CONTENT_RANGE=value)
            assert (status, "without Content-Range" in text) == (400, True), door
        assert Upload.objects.count() == 1

    def test_reading_with_the_header_is_nobodys_harm(self, client):
        assert client.get("/", headers={"Content-Range": "bytes 0-1/2"}).status_code == 200


@pytest.mark.parametrize("template", ["bytes=0-{}", "bytes={}-", "bytes=-{}", "bytes={0}-{0}"])
@pytest.mark.parametrize("digits", [18, 19, 4300, 5000])
def test_a_range_of_any_number_of_digits_has_an_answer(disk, receive, template, digits):
    from uploads.links import follow
    from uploads.models import Kind

    url = follow.follow_link(token=receive("file", b"0123").link.token, kind=Kind.FILE)
    status, text = send(url, method="GET", HTTP_RANGE=template.format("9" * digits))
    assert status in {200, 206, 416}
    assert text in {"0123", ""}
    assert asked_range({"Range": "bytes=1-2"}, 4) == (1, 2)


@pytest.mark.parametrize("key", ['"abcdefgh\\000"', "\xe9" * 32, "x" * 4000, "abcdefg;"])
@pytest.mark.parametrize("path", ["/", "/files/", "/admin/", "/admin/login/", "/api/uploads"])
def test_a_session_cookie_of_any_characters_is_nobodys(disk, path, key):
    assert send(path, method="GET", HTTP_COOKIE=f"sessionid={key}")[0] in {200, 302, 401}
