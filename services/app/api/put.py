"""`curl -T report.pdf https://host/`, and the address that deletes the upload again."""

import uuid
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, UnreadablePostError
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from s3tasks.web.plain_text import TEXT, line, line_of, prefers_html
from s3tasks.web.request_body import Body, body_of
from s3tasks.web.request_head import fault_of_range
from s3tasks.web.retry_after import set_retry_after
from uploads import deadline, discard
from uploads.arrivals.stream import receive_stream
from uploads.database_outage import database_answering
from uploads.errors import BytesMissing, InvalidUpload, UploadError
from uploads.limits import DOWNLOADS_MAX, check_claim
from uploads.links.follow import deletion_secret, find_deletion
from uploads.models import Kind
from uploads.rate import check_rate, source_of


class WholeBody:
    """A body that is either read to its end or refused: half a file is no file."""

    def __init__(self, body: Body) -> None:
        self.body = body

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; raises BytesMissing if the sender's connection was lost."""
        try:
            data = self.body.read(size)
        except UnreadablePostError as error:
            raise BytesMissing(_("The connection was lost. Nothing was stored.")) from error
        if not data and self.body.was_cut:
            raise BytesMissing(_("The connection was lost. Nothing was stored."))
        return data

    def call_while_waiting(self, renew: Callable[[], None]) -> None:
        def renew_in_time() -> None:
            deadline.begin()  # the request's time doesn't count while it waits
            renew()

        if self.body.sock:
            self.body.sock.while_waiting = renew_in_time


@csrf_exempt  # no form can send a PUT, and its upload belongs to nobody
def put_file(request: HttpRequest, filename: str) -> HttpResponse:
    """The link of a file that belongs to nobody, with the address that deletes it in
    `X-Url-Delete`."""
    body = body_of(request)
    address = request.META.get("REMOTE_ADDR", "")
    if fault := fault_of_range(request):
        body.drain()
        return line(400, fault)
    try:
        check_rate(address)
        with database_answering():
            claim = check_claim(
                owner=uuid.uuid4(),
                kind=Kind.FILE,
                filename=filename,
                size_bytes=body.length,
                ttl=ttl_of(request),
                address=source_of(address),
                password=password_of(request),
                max_downloads=max_downloads_of(request),
            )
            upload = receive_stream(claim, WholeBody(body))
    except UploadError as error:
        body.drain()
        return line_of(error)
    # Of a protected link, the address says no name.
    link = upload.link.get_absolute_url() if upload.link.is_protected else upload.file_address
    link = request.build_absolute_uri(link)
    deletion = request.build_absolute_uri(reverse("deletion", args=[deletion_secret(upload)]))
    headers = {"X-Url-Delete": deletion, "Cache-Control": "no-store", "Location": link}
    return HttpResponse(f"{link}\n", content_type=TEXT, status=201, headers=headers)


def ttl_of(request: HttpRequest) -> int | None:
    """The seconds of the `Ttl:` header; None where there is none. Raises InvalidUpload."""
    ttl = request.headers.get("Ttl", "").strip()
    if not ttl:
        return None
    if not ttl.isascii() or not ttl.isdigit() or len(ttl) > 9:
        sentence = _("The Ttl header must be a number of seconds from 1 to %d.")
        raise InvalidUpload(sentence % settings.UPLOAD_TTL_MAX)
    return int(ttl)


def password_of(request: HttpRequest) -> str:
    """The `Password:` header; blank where there is none. Raises InvalidUpload."""
    if "Password" not in request.headers:
        return ""
    try:
        # WSGI has one character for each byte: https://peps.python.org/pep-3333/#unicode-issues
        password = request.headers["Password"].encode("latin-1").decode()
    except UnicodeDecodeError as error:
        raise InvalidUpload(_("The Password header must be in UTF-8.")) from error
    if not password:
        raise InvalidUpload(_("The Password header is empty."))
    return password


def max_downloads_of(request: HttpRequest) -> int | None:
    """The number in the `Max-Downloads:` header; None where there is none. Raises InvalidUpload."""
    if "Max-Downloads" not in request.headers:
        return None
    count = request.headers["Max-Downloads"].strip()
    if not count.isascii() or not count.isdigit() or len(count) > len(str(DOWNLOADS_MAX)):
        sentence = _("The Max-Downloads header must be a number from 1 to %d.")
        raise InvalidUpload(sentence % DOWNLOADS_MAX)
    return int(count)


# Anyone with the secret may delete the upload: only its sender got the secret, together with the
# link.
@method_decorator(csrf_exempt, name="dispatch")
class Deletion(View):
    """`/d/<secret>`: DELETE and POST delete one upload. GET only asks, because programs that
    preview links open them."""

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        try:
            with database_answering():
                response = super().dispatch(request, *args, **kwargs)
        except UploadError as error:
            response = self.answer(error.status, error.sentence)
            set_retry_after(response, error.retry_after)
        add_never_cache_headers(response)
        return response

    def get(self, request: HttpRequest, secret: str) -> HttpResponse:
        return self.page(upload=find_deletion(secret))

    def post(self, request: HttpRequest, secret: str) -> HttpResponse:
        upload = find_deletion(secret)
        discard.discard_upload(upload_id=upload.id, owner=upload.owner)
        return self.answer(200, _("Deleted."))

    delete = post

    def answer(self, status: int, sentence: str) -> HttpResponse:
        """A page for browsers, a line of text for all others."""
        if prefers_html(self.request):
            return self.page(status, sentence=sentence)
        return line(status, sentence)

    def page(self, status: int = 200, **context: object) -> HttpResponse:
        return render(self.request, "api/deletion.html", context, status=status)
