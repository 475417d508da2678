"""The redirect to an address with the slash that it lacks."""

from typing import Any

from django.http import HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware


class Redirect(HttpResponsePermanentRedirect):
    """A redirect that browsers don't cache."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self["Cache-Control"] = "no-store"


class SlashMiddleware(CommonMiddleware):
    """Django's middleware with such redirects. Browsers keep Django's own for ever, even when
    another project later answers on the same port."""

    response_redirect_class = Redirect
