"""Heads that only a connection can bring: gunicorn reads them before Django does."""

import socket
from contextlib import ExitStack

import pytest

from support.served import Server

pytestmark = pytest.mark.django_db(transaction=True)

LONG = b"9" * 5000
HEADS = {
    "a length of 5,000 digits": b"POST / HTTP/1.1\r\nHOST\r\nContent-Length: " + LONG + b"\r\n\r\n",
    "a length below nothing": b"POST / HTTP/1.1\r\nHOST\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"PUT /a HTTP/1.1\r\nHOST\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "a length and chunks": b"PUT /a HTTP/1.1\r\nHOST\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk of 5,000 digits": b"PUT /a HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n"
    + LONG
    + b"\r\n",
    "an encoding nobody knows": b"PUT /a HTTP/1.1\r\nHOST\r\nTransfer-Encoding: x\r\n\r\n",
    "a NUL in a header": b"GET / HTTP/1.1\r\nHOST\r\nX: a\0b\r\n\r\n",
    "a NUL in a cookie": b"GET / HTTP/1.1\r\nHOST\r\nCookie: sessionid=a\0b\r\n\r\n",
    "a header of 60,000 bytes": b"GET / HTTP/1.1\r\nHOST\r\nX: " + b"a" * 60_000 + b"\r\n\r\n",
    "2,000 headers": b"GET / HTTP/1.1\r\nHOST\r\n" + b"X: a\r\n" * 2000 + b"\r\n",
    "an address of 60,000 bytes": b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nHOST\r\n\r\n",
    "bytes that are no address": b"GET /\xff\xfe HTTP/1.1\r\nHOST\r\n\r\n",
    "a whole address": b"GET http://[::1 HTTP/1.1\r\nHOST\r\n\r\n",
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nHOST\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHOST\r\nHost: evil.example\r\n\r\n",
    "a host that is none": b"GET / HTTP/1.1\r\nHost: a/b@c:99999999\r\n\r\n",
    "another's host": b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "a version nobody knows": b"GET / HTTP/9.9\r\nHOST\r\n\r\n",
    "a codec for the form": b"POST / HTTP/1.1\r\nHOST\r\nContent-Length: 1\r\n"
    b"Content-Type: multipart/form-data; boundary*=idna''%ff\r\n\r\nx",
    "no codec in the type": b"GET / HTTP/1.1\r\nHOST\r\nContent-Type: a/b; x*=zz''a\r\n\r\n",
    "a codec in latin-1": b"GET / HTTP/1.1\r\nHOST\r\nContent-Type: a/b; charset=\xe9\r\n\r\n",
    "a parameter of 5,000 digits": b"GET / HTTP/1.1\r\nHOST\r\nContent-Type: a/b; x*"
    + LONG
    + b"=1\r\n\r\n",
    "a range of 5,000 digits": b"GET /storage/x HTTP/1.1\r\nHOST\r\nRange: bytes=0-"
    + LONG
    + b"\r\n\r\n",
}


@pytest.fixture
def server(s3, tmp_path):
    """The app, which is a production's in that it shows no debug page."""
    spool = tmp_path / "spool"
    spool.mkdir()
    with ExitStack() as running:
        yield running.enter_context(Server(s3.bucket, spool, DEBUG="False"))


def test_no_head_is_answered_by_an_error_of_ours(server):
    for what, head in HEADS.items():
        with server.connect() as line:
            line.sendall(head.replace(b"HOST", b"Host: 127.0.0.1:%d" % server.port))
            line.shutdown(socket.SHUT_WR)
            line.settimeout(30)
            try:
                status = line.recv(13).partition(b" ")[2][:3]
            except (ConnectionResetError, TimeoutError) as error:
                status = b"" if isinstance(error, ConnectionResetError) else b"silence"
        assert status == b"" or (b"200" <= status < b"500") or status == b"501", (what, status)
    said = server.said.read_text()
    assert "Internal Server Error" not in said, said
    assert "Error handling request" not in said, said
    assert server.answers()
