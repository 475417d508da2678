"""gunicorn's threads, of which none waits for a client.

A thread that reads from a client or writes to it is busy until that is done, so as many slow
connections as there are threads would block the whole site. Here the loop reads heads and the
beginnings of bodies, and sends what clients don't take at once. A thread only gets a request that
it can answer. It waits for the rest of a large body, but at most half of the threads do that at a
time (see `s3tasks.web.thread_places`).
"""

import errno
import re
import resource
import selectors
import socket
import time
from concurrent.futures import Future
from typing import Any

from gunicorn.workers import gthread  # type: ignore[import-untyped]

from s3tasks.web import health
from s3tasks.web.patient_socket import CROWDED, HEAD_MAX, SILENT, PatientSocket
from s3tasks.web.thread_places import Places

HEAD_SECONDS = 30.0  # within which a head must arrive, once it has begun
LINGER_SECONDS = 30.0  # for reading what still arrives after an early answer
STOP_SECONDS = 2.0  # that idle connections stay open while the process stops
DESCRIPTORS = 4096  # open files: one or two for each of the 1,000 connections that gunicorn accepts
TURN = 0.5  # seconds between two checks of the connections that wait

HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)
FORWARDED = re.compile(rb"\r\nx-forwarded-for:([^\r\n]*)", re.IGNORECASE)

# What the loop waits for on a connection. If the loop doesn't watch it, a thread has it or it waits
# for a place.
IDLE, HEAD, BODY, SENDING, LINGERING = "idle", "head", "body", "sending", "lingering"
READING = {IDLE, HEAD, BODY, LINGERING}
# Which connection a new one replaces first, when there are as many as gunicorn accepts.
SHED = [IDLE, LINGERING, HEAD, SENDING, BODY]


class Connection(gthread.TConn):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's connection, with a PatientSocket."""

    sock: PatientSocket

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, PatientSocket(sock), client, server)
        self.data_ready = True  # true for gunicorn, so that no thread waits
        self.state = IDLE
        self.keep = False  # whether it stays open after what is being sent


class Worker(gthread.ThreadWorker):  # type: ignore[misc]
    """gunicorn's threads behind a loop of our own."""

    def init_process(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
        if soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        self.places = Places(max(1, self.cfg.threads // 2))
        self.watched: dict[Connection, int] = {}  # with what each is watched for
        self.in_place: dict[PatientSocket, Connection] = {}  # with a place, or waiting for one
        self.tended = 0.0
        from django.conf import settings

        from s3tasks.web.database.base import share

        share(settings.WEB_DATABASE_CONNECTIONS)
        super().init_process()

    def run(self) -> None:
        self.poller.register(
            self.method_queue.fileno(), selectors.EVENT_READ, self.method_queue.run_callbacks
        )
        self.set_accept_enabled(True)
        while self.alive:
            self.notify()
            self.wait_for_and_dispatch_events(TURN)
            if not self.is_parent_alive():
                break
            self.tend()
        self.set_accept_enabled(False)
        stopped = time.monotonic()
        while self.nr_conns and time.monotonic() - stopped < self.cfg.graceful_timeout:
            self.notify()
            self.wait_for_and_dispatch_events(TURN)
            self.tend()
            if time.monotonic() - stopped > STOP_SECONDS:
                for conn in [each for each in self.watched if each.state == IDLE]:
                    self.drop(conn)
        self.tpool.shutdown(wait=False, cancel_futures=True)
        for listener in self.sockets:
            listener.close()

    def accept(self, listener: socket.socket) -> None:
        try:
            sock, client = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self.shed()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return
        if self.nr_conns >= self.worker_connections:
            self.shed()
        self.nr_conns += 1
        self.watch(Connection(self.cfg, sock, client, listener.getsockname()), IDLE)

    # --- What the loop waits for ---

    def watch(self, conn: Connection, state: str) -> None:
        """From here on the loop watches the connection."""
        conn.state = state
        event = selectors.EVENT_READ if state in READING else selectors.EVENT_WRITE
        if self.watched.get(conn) == event:
            return
        self.unwatch(conn)
        self.watched[conn] = event
        self.poller.register(conn.sock, event, lambda _: self.on_event(conn))

    def unwatch(self, conn: Connection) -> None:
        """The loop no longer watches it."""
        if self.watched.pop(conn, None) is not None:
            self.poller.unregister(conn.sock)

    def drop(self, conn: Connection) -> None:
        """Close the connection and forget it."""
        self.unwatch(conn)
        self.nr_conns -= 1
        conn.close()

    def on_event(self, conn: Connection) -> None:
        """Bytes have arrived, or the connection takes more."""
        if conn not in self.watched:  # dropped to make room for another, ready at the same time
            return
        try:
            if conn.state == SENDING:
                self.send(conn)
            elif conn.state == LINGERING:
                if not self.dropped(conn.sock):
                    self.drop(conn)
            elif conn.sock.take():
                self.look(conn)
            elif conn.state == BODY:
                self.hand_over(conn)  # lost in the middle of a request: the view answers that
            else:
                self.drop(conn)
        except OSError:
            self.drop(conn)

    def look(self, conn: Connection) -> None:
        """Hand the request to a thread if it has arrived, or if a thread must read on."""
        sock = conn.sock
        if conn.state in (IDLE, HEAD):
            if not sock.ahead:
                self.watch(conn, IDLE)
            elif conn.state == IDLE:
                sock.begin()
                conn.state = HEAD
            if sock.head_end() < 0:
                if len(sock.ahead) >= HEAD_MAX:
                    self.say(conn, HEAD_TOO_LARGE, keep=False)
                elif sock.ahead:
                    self.watch(conn, HEAD)
                return
            head = bytes(sock.ahead[: sock.head_end()])
            if answer := health.answer_to(head):
                del sock.ahead[: len(head)]
                self.say(conn, answer.data, keep=answer.keep)
                return
        if sock.body_is_here():
            self.hand_over(conn)
        elif sock.ahead_is_full:
            self.unwatch(conn)
            self.in_place[sock] = conn
            self.places.wait(sock, source_of(conn), time.monotonic())
            self.admit()
        else:
            self.watch(conn, BODY)

    def say(self, conn: Connection, answer: bytes, *, keep: bool) -> None:
        """An answer that needs no thread."""
        conn.sock.sendall(answer)
        conn.keep = keep and self.alive
        self.send(conn)

    def send(self, conn: Connection) -> None:
        """Send more of the answer; then wait for the next request, or close."""
        if not conn.sock.flush():
            self.watch(conn, SENDING)
        elif conn.keep:
            conn.sock.last_came = time.monotonic()
            conn.state = IDLE
            self.look(conn)
        else:
            # If we closed while bytes still arrive, the reset would make the client lose the
            # answer.
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.began = time.monotonic()
            self.watch(conn, LINGERING)

    def dropped(self, sock: PatientSocket) -> bool:
        """Read and drop the bytes that have arrived; False at their end."""
        more = sock.take()
        sock.ahead.clear()
        return more

    # --- Threads ---

    def hand_over(self, conn: Connection) -> None:
        """Give the connection to a thread, until `finish_request`."""
        self.unwatch(conn)
        conn.sock.ready_at = time.monotonic()
        self.enqueue_req(conn)

    def finish_request(self, conn: Connection, done: "Future[bool]") -> None:
        sock = conn.sock
        self.places.release(sock)
        self.in_place.pop(sock, None)
        try:
            conn.keep = not done.cancelled() and bool(done.result())
            if conn.keep:
                # Bytes of the next request, which may have arrived with this one.
                sock.ahead[:0] = conn.parser.unreader.take_buffered()
            self.send(conn)
        except OSError:
            self.drop(conn)
        self.admit()

    def admit(self) -> None:
        """Hand over the connections that have got a place."""
        for sock in self.places.admitted():
            self.hand_over(self.in_place[sock])

    def refuse(self, sock: PatientSocket, verdict: str) -> None:
        """Have a thread answer why it was refused."""
        sock.end(verdict)
        self.hand_over(self.in_place.pop(sock))

    # --- From time to time ---

    def tend(self) -> None:
        """Check each connection: whether to wait for it any longer."""
        now = time.monotonic()
        if now - self.tended < TURN:
            return
        self.tended = now
        self.places.end_slow_ones(now)
        for sock in self.places.given_up(now):
            self.refuse(sock, CROWDED)
        for conn in list(self.watched):
            sock = conn.sock
            if conn.state == BODY:
                if now - sock.last_came > silence():
                    self.in_place[sock] = conn
                    self.refuse(sock, SILENT)
            elif self.is_over(conn, now):
                self.drop(conn)

    def is_over(self, conn: Connection, now: float) -> bool:
        """Whether the connection can be dropped without an answer."""
        sock = conn.sock
        if conn.state == IDLE:
            return bool(now - sock.last_came > self.cfg.keepalive)
        if conn.state == HEAD:
            return now - sock.began > HEAD_SECONDS
        if conn.state == SENDING:
            return now - sock.last_came > silence()
        return now - sock.began > LINGER_SECONDS

    def shed(self) -> None:
        """Make room for a new connection, by dropping the least promising one."""
        if self.watched:
            least = min(self.watched, key=lambda each: (SHED.index(each.state), each.sock.began))
            self.drop(least)


def silence() -> float:
    """Seconds; asked each time, as tests shorten it."""
    from s3tasks.web import patient_socket

    return patient_socket.SILENCE


def source_of(conn: Connection) -> str:
    """Where the connection comes from: an IPv4 address, or an IPv6 network."""
    from s3tasks.web.proxies import visitor_address
    from uploads import rate

    address = conn.client[0] if isinstance(conn.client, tuple) else ""
    forwarded = b",".join(FORWARDED.findall(conn.sock.ahead[: conn.sock.head_bytes]))
    return rate.source_of(visitor_address(address, forwarded.decode("latin-1")))
