"""Redis carries hints: silent, refused or empty, it costs a moment and loses nothing."""

import socket
import threading
import time
import uuid

import pytest
from django.db import transaction

from support.samples import at_once
from uploads import discard, rate, tasks
from uploads.errors import RateLimited
from uploads.models import State, Sweep, Upload
from uploads.redis import breaker
from uploads.sweeps import clocks, housekeeping

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def silent_redis(settings):
    """A Redis that accepts connections and never answers."""
    from s3tasks.celery import app

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        settings.REDIS_URL = url
        before = app.conf.broker_url
        app.conf.broker_url = url
        app.amqp._producer_pool = None
        yield
        app.conf.broker_url = before
        app.amqp._producer_pool = None


@pytest.fixture
def opened(monkeypatch):
    """How often Redis was waited for in vain."""
    opened = []
    open_it = breaker.open
    monkeypatch.setattr(breaker, "cooldown", 600.0)  # however long the test takes
    monkeypatch.setattr(breaker, "open", lambda: (opened.append(time.monotonic()), open_it()))
    return opened


def test_a_silent_redis_costs_an_upload_a_moment_and_not_its_bytes(
    silent_redis, opened, store, receive
):
    start = time.monotonic()
    uploads = [receive("image") for _ in range(5)]
    assert len(opened) == 1
    assert opened[0] - start < 10
    assert Upload.objects.filter(state=State.CHECKING).count() == 5
    Upload.objects.update(lease_until=clocks.database_clock())
    assert set(housekeeping.find_due().images) == {upload.id for upload in uploads}


def test_a_silent_redis_leaves_the_rate_open(silent_redis, opened, settings):
    settings.UPLOAD_RATE = 1
    start = time.monotonic()
    for _ in range(5):
        rate.check_rate("192.0.2.1")
    assert len(opened) == 1
    assert opened[0] - start < 10


def test_an_address_has_its_uploads_a_minute(settings):
    settings.UPLOAD_RATE = 3
    rate.check_rate("192.0.2.2", 3)
    with pytest.raises(RateLimited, match="3 uploads a minute") as refused:
        rate.check_rate("192.0.2.2")
    assert 0 < refused.value.retry_after <= 60
    rate.check_rate("192.0.2.3")


def test_all_addresses_of_one_ipv6_network_count_as_one():
    assert rate.source_of("2001:db8::1") == rate.source_of("2001:db8::ffff:1")
    assert rate.source_of("2001:db8::1") != rate.source_of("2001:db8:0:1::1")


def test_a_message_is_sent_only_after_the_commit(store, receive, monkeypatch):
    sent = []
    monkeypatch.setattr(tasks.make_image_safe, "apply_async", lambda args, kw: sent.append(args))
    with transaction.atomic():
        upload = receive("image")
        assert sent == []
    assert sent == [(str(upload.id),)]


def test_a_rolled_back_upload_sends_nothing(store, receive, monkeypatch):
    sent = []
    monkeypatch.setattr(tasks.make_image_safe, "apply_async", lambda *args: sent.append(args))
    with pytest.raises(RuntimeError), transaction.atomic():
        receive("image")
        raise RuntimeError
    assert sent == []


def test_a_tick_hands_over_what_is_due(store, receive, monkeypatch):
    sent = []
    Sweep.objects.create(name="reconcile", last_ok=clocks.database_clock())
    for task in (tasks.expire, tasks.purge, tasks.reconcile, tasks.make_image_safe):
        monkeypatch.setattr(
            task, "apply_async", lambda args, kw, name=task.name: sent.append((name, *args))
        )
    tasks.tick()
    assert sent == []
    upload = receive("image")
    sent.clear()
    Upload.objects.update(lease_until=clocks.database_clock())
    tasks.tick()
    assert sent == [("make image safe", str(upload.id))]
    sent.clear()
    discard.discard_uploads(ids=[upload.id])
    tasks.tick()
    assert sent == [("purge",)]


def test_the_first_messages_of_a_process_may_be_sent_at_once(monkeypatch):
    """Celery makes its pool of producers with a limit of 10, and then sets ours: while another
    thread has a producer, that is an error of the program's."""
    from celery import Celery
    from kombu import Producer, pools

    from s3tasks.celery import app

    app.amqp._producer_pool = app._pool = None
    pools.reset()
    pools.set_limit(10)
    made = threading.Lock()
    another_has_one, limit_is_set = threading.Event(), threading.Event()
    pool, publish = Celery.pool, Producer.publish

    def set_limit_late(self):
        if made.acquire(blocking=False):
            another_has_one.wait(1)
        return pool.fget(self)

    def publish_late(self, *args, **kwargs):
        another_has_one.set()
        limit_is_set.wait(1)
        return publish(self, *args, **kwargs)

    monkeypatch.setattr(Celery, "pool", property(set_limit_late))
    monkeypatch.setattr(Producer, "publish", publish_late)
    sent = at_once(lambda n: tasks.make_image_safe.delay(str(uuid.UUID(int=n))), [1, 2])
    assert all(sent)


@pytest.mark.parametrize("queued", [0, 99, 100, 250])
def test_a_worker_that_is_behind_gets_no_more_messages_than_its_queue_may_hold(
    disk, receive, redis, queued
):
    """Each image would get another one each half minute, of which all but one find nothing to do:
    624 of them were 21 messages a second, and the queue grew for ever."""
    uploads = [receive("image") for _ in range(3)]
    redis.flushdb()
    Upload.objects.update(lease_until=clocks.database_clock())
    for _ in range(queued):
        tasks.make_image_safe.delay("00000000-0000-0000-0000-000000000000")
    tasks.tick()
    tasks.tick()  # what it had no room for is not noted as sent
    sent = redis.llen("images") - queued
    assert sent == {0: 3, 99: 1, 100: 0, 250: 0}[queued]
    redis.flushdb()
    tasks.tick()
    assert redis.llen("images") == len(uploads) - sent


def test_there_is_room_for_nothing_while_redis_is_silent(silent_redis):
    assert tasks.make_image_safe.room(100) == 0
    assert tasks.pack.room(100) == 0
