"""A reconcile's walk through the bucket: each prefix beside its rows, and the candidates for
removal.

Neither side is held in memory, and a long walk pauses if others wait.
"""

import json
import logging
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from uploads.discard import queue_key
from uploads.errors import TooMuchToRemove
from uploads.existence import MissingObject, discard_vanished
from uploads.keys import INCOMING, PREFIXES, ZIPS, id_in
from uploads.models import Pack, PackQuerySet, PurgeKey, State, Sweep, Upload, UploadQuerySet
from uploads.storage import DELETE_MAX, PLAIN, StoredObject, storage
from uploads.sweeps.report import Report
from uploads.sweeps.turns import Turn

log = logging.getLogger(__name__)

CHUNK = 1000  # ids read at a time
# One pass removes at most a fifth, unless that is less than this number: so large a loss is more
# likely a wrong bucket or a broken listing than the truth.
ALARM_ABOVE = 100
ALARM_SHARE = 5
# And never more than this many at once, so that memory does not grow with the bucket.
REMOVE_MAX = 10_000
HEADS = 40  # rows that are checked between two questions whether others wait
FIRST_ID = uuid.UUID(int=0)
KEY_MAX = 200  # characters of a queued key


@dataclass
class Reconciled:
    """What one reconcile counted and removed."""

    rows: int = 0
    objects: int = 0
    vanished: int = 0
    orphaned: int = 0
    aborted: int = 0

    def counts(self) -> dict[str, int]:
        """The counts, by name."""
        return asdict(self)


Rows = UploadQuerySet | PackQuerySet


def rows_that_may_own(prefix: str) -> Rows:
    """Those whose objects may lie under the prefix."""
    return Pack.objects.all() if prefix == ZIPS else Upload.objects.with_object_under(prefix)


def rows_with_object_under(prefix: str, settled_before: datetime) -> Rows:
    """The settled ones whose objects must lie there."""
    if prefix == ZIPS:
        return Pack.objects.filter(ready=True, created_at__lte=settled_before)
    home = PREFIXES[prefix]
    return Upload.objects.filter(
        kind__in=home.owners, state=home.proof, created_at__lte=settled_before
    )


def walk(
    prefix: str, settled_before: datetime, after: str = "", seen: uuid.UUID = FIRST_ID
) -> Iterator[tuple[list[StoredObject], Rows]]:
    """The prefix's objects, a page at a time, and with each page the settled rows whose ids lie in
    its range, so that both sides are walked once and neither is held in memory. A walk that paused
    goes on after the last key and the last id that were `seen`."""
    rows = rows_with_object_under(prefix, settled_before)
    for page in storage().pages(prefix, after):
        last = max(ids_on(page), default=seen)
        yield page, rows.filter(id__gt=seen, id__lte=last)
        seen = max(seen, last)
    yield [], rows.filter(id__gt=seen)


def ids_on(page: list[StoredObject]) -> Iterator[uuid.UUID]:
    """The rows whose objects are on the page."""
    return filter(None, (id_in(stored.key) for stored in page))


def has_a_place_in_the_queue(key: str) -> bool:
    """Whether Postgres and the queue can store the key: they can store all of ours, and few
    others."""
    return bool(PLAIN.fullmatch(key)) and len(key) <= KEY_MAX


def find_orphans(prefix: str, page: list[StoredObject], settled_before: datetime) -> list[str]:
    """The keys of the page that no row owns and that are not queued yet. Both are looked up after
    the listing: a row is written before its object, so an object without a row at that moment will
    never have one."""
    old = [stored for stored in page if stored.modified_at <= settled_before]
    ids = list(ids_on(old))
    owned = set(rows_that_may_own(prefix).filter(id__in=ids).values_list("id", flat=True))
    ownerless = [stored.key for stored in old if id_in(stored.key) not in owned]
    may_be_queued = list(filter(has_a_place_in_the_queue, ownerless))
    queued = set(PurgeKey.objects.filter(key__in=may_be_queued).values_list("key", flat=True))
    return [key for key in ownerless if key not in queued]


def find_missing(prefix: str, page: list[StoredObject], window: Rows) -> Iterator[MissingObject]:
    """The rows of the window whose objects are not on the page."""
    listed = set(ids_on(page))
    for upload_id in window.values_list("id", flat=True).iterator(chunk_size=CHUNK):
        if upload_id not in listed:
            yield MissingObject(upload_id, prefix)


T = TypeVar("T")


class Candidates(Generic[T]):
    """The candidates for removal in one pass: all are counted, the first REMOVE_MAX are kept."""

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
        """Whether one pass can remove all candidates."""
        return self.count <= REMOVE_MAX

    def take(self, what: str, total: int, *, agreed: bool) -> list[T]:
        """The kept candidates. Raises TooMuchToRemove if there are more than a fifth of the total,
        and more than 100, without the operator's consent."""
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
        uploads = Upload.objects.exclude(state=State.REJECTED).count()
        self.done = Reconciled(rows=uploads + Pack.objects.count())
        self.prefixes = list(PREFIXES)  # not completely listed yet
        self.after, self.seen = (
            "",
            FIRST_ID,
        )  # the last key under the first of them, and the last id
        self.served = 0  # objects seen under prefixes that links lead to
        self.strays = Candidates[str]()  # under `incoming/`, which no link leads to
        self.orphans = Candidates[str]()
        self.missing = Candidates[MissingObject]()
        self.well = True

    def go_on(self, rows_before: datetime, objects_before: datetime, mine: Turn) -> None:
        """List the first remaining prefix, to its end or until others wait."""
        prefix = self.prefixes[0]
        for page, window in walk(prefix, rows_before, self.after, self.seen):
            self.done.objects += len(page)
            found = find_orphans(prefix, page, objects_before)
            if prefix == INCOMING:
                self.strays.add(found)
            else:
                self.served += len(page)
                self.orphans.add(found)
            self.missing.add(find_missing(prefix, page, window))
            if page:
                self.after = page[-1].key
                self.seen = max([self.seen, *ids_on(page)])
                if mine.over():
                    return
        self.next_prefix()

    def next_prefix(self) -> None:
        """This prefix is done; go on to the next."""
        del self.prefixes[0]
        self.after, self.seen = "", FIRST_ID

    def queue_orphans(self, agreed: bool, report: Report) -> None:
        """Queue the keys of objects without a row. An object whose key no upload can have doesn't
        go into the queue: it is deleted at once, or found again by the next pass.

        A client can store any number of objects under `incoming/`, by using tickets slowly. Many of
        those are no sign of a wrong bucket, so they don't stop the pass.
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

    def discard_missing(self, agreed: bool, mine: Turn, report: Report) -> None:
        """Discard the rows without an object, until others wait."""
        found = self.missing.take("rows", self.done.rows, agreed=agreed)
        while found and not mine.over():
            some, found = found[:HEADS], found[HEADS:]
            with report.part("rows"):
                self.done.vanished += discard_vanished(some)
        self.missing.kept = found

    @property
    def unfinished(self) -> bool:
        """Whether the walk goes on in its next turn."""
        return bool(self.prefixes or self.missing.kept)

    def rest(self) -> None:
        """The walk's state, for its next turn; nothing if it is finished."""
        state = {
            "done": self.done.counts(),
            "prefixes": self.prefixes,
            "after": self.after,
            "seen": str(self.seen),
            "served": self.served,
            "strays": [self.strays.kept, self.strays.count],
            "orphans": [self.orphans.kept, self.orphans.count],
            "missing": [[(str(s.id), s.prefix) for s in self.missing.kept], self.missing.count],
            "well": self.well,
        }
        # In ASCII, because a key may hold characters that Postgres refuses.
        progress = json.dumps(state) if self.unfinished else ""
        Sweep.objects.update_or_create(name="reconcile", defaults={"progress": progress})

    @classmethod
    def resume(cls) -> "Walk":
        """The walk that paused, or a new one."""
        row = Sweep.objects.filter(name="reconcile").exclude(progress="").first()
        if row is None:
            return cls()
        try:
            return cls().restored(json.loads(row.progress))
        except (ValueError, KeyError, TypeError) as error:  # written by another release
            log.warning("reconcile begins anew: %r", error)
            return cls()

    def restored(self, state: dict[str, Any]) -> "Walk":
        """This walk, continued from the state of the one that paused."""
        self.done = Reconciled(**state["done"])
        self.prefixes = [prefix for prefix in state["prefixes"] if prefix in PREFIXES]
        self.after, self.seen = state["after"], uuid.UUID(state["seen"])
        self.served = state["served"]
        self.strays = Candidates(*state["strays"])
        self.orphans = Candidates(*state["orphans"])
        missing, count = state["missing"]
        self.missing = Candidates([MissingObject(uuid.UUID(i), p) for i, p in missing], count)
        self.well = state["well"]
        return self
