"""Messages to the worker are hints: losing one, or all, loses nothing but time.

So sending one may fail, and must not take long: where Redis does not answer, the caller goes on,
and for a while nobody asks Redis at all.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery.contrib.django.task import DjangoTask
from celery.result import AsyncResult
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

SILENCE = 5.0  # seconds in which Redis is not asked again after it did not answer
_silent_until = 0.0


class RedisSilent(Exception):
    """Redis did not answer, or did not a moment ago."""


@contextmanager
def redis_answering() -> Iterator[None]:
    """Run what asks Redis; raises RedisSilent, at once while the last failure is fresh."""
    global _silent_until
    if time.monotonic() < _silent_until:
        raise RedisSilent
    try:
        yield
    except (OperationalError, RedisError, OSError) as error:
        _silent_until = time.monotonic() + SILENCE
        log.warning("Redis does not answer: %s", error)
        raise RedisSilent from error


class Hint(DjangoTask):  # type: ignore[type-arg]  # not subscriptable at run time
    """A task whose sending may fail in silence: a sweep tells the worker again."""

    def apply_async(  # type: ignore[override]  # nobody asks for the result of a hint
        self, *args: Any, **kwargs: Any
    ) -> AsyncResult[Any] | None:
        """Celery's `apply_async`; None where Redis did not answer."""
        try:
            with redis_answering():
                return super().apply_async(*args, **kwargs)
        except RedisSilent:
            return None
