"""What the worker is told. Each task calls one function and returns its counts."""

import logging
import time
import uuid
from math import inf
from typing import Any

from celery import shared_task
from django.db import DatabaseError, connections

from uploads import processing
from uploads.sweeps import housekeeping, report
from uploads.task_base import Hint

log = logging.getLogger(__name__)

# Seconds. A turn is at most uploads.sweeps.turns.MOST, and one step more, whose requests to storage
# have limits of their own. What still hangs is told so, for its row, before it is killed.
SOFT_LIMIT, LIMIT = 4 * 60, 5 * 60
LATE_EVERY = 60  # seconds between two words about a sweep that is late

_said_late_at = -inf


@shared_task(name="tick", send_events=False, time_limit=60)
def tick() -> None:
    """Hand over what is due. Not in Flower: it finds nothing nearly always."""
    due = housekeeping.find_due()
    tasks = {"expire": expire, "purge": purge, "reconcile": reconcile}
    if name := housekeeping.hand_over(due):
        tasks[name].delay()
    for upload_id in due.images:
        make_image_safe.delay(str(upload_id))
    say_late()


def say_late() -> None:
    """Into the log, now and then: this one runs, and others do not."""
    global _said_late_at
    if time.monotonic() - _said_late_at > LATE_EVERY:
        _said_late_at = time.monotonic()
        for late in report.late().values():
            log.error("%s: %s", late.sentence, late.why)


@shared_task(name="expire", soft_time_limit=SOFT_LIMIT, time_limit=LIMIT)
def expire() -> dict[str, object]:
    """Discard what is past its time, and purge at once."""
    return housekeeping.run("expire", "purge")


@shared_task(name="purge", soft_time_limit=SOFT_LIMIT, time_limit=LIMIT)
def purge() -> dict[str, object]:
    """Delete the queued keys from storage."""
    return housekeeping.run("expire", "purge")


@shared_task(name="reconcile", soft_time_limit=SOFT_LIMIT, time_limit=LIMIT)
def reconcile() -> dict[str, object]:
    """Hold rows and storage against each other; what has expired does not wait for it."""
    return housekeeping.run("expire", "purge", "reconcile")


class ImageHint(Hint):
    """An image that a stopping worker had in hand is free for the next one, at once."""

    def on_retry(
        self, exc: Exception, task_id: str, args: tuple[str, ...], kwargs: Any, einfo: Any
    ) -> None:
        """Called in the worker's main process, when its time to stop is over."""
        try:
            processing.hand_back_image(upload_id=uuid.UUID(args[0]))
        except DatabaseError as error:  # then its lease runs out
            log.warning("An image could not be handed back: %s", error)
        finally:
            connections.close_all()


@shared_task(name="make image safe", base=ImageHint, time_limit=processing.IMAGE_TIME_LIMIT)
def make_image_safe(upload_id: str) -> str:
    """Decode an image, and store it anew without its metadata, with a thumbnail."""
    state = processing.make_image_safe(upload_id=uuid.UUID(upload_id))
    return state or "nothing to do"
