"""Bytes that go past the app, or through it without staying: tickets and `curl -T`, with MinIO."""

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.support.photos import photo
from tests.support.stack import BUCKET, wait_for

KIB, MIB, GIB = 1024, 1024**2, 1024**3


class Program:
    """A client of the API without cookies."""

    def __init__(self, stack):
        self.api = f"{stack.page}/api/uploads"
        self.session = requests.Session()

    def begin(self, kind: str, size: int, **fields) -> dict:
        claim = {"kind": kind, "filename": "a.bin", "size": size, "content_type": ""} | fields
        answer = self.session.post(self.api, json=claim, timeout=30)
        assert answer.status_code == 201, answer.text
        self.session.headers["Authorization"] = f"Bearer {answer.json()['owner_token']}"
        return answer.json()

    def send(self, begun: dict, content, **changed) -> int:
        ticket = begun["ticket"]
        fields = ticket["fields"] | changed
        files = {"file": ("a", content)}
        return requests.post(ticket["url"], data=fields, files=files, timeout=60).status_code

    def complete(self, begun: dict) -> requests.Response:
        return self.session.post(f"{self.api}/{begun['id']}/complete", timeout=30)


@pytest.fixture
def program(stack):
    return Program(stack)


def test_a_ticket_stores_exactly_what_was_announced_and_nothing_else(stack, program):
    file = program.begin("file", KIB)
    for size in (1, KIB - 1, KIB + 1, MIB):
        assert program.send(file, bytes(size)) in {400, 403}
    image = program.begin("image", KIB, content_type="image/png")
    for changed in (
        {"key": f"images/{image['id']}"},
        {"key": f"files/{image['id']}"},
        {"Content-Type": "text/html"},
        {"acl": "public-read"},
    ):
        assert program.send(image, bytes(KIB), **changed) in {400, 403}
    assert stack.objects() == set()
    assert program.complete(file).status_code == 409
    assert program.send(file, bytes(KIB)) == 204
    assert program.complete(file).json()["state"] == "ready"


def test_a_ticket_used_again_changes_nothing_that_a_link_serves(stack, program):
    content = photo(640, 480)
    begun = program.begin("image", len(content), content_type="image/jpeg")
    program.send(begun, content)
    link = program.complete(begun).json()["link"]
    wait_for(lambda: requests.get(link, timeout=30).status_code == 200, 60, "it is shown")
    served = requests.get(link, timeout=30).content
    assert program.send(begun, bytes(len(content))) == 204
    assert requests.get(link, timeout=30).content == served


def test_a_ticket_used_after_the_delete_stores_what_is_purged_again(stack, program):
    content = photo(640, 480)
    tickets = [program.begin(kind, len(content), content_type="") for kind in ("file", "image")]
    links = []
    for begun in tickets:
        program.send(begun, content)
        links.append(program.complete(begun).json()["link"])
        deletion = program.session.delete(f"{program.api}/{begun['id']}", timeout=30)
        assert deletion.status_code == 204
    stack.is_settled()
    for begun, link in zip(tickets, links, strict=True):
        assert program.send(begun, content) == 204
        assert requests.get(link, timeout=30).status_code == 404
    # Each key is purged once a minute until nobody can write it any more.
    stack.sql("UPDATE uploads_purgekey SET not_before = now()")
    wait_for(lambda: not stack.objects(), 60, "both are gone again")


def test_bytes_go_past_the_web_container(stack, program):
    content = bytes(100 * MIB)
    before = int(stack.compose("exec", "-T", "web", "cat", RECEIVED))
    begun = program.begin("file", len(content))
    assert program.send(begun, content) == 204
    assert program.complete(begun).json()["state"] == "ready"
    received = int(stack.compose("exec", "-T", "web", "cat", RECEIVED)) - before
    print(f"the web container received {received} bytes")
    assert received < 100 * 1000


def test_a_hundred_tickets_from_one_address_leave_room_for_others(stack):
    claim = {"kind": "file", "filename": "a.bin", "size": 100 * MIB, "content_type": ""}
    api = f"{stack.page}/api/uploads"
    statuses = [requests.post(api, json=claim, timeout=30).status_code for _ in range(100)]
    assert statuses == [201] * 5 + [429] * 95  # 5 % of MAX_TOTAL_BYTES
    # From within, the address is another.
    curl = ["exec", "-T", "web", "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}"]
    as_json = ["-H", "Content-Type: application/json", "-d", json.dumps(claim)]
    assert stack.compose(*curl, *as_json, "http://localhost:8000/api/uploads") == "201"
    assert stack.compose(*curl, "-T", "manage.py", "http://localhost:8000/") == "201"


RECEIVED = "/sys/class/net/eth0/statistics/rx_bytes"


def parts(stack) -> list:
    """What was begun in parts and is neither joined nor aborted."""
    return stack.s3().list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])


@pytest.fixture
def large(stack):
    """The stack takes files of 2 GiB."""
    stack.up("web", MAX_FILE_BYTES=2 * GIB)
    requests.put(f"{stack.page}/warm.bin", data=b"1", timeout=30)
    yield stack
    stack.up("web", MAX_FILE_BYTES=100 * MIB)


@pytest.mark.parametrize(
    ("mebibytes", "piped"),
    [(256, False), (1024, True)],
    ids=["256 MiB with their length", "a piped gigabyte"],
)
def test_a_large_file_streams_through_curl_and_comes_back(large, tmp_path, mebibytes, piped):
    file = tmp_path / "big.bin"
    with file.open("wb") as out:
        for number in range(mebibytes):
            out.write(bytes([number % 251]) * MIB)
    before = large.memory("web", "VmRSS")
    began = time.monotonic()
    with file.open("rb") as source:
        sent = subprocess.run(
            ["curl", "-sS", "-D", "-", "-T", "-" if piped else file, f"{large.page}/big.bin"],
            stdin=source,
            capture_output=True,
            text=True,
        )
    grown = large.memory("web", "VmHWM") - before
    print(f"{mebibytes} MiB in {time.monotonic() - began:.1f} s, web grew by {grown / MIB:.1f} MiB")
    headers, _, link = sent.stdout.replace("\r", "").rpartition("\n\n")
    assert " 201 " in headers, sent
    assert grown <= 48 * MIB
    with requests.get(link.strip(), stream=True, timeout=30) as answer, file.open("rb") as source:
        for chunk in answer.iter_content(MIB):
            assert chunk == source.read(len(chunk))
        assert source.read() == b""
    ranged = requests.get(link.strip(), headers={"Range": f"bytes={MIB}-{MIB + 9}"}, timeout=30)
    assert (ranged.status_code, ranged.content) == (206, b"\x01" * 10)
    assert requests.head(link.strip(), allow_redirects=True, timeout=30).status_code == 200
    deletion = headers.partition("X-Url-Delete: ")[2].split()[0]
    assert requests.get(deletion, timeout=30).status_code == 200
    assert large.count("upload", "filename = 'big.bin'") == 1
    assert requests.delete(deletion, timeout=30).status_code == 200
    assert requests.get(link.strip(), timeout=30).status_code == 404
    assert parts(large) == []


def send_endlessly(page: str) -> subprocess.Popen:
    """A `curl -T -` that goes on for ever."""
    command = ["curl", "-sS", "--limit-rate", "20M", "-T", "-", f"{page}/endless.bin"]
    with Path("/dev/zero").open("rb") as zeros:
        return subprocess.Popen(
            command, stdin=zeros, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )


def nothing_is_left(stack) -> bool:
    return not (parts(stack) or stack.objects() or stack.count("upload") or stack.count("purgekey"))


def test_cut_in_the_middle_nothing_is_left(stack):
    curl = send_endlessly(stack.page)
    wait_for(lambda: parts(stack), 60, "parts arrive")
    curl.kill()
    curl.communicate()
    wait_for(lambda: nothing_is_left(stack), 60, "no part is left")


def test_when_web_is_killed_nothing_is_left_after_the_sweeps(stack):
    curl = send_endlessly(stack.page)
    wait_for(lambda: parts(stack), 60, "parts arrive")
    stack.kill("web")
    curl.communicate()
    assert parts(stack)
    stack.sql("UPDATE uploads_upload SET deadline = now()")  # else some minutes later
    wait_for(lambda: nothing_is_left(stack), 60, "no part is left")
    stack.up()


def test_over_the_limit_curl_reads_why(stack):
    sent = subprocess.run(
        ["curl", "-sS", "-T", "-", f"{stack.page}/a.bin"],
        input=bytes(120 * MIB),
        capture_output=True,
    )
    assert b"The file is too large" in sent.stdout, sent.stderr
    wait_for(lambda: nothing_is_left(stack), 60, "no part is left")


def test_ten_at_once_all_arrive(stack):
    contents = [bytes([number]) * (6 * MIB) for number in range(10)]

    def put(content: bytes) -> bytes:
        link = requests.put(f"{stack.page}/a.bin", data=content, timeout=60).text.strip()
        return requests.get(link, timeout=30).content

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(put, contents)) == contents


def test_ready_names_what_is_silent(stack):
    assert requests.get(f"{stack.page}/readyz", timeout=30).json() == {
        "postgres": "ok",
        "redis": "ok",
        "storage": "ok",
        "clock": "ok",
        "sweeps": "ok",
    }
    stack.kill("minio")
    try:
        began = time.monotonic()
        answer = requests.get(f"{stack.page}/readyz", timeout=30)
        assert time.monotonic() - began < 15
        assert answer.status_code == 503
        assert {name for name, says in answer.json().items() if says != "ok"} == {"storage"}
    finally:
        stack.up("minio")
