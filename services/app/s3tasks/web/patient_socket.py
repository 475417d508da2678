"""A client's connection. Nobody but the worker's loop waits for it, and a thread only for a body
that has a place (see `s3tasks.web.places`)."""

import errno
import os
import re
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import IO, Any, Protocol

# What of a body the loop reads before a thread is given to it; a shorter one needs none until it is
# there. 1,000 connections take 64 MiB.
READ_AHEAD = 64 * 1024
HEAD_MAX = 64 * 1024
# While nobody waits for its place, a connection may be as slow as it likes, but not silent for so
# long: as long as a pending row waits (uploads.streams.PART_PATIENCE). Seconds.
SILENCE = 140.0
DAY = 24 * 60 * 60.0  # seconds, after which also a connection that goes on is ended
# Over how many seconds of waiting for it a connection's speed is taken.
WINDOW = 3.0
SLICE = 0.25  # seconds, in which a thread that waits notices that its connection was ended
DRAINED = 64 * 1024  # bytes a second, below which a body is not read to its end for the answer
BEAT = 15.0  # seconds between two calls of `while_waiting`
SEND_AT_ONCE = 512 * 1024  # bytes of one answer, before others have their turn

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.I)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked[ \t]*\r\n", re.I)
EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.I)

# Why a connection is ended, or not let in.
SLOWEST, SILENT, ENDLESS, CROWDED = "slowest", "silent", "endless", "crowded"


class ConnectionEnded(ConnectionResetError):
    """The server ended the connection; `PatientSocket.verdict` says why."""

    def __init__(self, verdict: str) -> None:
        super().__init__(errno.ECONNRESET, verdict)


class Piece(Protocol):
    """Some of an answer."""

    def send(self, sock: "PatientSocket", most: int) -> int:
        """Send up to so many bytes; how many went. Raises BlockingIOError where none does."""

    @property
    def left(self) -> int:
        """Bytes that are still to be sent."""

    def close(self) -> None:
        """It is not sent any further."""


class Bytes:
    """What is in memory: a page, or a header."""

    def __init__(self, data: bytes) -> None:
        self.data = memoryview(data)

    def send(self, sock: "PatientSocket", most: int) -> int:
        sent = socket.socket.send(sock, self.data[:most])
        self.data = self.data[sent:]
        return sent

    @property
    def left(self) -> int:
        return len(self.data)

    def close(self) -> None:
        pass


class FilePart:
    """Part of a file, which goes from the disk to the connection without passing through Python."""

    def __init__(self, file: IO[bytes], offset: int, count: int) -> None:
        self.descriptor = os.dup(file.fileno())  # the request closes its own
        self.offset = offset
        self.left = count

    def send(self, sock: "PatientSocket", most: int) -> int:
        sent = os.sendfile(sock.fileno(), self.descriptor, self.offset, min(most, self.left))
        self.offset += sent
        self.left -= sent
        if not sent:
            raise ConnectionAbortedError("the file is shorter than it was")
        return sent

    def close(self) -> None:
        os.close(self.descriptor)


class PatientSocket(socket.socket):
    """A connection that never blocks: what can't be sent at once is left to the loop, and what has
    not come is waited for only by a thread whose connection has a place."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(fileno=connection.detach())
        super().setblocking(False)
        self.out: deque[Piece] = deque()
        self.ahead = bytearray()  # has come, and no request has read it yet
        self.asked_timeout: float | None = None
        self.begin()

    def begin(self) -> None:
        """For each request on the connection."""
        self.began = self.last_came = time.monotonic()
        self.body: Iterator[bool] | None = None  # None: its head is not there yet
        self.continued = False
        self.has_place = False
        self.verdict = ""
        self.while_waiting: Callable[[], None] | None = None
        self.drained_since: float | None = None  # from when on its body is only dropped
        self.drained = 0
        self.came, self.waited = 0, 0.0  # in this window
        self.waiting_since: float | None = None
        self.window_speed: float | None = None
        self.dry_at: float | None = None  # when it was last waited for
        self.ready_at = self.began  # when a thread was asked for

    # --- In the loop ---

    def take(self) -> bool:
        """Read what has come; False at its end. Raises OSError where it was cut."""
        try:
            data = socket.socket.recv(self, READ_AHEAD)
        except BlockingIOError:
            return True
        self.ahead += data
        self.last_came = time.monotonic()
        return bool(data)

    def head_end(self) -> int:
        """Where the head ends in what has come; -1 where it does not yet."""
        found = self.ahead.find(b"\r\n\r\n")
        return found if found < 0 else found + 4

    def body_is_here(self) -> bool:
        """Whether all of the body has come that comes before a thread reads on; the head has.

        Only this is decided by it: what the request is, gunicorn's own parser says.
        """
        if self.body is None:
            end = self.head_end()
            head = bytes(self.ahead[:end])
            length = LENGTH.search(head)
            self.body = (
                chunked_end(self.ahead, end)
                if CHUNKED.search(head)
                else counted_end(self.ahead, end, int(length[1]) if length else 0)
            )
            modern = head.partition(b"\r\n")[0].endswith(b" HTTP/1.1")
            if modern and len(self.ahead) == end and EXPECTS.search(head):
                self.continued = True
                self.sendall(CONTINUE)
            self.head_bytes = end
        return next(self.body)

    @property
    def ahead_is_full(self) -> bool:
        """Whether a thread must read on; asked after `body_is_here`."""
        return len(self.ahead) - self.head_bytes >= READ_AHEAD

    def flush(self) -> bool:
        """Send what goes at once; whether all has gone. Raises OSError where it can't."""
        budget = SEND_AT_ONCE
        while self.out:
            try:
                budget -= self.out[0].send(self, budget)
            except BlockingIOError:
                return False
            self.last_came = time.monotonic()
            if not self.out[0].left:
                self.out.popleft().close()
            if budget <= 0:
                return not self.out
        return True

    def end(self, verdict: str) -> None:
        """Whoever reads it is told."""
        self.verdict = verdict

    def speed(self, now: float, window: float) -> float | None:
        """Bytes a second that it brings while it is waited for, over so many seconds of that;
        None: not known yet."""
        since = self.waiting_since
        waited = self.waited + (now - since if since is not None else 0.0)
        return self.came / waited if waited >= window else self.window_speed

    def close(self) -> None:
        while self.out:
            self.out.popleft().close()
        super().close()

    # --- In a request's thread ---

    def setblocking(self, flag: bool) -> None:
        self.asked_timeout = None

    def settimeout(self, value: float | None) -> None:
        self.asked_timeout = value

    def gettimeout(self) -> float | None:
        return self.asked_timeout

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """What has come, once something has. Raises ConnectionEnded."""
        if self.ahead:
            data = bytes(self.ahead[:size])
            del self.ahead[:size]
            return data
        if self.asked_timeout is not None:  # what nobody reads is not waited for
            raise TimeoutError
        if self.verdict or not self.has_place:
            raise ConnectionEnded(self.verdict)
        try:
            data = socket.socket.recv(self, size, flags)
        except BlockingIOError:
            data = self.wait_for(size, flags)
        self.came += len(data)
        self.drained += len(data)
        return data

    def drain(self) -> None:
        """From here on the body is read for the answer's sake: not on a slow connection."""
        self.while_waiting = None
        self.drained_since, self.drained = time.monotonic(), 0

    def is_drained_in_vain(self) -> bool:
        """Whether the answer had better be sent at once; the loop lingers after it."""
        if self.drained_since is None:
            return False
        seconds = time.monotonic() - self.drained_since
        return seconds > 1 and self.drained < DRAINED * seconds

    def wait_for(self, size: int, flags: int) -> bytes:
        """The same, where nothing is there yet."""
        if self.is_drained_in_vain():
            raise ConnectionEnded(self.verdict)
        poll = select.poll()
        poll.register(self, select.POLLIN)
        self.waiting_since = began = time.monotonic()
        try:
            while not poll.poll(SLICE * 1000):
                now = time.monotonic()
                if now - began > SILENCE:
                    self.end(SILENT)
                elif now - self.began > DAY:
                    self.end(ENDLESS)
                if self.verdict or self.is_drained_in_vain():
                    raise ConnectionEnded(self.verdict)
            data = socket.socket.recv(self, size, flags)
        finally:
            self.dry_at = now = time.monotonic()
            self.waiting_since = None
            self.waited += now - began
        if self.waited >= WINDOW:
            self.window_speed = (self.came + len(data)) / self.waited
            self.came, self.waited = -len(data), 0.0
        if self.while_waiting and now - self.last_came >= BEAT:
            self.last_came = now
            self.while_waiting()
        return data

    def send(self, data: Any, flags: int = 0, /) -> int:
        """All of it, sooner or later."""
        if not (self.continued and data == CONTINUE):  # said once already
            self.sendall(data)
        return len(data)

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        self.out.append(Bytes(bytes(data)))
        self.flush()

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        size = os.fstat(file.fileno()).st_size - offset if count is None else count
        if size:
            self.out.append(FilePart(file, offset, size))
            self.flush()
        return size


def counted_end(came: bytearray, start: int, length: int) -> Iterator[bool]:
    """Whether a body of so many bytes is there, each time it is asked."""
    while True:
        yield len(came) - start >= length


def chunked_end(came: bytearray, at: int) -> Iterator[bool]:
    """Whether a body in chunks is there, each time it is asked. What is none counts as there: its
    request is refused, without being waited for."""
    while True:
        while (end := came.find(b"\r\n", at)) < 0:
            yield len(came) - at > 4096  # no chunk's size is so long
        size = re.match(rb"[0-9a-fA-F]{1,15}(?=[;\s]|\Z)", came[at:end])
        if not size:
            break
        at = end + 2
        if not int(size[0], 16):
            # Trailers, and an empty line.
            while not came.startswith(b"\r\n", at) and came.find(b"\r\n\r\n", at) < 0:
                yield False
            break
        at += int(size[0], 16) + 2
        while len(came) < at:
            yield False
    while True:
        yield True
