"""Redis: this process's client, and the circuit breaker around everything that asks it.

Everything in Redis may be lost. So a question may fail, but must not take long: if Redis does not
answer, the caller goes on without it, and for a while nobody asks.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import redis
from django.conf import settings
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

log = logging.getLogger(__name__)


class CircuitBreaker:
    """Opens when a server did not answer; while it is open, nobody asks that server."""

    def __init__(self, *, cooldown: float) -> None:
        self.cooldown = cooldown  # seconds that it stays open
        self.open_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the last failure is less than `cooldown` seconds old."""
        return time.monotonic() < self.open_until

    def open(self) -> None:
        """The server did not answer."""
        self.open_until = time.monotonic() + self.cooldown


breaker = CircuitBreaker(cooldown=5.0)


class RedisUnavailable(Exception):
    """Redis did not answer, now or a moment ago."""


@contextmanager
def redis_answering() -> Iterator[None]:
    """Run the block, which asks Redis; raises RedisUnavailable, and at once while the breaker is
    open."""
    if breaker.is_open:
        raise RedisUnavailable
    try:
        yield
    except (OperationalError, RedisError, OSError) as error:
        breaker.open()
        log.warning("Redis does not answer: %s", error)
        raise RedisUnavailable from error


@cache
def client() -> redis.Redis:
    """One client a process, with a small pool."""
    tls = {"ssl_cert_reqs": "none"} if settings.REDIS_URL.startswith("rediss://") else {}
    pool = redis.BlockingConnectionPool.from_url(
        settings.REDIS_URL,
        socket_timeout=0.5,
        socket_connect_timeout=0.5,
        retry=Retry(NoBackoff(), 0),
        max_connections=settings.REDIS_POOL_SIZE,
        # A request waits until another one's round trip frees a connection; a pool that raised
        # instead would open the breaker.
        timeout=0.5,
        **tls,
    )
    return redis.Redis(connection_pool=pool)
