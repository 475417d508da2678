"""The worker's tasks. Each calls one function and returns its counts."""

import logging
import time
import uuid
from math import inf
from typing import Any

from celery import shared_task
from django.db import DatabaseError, connections

from uploads import processing
from uploads.links import pack as packing
from uploads.sweeps import housekeeping, report
from uploads.task_base import Hint

log = logging.getLogger(__name__)

# Seconds. A turn takes at most uploads.sweeps.turns.MOST and one more step, whose requests to
# storage have time limits of their own. A sweep that still hangs gets an exception at the first
# limit, so that its row says so, and is killed at the second.
SOFT_LIMIT, LIMIT = 4 * 60, 5 * 60
LATE_EVERY = 60  # seconds between two log lines about a sweep that is late

_said_late_at = -inf


@shared_task(name="tick", send_events=False, time_limit=60)
def tick() -> None:
    """Hand over the work that is due. Not shown in Flower, since it nearly always finds nothing."""
    # A worker that is behind has its messages: more of the same would only delay it further.
    due = housekeeping.find_due(
        images=make_image_safe.room(housekeeping.TELL_MAX), packs=pack.room(housekeeping.TELL_MAX)
    )
    tasks = {"expire": expire, "purge": purge, "reconcile": reconcile}
    if name := housekeeping.hand_over(due):
        tasks[name].delay()
    for upload_id in due.images:
        make_image_safe.delay(str(upload_id))
    for pack_id in due.packs:
        pack.delay(str(pack_id))
    say_late()


def say_late() -> None:
    """Log, now and then, which sweeps are late: the tick runs even if they don't."""
    global _said_late_at
    if time.monotonic() - _said_late_at > LATE_EVERY:
        _said_late_at = time.monotonic()
        for late in report.late().values():
            log.error("%s: %s", late.sentence, late.why)


@shared_task(name="expire", soft_time_limit=SOFT_LIMIT, time_limit=LIMIT)
def expire() -> dict[str, object]:
    """Discard expired uploads, and purge at once."""
    return housekeeping.run("expire", "purge")


@shared_task(name="purge", soft_time_limit=SOFT_LIMIT, time_limit=LIMIT)
def purge() -> dict[str, object]:
    """Delete the queued keys from storage."""
    return housekeeping.run("expire", "purge")


@shared_task(name="reconcile", soft_time_limit=SOFT_LIMIT, time_limit=LIMIT)
def reconcile() -> dict[str, object]:
    """Compare rows with storage; expired uploads don't wait for it."""
    return housekeeping.run("expire", "purge", "reconcile")


class LeasedHint(Hint):
    """Hands the leased row of its argument back at once if its worker stops, so that the next one
    can take it."""

    row: str  # what it is, in words

    def hand_back(self, row_id: uuid.UUID) -> None:
        """End the row's lease."""
        raise NotImplementedError

    def on_retry(
        self, exc: Exception, task_id: str, args: tuple[str, ...], kwargs: Any, einfo: Any
    ) -> None:
        """Called in the worker's main process when its time for stopping is over."""
        try:
            self.hand_back(uuid.UUID(args[0]))
        except DatabaseError as error:  # the row then waits until its lease runs out
            log.warning("%s could not be handed back: %s", self.row, error)
        finally:
            connections.close_all()


class ImageHint(LeasedHint):
    """About an image."""

    row = "An image"

    def hand_back(self, row_id: uuid.UUID) -> None:
        processing.hand_back_image(upload_id=row_id)


@shared_task(name="make image safe", base=ImageHint, time_limit=processing.IMAGE_TIME_LIMIT)
def make_image_safe(upload_id: str) -> str:
    """Decode an image, and store it anew without its metadata, with a thumbnail."""
    state = processing.make_image_safe(upload_id=uuid.UUID(upload_id))
    return state or "nothing to do"


class PackHint(LeasedHint):
    """About a zip."""

    row = "A zip"

    def hand_back(self, row_id: uuid.UUID) -> None:
        packing.hand_back_pack(pack_id=row_id)


@shared_task(
    name="pack", base=PackHint, soft_time_limit=packing.SOFT_LIMIT, time_limit=packing.LIMIT
)
def pack(pack_id: str) -> dict[str, object] | str:
    """Make a zip of a link's files, some seconds of it; what is left is a task of its own, behind
    all that waits."""
    packed = packing.pack_files(pack_id=uuid.UUID(pack_id))
    if packed is None:
        return "nothing to do"
    if packed.left:
        pack.delay(pack_id)
    return {"files": packed.files, "bytes": packed.bytes, "left": packed.left}
