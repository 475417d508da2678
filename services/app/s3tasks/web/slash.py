"""The slash that an address lacks."""

from typing import Any

from django.http import HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware


class Redirect(HttpResponsePermanentRedirect):
    """A redirect that nobody keeps, as no answer about the pages is kept."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self["Cache-Control"] = "no-store"


class SlashMiddleware(CommonMiddleware):
    """Django's own. A browser would keep its redirect for ever, also when another project answers
    at the same port."""

    response_redirect_class = Redirect
