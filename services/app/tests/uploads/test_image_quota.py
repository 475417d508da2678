"""What an image has more once it is safe: claimed of the quotas before it is stored."""

import pytest
from django.db.models.functions import Now

from support.samples import keys, picture, used_bytes
from uploads import discard, processing
from uploads.models import State, Upload
from uploads.sweeps import housekeeping

pytestmark = pytest.mark.django_db


@pytest.fixture
def grows(monkeypatch):
    """Each safe image has so many bytes more than its upload: `grows(more)`."""

    def grows(more: int) -> None:
        make_safe = processing.images.make_safe

        def larger(source, folder, **options):
            safe = make_safe(source, folder, **options)
            with safe.image.open("ab") as file:
                file.truncate(source.stat().st_size + more)
            return safe

        monkeypatch.setattr(processing.images, "make_safe", larger)

    return grows


def test_what_an_image_has_more_is_claimed_of_the_total(s3, receive, settings, grows):
    grows(1000)
    upload = receive("image")
    settings.MAX_TOTAL_BYTES = used_bytes() + 1000

    assert processing.make_image_safe(upload_id=upload.id) == State.READY

    size = Upload.objects.get().size_bytes
    assert size == upload.size_bytes + 1000
    Upload.objects.all().delete()
    housekeeping.sweep("purge")
    assert used_bytes() == 0


def test_an_image_for_which_a_byte_is_missing_is_not_stored_and_waits(s3, receive, settings, grows):
    grows(1000)
    upload = receive("image")
    settings.MAX_TOTAL_BYTES = (before := used_bytes()) + 999

    assert processing.make_image_safe(upload_id=upload.id) is None

    assert keys(s3) == {upload.incoming_key}
    assert used_bytes() == before
    settings.MAX_TOTAL_BYTES += 1
    Upload.objects.update(lease_until=Now())
    assert housekeeping.find_due().images == [upload.id]
    assert processing.make_image_safe(upload_id=upload.id) == State.READY


def test_an_image_for_which_there_is_never_room_is_rejected_and_says_so(
    s3, receive, settings, grows
):
    grows(1000)
    upload = receive("image")
    settings.MAX_TOTAL_BYTES = used_bytes()
    for _ in range(processing.IMAGE_ATTEMPTS):
        processing.make_image_safe(upload_id=upload.id)
        Upload.objects.update(lease=None, lease_until=Now())

    row = Upload.objects.get()
    assert (row.state, row.reason) == (State.REJECTED, processing.NO_ROOM)
    housekeeping.sweep("purge")
    assert (keys(s3), used_bytes()) == (set(), 0)


def test_an_attempt_that_ends_after_its_claim_claims_nothing_twice(
    s3, receive, settings, grows, monkeypatch
):
    grows(1000)
    upload = receive("image")
    before = used_bytes()

    def full(*args):
        raise BlockingIOError

    with monkeypatch.context() as broken:
        broken.setattr(processing, "put_file", full)
        for _ in range(3):
            with pytest.raises(BlockingIOError):
                processing.make_image_safe(upload_id=upload.id)
            Upload.objects.update(lease=None, lease_until=Now())
            assert used_bytes() == before + 1000

    assert processing.make_image_safe(upload_id=upload.id) == State.READY
    assert used_bytes() == before + 1000


def test_an_image_that_is_discarded_after_its_claim_gives_it_back(
    s3, receive, grows, monkeypatch, owner
):
    grows(1000)
    upload = receive("image")
    put_file = processing.put_file

    def cleared_meanwhile(*args):
        discard.clear_uploads(owner=owner, kind=upload.kind)
        put_file(*args)

    monkeypatch.setattr(processing, "put_file", cleared_meanwhile)
    assert processing.make_image_safe(upload_id=upload.id) is None
    housekeeping.sweep("purge")
    assert (keys(s3), used_bytes()) == (set(), 0)


def test_a_smaller_image_gives_back_at_once_what_it_has_less(s3, receive):
    upload = receive("image", picture((400, 300)) + bytes(50_000))
    before = used_bytes()

    processing.make_image_safe(upload_id=upload.id)

    assert used_bytes() == before - upload.size_bytes + Upload.objects.get().size_bytes
