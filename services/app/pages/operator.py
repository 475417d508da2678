"""The operator's login, and the answer to malformed requests in the admin."""

import logging
from collections.abc import Callable

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse

from pages import errors
from uploads.errors import RateLimited
from uploads.rate import check_login_rate

log = logging.getLogger(__name__)


def login(request: HttpRequest) -> HttpResponse:
    """Django's login page, behind a rate limit: checking one password takes half a second of
    CPU."""
    if request.method == "POST":
        try:
            check_login_rate(request.META["REMOTE_ADDR"])
        except RateLimited as error:
            return errors.answer(request, error)
    return admin.site.login(request)


class OperatorMiddleware:
    """Answers 400 to ids and filters that Django's admin can't read; it expects only those of its
    own pages."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        match = request.resolver_match
        if match and match.app_name == "admin" and isinstance(error, (ValidationError, ValueError)):
            log.warning("a value that the admin can't read", exc_info=error)
            return errors.bad_request(request, error)
        return None
