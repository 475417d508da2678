"""All work that is done by the clock, and when it is due; the modules beside this one do it.

A sweep may run twice, run late or be killed without harm. One runs at a time (`turns`), and reports
in its row of `Sweep` when it last succeeded, or which error stopped it (`report`).
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Greatest, Now

from uploads.leases import requeue_stalled
from uploads.models import Moment, Pack, PurgeKey, Sweep, Upload
from uploads.processing import remove_leftovers
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

TELL_MAX = 100  # images, or packs, whose messages are sent again in one tick
BUSY = "another sweep is at it"


@dataclass(frozen=True)
class Chore:
    """The work of one sweep."""

    counted: str  # the name of its count in Flower, which is that of its last step
    # The steps, by the names that the sweep's row gives to their errors. A step that fails stops no
    # other.
    steps: dict[str, Callable[[Run], object]]
    is_there: Callable[[Moment], bool]
    rests_after_failure: bool = True


# The most important first: a sweep leaves the rest to its next turn if one above it is due.
SWEEPS = {
    "expire": Chore(
        counted="expired",
        is_there=something_has_expired,
        rests_after_failure=False,
        steps={
            "refusals": forget_refusals,  # whose time to be asked for is over
            "links": discard_deserted_links,  # without uploads
            "": expire,  # uploads past their time, or never completed in time
        },
    ),
    "purge": Chore(
        counted="purged",
        is_there=lambda now: PurgeKey.objects.due(now).exists(),
        steps={"": purge},  # queued keys, and parts of objects
    ),
    "reconcile": Chore(
        counted="reconciled",
        is_there=lambda _: reconcile_is_due(),
        steps={
            # The folders of attempts that were killed.
            "what workers left on this machine's disk": lambda _: remove_leftovers(),
            "": reconcile,  # rows without an object, objects without a row, parts, the bytes' count
        },
    ),
}


@dataclass(frozen=True)
class Due:
    """The work that a tick found."""

    sweeps: list[str]
    images: list[uuid.UUID]  # to be made safe, without a recent message
    packs: list[uuid.UUID]  # to be made, likewise


def find_due(now: Moment | None = None, *, images: int = TELL_MAX, packs: int = TELL_MAX) -> Due:
    """The work that is due, with at most so many images and packs. It counts as sent from now on,
    so that the next tick doesn't send it again."""
    moment = now or Now()
    present = [name for name in SWEEPS if SWEEPS[name].is_there(moment)]
    due = Due(
        sweeps=[name for name in present if not rests(name)],
        images=requeue_stalled(Upload.objects.unattended(moment), images),
        packs=requeue_stalled(Pack.objects.unattended(moment), packs),
    )
    # A reconcile that is not due yet has neither succeeded nor failed.
    report.note_well([name for name in ("expire", "purge") if name not in present])
    return due


def rests(name: str) -> bool:
    """Whether the sweep failed a moment ago, and is not to be tried again yet."""
    return SWEEPS[name].rests_after_failure and report.failed_lately(name)


def sweep(name: str, now: datetime | None = None) -> object:
    """Take each of the sweep's steps; the count of the last one, or None while another sweep has
    the turn. The error that stopped a step is raised at the end."""
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
    """The sweep to send to a worker: of those that are due, the one that ran least recently. None
    while one runs in any worker, or if a message for one was sent a moment ago."""
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
    """Whether reconcile paused on its way, or has not run for RECONCILE_EVERY.

    By Postgres's clock; if that was set back, a time in the future counts as long ago.
    """
    ran = Greatest("last_ok", "last_error_at")
    every = timedelta(seconds=settings.RECONCILE_EVERY)
    resting = Sweep.objects.filter(name="reconcile").annotate(ran=ran)
    return not resting.filter(progress="", ran__gt=Now() - every, ran__lte=Now()).exists()
