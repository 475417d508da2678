"""Reads forms before the CSRF check, which would read them completely and without a limit."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import (
    RequestDataTooBig,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.http import (
    HttpRequest,
    HttpResponse,
    QueryDict,
    UnreadablePostError,
)
from django.http.multipartparser import MultiPartParserError
from django.middleware.csrf import REASON_NO_CSRF_COOKIE, CsrfViewMiddleware, RejectRequest
from django.urls import reverse
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _

from pages import errors
from pages.spool import FILES_AT_ONCE, Parser, Spool
from s3tasks.web.request_body import body_of
from s3tasks.web.request_head import fault_of_encoding, fault_of_range
from uploads import limits
from uploads.errors import RateLimited, SlowConnection
from uploads.models import Kind
from uploads.rate import check_rate


class FormReaderMiddleware:
    """Reads every multipart form, up to the limit of its page, after all checks that don't need the
    body."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.origins = OriginMiddleware(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # The body of a PUT is a file in any encoding, which api.put checks.
        if request.method != "PUT":
            fault = fault_of_encoding(request) or fault_of_range(request)
            if fault:
                body_of(request).drain()
                return errors.message_page(request, status=400, sentence=fault)
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponse | None:
        if (
            request.method != "POST"
            or request.content_type != "multipart/form-data"
            # The local disk's views read their forms themselves.
            or request.path_info.startswith("/storage/")
        ):
            return None
        refused = self.origins.process_view(request, view, args, kwargs) or refuse_rate(request)
        if refused:
            body_of(request).drain()
            return refused
        try:
            problem = read_form(request)
        except SlowConnection as error:
            return errors.answer(request, error)
        return errors.message_page(request, status=400, sentence=problem) if problem else None


class OriginMiddleware(CsrfViewMiddleware):
    """Django's check of a form's origin, without its token, which is in the body.

    Django's own middleware follows, and checks both.
    """

    def _check_token(self, request: HttpRequest) -> None:
        if settings.CSRF_COOKIE_NAME not in request.COOKIES:
            raise RejectRequest(REASON_NO_CSRF_COOKIE)

    def _accept(self, request: HttpRequest) -> None:
        return None


def refuse_rate(request: HttpRequest) -> HttpResponse | None:
    """The answer to an address that sends too many forms with files, else None; it counts one
    file."""
    if kind_of(request.path_info) is None:
        return None
    try:
        check_rate(request.META["REMOTE_ADDR"])
    except RateLimited as error:
        return errors.answer(request, error)
    return None


def read_form(request: HttpRequest) -> str:
    """Fill the request's POST and FILES; a sentence for the visitor if the form can't be read."""
    body = body_of(request)
    kind = kind_of(request.path_info)
    spool = Spool(body, limits.max_bytes(kind), FILES_AT_ONCE[kind]) if kind else Spool(body, 0, 0)

    def parse(meta: dict[str, Any], stream: object) -> tuple[QueryDict, MultiValueDict[str, Any]]:
        meta = {**meta, "CONTENT_LENGTH": body.length_for_django}
        post, files = Parser(meta, body, [spool], request.encoding).parse()  # type: ignore[arg-type]
        if body.given_up and spool.receiving:
            # The form then says that it is too large.
            files.appendlist(spool.field_name, spool.file_complete(0))
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
        return _("Your browser sent more than this form accepts.")
    finally:
        spool.close()
    return _("The connection was lost before everything had arrived. Nothing was stored.")


def kind_of(path: str) -> Kind | None:
    """The kind of files that a form sent to this path may hold; None if it may hold none."""
    return {reverse("images"): Kind.IMAGE, reverse("files"): Kind.FILE}.get(path)
