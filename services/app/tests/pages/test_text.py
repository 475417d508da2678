"""A text that is written into the form of My Files becomes a file."""

import pytest

from support.multipart import message, post
from support.samples import fetch
from uploads.links.follow import follow_link
from uploads.models import Kind, Link, Upload

pytestmark = pytest.mark.django_db


def send(client, *parts):
    """The form as a browser sends it: a file field that was left alone has an empty name."""
    return post(client, "/files/", *parts)


NOTHING = ("file", "", b"")


def content(upload) -> bytes:
    return fetch(follow_link(token=upload.link.token, kind=Kind.FILE, path=upload.path)).body


@pytest.mark.parametrize("text", ["a few words", "ção 日本 😀", " indented\n", "<script>"])
def test_a_text_alone_is_a_file_word_for_word(store, client, text):
    assert send(client, NOTHING, ("text", text)).status_code == 302
    upload = Upload.objects.get()
    assert (upload.filename, upload.size_bytes) == ("text.txt", len(text.encode()))
    assert content(upload) == text.encode()


def test_its_lines_end_as_they_were_written(disk, client):
    send(client, NOTHING, ("text", "one\r\ntwo\r\n"))
    assert content(Upload.objects.get()) == b"one\ntwo\n"


def test_a_text_and_files_are_one_link(disk, client):
    parts = [("file", "a.pdf", b"%PDF"), ("file", "text.txt", b"mine")]
    assert send(client, *parts, ("text", "words"), ("description", "Both")).status_code == 302
    assert Link.objects.get().name == "Both"
    files = {upload.filename: content(upload) for upload in Upload.objects.all()}
    assert sorted(files.values()) == [b"%PDF", b"mine", b"words"]
    assert {"a.pdf", "text.txt"} < set(files)


@pytest.mark.parametrize("text", ["", "  ", "\r\n\t"])
def test_nothing_at_all_is_refused(disk, client, text):
    answer = send(client, NOTHING, ("text", text))
    assert answer.status_code == 422
    assert "Choose at least one file, or write a text." in message(answer)
    assert not Upload.objects.exists()


def test_what_was_written_stays_in_a_form_that_is_refused(disk, client):
    answer = send(client, NOTHING, ("text", "my <words>"), ("ttl", "0"))
    assert answer.status_code == 422
    assert "my &lt;words&gt;</textarea>" in answer.content.decode()


def test_one_that_is_too_large_is_refused(disk, client, settings):
    settings.MAX_FILE_BYTES = 4
    answer = send(client, NOTHING, ("text", "12345"))
    assert answer.status_code == 422
    assert "The file is too large." in message(answer)
    assert not Upload.objects.exists()


def test_one_that_no_form_may_be_is_refused(disk, client, settings):
    text = "x" * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    answer = send(client, NOTHING, ("text", text))
    assert answer.status_code == 400
    assert not Upload.objects.exists()


def test_a_file_alone_is_as_before(disk, client):
    assert send(client, ("file", "a.pdf", b"%PDF"), ("text", "")).status_code == 302
    assert Upload.objects.get().filename == "a.pdf"


def test_a_text_joins_a_link_that_is_there(disk, client):
    send(client, NOTHING, ("text", "one"))
    link = Link.objects.get()
    assert send(client, NOTHING, ("text", "two"), ("link", str(link.id))).status_code == 302
    assert Link.objects.count() == 1
    assert {content(upload) for upload in Upload.objects.all()} == {b"one", b"two"}
