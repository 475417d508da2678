"""`/readyz`: whether what the app needs answers, each part named."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache

from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from uploads import rate
from uploads.storage import storage

PATIENCE = 2.0  # seconds for all of them together
OK, SILENT = "ok", "no answer"


def ask_postgres() -> None:
    """Return where Postgres answers."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()  # the pool's thread may not be asked again for long


PARTS: dict[str, Callable[[], object]] = {
    "postgres": ask_postgres,
    "redis": lambda: rate.client().ping(),
    "storage": lambda: storage().check_bucket(),
}


@cache
def asking(name: str) -> ThreadPoolExecutor:
    """A part's own thread: one that hangs holds no other up, and takes no second connection."""
    return ThreadPoolExecutor(1, thread_name_prefix=f"readyz-{name}")


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200 where all answer within two seconds, 503 otherwise; each by its name."""
    asked = {asking(name).submit(ask): name for name, ask in PARTS.items()}
    answered, late = wait(asked, timeout=PATIENCE)
    for question in late:
        question.cancel()
    says = {
        name: OK if question in answered and question.exception() is None else SILENT
        for question, name in asked.items()
    }
    status = 200 if set(says.values()) == {OK} else 503
    return JsonResponse(says, status=status, headers={"Cache-Control": "no-store"})
