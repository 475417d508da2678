"""`curl -T`: a file that belongs to nobody, its link, and what deletes it."""

import io
import re
from datetime import timedelta

import pytest
import requests
from django.db.models.functions import Now
from django.test import Client

from support.samples import nothing_stays
from uploads import quotas
from uploads.arrivals import stream
from uploads.arrivals.claim import claim_upload
from uploads.arrivals.stream import remember_parts
from uploads.errors import StorageUnavailable
from uploads.limits import check_claim
from uploads.models import Installation, Upload
from uploads.storage import ANY_PARTS
from uploads.sweeps import clocks, housekeeping

pytestmark = pytest.mark.django_db

LATER = timedelta(hours=1)


@pytest.fixture
def curl():
    return Client(enforce_csrf_checks=True)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Parts of a few bytes; moto lets an object be joined of such, as the local disk does."""
    from moto.s3 import models

    monkeypatch.setattr(models, "S3_UPLOAD_PART_MIN_SIZE", 1)
    monkeypatch.setattr("uploads.arrivals.stream.PART_BYTES", 10)


def put(curl, name, content, **extra):
    return curl.generic("PUT", f"/{name}", content, "", **extra)


def put_chunked(curl, name, stream, **extra):
    """As gunicorn passes on a body without a length."""
    stream = io.BytesIO(stream) if isinstance(stream, bytes) else stream
    extra |= {"wsgi.input": stream, "wsgi.input_terminated": True}
    return curl.generic("PUT", f"/{name}", HTTP_TRANSFER_ENCODING="chunked", **extra)


def contents(store, answer) -> bytes:
    token = answer.content.decode().split("/")[4]
    return store.read(Upload.objects.get(link__token=token).served_key)


def is_line(answer, status) -> str:
    """Check that the answer is one line of text for a terminal; the line."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    text = answer.content.decode()
    assert text.count("\n") == 1
    assert text.endswith("\n")
    return text.strip()


class CutAfter(io.BytesIO):
    """A connection that ends in the middle."""

    def read(self, size=-1):
        from gunicorn.http.errors import NoMoreData

        data = super().read(size)
        if not data:
            raise NoMoreData
        return data


@pytest.mark.parametrize("send", [put, put_chunked])
@pytest.mark.parametrize("size", [1, 9, 10, 11, 20, 25])
def test_the_link_serves_the_same_bytes(store, curl, send, size):
    content = bytes(range(size))
    answer = send(curl, "report.pdf", content)
    assert re.fullmatch(r"http://testserver/f/[\w-]{22}/report\.pdf", is_line(answer, 201))
    assert contents(store, answer) == content
    assert Installation.objects.get().used_bytes == size
    upload = Upload.objects.get()
    assert (upload.kind, upload.filename, upload.size_bytes) == ("file", "report.pdf", size)
    assert Client().get(answer["Location"]).status_code == 302
    assert not [parts for page in store.list_parts() for parts in page]


@pytest.mark.parametrize("name", ["files", "healthz", "admin", "%C3%A7%C3%A3o.txt", "a b.html"])
def test_any_name_is_a_files(store, curl, name):
    is_line(put(curl, name, b"1"), 201)


def test_an_image_is_a_file_here(store, curl):
    assert "/f/" in is_line(put(curl, "photo.jpg", b"\xff\xd8\xff"), 201)


def test_it_is_nobodys(store, curl):
    put(curl, "a", b"1")
    put(curl, "a", b"1")
    assert len(set(Upload.objects.values_list("owner", flat=True))) == 2
    assert "visitor" not in curl.cookies


@pytest.mark.parametrize("name", ["attack.html", "attack.svg"])
def test_a_page_is_only_ever_downloaded(store, curl, name):
    link = put(curl, name, b"<script>alert(1)</script>", CONTENT_TYPE="text/html")["Location"]
    address = curl.get(link)["Location"]
    answer = requests.get(address, timeout=30) if address.startswith("http") else curl.get(address)
    answer.close()
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    if not address.startswith("http"):
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


class TestTtl:
    def test_it_lives_as_long_as_asked(self, store, curl):
        put(curl, "a", b"1", HTTP_TTL="77")
        assert Upload.objects.get().link.ttl == timedelta(seconds=77)

    @pytest.mark.parametrize("ttl", ["0", "86401", "-1", "1h", "9" * 5000, "²"])
    def test_what_is_no_life_is_refused(self, store, curl, ttl):
        is_line(put(curl, "a", b"1", HTTP_TTL=ttl), 422)
        assert nothing_stays(store)


class TestRefused:
    @pytest.mark.parametrize(
        ("name", "content", "sentence"),
        [
            ("", b"1", "The file has no name."),
            ("a/b", b"1", "The file name must not contain a path."),
            ("a%0Ab", b"1", "The file name contains a line break"),
            ("a" * 256, b"1", "The file name is 256 bytes long"),
            ("a", b"", "The file is empty."),
        ],
    )
    @pytest.mark.parametrize("send", [put, put_chunked])
    def test_what_is_not_allowed_says_so(self, store, curl, send, name, content, sentence):
        assert sentence in is_line(send(curl, name, content), 422)
        assert nothing_stays(store)

    @pytest.mark.parametrize("send", [put, put_chunked])
    @pytest.mark.parametrize(("size", "status"), [(30, 201), (31, 422)])
    def test_one_byte_over_the_limit_is_refused(self, store, curl, settings, send, size, status):
        settings.MAX_FILE_BYTES = 30
        is_line(send(curl, "a", bytes(size)), status)
        assert (status == 201) or nothing_stays(store)

    @pytest.mark.parametrize("send", [put, put_chunked])
    def test_when_the_total_is_full_it_ends_and_nothing_stays(self, store, curl, settings, send):
        settings.MAX_TOTAL_BYTES = 25
        answer = send(curl, "a", bytes(30))
        is_line(answer, 429)
        assert answer["Retry-After"] == "60"
        assert nothing_stays(store)

    def test_too_many_from_one_address_wait(self, store, curl, settings):
        import uuid

        settings.UPLOAD_RATE = 1
        address = f"2001:db8:{uuid.uuid4().hex[:4]}::1"
        is_line(put(curl, "a", b"1", REMOTE_ADDR=address), 201)
        assert "one IP address" in is_line(put(curl, "a", b"1", REMOTE_ADDR=address), 429)

    def test_what_breaks_is_a_line_too(self, store, curl, monkeypatch):
        curl.raise_request_exception = False
        monkeypatch.setattr("uploads.arrivals.claim.check_visitor_quota", lambda *_: 1 / 0)
        assert "on our side" in is_line(put(curl, "a", b"1"), 500)


class TestCut:
    @pytest.mark.parametrize("sent", [0, 5, 10, 25])
    def test_without_a_length_half_a_file_is_no_file(self, store, curl, sent):
        is_line(put_chunked(curl, "a", CutAfter(bytes(sent))), 409)
        assert nothing_stays(store)

    @pytest.mark.parametrize("sent", [5, 10, 25])
    def test_with_a_length_half_a_file_is_no_file(self, store, curl, sent):
        answer = put(
            curl, "a", bytes(sent), CONTENT_LENGTH="30", **{"wsgi.input": io.BytesIO(bytes(sent))}
        )
        is_line(answer, 409)
        assert nothing_stays(store)

    def test_when_storage_falls_silent_nothing_stays(self, store, curl, monkeypatch):
        put_part = type(store).put_part

        def silent(self, key, multipart_id, number, content):
            if number == 2 or content == b"":
                raise StorageUnavailable("Storage does not answer.")
            return put_part(self, key, multipart_id, number, content)

        monkeypatch.setattr(type(store), "put_part", silent)
        is_line(put(curl, "a", bytes(30)), 503)
        assert nothing_stays(store)


class Killed(BaseException):
    """The process is gone: no handler of ours runs."""


class TestKilled:
    @pytest.mark.parametrize(
        "where", ["begin_parts", "put_part", "join_parts", "put", "head", "remember_parts"]
    )
    @pytest.mark.parametrize("after", [False, True])
    def test_wherever_it_dies_nothing_stays(self, store, curl, monkeypatch, where, after):
        owner = stream if where == "remember_parts" else type(store)
        function = getattr(owner, where)

        def killed(*args, **kwargs):
            if after:
                function(*args, **kwargs)
            raise Killed

        with monkeypatch.context() as dying:
            dying.setattr(owner, where, killed)
            with pytest.raises(Killed):
                put(curl, "a", bytes(5 if where == "put" else 30))
        housekeeping.sweep("expire", now=clocks.database_clock() + LATER)
        housekeeping.sweep("purge")
        housekeeping.sweep("reconcile", now=clocks.database_clock() + LATER)
        assert nothing_stays(store)

    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("where", ["begin_parts", "remember_parts"])
    def test_parts_whose_id_nobody_wrote_down_go_with_the_row(
        self, store, curl, monkeypatch, where, after
    ):
        """MinIO forgets its list of them when it restarts, so that reconcile can't find them."""
        owner = stream if where == "remember_parts" else type(store)
        function = getattr(owner, where)

        def killed(*args, **kwargs):
            known = where == "remember_parts" and args[1] == ANY_PARTS
            if known or after:
                answer = function(*args, **kwargs)
                if known:
                    return answer
            raise Killed

        other = store.begin_parts("files/b", content_type="text/plain")
        with monkeypatch.context() as dying:
            dying.setattr(owner, where, killed)
            with pytest.raises(Killed):
                put(curl, "a", bytes(30))
        housekeeping.sweep("expire", now=clocks.database_clock() + LATER)
        housekeeping.sweep("purge")
        assert [p.multipart_id for page in store.list_parts() for p in page] == [other]
        store.abort_parts("files/b", ANY_PARTS)
        assert nothing_stays(store)

    def test_a_slow_one_is_left_alone_while_its_parts_come(self, store, curl):
        upload = claim_upload(
            check_claim(owner=quotas.BOARD, kind="file", filename="a", size_bytes=10)
        )
        parts = store.begin_parts(upload.incoming_key, content_type="text/plain")
        remember_parts(upload.id, parts)
        done = housekeeping.sweep("reconcile", now=clocks.database_clock() + LATER)
        assert done.aborted == 0
        tag = store.put_part(upload.incoming_key, parts, 1, bytes(10))
        store.join_parts(upload.incoming_key, parts, [tag])
        assert store.head(upload.incoming_key).size_bytes == 10

    def test_one_that_was_discarded_meanwhile_ends(self, store, curl, monkeypatch):
        put_part = type(store).put_part

        def late(self, key, multipart_id, number, content):
            tag = put_part(self, key, multipart_id, number, content)
            housekeeping.sweep("expire", now=clocks.database_clock() + LATER)
            housekeeping.sweep("purge")
            return tag

        monkeypatch.setattr(type(store), "put_part", late)
        assert "took too long" in is_line(put(curl, "a", bytes(30)), 404)
        assert nothing_stays(store)


class TestDeletion:
    @pytest.fixture
    def deletion(self, store, curl):
        url = put(curl, "a.txt", b"1")["X-Url-Delete"]
        assert url.startswith("http://testserver/d/")
        return url.removeprefix("http://testserver")

    @pytest.mark.parametrize("method", ["DELETE", "POST"])
    def test_it_deletes(self, store, curl, deletion, method):
        assert is_line(curl.generic(method, deletion), 200) == "Deleted."
        is_line(curl.generic(method, deletion), 404)
        assert nothing_stays(store)

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_looking_at_it_deletes_nothing(self, store, curl, deletion, method):
        answer = curl.generic(method, deletion)
        assert answer.status_code == 200
        assert method == "HEAD" or "a.txt" in answer.content.decode()
        assert Upload.objects.count() == 1

    def test_a_browser_is_told_on_a_page(self, store, curl, deletion):
        answer = curl.post(deletion, HTTP_ACCEPT="text/html")
        assert "Deleted." in answer.content.decode()
        assert answer["Content-Type"].startswith("text/html")

    def test_a_forged_one_deletes_nothing(self, store, curl, deletion):
        is_line(curl.delete(f"{deletion[:-3]}xyz"), 404)
        assert Upload.objects.count() == 1

    def test_an_expired_one_is_gone(self, store, curl, deletion):
        Upload.objects.update(expires_at=Now())
        assert curl.get(deletion).status_code == 404


def test_an_address_of_a_page_still_finds_its_slash(client):
    answer = client.get("/files")
    assert (answer.status_code, answer["Location"]) == (301, "/files/")
    assert answer["Cache-Control"] == "no-store"
    assert client.get("/nothing.txt").status_code == 404
