"""All there is to do by the clock, and when it is due; who does it stands in the modules beside.

Each sweep may run twice, late, or be killed. One runs at a time (`turns`), and leaves one row in
`Sweep`, which says when it last did well, or what stopped it (`report`).
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Greatest, Now

from uploads.links.pack import requeue_stalled_packs
from uploads.models import Moment, PurgeKey, Sweep, Upload
from uploads.processing import RETELL_AFTER, remove_leftovers
from uploads.sweeps import report, turns
from uploads.sweeps.expire import (
    discard_deserted_links,
    expire,
    forget_refusals,
    something_has_expired,
)
from uploads.sweeps.purge import purge
from uploads.sweeps.reconcile import reconcile
from uploads.sweeps.run import Run, running
from uploads.sweeps.walk import Reconciled

TELL_MAX = 100  # images told of again in one tick
BUSY = "another sweep is at it"


@dataclass(frozen=True)
class Chore:
    """What one sweep has to do."""

    counted: str  # what its count is called in Flower: that of its last step
    # Called as the sweep's row calls what stopped one; a step that fails stops no other.
    steps: dict[str, Callable[[Run], object]]
    is_there: Callable[[Moment], bool]
    rests_after_failure: bool = True


# The weightiest first: a sweep leaves the rest to its next turn where one above it is due.
SWEEPS = {
    "expire": Chore(
        counted="expired",
        is_there=something_has_expired,
        rests_after_failure=False,
        steps={
            "refusals": forget_refusals,  # that nobody asks for any more
            "links": discard_deserted_links,  # that nothing ever came to, or that were left
            "": expire,  # uploads past their time, or never completed in time
        },
    ),
    "purge": Chore(
        counted="purged",
        is_there=lambda now: PurgeKey.objects.due(now).exists(),
        steps={"": purge},  # objects, and parts of objects, that nobody owns any more
    ),
    "reconcile": Chore(
        counted="reconciled",
        is_there=lambda _: reconcile_is_due(),
        steps={
            # Killed attempts' folders.
            "what workers left on this machine's disk": lambda _: remove_leftovers(),
            "": reconcile,  # rows without an object, objects without a row, parts, the bytes' count
        },
    ),
}


@dataclass(frozen=True)
class Due:
    """What a tick found to do."""

    sweeps: list[str]
    images: list[uuid.UUID]  # to be made safe, of which no worker was told lately
    packs: list[uuid.UUID]  # to be made, likewise


def find_due(now: Moment | None = None) -> Due:
    """What is due; the images found count as told, so that the next tick does not repeat it."""
    moment = now or Now()
    present = [name for name in SWEEPS if SWEEPS[name].is_there(moment)]
    due = Due(
        sweeps=[name for name in present if not rests(name)],
        images=requeue_stalled_images(moment),
        packs=requeue_stalled_packs(moment),
    )
    # A reconcile that is not due yet is neither well nor unwell.
    report.note_well([name for name in ("expire", "purge") if name not in present])
    return due


def rests(name: str) -> bool:
    """Whether the sweep failed, and is not tried again yet."""
    return SWEEPS[name].rests_after_failure and report.failed_lately(name)


def sweep(name: str, now: datetime | None = None) -> object:
    """Take each of the sweep's steps, and give the count of the last. None while another sweep is
    at it; what stopped a step is raised at the end."""
    done = None
    with running(name, lambda: others_wait(name), now) as run:
        if run is not None:
            for what, step in SWEEPS[name].steps.items():
                with run.report.part(what):
                    done = step(run)
    return done


def others_wait(name: str) -> bool:
    """Whether an image, or a sweep that is above this one in the list, waits for the slot."""
    above = list(SWEEPS)[: list(SWEEPS).index(name)]
    return turns.image_waits() or any(
        SWEEPS[other].is_there(Now()) and not rests(other) for other in above
    )


def run(*names: str) -> dict[str, object]:
    """The counts of these sweeps, one after another. One that fails stops no other; the first error
    is raised then."""
    said = {}
    errors = []
    for name in names:
        try:
            done = sweep(name)
        except Exception as error:  # noqa: BLE001  it is in the sweep's row
            errors.append(error)
        else:
            counts = done.counts() if isinstance(done, Reconciled) else done
            said[SWEEPS[name].counted] = BUSY if done is None else counts
    if errors:
        raise errors[0]
    return said


def hand_over(due: Due) -> str | None:
    """The sweep that a worker is to be told of: of those due, the one that ran least recently. None
    where one is at it, in whatever worker, or a worker was told of one a moment ago."""
    if not due.sweeps or turns.taken():
        return None
    with transaction.atomic():
        Sweep.objects.bulk_create([Sweep(name=name) for name in due.sweeps], ignore_conflicts=True)
        told = Q(told_until__gt=Now(), told_until__lte=Now() + turns.TOLD)
        ran = Greatest("last_ok", "last_error_at")
        rows = Sweep.objects.select_for_update().annotate(told=told)
        rows = rows.order_by(ran.asc(nulls_first=True), "name")
        if any(row.told for row in rows):
            return None
        name = next(row.name for row in rows if row.name in due.sweeps)
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
