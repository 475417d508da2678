"""`/healthz`: the process lives.

gunicorn's loop answers it, so that it needs no free thread. Under any other server a middleware
does, before hosts and HTTPS are checked: the probes of the container and the platform call by
address and without TLS.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse

HEALTHZ = re.compile(rb"(GET|HEAD) /healthz(?:\?[^ \r\n]*)? HTTP/1\.([01])\r\n")
OK = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
    b"Cache-Control: no-store\r\nConnection: %s\r\n\r\n%s"
)
# A request with a body, or the last one that the client wants to send, ends the connection.
LAST = re.compile(rb"(?i)\r\n(?:connection:[^\r\n]*close|content-length:|transfer-encoding:)")


class Answer(NamedTuple):
    """The bytes to send, and whether the connection stays open."""

    data: bytes
    keep: bool  # the connection


def answer_to(head: bytes) -> Answer | None:
    """The answer to a request's head that asks for `/healthz`; None for all other requests."""
    asked = HEALTHZ.match(head)
    if not asked:
        return None
    keep = asked[2] == b"1" and not LAST.search(head)
    body = b"ok\n" if asked[1] == b"GET" else b""
    return Answer(OK % (b"keep-alive" if keep else b"close", body), keep)


class HealthMiddleware:
    """Answers `/healthz` under any other server."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/healthz" and request.method in {"GET", "HEAD"}:
            return HttpResponse(
                "ok\n", content_type="text/plain", headers={"Cache-Control": "no-store"}
            )
        return self.get_response(request)
