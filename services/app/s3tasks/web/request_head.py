"""What a request's head shows to be wrong, before a byte of its body or its address is decoded.

Django decodes forms and query strings by whatever codec of Python's the Content-Type names. One of
them is quadratic (`punycode`: 600 KB held a process for minutes), others raise what nobody expects,
and its parser of the header does alike with `name*=codec''…`. All that we send and show is UTF-8,
so nothing else is read.
"""

from collections.abc import Callable, Iterable
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _

UNREAD = "s3tasks.unread_content_type"


def is_utf8(content_type: str) -> bool:
    """Whether the header names no other encoding than UTF-8, neither of the body nor of itself."""
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
    """WSGI: keeps from Django a Content-Type that it would decode by, or break on, as it begins."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self.application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not is_utf8(environ.get("CONTENT_TYPE", "")):
            environ[UNREAD] = True
            environ["CONTENT_TYPE"] = ""
        return self.application(environ, start_response)


def fault_of_encoding(request: HttpRequest) -> str:
    """What is said of a request in another encoding than UTF-8; nothing of others."""
    if request.META.get(UNREAD) or not is_utf8(request.META.get("CONTENT_TYPE", "")):
        return _("Only UTF-8 is accepted, and the request declares another encoding.")
    return ""


def fault_of_range(request: HttpRequest) -> str:
    """What is said of a body that claims to be a piece of something; nothing of others.

    Stored as it is, it would be taken for the whole:
    https://www.rfc-editor.org/rfc/rfc9110#section-14.5
    """
    if request.method in {"POST", "PUT", "PATCH"} and "Content-Range" in request.headers:
        return _(
            "An upload can't be resumed. Send all of it, without Content-Range (curl: without -C)."
        )
    return ""
