"""How often something may be done in a minute: uploads from one address, and login attempts.

While Redis does not answer, uploads are not counted; the quotas still hold. Login attempts are also
counted by each process, so that no process ever lets more through.
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
# Checking one password takes 0.6 s of CPU.
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
    """Count a login attempt; raises RateLimited beyond the limit of an address, or of all, in this
    minute. Attempts beyond an address's own limit don't count for all.
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
    """The count including these, in Redis, where it expires after a WINDOW. Raises
    RedisUnavailable."""
    with redis_answering():
        pipeline = client().pipeline()
        pipeline.incrby(key, count)
        pipeline.expire(key, WINDOW)
        return int(pipeline.execute()[0])


def count_here(whose: str, minute: int) -> int:
    """The count including this one, in this process."""
    global _minute
    with _lock:
        if minute != _minute:
            _minute = minute
            _counted.clear()
        _counted[whose] += 1
        return _counted[whose]


_lock = Lock()
_minute = 0  # the minute that the counts belong to
_counted: Counter[str] = Counter()


def source_of(address: str) -> str:
    """The address; for IPv6 the first one of its /64, since one visitor has all addresses of a
    /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "::"  # visitors without a known address share one limit
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed.packed, 64), strict=False).network_address)
