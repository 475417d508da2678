"""The pending row of a claim, which is written, and counted in the quotas, before any byte is
stored.

Times are written and compared by Postgres. No transaction stays open while storage is asked, and
every change of an owner's set first takes the owner's lock.
"""

from datetime import timedelta
from pathlib import PurePosixPath

from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from uploads import deadline
from uploads.discard import discard_uploads, queue_keys
from uploads.errors import InvalidUpload
from uploads.limits import FILENAME_MAX, Claim, check_may_share
from uploads.models import Kind, Link, State, Upload
from uploads.patience import SLOWEST
from uploads.quotas import check_shares, check_visitor_quota, lock_owner, reserve_bytes, sender_of

TICKET_LIFE = timedelta(minutes=5)
LINK_UPLOADS_MAX = 100  # the most files of one link
LONGEST_EXTENSION = 20  # characters; a longer ending is not taken for an extension


def claim_upload(claim: Claim, *, by_ticket: bool = False) -> Upload:
    """A pending row, counted against the quotas, written before any byte is stored.

    `by_ticket`: the bytes come past the app, if they come. Raises QuotaExceeded, and where it joins
    a link UploadNotFound or InvalidUpload.
    """
    sender = sender_of(claim.address)
    deadline = Now() + TICKET_LIFE + timedelta(seconds=claim.size_bytes / SLOWEST)
    # The bytes under `incoming/` are stored in addition to the object that is made of them.
    incoming_bytes = claim.size_bytes if claim.kind == Kind.IMAGE or by_ticket else 0
    with transaction.atomic():
        lock_owner(claim.owner)
        link = link_to_join(claim) or link_of_its_own(claim)
        check_visitor_quota(claim.owner, sender)
        reserve_bytes(claim.size_bytes + incoming_bytes)
        check_shares(sender=sender, size_bytes=claim.size_bytes, unsent=by_ticket)
        upload = Upload.objects.create(
            link=link,
            owner=claim.owner,
            kind=claim.kind,
            filename=free_filename(claim),
            folder=claim.folder,
            size_bytes=claim.size_bytes,
            deadline=deadline,
            sender=sender,
            ticket_until=deadline if by_ticket else None,
            incoming_bytes=incoming_bytes,
        )
        upload.refresh_from_db(fields=["created_at", "deadline", "ticket_until"])  # its clock's
    return upload


def link_of_its_own(claim: Claim) -> Link:
    """A new link, whose time has not begun."""
    return Link.objects.create(
        owner=claim.owner,
        kind=claim.kind,
        name=claim.name,
        ttl=claim.ttl,
        password=claim.password,
        max_downloads=claim.max_downloads,
    )


def link_to_join(claim: Claim) -> Link | None:
    """The link that the claim names, locked; None if it names none.

    Locked, as a sweep may be about to discard it with the last of its uploads: it waits, or this
    finds it gone. Raises UploadNotFound, or InvalidUpload where it takes no more; needs the owner's
    lock.
    """
    if claim.link_id is None:
        return None
    link = Link.objects.known().select_for_update().of_owner(claim.owner, claim.link_id)
    check_may_share(link.kind)
    if link.uploads.count() >= LINK_UPLOADS_MAX:
        raise InvalidUpload(
            _("A link holds at most %d files. Upload the others as another link.")
            % LINK_UPLOADS_MAX
        )
    return link


def free_filename(claim: Claim) -> str:
    """The claimed name; numbered, `report (2).pdf`, where a file of the link and the folder has it
    already. Needs the link's lock."""
    if claim.link_id is None:
        return claim.filename
    beside = Upload.objects.filter(link_id=claim.link_id, folder=claim.folder)
    taken = set(beside.values_list("filename", flat=True))
    name, number = claim.filename, 1
    while name in taken:
        number += 1
        name = numbered(claim.filename, number)
    return name


def numbered(filename: str, number: int) -> str:
    """`report (2).pdf`; what is too long with its number loses the end of what stands before it."""
    extension = PurePosixPath(filename).suffix
    if len(extension) > LONGEST_EXTENSION:
        extension = ""
    end = f" ({number}){extension}"
    room = FILENAME_MAX - len(end.encode())
    stem = filename.removesuffix(extension).encode()[:room].decode(errors="ignore")
    return stem + end


def drop_upload(upload: Upload) -> None:
    """Discard an upload that was interrupted, unless another request has completed it meanwhile.

    If the row is gone already, its keys are queued once more, because bytes may have been stored
    after they were deleted. The same goes for calls to storage that were given up.
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
