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
from typing import Any

from s3tasks.web.body_end import end_of_body
from s3tasks.web.pieces import Bytes, FilePart, Piece
from uploads import patience

# What of a body the loop reads before a thread is given to it; a shorter one needs none until it is
# there. 1,000 connections take 64 MiB.
READ_AHEAD = 64 * 1024
HEAD_MAX = 64 * 1024
# While nobody waits for its place, a connection may be as slow as it likes, but not silent for so
# long. Seconds; tests shorten it.
SILENCE = patience.SILENCE
# Over how many seconds of waiting for it a connection's speed is taken.
WINDOW = 3.0
SLICE = 0.25  # seconds, in which a thread that waits notices that its connection was ended
BEAT = 15.0  # seconds between two calls of `while_waiting`
SEND_AT_ONCE = 512 * 1024  # bytes of one answer, before others have their turn

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)

# Why a connection is ended, or not let in.
SLOWEST, SILENT, ENDLESS, CROWDED = "slowest", "silent", "endless", "crowded"


class ConnectionEnded(ConnectionResetError):
    """The server ended the connection; `PatientSocket.verdict` says why."""

    def __init__(self, verdict: str) -> None:
        super().__init__(errno.ECONNRESET, verdict)


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
            self.body = end_of_body(head, self.ahead)
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
        """Give it up: whoever reads on gets ConnectionEnded."""
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
        return seconds > 1 and self.drained < patience.SLOWEST * seconds

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
                elif now - self.began > patience.LONGEST:
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
