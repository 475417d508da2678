"""How long the web process waits for whoever is at the other end of a connection.

A thread that reads belongs to its client until all is there: eight that send a byte and fall silent
would be all the threads there are. So each line must bring something, be it a header or a body.
"""

import errno
import socket
import time

from gunicorn.workers import gthread  # type: ignore[import-untyped]

PATIENCE = 30.0  # seconds of waiting, in which must come:
ENOUGH = 16 * 1024  # bytes; half a kilobyte a second
# A connection on which nothing has come yet, as browsers open some in advance, waits with a thread
# for so long, and then without one.
gthread.DEFAULT_WORKER_DATA_TIMEOUT = 0.1


class Line(socket.socket):
    """A client's connection, which ends when too little comes."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(fileno=connection.detach())
        self.begin()

    def begin(self) -> None:
        """Wait anew: for each request on the connection, and for each PATIENCE of a long one."""
        self.waited = 0.0
        self.came = 0

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """What has come, once something has; raises ConnectionResetError where it is too little."""
        if self.gettimeout() is not None:  # gunicorn has a limit of its own
            return super().recv(size, flags)
        while True:
            if self.waited >= PATIENCE:
                if self.came < ENOUGH:
                    raise ConnectionResetError(errno.ECONNRESET, "too little came")
                self.begin()
            began = time.monotonic()
            self.settimeout(PATIENCE - self.waited)
            try:
                data = super().recv(size, flags)
                self.came += len(data)
                return data
            except TimeoutError:
                continue
            finally:
                self.settimeout(None)
                self.waited += time.monotonic() - began


class Worker(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's threads, on such lines."""

    def enqueue_req(self, conn: gthread.TConn) -> None:
        """Hand the connection to a thread, for its next request."""
        if not isinstance(conn.sock, Line):
            conn.sock = Line(conn.sock)
        conn.sock.begin()
        super().enqueue_req(conn)
