"""What is not accepted: each with a clear message, and nothing of it is left anywhere."""

import pytest
from django.test import Client

from pages.spool import Spool
from s3tasks.web import request_body
from support import multipart
from support.multipart import message, nothing_is_left, post
from support.samples import picture
from uploads.models import Upload

pytestmark = pytest.mark.django_db

PNG = picture()
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
KIB, MIB = 1024, 1024 * 1024


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ([], "Choose at least one image."),
        ([("image", "", b"")], "Choose at least one image."),
        ([("image", "not a file")], "Choose at least one image."),
        ([("image", "a.png", b"")], "a.png : The file is empty."),
        ([("image", "a.png", b"just text")], "a.png : This is not an image that we accept"),
        ([("image", "a.svg", SVG)], "a.svg : This is not an image that we accept"),
        ([("image", "a.png", PNG[:4])], "a.png : This is not an image that we accept"),
        ([("image", "x" * 300, PNG)], "The file name is 300 bytes long; at most 255"),
        ([("image", "a/../b.png", PNG)], "The file name must not contain a path."),
        ([("image", "/../", PNG)], "The file name must not contain a path."),
        ([("image", "..", PNG)], "The file has no name."),
        ([("image", "a%0Ab.png", PNG)], "The file name contains a line break"),
        ([("image", "gpj.\u202eexe", PNG)], "a line break or another invisible character"),
        (
            [("name", "x" * 101), ("image", "a.png", PNG)],
            "The name is 101 characters long; at most 100",
        ),
        ([("name", "a\nb"), ("image", "a.png", PNG)], "The name contains a line break"),
        ([("name", "a\0b"), ("image", "a.png", PNG)], "Null characters are not allowed"),
        ([("ttl", "0"), ("image", "a.png", PNG)], "can live for 1 to 86400 seconds, not 0"),
        ([("ttl", "86401"), ("image", "a.png", PNG)], "can live for 1 to 86400 seconds"),
        ([("ttl", "soon"), ("image", "a.png", PNG)], "Enter a whole number."),
        ([("image", "a.png", PNG), ("image", "b.png", b"")], "b.png : The file is empty."),
        (
            [("image", f"{n}.png", PNG) for n in range(11)],
            "You can upload at most 10 files at a time.",
        ),
    ],
)
def test_a_bad_image_is_refused_and_nothing_is_left(disk, client, parts, sentence):
    response = post(client, "/", *parts)
    assert response.status_code == 422
    assert sentence in message(response)
    assert nothing_is_left(disk)


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ([], "Choose at least one file, or write a text."),
        ([("file", "a.pdf", b"")], "a.pdf : The file is empty."),
        (
            [("file", f"{n}.pdf", b"1") for n in range(51)],
            "You can upload at most 50 files at a time.",
        ),
        ([("file", "C:\\a.pdf", b"1")], "The file name must not contain a path."),
        ([("description", "x" * 101), ("file", "a.pdf", b"1")], "at most 100 are accepted"),
    ],
)
def test_a_bad_file_is_refused_and_nothing_is_left(disk, client, parts, sentence):
    response = post(client, "/files/", *parts)
    assert response.status_code == 422
    assert sentence in message(response)
    assert nothing_is_left(disk)


def test_every_image_at_fault_is_named_and_none_is_stored(disk, client):
    response = post(
        client, "/", ("image", "a.txt", b"a"), ("image", "b.png", PNG), ("image", "c.png", b"")
    )
    assert "a.txt : This is not" in message(response)
    assert "c.png : The file is empty." in message(response)
    assert "b.png" not in message(response)
    assert nothing_is_left(disk)


def test_an_image_beside_one_that_is_too_large_is_not_at_fault(disk, client, settings):
    settings.MAX_IMAGE_BYTES = len(PNG)
    response = post(client, "/", ("image", "large.png", PNG + b"x"), ("image", "b.png", PNG))
    assert "large.png : The image is too large" in message(response)
    assert "b.png" not in message(response)
    assert nothing_is_left(disk)


def test_the_text_of_a_refused_form_stays_in_it(client):
    html = post(client, "/", ("name", 'The "beach"'), ("ttl", "3600")).content.decode()
    assert 'value="The &quot;beach&quot;"' in html
    assert '<option value="3600" selected>' in html
    assert "<title>Error · My Images" in html


@pytest.mark.parametrize("over", [0, 1])
def test_a_file_at_the_limit_is_accepted_and_one_byte_over_it_is_not(disk, client, settings, over):
    settings.MAX_FILE_BYTES = 3 * MIB
    response = post(client, "/files/", ("file", "a.bin", b"x" * (3 * MIB + over)))
    assert response.status_code == (422 if over else 302)
    assert ("The limit is 3\xa0MB" in response.content.decode()) == bool(over)
    assert nothing_is_left(disk) == bool(over)


@pytest.mark.parametrize(
    "name", ['My "best" photo.png', "a%20b.png", "a&amp;b.png", "naïve 🌙.png"]
)
def test_an_unusual_name_is_kept_as_it_is(disk, client, name):
    assert post(client, "/", ("image", name.replace('"', "%22"), PNG)).status_code == 302
    assert Upload.objects.get().filename == name


class TestCsrf:
    @pytest.fixture
    def client(self):
        return Client(enforce_csrf_checks=True)

    @pytest.mark.parametrize("path", ["/", "/files/", "/images/clear/", "/files/clear/"])
    @pytest.mark.parametrize("token", [None, "x" * 64, "short"])
    def test_a_form_that_is_not_ours_changes_nothing(self, disk, client, path, token):
        client.get("/")
        fields = [("csrfmiddlewaretoken", token)] if token else []
        response = post(client, path, *fields, ("image", "a.png", PNG), ("file", "a.bin", b"1"))
        assert response.status_code == 403
        assert "The form was not sent from this site" in message(response)
        assert nothing_is_left(disk)

    def test_without_cookies_it_says_so(self, disk, client):
        assert "accept cookies" in message(post(client, "/", ("image", "a.png", PNG)))

    def test_a_form_of_ours_is_accepted(self, disk, client):
        token = multipart.csrf_token(client.get("/").content.decode())
        response = post(client, "/", ("csrfmiddlewaretoken", token), ("image", "a.png", PNG))
        assert response.status_code == 302

    def test_another_site_cannot_send_it(self, disk, client):
        token = multipart.csrf_token(client.get("/").content.decode())
        parts = [("csrfmiddlewaretoken", token), ("image", "a.png", PNG)]
        response = post(client, "/", *parts, HTTP_ORIGIN="https://elsewhere.example")
        assert response.status_code == 403
        assert nothing_is_left(disk)


class TestMalformed:
    @pytest.mark.parametrize(
        ("content", "content_type"),
        [
            (b"x", "multipart/form-data"),
            (b"x", "multipart/form-data; boundary="),
            (multipart.head("a" * 2000), multipart.CONTENT_TYPE),
            (
                multipart.head("image", "a.png").replace(
                    b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n=!"
                ),
                multipart.CONTENT_TYPE,
            ),
        ],
    )
    def test_a_form_that_cannot_be_read_says_so(self, disk, client, content, content_type):
        response = client.post("/", content, content_type=content_type)
        assert response.status_code == 400
        assert "could not be read" in message(response)

    @pytest.mark.parametrize(
        "parts",
        [
            [("name", "x" * (3 * MIB))],
            [(f"a{n}", "x") for n in range(1100)],
            [("image", f"{n}.png", b"x") for n in range(101)],
        ],
    )
    def test_a_form_with_too_much_in_it_says_so(self, disk, client, parts):
        response = post(client, "/", *parts)
        assert response.status_code == 400
        assert "more than this form accepts" in message(response)
        assert nothing_is_left(disk)

    def test_a_plain_form_brings_no_file(self, disk, client):
        response = client.post("/", "image=a", content_type="application/x-www-form-urlencoded")
        assert response.status_code == 422

    def test_a_file_sent_where_none_belongs_is_dropped(self, disk, client):
        assert post(client, "/files/clear/", ("file", "a.bin", b"x" * MIB)).status_code == 302


class TestDraining:
    class Endless:
        """A visitor who never stops sending."""

        def read(self, size):
            return b"x" * 10

    @pytest.fixture
    def clock(self, monkeypatch):
        """A clock that the test moves."""
        moments = [0.0]
        monkeypatch.setattr(request_body.time, "monotonic", lambda: moments[0])
        return moments

    def test_what_is_accepted_has_all_the_time_it_takes(self, clock):
        stream = request_body.Body(self.Endless(), None)
        clock[0] = 1_000_000.0
        assert stream.read(10)

    def test_what_is_dropped_is_read_for_twenty_seconds(self, clock):
        stream = request_body.Body(self.Endless(), None)
        stream.start_draining()
        clock[0] = 20.0
        assert stream.read(10)
        clock[0] = 20.1
        assert stream.read(10) == b""
        assert stream.given_up

    def test_on_a_slow_line_it_is_read_for_as_long_as_what_came_before(self, clock):
        stream = request_body.Body(self.Endless(), None)
        clock[0] = 100.0
        stream.start_draining()
        clock[0] = 200.0
        assert stream.read(10)
        clock[0] = 200.1
        assert stream.read(10) == b""

    def test_a_visitor_who_is_given_up_still_gets_the_message(
        self, disk, client, settings, monkeypatch
    ):
        settings.MAX_FILE_BYTES = 10
        monkeypatch.setattr(request_body, "DRAIN_SECONDS", -1.0)
        monkeypatch.setattr(Spool, "chunk_size", KIB)
        response = post(client, "/files/", ("description", "Kept"), ("file", "a.bin", b"x" * MIB))
        assert response.status_code == 422
        assert "a.bin : The file is too large" in message(response)
        assert 'value="Kept"' in response.content.decode()
        assert nothing_is_left(disk)
