"""Discard what is past its time."""

from django.db import transaction
from django.db.models.functions import Now

from uploads.discard import discard_uploads
from uploads.models import Moment, Refusal, Upload
from uploads.sweeps.run import Run

BATCH = 1000  # rows a transaction


def forget_refusals(run: Run) -> None:
    """Delete the refusals whose owners have had their time to ask."""
    Refusal.objects.filter(until__lte=run.now or Now()).delete()


def expire(run: Run) -> int:
    """Discard the uploads that are past their time; how many went."""
    total = 0
    while not run.turn.over() and (gone := expire_batch(run.now or Now())):
        total += gone
    return total


def expire_batch(now: Moment) -> int:
    """Discard up to BATCH that are due and that nobody else has in hand."""
    with transaction.atomic():
        due = Upload.objects.due(now).order_by("expires_at")
        ids = due.select_for_update(skip_locked=True).values_list("id", flat=True)[:BATCH]
        return discard_uploads(ids=list(ids))
