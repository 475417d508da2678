"""An upload whose bytes come through the app and go on to storage as they come.

No more than one part of it is ever in memory, and none of it on a disk of the app. Its row grows
before each part, so the quotas hold however long it gets, and names the multipart upload before
the first part, so that a discard leaves no part behind.
"""

import io
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Protocol

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Least, Now
from django.utils.translation import gettext as _

from uploads import limits, patience
from uploads.arrivals.claim import claim_upload, drop_upload
from uploads.arrivals.complete import complete_upload
from uploads.errors import InvalidUpload, UploadNotFound
from uploads.limits import Claim
from uploads.models import State, Upload
from uploads.quotas import check_shares, reserve_bytes
from uploads.storage import ANY_PARTS, storage

# The least that S3 takes, but for a last part; at most 10,000 of them make an object.
PART_BYTES = 5 * 1024 * 1024
READ_BYTES = 64 * 1024
# A row waits for its next part, and for storage's answers, before it is discarded unseen.
PART_PATIENCE = timedelta(seconds=patience.SILENCE)
LONGEST = timedelta(seconds=patience.LONGEST)


class Source(Protocol):
    """What the bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""

    def call_while_waiting(self, renew: Callable[[], None]) -> None:
        """Call it now and then where bytes come slowly."""


def receive_stream(claim: Claim, source: Source) -> Upload:
    """An upload whose bytes are read from the source, stored and completed.

    Raises UploadError, or what the source raises; nothing of the upload stays then. A process that
    dies in the middle leaves a pending row, whose deadline discards it with its parts.
    """
    first = read_part(source)
    upload = claim_upload(limits.with_size(claim, len(first)))
    try:
        if len(first) < PART_BYTES:
            total = len(first)
            storage().put(
                upload.incoming_key, io.BytesIO(first), content_type="application/octet-stream"
            )
        else:
            total = send_parts(upload, first, source)
        if claim.size_bytes and total != claim.size_bytes:
            raise InvalidUpload(
                _("%(announced)d bytes were announced, but %(arrived)d arrived.")
                % {"arrived": total, "announced": claim.size_bytes}
            )
        return complete_upload(upload_id=upload.id, owner=upload.owner)
    except Exception:
        drop_upload(upload)
        raise


def send_parts(upload: Upload, first: bytes, source: Source) -> int:
    """Store the parts as they are read, and join them; how many bytes they are."""
    key = upload.incoming_key
    remember_parts(upload.id, ANY_PARTS)  # in case this process dies before it knows the id
    multipart_id = storage().begin_parts(key, content_type="application/octet-stream")
    remember_parts(upload.id, multipart_id)
    source.call_while_waiting(lambda: renew_upload(upload.id))
    total, stored = len(first), [storage().put_part(key, multipart_id, 1, first)]
    del first
    for number, part in enumerate(read_parts(source), start=2):
        total += len(part)
        limits.check_size(upload.kind, total)
        grow_upload(upload, len(part))
        stored.append(storage().put_part(key, multipart_id, number, part))
    storage().join_parts(key, multipart_id, stored)
    return total


def read_parts(source: Source) -> Iterator[bytes]:
    """The rest of the source."""
    while part := read_part(source):
        yield part


def read_part(source: Source) -> bytes:
    """The next PART_BYTES of the source, or what is left of it."""
    release_connection()  # others may need it meanwhile
    part = bytearray()
    while len(part) < PART_BYTES:
        data = source.read(min(READ_BYTES, PART_BYTES - len(part)))
        if not data:
            break
        part += data
    return bytes(part)


def remember_parts(upload_id: uuid.UUID, multipart_id: str) -> None:
    """Write into the row what aborts its parts; raises UploadNotFound where it was discarded."""
    changes = {"multipart_id": multipart_id, "deadline": Now() + PART_PATIENCE}
    if not Upload.objects.filter(id=upload_id, state=State.PENDING).update(**changes):
        raise UploadNotFound(_("The upload took too long and was discarded."))


def renew_upload(upload_id: uuid.UUID) -> None:
    """Wait on for its next part, which is on its way; raises UploadNotFound where that is over."""
    until = Least(Now() + PART_PATIENCE, F("created_at") + LONGEST)
    pending = Upload.objects.filter(id=upload_id, state=State.PENDING, deadline__gt=Now())
    renewed = pending.update(deadline=until)
    release_connection()
    if not renewed:
        raise UploadNotFound(_("The upload took too long and was discarded."))


def release_connection() -> None:
    """Give the thread's connection to Postgres back; the next query takes one."""
    if not connection.in_atomic_block:
        connection.close()


def grow_upload(upload: Upload, size_bytes: int) -> None:
    """Count more bytes against the quota, and wait for the next part.

    Raises QuotaExceeded, or UploadNotFound where the row was discarded meanwhile.
    """
    with transaction.atomic():
        reserve_bytes(size_bytes)
        check_shares(sender=upload.sender, size_bytes=size_bytes, unsent=False)
        grown = Upload.objects.filter(id=upload.id, state=State.PENDING).update(
            size_bytes=F("size_bytes") + size_bytes, deadline=Now() + PART_PATIENCE
        )
        if not grown:
            raise UploadNotFound(_("The upload took too long and was discarded."))
