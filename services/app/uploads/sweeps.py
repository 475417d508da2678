"""What runs by the clock: expire, purge, reconcile. Each may run twice, late, or be killed.

A sweep leaves one row in `Sweep`, which says when it last did well, or what stopped it.
"""

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from django.db import connection, transaction
from django.db.models import F, IntegerField, Sum, Value
from django.db.models.functions import Least, Now, Power

from uploads import bucket
from uploads.errors import BucketMismatch, StorageUnavailable, TooMuchToRemove
from uploads.lifecycle import RETELL_AFTER, discard_uploads, queue_key, remove_leftovers
from uploads.models import (
    OWNERS,
    Installation,
    Moment,
    PurgeKey,
    Refusal,
    State,
    Sweep,
    Upload,
    UploadQuerySet,
)
from uploads.presence import SETTLED, Suspect, discard_vanished
from uploads.storage import DELETE_MAX, StoredObject, storage

BATCH = 1000  # rows a transaction
RETRY_AFTER = timedelta(seconds=30)  # when a purge that was stopped is tried again
TELL_MAX = 100  # images told of again in one tick
# Longer than one DeleteObjects may take with its timeouts and its retry.
PURGE_LEASE = timedelta(seconds=30)
PURGE_AGAIN = timedelta(seconds=60)  # when what a ticket may have written again is deleted
PURGE_BACKOFF_MAX = 5  # doublings, for a key that storage will not delete

# What is younger may be in motion.
GRACE = timedelta(seconds=60)
# One pass removes at most a fifth, unless that is fewer than this many: a loss that large is
# rather a wrong bucket or a broken listing than the truth.
ALARM_ABOVE = 100
ALARM_SHARE = 5
# And never more than this many at once, so that memory does not grow with the bucket.
REMOVE_MAX = 10_000


# --- What is due ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Due:
    """What a tick found to do."""

    expire: bool
    purge: bool
    images: list[uuid.UUID]


def look(now: Moment | None = None) -> Due:
    """What is due; the images found count as told, so that the next tick does not repeat it."""
    moment = now or Now()
    return Due(
        expire=Upload.objects.due(moment).exists(),
        purge=PurgeKey.objects.due(moment).exists() and not failed_lately("purge"),
        images=tell_again(moment),
    )


def tell_again(now: Moment) -> list[uuid.UUID]:
    """The images that a worker should be told of again."""
    with transaction.atomic():
        forgotten = Upload.objects.unattended(now).order_by("lease_until")
        ids = list(
            forgotten.select_for_update(skip_locked=True).values_list("id", flat=True)[:TELL_MAX]
        )
        Upload.objects.filter(id__in=ids).update(lease=None, lease_until=Now() + RETELL_AFTER)
    return ids


# --- Expire --------------------------------------------------------------------------------------


def expire(now: Moment | None = None) -> int:
    """Discard what is past its time; how many went."""
    total = 0
    with reporting("expire"):
        while gone := expire_batch(now or Now()):
            total += gone
        Refusal.objects.filter(until__lte=now or Now()).delete()
    return total


def expire_batch(now: Moment) -> int:
    """Discard up to BATCH that are due and that nobody else has in hand."""
    with transaction.atomic():
        due = Upload.objects.due(now).order_by("expires_at")
        ids = due.select_for_update(skip_locked=True).values_list("id", flat=True)[:BATCH]
        return discard_uploads(ids=list(ids))


# --- Purge ---------------------------------------------------------------------------------------


def purge(now: datetime | None = None) -> int:
    """Delete the queued keys that are due from storage, and forget them; how many went.

    Stops, and says so in its row, where the bucket is not ours or does not answer.
    """
    total = 0
    with reporting("purge"):
        while PurgeKey.objects.due(now).exists():
            bucket.check_ours()
            moment = now or database_clock()
            leased = lease_keys(moment)
            for key, multipart_id in leased.items():
                if multipart_id:
                    storage().abort_parts(key, multipart_id)
            errors = storage().delete(list(leased)) if leased else {}
            total += forget_keys([key for key in leased if key not in errors], moment)
    return total


def lease_keys(now: datetime) -> dict[str, str]:
    """Up to DELETE_MAX due keys, each with the id of its parts or a blank; put off in case this
    process dies before it can forget them.

    Each attempt puts a key off for twice as long as the one before.
    """
    with transaction.atomic():
        due = PurgeKey.objects.due(now).order_by("not_before")
        keys = dict(
            due.select_for_update(skip_locked=True).values_list("key", "multipart_id")[:DELETE_MAX]
        )
        doublings = Least(F("attempts"), PURGE_BACKOFF_MAX)
        leases = Power(2, doublings, output_field=IntegerField())
        PurgeKey.objects.filter(key__in=keys).update(
            not_before=now + Value(PURGE_LEASE) * leases, attempts=F("attempts") + 1
        )
    return keys


def forget_keys(keys: list[str], leased_at: datetime) -> int:
    """The keys are gone from storage: drop them and give their bytes back; how many there were.

    One that a ticket could still write when it was leased is deleted again, a while later, and its
    bytes stay counted. One that was queued again meanwhile stays due: what was stored since may
    have come after its deletion. The usage row is locked first, as whoever reserves bytes does.
    """
    with transaction.atomic():
        installation = Installation.objects.select_for_update().get()
        mine = PurgeKey.objects.filter(key__in=keys, not_before__gt=Now()).order_by("key")
        leased = list(mine.select_for_update().values_list("key", flat=True))
        gone = PurgeKey.objects.filter(key__in=leased).exclude(until__gt=leased_at)
        gone_bytes = gone.aggregate(sum=Sum("size_bytes"))["sum"] or 0
        count = gone.delete()[0]
        PurgeKey.objects.filter(key__in=leased).update(
            not_before=Least(F("until"), leased_at + PURGE_AGAIN), attempts=0
        )
        if gone_bytes:
            installation.used_bytes = max(0, installation.used_bytes - gone_bytes)
            installation.save(update_fields=["used_bytes"])
    return count


# --- Reconcile -----------------------------------------------------------------------------------


@dataclass
class Reconciled:
    """What one reconcile saw, and what it removed."""

    rows: int = 0
    objects: int = 0
    vanished: int = 0
    orphaned: int = 0
    aborted: int = 0

    def counts(self) -> dict[str, int]:
        """The counts, by name."""
        return asdict(self)


def reconcile(now: datetime | None = None) -> Reconciled | None:
    """Hold rows and storage against each other, both ways; None where another run is at it.

    Stops, and says so in its row, where the bucket is not ours or does not answer, or where one
    pass would remove too much, unless its operator agreed to that (`pair_bucket --take`): once, or
    where there is more than one pass removes, until it is done. What killed workers left on the
    disk goes in any case.
    """
    remove_leftovers()
    with alone() as mine:
        if not mine:
            return None
        with reporting("reconcile"):
            bucket.pair()
            settled_before = (now or database_clock()) - GRACE
            done = Reconciled(rows=Upload.objects.exclude(state=State.REJECTED).count())
            orphans = Candidates[str]()
            strays = Candidates[str]()
            suspects = Candidates[Suspect]()
            served = 0
            for prefix in OWNERS:
                for page, window in walk(prefix, settled_before):
                    done.objects += len(page)
                    found = find_orphans(prefix, page, settled_before)
                    if prefix == "incoming":
                        strays.add(found)
                    else:
                        served += len(page)
                        orphans.add(found)
                    suspects.add(find_suspects(prefix, page, window))
            agreed = Installation.objects.get().removal_agreed
            if not agreed:
                # Of what nobody is served a client may store any number, by tickets that it uses
                # slowly: that many are no sign of a wrong bucket, and must not stop anything.
                orphans.refuse_too_many("objects", served)
                suspects.refuse_too_many("rows", done.rows)
            done.vanished = discard_vanished(suspects.kept)
            for key in [*strays.kept, *orphans.kept]:
                queue_key(key, size_bytes=0)
            done.orphaned = len(strays.kept) + len(orphans.kept)
            done.aborted = abort_forgotten_parts(settled_before)
            recount_bytes()
            if agreed and orphans.all_kept and suspects.all_kept:
                Installation.objects.update(removal_agreed=False)
        return done


@contextmanager
def alone() -> Iterator[bool]:
    """Whether no other reconcile runs; held by this database session until the block ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(1, 1)")
        mine = bool(cursor.fetchone()[0])
    try:
        yield mine
    finally:
        if mine:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(1, 1)")


def database_clock() -> datetime:
    """Postgres's time: the clock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment


def walk(
    prefix: str, settled_before: datetime
) -> Iterator[tuple[list[StoredObject], UploadQuerySet]]:
    """The prefix's objects a page at a time, and beside each page the settled rows whose ids lie
    in its range, so that both sides are walked once and neither is held in memory."""
    rows = Upload.objects.filter(
        kind__in=OWNERS[prefix], state=SETTLED[prefix], created_at__lte=settled_before
    )
    after = uuid.UUID(int=0)
    for page in storage().list(prefix):
        last = max((i for i in map(id_of, page) if i), default=after)
        yield page, rows.filter(id__gt=after, id__lte=last)
        after = max(after, last)
    yield [], rows.filter(id__gt=after)


def id_of(stored: StoredObject) -> uuid.UUID | None:
    """The upload whose object this would be, or None where no upload has such a key."""
    name = stored.key.partition("/")[2]
    try:
        upload_id = uuid.UUID(name)
    except ValueError:
        return None
    return upload_id if str(upload_id) == name else None


def find_orphans(prefix: str, page: list[StoredObject], settled_before: datetime) -> list[str]:
    """The keys of the page that no row may own and that are not to be purged already. Both are
    looked up after the listing: a row is written before its object, so an object that has none then
    has nobody."""
    old = [stored for stored in page if stored.modified_at <= settled_before]
    ids = [i for i in map(id_of, old) if i]
    owned = set(
        Upload.objects.with_object_under(prefix).filter(id__in=ids).values_list("id", flat=True)
    )
    ownerless = [stored.key for stored in old if id_of(stored) not in owned]
    queued = set(PurgeKey.objects.filter(key__in=ownerless).values_list("key", flat=True))
    return [key for key in ownerless if key not in queued]


def find_suspects(
    prefix: str, page: list[StoredObject], window: UploadQuerySet
) -> Iterator[Suspect]:
    """The rows of the window whose objects are not on the page."""
    listed = {id_of(stored) for stored in page}
    for upload_id in window.values_list("id", flat=True).iterator(chunk_size=BATCH):
        if upload_id not in listed:
            yield Suspect(upload_id, prefix)


def abort_forgotten_parts(settled_before: datetime) -> int:
    """Drop what was begun in parts and no row names; how many there were.

    A process that dies between beginning and writing the id into its row leaves such a one behind.
    """
    total = 0
    for page in storage().list_parts():
        ours = [
            parts
            for parts in page
            if parts.begun_at <= settled_before and parts.key.partition("/")[0] in OWNERS
        ]
        named = set(
            Upload.objects.filter(
                state=State.PENDING, multipart_id__in=[parts.multipart_id for parts in ours]
            ).values_list("multipart_id", flat=True)
        )
        for parts in ours:
            if parts.multipart_id not in named:
                storage().abort_parts(parts.key, parts.multipart_id)
                total += 1
    return total


T = TypeVar("T")


class Candidates(Generic[T]):
    """What one pass would remove: all are counted, the first REMOVE_MAX are kept."""

    def __init__(self) -> None:
        self.kept: list[T] = []
        self.count = 0

    def add(self, found: Iterable[T]) -> None:
        """Count what was found, and keep as much as one pass removes."""
        for candidate in found:
            self.count += 1
            if len(self.kept) < REMOVE_MAX:
                self.kept.append(candidate)

    @property
    def all_kept(self) -> bool:
        """Whether one pass removes all that were found."""
        return self.count == len(self.kept)

    def refuse_too_many(self, what: str, total: int) -> None:
        """Raise TooMuchToRemove for more than a fifth of the total, and more than 100."""
        if self.count > ALARM_ABOVE and self.count * ALARM_SHARE > total:
            raise TooMuchToRemove(
                f"One pass would remove {self.count} of {total} {what}, more than a fifth: nothing"
                " is removed. Look whether the bucket and the database belong together. If they do,"
                " `manage.py pair_bucket --take` agrees to it."
            )


def recount_bytes() -> None:
    """Set the usage row to what rows and queued keys hold.

    In one statement, which sees the sums and the usage row as they were at one moment, and adds the
    difference to the row as it is by then: nobody waits while it sums.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE uploads_installation
               SET used_bytes = greatest(0, uploads_installation.used_bytes + seen.missing)
              FROM (SELECT (SELECT coalesce(sum(size_bytes), 0) FROM uploads_upload
                             WHERE state <> 'rejected')
                         + (SELECT coalesce(sum(incoming_bytes), 0) FROM uploads_upload)
                         + (SELECT coalesce(sum(size_bytes), 0) FROM uploads_purgekey)
                         - used_bytes AS missing
                      FROM uploads_installation) AS seen
             WHERE seen.missing <> 0
            """
        )


# --- What a sweep says of itself ------------------------------------------------------------------


@contextmanager
def reporting(name: str) -> Iterator[None]:
    """Write into the sweep's row how it went; what stops a sweep is raised on."""
    try:
        yield
    except (BucketMismatch, StorageUnavailable, TooMuchToRemove) as error:
        Sweep.objects.update_or_create(
            name=name,
            defaults={
                "last_error_at": Now(),
                "last_error": str(error),
                "backlog": PurgeKey.objects.due().count(),
            },
        )
        raise
    Sweep.objects.update_or_create(
        name=name, defaults={"last_ok": Now(), "backlog": PurgeKey.objects.due().count()}
    )


def failed_lately(name: str) -> bool:
    """Whether the sweep stopped less than RETRY_AFTER ago, and has not done well since."""
    return (
        Sweep.objects.filter(name=name, last_error_at__gt=Now() - RETRY_AFTER)
        .exclude(last_ok__gt=F("last_error_at"))
        .exists()
    )
