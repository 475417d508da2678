"""When a request's time begins, and that it ends."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from s3tasks.web.request_body import line_of
from uploads import deadline


class RequestTimeMiddleware:
    """From when the request was there, be it that it waited for a thread; see uploads.deadline."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        line = line_of(request)
        deadline.begin(line.ready_at if line else None)
        try:
            return self.get_response(request)
        finally:
            deadline.end()
