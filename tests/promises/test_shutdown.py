"""SIGTERM loses nothing: what is in hand is finished, or handed back.

Twice: reloading, as `make up` runs the processes, and without that, as Heroku does. And each in two
ways: Docker asks the container's first process to stop, Heroku asks each of them.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.support.photos import slow_image
from tests.support.stack import wait_for

STOP_SECONDS = 30  # then Heroku sends SIGKILL
PLAIN = """
services:
  web: {environment: {RELOAD: ""}}
  worker: {environment: {RELOAD: ""}}
  beat: {environment: {RELOAD: ""}}
"""

# As soon as the worker has an image in hand, the pool's processes stand still: those that have
# their parent's command line.
HANG = """
import contextlib, os, pathlib, signal, time
line = lambda pid: pathlib.Path("/proc", pid, "cmdline").read_bytes()
pool = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    parent = pathlib.Path("/proc", pid, "stat").read_text().rsplit(")", 1)[1].split()[1]
    if parent != "0" and line(pid) == line(parent):
        pool.append(int(pid))
in_hand = lambda: set(pathlib.Path("/tmp").glob("s3tasks-*/incoming"))
left = in_hand()  # of a worker that another test has killed
pathlib.Path("/tmp/waiting").touch()
while not in_hand() - left:
    time.sleep(0.002)
for pid in pool:
    with contextlib.suppress(ProcessLookupError):  # it was about to become the decoder
        os.kill(pid, signal.SIGSTOP)
"""
WAITING = "until [ -e /tmp/waiting ]; do sleep 0.1; done; rm /tmp/waiting"


@pytest.fixture(scope="module", params=["reloading", "plain"])
def way(running_stack, request):
    """The stack with its processes under a reloader, and without."""
    if request.param == "reloading":
        yield running_stack
        return
    (running_stack.folder / "plain.yml").write_text(PLAIN)
    running_stack.environment["COMPOSE_FILE"] = "docker-compose.yml:plain.yml"
    running_stack.up("web", "worker", "beat")
    yield running_stack
    del running_stack.environment["COMPOSE_FILE"]
    running_stack.up("web", "worker", "beat")


def stop(stack, service: str, every_process: bool) -> float:
    """Stop a service; how long that took, in seconds."""
    start = time.monotonic()
    if every_process:
        # Compose starts it again by itself, as Heroku does.
        started = _started(stack, service)
        stack.compose("exec", "-T", service, "bash", "-c", "kill -TERM -1")
        wait_for(lambda: _started(stack, service) != started, 60, f"{service} is started again")
    else:
        stack.compose("stop", service)
    return time.monotonic() - start


def _started(stack, service: str) -> str:
    container = stack.compose("ps", "--all", "--quiet", service).strip()
    return stack.run("docker", "inspect", "--format", "{{.State.StartedAt}}", container)


class Slowly:
    """A request's body that takes some seconds to send."""

    def __init__(self, body: bytes, seconds: float) -> None:
        self.body, self.sent = body, 0
        self.pause = seconds / (len(body) // 16384 + 1)

    def __len__(self) -> int:
        return len(self.body)

    def read(self, size: int = -1) -> bytes:
        """The next piece."""
        time.sleep(self.pause)
        piece = self.body[self.sent : self.sent + min(size, 16384)]
        self.sent += len(piece)
        return piece


@pytest.mark.parametrize("every_process", [False, True], ids=["docker", "heroku"])
class TestStopped:
    def test_a_worker_finishes_the_image_in_its_hand(self, way, stack, visitor, every_process):
        visitor.upload_images(("large.png", slow_image()))
        wait_for(lambda: stack.count("upload", "attempts = 1"), 60, "the worker has begun")
        assert stop(stack, "worker", every_process) < STOP_SECONDS
        assert stack.count("upload", "state = 'ready' OR attempts = 0 AND lease IS NULL") == 1
        stack.up("worker")
        visitor.wait_for_pictures(1, seconds=60)
        stack.is_settled()

    def test_web_answers_the_upload_that_it_receives(self, way, stack, visitor, every_process):
        visitor.get("/files/")
        fields = {"csrfmiddlewaretoken": visitor.token, "description": "", "ttl": ""}
        request = visitor.session.prepare_request(
            requests.Request(
                "POST",
                f"{stack.page}/files/",
                data=fields,
                files={"file": ("a.bin", bytes(2 * 1024 * 1024))},
            )
        )
        request.body = Slowly(request.body, 4)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(visitor.session.send, request, allow_redirects=False)
            time.sleep(1)  # in the middle of it
            assert stop(stack, "web", every_process) < STOP_SECONDS
            assert answer.result().status_code == 302
        stack.up("web")
        assert len(visitor.links("/files/")) == 1
        stack.is_settled()

    def test_beat_stops(self, way, stack, every_process):
        assert stop(stack, "beat", every_process) < 10
        stack.up("beat")


def test_a_worker_that_cannot_finish_hands_back_at_once(way, stack, visitor):
    with ThreadPoolExecutor(1) as pool:
        hung = pool.submit(stack.compose, "exec", "-T", "worker", "python", "-c", HANG)
        stack.compose("exec", "-T", "worker", "bash", "-c", WAITING)
        visitor.upload_images(("large.png", slow_image()))
        hung.result(timeout=30)
    assert stack.count("upload", "state = 'checking' AND lease IS NOT NULL") == 1
    assert stop(stack, "worker", every_process=False) < STOP_SECONDS
    assert stack.count("upload", "state = 'checking' AND attempts = 0 AND lease IS NULL") == 1
    stack.up("worker")
    visitor.wait_for_pictures(1, seconds=60)
    stack.is_settled()
