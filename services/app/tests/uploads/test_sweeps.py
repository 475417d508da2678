"""Expire, purge and reconcile, and what stops them."""

import io
import uuid
from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from support.samples import keys
from uploads import discard, processing
from uploads.arrivals.claim import claim_upload
from uploads.bucket import marker
from uploads.errors import BucketMismatch, StorageUnavailable, TooMuchToRemove
from uploads.limits import check_claim
from uploads.models import Installation, Kind, PurgeKey, State, Sweep, Upload
from uploads.sweeps import clocks, expire, housekeeping, purge, report, walk

pytestmark = pytest.mark.django_db

LATER = timedelta(hours=1)


def after_the_grace():
    return clocks.database_clock() + timedelta(minutes=2)


def store_object(store, key: str) -> None:
    store.put(key, io.BytesIO(b"x"), content_type="text/plain")


class TestExpire:
    @pytest.mark.parametrize(
        ("offset", "gone"),
        [(timedelta(microseconds=-1), 0), (timedelta(0), 1), (timedelta(microseconds=1), 1)],
        ids=["before", "exactly at", "after"],
    )
    def test_an_upload_goes_when_its_time_has_come(self, store, receive, offset, gone):
        upload = receive("file", b"x")
        assert housekeeping.sweep("expire", now=upload.expires_at + offset) == gone
        assert Upload.objects.live(now=upload.expires_at + offset).count() == 1 - gone

    def test_one_whose_bytes_never_came_goes_at_its_deadline(self, owner):
        claim = claim_upload(check_claim(owner=owner, kind=Kind.FILE, filename="a", size_bytes=1))
        claim.refresh_from_db()
        assert housekeeping.sweep("expire", now=claim.deadline - timedelta(seconds=1)) == 0
        assert housekeeping.sweep("expire", now=claim.deadline) == 1

    def test_a_pending_upload_waits_for_a_slow_line(self, owner):
        claim = claim_upload(
            check_claim(owner=owner, kind=Kind.FILE, filename="a", size_bytes=64 * 1024 * 100)
        )
        claim.refresh_from_db()
        patience = claim.deadline - claim.created_at
        assert timedelta(seconds=399) < patience < timedelta(seconds=401)

    def test_more_than_a_batch_goes_in_one_run(self, store, receive, monkeypatch):
        monkeypatch.setattr(expire, "BATCH", 2)
        for _ in range(5):
            receive("file", b"x")
        assert housekeeping.sweep("expire", now=clocks.database_clock() + LATER) == 5


class TestPurge:
    def test_what_is_expired_is_gone_from_storage(self, store, receive):
        receive("file", b"x")
        housekeeping.sweep("expire", now=clocks.database_clock() + LATER)
        assert housekeeping.sweep("purge") == 1
        assert keys(store) == set()

    def test_a_key_that_is_not_there_is_forgotten(self, store):
        discard.queue_key("files/none", size_bytes=0)
        assert housekeeping.sweep("purge") == 1

    def test_more_than_a_thousand_keys_go_in_one_run(self, store):
        for number in range(1001):
            discard.queue_key(f"files/{number}", size_bytes=0)
        assert housekeeping.sweep("purge") == 1001

    def test_a_key_that_storage_keeps_is_tried_later_and_later(self, s3, monkeypatch):
        monkeypatch.setattr(s3, "delete", lambda keys: dict.fromkeys(keys, "AccessDenied"))
        discard.queue_key("files/a", size_bytes=7)
        waits = []
        for _ in range(8):
            PurgeKey.objects.update(not_before=Now())
            assert housekeeping.sweep("purge") == 0
            row = PurgeKey.objects.annotate(wait=F("not_before") - Now()).get()
            waits.append(row.wait.total_seconds())
        # Some seconds less where the machine has much else to do.
        assert waits == pytest.approx([30, 60, 120, 240, 480, 960, 960, 960], abs=10)

    @pytest.mark.parametrize("attempts", [30, 31, 62, 1023, 1024, 100_000, 2**31 - 2])
    def test_a_key_is_tried_however_often_it_was(self, store, attempts):
        store_object(store, "files/a")
        discard.queue_key("files/a", size_bytes=0)
        PurgeKey.objects.update(attempts=attempts)
        assert housekeeping.sweep("purge") == 1
        assert keys(store) == set()

    def test_a_run_that_is_killed_leaves_its_keys_to_the_next(self, store):
        discard.queue_key("files/a", size_bytes=0)
        store_object(store, "files/a")
        leased = purge.lease_keys(clocks.database_clock())
        assert list(leased) == ["files/a"]
        assert housekeeping.sweep("purge") == 0  # in hand
        assert housekeeping.sweep("purge", now=clocks.database_clock() + purge.PURGE_LEASE) == 1
        assert keys(store) == set()

    def test_a_storage_that_does_not_answer_costs_no_attempt(self, s3):
        discard.queue_key("files/a", size_bytes=0)
        s3.bucket = "gone"
        with pytest.raises(StorageUnavailable):
            housekeeping.sweep("purge")
        assert PurgeKey.objects.get().attempts == 0
        assert Sweep.objects.get(name="purge").last_error

    def test_a_tick_waits_before_it_asks_a_storage_again_that_did_not_answer(self, s3):
        discard.queue_key("files/a", size_bytes=0)
        assert "purge" in housekeeping.find_due().sweeps
        right, s3.bucket = s3.bucket, "gone"
        with pytest.raises(StorageUnavailable):
            housekeeping.sweep("purge")
        assert "purge" not in housekeeping.find_due().sweeps
        Sweep.objects.update(last_error_at=Now() - report.RETRY_AFTER)
        assert "purge" in housekeeping.find_due().sweeps
        s3.bucket = right
        assert housekeeping.sweep("purge") == 1


class TestLook:
    def test_an_empty_database_has_nothing_due(self):
        assert housekeeping.find_due() == housekeeping.Due(
            sweeps=["reconcile"], images=[], packs=[]
        )

    def test_a_worker_is_told_again_of_an_image_once_its_lease_has_run_out(self, store, receive):
        upload = receive("image")
        assert housekeeping.find_due().images == []
        Upload.objects.update(lease_until=Now())
        assert housekeeping.find_due().images == [upload.id]
        assert housekeeping.find_due().images == []  # told just now
        assert processing.make_image_safe(upload_id=upload.id) == State.READY

    def test_something_expired_is_due(self, store, receive):
        receive("file", b"x")
        Upload.objects.update(expires_at=Now())
        assert "expire" in housekeeping.find_due().sweeps


class TestReconcile:
    def test_agreement_changes_nothing(self, store, receive, ready):
        ready()
        receive("image")
        receive("file", b"x")
        housekeeping.sweep("purge")
        before = keys(store)
        done = housekeeping.sweep("reconcile", now=after_the_grace())
        assert (done.vanished, done.orphaned) == (0, 0)
        housekeeping.sweep("purge")
        assert keys(store) == before

    def test_rows_whose_objects_vanished_go_even_all_of_them(self, store, ready):
        images = [ready() for _ in range(3)]
        store.delete([image.served_key for image in images])
        assert housekeeping.sweep("reconcile", now=after_the_grace()).vanished == 3
        housekeeping.sweep("purge")
        assert (Upload.objects.count(), keys(store)) == (0, set())

    @pytest.mark.parametrize("prefix", ["images", "thumbs"])
    def test_one_object_of_an_image_is_enough(self, store, ready, prefix):
        store.delete([f"{prefix}/{ready().id}"])
        assert housekeeping.sweep("reconcile", now=after_the_grace()).vanished == 1

    def test_an_image_whose_incoming_object_vanished_goes(self, store, receive):
        store.delete([receive("image").incoming_key])
        assert housekeeping.sweep("reconcile", now=after_the_grace()).vanished == 1

    def test_what_is_younger_than_the_grace_is_left_alone(self, store, receive):
        store.delete([receive("file", b"x").served_key])
        store_object(store, f"files/{uuid.uuid4()}")
        done = housekeeping.sweep("reconcile")
        assert (done.vanished, done.orphaned) == (0, 0)

    def test_an_object_without_a_row_goes_whatever_it_is_called(self, store):
        for key in (f"files/{uuid.uuid4()}", "images/x", f"thumbs/{uuid.uuid4()}.part"):
            store_object(store, key)
        assert housekeeping.sweep("reconcile", now=after_the_grace()).orphaned == 3
        housekeeping.sweep("purge")
        assert keys(store) == set()

    def test_bytes_that_come_again_after_an_image_is_ready_go(self, store, ready):
        upload = ready()
        housekeeping.sweep("purge")
        store_object(store, upload.incoming_key)
        assert housekeeping.sweep("reconcile", now=after_the_grace()).orphaned == 1

    def test_bytes_that_come_after_the_delete_go(self, store, receive, owner):
        upload = receive("file", b"x")
        discard.discard_upload(upload_id=upload.id, owner=owner)
        housekeeping.sweep("purge")
        store_object(store, upload.served_key)
        assert housekeeping.sweep("reconcile", now=after_the_grace()).orphaned == 1
        housekeeping.sweep("purge")
        assert keys(store) == set()

    def test_the_marker_stays(self, store):
        housekeeping.sweep("reconcile", now=after_the_grace())
        assert marker.read_marker() == str(Installation.objects.get().marker)

    def test_a_listing_that_lacks_what_is_there_removes_nothing(self, store, receive, monkeypatch):
        receive("file", b"x")
        monkeypatch.setattr(store, "pages", lambda prefix, after="": iter([[]]))
        assert housekeeping.sweep("reconcile", now=after_the_grace()).vanished == 0
        assert Upload.objects.count() == 1

    def test_pages_are_walked_to_their_end_on_both_sides(self, store, receive, monkeypatch):
        uploads = [receive("file", b"x") for _ in range(7)]
        orphan = f"files/{uuid.uuid4()}"
        store_object(store, orphan)
        listing = store.pages

        def in_pages_of_two(prefix, after=""):
            found = [stored for page in listing(prefix, after) for stored in page]
            yield from (found[i : i + 2] for i in range(0, len(found), 2))

        monkeypatch.setattr(store, "pages", in_pages_of_two)
        store.delete([uploads[0].served_key, uploads[4].served_key])
        done = housekeeping.sweep("reconcile", now=after_the_grace())
        assert (done.vanished, done.orphaned) == (2, 1)
        assert set(PurgeKey.objects.values_list("key", flat=True)) == {
            orphan,
            uploads[0].served_key,
            uploads[4].served_key,
        }

    def test_a_large_bucket_takes_no_longer_queries(
        self, store, receive, monkeypatch, django_assert_num_queries
    ):
        uploads = [receive("file", b"x") for _ in range(6)]
        listing = store.pages
        monkeypatch.setattr(
            store, "pages", lambda *args: ([found] for page in listing(*args) for found in page)
        )
        later = after_the_grace()
        with django_assert_num_queries(7) as captured:
            seen = [list(window) for _, window in walk.walk("files", later)]
        assert [upload for window in seen for upload in window] == sorted(
            uploads, key=lambda upload: upload.id
        )
        assert len({len(query["sql"]) for query in captured[:-1]}) == 1

    def test_a_missing_bucket_removes_no_row_and_says_so(self, s3, receive):
        receive("file", b"x")
        s3.bucket = "gone"
        with pytest.raises(StorageUnavailable):
            housekeeping.sweep("reconcile", now=after_the_grace())
        assert Upload.objects.count() == 1
        assert Sweep.objects.get(name="reconcile").last_error

    def test_a_folder_that_is_not_mounted_removes_no_row(self, disk, receive):
        receive("file", b"x")
        disk.root.rename(disk.root.with_name("elsewhere"))
        with pytest.raises(StorageUnavailable):
            housekeeping.sweep("reconcile", now=after_the_grace())
        assert Upload.objects.count() == 1

    def test_an_emptied_bucket_takes_its_rows_along(self, store, receive):
        upload = receive("file", b"x")
        store.delete([upload.served_key, "marker"])
        assert housekeeping.sweep("reconcile", now=after_the_grace()).vanished == 1

    def test_a_loss_of_more_than_a_fifth_and_a_hundred_stops_and_says_so(
        self, store, receive, monkeypatch, settings
    ):
        settings.MAX_VISITOR_UPLOADS = 10
        monkeypatch.setattr(walk, "ALARM_ABOVE", 2)
        uploads = [receive("file", b"x") for _ in range(10)]
        store.delete([upload.served_key for upload in uploads[:3]])
        with pytest.raises(TooMuchToRemove):
            housekeeping.sweep("reconcile", now=after_the_grace())
        assert Upload.objects.count() == 10
        assert "3 of 10 rows" in Sweep.objects.get(name="reconcile").last_error

    def test_a_fifth_itself_goes(self, store, receive, monkeypatch):
        monkeypatch.setattr(walk, "ALARM_ABOVE", 1)
        uploads = [receive("file", b"x") for _ in range(10)]
        store.delete([upload.served_key for upload in uploads[:2]])
        assert housekeeping.sweep("reconcile", now=after_the_grace()).vanished == 2

    def test_too_many_objects_without_a_row_stop_it_as_well(self, store, monkeypatch):
        monkeypatch.setattr(walk, "ALARM_ABOVE", 2)
        for _ in range(3):
            store_object(store, f"files/{uuid.uuid4()}")
        with pytest.raises(TooMuchToRemove):
            housekeeping.sweep("reconcile", now=after_the_grace())
        assert PurgeKey.objects.count() == 0

    def test_the_usage_row_is_counted_anew(self, store, receive):
        receive("file", b"12345")
        discard.queue_key("files/a", size_bytes=7)
        Installation.objects.update(used_bytes=999)
        housekeeping.sweep("reconcile")
        assert Installation.objects.get().used_bytes == 12


class TestForeignBucket:
    @pytest.fixture
    def foreign(self, store, receive):
        """A bucket with another installation's marker, to which this database is pointed."""
        upload = receive("file", b"x")
        store_object(store, f"files/{uuid.uuid4()}")
        store.put("marker", io.BytesIO(str(uuid.uuid4()).encode()), content_type="text/plain")
        return upload

    def test_nothing_in_it_is_removed_and_each_sweep_says_why(self, store, foreign):
        before = keys(store)
        housekeeping.sweep("expire", now=clocks.database_clock() + LATER)
        for name in ("purge", "reconcile"):
            with pytest.raises(BucketMismatch, match="belongs to the installation"):
                housekeeping.sweep(name, now=after_the_grace())
        assert keys(store) == before
        for name in ("purge", "reconcile"):
            assert "belongs to the installation" in Sweep.objects.get(name=name).last_error

    def test_no_row_is_removed_either(self, store, foreign):
        store.delete([foreign.served_key])
        with pytest.raises(BucketMismatch):
            housekeeping.sweep("reconcile", now=after_the_grace())
        assert Upload.objects.count() == 1

    def test_a_new_database_does_not_adopt_a_bucket_with_uploads(self, store, foreign):
        Installation.objects.update(marker=None)
        with pytest.raises(BucketMismatch):
            marker.pair()
        assert Installation.objects.get().marker is not None

    def test_a_new_database_adopts_an_empty_bucket(self, store):
        ours = Installation.objects.get().marker
        Installation.objects.update(marker=None)
        assert marker.pair() == ours

    def test_its_owner_may_take_it(self, store, foreign):
        marker.pair(take=True)
        marker.check_ours()


@pytest.mark.django_db(transaction=True)
class TestAlone:
    def test_a_second_reconcile_leaves_the_first_alone(self, store):
        import psycopg2
        from django.db import connection

        other = psycopg2.connect(**connection.get_connection_params() | {"cursor_factory": None})
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(1, 1)")
        assert housekeeping.sweep("reconcile") is None
        other.close()
        for _ in range(100):
            if done := housekeeping.sweep("reconcile"):
                break
        assert done
