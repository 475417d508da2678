"""What the processes say: a line of JSON an event in production, people's lines in development.

Each line of a request, and of the tasks that it starts, holds the request's id. No line holds a
path, which may be a link or a file's name: requests are named by their route. Nor does one of JSON
hold what Postgres quotes of a row.
"""

import logging
import re
import time
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from celery import signals
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from pythonjsonlogger.json import JsonFormatter

request_id: ContextVar[str] = ContextVar("request_id", default="")
ACCEPTED = re.compile(r"[A-Za-z0-9+/=-]{20,200}")  # as Heroku's router accepts them
access = logging.getLogger("s3tasks.access")
QUOTED = re.compile(r"\b(DETAIL|LINE \d+):.*")  # in an error of Postgres's
TRACEBACK_MAX = 7_000  # characters of its end; Heroku cuts a line of 10,000 bytes in two


def configuration(*, json: bool) -> dict[str, Any]:
    """Django's LOGGING."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "request_id": {"()": "s3tasks.logs.RequestId"},
            "routes": {"()": "s3tasks.logs.Routes"},
            "gunicorn": {"()": "s3tasks.logs.Gunicorn"},
            "ticks": {"()": "s3tasks.logs.Ticks"},
        },
        "formatters": {
            "json": {
                "()": "s3tasks.logs.Line",
                "format": "%(asctime)s %(levelname)s %(name)s %(message)s %(process)d",
                "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
            },
            "people": {"format": "%(levelname)-7s %(name)s: %(message)s"},
        },
        "handlers": {
            "console": {
                "class": "logging.StreamHandler",
                "formatter": "json" if json else "people",
                "filters": ["request_id", "routes", "gunicorn", "ticks"],
            },
        },
        "root": {"handlers": ["console"], "level": "INFO"},
        "loggers": {
            # Their own handlers would say it twice.
            "django": {"handlers": [], "propagate": True},
            "django.server": {"handlers": [], "propagate": True},
            # They tell what beat does every few seconds, and each step of an image.
            "gunicorn.error": {"handlers": [], "propagate": True},
            "celery.beat": {"level": "WARNING"},
            "pyvips": {"level": "WARNING"},
        },
    }


class Line(JsonFormatter):
    """An event on one line."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Without what must not be said, and what Celery says twice."""
        for name in ("message", "exc_info"):
            if name in log_data:
                log_data[name] = QUOTED.sub(r"\1 …", log_data[name])
        if "exc_info" in log_data:
            log_data["exc_info"] = log_data["exc_info"][-TRACEBACK_MAX:]
        data = log_data.pop("data", None)
        if isinstance(data, dict):
            log_data["args"] = data.get("args")
        return log_data


class RequestId(logging.Filter):
    """Adds `request_id` where there is one."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True."""
        if found := request_id.get():
            record.request_id = found
        return True


class Routes(logging.Filter):
    """Django's words on a request name its path; here its route stands in the place."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True."""
        request = getattr(record, "request", None)
        if isinstance(request, HttpRequest):
            if isinstance(record.args, tuple):
                record.args = tuple(
                    route(request) if arg in (request.path, request.get_full_path()) else arg
                    for arg in record.args
                )
            del record.request  # type: ignore[attr-defined]  # no line holds all of it
        return True


class Gunicorn(logging.Filter):
    """gunicorn quotes a request that it can't read, and the path of one that broke its answer."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True."""
        if record.name == "gunicorn.error":
            said = re.match("Invalid request|Error handling request", str(record.msg))
            if said:
                record.msg, record.args = said.group(), ()
        return True


class Ticks(logging.Filter):
    """Leaves out the ticks, which find nothing nearly always."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False for what Celery says of one."""
        data = getattr(record, "data", None)
        return not (isinstance(data, dict) and data.get("name") == "tick")


def route(request: HttpRequest) -> str:
    """Which door a request came to, without what is secret in its path."""
    match = request.resolver_match
    return f"/{match.route}" if match else "(no route)"


class RequestIdMiddleware:
    """Takes the id from the router in front, else draws one; says how the request ended."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "") if settings.TRUSTED_PROXIES else ""
        # Until the thread's next request: what Django and gunicorn say after this is of this one.
        request_id.set(given if ACCEPTED.fullmatch(given) else uuid.uuid4().hex)
        start = time.monotonic()
        response = self.get_response(request)
        milliseconds = round((time.monotonic() - start) * 1000)
        if request.path != "/healthz":
            access.info(
                "%s %s %d in %d ms",
                request.method,
                route(request),
                response.status_code,
                milliseconds,
                extra={"status": response.status_code, "milliseconds": milliseconds},
            )
        return response


@signals.before_task_publish.connect
def send_request_id(headers: dict[str, Any], **_: Any) -> None:
    """The task carries the id of the request, or of the task, that sends it."""
    if found := request_id.get():
        headers["request_id"] = found


@signals.task_prerun.connect
def take_request_id(task: Any, **_: Any) -> None:
    """What the task says, and the tasks that it sends, have the id that it carries."""
    request_id.set(getattr(task.request, "request_id", None) or "")


@signals.task_postrun.connect
def leave_request_id(**_: Any) -> None:
    """What comes between two tasks has none."""
    request_id.set("")


@signals.setup_logging.connect
def keep_configuration(**_: Any) -> None:
    """Celery configures no logging where this is connected: Django has, in the same process."""
