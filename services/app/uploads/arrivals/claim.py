"""A claim, and its pending row: written before any byte is stored, counted against the quotas.

Times are written and compared by Postgres. No transaction stays open while storage is asked, and
every change of an owner's set first takes the owner's lock.
"""

import uuid
from datetime import timedelta

from django.db import connection, transaction
from django.db.models.functions import Now

from uploads import deadline, limits
from uploads.discard import discard_uploads, queue_keys
from uploads.models import Kind, State, Upload
from uploads.quotas import check_shares, check_visitor_quota, lock_owner, reserve_bytes, sender_of

TICKET_LIFE = timedelta(minutes=5)
SLOWEST_LINE = 64 * 1024  # bytes a second; a pending row waits for its bytes at that speed


def claim_upload(
    *,
    owner: uuid.UUID,
    kind: Kind,
    filename: str,
    size_bytes: int,
    name: str = "",
    ttl: int | None = None,
    address: str | None = None,
    by_ticket: bool = False,
) -> Upload:
    """A pending row, counted against the quotas, written before any byte is stored.

    `ttl` in seconds; UPLOAD_TTL where None. `address`: in whose share it counts. `by_ticket`: the
    bytes come past the app, if they come. Raises InvalidUpload or QuotaExceeded.
    """
    limits.check_size(kind, size_bytes)
    filename = limits.check_filename(filename)
    name = limits.check_name(name)
    life = limits.check_ttl(ttl)
    sender = sender_of(address)
    deadline = Now() + TICKET_LIFE + timedelta(seconds=size_bytes / SLOWEST_LINE)
    # What arrives under `incoming/` is there beside what is made of it.
    incoming_bytes = size_bytes if kind == Kind.IMAGE or by_ticket else 0
    with transaction.atomic():
        lock_owner(owner)
        check_visitor_quota(owner, sender)
        reserve_bytes(size_bytes + incoming_bytes)
        check_shares(sender=sender, size_bytes=size_bytes, unsent=by_ticket)
        upload = Upload.objects.create(
            owner=owner,
            kind=kind,
            filename=filename,
            size_bytes=size_bytes,
            name=name,
            ttl=life,
            deadline=deadline,
            sender=sender,
            ticket_until=deadline if by_ticket else None,
            incoming_bytes=incoming_bytes,
        )
        upload.refresh_from_db()  # the times, by Postgres's clock
    return upload


def drop_upload(upload: Upload) -> None:
    """Discard what did not come to its end; what is no longer pending, somebody else completed.

    Where the row went meanwhile, its keys are queued once more: something may have been stored
    after they were deleted. So may what a call does that was given up.
    """
    with deadline.time_to_tidy_up(), transaction.atomic():
        lock_owner(upload.owner)
        row = Upload.objects.lock(upload.id)
        if row is None:
            queue_keys(upload, counted=False)
        elif row.state == State.PENDING:
            discard_uploads(ids=[row.id])
    deadline.when_given_up_is_over(lambda _: queue_late_keys(upload))


def queue_late_keys(upload: Upload) -> None:
    """Queue once more the keys of an upload that was dropped, in a thread of its own."""
    try:
        queue_keys(upload, counted=False)
    finally:
        connection.close()
