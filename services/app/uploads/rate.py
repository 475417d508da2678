"""How many uploads one address may begin in a minute. Open while Redis does not answer."""

import ipaddress
import time
from functools import cache

import redis
from django.conf import settings
from django.utils.translation import ngettext
from redis.backoff import NoBackoff
from redis.retry import Retry

from uploads.errors import RateLimited
from uploads.hints import RedisSilent, redis_answering

WINDOW = 60  # seconds


def check_rate(address: str, count: int = 1) -> None:
    """Count uploads against the address; raises RateLimited beyond UPLOAD_RATE in this minute.

    One round trip to Redis, of at most half a second.
    """
    if not settings.UPLOAD_RATE:
        return
    now = time.time()
    key = f"rate:{source_of(address)}:{int(now // WINDOW)}"
    try:
        with redis_answering():
            pipeline = client().pipeline()
            pipeline.incrby(key, count)
            pipeline.expire(key, WINDOW)
            used = int(pipeline.execute()[0])
    except RedisSilent:
        return
    if used > settings.UPLOAD_RATE:
        sentence = ngettext(
            "At most %d upload a minute is accepted from one address. Please wait a minute.",
            "At most %d uploads a minute are accepted from one address. Please wait a minute.",
            settings.UPLOAD_RATE,
        )
        raise RateLimited(
            sentence % settings.UPLOAD_RATE,
            retry_after=WINDOW - int(now % WINDOW),
        )


def source_of(address: str) -> str:
    """The address, or for IPv6 the first of its /64, of which one visitor has all."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "::"  # who can't be told apart shares one limit
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed.packed, 64), strict=False).network_address)


@cache
def client() -> redis.Redis:
    """One client a process, with a small pool."""
    tls = {"ssl_cert_reqs": "none"} if settings.REDIS_URL.startswith("rediss://") else {}
    pool = redis.BlockingConnectionPool.from_url(
        settings.REDIS_URL,
        socket_timeout=0.5,
        socket_connect_timeout=0.5,
        retry=Retry(NoBackoff(), 0),
        max_connections=settings.REDIS_MAX_CONNECTIONS,
        # A request waits for another's round trip; a pool that raises would look like a silence.
        timeout=0.5,
        **tls,
    )
    return redis.Redis(connection_pool=pool)
