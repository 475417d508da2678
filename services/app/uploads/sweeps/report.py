"""The sweeps' reports: one row each, with its last success and the error that stopped it.

A sweep that nobody runs reports nothing, so `late` finds those whose last success is too old.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import DurationField, ExpressionWrapper, F, Q
from django.db.models.functions import Now

from uploads.errors import StorageUnavailable
from uploads.models import PurgeKey, Sweep

log = logging.getLogger(__name__)

NAMES = ("expire", "purge", "reconcile")
LATE_AFTER = timedelta(minutes=5)  # without a success, although each is due every few seconds
NOTED_EVERY = timedelta(seconds=30)  # how often a sweep with nothing to do is noted as well
RETRY_AFTER = timedelta(seconds=30)  # when a purge that was stopped is tried again
SAID_MAX = 2000  # characters of an error in a sweep's row


class Report:
    """The report of one run of a sweep."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.error: Exception | None = None  # the first
        self.well = True

    @contextmanager
    def part(self, what: str) -> Iterator[None]:
        """A part of the run that may fail without stopping the others: its error is noted."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  raised once the row is written
            self.note(f"{what}: {cause_of(error)}" if what else cause_of(error))
            self.error = self.error or error

    def note(self, sentence: str) -> None:
        """Note an error; the next run tries again."""
        self.said.append(sentence)

    def stays(self, errors: dict[str, str]) -> None:
        """Note the keys that storage did not delete, each with its reason."""
        for key, cause in list(errors.items())[:1]:
            more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
            self.note(f"{key} stays: {cause}{more}")


@contextmanager
def reporting(name: str) -> Iterator[Report]:
    """Write into the sweep's row how the run went; an error that stopped it, or a part of it, is
    raised after that."""
    report = Report()
    with report.part(""):
        yield report
    try:
        write(name, report)
    except DatabaseError as error:
        log.error("%s can't be reported: %s", name, error)  # noqa: TRY400  raised, or another is
        if report.error is None:
            raise
    if report.error is not None:
        raise report.error


def write(name: str, report: Report) -> None:
    """The sweep's row."""
    if not connection.in_atomic_block:  # the connection itself may have failed
        connection.close_if_unusable_or_obsolete()
    said = printable("; ".join(dict.fromkeys(report.said)))
    row: dict[str, object] = {"backlog": PurgeKey.objects.due().count()}
    if said:
        log.error("%s: %s", name, said)
        row |= {"last_error_at": Now(), "last_error": said}
    if report.well and report.error is None:
        row |= {"last_ok": Now()}
    Sweep.objects.update_or_create(name=name, defaults=row)


def cause_of(error: Exception) -> str:
    """The cause in an operator's words: `AccessDenied on DeleteObjects`."""
    if isinstance(error, StorageUnavailable):
        return error.cause
    if type(error).__module__ == "uploads.errors":
        return str(error)  # a sentence
    return f"{type(error).__name__}: {error}"


def printable(text: str) -> str:
    """The text in one line, without characters that a database, a log or a terminal can't take."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown[:SAID_MAX]


def begin() -> None:
    """Called by the first release: from now on the sweeps are expected to succeed."""
    Sweep.objects.bulk_create(
        [Sweep(name=name, last_ok=Now()) for name in NAMES], ignore_conflicts=True
    )


def note_well(names: list[str]) -> None:
    """Note that these sweeps have nothing to do, which counts as a success unless their last run
    failed."""
    noted = Q(last_ok__gt=Now() - NOTED_EVERY, last_ok__lte=Now())
    stopped = Q(last_error_at__gt=F("last_ok"))
    idle = Sweep.objects.filter(name__in=names, last_ok__isnull=False)
    idle.exclude(noted).exclude(stopped).update(last_ok=Now())


@dataclass(frozen=True)
class Late:
    """A sweep whose last success is too old."""

    sentence: str  # for anybody
    why: str  # for an operator: it may name hosts and keys


def late() -> dict[str, Late]:
    """The sweeps whose last success is too old, by name."""
    age = ExpressionWrapper(Now() - F("last_ok"), output_field=DurationField())
    said = {}
    for sweep in Sweep.objects.filter(name__in=NAMES).annotate(age=age).order_by("name"):
        if not sweep.last_ok and not sweep.last_error_at:
            continue  # it has not begun
        if sweep.age is not None and timedelta() <= sweep.age <= patience(sweep.name):
            continue
        if sweep.age is None:
            success = "has never succeeded"
        elif sweep.age < timedelta():
            success = "last succeeded before Postgres's clock was set back"
        else:
            success = f"last succeeded {sweep.age.total_seconds() // 60:.0f} minutes ago"
        stopped = sweep.last_error_at and (not sweep.last_ok or sweep.last_error_at > sweep.last_ok)
        why = sweep.last_error if stopped else "are beat and the worker running?"
        said[sweep.name] = Late(f"{sweep.name} {success}", why)
    return said


def patience(name: str) -> timedelta:
    """How old the sweep's last success may be."""
    rounds = 3 * settings.RECONCILE_EVERY if name == "reconcile" else settings.EXPIRE_EVERY
    return LATE_AFTER + timedelta(seconds=rounds)


def failed_lately(name: str) -> bool:
    """Whether the sweep failed less than RETRY_AFTER ago, and has not succeeded since."""
    return (
        Sweep.objects.filter(
            name=name, last_error_at__gt=Now() - RETRY_AFTER, last_error_at__lte=Now()
        )
        .exclude(last_ok__gt=F("last_error_at"))
        .exists()
    )
