"""The body of a request as it arrives, also one sent in chunks, which Django takes for empty."""

import time
from contextlib import suppress
from typing import Protocol

from django.http import HttpRequest, UnreadablePostError
from django.utils.translation import gettext as _
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]

from s3tasks.web import patient_socket
from s3tasks.web.patient_socket import CROWDED, SILENT, SLOWEST, PatientSocket
from uploads import deadline
from uploads.errors import SlowConnection

CHUNK_BYTES = 1024 * 1024
UNKNOWN_LENGTH = 2**63  # for a form sent in chunks: Django's parser takes 0 for an empty body
# A server that answers without reading the whole body resets the connection, and the browser shows
# that instead of the answer. So the rest of the body is drained: read and dropped for this long or,
# on a slow connection, for as long as the body took until then.
DRAIN_SECONDS = 20.0


# How many bytes of a body may be in buffers between its sender and us.
ON_ITS_WAY = 16 * 1024 * 1024


class Readable(Protocol):
    """The stream that a body is read from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


class Body:
    """The body's stream. Once it is only drained, it ends when the time for that is over."""

    def __init__(
        self, stream: Readable, length: int | None, sock: PatientSocket | None = None
    ) -> None:
        self.stream = stream
        self.sock = sock
        self.length = length
        self.began = time.monotonic()
        self.drain_until: float | None = None
        self.bytes_read = 0
        self.given_up = False
        self.dry_at: float | None = None
        self.since_begun = 0

    def read(self, size: int) -> bytes:
        """At most `size` bytes; none at the end, or when the time for draining is over.

        Raises UnreadablePostError if the visitor's connection was lost, SlowConnection if the
        server closed it.
        """
        if self.drain_until is not None and time.monotonic() > self.drain_until:
            self.given_up = True
            return b""
        try:
            data = self.stream.read(size)
        except (ParseException, OSError) as error:  # chunks that were cut, or are malformed
            if self.sock and self.sock.verdict:
                raise refusal_of(self.sock.verdict) from error
            raise UnreadablePostError(str(error)) from error
        self.bytes_read += len(data)
        self.mind_the_time(len(data))
        return data

    def mind_the_time(self, count: int) -> None:
        """Begin the request's time anew while its body arrives: while more is left than fits into
        buffers on the way, and after each wait for the connection. For the sender, bytes in those
        buffers are sent already."""
        self.since_begun += count
        dry_at = self.sock.dry_at if self.sock else None
        left = None if self.length is None else self.length - self.bytes_read
        much = self.since_begun if left is None else left
        if much > ON_ITS_WAY or dry_at != self.dry_at:
            deadline.begin(dry_at if dry_at != self.dry_at else None)
            self.dry_at, self.since_begun = dry_at, 0

    def start_draining(self) -> None:
        """From here on the body is only drained."""
        if self.drain_until is None:
            if self.sock:
                self.sock.drain()
            now = time.monotonic()
            self.drain_until = now + max(DRAIN_SECONDS, now - self.began)

    def drain(self) -> None:
        """Read and drop the rest of the body, so that the client reads the answer: to the end, or
        until the time for it is over or the connection is lost."""
        self.start_draining()
        with suppress(UnreadablePostError, SlowConnection):
            while self.read(CHUNK_BYTES):
                pass

    @property
    def length_for_django(self) -> int:
        """Its length as Django's parser of forms wants it: 0 would be an empty body."""
        return UNKNOWN_LENGTH if self.length is None else self.length

    @property
    def was_cut(self) -> bool:
        """Whether the visitor's connection was lost before the end of the body."""
        return not self.given_up and self.length is not None and self.bytes_read < self.length


def body_of(request: HttpRequest) -> Body:
    """The request's body. Django takes a body in chunks for empty; gunicorn's own stream reads it
    to its end."""
    if request.headers.get("Transfer-Encoding") and request.META.get("wsgi.input_terminated"):
        return Body(request.META["wsgi.input"], None, socket_of(request))
    return Body(request, int(request.META.get("CONTENT_LENGTH") or 0), socket_of(request))


def socket_of(request: HttpRequest) -> PatientSocket | None:
    """The connection of the request; None under another server than gunicorn."""
    sock = request.META.get("gunicorn.socket")
    return sock if isinstance(sock, PatientSocket) else None


def refusal_of(verdict: str) -> SlowConnection:
    """The error to answer on a connection that the server closed, or gave no place."""
    if verdict == CROWDED:
        sentence = _(
            "The server is already receiving as many uploads as it can. Nothing was stored. Please"
            " try again in a few seconds."
        )
        return SlowConnection(sentence, status=503, retry_after=10)
    if verdict == SLOWEST:
        sentence = _(
            "The server closed this connection because others were waiting and it was the slowest."
            " Nothing was stored. Please try again in a minute."
        )
        return SlowConnection(sentence, status=503, retry_after=60)
    if verdict == SILENT:
        sentence = _(
            "The server closed this connection because nothing had arrived for %d seconds. Nothing"
            " was stored."
        )
        return SlowConnection(sentence % patient_socket.SILENCE, status=408)
    return SlowConnection(
        _("The server closed this connection after a day. Nothing was stored."), status=408
    )
