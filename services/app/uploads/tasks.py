"""What the worker is told. Each task calls one function and returns its counts."""

import logging
import uuid
from typing import Any

from celery import shared_task
from django.db import DatabaseError, connections

from uploads import lifecycle, sweeps
from uploads.hints import Hint

log = logging.getLogger(__name__)

SWEEP_TIME_LIMIT = 5 * 60  # seconds; the largest purge or expiry of one message
RECONCILE_TIME_LIMIT = 60 * 60  # seconds; it lists the whole bucket


@shared_task(name="tick", send_events=False, time_limit=60)
def tick() -> None:
    """Hand over what is due. Not in Flower: it finds nothing nearly always."""
    due = sweeps.look()
    if due.expire:
        expire.delay()
    elif due.purge:
        purge.delay()
    for upload_id in due.images:
        make_image_safe.delay(str(upload_id))


@shared_task(name="expire", time_limit=SWEEP_TIME_LIMIT)
def expire() -> dict[str, int]:
    """Discard what is past its time, and purge at once."""
    return {"expired": sweeps.expire(), "purged": sweeps.purge()}


@shared_task(name="purge", time_limit=SWEEP_TIME_LIMIT)
def purge() -> dict[str, int]:
    """Delete the queued keys from storage."""
    return {"purged": sweeps.purge()}


@shared_task(name="reconcile", time_limit=RECONCILE_TIME_LIMIT)
def reconcile() -> dict[str, int] | str:
    """Hold rows and storage against each other."""
    done = sweeps.reconcile()
    return "another run is at it" if done is None else done.counts()


class ImageHint(Hint):
    """An image that a stopping worker had in hand is free for the next one, at once."""

    def on_retry(
        self, exc: Exception, task_id: str, args: tuple[str, ...], kwargs: Any, einfo: Any
    ) -> None:
        """Called in the worker's main process, when its time to stop is over."""
        try:
            lifecycle.hand_back_image(upload_id=uuid.UUID(args[0]))
        except DatabaseError as error:  # then its lease runs out
            log.warning("An image could not be handed back: %s", error)
        finally:
            connections.close_all()


@shared_task(name="make image safe", base=ImageHint, time_limit=lifecycle.IMAGE_TIME_LIMIT)
def make_image_safe(upload_id: str) -> str:
    """Decode an image, and store it anew without its metadata, with a thumbnail."""
    state = lifecycle.make_image_safe(upload_id=uuid.UUID(upload_id))
    return state or "nothing to do"
