"""`/readyz`: whether everything that the app needs answers and is well, part by part."""

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

PATIENCE = 2.0  # seconds for all parts together
OK, SILENT = "ok", "no answer"


class Unwell(Exception):
    """The part answers, and reports a fault."""


def ask_postgres() -> None:
    """Return if Postgres answers."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()  # this thread may not be asked again for a long time


def ask_sweeps() -> None:
    """Return if each sweep has succeeded lately, or if Postgres does not answer; raises Unwell."""
    late: dict[str, report.Late] = {}
    try:
        with suppress(DatabaseError):
            late = report.late()
    finally:
        connection.close()
    if late:
        raise Unwell("; ".join(sweep.sentence for sweep in late.values()))


def ask_clock() -> None:
    """Return if this machine's clock agrees with storage's, or if storage does not answer; raises
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
# Asked after another part, in its thread: one connection to Postgres is enough for both.
ASKED_IN = {"sweeps": "postgres"}


@cache
def asking(name: str) -> ThreadPoolExecutor:
    """A thread for each part: one that hangs holds up no other, and takes no second connection."""
    return ThreadPoolExecutor(1, thread_name_prefix=f"readyz-{name}")


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200 if all parts answer within two seconds that they are well, else 503; the body names each
    part."""
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
    """A part's answer, in its own words."""
    if not answered:
        return SILENT
    error = question.exception()
    if isinstance(error, Unwell):
        return str(error)
    return OK if error is None else SILENT
