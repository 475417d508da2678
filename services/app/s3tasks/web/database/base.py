"""Django's own backend; in web, connections come from a small pool and go back to it.

Django has a pool for psycopg 3 only. A thread takes a connection for its first query and gives it
back at the end of the request, or before it waits for a body.
"""

import select
import threading
import time
from typing import Any

import psycopg2  # type: ignore[import-untyped]
from django.db.backends.postgresql import base
from django.db.backends.postgresql.psycopg_any import IsolationLevel
from psycopg2 import extensions

from uploads import deadline

PATIENCE = 5.0  # seconds to wait for a connection that another thread has
CONNECT_SECONDS = 3.0  # the connect_timeout, which libpq ignores when its caller polls
ANSWER_SECONDS = 20.0  # more than statement_timeout, at which Postgres itself answers
LAST_SECONDS = 2.0  # for each statement once the request's time is over
UNUSED = 60.0  # seconds after which an unused connection is closed


class Pool:
    """At most `size` connections; the one used last is used next."""

    def __init__(self, size: int) -> None:
        self.free = threading.BoundedSemaphore(size)
        self.idle: list[tuple[Any, float]] = []

    def take(self) -> Any:
        """A connection that was used before; None if the caller must make a new one."""
        if not self.free.acquire(timeout=PATIENCE):
            raise psycopg2.OperationalError(f"no connection was free for {PATIENCE:.0f} s")
        try:
            while self.idle:
                connection, since = self.idle.pop()
                if time.monotonic() - since < UNUSED and answers(connection):
                    return connection
                connection.close()
        except IndexError:  # another thread was faster
            pass
        except BaseException:
            self.free.release()
            raise
        return None

    def give(self, connection: Any) -> None:
        """Take back a connection that its thread no longer needs."""
        status = not connection.closed and connection.info.transaction_status
        if status == extensions.TRANSACTION_STATUS_IDLE and not connection.closed:
            self.idle.append((connection, time.monotonic()))
        else:
            connection.close()
        self.free.release()


def answers(connection: Any) -> bool:
    """Whether the connection still works."""
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.Error:
        return False
    return True


def wait(connection: Any) -> None:
    """Return when Postgres has answered; raises OperationalError if it doesn't in time.

    psycopg2 itself would wait as long as the connection is open, even if the server is stopped or
    hangs.
    """
    connecting = connection.status == extensions.STATUS_SETUP
    seconds = CONNECT_SECONDS if connecting else ANSWER_SECONDS
    left = deadline.remaining()
    if left is not None:
        seconds = min(seconds, max(left, LAST_SECONDS))
    until = time.monotonic() + seconds
    while (state := connection.poll()) != extensions.POLL_OK:
        poll = select.poll()
        poll.register(
            connection.fileno(),
            select.POLLIN if state == extensions.POLL_READ else select.POLLOUT,
        )
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            raise psycopg2.OperationalError("Postgres did not answer in time")


_pool: Pool | None = None


def share(size: int) -> None:
    """From here on, the threads of this process share so many connections."""
    global _pool
    _pool = Pool(size)
    extensions.set_wait_callback(wait)


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's wrapper, with the pool if this process has one."""

    pooled: Pool | None = None  # the pool that its connection goes back to

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if _pool is None:
            return super().get_new_connection(conn_params)
        connection = _pool.take()
        try:
            connection = connection or super().get_new_connection(conn_params)
        except BaseException:
            _pool.free.release()
            raise
        # Django sets it only on connections that it made itself.
        self.isolation_level = IsolationLevel.READ_COMMITTED
        self.pooled = _pool
        return connection

    def _close(self) -> None:
        pool, self.pooled = self.pooled, None
        if pool is None or self.connection is None:
            super()._close()  # type: ignore[misc]  # the stubs lack it
        else:
            pool.give(self.connection)

    def close_if_unusable_or_obsolete(self) -> None:
        if self.pooled is None:
            super().close_if_unusable_or_obsolete()
        elif not self.in_atomic_block:
            self.close()
