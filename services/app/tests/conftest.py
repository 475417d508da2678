"""Real parts for the app's tests: Postgres, a Redis-protocol server, and an S3 API over HTTP.

They are started before Django reads its settings, from wheels, in a folder that goes with the run.
Every variable of `.env.var` is set, so nothing of a developer's `.env` is ever read.
"""

import importlib
import io
import logging
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from decouple import RepositoryEnv

from support import ROOT
from support.samples import picture

_running = ExitStack()


def pytest_report_header() -> str:
    """What is said before the first test."""
    return "app: each process has its own Postgres, Valkey and S3: about 4 minutes on two cores"


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers and set the environment, before pytest-django looks at it.

    Where several processes run the tests, each has its own, and the one that hands out the tests
    has none.
    """
    from ops import shell

    shell.clear()
    if config.getoption("dist") != "no" and not hasattr(config, "workerinput"):
        return
    os.environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"  # else every origin is welcome at moto's
    from moto.s3.responses import S3Response
    from moto.server import ThreadedMotoServer

    from local import servers
    from support import quick, s3_server

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    folder = Path(tempfile.mkdtemp(prefix="s3tasks-test-"))
    _running.callback(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    sockets = folder / "sockets"
    sockets.mkdir()
    postgres = _running.enter_context(servers.Postgres(folder / "postgres", sockets))
    quick.without_waiting_for_the_disk(postgres.url)
    valkey = _running.enter_context(servers.Valkey(folder / "valkey"))
    S3Response._bucket_response_post = s3_server.honour_policies()
    S3Response.copy_object = s3_server.copy_what_matches
    s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    s3.start()
    _running.callback(s3.stop)
    host, port = s3.get_host_and_port()
    os.environ.update(RepositoryEnv(str(ROOT / ".env.var")).data)
    os.environ.update(
        DJANGO_SETTINGS_MODULE="s3tasks.settings.development",
        SECRET_KEY="a-word-of-the-tests-that-is-long-enough-for-production",
        DATABASE_URL=postgres.url,
        REDIS_URL=valkey.url,
        USE_S3="True",
        AWS_ACCESS_KEY_ID="testing",
        AWS_SECRET_ACCESS_KEY="testing",
        AWS_STORAGE_BUCKET_NAME="s3tasks",
        AWS_S3_ENDPOINT_URL=f"http://{host}:{port}",
        AWS_S3_PUBLIC_ENDPOINT_URL=f"http://localhost:{port}",
        UPLOAD_RATE="0",
    )
    import django
    from django.conf import settings
    from django.core.management import call_command

    django.setup()
    call_command("compilemessages", verbosity=0)
    quick.share_clients()
    quick.empty_by_deleting()
    # The API's document states the limits as they are when it is imported, which would be within
    # whichever test asks for an address first, with that test's limits.
    importlib.import_module(settings.ROOT_URLCONF)


def pytest_unconfigure() -> None:
    """Stop the servers, and remove what they stored."""
    _running.close()


@pytest.fixture(params=["s3", "disk"])
def store(request, settings, tmp_path):
    """An empty storage that is paired with the database, each kind in turn."""
    yield from _empty_store(request.param, settings, tmp_path)


@pytest.fixture
def s3(settings, tmp_path):
    """An empty bucket that is paired with the database."""
    yield from _empty_store("s3", settings, tmp_path)


@pytest.fixture
def disk(settings, tmp_path):
    """An empty folder that is paired with the database."""
    yield from _empty_store("disk", settings, tmp_path)


def _empty_store(kind, settings, tmp_path):
    from uploads import existence, storage
    from uploads.keys import MARKER
    from uploads.models import Installation

    settings.USE_S3 = kind == "s3"
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.AWS_STORAGE_BUCKET_NAME = f"test-{uuid.uuid4()}"
    storage.storage.cache_clear()
    existence.page_check.cache_clear()
    store = storage.storage()
    if kind == "s3":
        store.client.create_bucket(Bucket=settings.AWS_STORAGE_BUCKET_NAME)
    else:
        store.prepare()
    marker = uuid.uuid4()
    store.put(MARKER, io.BytesIO(str(marker).encode()), content_type="text/plain")
    Installation.objects.filter(id=1).update(marker=marker, used_bytes=0)
    yield store
    storage.storage.cache_clear()


@pytest.fixture(autouse=True)
def installation(request) -> None:
    """The row that the migration makes, which a test with real transactions leaves truncated."""
    if request.node.get_closest_marker("django_db"):
        request.getfixturevalue(
            "transactional_db"
            if request.node.get_closest_marker("django_db").kwargs.get("transaction")
            else "db"
        )
        from uploads.models import Installation

        Installation.objects.get_or_create(id=1)


@pytest.fixture
def owner() -> uuid.UUID:
    """Whose uploads a test is about."""
    return uuid.uuid4()


@pytest.fixture
def stranger() -> uuid.UUID:
    """Somebody else."""
    return uuid.uuid4()


@pytest.fixture(autouse=True)
def forget_redis(monkeypatch):
    """No test meets the client or the open circuit breaker that another one left."""
    from uploads import redis

    monkeypatch.setattr(redis.breaker, "open_until", 0.0)
    yield
    if redis.client.cache_info().currsize:
        redis.client().connection_pool.disconnect()
        redis.client.cache_clear()


@pytest.fixture
def redis():
    """The broker, with nothing in it."""
    from uploads import redis

    client = redis.client()
    client.flushdb()
    yield client
    client.flushdb()


@pytest.fixture
def one_minute(settings, monkeypatch):
    """A minute that does not end, in which Redis counts, however busy the machine is."""
    import redis

    from uploads import rate

    now = 60 * (time.time() // 60) + 20
    monkeypatch.setattr(rate.time, "time", lambda: now)
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        monkeypatch.setattr(rate, "client", lambda: client)
        yield now


@pytest.fixture
def receive(owner) -> Iterator:
    """Upload bytes as the owner: `receive("image", …)` or `receive("file", …)`."""
    from uploads.arrivals.form import receive_upload
    from uploads.limits import check_claim

    def receive(kind, content=None, *, owner=owner, filename="a.png", **kwargs):
        content = picture() if content is None else content
        claim = check_claim(
            owner=owner, kind=kind, filename=filename, size_bytes=len(content), **kwargs
        )
        return receive_upload(claim, io.BytesIO(content))

    return receive


@pytest.fixture
def ready(receive):
    """Upload an image as the owner and make it safe."""
    from uploads import processing
    from uploads.models import Upload

    def ready(content=None, **kwargs):
        upload = receive("image", content, **kwargs)
        processing.make_image_safe(upload_id=upload.id)
        return Upload.objects.filter(id=upload.id).first()

    return ready
