"""Large and broken bodies over a real connection, where gunicorn reads them."""

import select
import socket
import time
from contextlib import ExitStack
from http.client import HTTPResponse
from pathlib import Path

import pytest

import multipart
from multipart import nothing_is_left
from served import Server
from uploads.models import Upload

pytestmark = pytest.mark.django_db(transaction=True)

MIB = 1024 * 1024


@pytest.fixture
def serve(s3, settings, tmp_path):
    """Start the app: `serve(MAX_FILE_BYTES="1024")`."""
    with ExitStack() as running:
        spool = tmp_path / "spool"
        spool.mkdir()
        yield lambda **environment: running.enter_context(Server(s3.bucket, spool, **environment))


class Sending:
    """A form on its way: its head is sent, and what follows are the bytes of its file."""

    def __init__(self, server: Server, path: str, length: int | None) -> None:
        cookies, token = server.open_form(path)
        start = token + multipart.head("file", "big.bin")
        self.end = b"\r\n" + multipart.TAIL
        self.chunked = length is None
        headers = [
            f"POST {path} HTTP/1.1",
            f"Host: 127.0.0.1:{server.port}",
            f"Cookie: {cookies}",
            f"Content-Type: {multipart.CONTENT_TYPE}",
            "Transfer-Encoding: chunked"
            if length is None
            else f"Content-Length: {len(start) + length + len(self.end)}",
            "\r\n",
        ]
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self.socket.sendall("\r\n".join(headers).encode())
        self.send(start)

    def send(self, content: bytes) -> None:
        """Send some of the body."""
        head, tail = (b"%x\r\n" % len(content), b"\r\n") if self.chunked else (b"", b"")
        self.socket.sendall(head + content + tail)

    def finish(self) -> tuple[int, str]:
        """Send the end; the status and the page of the answer."""
        self.send(self.end)
        if self.chunked:
            self.socket.sendall(b"0\r\n\r\n")
        return self.answer()

    def cut(self) -> tuple[int, str]:
        """Send nothing more; the status and the page of the answer."""
        self.socket.shutdown(socket.SHUT_WR)
        return self.answer()

    def answer(self) -> tuple[int, str]:
        """The status and the page."""
        with self.socket, HTTPResponse(self.socket, method="POST") as answer:
            answer.begin()
            return answer.status, answer.read().decode()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="measures through /proc")
def test_a_file_far_over_the_limit_gets_a_message_and_costs_next_to_nothing(s3, serve):
    server = serve(MAX_FILE_BYTES=str(8 * MIB))
    sending = Sending(server, "/files/", 300 * MIB)
    memory, peak_memory, peak_spool = server.memory(), 0, 0
    for _ in range(300):
        sending.send(b"\0" * MIB)
        peak_memory = max(peak_memory, server.memory())
        peak_spool = max(peak_spool, server.spooled())
    status, page = sending.finish()
    assert status == 422
    assert "The file is too large: at most 8" in page
    assert 0 < peak_spool <= 8 * MIB
    assert peak_memory - memory < 40 * MIB
    assert nothing_is_left(s3)


def test_a_body_without_a_length_is_accepted(s3, serve):
    sending = Sending(serve(MAX_FILE_BYTES=str(2 * MIB)), "/files/", None)
    for _ in range(2):
        sending.send(b"\0" * MIB)
    assert sending.finish()[0] == 302
    assert Upload.objects.get().size_bytes == 2 * MIB


def test_a_body_without_a_length_that_is_too_large_gets_a_message(s3, serve):
    sending = Sending(serve(MAX_FILE_BYTES=str(2 * MIB)), "/files/", None)
    for _ in range(3):
        sending.send(b"\0" * MIB)
    status, page = sending.finish()
    assert status == 422
    assert "The file is too large" in page
    assert nothing_is_left(s3)


@pytest.mark.parametrize("length", [2 * MIB, None])
def test_half_a_file_is_no_file(s3, serve, length):
    sending = Sending(serve(), "/files/", length)
    sending.send(b"\0" * MIB)
    status, page = sending.cut()
    assert status == 400
    assert "The connection was cut" in page
    assert nothing_is_left(s3)


IMPATIENT = """
from pathlib import Path
from s3tasks import connections
connections.PATIENCE, connections.ENOUGH = 1.0, 4096
exec(Path("gunicorn.conf.py").read_text())
"""
PUT = b"PUT /a.bin HTTP/1.1\r\nHOST\r\nContent-Length: 40000\r\n\r\n"
FORM = b"HTTP/1.1\r\nHOST\r\nContent-Length: 9999\r\nContent-Type: "
SILENT = {
    b"GET / HT": b"",
    PUT + b"x": b"HTTP/1.1 409 ",
    b"PUT /a.bin HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab": b"HTTP/1.1 409 ",
    b"POST / " + FORM + b"multipart/form-data; boundary=x\r\n\r\n--x\r\n": b"HTTP/1.1 400 ",
    b"POST /api/uploads " + FORM + b"application/json\r\n\r\n{": b"HTTP/1.1 400 ",
    b"POST /files/clear/ " + FORM + b"application/x-www-form-urlencoded\r\n\r\na": b"HTTP/1.1 403 ",
}


@pytest.fixture
def impatient(serve, tmp_path):
    """The app, which waits a second for 4 KiB and not half a minute for 16."""
    config = tmp_path / "impatient.py"
    config.write_text(IMPATIENT)
    return lambda threads: serve(arguments=f"--config {config}", WEB_THREADS=str(threads))


def test_lines_that_fall_silent_give_their_threads_back(s3, impatient):
    server = impatient(len(SILENT))
    lines = [server.connect(start) for start in SILENT]
    assert server.answers()
    for line, expected in zip(lines, SILENT.values(), strict=True):
        with line:
            assert line.recv(13) == expected
    assert nothing_is_left(s3)


def test_a_line_that_only_drips_is_as_good_as_silent(s3, impatient):
    server = impatient(1)
    with server.connect(PUT) as line:
        deadline = time.monotonic() + 10
        while not select.select([line], [], [], 0.1)[0]:
            assert time.monotonic() < deadline
            line.send(b"x")
    assert server.answers()


def test_a_slow_line_that_goes_on_is_left_alone(s3, impatient):
    with impatient(1).connect(PUT) as line:
        for _ in range(20):
            assert not select.select([line], [], [], 0.12)[0]
            line.send(bytes(2000))
        assert line.recv(13) == b"HTTP/1.1 201 "


def test_each_request_on_a_connection_has_time_of_its_own(s3, impatient):
    with impatient(1).connect() as line:
        for _ in range(4):
            line.send(b"HEAD /healthz HTTP/1.1\r\n")
            assert not select.select([line], [], [], 0.4)[0]
            line.send(b"Host: localhost\r\n\r\n")
            assert line.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_a_connection_on_which_nothing_came_holds_no_thread(serve):
    server = serve(WEB_THREADS="1")
    with server.connect(), server.connect():
        assert server.answers()
