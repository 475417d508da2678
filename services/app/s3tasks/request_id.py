"""The id of a request, which its tasks carry on and each line of the log contains."""

import logging
import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from celery import signals
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

current: ContextVar[str] = ContextVar("request_id", default="")
ACCEPTED = re.compile(r"[A-Za-z0-9+/=-]{20,200}")  # the ids that Heroku's router accepts


class RequestIdMiddleware:
    """Takes the id from the router in front, or makes a new one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get("X-Request-ID", "") if settings.TRUSTED_PROXIES else ""
        # The id stays until the thread's next request: what Django and gunicorn log after this
        # still belongs to this request.
        current.set(given if ACCEPTED.fullmatch(given) else uuid.uuid4().hex)
        return self.get_response(request)


class RequestIdFilter(logging.Filter):
    """Adds `request_id` to a line of the log, if there is one."""

    def filter(self, record: logging.LogRecord) -> bool:
        if found := current.get():
            record.request_id = found
        return True


@signals.before_task_publish.connect
def send_request_id(headers: dict[str, Any], **_: Any) -> None:
    """Give the task the id of the request, or the task, that sends it."""
    if found := current.get():
        headers["request_id"] = found


@signals.task_prerun.connect
def take_request_id(task: Any, **_: Any) -> None:
    """Use the id that the task carries for its log lines and for the tasks that it sends."""
    current.set(getattr(task.request, "request_id", None) or "")


@signals.task_postrun.connect
def leave_request_id(**_: Any) -> None:
    """Between two tasks there is no id."""
    current.set("")
