"""The body of a multipart form: spooled up to a limit a file, and read on a little beyond it.

Django would spool whatever comes before anybody could look at its size, and repair file names
before anybody could refuse them.
"""

import tempfile
import time
from dataclasses import dataclass
from typing import IO, Any, Protocol

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, UnreadablePostError
from django.http.multipartparser import MultiPartParser
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]

FILES_AT_ONCE = 10
# Who answers without reading the body to its end resets the connection, and the visitor reads that
# instead of the answer. So the rest is read and dropped: for this long, or on a slow line for as
# long as what was accepted took.
DRAIN_SECONDS = 20.0
UNKNOWN_LENGTH = 2**63  # the parser takes a length of 0 for an empty body

# How browsers write, in the header of a part, what would end the name there:
# https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
ESCAPES = {"%0D": "\r", "%0A": "\n", "%22": '"'}


class Readable(Protocol):
    """What a body is read from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


@dataclass(frozen=True)
class ArrivedFile:
    """One file of a form, under the very name that it was given."""

    name: str
    size_bytes: int  # as sent; beyond the limit, as far as it was read
    content: IO[bytes]  # empty beyond the limit

    def close(self) -> None:
        """The spooled bytes go; Django calls it at the end of the request."""
        self.content.close()


class Body:
    """The body's stream, which ends early once reading on has lost its point."""

    def __init__(self, stream: Readable, length: int | None) -> None:
        self.stream = stream
        self.length = length
        self.began = time.monotonic()
        self.drain_until: float | None = None
        self.bytes_read = 0
        self.given_up = False

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end, or when the time for draining is over."""
        if self.drain_until is not None and time.monotonic() > self.drain_until:
            self.given_up = True
            return b""
        try:
            data = self.stream.read(size)
        except (ParseException, OSError) as error:  # chunks that were cut, or are malformed
            raise UnreadablePostError(str(error)) from error
        self.bytes_read += len(data)
        return data

    def lose_point(self) -> None:
        """From here on the body is only drained."""
        if self.drain_until is None:
            now = time.monotonic()
            self.drain_until = now + max(DRAIN_SECONDS, now - self.began)

    def drain(self) -> None:
        """Read on to the end, or until the time for it is over."""
        self.lose_point()
        while self.read(Spool.chunk_size):
            pass

    @property
    def was_cut(self) -> bool:
        """Whether the visitor's connection ended before the body did."""
        return not self.given_up and self.length is not None and self.bytes_read < self.length


class Spool(FileUploadHandler):
    """Spools each file up to the limit; of one beyond it only the size is known.

    The temporary file has no name: a process that is killed leaves nothing on the disk.
    """

    chunk_size = 1024 * 1024

    def __init__(self, body: Body, limit_bytes: int) -> None:
        super().__init__()
        self.body = body
        self.limit_bytes = limit_bytes
        self.files = 0
        self.receiving = False

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Begin a file."""
        super().new_file(*args, **kwargs)
        self.files += 1
        self.receiving = True
        self.size_bytes = 0
        folder = settings.FILE_UPLOAD_TEMP_DIR
        self.file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  see close()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Write the bytes, or drop them with what was written."""
        self.size_bytes += len(raw_data)
        if self.size_bytes > self.limit_bytes or self.files > FILES_AT_ONCE:
            self.file.seek(0)
            self.file.truncate()
            self.body.lose_point()
        else:
            self.file.write(raw_data)

    def file_complete(self, file_size: int) -> ArrivedFile:  # type: ignore[override]
        """The file; Django asks nothing of it but `close`, which it calls after the answer."""
        self.file.seek(0)
        self.receiving = False
        return ArrivedFile(str(self.file_name), self.size_bytes, self.file)

    def close(self) -> None:
        """Forget a file that was not completed."""
        if self.receiving:
            self.file.close()


class Parser(MultiPartParser):
    """Django's parser, which leaves the names alone."""

    def sanitize_file_name(self, file_name: str) -> str:
        """The name as the visitor's disk has it."""
        for escape, character in ESCAPES.items():
            file_name = file_name.replace(escape, character)
        return file_name


def body_of(request: HttpRequest) -> Body:
    """The request's body. Django takes one sent in chunks for empty; gunicorn knows its end."""
    if request.headers.get("Transfer-Encoding") and request.META.get("wsgi.input_terminated"):
        return Body(request.META["wsgi.input"], None)
    return Body(request, int(request.META.get("CONTENT_LENGTH") or 0))
