"""The logs: one line of JSON an event in production, lines for people in development.

Each line of a request, and of the tasks that it starts, holds the request's id (see
`s3tasks.request_id`). No line holds a path, which may be a link or a file name: requests are named
by their route. No line of JSON holds the values that Postgres quotes from a row.
"""

import logging
import re
import time
from collections.abc import Callable
from typing import Any

from celery import signals
from django.http import HttpRequest, HttpResponse
from pythonjsonlogger.json import JsonFormatter

access = logging.getLogger("s3tasks.access")
QUOTED = re.compile(r"\b(DETAIL|LINE \d+):.*")  # in an error of Postgres's
ASKED_AGAIN = {"/links/left/", "/f/<token:token>.json"}  # every few seconds, by each open page
TRACEBACK_MAX = 7_000  # characters of its end; Heroku cuts a line of 10,000 bytes in two


def configuration(*, json: bool) -> dict[str, Any]:
    """Django's LOGGING."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "request_id": {"()": "s3tasks.request_id.RequestIdFilter"},
            "routes": {"()": "s3tasks.logs.Routes"},
            "gunicorn": {"()": "s3tasks.logs.Gunicorn"},
            "ticks": {"()": "s3tasks.logs.Ticks"},
        },
        "formatters": {
            "json": {
                "()": "s3tasks.logs.JsonLine",
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
            # With their own handlers, each line would appear twice.
            "django": {"handlers": [], "propagate": True},
            "django.server": {"handlers": [], "propagate": True},
            # These log what beat does every few seconds, and every step of decoding an image.
            "gunicorn.error": {"handlers": [], "propagate": True},
            "celery.beat": {"level": "WARNING"},
            "pyvips": {"level": "WARNING"},
        },
    }


class JsonLine(JsonFormatter):
    """An event on one line, without values from the database and without the fields that Celery
    repeats."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        for name in ("message", "exc_info"):
            if name in log_data:
                log_data[name] = QUOTED.sub(r"\1 …", log_data[name])
        if "exc_info" in log_data:
            log_data["exc_info"] = log_data["exc_info"][-TRACEBACK_MAX:]
        data = log_data.pop("data", None)
        if isinstance(data, dict):
            log_data["args"] = data.get("args")
        return log_data


class Routes(logging.Filter):
    """Puts the route in place of the path, which Django's messages about a request contain."""

    def filter(self, record: logging.LogRecord) -> bool:
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
    """Removes what gunicorn quotes: a request that it can't read, or the path of one whose answer
    failed."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == "gunicorn.error":
            said = re.match("Invalid request|Error handling request", str(record.msg))
            if said:
                record.msg, record.args = said.group(), ()
        return True


class Ticks(logging.Filter):
    """Leaves out the ticks, which nearly always find nothing to do."""

    def filter(self, record: logging.LogRecord) -> bool:
        data = getattr(record, "data", None)
        return not (isinstance(data, dict) and data.get("name") == "tick")


def route(request: HttpRequest) -> str:
    """The pattern of the address that a request came to, without what is secret in its path."""
    match = request.resolver_match
    return f"/{match.route}" if match else "(no route)"


class AccessLogMiddleware:
    """Says how each request ended."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        start = time.monotonic()
        response = self.get_response(request)
        milliseconds = round((time.monotonic() - start) * 1000)
        untold = request.path == "/healthz" or route(request) in ASKED_AGAIN
        if response.status_code >= 400 or not untold:
            access.info(
                "%s %s %d in %d ms",
                request.method,
                route(request),
                response.status_code,
                milliseconds,
                extra={"status": response.status_code, "milliseconds": milliseconds},
            )
        return response


@signals.setup_logging.connect
def keep_configuration(**_: Any) -> None:
    """Keeps Django's logging: Celery configures none of its own while this signal has a
    receiver."""
