"""When a request's time begins, and that it ends."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from s3tasks.web.request_body import socket_of
from uploads import deadline


class RequestTimeMiddleware:
    """From when the request was there, be it that it waited for a thread; see uploads.deadline."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sock = socket_of(request)
        deadline.begin(sock.ready_at if sock else None)
        try:
            return self.get_response(request)
        finally:
            deadline.end()
