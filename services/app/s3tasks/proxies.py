"""The visitor's address and scheme, where proxies of ours stand in front."""

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
            request.META["REMOTE_ADDR"] = forwarded[-proxies]
        return self.get_response(request)
