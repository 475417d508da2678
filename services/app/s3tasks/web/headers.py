"""Security headers, beyond those of Django's own middlewares."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

# The pages use no device and no payment, so an injected script may not either.
DEVICES = (
    "accelerometer camera display-capture geolocation gyroscope hid magnetometer microphone midi"
    " payment screen-wake-lock serial usb xr-spatial-tracking"
)


class HeadersMiddleware:
    """Sets Permissions-Policy, and keeps answers out of other sites' pages unless a view allows
    that."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.policy = ", ".join(f"{name}=()" for name in DEVICES.split())

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers["Permissions-Policy"] = self.policy
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        return response
