"""Requests that their heads show to be wrong, refused before their bodies or addresses are decoded.

Django decodes forms and query strings by whatever codec of Python's the Content-Type names. One of
them is quadratic (`punycode`: 600 KB held a process for minutes), others raise unexpected errors,
and its parser of the header has the same fault with `name*=codec''…`. Our pages are in UTF-8, so no
other encoding is accepted.
"""

from collections.abc import Callable, Iterable
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _

UNREAD = "s3tasks.unread_content_type"


def is_utf8(content_type: str) -> bool:
    """Whether the header names no encoding but UTF-8, neither for the body nor for its own
    parameters."""
    for parameter in content_type.split(";")[1:]:
        name, _equals, value = parameter.partition("=")
        if "*" in name:
            return False
        if name.strip().lower() == "charset" and value.strip().strip('"').lower() not in {
            "utf-8",
            "utf8",
        }:
            return False
    return True


class Utf8Only:
    """WSGI: removes a Content-Type in another encoding, which Django would use, or fail on, as soon
    as it builds the request."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self.application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not is_utf8(environ.get("CONTENT_TYPE", "")):
            environ[UNREAD] = True
            environ["CONTENT_TYPE"] = ""
        return self.application(environ, start_response)


def fault_of_encoding(request: HttpRequest) -> str:
    """The sentence for a request in another encoding than UTF-8; blank for all others."""
    if request.META.get(UNREAD) or not is_utf8(request.META.get("CONTENT_TYPE", "")):
        return _("Only UTF-8 is accepted, and the request declares another encoding.")
    return ""


def fault_of_range(request: HttpRequest) -> str:
    """The sentence for a body that is only a part of a file; blank for all others.

    If it were stored, it would be taken for the whole file:
    https://www.rfc-editor.org/rfc/rfc9110#section-14.5
    """
    if request.method in {"POST", "PUT", "PATCH"} and "Content-Range" in request.headers:
        return _(
            "An upload can't be resumed. Send all of it, without Content-Range (curl: without -C)."
        )
    return ""
