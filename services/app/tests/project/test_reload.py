"""`RELOAD=1`: the command runs again after a change, and after an end of its own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import APP

RELOAD = APP / "reload.py"

# Says that it has begun; then waits, or does what a test asks.
COMMAND = """
import os, pathlib, signal, sys, time
pathlib.Path("begun").open("a").write(f"{os.getpid()}\\n")
if pathlib.Path("then").exists():
    exec(pathlib.Path("then").read_text())
time.sleep(600)
"""


class Reloaded:
    """A command under the reloader, which watches a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(RELOAD, folder)
        (folder / "command.py").write_text(COMMAND)
        self.process = subprocess.Popen(
            [sys.executable, "reload.py", "--python", sys.executable, "command.py"], cwd=folder
        )

    def begun(self) -> list[int]:
        """The processes that the command was, in their order."""
        file = self.folder / "begun"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def wait_for(self, count: int) -> list[int]:
        """Until it has begun so often."""
        deadline = time.monotonic() + 60
        while len(self.begun()) < count:
            assert time.monotonic() < deadline, f"it began {len(self.begun())} times"
            time.sleep(0.02)
        return self.begun()


@pytest.fixture
def reloaded(tmp_path):
    running = Reloaded(tmp_path)
    yield running
    running.process.terminate()
    running.process.wait(60)


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSEGV", "SIGTERM"])
def test_a_command_that_is_killed_runs_again(reloaded, how):
    (pid,) = reloaded.wait_for(1)
    os.kill(pid, getattr(signal, how))
    assert reloaded.wait_for(2)[1] != pid
    assert reloaded.process.poll() is None


@pytest.mark.parametrize("status", [0, 3])
def test_a_command_that_ends_by_itself_runs_again_and_again(reloaded, tmp_path, status):
    (tmp_path / "then").write_text(f"sys.exit({status})")
    (pid,) = reloaded.wait_for(1)
    os.kill(pid, signal.SIGKILL)
    reloaded.wait_for(3)
    assert reloaded.process.poll() is None


def test_a_command_that_cannot_run_does_not_spin(reloaded, tmp_path):
    (tmp_path / "then").write_text("sys.exit(1)")
    (pid,) = reloaded.wait_for(1)
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    reloaded.wait_for(3)
    assert time.monotonic() - began > 4


def test_a_command_that_has_ended_runs_at_once_when_the_code_is_mended(reloaded, tmp_path):
    (pid,) = reloaded.wait_for(1)
    (tmp_path / "command.py").write_text("this is no Python")
    os.kill(pid, signal.SIGKILL)
    time.sleep(1)  # what it says then is of no interest
    (tmp_path / "command.py").write_text(COMMAND)
    reloaded.wait_for(2)


def test_a_change_ends_the_command_and_runs_it_again(reloaded, tmp_path):
    (pid,) = reloaded.wait_for(1)
    deadline = time.monotonic() + 60
    while len(reloaded.begun()) < 2:  # the watch begins after the command, and says nothing of that
        assert time.monotonic() < deadline
        (tmp_path / "module.py").write_text("")
        time.sleep(1)
    assert reloaded.begun()[1] != pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_asked_to_stop_it_takes_the_command_along(reloaded):
    (pid,) = reloaded.wait_for(1)
    reloaded.process.terminate()
    assert reloaded.process.wait(60) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_asked_to_stop_while_nothing_runs_it_stops(reloaded, tmp_path):
    (tmp_path / "then").write_text("sys.exit(1)")
    (pid,) = reloaded.wait_for(1)
    os.kill(pid, signal.SIGKILL)
    reloaded.wait_for(2)
    reloaded.process.terminate()
    assert reloaded.process.wait(60) == 0
