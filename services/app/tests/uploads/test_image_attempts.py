"""Whose fault it was that an attempt at an image ended, and what becomes of the image."""

import pytest
from django.db import DatabaseError
from django.db.models.functions import Now

from support import PICTURES
from support.samples import picture
from uploads import processing
from uploads.errors import DecoderBroken, DecoderStopped, NotItsTurn, StorageUnavailable
from uploads.models import State, Upload
from uploads.sweeps import housekeeping

pytestmark = pytest.mark.django_db


def again() -> None:
    """As much later as a worker is told of it again."""
    Upload.objects.update(lease_until=Now())
    assert housekeeping.find_due().images


OURS = {
    "storage does not answer": StorageUnavailable("It does not answer."),
    "the database is gone": DatabaseError("terminating connection"),
    "the disk is full": OSError(28, "No space left on device"),
    "the decoder does not start": DecoderBroken("The decoder has ended."),
}


@pytest.mark.parametrize("fault", OURS)
@pytest.mark.parametrize("step", ["fetch", "make_safe", "put_file", "finish_image"])
def test_a_fault_of_ours_counts_against_no_image_however_often(
    s3, receive, monkeypatch, step, fault
):
    upload = receive("image")

    def fail(*args, **kwargs):
        kwargs.get("begin", lambda: None)()
        raise OURS[fault]

    part = {"fetch": s3, "make_safe": processing.images}.get(step, processing)
    with monkeypatch.context() as broken:
        broken.setattr(part, step, fail)
        for _ in range(2 * processing.IMAGE_ATTEMPTS):
            with pytest.raises(type(OURS[fault])):
                processing.make_image_safe(upload_id=upload.id)
            again()

    assert processing.make_image_safe(upload_id=upload.id) == State.READY


def test_storage_that_takes_no_writes_rejects_no_image(s3, receive, monkeypatch):
    """Reads go on, as on a disk that is full."""
    upload = receive("image")
    right = s3.put

    def put(key, content, **kwargs):
        s3.bucket = "full"  # which answers with an error, over HTTP
        try:
            right(key, content, **kwargs)
        finally:
            s3.bucket = bucket

    bucket = s3.bucket
    with monkeypatch.context() as broken:
        broken.setattr(s3, "put", put)
        for _ in range(4):
            with pytest.raises(StorageUnavailable):
                processing.make_image_safe(upload_id=upload.id)
            again()

    assert Upload.objects.get().attempts == 0
    assert processing.make_image_safe(upload_id=upload.id) == State.READY


def test_what_may_be_the_images_fault_has_three_attempts(s3, receive, monkeypatch):
    upload = receive("image")

    def stopped(*args, **kwargs):
        raise DecoderStopped("signal 9")

    monkeypatch.setattr(processing.images, "make_safe", stopped)
    for attempt in (1, 2, 3):
        with pytest.raises(DecoderStopped):
            processing.make_image_safe(upload_id=upload.id)
        assert Upload.objects.get().attempts == attempt
        again()

    assert processing.make_image_safe(upload_id=upload.id) is None
    assert Upload.objects.get().state == State.REJECTED


def test_an_image_whose_turn_does_not_come_waits_without_an_attempt(s3, receive, monkeypatch):
    upload = receive("image")

    def busy(*args, **kwargs):
        raise NotItsTurn

    with monkeypatch.context() as others:
        others.setattr(processing.images, "make_safe", busy)
        for _ in range(10):
            assert processing.make_image_safe(upload_id=upload.id) is None
            again()
        assert Upload.objects.get().attempts == 0

    assert processing.make_image_safe(upload_id=upload.id) == State.READY


def test_an_image_is_counted_only_when_it_is_its_turn(s3, receive, monkeypatch):
    upload, seen = receive("image"), []
    make_safe = processing.images.make_safe

    def watched(*args, begin, **kwargs):
        def begin_and_look():
            seen.append(Upload.objects.get().attempts)
            begin()
            seen.append(Upload.objects.get().attempts)

        return make_safe(*args, begin=begin_and_look, **kwargs)

    monkeypatch.setattr(processing.images, "make_safe", watched)
    processing.make_image_safe(upload_id=upload.id)

    assert seen == [0, 1]
    assert Upload.objects.get().attempts == 0


def test_an_image_that_another_run_has_meanwhile_is_not_begun(s3, receive, monkeypatch):
    upload = receive("image")
    make_safe = processing.images.make_safe

    def slow(*args, **kwargs):
        Upload.objects.update(lease=upload.id)
        return make_safe(*args, **kwargs)

    monkeypatch.setattr(processing.images, "make_safe", slow)

    assert processing.make_image_safe(upload_id=upload.id) is None
    row = Upload.objects.get()
    assert (row.state, row.attempts, row.lease) == (State.CHECKING, 0, upload.id)


def test_a_damaged_avif_leaves_the_next_images_as_they_were(s3, ready, receive):
    """pyvips raised UnicodeDecodeError for every later picture of that process."""
    poison = receive("image", (PICTURES / "poison-min.avif").read_bytes(), filename="a.avif")
    assert processing.make_image_safe(upload_id=poison.id) == State.REJECTED
    assert "damaged" in Upload.objects.get().reason

    for image_format in ("JPEG", "PNG", "GIF", "WEBP", "AVIF") * 2:
        assert ready(picture(image_format=image_format)).state == State.READY
