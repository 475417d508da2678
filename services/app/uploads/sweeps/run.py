"""One run of a sweep: its turn among the others, what it reports, and the moment it goes by."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from uploads.sweeps import turns
from uploads.sweeps.report import Report, reporting


@dataclass(frozen=True)
class Run:
    """What a step of a sweep is given."""

    turn: turns.Turn
    report: Report
    now: datetime | None  # of a test; else each clock tells its own


@contextmanager
def running(
    name: str, somebody_waits: Callable[[], bool], now: datetime | None
) -> Iterator[Run | None]:
    """The sweep's run; None while another sweep has the turn. What stopped it, or a step of it, is
    in its row, and is raised at the end."""
    with turns.turn(name, somebody_waits) as turn:
        if turn is None:
            yield None
            return
        with reporting(name) as report:
            yield Run(turn, report, now)
