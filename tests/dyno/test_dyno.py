"""`make dyno`: the app runs under a dyno's rules, and what would not run is named."""

import http.client
import json
import os
import random
import re
import shlex
import subprocess
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256

import pytest

from client.load import Load, Sent
from client.visitor import PAGES, TRUSTING, Connections, Visitor
from ops.budget import PLAN
from tests.support.photos import photo
from tests.support.stack import (
    Stack,
    copy_tree,
    remove_images,
    wait_for,
    why_no_engine,
    without_decouple_files,
)

STOP_SECONDS = 30  # then Heroku sends SIGKILL
SIGTERMS = 50
LOAD_SECONDS = 20  # in place of a minute's: the machine has other tests to do
KILLED = 137  # by SIGKILL
TTL = {"image": 900, "file": 900}  # seconds


def make_dyno(folder, environment) -> tuple[int, str]:
    done = subprocess.run(
        ["make", "dyno"], cwd=folder, env=environment, text=True, capture_output=True
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def project():
    """The name of a Compose project; nothing is left of it."""
    if reason := why_no_engine():
        pytest.skip(reason)
    name = f"s3tasks-test-{uuid.uuid4().hex[:8]}"
    yield name
    compose = ["docker", "compose", "--project-name", f"{name}-dyno"]
    subprocess.run([*compose, "down", "--volumes", "--remove-orphans"], capture_output=True)
    for run in ("", "-failing"):
        remove_images(f"{name}{run}-dyno")


class Dyno(Stack):
    """The stack that `KEEP=1 make dyno` leaves up."""

    def __init__(self, folder, environment, said: str) -> None:
        self.folder, self.said = folder, said
        exported = shlex.split(said.partition("here: export ")[2].splitlines()[0])
        values = dict(word.split("=", 1) for word in exported)
        self.environment = {**environment, **values}
        self.project = values["COMPOSE_PROJECT_NAME"]
        self.ports = {name: int(v) for name, v in values.items() if name.endswith("_PORT")}
        self.page = f"https://localhost:{self.ports['WEB_PORT']}"

    def container(self, service: str) -> str:
        """Its name."""
        return f"{self.project}-{service}-1"

    def redis(self, *command: str) -> str:
        """What Redis answers."""
        return self.compose("exec", "-T", "redis", "redis-cli", "--tls", "--insecure", *command)

    def has_booted(self, service: str) -> None:
        """Wait until it works, since it was started last: how long that takes is the machine's
        affair."""
        container = self.container(service)
        since = self.run("docker", "inspect", "--format", "{{.State.StartedAt}}", container)
        heartbeats = ["find", "/tmp", "-name", f"s3tasks-{service}*", "-newermt", since.strip()]

        def works() -> bool:
            if service == "web":
                return Visitor(self.page).answers("/healthz")
            done = ["docker", "exec", container, *heartbeats]
            return bool(self.run(*done, check=False).strip())

        wait_for(works, 120, f"{service} works")

    def answers(self) -> None:
        """Wait until web does, through the router."""
        wait_for(lambda: Visitor(self.page).answers("/healthz"), 60, "web answers")


@pytest.fixture(scope="module")
def dyno(project, tmp_path_factory):
    """What `make dyno` said, and what it left up: one boot for all tests."""
    folder = copy_tree(tmp_path_factory.mktemp("dyno"))
    environment = without_decouple_files(
        COMPOSE_PROJECT_NAME=project, KEEP="1", LOAD_SECONDS=str(LOAD_SECONDS)
    )
    code, said = make_dyno(folder, environment)
    assert code == 0, said
    print(said)  # shown where a test fails
    dyno = Dyno(folder, environment, said)
    dyno.answers()
    return dyno


def test_it_boots_serves_fits_and_stops(dyno):
    assert "dyno: this runs on Heroku" in dyno.said
    boot = re.search(r"web answered after ([\d.]+) s of 60", dyno.said)
    assert float(boot.group(1)) < 60
    memory = re.findall(r"(\w+) (\d+) MiB", dyno.said.split("most memory: ")[1])
    assert {"web", "worker", "beat"} <= {name for name, mib in memory if 0 < int(mib) < 512}
    assert f"{20 * LOAD_SECONDS} uploads" in dyno.said


def test_twenty_connections_are_enough_for_all_of_it_with_a_release_and_a_shell(dyno):
    counts = re.findall(r"(Redis|Postgres) (\d+) of 20", dyno.said)
    assert {name for name, _ in counts} == {"Redis", "Postgres"}
    assert all(0 < int(count) <= PLAN for _, count in counts)


# --- The router -----------------------------------------------------------------------------------


def test_the_router_cuts_an_answer_after_30_s_and_not_a_body_that_takes_longer(dyno):
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(put_slowly, dyno, seconds=36)
        time.sleep(1)
        dyno.run("docker", "pause", dyno.container("web"))
        try:
            start = time.monotonic()
            cut = Visitor(dyno.page).ask("GET", f"{dyno.page}/")
            seconds = time.monotonic() - start
        finally:
            dyno.run("docker", "unpause", dyno.container("web"))
        assert cut.status == 503
        assert 28 <= seconds < 45  # not the 55 of two bytes of an answer
        assert cut.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "Application error" in cut.text
        status, link, content = slow.result()
    assert status == 201
    assert Visitor(dyno.page).fetch(link).body == content


def put_slowly(dyno, seconds: int) -> tuple[int, str, bytes]:
    """A PUT whose body takes so long: its status, what it answers, and the body."""
    piece = os.urandom(1024)
    place = dyno.page.partition("://")[2]
    with closing(http.client.HTTPSConnection(place, timeout=60, context=TRUSTING)) as connection:
        connection.putrequest("PUT", "/slow.bin")
        connection.putheader("Content-Length", str(seconds * len(piece)))
        connection.endheaders()
        for _ in range(seconds):
            time.sleep(1)
            connection.send(piece)
        answer = connection.getresponse()
        return answer.status, answer.read().decode().strip(), piece * seconds


# What stands in for the app: it answers with the headers that it got.
ECHO = """
import http.server, json, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(dict(self.headers)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="class")
def echo(dyno):
    """What web gets of a request with these headers."""
    dyno.compose("stop", "web")
    run = ["run", "--detach", "--rm", "--no-deps", "--use-aliases", "web"]
    container = dyno.compose(*run, "python", "-c", ECHO).split()[-1]

    def echo(**headers: str) -> dict[str, str]:
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = Connections().ask("GET", f"{dyno.page}/", None, headers)
        return json.loads(answer.body)

    wait_for(lambda: Visitor(dyno.page).answers("/"), 60, "the stand-in answers")
    yield echo
    dyno.run("docker", "rm", "--force", container)
    dyno.compose("start", "web")
    dyno.answers()


class TestRouter:
    def test_appends_the_address_to_what_a_visitor_claims(self, echo):
        mine = echo()["X-Forwarded-For"]
        assert re.fullmatch(r"[\d.]+", mine)
        assert echo(X_Forwarded_For="10.1.2.3")["X-Forwarded-For"] == f"10.1.2.3, {mine}"

    def test_says_https_and_443_whatever_a_visitor_claims(self, echo):
        got = echo(X_Forwarded_Proto="http", X_Forwarded_Port="80")
        assert (got["X-Forwarded-Proto"], got["X-Forwarded-Port"]) == ("https", "443")

    @pytest.mark.parametrize("length", [20, 200])
    def test_keeps_a_request_id(self, echo, length):
        assert echo(X_Request_ID="a" * length)["X-Request-Id"] == "a" * length

    @pytest.mark.parametrize("given", ["a" * 19, "a" * 201, "with spaces in between them"])
    def test_makes_a_request_id_where_there_is_none(self, echo, given):
        assert str(uuid.UUID(echo(X_Request_ID=given)["X-Request-Id"])) != given


def test_a_forged_address_is_not_the_one_whose_uploads_are_counted(dyno):
    dyno.redis("flushall")
    forged = {"X-Forwarded-For": "10.1.2.3"}
    answer = Connections().ask("PUT", f"{dyno.page}/a.txt", b"a", forged)
    assert (answer.status, answer.text[:8]) == (201, "https://")
    (key,) = dyno.redis("--scan", "--pattern", "rate:*").splitlines()
    assert "10.1.2.3" not in key


# --- Shutdown -------------------------------------------------------------------------------------


@dataclass
class Stopped:
    """How a process type took SIGTERM."""

    service: str
    seconds: float
    code: int


def stop_often(dyno, service: str, count: int, dice: random.Random) -> list[Stopped]:
    """SIGTERM to all its processes at random moments of their work; after each they start again."""
    container, taken = dyno.container(service), []
    for _ in range(count):
        time.sleep(dice.uniform(0, 5))
        start = time.monotonic()
        dyno.run("docker", "stop", "--time", str(STOP_SECONDS), container)
        seconds = time.monotonic() - start
        code = dyno.run("docker", "inspect", "--format", "{{.State.ExitCode}}", container)
        dyno.run("docker", "start", container)
        taken.append(Stopped(service, seconds, int(code)))
        dyno.has_booted(service)
    return taken


def test_fifty_sigterms_lose_nothing(dyno):
    dyno.empty()
    load = Load(dyno.page, photo(640, 480), count=10_000, rate=6, ttl=TTL, each=1, patience=120)
    counts = {"web": 17, "worker": 17, "beat": 16}
    with ThreadPoolExecutor(4) as pool:
        uploading = pool.submit(load.run)
        stopping = [
            pool.submit(stop_often, dyno, service, count, random.Random(random.random()))
            for service, count in counts.items()
        ]
        try:
            taken = [stopped for each in stopping for stopped in each.result()]
        finally:
            load.end()
        uploading.result()
    for service in counts:
        times = sorted(each.seconds for each in taken if each.service == service)
        print(f"{service}: {times[len(times) // 2]:.1f} s (median), {times[-1]:.1f} s (most)")
    print(f"{len(load.sent)} uploads answered with success, {load.retries} retries")

    assert len(taken) == SIGTERMS
    assert [each for each in taken if each.code == KILLED or each.seconds >= STOP_SECONDS] == []
    assert load.failed == {}
    # A machine with much else to do has hundreds of images to make up for by now.
    start = time.monotonic()
    wait_for(lambda: not dyno.count("upload", "state = 'checking'"), 300, "no task is lost")
    print(f"all images were made safe {time.monotonic() - start:.1f} s later")
    with ThreadPoolExecutor(8) as pool:
        assert [lost for lost in pool.map(lost_of, load.sent) if lost] == []
    # What was announced or sent and then begun anew by a client who got no answer.
    dyno.sql("UPDATE uploads_upload SET deadline = now() WHERE state = 'pending'")
    dyno.is_settled(180)
    for command in (["llen", "images"], ["llen", "sweeps"], ["hlen", "unacked"]):
        wait_for(lambda c=command: dyno.redis(*c).strip() == "0", 60, f"{command} is 0")


def lost_of(sent: Sent) -> str:
    """What is missing of an upload that was answered with success; blank: nothing."""
    links = [sent.link] if sent.link else sent.visitor.links(PAGES[sent.kind])
    for link in links:
        answer = sent.visitor.fetch(link)
        if answer.status == 200 and (
            sha256(answer.body).hexdigest() == sent.digest
            if sent.kind == "file"
            else answer.body.startswith(b"\xff\xd8\xff")
        ):
            return ""
    return f"a {sent.kind} sent by {sent.door}, {links}"


def test_a_failing_release_stops_the_rest(project, tmp_path):
    folder = copy_tree(tmp_path)
    script = folder / "services/app/bin/release"
    script.write_text(script.read_text().replace("exec python manage.py release", "exit 1"))
    code, said = make_dyno(
        folder, without_decouple_files(COMPOSE_PROJECT_NAME=f"{project}-failing")
    )
    assert code != 0
    assert "would NOT run on Heroku: release failed" in said
    assert "web answered" not in said
    left = ["docker", "ps", "--all", "--quiet", "--filter"]
    left.append(f"label=com.docker.compose.project={project}-failing-dyno")
    assert subprocess.run(left, capture_output=True, text=True).stdout == ""
