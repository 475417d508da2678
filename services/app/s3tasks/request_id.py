"""A request's id, which the tasks that it sends carry on, and which each line of the log holds."""

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
ACCEPTED = re.compile(r"[A-Za-z0-9+/=-]{20,200}")  # as Heroku's router accepts them


class RequestIdMiddleware:
    """Takes the id from the router in front, else draws one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get("X-Request-ID", "") if settings.TRUSTED_PROXIES else ""
        # Until the thread's next request: what Django and gunicorn say after this is of this one.
        current.set(given if ACCEPTED.fullmatch(given) else uuid.uuid4().hex)
        return self.get_response(request)


class RequestIdFilter(logging.Filter):
    """Adds `request_id` to a line where there is one."""

    def filter(self, record: logging.LogRecord) -> bool:
        if found := current.get():
            record.request_id = found
        return True


@signals.before_task_publish.connect
def send_request_id(headers: dict[str, Any], **_: Any) -> None:
    """The task carries the id of the request, or of the task, that sends it."""
    if found := current.get():
        headers["request_id"] = found


@signals.task_prerun.connect
def take_request_id(task: Any, **_: Any) -> None:
    """What the task says, and the tasks that it sends, have the id that it carries."""
    current.set(getattr(task.request, "request_id", None) or "")


@signals.task_postrun.connect
def leave_request_id(**_: Any) -> None:
    """What comes between two tasks has none."""
    current.set("")
