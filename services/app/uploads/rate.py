"""How often something may be done in a minute: uploads of one address, and attempts to log in.

While Redis does not answer, uploads are not counted: quotas hold. Attempts to log in are counted by
each process too, so that no process ever lets more through.
"""

import ipaddress
import time
from collections import Counter
from contextlib import suppress
from threading import Lock

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from uploads.errors import RateLimited
from uploads.redis import RedisUnavailable, client, redis_answering

WINDOW = 60  # seconds
# A password tried costs 0.6 s of CPU, so that guessing takes long.
LOGINS_OF_AN_ADDRESS = 10
LOGINS_OF_ALL = 60


def check_rate(address: str, count: int = 1) -> None:
    """Count uploads against the address; raises RateLimited beyond UPLOAD_RATE in this minute.

    One round trip to Redis, of at most half a second.
    """
    if not settings.UPLOAD_RATE:
        return
    now = time.time()
    try:
        used = count_in_redis(f"rate:{source_of(address)}:{int(now // WINDOW)}", count)
    except RedisUnavailable:
        return
    if used > settings.UPLOAD_RATE:
        sentence = ngettext(
            "At most %d upload a minute is accepted from one IP address. Please wait a minute.",
            "At most %d uploads a minute are accepted from one IP address. Please wait a minute.",
            settings.UPLOAD_RATE,
        )
        raise RateLimited(
            sentence % settings.UPLOAD_RATE,
            retry_after=WINDOW - int(now % WINDOW),
        )


def check_login_rate(address: str) -> None:
    """Count an attempt to log in; raises RateLimited beyond what an address, or all, may in this
    minute. An address beyond its own takes nothing of what all may.
    """
    now = time.time()
    minute = int(now // WINDOW)
    for whose, most in ((source_of(address), LOGINS_OF_AN_ADDRESS), ("all", LOGINS_OF_ALL)):
        used = count_here(whose, minute)
        with suppress(RedisUnavailable):
            used = max(used, count_in_redis(f"login:{whose}:{minute}", 1))
        if used > most:
            raise RateLimited(
                _("Too many login attempts. Please wait a minute."),
                retry_after=WINDOW - int(now % WINDOW),
            )


def count_in_redis(key: str, count: int) -> int:
    """How many it is with these; forgotten after a WINDOW. Raises RedisUnavailable."""
    with redis_answering():
        pipeline = client().pipeline()
        pipeline.incrby(key, count)
        pipeline.expire(key, WINDOW)
        return int(pipeline.execute()[0])


def count_here(whose: str, minute: int) -> int:
    """How many it is with this one, in this process."""
    global _minute
    with _lock:
        if minute != _minute:
            _minute = minute
            _counted.clear()
        _counted[whose] += 1
        return _counted[whose]


_lock = Lock()
_minute = 0  # what is counted is of this one
_counted: Counter[str] = Counter()


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
