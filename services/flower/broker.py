"""Celery's transport for Redis, with one connection less for each publisher.

A channel opens a connection to ask whether Redis answers, and keeps it in a pool that only a
consumer uses again. Of the small plan's 20 connections, six were idle for that reason.

Two images have this file, the app's and Flower's; a test compares them.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis


class Channel(redis.Channel):
    """kombu's channel, which closes that connection; a consumer opens one when it needs it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.async_pool.disconnect(inuse_connections=False)


class Transport(redis.Transport):
    """kombu's transport, with these channels."""

    Channel = Channel


def use() -> None:
    """Use it for every broker whose address begins with redis:// or rediss://."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
