"""All there is to do by the clock, and when it is due; who does it stands in the modules beside.

Each sweep may run twice, late, or be killed. One runs at a time (`turns`), and leaves one row in
`Sweep`, which says when it last did well, or what stopped it (`report`).
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Greatest, Now

from uploads.models import Moment, PurgeKey, Sweep, Upload
from uploads.processing import RETELL_AFTER
from uploads.sweeps import report, turns
from uploads.sweeps.expire import expire
from uploads.sweeps.purge import purge
from uploads.sweeps.reconcile import reconcile
from uploads.sweeps.walk import Reconciled

TELL_MAX = 100  # images told of again in one tick
BUSY = "another sweep is at it"

# Who does what, and what its count is called in Flower.
SWEEPS: dict[str, tuple[str, Callable[[], object]]] = {
    # Uploads past their time or never completed in time; refusals that nobody asks for any more.
    "expire": ("expired", expire),
    # Objects, and parts of objects, that nobody owns any more: the keys in the queue.
    "purge": ("purged", purge),
    # Rows without an object, objects without a row, forgotten parts, the count of bytes; and what
    # killed workers left on this machine's disk.
    "reconcile": ("reconciled", reconcile),
}


@dataclass(frozen=True)
class Due:
    """What a tick found to do."""

    expire: bool
    purge: bool
    reconcile: bool
    images: list[uuid.UUID]

    def sweeps(self) -> list[str]:
        """The names of the sweeps that have something to do."""
        return [name for name in SWEEPS if getattr(self, name)]


def find_due(now: Moment | None = None) -> Due:
    """What is due; the images found count as told, so that the next tick does not repeat it."""
    moment = now or Now()
    keys = PurgeKey.objects.due(moment).exists()
    due = Due(
        expire=Upload.objects.due(moment).exists(),
        purge=keys and not report.failed_lately("purge"),
        reconcile=reconcile_is_due() and not report.failed_lately("reconcile"),
        images=requeue_stalled_images(moment),
    )
    idle = {"expire": due.expire, "purge": keys}
    report.note_well([name for name, something in idle.items() if not something])
    return due


def run(*names: str) -> dict[str, object]:
    """The counts of these sweeps, one after another. One that fails stops no other; the first error
    is raised then."""
    said = {}
    errors = []
    for name in names:
        counted, sweep = SWEEPS[name]
        try:
            done = sweep()
        except Exception as error:  # it is in the sweep's row
            errors.append(error)
        else:
            counts = done.counts() if isinstance(done, Reconciled) else done
            said[counted] = BUSY if done is None else counts
    if errors:
        raise errors[0]
    return said


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


def requeue_stalled_images(now: Moment) -> list[uuid.UUID]:
    """The images that no worker has had in hand for too long, for a worker to be told of again."""
    with transaction.atomic():
        forgotten = Upload.objects.unattended(now).order_by("lease_until")
        ids = list(
            forgotten.select_for_update(skip_locked=True).values_list("id", flat=True)[:TELL_MAX]
        )
        Upload.objects.filter(id__in=ids).update(lease=None, lease_until=Now() + RETELL_AFTER)
    return ids
