"""The visitor's address and scheme, behind proxies of ours."""

import re
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse


class TrustedProxiesMiddleware:
    """Replaces the caller's address in the request, which is a proxy's, with the visitor's.

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
    """The visitor's address, from the caller's address and the request's X-Forwarded-For.

    Of the header, only the last entries count, as many as there are proxies of ours. Each proxy
    appends the address that called it, so entries that a visitor forged stand before those.
    """
    proxies = settings.TRUSTED_PROXIES
    forwarded = [entry.strip() for entry in forwarded_for.split(",")]
    if proxies and len(forwarded) >= proxies and forwarded[-proxies]:
        return without_port(forwarded[-proxies])
    return caller


def without_port(forwarded: str) -> str:
    """The address of an entry: some proxies write `192.0.2.1:4711`, and IPv6 in brackets.

    Ports are removed because a visitor with a new port for each request would count as a new
    visitor each time.
    """
    found = re.fullmatch(r"\[([^\]]*)\](?::\d*)?|([^:]*):\d*", forwarded)
    return (found[1] or found[2] or "") if found else forwarded
