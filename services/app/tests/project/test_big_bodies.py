"""Large and broken bodies over a real connection, where gunicorn reads them."""

import socket
from contextlib import ExitStack
from http.client import HTTPResponse
from pathlib import Path

import pytest

from support import multipart
from support.multipart import nothing_is_left
from support.served import Server
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
    assert "The file is too large. The limit is 8" in page
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
    assert "The connection was lost" in page
    assert nothing_is_left(s3)
