"""What an answer asks of browsers, beyond what Django's own middlewares say."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

# Nothing here asks for a device or a payment, so no script that got in may either.
DEVICES = (
    "accelerometer camera display-capture geolocation gyroscope hid magnetometer microphone midi"
    " payment screen-wake-lock serial usb xr-spatial-tracking"
)


class HeadersMiddleware:
    """Permissions-Policy, and no answer in a page of another site unless a view allows it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.policy = ", ".join(f"{name}=()" for name in DEVICES.split())

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers["Permissions-Policy"] = self.policy
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        return response
