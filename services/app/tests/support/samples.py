"""What several tests make or look at."""

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import requests
from django.test import Client
from PIL import Image


def picture(size=(64, 48), image_format="PNG", color="teal") -> bytes:
    """A small image."""
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, image_format)
    return file.getvalue()


def keys(store) -> set[str]:
    """Every key in storage but the marker."""
    from uploads.keys import PREFIXES

    return {found.key for prefix in PREFIXES for page in store.pages(prefix) for found in page}


def nothing_stays(store) -> bool:
    """No object, no part, no row, and no byte in the quota, once the sweeps have run."""
    from uploads.models import Installation, PurgeKey, Upload
    from uploads.sweeps import housekeeping

    housekeeping.sweep("purge")
    return (
        keys(store) == set()
        and not [parts for page in store.list_parts() for parts in page]
        and not Upload.objects.exists()
        and not PurgeKey.objects.exists()
        and Installation.objects.get().used_bytes == 0
    )


def at_once(function, over):
    """Call it in threads: so many times, or once for each."""
    from django.db import connection

    calls = [()] * over if isinstance(over, int) else [(item,) for item in over]

    def call(arguments):
        try:
            return function(*arguments)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


def in_thread(function):
    """Call it in a thread, which is at its end or waits for a lock when this returns: the thread,
    and a list of what the call gave or raised."""
    from django.db import connection

    outcome = []

    def run():
        try:
            outcome.append(function())
        except Exception as error:  # noqa: BLE001  the test asks which
            outcome.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    until = time.monotonic() + 60
    while thread.is_alive() and time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                break
        time.sleep(0.01)
    return thread, outcome


def fetch(url: str, method: str = "GET"):
    """What a browser gets from a signed address, the app's own included; `body` is all of it."""
    if url.startswith("http"):
        answer = requests.request(method, url, timeout=30)
        answer.body = answer.content
    else:
        answer = Client().generic(method, url)
        answer.body = answer.getvalue()
    return answer


def used_bytes() -> int:
    """What the quotas say is stored."""
    from uploads.models import Installation

    return Installation.objects.get().used_bytes


def purge_all() -> None:
    """Purge also what a lease puts off."""
    from django.db.models.functions import Now

    from uploads.models import PurgeKey
    from uploads.sweeps import housekeeping

    PurgeKey.objects.update(not_before=Now())
    housekeeping.sweep("purge")


def purge_when_tickets_are_over() -> None:
    """Purge until the queue is empty, also of what a ticket could still write."""
    from uploads.models import PurgeKey
    from uploads.sweeps import housekeeping

    while last := PurgeKey.objects.order_by("until", "not_before").last():
        housekeeping.sweep("purge", now=max(filter(None, [last.until, last.not_before])))


def counts_every_byte() -> bool:
    """Whether the usage row is what rows and queued keys hold."""
    from django.db.models import Sum

    from uploads.models import Installation, Pack, PurgeKey, State, Upload

    held = [
        Pack.objects.aggregate(sum=Sum("size_bytes")),
        Upload.objects.exclude(state=State.REJECTED).aggregate(sum=Sum("size_bytes")),
        Upload.objects.aggregate(sum=Sum("incoming_bytes")),
        PurgeKey.objects.aggregate(sum=Sum("size_bytes")),
    ]
    return Installation.objects.get().used_bytes == sum(found["sum"] or 0 for found in held)
