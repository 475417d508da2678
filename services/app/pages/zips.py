"""All files of a link as one zip, and the page that waits until the zip is ready."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _

from pages.link import LinkView
from s3tasks.web.plain_text import line_of, prefers_html
from s3tasks.web.retry_after import set_retry_after
from uploads.errors import StillPacking
from uploads.existence import page_check
from uploads.links.follow import uploads_behind
from uploads.links.zips import follow_zip
from uploads.models import Kind


class Zip(LinkView):
    """`/f/<token>.zip`: the zip, as a download; until it is made, 503, when to ask again, and how
    far it is. Of one file, too: who asks need not know how many there are."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        try:
            address = follow_zip(token=token, opener=self.opener, method=self.method)
            response: HttpResponse = redirect(address)
        except StillPacking as error:
            # A file that has vanished would hold up the zip, so its row is discarded now.
            page_check().present(uploads_behind(token=token, kind=Kind.FILE, opener=self.opener))
            response = self.waiting(error) if prefers_html(request) else line_of(error)
            # Django's own mark: to wait is no error, and is asked for every other second.
            response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001
        patch_vary_headers(response, ["Accept"])
        return response

    def waiting(self, error: StillPacking) -> HttpResponse:
        """The waiting page, which goes on by itself with scripts, and has a link without them."""
        context = {"title": _("Making the zip"), "error": error}
        response = render(self.request, "pages/packing.html", context, status=error.status)
        set_retry_after(response, error.retry_after)
        return response
