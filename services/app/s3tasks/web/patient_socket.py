"""A client's connection. Only the worker's loop waits for it; a thread waits only for the body of a
connection that has a place (see `s3tasks.web.thread_places`)."""

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
from s3tasks.web.unsent_answer import Bytes, FilePart, Piece
from uploads import patience

# How many bytes of a body the loop reads before a thread gets the request. A shorter body needs no
# thread until all of it has arrived. 1,000 connections take 64 MiB.
READ_AHEAD = 64 * 1024
HEAD_MAX = 64 * 1024
# Seconds. While no other connection waits for its place, a connection may be as slow as it likes,
# but not silent for this long. Tests shorten it.
SILENCE = patience.SILENCE
# A connection's speed is measured over so many seconds of waiting for its bytes.
WINDOW = 3.0
SLICE = 0.25  # seconds after which a waiting thread notices that its connection was closed
BEAT = 15.0  # seconds between two calls of `while_waiting`
SEND_AT_ONCE = 512 * 1024  # bytes of one answer, before others have their turn

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)

# Why a connection was closed, or got no place.
SLOWEST, SILENT, ENDLESS, CROWDED = "slowest", "silent", "endless", "crowded"


class ConnectionEnded(ConnectionResetError):
    """The server closed the connection; `PatientSocket.verdict` says why."""

    def __init__(self, verdict: str) -> None:
        super().__init__(errno.ECONNRESET, verdict)


class PatientSocket(socket.socket):
    """A connection that never blocks. Bytes that can't be sent at once are left to the loop, and
    only a thread whose connection has a place waits for bytes that have not arrived."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(fileno=connection.detach())
        super().setblocking(False)
        self.out: deque[Piece] = deque()
        self.ahead = bytearray()  # bytes that have arrived and that no request has read yet
        self.asked_timeout: float | None = None
        self.begin()

    def begin(self) -> None:
        """Reset what is counted for each request on the connection."""
        self.began = self.last_came = time.monotonic()
        self.body: Iterator[bool] | None = None  # None until the whole head has arrived
        self.continued = False
        self.has_place = False
        self.verdict = ""
        self.while_waiting: Callable[[], None] | None = None
        self.drained_since: float | None = None  # when its body began to be read and dropped
        self.drained = 0
        self.came, self.waited = 0, 0.0  # bytes and seconds, in the current window
        self.waiting_since: float | None = None
        self.window_speed: float | None = None
        self.dry_at: float | None = None  # when the thread last had to wait for bytes
        self.ready_at = self.began  # when a thread was asked for

    # --- In the loop ---

    def take(self) -> bool:
        """Read the bytes that have arrived; False at their end. Raises OSError if the connection
        was lost."""
        try:
            data = socket.socket.recv(self, READ_AHEAD)
        except BlockingIOError:
            return True
        self.ahead += data
        self.last_came = time.monotonic()
        return bool(data)

    def head_end(self) -> int:
        """Where the head ends in the bytes that have arrived; -1 if it is not complete yet."""
        found = self.ahead.find(b"\r\n\r\n")
        return found if found < 0 else found + 4

    def body_is_here(self) -> bool:
        """Whether as much of the body has arrived as the loop reads for a thread; the head is
        complete.

        It decides nothing else: gunicorn's own parser reads the request.
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
        """Send as much as the connection takes now; whether everything was sent. Raises OSError
        where it can't."""
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
        """Close it: the next read raises ConnectionEnded."""
        self.verdict = verdict

    def speed(self, now: float, window: float) -> float | None:
        """Bytes a second that arrive while somebody waits for them, measured over so many seconds
        of waiting; None while that is not known."""
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
        if self.asked_timeout is not None:  # bytes that are only dropped are not waited for
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
        """From here on the body is only read so that the client reads the answer; not on a slow
        connection."""
        self.while_waiting = None
        self.drained_since, self.drained = time.monotonic(), 0

    def is_drained_in_vain(self) -> bool:
        """Whether to stop reading and send the answer at once; the loop reads on after it."""
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
        if not (self.continued and data == CONTINUE):  # it was sent already
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
