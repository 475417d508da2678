"""Whether an upload's object is still in storage. If it has vanished, its row is discarded.

The page's own check asks storage about the few uploads that a page shows, all at once and only
briefly. If storage does not answer, everything is shown: no answer doesn't mean that an object is
gone.
"""

import logging
import time
import uuid
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache

from django.db import Error as DatabaseError
from django.db import connections, transaction

from uploads.bucket import marker
from uploads.discard import discard_packs, discard_uploads
from uploads.errors import BucketMismatch, StorageUnavailable
from uploads.keys import PREFIXES, ZIPS, key_under, prefix_of
from uploads.models import Link, Upload
from uploads.redis import CircuitBreaker
from uploads.storage import StoredObject, storage

log = logging.getLogger(__name__)

CHECKS_AT_ONCE = 8  # requests to storage
PAGE_WAITS = 1.0  # seconds, for all checks of a page together
REMEMBERED = 25.0  # seconds before an object that was found is checked again
COOLDOWN = 10.0  # seconds without checks after storage did not answer


@dataclass(frozen=True)
class MissingObject:
    """A row's object that was not where it should be, or that is to be checked."""

    id: uuid.UUID
    prefix: str

    @property
    def key(self) -> str:
        """The key under which the object should be."""
        return key_under(self.prefix, self.id)


def discard_vanished(missing: list[MissingObject]) -> int:
    """Discard those whose object is gone: HEAD says so, and the bucket answers; how many went.

    The caller has made sure that the bucket is not another's. Raises StorageUnavailable where it
    did not answer for one of them, once the others are discarded.
    """
    with ThreadPoolExecutor(CHECKS_AT_ONCE) as pool:
        heads = list(pool.map(look_for, missing))
    gone = [one for one, head in zip(missing, heads, strict=True) if head is None]
    total = 0
    for prefix in {one.prefix for one in gone}:
        if prefix == ZIPS:
            total += discard_packs(ids=[one.id for one in gone if one.prefix == ZIPS])
            continue
        with transaction.atomic():
            # In the state that owns the key: an image that turned ready has no incoming object.
            found = Upload.objects.with_link().filter(
                id__in=[one.id for one in gone if one.prefix == prefix],
                state=PREFIXES[prefix].proof,
            )
            free = found.select_for_update(skip_locked=True, of=("self", "link"))
            total += discard_uploads(ids=[upload.id for upload in free])
    for head in heads:
        if isinstance(head, StorageUnavailable):
            raise head
    return total


def look_for(one: MissingObject) -> StoredObject | StorageUnavailable | None:
    """The object, None if it is gone, or the error for which neither is known."""
    try:
        return storage().head(one.key)
    except StorageUnavailable as error:
        return error


class PageCheck:
    """The page's own check, which remembers the objects that this process found lately."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(CHECKS_AT_ONCE, thread_name_prefix="page-check")
        # One thread, so that all pages together use one connection to the database for this.
        self.removal = ThreadPoolExecutor(1, thread_name_prefix="page-removal")
        self.found_until: dict[MissingObject, float] = {}
        self.breaker = CircuitBreaker(cooldown=COOLDOWN)

    def present(self, uploads: list[Upload]) -> list[Upload]:
        """The uploads that have not vanished, after at most PAGE_WAITS.

        It makes one request to storage for each upload that was not found in the last REMEMBERED
        seconds.
        """
        now = time.monotonic()
        self.found_until = {s: until for s, until in list(self.found_until.items()) if until > now}
        wanted = {upload.id: one for upload in uploads if (one := home_of(upload))}
        asked = [s for s in wanted.values() if s not in self.found_until]
        if not asked or self.breaker.is_open:
            return uploads
        vanished = self._ask(asked, until=now + PAGE_WAITS)
        return [upload for upload in uploads if wanted.get(upload.id) not in vanished]

    def present_links(self, links: list[Link]) -> list[Link]:
        """Those of the links, read `with_uploads`, to which something is left, and that alone in
        their `live_uploads`. All are looked at together, as `present` does."""
        uploads = self.present([upload for link in links for upload in link.live_uploads])
        present = {upload.id for upload in uploads}
        for link in links:
            link.live_uploads = [u for u in link.live_uploads if u.id in present]
        return [link for link in links if link.live_uploads]

    def _ask(self, asked: list[MissingObject], *, until: float) -> set[MissingObject]:
        """The uploads whose objects storage doesn't have, if the bucket answers and is not another
        installation's."""
        checks = {self.pool.submit(storage().exists_quickly, s.key): s for s in asked}
        missing = set()
        for check in self._answered(checks, until):
            if check.exception() is not None:
                self.breaker.open()
            elif check.result():
                self.found_until[checks[check]] = time.monotonic() + REMEMBERED
            else:
                missing.add(checks[check])
        if not missing:
            return set()
        removal = self.removal.submit(remove_vanished, list(missing))
        answered = self._answered([removal], until)
        return missing if answered and removal.result() else set()

    def _answered(self, checks: Iterable[Future[bool]], until: float) -> set[Future[bool]]:
        """The checks that were answered in time; the others are given up."""
        done, late = wait(checks, timeout=max(0.0, until - time.monotonic()))
        if late:
            self.breaker.open()
        for check in late:
            check.cancel()
        return done


@cache
def page_check() -> PageCheck:
    """This process's check, made after the fork."""
    return PageCheck()


def home_of(upload: Upload) -> MissingObject | None:
    """Where the upload's object should be in its state; None if it has none."""
    for prefix in map(prefix_of, (upload.served_key, upload.incoming_key)):
        if PREFIXES[prefix].proof == upload.state:
            return MissingObject(upload.id, prefix)
    return None


def remove_vanished(missing: list[MissingObject]) -> bool:
    """Discard the uploads that have vanished, in a thread; whether the page may hide them.

    If the database refuses, the page is shown as if nothing had vanished.
    """
    try:
        marker.check_not_foreign()
        discard_vanished(missing)
    except (BucketMismatch, StorageUnavailable, DatabaseError) as error:
        log.warning("vanished uploads stay: %s", error)
        return False
    finally:
        connections.close_all()
    return True
