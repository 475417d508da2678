"""The page of a link: what its receiver sees, and that programs get the bytes all the same."""

import re
from urllib.parse import quote

import pytest
from django.db.models.functions import Now

from pages.icons import icon
from support.samples import fetch, picture
from uploads.links.preview import PICTURE_BYTES, TEXT_BYTES
from uploads.models import Upload
from uploads.storage import storage

pytestmark = pytest.mark.django_db

BROWSERS = {
    "Chrome": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
    "Firefox": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "an old one": "text/html, */*; q=0.01",
}
PROGRAMS = {
    "curl": "*/*",
    "none": None,
    "an <img>": "image/avif,image/webp,image/png,*/*;q=0.8",
    "JSON": "application/json",
    "not HTML": "text/html;q=0, */*",
}


def look(client, upload, accept=BROWSERS["Chrome"], method="GET"):
    """The answer at the link, to who accepts this."""
    head = {} if accept is None else {"HTTP_ACCEPT": accept}
    return client.generic(method, upload.link.get_absolute_url(), **head)


@pytest.fixture
def shared(receive):
    def shared(content=b"a few words", filename="notes.txt", **claimed):
        return receive("file", content, filename=filename, **claimed)

    return shared


@pytest.mark.parametrize("accept", BROWSERS.values(), ids=BROWSERS)
def test_a_browser_gets_a_page_with_all_that_it_should_know(store, client, shared, accept):
    upload = shared(name="For Ana", filename="ção 日本.pdf", ttl=600)
    response = look(client, upload, accept)
    html = response.content.decode()
    assert response.status_code == 200
    assert "<bdi>ção 日本.pdf</bdi>" in html
    assert "<bdi>For Ana</bdi>" in html
    assert re.search(r"(10 minutes|9 minutes 5\d seconds) left", html)
    assert f'href="/f/{upload.link.token}/{quote("ção 日本.pdf")}"' in html
    assert f"/f/{upload.link.token}.svg" in html


def test_it_is_neither_kept_nor_found_and_says_no_name_before_it_is_opened(store, client, shared):
    response = look(client, shared(filename="salaries.pdf"))
    head = response.content.decode().partition("</head>")[0]
    assert "no-store" in response["Cache-Control"]
    assert '<meta name="robots" content="noindex">' in head
    assert "og:title" in head
    assert "salaries" not in head
    assert not response.cookies


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("accept", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_gets_the_bytes(store, client, shared, accept, method):
    response = look(client, shared(), accept, method)
    assert response.status_code == 302
    assert "Accept" in response["Vary"]
    answer = fetch(response["Location"], method)
    assert answer.status_code == 200
    assert answer.body == (b"a few words" if method == "GET" else b"")


@pytest.mark.parametrize("accept", [*BROWSERS.values(), *PROGRAMS.values()])
@pytest.mark.parametrize("filename", ["a b.txt", "qr.svg", "100 %?.txt", "ção 日本.pdf", "a;b#c"])
def test_the_address_with_the_name_is_always_the_bytes(store, client, shared, accept, filename):
    upload = shared(filename=filename)
    head = {} if accept is None else {"HTTP_ACCEPT": accept}
    response = client.get(upload.file_address, **head)
    answer = fetch(response["Location"])
    assert answer.body == b"a few words"
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")


@pytest.mark.parametrize("filename", ["other.txt", "notes.txt/", "notes.tx", "Notes.txt", "/"])
def test_another_name_is_no_file(store, client, shared, filename):
    response = client.get(f"{shared().link.get_absolute_url()}/{filename}")
    assert response.status_code == 404


@pytest.mark.django_db(transaction=True)  # another thread removes what has vanished
def test_what_has_expired_or_vanished_has_no_page(store, client, shared):
    vanished, expired = shared(), shared()
    storage().delete([vanished.served_key])
    Upload.objects.filter(id=expired.id).update(expires_at=Now())
    for upload in (vanished, expired):
        response = look(client, upload)
        assert response.status_code == 404
        assert "This link has expired" in response.content.decode()


class TestPreview:
    def shown(self, client, upload) -> str:
        """The text that the page shows; empty where it shows none."""
        html = look(client, upload).content.decode()
        found = re.search(r"<pre[^>]*>(.*?)</pre>", html, re.DOTALL)
        return found.group(1) if found else ""

    @pytest.mark.parametrize(
        "text", ["one\r\n\ttwo", "ção 日本 😀", "\ufeffwith a mark", "page\fpage", "x" * TEXT_BYTES]
    )
    def test_a_text_is_shown_as_text(self, store, client, shared, text):
        assert self.shown(client, shared(text.encode())) == text.removeprefix("\ufeff")

    def test_a_page_is_text_like_any_other(self, store, client, shared):
        upload = shared(b"<script>alert(1)</script></pre>", filename="a.html")
        assert self.shown(client, upload) == "&lt;script&gt;alert(1)&lt;/script&gt;&lt;/pre&gt;"

    def test_of_a_long_text_it_shows_how_it_begins(self, store, client, shared):
        # The last character that fits is cut in two.
        upload = shared(b"x" * (TEXT_BYTES - 1) + "é".encode() + b"more")
        assert self.shown(client, upload) == "x" * (TEXT_BYTES - 1)
        assert "How this text begins" in look(client, upload).content.decode()

    @pytest.mark.parametrize(
        "content", [b"\x00", b"%PDF-1.7\x01", b"\xff\xfea\x00", b"\xe9t", b"\x1b[31m", b"\x7fELF"]
    )
    def test_what_is_no_text_is_not_shown(self, store, client, shared, content):
        html = look(client, shared(content)).content.decode()
        assert "<pre" not in html
        assert 'class="preview"' not in html

    @pytest.mark.parametrize("image_format", ["PNG", "JPEG", "GIF", "WEBP"])
    def test_a_picture_is_drawn_whatever_it_is_called(self, store, client, shared, image_format):
        upload = shared(picture(image_format=image_format), filename="a.bin")
        html = look(client, upload).content.decode()
        url = re.search(r'class="preview"\s+src="([^"]+)"', html).group(1).replace("&amp;", "&")
        answer = fetch(url)
        assert answer.headers["Content-Type"] == f"image/{image_format.lower()}"
        assert answer.headers["Content-Disposition"].startswith("attachment")

    def test_a_picture_that_is_too_large_is_not(self, store, client, shared):
        upload = shared(picture())
        Upload.objects.update(size_bytes=PICTURE_BYTES + 1)
        assert 'class="preview"' not in look(client, upload).content.decode()

    @pytest.mark.parametrize("name", ["page.svg", "photo.heic"])
    def test_what_browsers_do_not_draw_is_no_picture(self, store, client, shared, name):
        content = b"<svg xmlns='http://www.w3.org/2000/svg'/>" if "svg" in name else HEIC
        html = look(client, shared(content, filename=name)).content.decode()
        assert not re.search(r'class="preview"\s+src=', html)

    def test_storage_that_is_silent_costs_the_preview_alone(
        self, disk, client, shared, monkeypatch
    ):
        from uploads.errors import StorageUnavailable

        def silent(*_):
            raise StorageUnavailable("silent")

        upload = shared()
        monkeypatch.setattr(type(disk), "read", silent)
        response = look(client, upload)
        assert response.status_code == 200
        assert "<pre" not in response.content.decode()


HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(100)


@pytest.mark.parametrize(
    ("filename", "symbol"),
    [
        ("a.jpg", "image"),
        ("a.MP4", "video"),
        ("a.mp3", "audio"),
        ("a.tar.gz", "archive"),
        ("a.pdf", "text"),
        ("a.csv", "text"),
        ("a.bin", "file"),
        ("data:text,x", "file"),
        ("Makefile", "file"),
        (".bashrc", "file"),
        ("ação.日本", "file"),
    ],
)
def test_an_icon_says_what_kind_of_file_it_is(filename, symbol):
    assert icon(filename) == symbol
