"""Celery's way to Redis, with a connection less for each that publishes.

A channel opens a connection to ask whether Redis answers, in a pool that only a consumer uses
again, and keeps it: of the small plan's 20, six were idle so.

Two images have this file, the app's and Flower's; a test compares them.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis


class Channel(redis.Channel):
    """kombu's, which closes that connection; a consumer opens its own when it needs it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.async_pool.disconnect(inuse_connections=False)


class Transport(redis.Transport):
    """kombu's, with these channels."""

    Channel = Channel


def use() -> None:
    """Take it wherever a broker's address begins with redis:// or rediss://."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
