"""The image job: an image is leased to one run of the worker, made safe, stored, and then ready or
rejected."""

import shutil
import tempfile
import time
import uuid
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import F
from django.db.models.functions import Greatest, Now
from django.utils.translation import gettext_noop

from uploads import images
from uploads.discard import queue_keys, release_incoming
from uploads.errors import DecoderStopped, ImageRejected, NotItsTurn, QuotaExceeded
from uploads.leases import RETELL_AFTER, LeaseLost, take_lease
from uploads.models import Installation, State, Upload
from uploads.quotas import check_shares, lock_owner, reserve_bytes
from uploads.storage import storage

# The worker's process is killed at its task's hard time limit, which is shorter than the lease. A
# picture waits for its turn for at most a third of it (images.safe.PATIENCE).
IMAGE_TIME_LIMIT = 90  # seconds
IMAGE_FOLDER = "s3tasks-image-"  # in which an attempt works
IMAGE_LEASE = timedelta(seconds=IMAGE_TIME_LIMIT + 15)
IMAGE_ATTEMPTS = 3
TURN_AFTER = timedelta(seconds=2)  # after which an image that did not get its turn is tried again
NO_ROOM = gettext_noop("There was no room to store this image. Please try again later.")
KILLED_THE_WORKER = gettext_noop(
    "The image could not be processed: it stopped the worker three times."
)


def make_image_safe(*, upload_id: uuid.UUID) -> State | None:
    """The image's new state; None where there was nothing to do: it is gone, done or in hand, or
    others leave no room for it now.

    Raises the error that ended the attempt (of storage, the database, the disk or the decoder),
    after which a sweep sends another message. An attempt counts only if the image may have caused
    its end.
    """
    upload = lease_image(upload_id)
    if upload is None:
        return None
    try:
        return attempt_image(upload)
    except LeaseLost:
        return None
    except NotItsTurn:
        release_image(upload, attempts=upload.attempts, tell_after=TURN_AFTER)
        return None
    except DecoderStopped:
        release_image(upload, attempts=upload.attempts + 1)
        raise
    except Exception:
        release_image(upload, attempts=upload.attempts)
        raise


def attempt_image(upload: Upload) -> State | None:
    """The leased image's new state, or None as in `make_image_safe`.

    1. Get the bytes from storage.
    2. Have the image made safe by the decoder. The attempt counts from the image's turn until the
       decoder is done, so also if this process is killed in between and nobody knows why.
    3. Reserve the bytes by which the safe image is larger than the upload. If there is no room, the
       attempt still counts, because each one costs time.
    4. Store the image and its thumbnail, and turn the row `ready`.
    """
    with tempfile.TemporaryDirectory(prefix=IMAGE_FOLDER) as folder:
        source = Path(folder, "incoming")
        if not storage().fetch(upload.incoming_key, source):
            return None  # it has vanished, which reconcile decides
        try:
            safe = images.make_safe(
                source,
                Path(folder),
                max_pixels=settings.MAX_IMAGE_PIXELS,
                max_bytes=settings.MAX_IMAGE_BYTES,
                begin=lambda: keep_lease(upload, attempts=upload.attempts + 1),
            )
        except ImageRejected as error:
            return reject_image(upload, error.sentence)
        keep_lease(upload, attempts=upload.attempts)
        try:
            reserve_growth(upload, safe.image.stat().st_size)
        except QuotaExceeded:
            if upload.attempts + 1 >= IMAGE_ATTEMPTS:
                return reject_image(upload, NO_ROOM)
            release_image(upload, attempts=upload.attempts + 1)
            return None
        put_file(upload.thumbnail_key, safe.thumbnail, safe.thumbnail_content_type)
        put_file(upload.served_key, safe.image, safe.content_type)
        return finish_image(upload, safe)


def keep_lease(upload: Upload, *, attempts: int) -> None:
    """Renew the lease and set the number of attempts. Raises LeaseLost."""
    kept = Upload.objects.filter(id=upload.id, state=State.CHECKING, lease=upload.lease).update(
        attempts=attempts, lease_until=Now() + IMAGE_LEASE
    )
    if not kept:
        raise LeaseLost


def reserve_growth(upload: Upload, size_bytes: int) -> None:
    """Reserve the bytes by which the safe image is larger than its row says, and write its size
    into the row.

    This comes before the image is stored, or a full storage would be filled further. Raises
    QuotaExceeded or LeaseLost.
    """
    with transaction.atomic():
        row = Upload.objects.lock(upload.id)
        if row is None or row.state != State.CHECKING or row.lease != upload.lease:
            raise LeaseLost
        growth = size_bytes - row.size_bytes
        if growth > 0:
            reserve_bytes(growth)
            check_shares(sender=row.sender, size_bytes=growth, unsent=False)
            Upload.objects.filter(id=row.id).update(size_bytes=size_bytes)


def release_image(upload: Upload, *, attempts: int, tell_after: timedelta = RETELL_AFTER) -> None:
    """End the lease, so that a worker gets another message, unless the database has failed too."""
    with suppress(DatabaseError):
        Upload.objects.filter(id=upload.id, state=State.CHECKING, lease=upload.lease).update(
            attempts=attempts, lease=None, lease_until=Now() + tell_after
        )


def remove_leftovers() -> int:
    """Remove the folders that killed attempts left on this machine's disk; how many there were.

    The folder of an attempt that still runs is younger than the time limit.
    """
    youngest = time.time() - 2 * IMAGE_TIME_LIMIT
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{IMAGE_FOLDER}*"):
        with suppress(FileNotFoundError):  # another worker's sweep removed it first
            if folder.stat().st_mtime < youngest:
                shutil.rmtree(folder)
                removed += 1
    return removed


def put_file(key: str, path: Path, content_type: str) -> None:
    """Store the file under the key."""
    with path.open("rb") as content:
        storage().put(key, content, content_type=content_type)


def lease_image(upload_id: uuid.UUID) -> Upload | None:
    """The image, leased to this run of the worker, or None if it is gone, done or leased to another
    run.

    An image that has used up its attempts is rejected: it killed the worker each time.
    """
    upload = take_lease(Upload.objects.live().filter(state=State.CHECKING), upload_id, IMAGE_LEASE)
    if upload is None:
        return None
    if upload.attempts >= IMAGE_ATTEMPTS:
        reject_image(upload, KILLED_THE_WORKER)
        return None
    return upload


def hand_back_image(*, upload_id: uuid.UUID) -> None:
    """End the lease without counting the interrupted attempt; a sweep sends another message.

    Only for the process that interrupted the attempt: it ends the lease whoever holds it.
    """
    Upload.objects.filter(id=upload_id, state=State.CHECKING, lease__isnull=False).update(
        lease=None, lease_until=Now(), attempts=Greatest(F("attempts") - 1, 0)
    )


def finish_image(upload: Upload, safe: images.SafeImage) -> State | None:
    """Turn the image `ready`; None if it was discarded, or leased to another run, meanwhile.

    The objects that this run stored then belong to the other run, or have no row, and their keys
    are queued.
    """
    size_bytes = safe.image.stat().st_size
    with transaction.atomic():
        lock_owner(upload.owner)
        row = Upload.objects.lock(upload.id)
        if row is None or row.state == State.REJECTED:
            queue_keys(upload, counted=False)
            return None
        if row.state != State.CHECKING or row.lease != upload.lease:
            return None
        Installation.objects.update(used_bytes=F("used_bytes") + size_bytes - row.size_bytes)
        row.state = State.READY
        row.size_bytes = size_bytes
        row.content_type = safe.content_type
        row.lease = row.lease_until = None
        release_incoming(row)
        row.save()  # the signal discards what this image pushes out
    return State.READY


def reject_image(upload: Upload, reason: str) -> State | None:
    """Leave the row as a notice until it expires, and queue its keys; None if it is gone.

    The reason is stored in English, as in the source, and translated for each reader.
    """
    with transaction.atomic():
        lock_owner(upload.owner)
        row = Upload.objects.lock(upload.id)
        if row is None or row.state != State.CHECKING or row.lease != upload.lease:
            return None
        queue_keys(row, counted=True)
        row.incoming_bytes = 0
        row.state = State.REJECTED
        row.reason = reason[: Upload._meta.get_field("reason").max_length]  # noqa: SLF001  documented
        row.lease = row.lease_until = None
        row.save()
    return State.REJECTED
