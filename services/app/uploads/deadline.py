"""How long a request may take once its body has come, whatever it asks for and however often.

Each call to storage is bounded, and ten of them in a row are not: the visitor, and the router in
front, would have gone before the answer. Where no request is answered (worker, commands) nothing is
bounded here.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from typing import Any, TypeVar

REQUEST_SECONDS = 25.0  # Heroku's router gives up at 30
TIDYING_SECONDS = 4.0  # for what must be done when it is over
# Calls to storage that all requests of a process may have under way, with those given up.
CALLS_AT_ONCE = 64

Answer = TypeVar("Answer")

_until: ContextVar[float | None] = ContextVar("until", default=None)
_given_up: ContextVar[list[Future[Any]] | None] = ContextVar("given_up", default=None)


def begin(at: float | None = None) -> None:
    """The body is there, since the moment of `time.monotonic()`, or it is still waited for."""
    _until.set((time.monotonic() if at is None else at) + REQUEST_SECONDS)


def end() -> None:
    """The request is answered."""
    _until.set(None)
    _given_up.set(None)


def remaining() -> float | None:
    """Seconds, not below 0; None where no request is answered."""
    until = _until.get()
    return None if until is None else max(0.0, until - time.monotonic())


@contextmanager
def time_to_tidy_up() -> Iterator[None]:
    """A little more, where it is over; raises nothing."""
    until = _until.get()
    if until is not None:
        _until.set(max(until, time.monotonic() + TIDYING_SECONDS))
    try:
        yield
    finally:
        _until.set(until)


def bound(ask: Callable[..., Answer], *args: Any, **kwargs: Any) -> Answer:
    """What `ask` returns; raises TimeoutError when the request's time is over.

    In a thread of its own, as nothing else ends a call that drips. What is given up may still
    happen: see `when_given_up_is_over`.
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
    """Call it with each call that this request gave up, once that ends after all, in its thread."""
    for call in _given_up.get() or []:
        call.add_done_callback(then)


@cache
def calls() -> ThreadPoolExecutor:
    """The threads of the calls, made after the fork."""
    return ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="storage")


class Bounded:
    """A client whose calls are."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        # A paginator only makes calls, and only the worker lists.
        local = name.startswith(("get_paginator", "generate_", "can_", "_"))
        return partial(bound, found) if callable(found) and not local else found
