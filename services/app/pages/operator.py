"""The operator's way in."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from pages import errors
from uploads.errors import RateLimited
from uploads.rate import check_login_rate


def login(request: HttpRequest) -> HttpResponse:
    """Django's page, once the rate is asked: each password tried costs half a second of CPU."""
    if request.method == "POST":
        try:
            check_login_rate(request.META["REMOTE_ADDR"])
        except RateLimited as error:
            return errors.answer(request, error)
    return admin.site.login(request)
