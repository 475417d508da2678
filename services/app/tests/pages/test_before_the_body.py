"""What can be told of a form without its files is told before they are spooled."""

import tempfile
from random import randrange

import pytest
from django.test import Client

from pages import spool
from support import multipart
from support.multipart import message, nothing_is_left
from support.samples import picture
from uploads.links import follow
from uploads.models import Upload

pytestmark = pytest.mark.django_db

KIB = 1024
FILES = [("file", f"{n}.bin", b"x" * 300 * KIB) for n in range(4)]
IMAGES = [("image", f"{n}.png", b"x" * 300 * KIB) for n in range(4)]
ELSEWHERE = {"origin": "https://elsewhere.example"}


@pytest.fixture
def spooled(monkeypatch):
    """How large each file of a form became on the disk."""
    sizes = []

    class Counted(tempfile.SpooledTemporaryFile):
        def __init__(self, **_):
            super().__init__()
            self.place = len(sizes)
            sizes.append(0)

        def write(self, data):
            sizes[self.place] += len(data)
            return super().write(data)

    monkeypatch.setattr(spool.tempfile, "TemporaryFile", Counted)
    return sizes


@pytest.fixture
def doors(disk, receive):
    """Every address that takes a form with a CSRF token."""
    upload = receive("file", b"x")
    delete = f"/uploads/{upload.id}/delete/"
    return ["/", "/files/", "/images/clear/", "/files/clear/", delete, "/admin/login/"]


@pytest.fixture
def visitor(disk):
    """A browser that has opened a page."""
    browser = Client(enforce_csrf_checks=True)
    browser.token = multipart.csrf_token(browser.get("/").content.decode())
    return browser


@pytest.fixture
def address(one_minute):
    """Where nobody has sent anything from."""
    return {"REMOTE_ADDR": f"10.{randrange(256)}.{randrange(256)}.{randrange(256)}"}


def send(client, path, *parts, **extra):
    token = [("csrfmiddlewaretoken", client.token)] if hasattr(client, "token") else []
    return multipart.post(client, path, *token, *parts, **extra)


def test_without_the_cookie_no_door_spools_a_byte(doors, spooled):
    for path in doors:
        answer = send(Client(enforce_csrf_checks=True), path, *FILES)
        assert answer.status_code == 403
        assert "accept cookies" in message(answer)
    assert spooled == []


def test_from_another_site_no_door_spools_a_byte(doors, visitor, spooled):
    for path in doors:
        assert send(visitor, path, *FILES, headers=ELSEWHERE).status_code == 403
    assert spooled == []


def test_over_https_without_a_referer_no_door_spools_a_byte(doors, visitor, spooled):
    for path in doors:
        assert send(visitor, path, *FILES, secure=True).status_code == 403
    assert spooled == []


def test_a_wrong_token_is_still_refused_after_the_form_was_read(doors, visitor):
    visitor.token = "x" * 32
    for path in doors:
        assert send(visitor, path, ("name", "a")).status_code == 403


@pytest.mark.parametrize(("path", "parts"), [("/", IMAGES), ("/files/", FILES)])
def test_beyond_the_rate_nothing_is_spooled(disk, visitor, spooled, settings, path, parts, address):
    settings.UPLOAD_RATE = 1
    send(visitor, path, *parts, **address)
    del spooled[:]
    answer = send(visitor, path, *parts, **address)
    assert answer.status_code == 429
    assert "At most 1 upload a minute" in message(answer)
    assert 0 < int(answer["Retry-After"]) <= 60
    assert spooled == []


@pytest.mark.parametrize("wrong", ["token", "file"])
def test_a_form_that_is_refused_counts_as_well(disk, visitor, settings, wrong, address):
    settings.UPLOAD_RATE = 2
    if wrong == "token":
        visitor.token = "x" * 32
    empty = [("file", "a.bin", b"")]
    answers = [send(visitor, "/files/", *empty, **address).status_code for _ in range(3)]
    assert answers == [403 if wrong == "token" else 422] * 2 + [429]


@pytest.mark.parametrize(("files", "answers"), [(1, [302, 302, 302, 429]), (2, [302, 429])])
def test_each_file_of_a_form_counts_once(disk, visitor, settings, files, answers, address):
    settings.UPLOAD_RATE = 3
    parts = [("image", f"{n}.png", picture()) for n in range(files)]
    assert [send(visitor, "/", *parts, **address).status_code for _ in answers] == answers


def test_forms_without_files_are_not_counted(disk, visitor, settings, address):
    settings.UPLOAD_RATE = 1
    for path in ("/images/clear/", "/files/clear/") * 2:
        assert send(visitor, path, **address).status_code == 302


def test_where_the_page_takes_fifty_files_fifty_are_spooled(disk, visitor, spooled):
    files = [("file", f"{n}.bin", b"x" * KIB) for n in range(60)]
    answer = send(visitor, "/files/", *files)
    assert answer.status_code == 422
    assert "You can upload at most 50 files at a time." in message(answer)
    assert sum(spooled) == 50 * KIB
    assert nothing_is_left(disk)


def test_files_that_are_too_large_together_are_not_spooled_to_their_end(
    disk, visitor, spooled, monkeypatch
):
    monkeypatch.setattr("pages.spool.FORM_BYTES", 700 * KIB)
    monkeypatch.setattr("pages.forms.FORM_BYTES", 700 * KIB)
    answer = send(visitor, "/files/", *FILES)
    assert answer.status_code == 422
    assert "This form accepts at most 700 KB at a time." in message(answer)
    assert sum(spooled) <= 700 * KIB
    assert nothing_is_left(disk)


def test_where_the_page_takes_ten_images_ten_are_spooled(disk, visitor, spooled):
    images = [("image", f"{n}.png", picture()) for n in range(12)]
    assert "You can upload at most 10 files at a time." in message(send(visitor, "/", *images))
    assert sum(spooled) == 10 * len(picture())


@pytest.mark.parametrize("path", ["/images/clear/", "/files/clear/", "/admin/login/"])
def test_where_no_file_belongs_none_is_spooled(disk, visitor, spooled, path):
    assert send(visitor, path, *FILES).status_code in {200, 302}
    assert sum(spooled) == 0


def test_a_secret_needs_no_cookie_and_its_form_spools_nothing(disk, receive, spooled):
    path = f"/d/{follow.deletion_secret(receive('file', b'x'))}"
    answer = send(Client(enforce_csrf_checks=True), path, *FILES, headers=ELSEWHERE)
    assert answer.status_code == 200
    assert sum(spooled) == 0
    assert not Upload.objects.exists()
