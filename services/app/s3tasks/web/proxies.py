"""The visitor's address and scheme, where proxies of ours stand in front."""

import re
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse


class TrustedProxiesMiddleware:
    """Believe as many entries of X-Forwarded-For as there are proxies of ours, from its end.

    Each proxy appends the address that called it, so what a visitor forges stands before those.
    With TRUSTED_PROXIES=0 the header is ignored, as is X-Forwarded-Proto by the settings.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        proxies = settings.TRUSTED_PROXIES
        forwarded = [a.strip() for a in request.headers.get("X-Forwarded-For", "").split(",")]
        if proxies and len(forwarded) >= proxies and forwarded[-proxies]:
            request.META["REMOTE_ADDR"] = without_port(forwarded[-proxies])
        return self.get_response(request)


def without_port(forwarded: str) -> str:
    """The address of an entry: some proxies write `192.0.2.1:4711`, and IPv6 in brackets.

    A visitor who could choose another port each time would be another visitor each time.
    """
    found = re.fullmatch(r"\[([^\]]*)\](?::\d*)?|([^:]*):\d*", forwarded)
    return (found[1] or found[2] or "") if found else forwarded
