"""What happens to an upload between its claim and its discard.

Every rule about a row and its objects is here or in `uploads.sweeps`; nothing here knows of HTTP
or Celery. Times are written and compared by Postgres. No transaction stays open while storage is
asked, and every change of an owner's set first takes the owner's lock.
"""

import shutil
import tempfile
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import F, Sum
from django.db.models.functions import Greatest, Now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from uploads import images, limits
from uploads.errors import (
    BytesMissing,
    DecoderStopped,
    ImageRejected,
    InvalidUpload,
    NotItsTurn,
    QuotaExceeded,
    UploadError,
    UploadNotFound,
)
from uploads.models import Installation, Kind, Moment, Refusal, State, Upload
from uploads.storage import Ticket, storage

TICKET_LIFE = timedelta(minutes=5)
SLOWEST_LINE = 64 * 1024  # bytes a second; a pending row waits for its bytes at that speed
RETELL_AFTER = timedelta(seconds=30)  # when a worker that was told of an image is told again
# The worker is killed at the hard time limit of its task, which ends before the lease does. A
# picture waits for its turn for a third of it at most (images.safe.PATIENCE).
IMAGE_TIME_LIMIT = 90  # seconds
IMAGE_FOLDER = "s3tasks-image-"  # in which an attempt works
IMAGE_LEASE = timedelta(seconds=IMAGE_TIME_LIMIT + 15)
IMAGE_ATTEMPTS = 3
TURN_AFTER = timedelta(seconds=2)  # when an image that did not get its turn is tried again
UNSENT_PERCENT = 5  # of MAX_TOTAL_BYTES; what one address may claim without sending it
KILLED_THE_WORKER = gettext_noop("It could not be processed: it stopped the worker three times.")
BOARD = uuid.UUID(int=0)  # whose uploads they are where all visitors share one board


# --- Arriving ------------------------------------------------------------------------------------


def owner_for(visitor: uuid.UUID) -> uuid.UUID:
    """Whose set a visitor's uploads belong to: their own, or the shared board's."""
    return BOARD if settings.SHARED_BOARD else visitor


def claim_upload(
    *,
    owner: uuid.UUID,
    kind: Kind,
    filename: str,
    size_bytes: int,
    name: str = "",
    ttl: int | None = None,
    address: str | None = None,
) -> Upload:
    """A pending row, counted against the quotas, written before any byte is stored.

    `ttl` in seconds; UPLOAD_TTL where None. `address`: whose share of what is claimed without being
    sent it counts against. Raises InvalidUpload or QuotaExceeded.
    """
    limits.check_size(kind, size_bytes)
    filename = limits.check_filename(filename)
    name = limits.check_name(name)
    life = limits.check_ttl(ttl)
    patience = TICKET_LIFE + timedelta(seconds=size_bytes / SLOWEST_LINE)
    with transaction.atomic():
        lock_owner(owner)
        check_visitor_quota(owner)
        if address is not None:
            check_address_quota(address, size_bytes)
        reserve_bytes(size_bytes)
        return Upload.objects.create(
            owner=owner,
            kind=kind,
            filename=filename,
            size_bytes=size_bytes,
            name=name,
            ttl=life,
            deadline=Now() + patience,
            address=address,
        )


@dataclass(frozen=True)
class Claimed:
    """An announced upload, and what lets its owner send the bytes to storage."""

    upload: Upload
    ticket: Ticket
    expires_at: datetime  # of the ticket


def claim_with_ticket(
    *,
    owner: uuid.UUID,
    kind: Kind,
    filename: str,
    size_bytes: int,
    content_type: str,
    name: str = "",
    ttl: int | None = None,
    address: str | None = None,
) -> Claimed:
    """A pending row whose bytes go past the app. Raises InvalidUpload or QuotaExceeded.

    The claimed content type only labels an incoming object, which nobody is served.
    """
    upload = claim_upload(
        owner=owner,
        kind=kind,
        filename=filename,
        size_bytes=size_bytes,
        name=name,
        ttl=ttl,
        address=address,
    )
    if kind == Kind.FILE or content_type not in limits.IMAGE_TYPES:
        content_type = "application/octet-stream"
    ticket = storage().ticket(
        upload.incoming_key,
        size_bytes=size_bytes,
        content_type=content_type,
        seconds=int(TICKET_LIFE.total_seconds()),
    )
    upload.refresh_from_db()
    return Claimed(upload, ticket, upload.created_at + TICKET_LIFE)


def receive_upload(
    *,
    owner: uuid.UUID,
    kind: Kind,
    content: IO[bytes],
    filename: str,
    size_bytes: int,
    name: str = "",
    ttl: int | None = None,
) -> Upload:
    """An upload whose bytes come through the app: claimed, stored, completed.

    Raises UploadError, after which nothing of it stays. A process that dies in the middle leaves a
    pending row, whose deadline discards it.
    """
    upload = claim_upload(
        owner=owner, kind=kind, filename=filename, size_bytes=size_bytes, name=name, ttl=ttl
    )
    try:
        storage().put(upload.incoming_key, content, content_type="application/octet-stream")
        return complete_upload(upload_id=upload.id, owner=owner)
    except UploadError:
        discard_uploads(ids=[upload.id])
        raise


def complete_upload(*, upload_id: uuid.UUID, owner: uuid.UUID) -> Upload:
    """The upload, `checking` or `ready`, as storage shows its bytes to be; repeated: the same.

    Two requests to storage. Raises UploadNotFound, BytesMissing where nothing has arrived, or
    InvalidUpload, after which the upload is discarded; repeated: the same.
    """
    upload = Upload.objects.known().filter(id=upload_id, owner=owner).first()
    if upload is None:
        check_not_refused(upload_id, owner)
        raise UploadNotFound(_("There is no such upload."))
    if upload.state != State.PENDING:
        return upload
    try:
        content_type = look_at_bytes(upload)
    except InvalidUpload as error:
        refuse_upload(upload, error.sentence)
        raise
    with transaction.atomic():
        lock_owner(owner)
        upload = lock_upload(upload_id)
        if upload is None:
            check_not_refused(upload_id, owner)
            raise UploadNotFound(_("The upload took too long and was discarded."))
        if upload.state == State.PENDING:
            upload.content_type = content_type
            upload.deadline = upload.address = None
            upload.multipart_id = ""
            upload.expires_at = Now() + upload.ttl
            upload.state = State.READY
            if upload.kind == Kind.IMAGE:
                upload.state = State.CHECKING
                upload.lease_until = Now() + RETELL_AFTER
            upload.save()
    upload.refresh_from_db()
    return upload


def look_at_bytes(upload: Upload) -> str:
    """The content type of what has been stored, whose size must be the one claimed.

    Raises BytesMissing or InvalidUpload.
    """
    stored = storage().head(upload.incoming_key)
    if stored is None:
        raise BytesMissing(_("The bytes of this upload have not arrived."))
    if stored.size_bytes != upload.size_bytes:
        raise InvalidUpload(
            _("%(arrived)d bytes arrived, %(announced)d were announced.")
            % {"arrived": stored.size_bytes, "announced": upload.size_bytes}
        )
    if upload.kind == Kind.FILE:
        return "application/octet-stream"
    head = storage().read(upload.incoming_key, images.HEAD_BYTES)
    return limits.check_image_head(head or b"")


def refuse_upload(upload: Upload, sentence: str) -> None:
    """Discard it, and remember why, for a client whose line was cut before it heard."""
    with transaction.atomic():
        until = Now() + upload.ttl
        refusal = Refusal(id=upload.id, owner=upload.owner, sentence=sentence, until=until)
        Refusal.objects.bulk_create([refusal], ignore_conflicts=True)
        discard_uploads(ids=[upload.id])


def check_not_refused(upload_id: uuid.UUID, owner: uuid.UUID) -> None:
    """Raise InvalidUpload, as it was first said, where the upload was refused."""
    refusal = Refusal.objects.filter(id=upload_id, owner=owner, until__gt=Now()).first()
    if refusal is not None:
        raise InvalidUpload(refusal.sentence)


# --- Making an image safe -------------------------------------------------------------------------


def make_image_safe(*, upload_id: uuid.UUID) -> State | None:
    """The image's new state; None where there was nothing to do: it is gone, done or in hand, or
    others leave no room for it now.

    Raises what ended the attempt (storage, the database, the disk, the decoder), after which a
    sweep tells a worker again. Only what may have been the image's doing counts as an attempt.
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


class LeaseLost(Exception):
    """The image is gone, or another run of the worker has it."""


def attempt_image(upload: Upload) -> State | None:
    """The leased image's new state, or None as `make_image_safe`.

    1. The bytes come from storage.
    2. Made safe by the program apart; counted from when it is the image's turn until it is done,
       so where this process is ended meanwhile, and nothing can be said of why.
    3. Stored, and the row is ready.
    """
    with tempfile.TemporaryDirectory(prefix=IMAGE_FOLDER) as folder:
        source = Path(folder, "incoming")
        if not storage().fetch(upload.incoming_key, source):
            return None  # vanished: reconcile's to judge
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
        put_file(upload.thumbnail_key, safe.thumbnail, safe.thumbnail_content_type)
        put_file(upload.served_key, safe.image, safe.content_type)
        return finish_image(upload, safe)


def keep_lease(upload: Upload, *, attempts: int) -> None:
    """Lease the image anew, with so many attempts. Raises LeaseLost."""
    kept = Upload.objects.filter(id=upload.id, state=State.CHECKING, lease=upload.lease).update(
        attempts=attempts, lease_until=Now() + IMAGE_LEASE
    )
    if not kept:
        raise LeaseLost


def release_image(upload: Upload, *, attempts: int, tell_after: timedelta = RETELL_AFTER) -> None:
    """The image is nobody's, and a worker is told of it again, unless the database is gone too."""
    with suppress(DatabaseError):
        Upload.objects.filter(id=upload.id, state=State.CHECKING, lease=upload.lease).update(
            attempts=attempts, lease=None, lease_until=Now() + tell_after
        )


def remove_leftovers() -> int:
    """Remove from this machine's disk what killed attempts left of images; how many folders.

    An attempt that is still at it is younger than its time limit.
    """
    youngest = time.time() - 2 * IMAGE_TIME_LIMIT
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{IMAGE_FOLDER}*"):
        with suppress(FileNotFoundError):  # another worker's sweep was faster
            if folder.stat().st_mtime < youngest:
                shutil.rmtree(folder)
                removed += 1
    return removed


def put_file(key: str, path: Path, content_type: str) -> None:
    """Store the file under the key."""
    with path.open("rb") as content:
        storage().put(key, content, content_type=content_type)


def lease_image(upload_id: uuid.UUID) -> Upload | None:
    """The image, leased to this run of the worker, or None where it is gone, done or in hand.

    One that has had its attempts is rejected: it killed the worker each time.
    """
    with transaction.atomic():
        upload = (
            Upload.objects.live()
            .filter(id=upload_id, state=State.CHECKING)
            .exclude(lease__isnull=False, lease_until__gt=Now())
            .select_for_update(skip_locked=True)
            .first()
        )
        if upload is None:
            return None
        upload.lease = uuid.uuid4()
        Upload.objects.filter(id=upload_id).update(
            lease=upload.lease, lease_until=Now() + IMAGE_LEASE
        )
    if upload.attempts >= IMAGE_ATTEMPTS:
        reject_image(upload, KILLED_THE_WORKER)
        return None
    return upload


def hand_back_image(*, upload_id: uuid.UUID) -> None:
    """The image is nobody's, and the attempt that was cut is not counted; a sweep tells a worker.

    Only for who cut that attempt: it takes the lease from whoever holds it.
    """
    Upload.objects.filter(id=upload_id, state=State.CHECKING, lease__isnull=False).update(
        lease=None, lease_until=Now(), attempts=Greatest(F("attempts") - 1, 0)
    )


def finish_image(upload: Upload, safe: images.SafeImage) -> State | None:
    """Turn the image `ready`; None where it was discarded, or leased to another run, meanwhile.

    What this run stored is then the other run's, or has no row: its keys are queued.
    """
    incoming_bytes = upload.size_bytes
    size_bytes = safe.image.stat().st_size
    with transaction.atomic():
        lock_owner(upload.owner)
        row = lock_upload(upload.id)
        if row is None:
            queue_keys(upload, counted=False)
            return None
        if row.state != State.CHECKING or row.lease != upload.lease:
            return None
        row.state = State.READY
        row.size_bytes = size_bytes
        row.content_type = safe.content_type
        row.lease = row.lease_until = None
        queue_key(upload.incoming_key, size_bytes=incoming_bytes)
        Installation.objects.update(used_bytes=F("used_bytes") + size_bytes)
        row.save()  # the signal discards what this image pushes out
    return State.READY


def reject_image(upload: Upload, reason: str) -> State | None:
    """Leave the row as a notice until it expires, and queue its keys; None where it is gone.

    The reason is kept as the sources have it, and translated for whoever reads it.
    """
    with transaction.atomic():
        lock_owner(upload.owner)
        row = lock_upload(upload.id)
        if row is None or row.state != State.CHECKING or row.lease != upload.lease:
            return None
        row.state = State.REJECTED
        row.reason = reason[: Upload._meta.get_field("reason").max_length]
        row.lease = row.lease_until = None
        queue_keys(row, counted=True)
        row.save()
    return State.REJECTED


def superseded_images(*, owner: uuid.UUID) -> list[Upload]:
    """The owner's images that will make room for newer ones, once those are ready."""
    coming = [State.CHECKING, State.READY]
    images = Upload.objects.live().filter(owner=owner, kind=Kind.IMAGE, state__in=coming)
    return list(images.order_by("-created_at", "-id")[settings.IMAGES_KEPT :])


def keep_latest_images(*, owner: uuid.UUID) -> int:
    """Discard the owner's ready images beyond IMAGES_KEPT, the newest stay; how many went."""
    with transaction.atomic():
        lock_owner(owner)
        ready = Upload.objects.live().filter(owner=owner, kind=Kind.IMAGE, state=State.READY)
        surplus = ready.order_by("-created_at", "-id").values_list("id", flat=True)
        return discard_uploads(ids=list(surplus[settings.IMAGES_KEPT :]))


# --- Going ---------------------------------------------------------------------------------------


def discard_upload(*, upload_id: uuid.UUID, owner: uuid.UUID) -> None:
    """Discard one of the owner's; raises UploadNotFound where it is not theirs or gone."""
    with transaction.atomic():
        lock_owner(owner)
        mine = Upload.objects.filter(id=upload_id, owner=owner).values_list("id", flat=True)
        if not discard_uploads(ids=list(mine)):
            raise UploadNotFound(_("There is no such upload."))


def clear_uploads(*, owner: uuid.UUID, kind: Kind) -> int:
    """Discard all of the owner's of one kind; how many went."""
    with transaction.atomic():
        lock_owner(owner)
        mine = Upload.objects.filter(owner=owner, kind=kind).values_list("id", flat=True)
        return discard_uploads(ids=list(mine))


# Which keys an upload may have, and which of them gives its bytes back to the total quota. A
# rejected image's were given back with the keys that its rejection queued.
QUEUE_KEYS = """
    INSERT INTO uploads_purgekey (key, size_bytes, multipart_id, not_before, attempts)
    SELECT prefix || '/' || gone.id,
           CASE WHEN counts AND gone.state <> 'rejected' THEN gone.size_bytes ELSE 0 END,
           CASE WHEN counts THEN gone.multipart_id ELSE '' END,
           statement_timestamp(), 0
      FROM gone
      JOIN (VALUES ('file', 'files', true), ('image', 'images', true),
                   ('image', 'incoming', false), ('image', 'thumbs', false)
           ) AS home (kind, prefix, counts) USING (kind)
     ORDER BY 1
        ON CONFLICT (key) DO NOTHING
"""


def discard_uploads(*, ids: list[uuid.UUID]) -> int:
    """The rows go and their keys enter the purge queue, in one statement; how many went.

    Past the signals, so that a thousand cost what one does.
    """
    if not ids:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH gone AS (
                DELETE FROM uploads_upload WHERE id = ANY(%s)
                RETURNING id, kind, state, size_bytes, multipart_id
            ), queued AS ({QUEUE_KEYS})
            SELECT count(*) FROM gone
            """,  # noqa: S608  our own words
            [ids],
        )
        return int(cursor.fetchone()[0])


def queue_keys(upload: Upload, *, counted: bool) -> None:
    """Queue all keys that the upload may have; `counted`: its bytes are still in the quota."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH gone (id, kind, state, size_bytes, multipart_id)
                AS (VALUES (%s::uuid, %s, %s, %s::bigint, %s))
            {QUEUE_KEYS}
            """,  # noqa: S608  our own words
            [
                upload.id,
                upload.kind,
                "" if counted else State.REJECTED,
                upload.size_bytes,
                upload.multipart_id,
            ],
        )


def queue_key(key: str, *, size_bytes: int) -> None:
    """Queue one key, whose deletion gives `size_bytes` back to the total quota."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO uploads_purgekey (key, size_bytes, multipart_id, not_before, attempts)"
            " VALUES (%s, %s, '', statement_timestamp(), 0) ON CONFLICT (key) DO NOTHING",
            [key, size_bytes],
        )


# --- Locks and quotas -----------------------------------------------------------------------------


def lock_owner(owner: uuid.UUID) -> None:
    """Wait until this transaction alone may change the owner's set; held until it ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [owner.int % 2**63])


def lock_upload(upload_id: uuid.UUID) -> Upload | None:
    """The row, locked until the transaction ends."""
    return Upload.objects.select_for_update().filter(id=upload_id).first()


def check_visitor_quota(owner: uuid.UUID, now: Moment | None = None) -> None:
    """Raise QuotaExceeded where the owner has MAX_VISITOR_UPLOADS; needs the owner's lock."""
    counted = Upload.objects.filter(owner=owner).counted(now)
    if counted.count() >= settings.MAX_VISITOR_UPLOADS:
        sentence = _(
            "There is room for %d of your uploads at the same time."
            " Delete some, or wait until they expire."
        )
        raise QuotaExceeded(sentence % settings.MAX_VISITOR_UPLOADS, retry_after=60)


def check_address_quota(address: str, size_bytes: int) -> None:
    """Raise QuotaExceeded where the address would have claimed more than its share of the total
    without sending it; from here on nobody else claims for it until the transaction ends.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(2, hashtext(%s))", [address])
    pending = Upload.objects.filter(address=address, state=State.PENDING)
    claimed = pending.aggregate(sum=Sum("size_bytes"))["sum"] or 0
    if claimed + size_bytes > settings.MAX_TOTAL_BYTES * UNSENT_PERCENT // 100:
        raise QuotaExceeded(
            _(
                "Too much has been announced from your address without being sent. Please finish"
                " those uploads first, or wait a few minutes."
            ),
            retry_after=60,
        )


def reserve_bytes(size_bytes: int) -> None:
    """Claim bytes of the total; the purge gives them back. Raises QuotaExceeded."""
    claimed = Installation.objects.filter(
        used_bytes__lte=settings.MAX_TOTAL_BYTES - size_bytes
    ).update(used_bytes=F("used_bytes") + size_bytes)
    if not claimed:
        raise QuotaExceeded(
            _("There is no room for this upload at the moment. Please try again in a few minutes."),
            retry_after=60,
        )
