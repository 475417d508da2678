"""The body of a request as it comes, also one sent in chunks, of which Django reads nothing."""

import time
from contextlib import suppress
from typing import Protocol

from django.http import HttpRequest, UnreadablePostError
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]

CHUNK_BYTES = 1024 * 1024
# Who answers without reading the body to its end resets the connection, and the visitor reads that
# instead of the answer. So the rest is read and dropped: for this long, or on a slow line for as
# long as what was accepted took.
DRAIN_SECONDS = 20.0


class Readable(Protocol):
    """What a body is read from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


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
        """Read on so that the answer is read: to the end, or until the time for it is over or the
        connection is cut."""
        self.lose_point()
        with suppress(UnreadablePostError):
            while self.read(CHUNK_BYTES):
                pass

    @property
    def was_cut(self) -> bool:
        """Whether the visitor's connection ended before the body did."""
        return not self.given_up and self.length is not None and self.bytes_read < self.length


def body_of(request: HttpRequest) -> Body:
    """The request's body. Django takes one sent in chunks for empty; gunicorn knows its end."""
    if request.headers.get("Transfer-Encoding") and request.META.get("wsgi.input_terminated"):
        return Body(request.META["wsgi.input"], None)
    return Body(request, int(request.META.get("CONTENT_LENGTH") or 0))
