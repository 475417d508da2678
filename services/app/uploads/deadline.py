"""How long a request may take once its body has arrived, however many calls it makes.

Each call to storage has a time limit, but ten of them in a row would outlast the visitor and the
router in front. Outside a request (worker, commands) nothing is limited here.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from typing import Any, TypeVar

REQUEST_SECONDS = 25.0  # Heroku's router gives up at 30
TIDYING_SECONDS = 4.0  # for what must still be done when the time is over
# How many calls to storage all requests of a process may have under way, including those given up.
CALLS_AT_ONCE = 64

Answer = TypeVar("Answer")

_until: ContextVar[float | None] = ContextVar("until", default=None)
_given_up: ContextVar[list[Future[Any]] | None] = ContextVar("given_up", default=None)


def begin(at: float | None = None) -> None:
    """Start the request's time: at this moment of `time.monotonic()`, or now."""
    _until.set((time.monotonic() if at is None else at) + REQUEST_SECONDS)


def end() -> None:
    """Stop counting: the request is answered."""
    _until.set(None)
    _given_up.set(None)


def remaining() -> float | None:
    """The seconds left, at least 0; None outside a request."""
    until = _until.get()
    return None if until is None else max(0.0, until - time.monotonic())


@contextmanager
def time_to_tidy_up() -> Iterator[None]:
    """Allow TIDYING_SECONDS more inside the block, if the time is over."""
    until = _until.get()
    if until is not None:
        _until.set(max(until, time.monotonic() + TIDYING_SECONDS))
    try:
        yield
    finally:
        _until.set(until)


def bound(ask: Callable[..., Answer], *args: Any, **kwargs: Any) -> Answer:
    """The result of `ask`; raises TimeoutError when the request's time is over.

    The call runs in a thread of its own, because a socket's timeout doesn't end one whose answer
    arrives drop by drop. A call that was given up may still take effect: see
    `when_given_up_is_over`.
    """
    left = remaining()
    if left is None:
        return ask(*args, **kwargs)
    if not left:
        raise TimeoutError("the request's time is over")
    call = calls().submit(ask, *args, **kwargs)
    try:
        return call.result(timeout=left)
    except TimeoutError:
        if not call.cancel() and not call.done():
            _given_up.set([*(_given_up.get() or []), call])
        raise


def when_given_up_is_over(then: Callable[[Future[Any]], None]) -> None:
    """Pass each call that this request gave up to `then`, once it ends after all, in its thread."""
    for call in _given_up.get() or []:
        call.add_done_callback(then)


@cache
def calls() -> ThreadPoolExecutor:
    """The threads for the calls, made after the fork."""
    return ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="storage")


class Bounded:
    """A boto3 client whose calls are bound to the request's time."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        # A paginator makes calls through this client, and only the worker lists.
        local = name.startswith(("get_paginator", "generate_", "can_", "_"))
        return partial(bound, found) if callable(found) and not local else found
