"""Django's own backend; in web, its connections come from a small pool and go back to it.

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

PATIENCE = 5.0  # seconds, for a connection that another thread has
CONNECT_SECONDS = 3.0  # as connect_timeout, which libpq leaves to who polls
ANSWER_SECONDS = 20.0  # above the statement_timeout, at which Postgres itself says something
LAST_SECONDS = 2.0  # for each statement when the request's time is over
UNUSED = 60.0  # seconds, after which one is closed


class Pool:
    """At most `size` connections, of which the one used last is used next."""

    def __init__(self, size: int) -> None:
        self.free = threading.BoundedSemaphore(size)
        self.idle: list[tuple[Any, float]] = []

    def take(self) -> Any:
        """One that was used before; None where the caller must make a new one."""
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
        """The thread needs it no longer."""
        status = not connection.closed and connection.info.transaction_status
        if status == extensions.TRANSACTION_STATUS_IDLE and not connection.closed:
            self.idle.append((connection, time.monotonic()))
        else:
            connection.close()
        self.free.release()


def answers(connection: Any) -> bool:
    """Whether it still leads to Postgres."""
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.Error:
        return False
    return True


def wait(connection: Any) -> None:
    """Return when Postgres has answered; raises where it does not in time.

    psycopg2 itself would wait for as long as the other end is there, be it stopped or hung.
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
    """From here on the threads of this process share so many connections."""
    global _pool
    _pool = Pool(size)
    extensions.set_wait_callback(wait)


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, with the pool where there is one."""

    pooled: Pool | None = None  # where its connection goes back to

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if _pool is None:
            return super().get_new_connection(conn_params)
        connection = _pool.take()
        try:
            connection = connection or super().get_new_connection(conn_params)
        except BaseException:
            _pool.free.release()
            raise
        self.isolation_level = IsolationLevel.READ_COMMITTED  # where Django did not make it
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
