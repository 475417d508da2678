"""Heartbeats: files whose age the health checks look at.

`celery inspect ping` would cost seconds of CPU, and fail while a worker is busy.

In production a process whose loop hangs exits, and logs where it hung: Docker doesn't restart
unhealthy containers, and Heroku has no health checks. A task that hangs is ended by its time limit.
"""

import faulthandler
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from billiard import current_process
from celery import signals
from django.conf import settings
from redis.exceptions import RedisError

FOLDER = Path("/tmp")  # noqa: S108  each container's own, which TMPDIR need not be
PAUSE = 5  # seconds between two heartbeats
HANG_SECONDS = 120  # without a heartbeat, after which the process exits

_worker_turned = 0.0


def touch(name: str) -> None:
    """One heartbeat; the next is expected after PAUSE."""
    with suppress(OSError):  # outside containers, the file may belong to another user
        (FOLDER / f"s3tasks-{name}").touch()


def touch_or_exit(name: str) -> None:
    """One heartbeat; in production the process ends if no other follows."""
    touch(name)
    if not settings.DEBUG:
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)


def repeat(heartbeat: Callable[[], None]) -> None:
    """Touch the file from a thread, which goes on during a long task and stops with its process."""

    def run() -> None:
        while True:
            heartbeat()
            time.sleep(PAUSE)

    threading.Thread(target=run, daemon=True).start()


@signals.worker_process_init.connect
def pool_process(**_: Any) -> None:
    """Give each process of the worker's pool a file; a process that replaces another takes over its
    file."""
    number: int = current_process().index  # type: ignore[attr-defined]  # the pool sets it
    repeat(lambda: touch(f"worker-{number}"))


@signals.heartbeat_sent.connect
def worker_turns(**_: Any) -> None:
    """Called by the worker's event loop every two seconds, before its own heartbeat for Flower."""
    global _worker_turned
    _worker_turned = time.monotonic()


@signals.worker_ready.connect
def worker(**_: Any) -> None:
    """The worker's main process."""

    def heartbeat() -> None:
        if worker_is_well():
            touch_or_exit("worker")

    repeat(heartbeat)


def worker_is_well() -> bool:
    """Whether its loop runs, or only stands still because Redis is silent, for which Celery waits
    in the loop."""
    if time.monotonic() - _worker_turned < 3 * PAUSE:
        return True
    from uploads.redis import client

    try:
        client().ping()
    except (RedisError, OSError):
        return True
    finally:
        client().connection_pool.disconnect()
    return False
