"""`/storage/…`: the answers that S3 gives at a signed address, while the local disk stands in for
it."""

import re
from collections.abc import Iterator
from typing import IO, Any

from django.core.files.uploadhandler import FileUploadHandler, SkipFile
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    StreamingHttpResponse,
    UnreadablePostError,
)
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from s3tasks.web.plain_text import line, line_of
from s3tasks.web.request_body import CHUNK_BYTES, Body, body_of
from uploads.arrivals.ticket import awaits_bytes
from uploads.errors import UploadError
from uploads.storage import LocalDisk, disk_signatures, storage

FORM_BYTES = 64 * 1024  # what a form may weigh beside its file
NO_TICKET = "This ticket has run out, or it was never given."
# These bytes are a stranger's and this is the app's own origin: no script, no sniffing.
HARMLESS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    # Pages of other sites may use a link, just as they may with S3.
    "Cross-Origin-Resource-Policy": "cross-origin",
}


# The signature in the address is the authorisation.
@method_decorator(csrf_exempt, name="dispatch")
class LocalStorage(View):
    """A signed address of the local disk: one to read from, or a ticket to send to."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return super().dispatch(request, *args, **kwargs)
        except UploadError as error:
            return line_of(error)

    def get(self, request: HttpRequest, signed: str) -> HttpResponseBase:
        """The file, or the one range of it that is asked for; also for HEAD. 404 where the address
        has run out."""
        disk, link = local_disk(), disk_signatures.open_link(signed)
        file = disk.open(link[0]) if link else None
        if link is None or file is None:
            raise Http404
        size = file.seek(0, 2)
        first, last = asked_range(request.headers, size)
        headers = {**link[1], **HARMLESS, "Accept-Ranges": "bytes"}
        if first > last and size:
            file.close()
            headers = {**HARMLESS, "Content-Range": f"bytes */{size}"}
            return HttpResponse(status=416, headers=headers)
        headers["Content-Length"] = str(last + 1 - first)
        status = 200 if last + 1 - first == size else 206
        if status == 206:
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        if request.method == "HEAD":
            file.close()
            return HttpResponse(status=status, headers=headers)
        file.seek(first)
        response: StreamingHttpResponse = FileResponse(file)
        if status == 206:
            response = StreamingHttpResponse(read_range(file, last + 1 - first), status=status)
        for name, value in headers.items():
            response[name] = value
        return response

    def post(self, request: HttpRequest, signed: str) -> HttpResponse:
        """Store what a ticket is for, and exactly that: 204, as S3 answers."""
        disk, ticket = local_disk(), disk_signatures.open_ticket(signed)
        if ticket is None or not awaits_bytes(ticket[0]):
            return line(403, NO_TICKET)
        key, size_bytes = ticket
        body = body_of(request)
        arrival = Arrival(disk, key, size_bytes, body)
        if body.length is not None and body.length > size_bytes + FORM_BYTES:
            body.drain()
            return line(400, f"More than {size_bytes} bytes were sent.")
        try:
            meta = {**request.META, "CONTENT_LENGTH": body.length_for_django}
            MultiPartParser(meta, body, [arrival]).parse()  # type: ignore[arg-type]  # reads only
        except (MultiPartParserError, UnreadablePostError):
            return line(400, "The form could not be read to its end.")
        finally:
            arrived = arrival.finish()
        if not arrived and not awaits_bytes(key):
            return line(403, NO_TICKET)
        if not arrived:
            return line(400, f"{arrival.size_bytes} bytes were sent, {size_bytes} were announced.")
        return HttpResponse(status=204)


class Arrival(FileUploadHandler):
    """Writes the form's one file to the disk as it comes; it is there once it is whole."""

    chunk_size = CHUNK_BYTES

    def __init__(self, disk: LocalDisk, key: str, announced_bytes: int, body: Body) -> None:
        super().__init__()
        self.disk = disk
        self.key = key
        self.announced_bytes = announced_bytes
        self.body = body
        self.parts = ""
        self.size_bytes = 0
        self.complete = False

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        if self.parts or self.field_name != "file":
            raise SkipFile
        self.parts = self.disk.begin_parts(self.key, content_type="")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.size_bytes += len(raw_data)
        if self.size_bytes > self.announced_bytes:
            self.body.start_draining()
        else:
            self.disk.put_part(self.key, self.parts, 0, raw_data)

    def file_complete(self, file_size: int) -> None:
        self.complete = True

    def finish(self) -> bool:
        """Keep the file where it is what was announced, and forget it otherwise; which it was."""
        fits = self.complete and self.size_bytes == self.announced_bytes and not self.body.was_cut
        # Still: the upload may have gone, or been completed, while they came.
        fits = fits and awaits_bytes(self.key)
        if fits:
            self.disk.join_parts(self.key, self.parts, [])
        elif self.parts:
            self.disk.abort_parts(self.key, self.parts)
        return fits


def local_disk() -> LocalDisk:
    """The local disk; raises Http404 where storage is S3."""
    disk = storage()
    if not isinstance(disk, LocalDisk):
        raise Http404
    return disk


def asked_range(headers: Any, size: int) -> tuple[int, int]:
    """The first and the last byte to send: the whole where no single range is asked for, and
    nothing (the last before the first) where there is no such range.

    https://www.rfc-editor.org/rfc/rfc9110#name-range-requests
    """
    # No more digits than a size has: Python reads no number of 5,000, and a Range may be ignored.
    asked = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", headers.get("Range", "").strip(), re.ASCII)
    # There is no validator that If-Range could name.
    if not asked or asked.group(0) == "bytes=-" or "If-Range" in headers:
        return 0, size - 1
    first, last = asked.groups()
    if not first:
        return (max(0, size - int(last)), size - 1) if int(last) else (1, 0)
    if last and int(last) < int(first):
        return 0, size - 1
    return int(first), min(int(last), size - 1) if last else size - 1


def read_range(file: IO[bytes], count: int) -> Iterator[bytes]:
    """The next `count` bytes of the file, which is closed after."""
    with file:
        while count and (data := file.read(min(count, CHUNK_BYTES))):
            count -= len(data)
            yield data
