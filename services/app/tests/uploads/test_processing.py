"""The image job: one attempt at a time, what it stores, and what is left of one that was killed."""

import os
import tempfile
import time
import uuid

import pytest
from django.db.models.functions import Now

from support.samples import keys, picture, purge_all, used_bytes
from uploads import discard, processing
from uploads.errors import StorageUnavailable
from uploads.models import Kind, State, Upload
from uploads.sweeps import housekeeping

pytestmark = pytest.mark.django_db


class Killed(BaseException):
    """As a SIGKILL: nothing catches it."""


def killed(*args, begin, **kwargs):
    begin()
    raise Killed


def test_a_ready_image_has_exactly_its_two_objects(store, ready):
    upload = ready()
    purge_all()
    assert upload.state == State.READY
    assert keys(store) == {f"images/{upload.id}", f"thumbs/{upload.id}"}


def test_one_that_cannot_be_decoded_says_why_and_pushes_nothing_out(store, ready, receive):
    kept = {ready().id for _ in range(3)}
    broken = receive("image", picture()[:60])
    assert processing.make_image_safe(upload_id=broken.id) == State.REJECTED
    assert Upload.objects.get(id=broken.id).reason
    assert set(Upload.objects.filter(state=State.READY).values_list("id", flat=True)) == kept


def test_a_fourth_image_leaves_the_three_newest_and_their_objects(store, ready):
    images = [ready() for _ in range(4)]
    purge_all()
    left = set(Upload.objects.values_list("id", flat=True))
    assert left == {image.id for image in images[1:]}
    assert keys(store) == {f"{p}/{i}" for i in left for p in ("images", "thumbs")}


def test_a_second_message_does_nothing(store, ready):
    upload = ready()
    assert processing.make_image_safe(upload_id=upload.id) is None


def test_an_image_in_hand_is_left_alone(store, receive):
    upload = receive("image")
    assert processing.lease_image(upload.id)
    assert processing.make_image_safe(upload_id=upload.id) is None


def test_one_handed_back_is_free_at_once_and_its_attempt_is_not_counted(
    store, receive, monkeypatch
):
    upload = receive("image")
    monkeypatch.setattr(processing.images, "make_safe", killed)
    for _ in range(4):  # more often than an image that kills the worker is tried
        with pytest.raises(Killed):
            processing.make_image_safe(upload_id=upload.id)
        processing.hand_back_image(upload_id=upload.id)
        assert housekeeping.find_due().images == [upload.id]
    monkeypatch.undo()
    assert processing.make_image_safe(upload_id=upload.id) == State.READY


def test_one_that_is_done_or_waits_is_not_handed_back(store, receive):
    upload = receive("image")
    processing.hand_back_image(upload_id=upload.id)
    assert housekeeping.find_due().images == []
    processing.make_image_safe(upload_id=upload.id)
    processing.hand_back_image(upload_id=upload.id)
    row = Upload.objects.get()
    assert (row.state, row.attempts, row.lease_until) == (State.READY, 0, None)


def test_one_that_kills_the_worker_each_time_is_rejected_after_three_attempts(
    store, receive, monkeypatch
):
    upload = receive("image")
    monkeypatch.setattr(processing.images, "make_safe", killed)
    for attempt in (1, 2, 3):
        with pytest.raises(Killed):
            processing.make_image_safe(upload_id=upload.id)
        row = Upload.objects.get()
        assert (row.attempts, row.state) == (attempt, State.CHECKING)
        Upload.objects.update(lease_until=Now())
    processing.make_image_safe(upload_id=upload.id)
    row = Upload.objects.get()
    assert row.state == State.REJECTED
    assert "three times" in row.reason


def test_what_a_killed_attempt_left_on_the_disk_goes_and_one_at_work_stays(
    store, monkeypatch, tmp_path
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("killed", "at-work"):
        tmp_path.joinpath(f"s3tasks-image-{name}").mkdir()
        tmp_path.joinpath(f"s3tasks-image-{name}", "incoming").write_bytes(picture())
    hour_ago = time.time() - 3600
    os.utime(tmp_path / "s3tasks-image-killed", (hour_ago, hour_ago))
    housekeeping.sweep("reconcile")
    assert [folder.name for folder in tmp_path.glob("s3tasks-*")] == ["s3tasks-image-at-work"]


def test_a_storage_that_does_not_answer_costs_no_attempt(s3, receive):
    upload = receive("image")
    right, s3.bucket = s3.bucket, "gone"
    with pytest.raises(StorageUnavailable):
        processing.make_image_safe(upload_id=upload.id)
    s3.bucket = right
    assert Upload.objects.get().attempts == 0


def test_a_row_that_goes_meanwhile_leaves_no_object(store, receive, owner, monkeypatch):
    upload = receive("image")
    make_safe = processing.images.make_safe

    def discarded_meanwhile(*args, **kwargs):
        discard.clear_uploads(owner=owner, kind=Kind.IMAGE)
        purge_all()
        return make_safe(*args, **kwargs)

    monkeypatch.setattr(processing.images, "make_safe", discarded_meanwhile)
    assert processing.make_image_safe(upload_id=upload.id) is None
    purge_all()
    assert (keys(store), used_bytes()) == (set(), 0)


def test_a_run_whose_lease_was_given_away_changes_nothing(store, receive, monkeypatch):
    upload = receive("image")
    make_safe = processing.images.make_safe

    def slow(*args, **kwargs):
        Upload.objects.update(lease=uuid.uuid4())
        return make_safe(*args, **kwargs)

    monkeypatch.setattr(processing.images, "make_safe", slow)
    assert processing.make_image_safe(upload_id=upload.id) is None
    assert Upload.objects.get().state == State.CHECKING
