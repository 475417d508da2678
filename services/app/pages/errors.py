"""The error pages; they are never cached."""

import sys

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from s3tasks.web.retry_after import set_retry_after
from uploads.database_outage import is_outage, unavailable
from uploads.errors import StillChecking, UploadError

TEMPLATE = "pages/message.html"
TITLES = {
    400: gettext_lazy("That didn't work"),
    403: gettext_lazy("Not allowed"),
    404: gettext_lazy("Not found"),
    405: gettext_lazy("Not a page"),
    408: gettext_lazy("That didn't work"),
    409: gettext_lazy("That didn't work"),
    422: gettext_lazy("That didn't work"),
    429: gettext_lazy("Too much at once"),
    500: gettext_lazy("Server error"),
    503: gettext_lazy("Not available right now"),
}


def message_page(
    request: HttpRequest, *, status: int, sentence: str, title: str = ""
) -> HttpResponse:
    """A page with one sentence."""
    context = {
        "title": title or TITLES[status],
        "sentence": sentence,
        "again": status == 503 and request.method == "GET",
    }
    response = render(request, TEMPLATE, context, status=status)
    add_never_cache_headers(response)
    return response


def answer(request: HttpRequest, error: UploadError) -> HttpResponse:
    """The page for an error of the domain, where no form can show it."""
    title = _("Being checked") if isinstance(error, StillChecking) else ""
    response = message_page(request, status=error.status, sentence=error.sentence, title=title)
    set_retry_after(response, error.retry_after)
    response.sentence = error.sentence  # type: ignore[attr-defined]  # for api.problems
    return response


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The form came from another site or was too old, or the browser keeps no cookies."""
    sentence = _(
        "The form was not sent from this site, its page was open for too long, or your browser"
        " doesn't accept cookies. Nothing was changed. Go back, reload the page and try again."
    )
    return message_page(request, status=403, sentence=sentence)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400."""
    return message_page(request, status=400, sentence=_("This request could not be understood."))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    return message_page(
        request, status=403, sentence=_("You don't have permission to see this page.")
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    return message_page(request, status=404, sentence=_("There is no page at this address."))


def method_not_allowed(request: HttpRequest) -> HttpResponse:
    """The page for an address that only accepts a form and was opened in a browser."""
    sentence = _("This address only accepts the form on the page.")
    return message_page(request, status=405, sentence=sentence)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500. It renders without the request's context, which may be broken."""
    error = sys.exception()
    # Raised in a middleware; those of views are answered by pages.database_outage.
    if error and is_outage(error):
        return answer(request, unavailable(error))
    sentence = _("Something went wrong on our side. The error has been logged.")
    context = {"title": TITLES[500], "sentence": sentence}
    response = HttpResponse(render_to_string(TEMPLATE, context), status=500)
    add_never_cache_headers(response)
    return response
