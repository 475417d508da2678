"""Beat: by a clock that nobody can set, and no more messages than somebody takes."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from s3tasks import celery as celery_module
from s3tasks.celery import WAITING_MAX, Beat, app
from support import APP


class Hands:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def hands(monkeypatch):
    moved = Hands()
    monkeypatch.setattr(celery_module, "time", moved)
    monkeypatch.setattr(celery_module.heartbeat, "touch_or_exit", lambda name: None)
    return moved


@pytest.fixture
def sent(monkeypatch):
    """What is sent, without a broker."""
    names: list[str] = []
    monkeypatch.setattr(Beat, "is_taken", lambda self, entry: True, raising=False)
    monkeypatch.setattr(Beat, "apply_async", lambda self, entry, **_: names.append(entry.name))
    return names


@pytest.mark.parametrize("hours", [-24 * 365, -1, 0, 1, 24 * 365])
def test_the_time_of_day_may_be_set_to_any(hands, sent, monkeypatch, settings, hours):
    beat = Beat(app)
    beat.tick()
    assert sent == ["tick"]
    real = app.now
    monkeypatch.setattr(type(app), "now", lambda self: real() + timedelta(hours=hours))
    for _ in range(3):
        hands.now += settings.EXPIRE_EVERY
        beat.tick()
    assert sent == ["tick"] * 4


def test_it_sends_once_each_time(hands, sent, settings):
    beat = Beat(app)
    for _ in range(50):
        hands.now += settings.EXPIRE_EVERY / 10
        beat.tick()
    assert len(sent) == 5


def test_it_sleeps_until_the_next_and_never_long(hands, sent, settings):
    beat = Beat(app)
    assert beat.tick() == pytest.approx(min(settings.EXPIRE_EVERY, celery_module.heartbeat.PAUSE))
    hands.now += 1
    assert 0 < beat.tick() <= settings.EXPIRE_EVERY - 1
    hands.now += 1000  # a laptop that was closed
    assert beat.tick() > 0
    assert len(sent) == 2


def test_a_message_holds_no_time_that_a_worker_compares_with_its_own(hands, redis):
    Beat(app).tick()
    (message,) = redis.lrange("sweeps", 0, -1)
    headers = json.loads(message)["headers"]
    assert headers["task"] == "tick"
    assert headers["expires"] is None
    assert headers["eta"] is None


def test_without_a_worker_there_are_never_many_messages(hands, redis, settings, caplog):
    beat = Beat(app)
    for _ in range(3 * WAITING_MAX):
        beat.tick()
        hands.now += settings.EXPIRE_EVERY
    assert redis.llen("sweeps") == WAITING_MAX
    assert caplog.text.count("is there a worker?") == 1
    redis.delete("sweeps")  # it runs again
    beat.tick()
    assert redis.llen("sweeps") == 1


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_real_one_sends_ticks_until_it_is_asked_to_stop(redis, how):
    with subprocess.Popen(
        [APP / "bin" / "beat"],
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "EXPIRE_EVERY": "1",
            "RELOAD": "",
        },
    ) as process:
        deadline = time.monotonic() + 60
        while redis.llen("sweeps") < 3:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(how)
        assert process.wait(60) == 0
    names = {json.loads(m)["headers"]["task"] for m in redis.lrange("sweeps", 0, -1)}
    assert names == {"tick"}


def test_nothing_but_the_tick_is_sent(hands, sent, settings):
    beat = Beat(app)
    for _ in range(3):
        hands.now += 24 * 60 * 60
        beat.tick()
    assert set(sent) == {"tick"}
