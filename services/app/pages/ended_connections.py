"""What the server says to a connection that it did not let in, or has waited for in vain."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from pages import errors
from s3tasks.web.request_body import refusal_of, socket_of


class EndedConnectionMiddleware:
    """Answers for the view, where the body was not waited for."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sock = socket_of(request)
        if sock and sock.verdict:
            return errors.answer(request, refusal_of(sock.verdict))
        return self.get_response(request)
