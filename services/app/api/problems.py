"""Errors for programs: RFC 9457 problem details, or one line of text for `curl -T`. Every error
passes here, whether a rule, the router, the CSRF check or a broken view made it.
"""

import json
from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from s3tasks.web.plain_text import TEXT, line
from s3tasks.web.request_body import body_of
from s3tasks.web.request_head import fault_of_encoding, fault_of_range
from s3tasks.web.retry_after import set_retry_after
from uploads.errors import UploadError

PROBLEM = "application/problem+json"

# The sentence for a status, if the error has none for programs. Translated, because the page shows
# the sentence of an answer that it did not expect.
SENTENCES = {
    400: gettext_lazy("This request could not be understood."),
    401: gettext_lazy("Send the visitor's cookie, or an owner_token as `Authorization: Bearer …`."),
    403: gettext_lazy(
        "With the visitor's cookie, send its CSRF token as X-CSRFToken; or send an owner_token"
        " as `Authorization: Bearer …` and no cookie."
    ),
    404: gettext_lazy("There is nothing at this address."),
    405: gettext_lazy("This address does not accept this method."),
    413: gettext_lazy("The request body is too large."),
    500: gettext_lazy("Something went wrong on our side. The error has been logged."),
}


def problem(status: int, sentence: str, *, retry_after: int | None = None) -> HttpResponse:
    """An answer with problem details: https://www.rfc-editor.org/rfc/rfc9457"""
    title = HTTPStatus(status).phrase
    details = {"type": "about:blank", "title": title, "status": status, "detail": sentence}
    response = HttpResponse(json.dumps(details), content_type=PROBLEM, status=status)
    set_retry_after(response, retry_after)
    if status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = "Bearer"
    return response


def problem_of(error: UploadError) -> HttpResponse:
    """The domain's error for a program."""
    return problem(error.status, error.sentence, retry_after=error.retry_after)


class ApiErrorsMiddleware:
    """Programs get no pages: errors under `/api/` are problem details, those of a PUT a line.

    A PUT outside `/api/` is `curl -T` and has an address space of its own: any name is a file's.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        is_api = request.path_info.startswith("/api/")
        if not is_api and request.method != "PUT":
            return self.get_response(request)
        # Out here, LocaleMiddleware has not chosen a language yet, or has left it again.
        with translation.override(translation.get_language_from_request(request)):
            if is_api:
                response = (
                    refuse_head(request) or refuse_forms(request) or self.get_response(request)
                )
                response = rewritten(response, problem, PROBLEM)
                response["Cache-Control"] = "no-store"
                return response
            request.urlconf = "s3tasks.put_urls"
            return rewritten(self.get_response(request), line, TEXT)


def refuse_head(request: HttpRequest) -> HttpResponse | None:
    """The answer to a request that can't be read, or that is only a part of a file; else None."""
    fault = fault_of_encoding(request) or fault_of_range(request)
    if not fault:
        return None
    body_of(request).drain()
    return problem(400, fault)


def refuse_forms(request: HttpRequest) -> HttpResponse | None:
    """The answer to a body that is not JSON, else None: a page of another site can make a browser
    send any other type."""
    body = body_of(request)
    if body.length == 0 or request.content_type == "application/json":
        return None
    body.drain()
    return problem(415, _("Send the request body as application/json."))


def rewritten(
    response: HttpResponseBase, write: Callable[[int, str], HttpResponse], content_type: str
) -> HttpResponseBase:
    """The answer; an error is rewritten into the form that programs read, and keeps its headers."""
    if response.status_code < 400 or response["Content-Type"] == content_type:
        return response
    sentence = getattr(response, "sentence", None) or SENTENCES.get(
        response.status_code, HTTPStatus(response.status_code).phrase
    )
    new = write(response.status_code, str(sentence))
    for name, value in response.items():
        if name not in {"Content-Type", "Content-Length"}:
            new[name] = value
    response.close()
    return new
