"""The visitor's address and scheme, where proxies of ours stand in front."""

import re
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse


class TrustedProxiesMiddleware:
    """Puts the visitor's address where the server put its caller's.

    With TRUSTED_PROXIES=0 the header is ignored, as is X-Forwarded-Proto by the settings.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        forwarded_for = request.headers.get("X-Forwarded-For", "")
        caller = request.META.get("REMOTE_ADDR", "")
        request.META["REMOTE_ADDR"] = visitor_address(caller, forwarded_for)
        return self.get_response(request)


def visitor_address(caller: str, forwarded_for: str) -> str:
    """The visitor's address, of a request that came from the caller's with this X-Forwarded-For.

    As many of its entries are believed as there are proxies of ours, from its end: each proxy
    appends the address that called it, so what a visitor forges stands before those.
    """
    proxies = settings.TRUSTED_PROXIES
    forwarded = [entry.strip() for entry in forwarded_for.split(",")]
    if proxies and len(forwarded) >= proxies and forwarded[-proxies]:
        return without_port(forwarded[-proxies])
    return caller


def without_port(forwarded: str) -> str:
    """The address of an entry: some proxies write `192.0.2.1:4711`, and IPv6 in brackets.

    A visitor who could choose another port each time would be another visitor each time.
    """
    found = re.fullmatch(r"\[([^\]]*)\](?::\d*)?|([^:]*):\d*", forwarded)
    return (found[1] or found[2] or "") if found else forwarded
