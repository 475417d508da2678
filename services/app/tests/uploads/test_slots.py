"""A real worker, of one slot and of two: whatever the sweeps have to do, images have a slot."""

import os
import signal
import subprocess
import sys
import time
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from support import APP
from support.samples import picture
from uploads import tasks
from uploads.models import Kind, Link, PurgeKey, State, Upload
from uploads.sweeps import clocks

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=[1, 2])
def worker(request, s3, redis, settings):
    """`bin/worker` with so many slots, on the test's database and bucket."""
    url = connection.get_connection_params()
    process = subprocess.Popen(
        [APP / "bin" / "worker"],
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "DATABASE_URL": f"postgres://{url['user']}@{url['host'].replace('/', '%2F')}"
            f"/{url['dbname']}",
            "AWS_STORAGE_BUCKET_NAME": settings.AWS_STORAGE_BUCKET_NAME,
            "WORKER_CONCURRENCY": str(request.param),
            "RELOAD": "",
        },
        start_new_session=True,
    )
    yield request.param
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(90)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def wait_until(what, seconds: float = 90):
    """Until it is true, with a beat meanwhile; its value."""
    deadline = time.monotonic() + seconds
    beat = 0.0
    while not (value := what()):
        assert time.monotonic() < deadline
        if time.monotonic() > beat:
            tasks.tick.delay()
            beat = time.monotonic() + 0.5
        time.sleep(0.05)
    return value


KEYS = 400_000  # of which a quick machine purges 10,000 a second


def queue(count: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO uploads_purgekey (key, size_bytes, attempts)"
            " SELECT 'files/' || n, 0, 0 FROM generate_series(1, %s) n",
            [count],
        )


def expire(count: int) -> None:
    """So many files that are due."""
    now = clocks.database_clock()
    ttl = timedelta(minutes=1)
    links = Link.objects.bulk_create(
        Link(kind=Kind.FILE, owner=uuid.uuid4(), ttl=ttl, expires_at=now) for _ in range(count)
    )
    Upload.objects.bulk_create(
        Upload(
            link=link,
            kind=Kind.FILE,
            state=State.READY,
            owner=link.owner,
            filename="a",
            size_bytes=1,
            expires_at=now,
        )
        for link in links
    )


def test_an_image_is_ready_while_a_purge_an_expiry_and_a_reconcile_go_on(worker, receive, redis):
    queue(KEYS)
    expire(5_000)
    wait_until(lambda: PurgeKey.objects.count() != KEYS)  # they have begun
    for _ in range(2):
        upload_id = receive("image", picture()).id
        ready = Upload.objects.filter(id=upload_id, state=State.READY)
        wait_until(ready.exists)
    left = PurgeKey.objects.count()
    assert left > 1000, "the images were ready only once nothing was left to purge"
    # And it goes on after them.
    wait_until(lambda: PurgeKey.objects.count() < left)
    assert redis.llen("sweeps") < 10
    PurgeKey.objects.all().delete()  # or the worker would use all of its time to stop
