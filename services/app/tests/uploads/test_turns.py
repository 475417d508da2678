"""One sweep at a time, in turns that images need not wait for, and none twice."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
import uuid

import psycopg2
import pytest
from django.db import connection
from django.db.models.functions import Now

from support import APP
from support.samples import keys
from uploads import discard, leases, processing, tasks
from uploads.models import PurgeKey, Sweep, Upload
from uploads.sweeps import clocks, expire, housekeeping, purge, reconcile, turns

pytestmark = pytest.mark.django_db(transaction=True)

SWEEPS = ["expire", "purge", "reconcile"]


@pytest.fixture
def another():
    """Another worker's session."""
    other = psycopg2.connect(**connection.get_connection_params() | {"cursor_factory": None})
    yield other
    other.close()


def take_turn(session) -> None:
    with session.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", turns.LOCK)


def wait_until(what) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ticks(monkeypatch, count: int) -> list[str]:
    """What so many ticks send."""
    sent: list[str] = []
    for name in SWEEPS:
        task = getattr(tasks, name)
        monkeypatch.setattr(task, "apply_async", lambda args, kw, name=name: sent.append(name))
    for _ in range(count):
        tasks.tick()
    return sent


def make_all_due(receive) -> None:
    receive("file", b"x")
    Upload.objects.update(expires_at=Now())
    discard.queue_key("files/a", size_bytes=0)


class TestOneAtATime:
    @pytest.mark.parametrize("name", SWEEPS)
    def test_a_sweep_leaves_the_one_that_is_at_it_alone(self, store, another, name):
        take_turn(another)
        assert housekeeping.sweep(name) is None
        another.close()
        wait_until(lambda: housekeeping.sweep(name) is not None)

    @pytest.mark.parametrize("name", SWEEPS)
    @pytest.mark.parametrize("fails", [False, True])
    def test_a_sweep_gives_its_turn_up(self, store, another, monkeypatch, name, fails):
        if fails:
            for within in ("expire.expire_batch", "purge.lease_keys", "reconcile.recount_bytes"):
                monkeypatch.setattr(f"uploads.sweeps.{within}", lambda *_: 1 / 0)
            discard.queue_key("files/a", size_bytes=0)
            with pytest.raises(ZeroDivisionError):
                housekeeping.sweep(name)
        else:
            housekeeping.sweep(name)
        assert not turns.taken()
        take_turn(another)
        assert turns.taken()

    def test_while_one_is_at_it_no_tick_sends_another(self, store, receive, another, monkeypatch):
        make_all_due(receive)
        take_turn(another)
        assert ticks(monkeypatch, 5) == []

    def test_while_a_message_waits_no_tick_sends_another(self, store, receive, monkeypatch):
        make_all_due(receive)
        assert len(ticks(monkeypatch, 5)) == 1

    def test_a_message_that_was_lost_is_sent_again(self, store, receive, monkeypatch):
        make_all_due(receive)
        assert len(ticks(monkeypatch, 2)) == 1
        Sweep.objects.filter(told_until__isnull=False).update(told_until=Now())
        assert len(ticks(monkeypatch, 2)) == 1

    def test_a_clock_that_was_set_back_holds_no_message_up(self, store, receive, monkeypatch):
        make_all_due(receive)
        hour = 120 * turns.TOLD
        Sweep.objects.create(name="purge", told_until=Now() + hour, last_error_at=Now() + hour)
        Sweep.objects.create(name="reconcile", last_ok=Now() + hour)
        due = housekeeping.find_due()
        assert due.sweeps == SWEEPS
        assert ticks(monkeypatch, 1)

    def test_those_that_are_due_take_turns(self, store, receive, monkeypatch):
        make_all_due(receive)
        sent = []
        for _ in range(4):
            sent += ticks(monkeypatch, 1)
            Sweep.objects.filter(name=sent[-1]).update(told_until=None, last_ok=Now())
            Sweep.objects.filter(name="reconcile").update(progress="{}")
        assert set(sent[:3]) == set(SWEEPS)
        assert sent[3] == sent[0]

    def test_what_is_killed_holds_nobody_up(self, s3, another):
        """SIGKILL in the middle of a sweep: its session ends with it."""
        code = (
            "import django; django.setup()\n"
            "from uploads.sweeps import housekeeping, turns\nimport time\n"
            "with turns.turn('purge', lambda: False) as mine:\n"
            "    print(mine is not None, flush=True); time.sleep(600)\n"
        )
        url = connection.get_connection_params()
        database = f"postgres://{url['user']}@{url['host'].replace('/', '%2F')}/{url['dbname']}"
        with subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=APP,
            env={**os.environ, "DATABASE_URL": database},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout.readline() == "True\n"
            assert turns.taken()
            assert housekeeping.sweep("purge") is None
            process.send_signal(signal.SIGKILL)
        wait_until(lambda: housekeeping.sweep("purge") is not None)


class TestRest:
    """A sweep takes a rest where others wait, and goes on from there."""

    @pytest.fixture
    def impatient(self, monkeypatch):
        """Somebody waits always, and a sweep has no time of its own."""
        monkeypatch.setattr(turns, "LEAST", 0.0)
        monkeypatch.setattr(turns, "image_waits", lambda: True)

    def test_a_turn_is_over_once_somebody_waits(self, monkeypatch):
        waits = []
        turn = turns.Turn(lambda: bool(waits))
        assert not turn.over()
        waits.append(1)
        assert not turn.over()  # nobody waited for so long
        turn.began -= turns.LEAST
        assert turn.over()
        waits.clear()
        assert not turn.over()
        turn.began -= turns.MOST
        assert turn.over()

    def test_an_image_waits_once_no_slot_takes_it(self, store, receive):
        upload = receive("image")
        assert not turns.image_waits()  # told a moment ago
        Upload.objects.update(lease_until=Now() + leases.RETELL_AFTER - turns.IMAGE_WAITS)
        assert turns.image_waits()
        processing.lease_image(upload.id)
        assert not turns.image_waits()

    def test_a_purge_leaves_the_rest_to_its_next_turn(self, store, impatient, monkeypatch):
        monkeypatch.setattr(purge, "DELETE_MAX", 2)
        over = iter([False, False, True] * 100)
        monkeypatch.setattr(turns.Turn, "over", lambda self: next(over))
        for number in range(9):
            discard.queue_key(f"files/{number}", size_bytes=0)
        assert housekeeping.sweep("purge") == 4
        assert "purge" in housekeeping.find_due().sweeps

    def test_a_reconcile_comes_to_its_end_in_many_turns(self, store, receive, monkeypatch):
        uploads = [receive("file", b"x") for _ in range(6)]
        orphans = [
            f"{prefix}/{uuid.uuid4()}" for prefix in ("files", "files", "incoming", "thumbs")
        ]
        odd = ["files/not an id", "images/é"]
        for key in [*orphans, *odd]:
            store.put(key, io.BytesIO(b"x"), content_type="text/plain")
        store.delete([uploads[0].served_key, uploads[5].served_key])
        listing = store.pages

        def one_by_one(prefix, after=""):
            for page in listing(prefix, after):
                yield from ([found] for found in page)

        monkeypatch.setattr(store, "pages", one_by_one)
        later = clocks.database_clock() + 3 * reconcile.GRACE
        turn_count = 0
        asked = iter(range(10**6))
        # Each turn does one step: it is over from the second time that it is asked.
        monkeypatch.setattr(turns.Turn, "over", lambda self: next(asked) % 2 == 1)
        while True:
            done = housekeeping.sweep("reconcile", now=later)
            turn_count += 1
            assert turn_count < 60
            if not Sweep.objects.get(name="reconcile").progress:
                break
            assert "reconcile" in housekeeping.find_due().sweeps
        assert turn_count > 3
        assert (done.vanished, done.orphaned) == (2, 6)
        monkeypatch.undo()
        Sweep.objects.update(progress="")
        housekeeping.sweep("purge")
        assert keys(store) == {upload.served_key for upload in uploads[1:5]}
        assert "reconcile" not in housekeeping.find_due().sweeps  # for RECONCILE_EVERY

    @pytest.mark.parametrize("progress", ["{}", "[]", "null", "no JSON", '{"done": {"x": 1}}'])
    def test_a_rest_that_nobody_understands_is_no_end(self, store, progress):
        """It is from another release."""
        orphan = f"files/{uuid.uuid4()}"
        store.put(orphan, io.BytesIO(b"x"), content_type="text/plain")
        Sweep.objects.create(name="reconcile", progress=progress)
        assert (
            housekeeping.sweep(
                "reconcile", now=clocks.database_clock() + 3 * reconcile.GRACE
            ).orphaned
            == 1
        )
        assert Sweep.objects.get(name="reconcile").progress == ""

    def test_a_reconcile_that_failed_on_its_way_did_not_do_well(self, store, monkeypatch):
        listing = store.pages

        def fails(prefix, after=""):
            if prefix == "files":
                raise ValueError("odd")
            return listing(prefix, after)

        with monkeypatch.context() as patch:
            patch.setattr(store, "pages", fails)
            patch.setattr(reconcile.marker, "pair", lambda: None)
            asked = iter(range(10**6))
            patch.setattr(turns.Turn, "over", lambda self: next(asked) % 2 == 1)
            with pytest.raises(ValueError, match="odd"):
                housekeeping.sweep("reconcile")
            assert Sweep.objects.get(name="reconcile").progress
            while Sweep.objects.get(name="reconcile").progress:
                housekeeping.sweep("reconcile")
        assert Sweep.objects.get(name="reconcile").last_ok is None
        housekeeping.sweep("reconcile")
        assert Sweep.objects.get(name="reconcile").last_ok is not None


class TestHalves:
    """What fails in a sweep does not stop the rest of it."""

    @pytest.mark.parametrize("bad", ["files", "images", "incoming", "thumbs"])
    def test_a_listing_that_fails(self, store, receive, monkeypatch, bad):
        from uploads.errors import StorageUnavailable

        for prefix in ("files", "images", "incoming", "thumbs"):
            store.put(f"{prefix}/{uuid.uuid4()}", io.BytesIO(b"x"), content_type="text/plain")
        listing = store.pages

        def list_(prefix, after=""):
            if prefix == bad and turns.taken():
                raise StorageUnavailable("no", cause="SlowDown on ListObjectsV2")
            return listing(prefix, after)

        monkeypatch.setattr(reconcile.marker, "pair", reconcile.marker.check_ours)
        monkeypatch.setattr(store, "pages", list_)
        with pytest.raises(StorageUnavailable):
            housekeeping.sweep("reconcile", now=clocks.database_clock() + 3 * reconcile.GRACE)
        assert (
            f"{bad}/: SlowDown on ListObjectsV2" in Sweep.objects.get(name="reconcile").last_error
        )
        housekeeping.sweep("purge")
        assert {key.partition("/")[0] for key in keys(store)} == {bad}

    @pytest.mark.parametrize(
        "part",
        [
            "housekeeping.remove_leftovers",
            "reconcile.abort_forgotten_parts",
            "walk.discard_vanished",
            "walk.queue_key",
        ],
    )
    def test_a_part_that_fails(self, store, receive, monkeypatch, part):
        vanished = receive("file", b"x")
        store.delete([vanished.served_key])
        orphan = f"files/{uuid.uuid4()}"
        store.put(orphan, io.BytesIO(b"x"), content_type="text/plain")
        reconcile.Installation.objects.update(used_bytes=999)

        def fail(*_, **__):
            raise OSError("no such luck")

        monkeypatch.setattr(f"uploads.sweeps.{part}", fail)
        with pytest.raises(OSError, match="no such luck"):
            housekeeping.sweep("reconcile", now=clocks.database_clock() + 3 * reconcile.GRACE)
        row = Sweep.objects.get(name="reconcile")
        assert "no such luck" in row.last_error
        assert row.last_ok is None
        assert reconcile.Installation.objects.get().used_bytes == 1
        if part != "walk.discard_vanished":
            assert Upload.objects.count() == 0
        if part != "walk.queue_key":
            assert PurgeKey.objects.filter(key=orphan).exists()

    def test_an_abort_that_fails(self, store, monkeypatch):
        from uploads.errors import StorageUnavailable

        begun = {
            f"files/{n}": store.begin_parts(f"files/{n}", content_type="a/b") for n in range(4)
        }
        real = store.abort_parts

        def abort(key, multipart_id):
            if key == "files/1":
                raise StorageUnavailable("no", cause="AccessDenied on AbortMultipartUpload")
            real(key, multipart_id)

        monkeypatch.setattr(store, "abort_parts", abort)
        done = housekeeping.sweep("reconcile", now=clocks.database_clock() + 3 * reconcile.GRACE)
        assert done.aborted == 3
        left = [parts.key for page in store.list_parts() for parts in page]
        assert left == ["files/1"]
        assert begun
        said = Sweep.objects.get(name="reconcile").last_error
        assert "files/1 stays: AccessDenied on AbortMultipartUpload" in said

    def test_one_row_that_nobody_can_answer_for(self, store, receive, monkeypatch):
        from uploads.errors import StorageUnavailable

        uploads = [receive("file", b"x") for _ in range(3)]
        store.delete([upload.served_key for upload in uploads])
        real = store.head

        def head(key):
            if key == uploads[1].served_key:
                raise StorageUnavailable("no", cause="403 on HeadObject")
            return real(key)

        monkeypatch.setattr(store, "head", head)
        with pytest.raises(StorageUnavailable):
            housekeeping.sweep("reconcile", now=clocks.database_clock() + 3 * reconcile.GRACE)
        assert list(Upload.objects.values_list("id", flat=True)) == [uploads[1].id]

    @pytest.mark.parametrize("task", [tasks.expire, tasks.purge, tasks.reconcile])
    def test_an_expiry_that_fails_does_not_stop_what_comes_after(self, store, monkeypatch, task):
        discard.queue_key("files/a", size_bytes=0)
        monkeypatch.setattr(expire, "expire_batch", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            task()
        assert PurgeKey.objects.count() == 0
        assert Sweep.objects.filter(name="reconcile").exists() == (task is tasks.reconcile)

    @pytest.mark.parametrize("task", [tasks.expire, tasks.purge, tasks.reconcile])
    def test_whichever_is_handed_over_what_has_expired_goes(self, store, receive, task):
        make_all_due(receive)
        task()
        assert (Upload.objects.count(), PurgeKey.objects.count()) == (0, 0)


class TestLocked:
    def test_keys_in_another_transactions_hands_are_left_there(self, store, another):
        discard.queue_key("files/a", size_bytes=0)
        with another.cursor() as cursor:
            cursor.execute("SELECT * FROM uploads_purgekey FOR UPDATE")
        done = []
        thread = threading.Thread(target=lambda: done.append(self.purge()))
        thread.start()
        thread.join(10)
        assert done == [0]

    def purge(self) -> int | None:
        try:
            return housekeeping.sweep("purge")
        finally:
            connection.close()
