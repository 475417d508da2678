"""Reads forms before the CSRF check does, which would read them whole and without a limit; and adds
the slash that an address lacks."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import (
    RequestDataTooBig,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponsePermanentRedirect,
    QueryDict,
    UnreadablePostError,
)
from django.http.multipartparser import MultiPartParserError
from django.middleware.common import CommonMiddleware
from django.urls import reverse
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _

from pages import errors
from pages.body import UNKNOWN_LENGTH, Parser, Spool
from s3tasks.body import body_of
from uploads import limits
from uploads.models import Kind


class BodyLimitMiddleware:
    """Every multipart form is read here, up to the limit of the page that it is for."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if (
            request.method == "POST"
            and request.content_type == "multipart/form-data"
            # The local disk takes its forms as they come.
            and not request.path_info.startswith("/storage/")
        ):
            problem = read_form(request)
            if problem:
                return errors.message_page(request, status=400, sentence=problem)
        return self.get_response(request)


def read_form(request: HttpRequest) -> str:
    """Fill the request's POST and FILES; what the visitor reads where the form can't be read."""
    body = body_of(request)
    spool = Spool(body, file_limit(request.path_info))

    def parse(meta: dict[str, Any], stream: object) -> tuple[QueryDict, MultiValueDict[str, Any]]:
        if body.length is None:
            meta = {**meta, "CONTENT_LENGTH": UNKNOWN_LENGTH}
        post, files = Parser(meta, body, [spool], request.encoding).parse()  # type: ignore[arg-type]
        if body.given_up and spool.receiving:
            files.appendlist(spool.field_name, spool.file_complete(0))  # too large: say so
        return post, files

    request.parse_file_upload = parse  # type: ignore[method-assign,assignment]
    try:
        request.POST  # noqa: B018  parses
        if not body.was_cut:
            return ""
    except UnreadablePostError:
        pass
    except MultiPartParserError:
        body.drain()
        return _("Your browser sent a form that could not be read.")
    except (RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent):
        body.drain()
        return _("Your browser sent more than this form takes.")
    finally:
        spool.close()
    return _("The connection was cut before everything had arrived. Nothing was stored.")


def file_limit(path: str) -> int:
    """How many bytes one file of a form sent to the path may have."""
    kinds = {reverse("images"): Kind.IMAGE, reverse("files"): Kind.FILE}
    return limits.max_bytes(kinds[path]) if path in kinds else 0


class Redirect(HttpResponsePermanentRedirect):
    """A redirect that nobody keeps, as no answer about the pages is kept."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self["Cache-Control"] = "no-store"


class SlashMiddleware(CommonMiddleware):
    """Django's own. A browser would keep its redirect for ever, also when another project answers
    at the same port."""

    response_redirect_class = Redirect
