"""A worker whose pool hangs and a beat whose loop hangs are unhealthy; without Redis none is."""

import json
import time

import pytest

from tests.support.stack import wait_for

# Stops a process: one of the worker's pool, which has its parent's command line, or beat.
STOP = """
import os, pathlib, signal, sys
line = lambda pid: pathlib.Path("/proc", pid, "cmdline").read_bytes()
parent = lambda pid: pathlib.Path("/proc", pid, "stat").read_text().rsplit(")", 1)[1].split()[1]
found = [pid for pid in os.listdir("/proc") if pid.isdigit() and b"/celery\\0" in line(pid)]
if sys.argv[1] == "worker":
    found = [pid for pid in found if line(pid) == line(parent(pid))]
os.kill(int(found[0]), signal.SIGSTOP)
print(found[0])
"""


class Container:
    """One of a service's containers."""

    def __init__(self, stack, service: str, number: int) -> None:
        self.stack, self.service = stack, service
        self.name = f"{stack.project}-{service}-{number}"

    def run(self, *command: str) -> str:
        """What a command in it prints."""
        return self.stack.run("docker", "exec", self.name, *command).strip()

    def health(self) -> tuple[str, int]:
        """Its state, and how many checks in a row have failed."""
        shape = "{{json .State.Health}}"
        health = json.loads(self.stack.run("docker", "inspect", "--format", shape, self.name))
        return health["Status"], health["FailingStreak"]


@pytest.fixture
def pairs(stack):
    """A worker and a beat to hang, and a second of each that is well."""
    services = ("worker", "beat")
    up = ["up", "--detach", "--no-build", "--no-deps"]
    stack.compose(*up, "--wait", "--scale", "worker=2", "--scale", "beat=2", *services)
    yield [[Container(stack, service, number) for service in services] for number in (1, 2)]
    stack.compose(*up, *services)


def test_what_hangs_is_unhealthy_within_a_minute_and_what_lacks_redis_is_not(pairs, stack):
    hung, well = pairs
    stopped = [(each, each.run("python", "-c", STOP, each.service)) for each in hung]
    stack.compose("pause", "redis")
    unhealthy, failed = set(), set()
    start = time.monotonic()
    try:
        # What hangs is unhealthy after three failures; of what is well not one is seen by then.
        while len(unhealthy) < len(hung) and time.monotonic() < start + 120:
            time.sleep(1)
            unhealthy |= {each.name for each in hung if each.health()[0] == "unhealthy"}
            failed |= {each.name for each in well if each.health()[1]}
        print(f"unhealthy after {time.monotonic() - start:.0f} s")  # of 60, on an idle machine
        assert unhealthy == {each.name for each in hung}
        assert not failed
    finally:
        stack.compose("unpause", "redis")
        for each, pid in stopped:
            # Some worker that has Redis again has begun with new processes by now.
            each.run("bash", "-c", f"kill -CONT {pid} || true")
    for each in hung:
        wait_for(lambda each=each: each.health() == ("healthy", 0), 60, f"{each.name} is well")
