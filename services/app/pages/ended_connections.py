"""The answer to a request whose connection got no place, or that the server closed."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from pages import errors
from s3tasks.web.request_body import refusal_of, socket_of


class EndedConnectionMiddleware:
    """Answers instead of the view, if the server stopped waiting for the body."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sock = socket_of(request)
        if sock and sock.verdict:
            return errors.answer(request, refusal_of(sock.verdict))
        return self.get_response(request)
