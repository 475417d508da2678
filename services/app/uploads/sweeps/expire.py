"""Discard what is past its time."""

from django.db import transaction
from django.db.models.functions import Now

from uploads.discard import discard_uploads
from uploads.models import Moment, Refusal, Upload
from uploads.sweeps import turns
from uploads.sweeps.report import reporting

BATCH = 1000  # rows a transaction


def expire(now: Moment | None = None) -> int | None:
    """Discard what is past its time; how many went. None while another sweep is at it."""
    total = 0
    with turns.turn("expire", turns.image_waits) as mine:
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
