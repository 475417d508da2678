"""Heartbeats: given through long work and a silent Redis, and not by a loop that hangs."""

import itertools
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from s3tasks.worker import heartbeat
from support import APP
from support.samples import picture
from uploads import images, redis


def hang(*, debug: bool, tmp_path) -> subprocess.CompletedProcess[str]:
    """What becomes of a process whose loop gives a heartbeat once and then hangs for a second."""
    code = (
        "import pathlib, s3tasks, time; from s3tasks.worker import heartbeat\n"
        "heartbeat.HANG_SECONDS = 0.2\n"
        f"heartbeat.FOLDER = pathlib.Path({str(tmp_path)!r})\n"
        "def loop():\n    heartbeat.touch_or_exit('beat'); time.sleep(1)\n"
        "loop()"
    )
    environment = {**os.environ, "DEBUG": str(debug)}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=APP, env=environment, text=True, capture_output=True
    )


def test_a_loop_that_hangs_ends_its_process_and_says_where(tmp_path):
    done = hang(debug=False, tmp_path=tmp_path)
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert "in loop" in done.stderr
    assert (tmp_path / "s3tasks-beat").exists()


def test_a_developers_process_may_stand_in_a_debugger(tmp_path):
    assert hang(debug=True, tmp_path=tmp_path).returncode == 0


def test_a_sign_that_cannot_be_shown_ends_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "FOLDER", tmp_path / "missing")
    heartbeat.touch("beat")


def alive(who: str, folder: Path, **values: str) -> int:
    """What `bin/alive` ends with."""
    command = [APP / "bin" / "alive", who, folder]
    return subprocess.run(command, env={**os.environ, **values}).returncode


def age(file: Path, seconds: float) -> None:
    """Let the last heartbeat in the file be so long ago."""
    then = time.time() - seconds
    os.utime(file, (then, then))


@pytest.mark.parametrize("who", ["worker", "beat"])
def test_what_has_given_no_heartbeat_is_not_alive(who, tmp_path):
    assert alive(who, tmp_path) == 1


def test_who_is_asked_for_is_one_of_the_two(tmp_path):
    for who in ("", "web", "*"):
        assert alive(who, tmp_path) == 2


def test_beat_is_alive_until_its_heartbeat_is_old(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "FOLDER", tmp_path)
    heartbeat.touch("beat")
    assert alive("beat", tmp_path) == 0
    assert alive("worker", tmp_path) == 1
    age(tmp_path / "s3tasks-beat", 3 * heartbeat.PAUSE)
    assert alive("beat", tmp_path) == 0
    age(tmp_path / "s3tasks-beat", 4 * heartbeat.PAUSE + 1)
    assert alive("beat", tmp_path) == 1


@pytest.mark.parametrize(("given", "processes"), [("", 2), ("1", 1), ("3", 3)])
def test_the_worker_is_alive_while_its_loop_and_all_of_its_pool_are(
    given, processes, tmp_path, monkeypatch
):
    monkeypatch.setattr(heartbeat, "FOLDER", tmp_path)
    names = ["worker", *(f"worker-{number}" for number in range(processes))]
    for name in names:
        assert alive("worker", tmp_path, WORKER_CONCURRENCY=given) == 1
        heartbeat.touch(name)
    assert alive("worker", tmp_path, WORKER_CONCURRENCY=given) == 0
    for name in names:
        age(tmp_path / f"s3tasks-{name}", 4 * heartbeat.PAUSE + 1)
        assert alive("worker", tmp_path, WORKER_CONCURRENCY=given) == 1
        heartbeat.touch(name)
    assert alive("worker", tmp_path, WORKER_CONCURRENCY=given) == 0


@pytest.fixture
def stands_still(monkeypatch):
    """The worker's loop turned a minute ago."""
    monkeypatch.setattr(heartbeat, "_worker_turned", time.monotonic() - 60)


def test_a_loop_that_stands_still_is_not_well(stands_still):
    assert not heartbeat.worker_is_well()
    heartbeat.worker_turns()
    assert heartbeat.worker_is_well()


def test_a_loop_that_waits_for_a_silent_redis_is_well(stands_still, settings):
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.REDIS_URL = f"redis://127.0.0.1:{server.getsockname()[1]}/0"
        assert heartbeat.worker_is_well()


def test_looking_for_redis_leaves_no_connection(stands_still):
    def connections() -> int:
        return len(redis.client().client_list())

    before = connections()
    heartbeat.worker_is_well()
    assert connections() == before


def test_signs_are_shown_while_an_image_is_made_safe(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "PAUSE", 0.02)
    source = tmp_path / "source"
    source.write_bytes(picture((5000, 5000)))
    signs: list[float] = []
    start = time.monotonic()
    heartbeat.repeat(lambda: signs.append(time.monotonic()))
    images.make_safe(source, tmp_path, max_pixels=10**8)
    end = time.monotonic()
    seen = [start, *(sign for sign in signs if sign < end), end]
    longest = max(later - sign for sign, later in itertools.pairwise(seen))
    assert longest < (end - start) / 2
