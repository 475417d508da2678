"""Whose turn it is: one sweep at a time in all workers, and none for longer than others can wait.

A worker has few slots, at the least one. A sweep may hold one of them, never two, and gives it up
as soon as somebody waits for it; the next tick hands it over again.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection
from django.db.models.functions import Now

from uploads.models import State, Sweep, Upload
from uploads.processing import RETELL_AFTER

LEAST = 2.0  # seconds that a sweep may go on whoever waits, or it would never come to an end
MOST = 60.0  # seconds, after which it reports, and lets another sweep go first
LOCK = (1, 1)  # the advisory lock that the sweeps take; it ends with its database session
# How long an image may wait for a slot before a sweep gives up its own: one that is free takes it
# much sooner.
IMAGE_WAITS = timedelta(seconds=0.5)
TOLD = timedelta(seconds=30)  # in which a worker that was told of a sweep begins it


class Turn:
    """A sweep's time; `over` is asked between two steps, each of a second or so."""

    def __init__(self, somebody_waits: Callable[[], bool]) -> None:
        self.began = time.monotonic()
        self.somebody_waits = somebody_waits

    def over(self) -> bool:
        """Whether it should leave the rest to its next turn."""
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
    """Let the next have its turn. A session that was lost meanwhile has given it up already."""
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
    """Whether no worker has a slot for an image that it was told of."""
    told = Now() + RETELL_AFTER - IMAGE_WAITS
    waiting = Upload.objects.live().filter(state=State.CHECKING, lease=None, lease_until__lte=told)
    return waiting.exists()
