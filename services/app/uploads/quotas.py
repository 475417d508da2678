"""How much may be stored: by one owner, from one address, and by all together.

All shares are parts of MAX_TOTAL_BYTES. Reserving bytes locks the usage row until the transaction
ends, so sums that are taken after that stay true.
"""

import uuid

from django.conf import settings
from django.db import connection
from django.db.models import F, Q, QuerySet, Sum
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from uploads.errors import QuotaExceeded
from uploads.models import UNSENT, Installation, Moment, Pack, PurgeKey, State, Upload

BOARD = uuid.UUID(int=0)  # the owner of all uploads on a shared board
# Per cent of MAX_TOTAL_BYTES.
SENDER_HELD = 25  # what one address may have stored, including what it announced
SENDER_UNSENT = 5  # what one address may have announced without sending it
ALL_UNSENT = 25  # what all together may have announced without sending it
TRY_AGAIN = 60  # seconds


def owner_for(visitor: uuid.UUID) -> uuid.UUID:
    """The owner of a visitor's uploads: the visitor, or the shared board."""
    return BOARD if settings.SHARED_BOARD else visitor


def sender_of(address: str | None) -> str:
    """What an upload keeps of the address it came from: a keyed hash of 32 characters; blank
    without an address.

    Without SECRET_KEY nobody can find the address by trying all of them, which a plain hash would
    allow.
    """
    if address is None:
        return ""
    return salted_hmac("uploads.quotas.sender", address, algorithm="sha256").hexdigest()[:32]


def lock_owner(owner: uuid.UUID) -> None:
    """Wait for the owner's lock: until the transaction ends, no other one changes the owner's
    uploads."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [owner.int % 2**63])


def check_visitor_quota(owner: uuid.UUID, sender: str = "", now: Moment | None = None) -> None:
    """Raise QuotaExceeded if the owner has MAX_VISITOR_UPLOADS; needs the owner's lock.

    On a shared board the limit applies to the sender.
    """
    counted = Upload.objects.filter(owner=owner).counted(now)
    sentence = _(
        "You can have at most %d uploads at a time. Delete some, or wait until they expire."
    )
    if owner == BOARD:
        counted = counted.filter(sender=sender)
        sentence = _(
            "Your IP address can have at most %d uploads at a time. Delete some, or wait until they"
            " expire."
        )
    if counted.count() >= settings.MAX_VISITOR_UPLOADS:
        raise QuotaExceeded(sentence % settings.MAX_VISITOR_UPLOADS, retry_after=TRY_AGAIN)


def reserve_bytes(size_bytes: int) -> None:
    """Reserve bytes of the total; the purge gives them back. Raises QuotaExceeded."""
    claimed = Installation.objects.filter(
        used_bytes__lte=settings.MAX_TOTAL_BYTES - size_bytes
    ).update(used_bytes=F("used_bytes") + size_bytes)
    if not claimed:
        raise no_room()


def check_shares(*, sender: str, size_bytes: int, unsent: bool) -> None:
    """Raise QuotaExceeded if so many more bytes would exceed a share: of the sender's stored bytes
    or, if they are `unsent`, of the bytes that the sender, or all together, have announced.

    Needs the lock of the usage row, from `reserve_bytes`. Uploads count by their size, and
    discarded ones by their queued keys: a ticket can still be used after its upload was deleted.
    """
    if not (sender or unsent):
        return
    uploads = shares_of(Upload.objects.exclude(state=State.REJECTED), UNSENT, sender)
    queued = shares_of(PurgeKey.objects.all(), Q(unsent=True), sender)
    held, announced, announced_by_all = (a + b for a, b in zip(uploads, queued, strict=True))
    if unsent and sender and announced + size_bytes > share(SENDER_UNSENT):
        raise QuotaExceeded(
            _(
                "Too much has been announced from your IP address without being sent. Please finish"
                " those uploads first, or wait a few minutes."
            ),
            retry_after=TRY_AGAIN,
        )
    if unsent and announced_by_all + size_bytes > share(ALL_UNSENT):
        raise no_room()
    if sender and held + size_bytes > share(SENDER_HELD):
        raise QuotaExceeded(
            _(
                "Your IP address has reached its storage limit. Delete some uploads, or wait until"
                " they expire."
            ),
            retry_after=TRY_AGAIN,
        )


def reserve_zip(*, sender: str, size_bytes: int) -> None:
    """Claim a zip's bytes of the total; the purge gives them back. Raises QuotaExceeded, also where
    the zips of the sender's files would pass their share, which is as large as that of the files:
    whoever may store them gets their zip."""
    sentence = _(
        "There is no room for this zip at the moment. Download the files one by one, or try again"
        " in a few minutes."
    )
    try:
        reserve_bytes(size_bytes)
    except QuotaExceeded as error:
        raise QuotaExceeded(sentence, retry_after=TRY_AGAIN) from error
    if sender:
        zips = Pack.objects.filter(sender=sender).aggregate(sum=Sum("size_bytes"))["sum"] or 0
        if zips + size_bytes > share(SENDER_HELD):
            raise QuotaExceeded(sentence, retry_after=TRY_AGAIN)


def shares_of(rows: "QuerySet[Upload] | QuerySet[PurgeKey]", unsent: Q, sender: str) -> list[int]:
    """The bytes of the rows: the sender's, the sender's unsent ones, and all unsent ones."""
    theirs = Q(sender=sender) & ~Q(sender="")
    sums = rows.filter(theirs | unsent).aggregate(
        held=Sum("size_bytes", filter=theirs),
        announced=Sum("size_bytes", filter=theirs & unsent),
        announced_by_all=Sum("size_bytes", filter=unsent),
    )
    return [sums[name] or 0 for name in ("held", "announced", "announced_by_all")]


def share(per_cent: int) -> int:
    """This percentage of the total, in bytes."""
    return int(settings.MAX_TOTAL_BYTES) * per_cent // 100


def no_room() -> QuotaExceeded:
    """The error for when the total is used up."""
    return QuotaExceeded(
        _("There is no room for this upload at the moment. Please try again in a few minutes."),
        retry_after=TRY_AGAIN,
    )
