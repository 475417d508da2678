"""The page for an outage of Postgres; `api.problems` rewrites it for programs."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from pages import errors
from uploads.database_outage import is_outage, unavailable


class OutageMiddleware:
    """Answers 503 with Retry-After instead of 500, in every view."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not is_outage(error):
            return None
        return errors.answer(request, unavailable(error))
