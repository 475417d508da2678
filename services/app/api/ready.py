"""`/readyz`: whether what the app needs answers and all is well with it, each part named."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from uploads import redis
from uploads.errors import StorageUnavailable
from uploads.storage import storage
from uploads.sweeps import clocks, report

log = logging.getLogger(__name__)

PATIENCE = 2.0  # seconds for all of them together
OK, SILENT = "ok", "no answer"


class Unwell(Exception):
    """It answers, and says what is wrong."""


def ask_postgres() -> None:
    """Return where Postgres answers."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()  # the pool's thread may not be asked again for long


def ask_sweeps() -> None:
    """Return where each sweep did well lately, as far as Postgres answers; raises Unwell."""
    late: dict[str, report.Late] = {}
    try:
        with suppress(DatabaseError):
            late = report.late()
    finally:
        connection.close()
    if late:
        raise Unwell("; ".join(sweep.sentence for sweep in late.values()))


def ask_clock() -> None:
    """Return where this machine's clock goes as storage's does, as far as storage answers; raises
    Unwell."""
    sentence = ""
    with suppress(StorageUnavailable):
        sentence = clocks.difference()
    if sentence:
        raise Unwell(sentence)


PARTS: dict[str, Callable[[], object]] = {
    "postgres": ask_postgres,
    "redis": lambda: redis.client().ping(),
    "storage": lambda: storage().check_bucket(),
    "clock": ask_clock,
    "sweeps": ask_sweeps,
}
# After another, in its thread: one connection to Postgres is enough.
ASKED_IN = {"sweeps": "postgres"}


@cache
def asking(name: str) -> ThreadPoolExecutor:
    """A part's own thread: one that hangs holds no other up, and takes no second connection."""
    return ThreadPoolExecutor(1, thread_name_prefix=f"readyz-{name}")


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200 where all answer within two seconds that all is well, 503 otherwise; each by its name."""
    asked = {asking(ASKED_IN.get(name, name)).submit(ask): name for name, ask in PARTS.items()}
    answered, late = wait(asked, timeout=PATIENCE)
    for question in late:
        question.cancel()
    says = {name: what_it_says(question, question in answered) for question, name in asked.items()}
    for name, words in says.items():
        if words not in {OK, SILENT}:
            log.error("%s: %s", name, words)
    status = 200 if set(says.values()) == {OK} else 503
    return JsonResponse(says, status=status, headers={"Cache-Control": "no-store"})


def what_it_says(question: Future[object], answered: bool) -> str:
    """A part's own words."""
    if not answered:
        return SILENT
    error = question.exception()
    if isinstance(error, Unwell):
        return str(error)
    return OK if error is None else SILENT
