"""An upload whose bytes pass through the app, and go on to storage as they arrive.

At most one part of it is in memory, and nothing on the app's disk. Its row grows before each part,
so the quotas hold however long the upload gets, and holds the multipart upload's id before the
first part, so that a discard leaves no part behind.
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

# The smallest part that S3 accepts, except for the last one; an object has at most 10,000 parts.
PART_BYTES = 5 * 1024 * 1024
READ_BYTES = 64 * 1024
# How long a row waits for its next part, and for storage's answers, before it is discarded.
PART_PATIENCE = timedelta(seconds=patience.SILENCE)
LONGEST = timedelta(seconds=patience.LONGEST)


class Source(Protocol):
    """The stream that the bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""

    def call_while_waiting(self, renew: Callable[[], None]) -> None:
        """Have `renew` called now and then while bytes arrive slowly."""


def receive_stream(claim: Claim, source: Source) -> Upload:
    """The upload of the source's bytes: claimed, stored, completed.

    Raises UploadError, or an error of the source, after which nothing of the upload is left. A
    process that dies in the middle leaves a pending row, which is discarded with its parts at its
    deadline.
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
    """Store the parts as they are read, and join them; how many bytes there were."""
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
    release_connection()  # other threads may need it while this one waits
    part = bytearray()
    while len(part) < PART_BYTES:
        data = source.read(min(READ_BYTES, PART_BYTES - len(part)))
        if not data:
            break
        part += data
    return bytes(part)


def remember_parts(upload_id: uuid.UUID, multipart_id: str) -> None:
    """Write the id of the multipart upload into the row, so that its parts can be aborted; raises
    UploadNotFound if the row was discarded."""
    changes = {"multipart_id": multipart_id, "deadline": Now() + PART_PATIENCE}
    if not Upload.objects.filter(id=upload_id, state=State.PENDING).update(**changes):
        raise UploadNotFound(_("The upload took too long and was discarded."))


def renew_upload(upload_id: uuid.UUID) -> None:
    """Extend the row's deadline while its next part arrives; raises UploadNotFound if the row was
    discarded."""
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
    """Count more bytes against the quotas, and extend the row's deadline for the next part.

    Raises QuotaExceeded, or UploadNotFound if the row was discarded meanwhile.
    """
    with transaction.atomic():
        reserve_bytes(size_bytes)
        check_shares(sender=upload.sender, size_bytes=size_bytes, unsent=False)
        grown = Upload.objects.filter(id=upload.id, state=State.PENDING).update(
            size_bytes=F("size_bytes") + size_bytes, deadline=Now() + PART_PATIENCE
        )
        if not grown:
            raise UploadNotFound(_("The upload took too long and was discarded."))
