"""Keys that no upload has, and that a listing may show: each goes, and keeps nobody else's."""

import io
import os
import uuid
from contextlib import suppress
from datetime import timedelta

import pytest

from support.samples import keys
from uploads import discard
from uploads.errors import StorageUnavailable
from uploads.models import PurgeKey, Sweep, Upload
from uploads.storage import s3_deletion
from uploads.sweeps import clocks, housekeeping

pytestmark = pytest.mark.django_db

ODD = {
    "201 characters": "files/" + "a" * 195,
    "1024 bytes": "files/" + "k" * 1018,
    "1024 bytes of others": "files/" + "あ" * 339,
    "a folder's": "files/",
    "below a folder": "files/a/b/c",
    "empty names": "files/a//b",
    "dots": "files/./a",
    "an escape": "files/../marker",
    "a blank": "files/a b",
    "blanks around": "files/ a ",
    "a plus": "files/a+b",
    "percent": "files/%2e%2e%2fmarker%00",
    "markup": "files/<Key>&amp;</Key>",
    "quotes": "files/'\"`",
    "a newline": "files/a\nb",
    "a return": "files/a\rb",
    "a tab": "files/a\tb",
    "a control character": "files/a\x01b",
    "an escape character": "files/\x1b[31m",
    "no character of XML": "files/a\uffffb",
    "letters": "files/ação",
    "an emoji": "files/😀",
    "an order mark": "files/\u202egpj.exe",
    "nearly an id": "files/0b5b2bd2-0f2a-4d1b-9d5c-2f1a7b1c4e5g",
    "an id in capitals": "files/0B5B2BD2-0F2A-4D1B-9D5C-2F1A7B1C4E5F",
    "an id in other digits": "files/٠b5b2bd2-0f2a-4d1b-9d5c-2f1a7b1c4e5f",
}
# The tests' server takes no newline in an address.
IN_A_BUCKET = {name: key for name, key in ODD.items() if "\n" not in key}
ON_DISK = {
    name: key
    for name, key in ODD.items()
    if key.count("/") == 1 and key != "files/" and len(os.fsencode(key.split("/")[1])) < 256
}


def after_the_grace():
    return clocks.database_clock() + timedelta(minutes=2)


def put(store, key: str) -> None:
    store.put(key, io.BytesIO(b"x"), content_type="text/plain")


class TestListed:
    @pytest.mark.parametrize("key", IN_A_BUCKET.values(), ids=IN_A_BUCKET)
    def test_in_a_bucket_it_goes_and_so_do_the_others(self, s3, receive, key):
        mine = receive("file", b"x")
        ordinary = f"files/{uuid.uuid4()}"
        put(s3, ordinary)
        put(s3, key)
        housekeeping.sweep("reconcile", now=after_the_grace())
        housekeeping.sweep("purge")
        assert keys(s3) == {mine.served_key}
        assert Sweep.objects.get(name="reconcile").last_error == ""

    @pytest.mark.parametrize("key", ON_DISK.values(), ids=ON_DISK)
    def test_on_the_disk_it_goes_and_so_do_the_others(self, disk, receive, key):
        mine = receive("file", b"x")
        put(disk, f"files/{uuid.uuid4()}")
        (disk.root / key).write_bytes(b"x")
        housekeeping.sweep("reconcile", now=after_the_grace())
        housekeeping.sweep("purge")
        assert keys(disk) == {mine.served_key}
        assert Sweep.objects.get(name="reconcile").last_error == ""

    @pytest.mark.parametrize("name", [b"\xff\xfe", b"a\xe7\xe3o", b"\x80" * 200])
    def test_on_the_disk_a_name_in_no_encoding_goes(self, disk, receive, name):
        mine = receive("file", b"x")
        (disk.root / os.fsdecode(b"files/" + name)).write_bytes(b"x")
        housekeeping.sweep("reconcile", now=after_the_grace())
        assert keys(disk) == {mine.served_key}

    @pytest.mark.parametrize("key", ["files/a\x01b", "files/é\x00", "files/\ud800"])
    def test_one_that_storage_keeps_is_said_and_keeps_nothing_else(
        self, s3, monkeypatch, receive, key
    ):
        vanished = receive("file", b"x")
        s3.delete([vanished.served_key])
        ordinary = f"files/{uuid.uuid4()}"
        put(s3, ordinary)
        listing = s3.pages

        def with_it(prefix, after=""):
            for page in listing(prefix, after):
                yield [*page, *(type(page[0])(key, 1, page[0].modified_at) for _ in page[:1])]

        monkeypatch.setattr(s3, "pages", with_it)
        monkeypatch.setattr(s3_deletion, "delete_odd", lambda *_: "AccessDenied on DeleteObject")
        done = housekeeping.sweep("reconcile", now=after_the_grace())
        assert done.vanished == 1
        housekeeping.sweep("purge")
        assert keys(s3) <= {key}
        row = Sweep.objects.get(name="reconcile")
        assert "stays: AccessDenied on DeleteObject" in row.last_error
        assert row.last_ok is not None

    def test_what_no_request_can_name_is_never_taken_for_another(self, s3):
        """In an address, `..` would lead to the marker."""
        assert s3.delete(["files/\x01/../../marker"]) == {
            "files/\x01/../../marker": "no request can name it"
        }
        assert s3.read("marker") is not None

    @pytest.mark.parametrize("character", ["\x00", "\x1f", "\ufffe", "\uffff", "\ud800"])
    def test_what_xml_cannot_carry_is_known(self, character):
        assert s3_deletion.NOT_XML.search(f"files/{character}")

    @pytest.mark.parametrize("character", "\t\n\r \x7fé\ud7ff\ue000\ufffd😀")
    def test_what_xml_can_carry_is_known(self, character):
        assert not s3_deletion.NOT_XML.search(f"files/{character}")


class TestOnTheDisk:
    """What else may lie in a folder."""

    def test_a_folder_goes_with_all_that_is_in_it(self, disk, receive):
        mine = receive("file", b"x")
        (disk.root / "files" / "sub" / "deeper").mkdir(parents=True)
        (disk.root / "files" / "sub" / "deeper" / "a").write_bytes(b"x")
        housekeeping.sweep("reconcile", now=after_the_grace())
        housekeeping.sweep("purge")
        assert keys(disk) == {mine.served_key}

    @pytest.mark.parametrize("target", ["file", "folder", "itself", "nothing"])
    def test_a_link_goes_and_what_it_leads_to_stays(self, disk, receive, tmp_path, target):
        mine = receive("file", b"x")
        link = disk.root / "files" / "link"
        kept = tmp_path / "kept"
        kept.mkdir()
        (kept / "file").write_bytes(b"kept")
        where = {"file": kept / "file", "folder": kept, "itself": link, "nothing": kept / "none"}
        link.symlink_to(where[target])
        housekeeping.sweep("reconcile", now=after_the_grace())
        housekeeping.sweep("purge")
        assert keys(disk) == {mine.served_key}
        assert (kept / "file").read_bytes() == b"kept"

    def test_a_file_that_nobody_may_read_goes(self, disk, receive):
        mine = receive("file", b"x")
        (disk.root / "files" / "secret").write_bytes(b"x")
        (disk.root / "files" / "secret").chmod(0)
        housekeeping.sweep("reconcile", now=after_the_grace())
        housekeeping.sweep("purge")
        assert keys(disk) == {mine.served_key}

    def test_a_pipe_goes_and_nobody_reads_it(self, disk, receive):
        mine = receive("file", b"x")
        os.mkfifo(disk.root / "files" / "pipe")
        housekeeping.sweep("reconcile", now=after_the_grace())
        housekeeping.sweep("purge")
        assert keys(disk) == {mine.served_key}

    def test_a_prefix_may_lie_on_another_disk(self, disk, receive, tmp_path):
        (tmp_path / "large").mkdir()
        (disk.root / "files").symlink_to(tmp_path / "large")
        mine = receive("file", b"x")
        housekeeping.sweep("expire", now=clocks.database_clock() + timedelta(hours=1))
        assert housekeeping.sweep("purge") == 1
        assert keys(disk) == set()
        assert not Upload.objects.filter(id=mine.id).exists()

    @pytest.mark.parametrize("key", ["files", "files/", "files/.", ".", "", "files//", "parts"])
    def test_a_key_never_stands_for_all(self, disk, receive, key):
        mine = receive("file", b"x")
        disk.delete([key])
        assert keys(disk) == {mine.served_key}
        assert disk.read("marker") is not None

    @pytest.mark.parametrize(
        "key", ["../outside", "files/../../outside", "/etc/none", "files/\0", "files/a\0/../../b"]
    )
    def test_a_key_never_leads_out(self, disk, tmp_path, key):
        (tmp_path / "outside").write_bytes(b"x")
        assert set(disk.delete([key, "files/ordinary"])) == {key}
        assert (tmp_path / "outside").exists()


class TestQueued:
    """One key that storage refuses, in whatever way, keeps no other in the queue."""

    @pytest.fixture
    def ordinary(self, store):
        found = [f"files/{uuid.uuid4()}" for _ in range(20)]
        for key in found:
            put(store, key)
            discard.queue_key(key, size_bytes=0)
        return found

    def until_settled(self, store, bad: str) -> int:
        """Purge, each time as if what was put off were due again; how often that took."""
        for attempt in range(1, 30):
            PurgeKey.objects.update(not_before=clocks.database_clock())
            with suppress(StorageUnavailable):
                housekeeping.sweep("purge")
            if keys(store) <= {bad}:
                return attempt
        raise AssertionError(f"left: {keys(store)}")

    def test_one_whose_request_fails_as_a_whole(self, store, ordinary, monkeypatch):
        bad = ordinary[7]
        real = store.delete

        def delete(names):
            if bad in names:
                raise StorageUnavailable("no", cause="MalformedXML on DeleteObjects")
            return real(names)

        monkeypatch.setattr(store, "delete", delete)
        self.until_settled(store, bad)
        assert PurgeKey.objects.get().key == bad
        assert "MalformedXML" in Sweep.objects.get(name="purge").last_error

    @pytest.mark.parametrize("answer", ["refused", "silent"])
    def test_one_whose_parts_cannot_be_aborted(self, store, ordinary, monkeypatch, answer):
        bad = ordinary[7]
        PurgeKey.objects.filter(key=bad).update(multipart_id="an-id")
        other = ordinary[8]
        PurgeKey.objects.filter(key=other).update(
            multipart_id=store.begin_parts(other, content_type="a/b")
        )
        real = store.abort_parts

        def abort(key, multipart_id):
            if key == bad:
                raise StorageUnavailable("no", cause=answer)
            real(key, multipart_id)

        monkeypatch.setattr(store, "abort_parts", abort)
        assert self.until_settled(store, bad) == 1
        assert PurgeKey.objects.get().key == bad
        assert answer in Sweep.objects.get(name="purge").last_error
        assert not [parts for page in store.list_parts() for parts in page]

    def test_one_in_the_answers_errors(self, store, ordinary, monkeypatch):
        bad = ordinary[7]
        real = store.delete
        monkeypatch.setattr(
            store,
            "delete",
            lambda names: {
                **real([name for name in names if name != bad]),
                **{name: "AccessDenied" for name in names if name == bad},
            },
        )
        assert self.until_settled(store, bad) == 1
        assert PurgeKey.objects.get().key == bad

    def test_a_key_that_storage_does_not_know_is_gone(self, s3, monkeypatch):
        """Some servers say so as an error."""
        discard.queue_key("files/a", size_bytes=0)
        answer = {"Errors": [{"Key": "files/a", "Code": "NoSuchKey"}]}
        monkeypatch.setattr(s3.client, "delete_objects", lambda **_: answer)
        assert housekeeping.sweep("purge") == 1
