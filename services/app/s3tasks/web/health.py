"""`/healthz`: the process lives. Answered before hosts and HTTPS are looked at, as probes of the
container and of the platform call by address and without TLS."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse


class HealthMiddleware:
    """Answers `/healthz` itself."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/healthz" and request.method in {"GET", "HEAD"}:
            return HttpResponse(
                "ok\n", content_type="text/plain", headers={"Cache-Control": "no-store"}
            )
        return self.get_response(request)
