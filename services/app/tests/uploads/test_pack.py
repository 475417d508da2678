"""The zip of a link: made in steps, whatever ends one, and gone with what it was made of."""

import io
import tracemalloc
import uuid
import zipfile
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from support.samples import at_once, counts_every_byte, fetch, keys, nothing_stays, purge_all
from uploads import discard, tasks
from uploads.errors import (
    InvalidUpload,
    LinkProtected,
    QuotaExceeded,
    StillPacking,
    StorageUnavailable,
    UploadNotFound,
)
from uploads.leases import take_lease
from uploads.links import pack as packing
from uploads.links import zips
from uploads.links.pack import pack_files
from uploads.links.zips import entries_of, follow_zip
from uploads.models import Installation, Link, Pack, PurgeKey, Upload
from uploads.storage import s3 as s3_module
from uploads.sweeps import housekeeping

pytestmark = pytest.mark.django_db

PART = 5 * 1024 * 1024  # the least that S3 takes


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """A zip of a few MiB has several."""
    monkeypatch.setattr(zips, "PART_BYTES", PART)


@pytest.fixture
def files(receive):
    """A link's files, whose bytes make three parts."""
    contents = [b"1" * 7_000_000, bytes(range(256)) * 16_000, b"x"]
    first = receive("file", contents[0], filename="ção 日本.pdf", name="Holiday")
    same = {"filename": "b.txt", "folder": "a folder/in it", "link_id": first.link_id}
    return [first, *(receive("file", content, **same) for content in contents[1:])]


def ask(files):
    """The pack, after somebody asked for the zip of these files."""
    with pytest.raises(StillPacking):
        follow_zip(token=files[0].link.token)
    return Pack.objects.get(link=files[0].link)


def step_by_step(monkeypatch):
    """Each step stores one part."""
    monkeypatch.setattr(packing, "STEP_SECONDS", 0.0)


def make(pack) -> None:
    """Take steps until it is there; as many as it has parts, and one more."""
    for _ in range(4):
        pack_files(pack_id=pack.id)


def zip_of(files) -> zipfile.ZipFile:
    """As whoever follows the link gets it."""
    answer = fetch(follow_zip(token=files[0].link.token))
    assert answer.status_code == 200
    return zipfile.ZipFile(io.BytesIO(answer.body))


def is_right(store, files) -> bool:
    """Whether the zip holds the bytes of the files, and nothing is left of its making."""
    with zip_of(files) as zipped:
        assert zipped.testzip() is None
        contents = [zipped.read(info) for info in zipped.infolist()]
    assert contents == [store.read(upload.served_key) for upload in files]
    assert [parts for page in store.list_parts() for parts in page] == []
    return counts_every_byte()


class TestMade:
    def test_its_files_are_the_links(self, store, files):
        packed = pack_files(pack_id=ask(files).id)
        assert is_right(store, files)
        assert zip_of(files).namelist() == [
            "ção 日本.pdf", "a folder/in it/b.txt", "a folder/in it/b (2).txt",
        ]  # fmt: skip
        pack = Pack.objects.get()
        assert packed == packing.Packed(files=3, bytes=pack.size_bytes, left=0)
        assert store.head(pack.key).size_bytes == pack.size_bytes
        assert pack_files(pack_id=pack.id) is None  # there is no more to do

    def test_it_is_called_as_the_link_or_neutrally(self, store, files):
        pack_files(pack_id=ask(files).id)
        for name, said in (("Holiday", "Holiday.zip"), ("a/b\\c", "a_b_c.zip"), ("", "files.zip")):
            Link.objects.update(name=name)
            answer = fetch(follow_zip(token=files[0].link.token))
            assert f'filename="{said}"' in answer.headers["Content-Disposition"]

    def test_of_one_file_too(self, store, receive):
        upload = receive("file", b"1")
        pack_files(pack_id=ask([upload]).id)
        assert is_right(store, [upload])

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            (["a", "a", "a"], ["a", "a (2)", "a (3)"]),
            (["a.txt", "A.TXT"], ["a.txt", "A (2).TXT"]),
            (["a.txt", "a (2).txt", "a.txt"], ["a.txt", "a (2).txt", "a (3).txt"]),
            ([".env", ".env"], [".env", ".env (2)"]),
            (["a.tar.gz", "a.tar.gz"], ["a.tar.gz", "a.tar (2).gz"]),
            (["a", "a/b", "a/b/c"], ["a (2)", "a/b (2)", "a/b/c"]),
            (["x/a", "y/a", "X/A"], ["x/a", "y/a", "X/A (2)"]),
        ],
    )
    def test_equal_names_are_numbered(self, names, expected):
        paths = [name.rpartition("/") for name in names]
        uploads = [Upload(folder=folder, filename=name, size_bytes=1) for folder, _, name in paths]
        assert [entry.name for entry in entries_of(uploads)] == expected

    def test_whoever_asks_is_told_how_far_it_is(self, store, files, monkeypatch):
        step_by_step(monkeypatch)
        pack, said = ask(files), []
        for _ in range(2):
            assert pack_files(pack_id=pack.id).left
            with pytest.raises(StillPacking) as error:
                follow_zip(token=files[0].link.token)
            said.append(error.value.per_cent)
        assert said == sorted(set(said))
        assert 0 < said[0] < said[-1] < 100

    def test_it_is_never_whole_in_memory(self, disk, receive, settings):
        """Of 64 MiB: what Python holds at the same time is a few parts."""
        upload = receive("file", bytes(64 * 1024 * 1024))
        pack = ask([upload])
        tracemalloc.start()
        try:
            while pack_files(pack_id=pack.id).left:
                pass
            assert tracemalloc.get_traced_memory()[1] < 4 * PART
        finally:
            tracemalloc.stop()


class TestInSteps:
    def test_each_goes_on_where_the_last_ended(self, store, files, monkeypatch):
        step_by_step(monkeypatch)
        pack = ask(files)
        left = [pack_files(pack_id=pack.id).left for _ in range(3)]
        assert left[0] == pack.size_bytes - PART
        assert left[-1] == 0
        assert is_right(store, files)

    def test_the_task_asks_for_the_next(self, store, files, monkeypatch):
        step_by_step(monkeypatch)
        told = []
        monkeypatch.setattr(tasks.pack, "delay", told.append)
        pack_id = str(ask(files).id)
        counts = [tasks.pack(pack_id) for _ in range(3)]
        assert told == [pack_id] * 2
        assert counts[-1]["files"] == 3
        assert counts[-1]["left"] == 0
        assert tasks.pack(pack_id) == "nothing to do"

    def test_a_worker_is_told_when_it_is_asked_for(
        self, store, files, monkeypatch, django_capture_on_commit_callbacks
    ):
        told = []
        monkeypatch.setattr(tasks.pack, "delay", told.append)
        with django_capture_on_commit_callbacks(execute=True):
            pack = ask(files)
            ask(files)
        assert told == [str(pack.id)]

    def test_a_worker_is_told_again_once_its_lease_has_run_out(self, store, files):
        pack = ask(files)
        assert housekeeping.find_due().packs == []
        Pack.objects.update(lease_until=Now(), lease=uuid.uuid4())
        assert housekeeping.find_due().packs == [pack.id]
        assert housekeeping.find_due().packs == []  # told just now
        assert pack_files(pack_id=pack.id).left == 0
        Pack.objects.update(lease_until=Now())
        assert housekeeping.find_due().packs == []  # it is there

    def test_two_runs_of_the_worker_have_it_never_both(self, store, files):
        pack = ask(files)
        assert take_lease(Pack.objects.wanted(), pack.id, packing.LEASE) is not None
        assert pack_files(pack_id=pack.id) is None
        packing.hand_back_pack(pack_id=pack.id)
        assert pack_files(pack_id=pack.id).left == 0


class Killed(BaseException):
    """As SIGKILL, nothing is tidied up after it."""


def dies(where, after):
    """A method of storage after which, or in place of which, the process is killed."""

    def method(self, *args, **kwargs):
        if after:
            where(self, *args, **kwargs)
        raise Killed

    return method


class TestKilled:
    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("method", ["begin_parts", "read", "put_part", "join_parts"])
    def test_three_times_anywhere_it_is_there_in_the_end(
        self, store, files, monkeypatch, method, after
    ):
        step_by_step(monkeypatch)
        pack = ask(files)
        kills = 1 if (method, after) == ("join_parts", True) else 3  # joined, it is done
        for _ in range(kills):
            with monkeypatch.context() as patch:
                patch.setattr(type(store), method, dies(getattr(type(store), method), after))
                with pytest.raises(Killed):
                    make(pack)
            assert pack_files(pack_id=pack.id) is None  # leased
            Pack.objects.update(lease_until=Now())
            if method in ("read", "put_part"):
                pack_files(pack_id=pack.id)
        make(pack)
        assert is_right(store, files)

    @pytest.mark.parametrize("after", [False, True])
    @pytest.mark.parametrize("method", ["begin_parts", "put_part", "join_parts"])
    def test_and_its_link_gone_nothing_stays(self, store, files, owner, monkeypatch, method, after):
        pack = ask(files)
        with monkeypatch.context() as patch:
            patch.setattr(type(store), method, dies(getattr(type(store), method), after))
            with pytest.raises(Killed):
                pack_files(pack_id=pack.id)
        discard.clear_uploads(owner=owner, kind="file")
        assert not Pack.objects.exists()
        assert nothing_stays(store)

    def test_a_stop_of_ours_costs_nothing(self, store, files, monkeypatch):
        pack = ask(files)
        for _ in range(10):
            assert take_lease(Pack.objects.wanted(), pack.id, packing.LEASE) is not None
            packing.hand_back_pack(pack_id=pack.id)
        assert pack_files(pack_id=pack.id).left == 0


class TestFailing:
    def test_what_storage_refuses_is_tried_again(self, store, files, monkeypatch):
        pack = ask(files)
        with monkeypatch.context() as patch:
            patch.setattr(type(store), "put_part", unavailable)
            with pytest.raises(StorageUnavailable):
                pack_files(pack_id=pack.id)
        Pack.objects.update(lease_until=Now())
        assert housekeeping.find_due().packs == [pack.id]
        assert pack_files(pack_id=pack.id).left == 0
        assert is_right(store, files)

    def test_what_fails_for_good_is_begun_anew(self, store, files, monkeypatch):
        step_by_step(monkeypatch)
        pack = ask(files)
        pack_files(pack_id=pack.id)
        store.abort_parts(pack.key, Pack.objects.get().multipart_id)  # as a bucket's rule may
        for _ in range(packing.FAILURES):
            Pack.objects.update(lease_until=Now())
            with pytest.raises(StorageUnavailable):
                pack_files(pack_id=pack.id)
        again = ask(files)
        assert again.id != pack.id
        make(again)
        assert is_right(store, files)

    def test_a_part_that_was_stored_counts_no_failure(self, store, files, monkeypatch):
        step_by_step(monkeypatch)
        pack = ask(files)
        Pack.objects.update(failures=packing.FAILURES - 1)
        pack_files(pack_id=pack.id)
        assert Pack.objects.get().failures == 0

    def test_a_file_that_has_vanished_takes_it_along(self, store, files):
        pack = ask(files)
        store.delete([files[1].served_key])
        assert pack_files(pack_id=pack.id) is None
        assert not Pack.objects.exists()
        purge_all()
        assert [parts for page in store.list_parts() for parts in page] == []

    def test_an_object_shorter_than_its_row_is_no_zip(self, store, files):
        pack = ask(files)
        store.put(files[0].served_key, io.BytesIO(b"short"), content_type="x/y")
        with pytest.raises(StorageUnavailable):
            pack_files(pack_id=pack.id)
        assert not Pack.objects.get().ready

    def test_a_server_that_ignores_ranges_makes_no_zip(self, s3, files, monkeypatch):
        pack = ask(files)
        get_object = s3.client.get_object
        whole = lambda Range="", **asked: get_object(**asked)  # noqa: E731, N803
        monkeypatch.setattr(s3_module.deadline.Bounded, "__getattr__", ignoring(whole))
        with pytest.raises(StorageUnavailable):
            pack_files(pack_id=pack.id)


def unavailable(*_, **__):
    raise StorageUnavailable("no")


def ignoring(get_object):
    def attribute(self, name):
        return get_object if name == "get_object" else getattr(self._client, name)

    return attribute


class TestItsFiles:
    def test_one_more_makes_it_another(self, store, files, receive):
        old = ask(files)
        pack_files(pack_id=old.id)
        more = receive("file", b"4", filename="4", link_id=files[0].link_id)
        assert not Pack.objects.exists()
        new = ask(files)
        pack_files(pack_id=new.id)
        purge_all()
        assert is_right(store, [*files, more])
        assert old.key not in keys(store)

    def test_one_less_makes_it_another(self, store, files, owner):
        pack_files(pack_id=ask(files).id)
        discard.discard_upload(upload_id=files[1].id, owner=owner)
        purge_all()
        assert not {key for key in keys(store) if key.startswith("zips/")}
        pack_files(pack_id=ask(files).id)
        assert is_right(store, [files[0], files[2]])

    def test_one_less_in_the_admin_too(self, store, files):
        pack_files(pack_id=ask(files).id)
        files[1].delete()
        assert not Pack.objects.exists()
        purge_all()
        assert counts_every_byte()

    @pytest.mark.parametrize("left", [0, 1])
    def test_a_change_in_the_middle_leaves_nothing(self, store, files, owner, monkeypatch, left):
        """Between two parts, while the worker has it in hand."""
        put_part = type(store).put_part
        gone = files if left == 0 else files[:1]

        def change(self, *args, **kwargs):
            tag = put_part(self, *args, **kwargs)
            discard.discard_uploads(ids=[upload.id for upload in gone])
            return tag

        pack = ask(files)
        monkeypatch.setattr(type(store), "put_part", change)
        assert pack_files(pack_id=pack.id) is None
        purge_all()
        assert not {key for key in keys(store) if key.startswith("zips/")}
        assert [parts for page in store.list_parts() for parts in page] == []
        assert counts_every_byte()

    def test_joined_after_its_row_went_it_is_deleted(self, store, files, owner, monkeypatch):
        join_parts = type(store).join_parts

        def late(self, *args):
            discard.clear_uploads(owner=owner, kind="file")
            join_parts(self, *args)

        pack = ask(files)
        monkeypatch.setattr(type(store), "join_parts", late)
        assert pack_files(pack_id=pack.id) is None
        assert nothing_stays(store)


class TestItsLink:
    def test_expires_and_takes_it_along(self, store, files):
        pack = ask(files)
        pack_files(pack_id=pack.id)
        link = Link.objects.get()
        housekeeping.sweep("expire", now=link.expires_at + timedelta(seconds=1))
        assert nothing_stays(store)
        assert not Pack.objects.exists()

    def test_expired_makes_none(self, store, files):
        pack = ask(files)
        Link.objects.update(expires_at=Now())
        Upload.objects.update(expires_at=Now())
        with pytest.raises(UploadNotFound):
            follow_zip(token=files[0].link.token)
        assert pack_files(pack_id=pack.id) is None
        assert housekeeping.find_due().packs == []

    def test_deleted_by_hand_takes_it_along(self, store, files):
        pack_files(pack_id=ask(files).id)
        Link.objects.get().delete()
        assert nothing_stays(store)

    def test_deleted_by_the_release_before_leaves_no_pack(self, store, files):
        """Which knows none, while this one is rolled out."""
        from django.db import connection

        pack_files(pack_id=ask(files).id)
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM uploads_upload; DELETE FROM uploads_link")
        assert not Pack.objects.exists()

    def test_of_another_kind_or_unknown_has_none(self, store, receive):
        image = receive("image")
        for token in (image.link.token, "unknown"):
            with pytest.raises(UploadNotFound):
                follow_zip(token=token)
        assert not Pack.objects.exists()

    def test_protected_has_none(self, store, files):
        Link.objects.update(max_downloads=2)
        with pytest.raises(LinkProtected):
            follow_zip(token=files[0].link.token)
        assert not Pack.objects.exists()


class TestRoom:
    def test_its_bytes_are_reserved_first(self, store, files, settings):
        before = Installation.objects.get().used_bytes
        pack = ask(files)
        assert Installation.objects.get().used_bytes == before + pack.size_bytes
        assert counts_every_byte()

    def test_without_room_it_is_not_begun(self, store, files, settings):
        settings.MAX_TOTAL_BYTES = Installation.objects.get().used_bytes + 11_000_000
        with pytest.raises(QuotaExceeded, match="no room for this zip"):
            follow_zip(token=files[0].link.token)
        assert not Pack.objects.exists()
        assert counts_every_byte()

    def test_one_address_has_zips_of_as_much_as_files(self, store, receive, settings):
        settings.MAX_TOTAL_BYTES = 4 * 10_000
        one, other = (receive("file", bytes(6000), filename=name) for name in "ab")
        Upload.objects.update(sender="x" * 32)
        ask([one])
        with pytest.raises(QuotaExceeded):
            follow_zip(token=other.link.token)
        pack_files(pack_id=Pack.objects.get().id)
        assert is_right(store, [one])

    def test_what_takes_too_large_parts_is_refused(self, store, files, monkeypatch):
        monkeypatch.setattr(zips, "PARTS_MAX", 1)
        monkeypatch.setattr(zips, "PART_BYTES_MAX", PART)
        with pytest.raises(InvalidUpload):
            follow_zip(token=files[0].link.token)

    def test_a_long_zip_has_larger_parts(self, store, files, monkeypatch):
        monkeypatch.setattr(zips, "PARTS_MAX", 2)
        pack = ask(files)
        assert pack.part_bytes == 6 * 1024 * 1024
        assert pack_files(pack_id=pack.id).left == 0
        assert len(Pack.objects.get().parts) == 2
        assert is_right(store, files)

    def test_the_recount_knows_it(self, store, files):
        ask(files)
        right = Installation.objects.get().used_bytes
        Installation.objects.update(used_bytes=1)
        housekeeping.sweep("reconcile")
        assert Installation.objects.get().used_bytes == right


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_many_who_ask_get_one(self, store, receive):
        token = receive("file", b"1").link.token

        def ask(_):
            try:
                return follow_zip(token=token)
            except StillPacking:
                return None

        assert at_once(ask, range(8)) == [None] * 8
        pack = Pack.objects.get()
        assert counts_every_byte()
        made = at_once(lambda _: pack_files(pack_id=pack.id), range(4))
        assert len([packed for packed in made if packed]) == 1
        assert counts_every_byte()


class TestReconcile:
    def test_takes_an_orphan_and_leaves_what_lives(self, store, files):
        pack = ask(files)
        pack_files(pack_id=pack.id)
        orphan = f"zips/{uuid.uuid4()}"
        store.put(orphan, io.BytesIO(b"1"), content_type="x/y")
        later = Link.objects.get().expires_at - timedelta(seconds=5)
        housekeeping.sweep("reconcile", now=later)
        purge_all()
        assert orphan not in keys(store)
        assert pack.key in keys(store)
        assert is_right(store, files)

    def test_discards_a_pack_whose_zip_has_vanished(self, store, files):
        pack = ask(files)
        pack_files(pack_id=pack.id)
        store.delete([pack.key])
        later = Link.objects.get().expires_at - timedelta(seconds=5)
        assert housekeeping.sweep("reconcile", now=later).vanished == 1
        assert not Pack.objects.exists()
        assert Upload.objects.count() == 3

    def test_leaves_one_that_is_being_made(self, store, files, monkeypatch):
        step_by_step(monkeypatch)
        pack = ask(files)
        pack_files(pack_id=pack.id)
        later = Link.objects.get().expires_at - timedelta(seconds=5)
        found = housekeeping.sweep("reconcile", now=later)
        assert (found.vanished, found.orphaned, found.aborted) == (0, 0, 0)
        make(pack)
        assert is_right(store, files)
        assert not PurgeKey.objects.filter(key=pack.key).exists()
