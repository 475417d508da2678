"""What runs by the clock: expire, purge, reconcile. Each may run twice, late, or be killed.

One runs at a time (`uploads.turns`), and leaves one row in `Sweep`, which says when it last did
well, or what stopped it (`uploads.reports`).
"""

import json
import logging
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, IntegerField, Q, Sum, Value
from django.db.models.functions import Greatest, Least, Now, Power

from uploads import bucket, reports, turns
from uploads.errors import StorageUnavailable, TooMuchToRemove
from uploads.keys import INCOMING, PREFIXES, id_in, prefix_of
from uploads.lifecycle import RETELL_AFTER, discard_uploads, queue_key, remove_leftovers
from uploads.models import (
    Installation,
    Moment,
    PurgeKey,
    Refusal,
    State,
    Sweep,
    Upload,
    UploadQuerySet,
)
from uploads.presence import Suspect, discard_vanished
from uploads.reports import Report, reporting
from uploads.storage import DELETE_MAX, PLAIN, StoredObject, storage
from uploads.turns import Turn, turn

log = logging.getLogger(__name__)

BATCH = 1000  # rows a transaction
RETRY_AFTER = timedelta(seconds=30)  # when a purge that was stopped is tried again
# How long an image may wait for a slot before a sweep gives up its own: one that is free takes it
# much sooner.
IMAGE_WAITS = timedelta(seconds=0.5)
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
HEADS = 40  # rows that are looked for between two looks at who waits
FIRST_ID = uuid.UUID(int=0)
KEY_MAX = 200  # characters of a queued key


# --- What is due ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Due:
    """What a tick found to do."""

    expire: bool
    purge: bool
    reconcile: bool
    images: list[uuid.UUID]

    def sweeps(self) -> list[str]:
        """The names of the sweeps that have something to do."""
        return [name for name in reports.NAMES if getattr(self, name)]


def look(now: Moment | None = None) -> Due:
    """What is due; the images found count as told, so that the next tick does not repeat it."""
    moment = now or Now()
    keys = PurgeKey.objects.due(moment).exists()
    due = Due(
        expire=Upload.objects.due(moment).exists(),
        purge=keys and not failed_lately("purge"),
        reconcile=reconcile_is_due() and not failed_lately("reconcile"),
        images=tell_again(moment),
    )
    idle = {"expire": due.expire, "purge": keys}
    reports.note_well([name for name, something in idle.items() if not something])
    return due


def hand_over(due: Due) -> str | None:
    """The sweep that a worker is to be told of: of those due, the one that ran least recently. None
    where one is at it, in whatever worker, or a worker was told of one a moment ago."""
    if not due.sweeps() or turns.taken():
        return None
    with transaction.atomic():
        Sweep.objects.bulk_create(
            [Sweep(name=name) for name in due.sweeps()], ignore_conflicts=True
        )
        told = Q(told_until__gt=Now(), told_until__lte=Now() + turns.TOLD)
        ran = Greatest("last_ok", "last_error_at")
        rows = Sweep.objects.select_for_update().annotate(told=told)
        rows = rows.order_by(ran.asc(nulls_first=True), "name")
        if any(row.told for row in rows):
            return None
        name = next(row.name for row in rows if row.name in due.sweeps())
        Sweep.objects.filter(name=name).update(told_until=Now() + turns.TOLD)
    return name


def reconcile_is_due() -> bool:
    """Whether it took a rest on its way, or was not at it for RECONCILE_EVERY.

    By Postgres' clock; where that was set back, what seems to lie ahead is long ago.
    """
    ran = Greatest("last_ok", "last_error_at")
    every = timedelta(seconds=settings.RECONCILE_EVERY)
    resting = Sweep.objects.filter(name="reconcile").annotate(ran=ran)
    return not resting.filter(progress="", ran__gt=Now() - every, ran__lte=Now()).exists()


def image_waits() -> bool:
    """Whether no worker has a slot for an image that it was told of."""
    told = Now() + RETELL_AFTER - IMAGE_WAITS
    waiting = Upload.objects.live().filter(state=State.CHECKING, lease=None, lease_until__lte=told)
    return waiting.exists()


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


def expire(now: Moment | None = None) -> int | None:
    """Discard what is past its time; how many went. None while another sweep is at it."""
    total = 0
    with turn("expire", image_waits) as mine:
        if mine is None:
            return None
        with reporting("expire") as report:
            with report.part("refusals"):
                Refusal.objects.filter(until__lte=now or Now()).delete()
            while not mine.over() and (gone := expire_batch(now or Now())):
                total += gone
    return total


def expire_batch(now: Moment) -> int:
    """Discard up to BATCH that are due and that nobody else has in hand."""
    with transaction.atomic():
        due = Upload.objects.due(now).order_by("expires_at")
        ids = due.select_for_update(skip_locked=True).values_list("id", flat=True)[:BATCH]
        return discard_uploads(ids=list(ids))


# --- Purge ---------------------------------------------------------------------------------------


def purge(now: datetime | None = None) -> int | None:
    """Delete the queued keys that are due from storage, and forget them; how many went. None while
    another sweep is at it.

    Stops, and says so in its row, where the bucket is not ours or does not answer.
    """
    total = 0
    with turn("purge", lambda: image_waits() or Upload.objects.due().exists()) as mine:
        if mine is None:
            return None
        with reporting("purge") as report:
            while not mine.over() and PurgeKey.objects.due(now).exists():
                bucket.check_ours()
                moment = now or database_clock()
                leased = lease_keys(moment)
                if not leased:  # they are in another transaction's hands
                    break
                whole = [key for key in leased if not leased[key]]
                in_parts = {key: leased[key] for key in leased if leased[key]}
                with report.part(""):
                    total += purge_keys(whole, moment, report)
                with report.part(""):
                    total += purge_parts(in_parts, moment, mine, report)
                if report.error is not None:
                    break
    return total


def purge_keys(keys: list[str], leased_at: datetime, report: Report) -> int:
    """Delete them from storage, in two requests at the same time; how many went."""
    halves = [half for half in (keys[::2], keys[1::2]) if half]
    with ThreadPoolExecutor(2) as pool:
        errors = {
            key: cause for stay in pool.map(storage().delete, halves) for key, cause in stay.items()
        }
    report.stays(errors)
    return forget_keys([key for key in keys if key not in errors], leased_at)


def purge_parts(parts: dict[str, str], leased_at: datetime, mine: Turn, report: Report) -> int:
    """Abort what arrives in parts under the keys, by their ids, and purge them; how many went.

    One by one: one that fails, or takes all the time there is, is put off for longer and stops no
    other.
    """
    total = 0
    errors = {}
    for key, multipart_id in parts.items():
        if mine.over():
            break
        try:
            storage().abort_parts(key, multipart_id)
            total += purge_keys([key], leased_at, report)
        except StorageUnavailable as error:
            errors[key] = error.cause
    report.stays(errors)
    return total


def lease_keys(now: datetime) -> dict[str, str]:
    """Up to DELETE_MAX due keys, each with the id of its parts or a blank; put off in case this
    process dies before it can forget them.

    Each attempt puts a key off for twice as long as the one before. Those that were tried before
    are leased by themselves, and fewer at a time: one of them may be why storage refused all.
    """
    with transaction.atomic():
        due = PurgeKey.objects.due(now).order_by("not_before")
        tried = due.values_list("attempts", flat=True).first() or 0
        count = max(1, DELETE_MAX >> 3 * min(tried, 4))
        keys = dict(
            due.filter(attempts=tried)
            .select_for_update(skip_locked=True)
            .values_list("key", "multipart_id")[:count]
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
    """Hold rows and storage against each other, both ways; None while another sweep is at it.

    1. List the prefixes, each beside its rows. A long listing takes a rest where others wait, and
       goes on from there in its next turn.
    2. Queue the objects that no row owns, and discard the rows whose objects have vanished.
    3. Abort what arrived in parts and is forgotten, and count the bytes anew.

    Each of these that fails is said in its row and stops no other. Nothing is removed from a bucket
    that is not ours or does not answer; of rows, or of objects, not where it would be too much,
    unless its operator agreed to that (`pair_bucket --take`): once, or where there is more than one
    pass removes, until it is done.
    """
    with turn("reconcile", others_wait) as mine:
        if mine is None:
            return None
        with reporting("reconcile") as report:
            with report.part("what workers left on this machine's disk"):
                remove_leftovers()
            bucket.pair()
            walked = Walk.resume()
            # By the clock that wrote the rows, and by the one that wrote the objects.
            rows_before = (now or database_clock()) - GRACE
            objects_before = (now or storage_clock()) - GRACE
            while walked.prefixes and not mine.over():
                with report.part(f"{walked.prefixes[0]}/"):
                    walked.go_on(rows_before, objects_before, mine)
                    continue
                walked.next_prefix()
            agreed = Installation.objects.get().removal_agreed
            if not walked.prefixes:
                with report.part("objects"):
                    walked.queue_orphans(agreed, report)
                with report.part("rows"):
                    walked.discard_suspects(agreed, mine, report)
            if not walked.unfinished:
                with report.part("parts"):
                    walked.done.aborted = abort_forgotten_parts(objects_before, mine, report)
                with report.part("bytes"):
                    recount_bytes()
                if agreed and walked.orphans.all_kept and walked.suspects.all_kept:
                    Installation.objects.update(removal_agreed=False)
            walked.well = report.well = walked.well and report.error is None
            walked.rest()
        return walked.done


def others_wait() -> bool:
    """Whether an image or another sweep waits for the slot."""
    return (
        image_waits()
        or Upload.objects.due().exists()
        or (PurgeKey.objects.due().exists() and not failed_lately("purge"))
    )


def database_clock() -> datetime:
    """Postgres's time: the clock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment


def storage_clock() -> datetime:
    """Storage's time, by which it says when an object was written."""
    return datetime.now(UTC) - timedelta(seconds=storage().seconds_ahead())


def walk(
    prefix: str, settled_before: datetime, after: str = "", seen: uuid.UUID = FIRST_ID
) -> Iterator[tuple[list[StoredObject], UploadQuerySet]]:
    """The prefix's objects a page at a time, and beside each page the settled rows whose ids lie
    in its range, so that both sides are walked once and neither is held in memory. A walk that
    took a rest goes on after the last key, and the last id, that were `seen`."""
    rows = Upload.objects.filter(
        kind__in=PREFIXES[prefix].owners,
        state=PREFIXES[prefix].proof,
        created_at__lte=settled_before,
    )
    for page in storage().list(prefix, after):
        last = max(ids_on(page), default=seen)
        yield page, rows.filter(id__gt=seen, id__lte=last)
        seen = max(seen, last)
    yield [], rows.filter(id__gt=seen)


def ids_on(page: list[StoredObject]) -> Iterator[uuid.UUID]:
    """The uploads whose objects are on the page."""
    return filter(None, (id_in(stored.key) for stored in page))


def has_a_place_in_the_queue(key: str) -> bool:
    """Whether Postgres and the queue take it: every key of ours, and few others."""
    return bool(PLAIN.fullmatch(key)) and len(key) <= KEY_MAX


def find_orphans(prefix: str, page: list[StoredObject], settled_before: datetime) -> list[str]:
    """The keys of the page that no row may own and that are not to be purged already. Both are
    looked up after the listing: a row is written before its object, so an object that has none then
    has nobody."""
    old = [stored for stored in page if stored.modified_at <= settled_before]
    ids = list(ids_on(old))
    owned = set(
        Upload.objects.with_object_under(prefix).filter(id__in=ids).values_list("id", flat=True)
    )
    ownerless = [stored.key for stored in old if id_in(stored.key) not in owned]
    may_be_queued = list(filter(has_a_place_in_the_queue, ownerless))
    queued = set(PurgeKey.objects.filter(key__in=may_be_queued).values_list("key", flat=True))
    return [key for key in ownerless if key not in queued]


def find_suspects(
    prefix: str, page: list[StoredObject], window: UploadQuerySet
) -> Iterator[Suspect]:
    """The rows of the window whose objects are not on the page."""
    listed = set(ids_on(page))
    for upload_id in window.values_list("id", flat=True).iterator(chunk_size=BATCH):
        if upload_id not in listed:
            yield Suspect(upload_id, prefix)


def abort_forgotten_parts(settled_before: datetime, mine: Turn, report: Report) -> int:
    """Drop what was begun in parts and no row names; how many there were.

    A process that dies between beginning and writing the id into its row leaves such a one behind.
    """
    total = 0
    errors = {}
    for page in storage().list_parts():
        ours = [
            parts
            for parts in page
            if parts.begun_at <= settled_before and prefix_of(parts.key) in PREFIXES
        ]
        named = set(
            Upload.objects.filter(
                state=State.PENDING, multipart_id__in=[parts.multipart_id for parts in ours]
            ).values_list("multipart_id", flat=True)
        )
        for parts in ours:
            if parts.multipart_id not in named and not mine.over():
                try:
                    storage().abort_parts(parts.key, parts.multipart_id)
                    total += 1
                except StorageUnavailable as error:
                    errors[parts.key] = error.cause
    report.stays(errors)
    return total


T = TypeVar("T")


class Candidates(Generic[T]):
    """What one pass would remove: all are counted, the first REMOVE_MAX are kept."""

    def __init__(self, kept: Iterable[T] = (), count: int = 0) -> None:
        self.kept = list(kept)
        self.count = count

    def add(self, found: Iterable[T]) -> None:
        """Count what was found, and keep as much as one pass removes."""
        for candidate in found:
            self.count += 1
            if len(self.kept) < REMOVE_MAX:
                self.kept.append(candidate)

    @property
    def all_kept(self) -> bool:
        """Whether one pass removes all that were found."""
        return self.count <= REMOVE_MAX

    def take(self, what: str, total: int, *, agreed: bool) -> list[T]:
        """Those that were kept. Raises TooMuchToRemove for more than a fifth of the total, and more
        than 100, where nobody agreed to it."""
        kept, self.kept = self.kept, []
        if agreed:
            return kept
        if self.count > ALARM_ABOVE and self.count * ALARM_SHARE > total:
            raise TooMuchToRemove(
                f"One pass would remove {self.count} of {total} {what}, more than a fifth: nothing"
                " is removed. Look whether the bucket and the database belong together. If they do,"
                " `manage.py pair_bucket --take` agrees to it."
            )
        return kept


class Walk:
    """How far a reconcile has come through the bucket, and what it would remove."""

    def __init__(self) -> None:
        self.done = Reconciled(rows=Upload.objects.exclude(state=State.REJECTED).count())
        self.prefixes = list(PREFIXES)  # not listed to their end
        self.after, self.seen = (
            "",
            FIRST_ID,
        )  # the last key under the first of them, and the last id
        self.served = 0  # objects, of those seen
        self.strays = Candidates[str]()  # that nobody is served
        self.orphans = Candidates[str]()
        self.suspects = Candidates[Suspect]()
        self.well = True

    def go_on(self, rows_before: datetime, objects_before: datetime, mine: Turn) -> None:
        """List the first of the prefixes, to its end or until others wait."""
        prefix = self.prefixes[0]
        for page, window in walk(prefix, rows_before, self.after, self.seen):
            self.done.objects += len(page)
            found = find_orphans(prefix, page, objects_before)
            if prefix == INCOMING:
                self.strays.add(found)
            else:
                self.served += len(page)
                self.orphans.add(found)
            self.suspects.add(find_suspects(prefix, page, window))
            if page:
                self.after = page[-1].key
                self.seen = max([self.seen, *ids_on(page)])
                if mine.over():
                    return
        self.next_prefix()

    def next_prefix(self) -> None:
        """Nothing more is to be seen under this one."""
        del self.prefixes[0]
        self.after, self.seen = "", FIRST_ID

    def queue_orphans(self, agreed: bool, report: Report) -> None:
        """Queue the objects without a row. What is called as no upload ever was has no place in the
        queue: it is deleted at once, or found again by the next pass.

        Of what nobody is served a client may store any number, by tickets that it uses slowly: that
        many are no sign of a wrong bucket, and must not stop anything.
        """
        found, self.strays.kept = self.strays.kept, []
        with report.part("objects"):
            found += self.orphans.take("objects", self.served, agreed=agreed)
        self.done.orphaned += len(found)
        odd = [key for key in found if not has_a_place_in_the_queue(key)]
        for key in set(found) - set(odd):
            queue_key(key, size_bytes=0)
        for start in range(0, len(odd), DELETE_MAX):
            report.stays(storage().delete(odd[start : start + DELETE_MAX]))

    def discard_suspects(self, agreed: bool, mine: Turn, report: Report) -> None:
        """Discard the rows without an object, until others wait."""
        found = self.suspects.take("rows", self.done.rows, agreed=agreed)
        while found and not mine.over():
            some, found = found[:HEADS], found[HEADS:]
            with report.part("rows"):
                self.done.vanished += discard_vanished(some)
        self.suspects.kept = found

    @property
    def unfinished(self) -> bool:
        """Whether it goes on in its next turn."""
        return bool(self.prefixes or self.suspects.kept)

    def rest(self) -> None:
        """Remember all of it for the next turn; nothing where it has come to its end."""
        state = {
            "done": self.done.counts(),
            "prefixes": self.prefixes,
            "after": self.after,
            "seen": str(self.seen),
            "served": self.served,
            "strays": [self.strays.kept, self.strays.count],
            "orphans": [self.orphans.kept, self.orphans.count],
            "suspects": [[(str(s.id), s.prefix) for s in self.suspects.kept], self.suspects.count],
            "well": self.well,
        }
        # In ASCII: a key may hold what Postgres does not take.
        progress = json.dumps(state) if self.unfinished else ""
        Sweep.objects.update_or_create(name="reconcile", defaults={"progress": progress})

    @classmethod
    def resume(cls) -> "Walk":
        """The one that took a rest, or a new one."""
        row = Sweep.objects.filter(name="reconcile").exclude(progress="").first()
        if row is None:
            return cls()
        try:
            return cls().restored(json.loads(row.progress))
        except (ValueError, KeyError, TypeError) as error:  # another release's
            log.warning("reconcile begins anew: %r", error)
            return cls()

    def restored(self, state: dict[str, Any]) -> "Walk":
        """This one, as far as that which took a rest."""
        self.done = Reconciled(**state["done"])
        self.prefixes = [prefix for prefix in state["prefixes"] if prefix in PREFIXES]
        self.after, self.seen = state["after"], uuid.UUID(state["seen"])
        self.served = state["served"]
        self.strays = Candidates(*state["strays"])
        self.orphans = Candidates(*state["orphans"])
        suspects, count = state["suspects"]
        self.suspects = Candidates([Suspect(uuid.UUID(i), p) for i, p in suspects], count)
        self.well = state["well"]
        return self


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


def failed_lately(name: str) -> bool:
    """Whether the sweep stopped less than RETRY_AFTER ago, and has not done well since."""
    return (
        Sweep.objects.filter(
            name=name, last_error_at__gt=Now() - RETRY_AFTER, last_error_at__lte=Now()
        )
        .exclude(last_ok__gt=F("last_error_at"))
        .exists()
    )
