"""The begin and the end of the time that a request has."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from s3tasks.web.request_body import socket_of
from uploads import deadline


class RequestTimeMiddleware:
    """Counts from when the request had arrived, even if it then waited for a thread; see
    uploads.deadline."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sock = socket_of(request)
        deadline.begin(sock.ready_at if sock else None)
        try:
            return self.get_response(request)
        finally:
            deadline.end()
