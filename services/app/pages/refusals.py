"""What the server says to a line that it did not let in, or has waited for in vain."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from pages import errors
from s3tasks.web.request_body import line_of, told


class RefusalMiddleware:
    """Answers for the view, where the body was not waited for."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        line = line_of(request)
        if line and line.verdict:
            return errors.answer(request, told(line.verdict))
        return self.get_response(request)
