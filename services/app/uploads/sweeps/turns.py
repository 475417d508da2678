"""Turns: one sweep at a time in all workers, and none for longer than others can wait.

A worker has few slots, perhaps only one. The sweeps together hold at most one of them, and give it
up as soon as an image waits for it; the next tick hands the sweep over again.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection
from django.db.models.functions import Now

from uploads.leases import RETELL_AFTER
from uploads.models import State, Sweep, Upload

LEAST = 2.0  # seconds that a sweep may always go on, or it would never finish
MOST = 60.0  # seconds after which it reports, and lets another sweep go first
LOCK = (1, 1)  # the sweeps' advisory lock, which ends with its database session
# How long an image may wait for a slot before a sweep gives up its own. A free slot would have
# taken the image much sooner.
IMAGE_WAITS = timedelta(seconds=0.5)
TOLD = timedelta(seconds=30)  # within which a worker begins a sweep after its message


class Turn:
    """A sweep's turn; it asks `over` between two steps of about a second each."""

    def __init__(self, somebody_waits: Callable[[], bool]) -> None:
        self.began = time.monotonic()
        self.somebody_waits = somebody_waits

    def over(self) -> bool:
        """Whether the sweep should leave the rest to its next turn."""
        spent = time.monotonic() - self.began
        return spent >= MOST or (spent >= LEAST and self.somebody_waits())


@contextmanager
def turn(name: str, somebody_waits: Callable[[], bool]) -> Iterator[Turn | None]:
    """The sweep's turn; None while another sweep has it."""
    Sweep.objects.filter(name=name, told_until__isnull=False).update(told_until=None)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", LOCK)
        mine = bool(cursor.fetchone()[0])
    if not mine:
        yield None
        return
    try:
        yield Turn(somebody_waits)
    finally:
        give_up()


def give_up() -> None:
    """Release the lock for the next sweep. If the session was lost meanwhile, the lock is free
    already."""
    if connection.is_usable():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", LOCK)
    else:
        connection.close()


def taken() -> bool:
    """Whether a sweep has its turn."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database d ON d.oid = database"
            " WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND granted"
            " AND datname = current_database())",
            LOCK,
        )
        return bool(cursor.fetchone()[0])


def image_waits() -> bool:
    """Whether an image waits for a slot although its message was sent some time ago."""
    told = Now() + RETELL_AFTER - IMAGE_WAITS
    waiting = Upload.objects.live().filter(state=State.CHECKING, lease=None, lease_until__lte=told)
    return waiting.exists()
