"""A share link: the page of its file for people, the bytes for programs, and its QR code."""

from typing import Any

from csp.decorators import csp_replace
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from pages import closed, errors, qr
from pages.base import PageView
from s3tasks.web.plain_text import TEXT, prefers_html
from s3tasks.web.share_link import address_of
from uploads.errors import LinkProtected, RateLimited, UploadError, UploadNotFound
from uploads.existence import page_check
from uploads.links.follow import follow_link, look_behind, signed_address, uploads_behind
from uploads.links.preview import preview
from uploads.links.protection import Opener, gone, open_link
from uploads.models import Kind, Upload
from uploads.storage import Method


# Chromium holds the policy of a form's page against the redirect after the form, too.
@method_decorator(
    csp_replace({"form-action": settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]["img-src"]}),
    name="dispatch",
)
class LinkView(PageView):
    """The base of the views that lead to the bytes of a link. Of a protected one they show nothing
    but to those who opened it."""

    kind = Kind.FILE
    opener: Opener

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.opener = closed.opener_of(request)
        return super().dispatch(request, *args, **kwargs)

    def answer(self, error: UploadError) -> HttpResponse:
        if isinstance(error, (LinkProtected, RateLimited)):
            return closed.answer(self.request, self.kwargs["token"], error)
        return super().answer(error)

    def bytes(self, token: str, path: str | None = None) -> HttpResponse:
        """A redirect to them."""
        return self.lead_to(
            follow_link(
                token=token, kind=self.kind, path=path, opener=self.opener, method=self.method
            )
        )

    @property
    def method(self) -> Method:
        """What the address is signed for."""
        return "HEAD" if self.request.method == "HEAD" else "GET"

    def lead_to(self, address: str) -> HttpResponse:
        """A redirect to a signed address."""
        response = redirect(address)
        # Before another site's page may show the file, browsers also check this header on the
        # redirect.
        response["Cross-Origin-Resource-Policy"] = "cross-origin"
        return response


class Image(LinkView):
    """`/i/<token>`: the image, shown."""

    kind = Kind.IMAGE

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        return self.bytes(token)


class File(LinkView):
    """`/f/<token>/<path>`: that file, with the folder that it lies in, as a download."""

    def get(self, request: HttpRequest, token: str, path: str) -> HttpResponse:
        return self.bytes(token, path)


@method_decorator(csrf_exempt, name="dispatch")  # a POST acts for nobody
class Page(LinkView):
    """`/f/<token>`: the page of the link for who asks for HTML; the bytes for who does not. A POST
    opens a protected one, and spends a download of it."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        response = self.page(token) if prefers_html(request) else self.for_programs(token)
        patch_vary_headers(response, ["Accept"])
        return response

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        password = closed.posted_password(request)
        uploads, is_open = look_behind(token=token, kind=self.kind, opener=self.opener)
        link = uploads[0].link
        if not is_open:
            present(uploads)
            open_link(link=link, uploads=uploads, password=password)
        if len(uploads) == 1:
            return closed.see_other(signed_address(uploads[0]))
        response = closed.see_other(link.get_absolute_url())
        if not is_open:
            closed.remember(request, response, link)
        return response

    def for_programs(self, token: str) -> HttpResponse:
        """The bytes of one file; of several, `size name address` on a line each."""
        uploads = uploads_behind(token=token, kind=self.kind, opener=self.opener)
        if len(uploads) == 1:
            return self.lead_to(signed_address(uploads[0], self.method))
        lines = [
            f"{upload.size_bytes} {upload.path}"
            f" {self.request.build_absolute_uri(upload.file_address)}\n"
            for upload in present(uploads)
        ]
        return HttpResponse("".join(lines), content_type=TEXT)

    def page(self, token: str) -> HttpResponse:
        """The page that a receiver sees before the download."""
        uploads = present(uploads_behind(token=token, kind=self.kind, opener=self.opener))
        first = uploads[0]  # all of a link expire together
        several = len(uploads) > 1
        context = {
            "title": _("Shared files") if several else _("Shared file"),
            "link": first.link,
            "is_last": first.link.held_until is not None,  # expired by this very download
            "upload": first,
            "uploads": uploads,
            "several": several,
            "size_bytes": sum(upload.size_bytes for upload in uploads),
            "preview": None if several else preview(first),
        }
        return render(self.request, "pages/link.html", context)


def present(uploads: list[Upload]) -> list[Upload]:
    """The uploads that have not vanished. Raises UploadNotFound if none is left."""
    found = page_check().present(uploads)
    if not found:
        raise UploadNotFound(gone())
    return found


class QrCode(View):
    """A share link as a QR code, while the link works."""

    kind = Kind.FILE

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        try:
            (upload, *_others), _is_open = look_behind(token=token, kind=self.kind)
        except UploadNotFound as error:
            return errors.answer(request, error)
        link = address_of(request, upload.link)
        response = HttpResponse(qr.svg(link), content_type="image/svg+xml")
        patch_cache_control(response, private=True, max_age=int(upload.seconds_left))
        return response
