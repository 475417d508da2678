"""Expire: discard uploads, links and refusals that are past their time."""

from django.db import transaction
from django.db.models.functions import Now

from uploads.discard import discard_empty_links, discard_locked_uploads
from uploads.models import Link, Moment, Refusal, Upload
from uploads.sweeps.run import Run

BATCH = 1000  # rows a transaction


def something_has_expired(now: Moment) -> bool:
    """Whether there is an upload or a link to discard."""
    return Upload.objects.due(now).exists() or Link.objects.deserted(now).exists()


def forget_refusals(run: Run) -> None:
    """Delete the refusals whose owners have had their time to ask."""
    Refusal.objects.filter(until__lte=run.now or Now()).delete()


def expire(run: Run) -> int:
    """Discard the uploads that are past their time; how many there were."""
    total = 0
    while not run.turn.over() and (gone := expire_batch(run.now or Now())):
        total += gone
    return total


def expire_batch(now: Moment) -> int:
    """Discard up to BATCH that are due and that nobody else has in hand, themselves or their
    links."""
    with transaction.atomic():
        due = Upload.objects.due(now).order_by("expires_at")
        # Of a column of the link's own, so that its row is read, and locked, too.
        free = due.select_for_update(skip_locked=True).values_list("id", "link_id", "link__token")
        found = list(free[:BATCH])
        return discard_locked_uploads(
            ids=[upload_id for upload_id, *_ in found],
            links=list({link_id for _, link_id, _ in found}),
        )


def discard_deserted_links(run: Run) -> None:
    """Discard links without uploads."""
    gone = BATCH
    while not run.turn.over() and gone == BATCH:
        with transaction.atomic():
            deserted = Link.objects.deserted(run.now or Now())
            free = deserted.select_for_update(skip_locked=True, of=("self",))
            gone = discard_empty_links(ids=list(free.values_list("id", flat=True)[:BATCH]))
