"""Completing an upload: the client says that the bytes are there, and the server believes only
storage."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NoReturn

from django.db import OperationalError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from psycopg2.errors import LockNotAvailable  # type: ignore[import-untyped]

from uploads import images, limits
from uploads.discard import discard_packs_of, discard_uploads, queue_keys, release_incoming
from uploads.errors import BytesMissing, InvalidUpload, StillChecking, UploadNotFound
from uploads.leases import RETELL_AFTER
from uploads.models import Kind, Link, Refusal, State, Upload
from uploads.quotas import lock_owner
from uploads.storage import StoredObject, storage

FILE_TYPE = "application/octet-stream"  # for all files: the server makes no guess


def complete_upload(*, upload_id: uuid.UUID, owner: uuid.UUID) -> Upload:
    """The upload, `checking` or `ready`; a repeated call gets the same answer.

    1. Look at the object: its size must be the claimed one, an image's first bytes an image's.
    2. Copy a file that came by a ticket to where its link leads, under the copy lock.
    3. Lock the row. If it is still pending, give it its next state, and a file its link's life.
    4. An upload that is refused on the way is discarded, and its error remembered.

    While storage is asked, another request may complete, discard or expire the upload, and the
    worker may delete the object, so the result counts only for a row that is still pending. That is
    two requests to storage, three for a file that came by a ticket.

    Raises UploadNotFound, BytesMissing if nothing has arrived, or InvalidUpload for an upload that
    was refused, now or before.
    """
    try:
        upload = Upload.objects.known().of_owner(owner, upload_id)
    except UploadNotFound:
        check_not_refused(upload_id, owner)
        raise
    if upload.state != State.PENDING:
        return upload
    try:
        stored, content_type = look_at_bytes(upload)
        if upload.incoming_key == upload.served_key or upload.kind == Kind.IMAGE:
            return settle(upload, content_type)
        with alone_with(upload):
            copy_bytes(upload, stored)
            return settle(upload, content_type)
    except (BytesMissing, InvalidUpload) as error:
        return refuse(upload, error)


def look_at_bytes(upload: Upload) -> tuple[StoredObject, str]:
    """The stored object, whose size must be the claimed one, and its content type.

    Raises BytesMissing or InvalidUpload.
    """
    stored = storage().head(upload.incoming_key)
    if stored is None:
        raise bytes_missing()
    if stored.size_bytes != upload.size_bytes:
        raise InvalidUpload(
            _("%(announced)d bytes were announced, but %(arrived)d arrived.")
            % {"arrived": stored.size_bytes, "announced": upload.size_bytes}
        )
    if upload.kind == Kind.FILE:
        return stored, FILE_TYPE
    head = storage().read(upload.incoming_key, images.HEAD_BYTES)
    if head is None:
        raise bytes_missing()
    return stored, limits.check_image_head(head)


def copy_bytes(upload: Upload, stored: StoredObject) -> None:
    """Have storage copy a file that came by a ticket to the key that its link serves, which no
    client can write. Raises BytesMissing if the object is no longer the one that was looked at."""
    if not Upload.objects.filter(id=upload.id, state=State.PENDING).exists():
        return  # a served object is never written again
    there = storage().head(upload.served_key)
    if there is not None and there.etag == stored.etag:
        return  # an earlier request made the copy, but didn't wait until it was done
    copied = storage().copy(
        upload.incoming_key, upload.served_key, etag=stored.etag, content_type=FILE_TYPE
    )
    if not copied:
        raise bytes_missing()


@contextmanager
def alone_with(upload: Upload) -> Iterator[None]:
    """Hold this upload's copy lock during the block: a copy of another request that ends late must
    not replace the one that is served. Raises StillChecking if another request holds it for too
    long.

    It is an advisory lock, which ends with this database session.
    """
    with connection.cursor() as cursor:
        try:
            cursor.execute("SELECT pg_advisory_lock(3, hashtext(%s))", [str(upload.id)])
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):  # after `lock_timeout`
                raise
            raise StillChecking(_("This upload is already being completed.")) from error
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(3, hashtext(%s))", [str(upload.id)])


def settle(upload: Upload, content_type: str) -> Upload:
    """The upload in its next state; unchanged, if it is no longer pending.

    Raises the error with which it was refused, or UploadNotFound, also if the link that it joined
    has expired meanwhile; it is then discarded.
    """
    with transaction.atomic():
        lock_owner(upload.owner)
        row = Upload.objects.lock(upload.id)
        if row is None:
            # Including a copy that was made since it was discarded.
            queue_keys(upload, counted=False)
        elif row.state == State.PENDING and (expires_at := begin_link(row.link)) is None:
            discard_uploads(ids=[row.id])
            row = None
        elif row.state == State.PENDING:
            if row.kind == Kind.IMAGE:
                row.state = State.CHECKING
                row.lease_until = Now() + RETELL_AFTER
            else:
                row.state = State.READY
                release_incoming(row)
                discard_packs_of(links=[row.link_id])  # this file is not in it
            row.content_type = content_type
            row.deadline = None
            row.multipart_id = ""
            row.expires_at = row.link.expires_at = expires_at
            row.save()
            row.refresh_from_db(fields=["lease_until"])
    return row or raise_gone(upload)


def begin_link(link: Link) -> datetime | None:
    """When the locked link expires, whose time begins with its first upload; None if it has
    expired."""
    Link.objects.filter(id=link.id, expires_at=None).update(expires_at=Now() + F("ttl"))
    return Link.objects.live().filter(id=link.id).values_list("expires_at", flat=True).first()


def refuse(upload: Upload, error: BytesMissing | InvalidUpload) -> Upload:
    """Raise the error if the upload is still pending; else the upload as it is now.

    A refused upload is discarded, and its error is remembered for a client whose connection was
    lost before the answer.
    """
    with transaction.atomic():
        lock_owner(upload.owner)
        row = Upload.objects.lock(upload.id)
        if row is not None and row.state == State.PENDING and isinstance(error, InvalidUpload):
            until = Now() + row.link.ttl
            refusal = Refusal(id=row.id, owner=row.owner, sentence=error.sentence, until=until)
            Refusal.objects.bulk_create([refusal], ignore_conflicts=True)
            discard_uploads(ids=[row.id])
    if row is None:
        raise_gone(upload)
    if row.state == State.PENDING:
        raise error
    return row


def raise_gone(upload: Upload) -> NoReturn:
    """Raise the error with which the upload was refused, or UploadNotFound if it was discarded."""
    check_not_refused(upload.id, upload.owner)
    raise UploadNotFound(_("The upload took too long and was discarded."))


def bytes_missing() -> BytesMissing:
    """The error for an upload without bytes, or whose bytes are no longer those that were looked
    at."""
    return BytesMissing(_("The bytes of this upload have not arrived."))


def check_not_refused(upload_id: uuid.UUID, owner: uuid.UUID) -> None:
    """Raise the InvalidUpload of the first answer if the upload was refused."""
    refusal = Refusal.objects.filter(id=upload_id, owner=owner, until__gt=Now()).first()
    if refusal is not None:
        raise InvalidUpload(refusal.sentence)
