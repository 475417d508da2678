"""Whoever sends or reads slowly costs the others next to nothing, and is told why it ended."""

import select
import threading
import time
from contextlib import ExitStack, closing
from datetime import timedelta
from http.client import HTTPConnection, HTTPResponse
from itertools import product

import pytest
from django.db import connection
from django.db.models.functions import Now

from support import multipart
from support.multipart import nothing_is_left
from support.relay import Relay
from support.served import STOP_SECONDS, Server
from uploads.models import Upload
from uploads.storage import LocalDisk

pytestmark = pytest.mark.django_db(transaction=True)

KIB, MIB = 1024, 1024 * 1024
ENTRY = 70 * KIB  # what the loop reads of a body, and a little more
AT_ONCE = 25.0  # seconds: on a machine that is busy, and less than who waits for ever is waited for

CONFIG = """
from pathlib import Path
from s3tasks.web import patient_socket, slow_clients
exec(Path("gunicorn.conf.py").read_text())
settings.MEDIA_ROOT = Path({media!r})
"""
SHORT = """
patient_socket.SILENCE, patient_socket.WINDOW, patient_socket.BEAT = 2.0, 1.0, 0.5
slow_clients.HEAD_SECONDS = 2.0
"""


@pytest.fixture
def serve(settings, tmp_path):
    """Start the app on S3 or the disk: `serve(s3, threads=4, more=SHORT)`."""
    with ExitStack() as running:

        def serve(store, *, threads, more="", arguments="", **environment):
            spool = tmp_path / "spool"
            spool.mkdir()
            config = tmp_path / "conf.py"
            config.write_text(CONFIG.format(media=str(settings.MEDIA_ROOT)) + more)
            server = Server(
                settings.AWS_STORAGE_BUCKET_NAME,
                spool,
                arguments=f"--config {config} {arguments}",
                WEB_THREADS=str(threads),
                USE_S3=str(settings.USE_S3),
                **environment,
            )
            running.enter_context(server)
            ask(server, "GET", "/")  # the first one takes longer
            return server

        yield serve


PUT = b"PUT /a.bin HTTP/1.1\r\nHOST\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"PUT /a.bin HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n"
POST = b"HTTP/1.1\r\nHOST\r\nContent-Length: %d\r\nContent-Type: "
FILE = (
    b"multipart/form-data; boundary=x\r\n\r\n"
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
)
LINES = {
    "a PUT": PUT,
    "a PUT in chunks": CHUNKED,
    "a form": b"POST /files/ " + POST,  # and what `begun` adds
    "JSON": b"POST /api/uploads " + POST + b"application/json\r\n\r\n{",
    "fields": b"POST /files/clear/ " + POST + b"application/x-www-form-urlencoded\r\n\r\na=",
}


def begun(server, kind, length):
    """The head of such a request, and where there must be some the beginning of its body."""
    start = LINES[kind] % length
    if kind != "a form":
        return start
    cookies, token = server.open_form("/files/")  # without, it is refused at once
    start = start.replace(b"HOST\r\n", b"HOST\r\nCookie: " + cookies.encode() + b"\r\n")
    content_type = multipart.CONTENT_TYPE.encode() + b"\r\n\r\n"
    return start + content_type + token + multipart.head("file", "a.bin")


class Dripping:
    """Lines on which a thread of the test sends so many bytes a second."""

    def __init__(self, lines, bytes_a_second):
        self.lines = lines
        self.pieces = bytes(max(1, bytes_a_second // 10))
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        alive = list(self.lines)
        while not self.over.wait(len(self.pieces) and 0.1) and alive:
            for line in list(alive):
                try:
                    line.send(self.pieces)
                except OSError:
                    alive.remove(line)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        for line in self.lines:
            line.close()


def ask(server, method, path, body=None, **headers):
    """The answer, read, and after how many seconds."""
    began = time.monotonic()
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=40)) as http:
        http.request(method, path, body, headers)
        answer = http.getresponse()
        answer.text = answer.read().decode()
    return answer, time.monotonic() - began


def pages_answer(server):
    """Pages and the health check do, at once."""
    for path in ("/", "/healthz", "/files/"):
        answer, seconds = ask(server, "GET", path)
        assert answer.status == 200
        assert seconds < AT_ONCE


def told(line):
    """Status, sentence and Retry-After of an answer that is there or comes."""
    with HTTPResponse(line) as answer:
        answer.begin()
        return answer.status, answer.read().decode(), answer.getheader("Retry-After")


# --- Lines that are slow from the beginning -----------------------------------------------------


def test_forty_slow_lines_of_any_kind_are_not_the_site(s3, serve):
    server = serve(s3, threads=4)
    starts = {kind: begun(server, kind, 50 * MIB) for kind in LINES}
    for kind, start in {**starts, "a head": b"GET / HTTP/1.1\r\nHOST\r\nX: "}.items():
        with Dripping([server.connect(start) for _ in range(40)], 700):
            for _ in range(2):
                pages_answer(server)
                answer, seconds = ask(server, "PUT", "/honest.bin", bytes(3 * MIB))
                assert answer.status == 201, kind
                assert seconds < AT_ONCE, kind


def test_nor_are_all_kinds_together_and_the_server_stops(s3, serve):
    server = serve(s3, threads=4)
    lines = [server.connect(begun(server, kind, 50 * MIB)) for kind in LINES for _ in range(10)]
    lines += [server.connect(b"GET / HTTP/1.1\r\nX: ") for _ in range(10)]
    lines += [server.connect() for _ in range(10)]
    with Dripping(lines, 700):
        pages_answer(server)
        assert ask(server, "PUT", "/honest.bin", bytes(3 * MIB))[0].status == 201
    assert server.stop() == 0


def test_more_lines_than_there_may_be_make_room_for_a_newcomer(s3, serve):
    server = serve(s3, threads=2, arguments="--worker-connections 20")
    for start in (b"", b"GET / HTTP/1.1\r\nX: "):
        with Dripping([server.connect(start) for _ in range(60)], 10):
            pages_answer(server)


def test_a_head_without_an_end_is_refused(s3, serve):
    with serve(s3, threads=2).connect(b"GET / HTTP/1.1\r\nHOST\r\n") as line:
        line.sendall(b"X: " + b"x" * 70 * KIB)
        assert line.recv(13) == b"HTTP/1.1 431 "


# --- Lines that began fast ----------------------------------------------------------------------


def entered(server, kind="a PUT", length=50 * MIB, **headers):
    """A line that has brought enough to get a place."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
    start = begun(server, kind, length).replace(b"HOST\r\n", b"HOST\r\n" + head)
    line = server.connect(start)
    line.sendall(bytes(ENTRY))
    return line


def test_the_slowest_is_ended_when_somebody_waits_and_is_told_why(s3, serve):
    server = serve(s3, threads=4, more=SHORT)
    for kind in ("a PUT", "a PUT in chunks", "a form"):
        slow, slower = (entered(server, kind) for _ in range(2))
        with Dripping([slow], 20_000), Dripping([slower], 2_000):
            assert not select.select([slow, slower], [], [], 3)[0], kind  # nobody waits
            answer, seconds = ask(server, "PUT", "/honest.bin", bytes(3 * MIB))
            assert answer.status == 201, kind
            assert seconds < AT_ONCE, kind
            status, sentence, again = told(slower)
            assert (status, again) == (503, "60"), kind
            assert "The server closed this connection because others were waiting" in sentence
            assert not select.select([slow], [], [], 0)[0], kind
    assert Upload.objects.filter(state="ready").count() == 3


@pytest.mark.parametrize("kind", ["a PUT", "a PUT in chunks", "a form"])
def test_forty_lines_that_begin_fast_and_then_drip_are_not_the_site(s3, serve, kind):
    server = serve(s3, threads=16)
    with Dripping([entered(server, kind) for _ in range(40)], 700):
        pages_answer(server)
        began = time.monotonic()
        while True:
            answer, seconds = ask(server, "PUT", "/honest.bin", bytes(3 * MIB))
            assert seconds < AT_ONCE
            if answer.status == 201:
                break
            assert (answer.status, answer.getheader("Retry-After")) == (503, "10")
            assert time.monotonic() - began < 90
        pages_answer(server)


def test_who_waits_in_vain_is_told_within_ten_seconds_and_the_fast_go_on(s3, serve):
    server = serve(s3, threads=4, more=SHORT)
    fast = [entered(server) for _ in range(2)]
    with Dripping(fast, 200_000):
        assert not select.select(fast, [], [], 2)[0]
        answer, seconds = ask(server, "PUT", "/honest.bin", bytes(3 * MIB))
        assert (answer.status, answer.getheader("Retry-After")) == (503, "10")
        assert "already receiving as many uploads as it can" in answer.text
        assert answer.getheader("Content-Type") == "text/plain; charset=utf-8"
        assert 5 < seconds < AT_ONCE
        assert not select.select(fast, [], [], 0)[0]
        pages_answer(server)


def test_a_slow_newcomer_ends_nobody_who_is_faster(s3, serve):
    server = serve(s3, threads=4, more=SHORT)
    honest = [entered(server) for _ in range(2)]
    newcomer = server.connect(PUT % MIB)
    newcomer.settimeout(40)
    with Dripping(honest, 50_000), Dripping([newcomer], 20_000):
        status, _, again = told(newcomer)
        assert (status, again) == (503, "10")
        assert not select.select(honest, [], [], 0)[0]


def test_nobody_ends_others_by_holding_more_places(s3, serve):
    server = serve(s3, threads=8, more=SHORT, TRUSTED_PROXIES="1")
    greedy = {"X-Forwarded-For": "203.0.113.9"}
    honest = entered(server, **{"X-Forwarded-For": "198.51.100.1"})
    crowd = [entered(server, **greedy) for _ in range(3)]
    with Dripping([honest], 1_000), Dripping(crowd, 20_000):
        assert not select.select([honest, *crowd], [], [], 3)[0]
        answer, _ = ask(server, "PUT", "/greedy.bin", bytes(3 * MIB), **greedy)
        assert answer.status == 201
        assert not select.select([honest], [], [], 0)[0]
        assert len(select.select(crowd, [], [], 1)[0]) == 1  # one of its own


# --- Nobody waits -------------------------------------------------------------------------------


def test_a_pipe_at_ten_bytes_a_second_arrives_whole(s3, serve):
    server = serve(s3, threads=4, more=SHORT)
    head = b"PUT /log HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n"
    with server.connect(head) as line, server.connect(head) as entered:
        entered.sendall(b"%x\r\n%s\r\n" % (ENTRY, bytes(ENTRY)))
        for _ in range(8):  # four times as long as silence is waited for
            assert not select.select([line, entered], [], [], 1)[0]
            for each in (line, entered):
                each.sendall(b"a\r\n1234567890\r\n")
        for each in (line, entered):
            each.sendall(b"0\r\n\r\n")
            assert told(each)[0] == 201
    assert set(Upload.objects.values_list("size_bytes", flat=True)) == {80, ENTRY + 80}


def test_its_row_waits_as_long_as_bytes_come(s3, serve):
    more = SHORT + (
        "import django\n"
        "def post_fork(server, worker):\n"
        "    django.setup()\n"
        "    from datetime import timedelta\n"
        "    from uploads.arrivals import stream\n"
        "    stream.PART_BYTES, stream.PART_PATIENCE = 65536, timedelta(seconds=60)\n"
    )
    server = serve(s3, threads=2, more=more)
    with entered(server, length=MIB) as line:
        deadlines = set()
        for _ in range(40):
            assert not select.select([line], [], [], 0.2)[0]
            line.sendall(b"12")
            deadlines |= set(Upload.objects.values_list("deadline", flat=True))
        assert len(deadlines) > 3
        assert Upload.objects.filter(deadline__gt=Now() + timedelta(seconds=30)).exists()
        Upload.objects.update(created_at=Now() - timedelta(hours=25))
        with Dripping([line], 20):
            assert told(line)[0] == 404
    assert connection.connection is not None


def test_who_falls_silent_is_told_so(s3, serve):
    server = serve(s3, threads=24, more=SHORT)  # so many that each line has its place
    pairs = product(LINES, (1, ENTRY))
    lines = {pair: server.connect(begun(server, pair[0], MIB)) for pair in pairs}
    for (_, entry), line in lines.items():
        line.sendall(b"{" * entry)
    why = "The server closed this connection because nothing had arrived for 2 seconds"
    for pair, line in lines.items():
        with line:
            status, sentence, _ = told(line)
        if pair not in {("JSON", ENTRY), ("fields", ENTRY)}:
            assert status == 408, pair
            assert why in sentence, pair
        assert status < 500, pair
    assert server.answers()
    assert nothing_is_left(s3)


def test_a_head_that_is_not_finished_is_not_waited_for(s3, serve):
    with serve(s3, threads=2, more=SHORT).connect(b"GET / HT") as line:
        assert line.recv(1) == b""


# --- Those who read -----------------------------------------------------------------------------


@pytest.fixture
def download(disk, receive):
    """The address of 30 MiB on the local disk."""
    content = b"0123456789abcdef" * (2 * MIB)
    key = receive("file", content, filename="a.bin").served_key
    assert isinstance(disk, LocalDisk)
    address = disk.url(key, seconds=600, content_type="text/plain", download_as="a.bin")
    return address, content


def test_forty_downloads_that_nobody_reads_are_not_the_site(disk, download, serve):
    server = serve(disk, threads=2)
    address, content = download
    start = b"GET %s HTTP/1.1\r\nHOST\r\n\r\n" % address.encode()
    with Dripping([server.connect(start) for _ in range(40)], 0):
        pages_answer(server)
        answer, _ = ask(server, "GET", address)
        assert answer.text == content.decode()
        assert ask(server, "PUT", "/honest.bin", bytes(3 * MIB))[0].status == 201


def test_forty_pages_that_nobody_reads_are_not_the_site(s3, serve):
    server = serve(s3, threads=2)
    script = ask(server, "GET", "/static/admin/js/vendor/jquery/jquery.js")[0]
    assert script.status == 200
    start = b"GET /static/admin/js/vendor/jquery/jquery.js HTTP/1.1\r\nHOST\r\n\r\n" * 10
    with Dripping([server.connect(start) for _ in range(40)], 0):
        pages_answer(server)


def test_a_slow_reader_gets_all_of_it(disk, download, serve):
    server = serve(disk, threads=2)
    address, content = download
    with server.connect(b"GET %s HTTP/1.0\r\nHOST\r\n\r\n" % address.encode()) as line:
        came = bytearray()
        while data := line.recv(MIB):
            came += data
            time.sleep(0.01)
    assert came.partition(b"\r\n\r\n")[2] == content


def test_a_range_is_what_was_asked_for(disk, download, serve):
    server = serve(disk, threads=2)
    address, content = download
    for asked, expected in {
        "bytes=5-9": content[5:10],
        "bytes=-7": content[-7:],
        "bytes=1000000-": content[1_000_000:],
    }.items():
        answer, _ = ask(server, "GET", address, Range=asked)
        assert (answer.status, answer.text) == (206, expected.decode())


def test_forty_slow_tickets_are_not_the_site(disk, serve):
    server = serve(disk, threads=4)
    url = disk.ticket("files/x", size_bytes=50 * MIB, content_type="", seconds=600).url
    start = b"POST " + url.encode() + b" " + POST % (50 * MIB) + FILE
    with Dripping([server.connect(start) for _ in range(40)], 700):
        pages_answer(server)
        assert ask(server, "PUT", "/honest.bin", bytes(3 * MIB))[0].status == 201


# --- What goes on as before ---------------------------------------------------------------------


def test_each_request_on_a_connection_has_time_of_its_own(s3, serve):
    with serve(s3, threads=1, more=SHORT).connect() as line:
        for path in ("/healthz", "/sharex.sxcu") * 3:
            line.send(f"HEAD {path} HTTP/1.1\r\n".encode())
            assert not select.select([line], [], [], 0.7)[0]
            line.send(b"Host: localhost\r\n\r\n")
            assert line.recv(64 * KIB).startswith(b"HTTP/1.1 200 ")


def test_requests_that_come_at_once_are_answered_in_turn(s3, serve):
    with serve(s3, threads=2).connect() as line:
        line.sendall(
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
            b"PUT /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
            b"PUT /b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nab\r\n0\r\n\r\n"
            b"GET /sharex.sxcu HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        came = b""
        while data := line.recv(KIB):
            came += data
    statuses = [part[:3] for part in came.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"201", b"201", b"200"]
    assert sorted(Upload.objects.values_list("filename", "size_bytes")) == [("a", 3), ("b", 2)]


def test_who_asks_whether_to_go_on_is_told_once(s3, serve):
    server = serve(s3, threads=2)
    for size in (1, 64 * KIB, 64 * KIB + 1, 3 * MIB):
        head = (PUT % size).replace(b"HOST", b"HOST\r\nExpect: 100-continue")
        with server.connect(head) as line:
            assert line.recv(KIB) == b"HTTP/1.1 100 Continue\r\n\r\n", size
            line.sendall(bytes(size))
            assert line.recv(13) == b"HTTP/1.1 201 ", size


def test_a_stop_answers_what_is_under_way(s3, serve):
    server = serve(s3, threads=2)
    idle = server.connect()
    with entered(server, length=100 * KIB) as line, idle:
        time.sleep(0.5)
        server.process.terminate()
        time.sleep(0.5)
        line.sendall(bytes(100 * KIB - ENTRY))
        assert told(line)[0] == 201
        assert server.process.wait(STOP_SECONDS) == 0


# --- Postgres -----------------------------------------------------------------------------------


def sessions():
    """How many the app has."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()"
        )
        return cursor.fetchone()[0]


def test_all_threads_together_take_the_connections_that_they_may(s3, serve):
    server = serve(s3, threads=16, WEB_DATABASE_CONNECTIONS="3")
    over, statuses, most = time.monotonic() + 4, [], 0

    def visit():
        while time.monotonic() < over:
            statuses.append(ask(server, "GET", "/")[0].status)
            statuses.append(ask(server, "PUT", "/a.bin", b"1")[0].status)

    visitors = [threading.Thread(target=visit) for _ in range(16)]
    for each in visitors:
        each.start()
    while time.monotonic() < over:
        most = max(most, sessions())
        time.sleep(0.02)
    for each in visitors:
        each.join()
    assert set(statuses) == {200, 201}
    assert 1 <= most <= 3


def test_a_body_that_is_waited_for_holds_no_connection(s3, serve):
    server = serve(s3, threads=8, WEB_DATABASE_CONNECTIONS="1")
    with Dripping([entered(server) for _ in range(4)], 700):
        pages_answer(server)
        for _ in range(3):
            assert ask(server, "PUT", "/small.bin", b"1")[0].status == 201


def test_the_health_check_waits_for_nobody(s3, serve):
    relay = Relay()
    name = connection.settings_dict["NAME"]
    with closing(relay.listener):
        server = serve(
            s3, threads=2, DATABASE_URL=f"postgres://s3tasks@127.0.0.1:{relay.port}/{name}"
        )
        pages_answer(server)
        relay.speaking.clear()
        hanging = [server.connect(b"GET / HTTP/1.1\r\nHOST\r\n\r\n") for _ in range(10)]
        try:
            for _ in range(5):
                answer, seconds = ask(server, "GET", "/healthz")
                assert (answer.status, answer.text) == (200, "ok\n")
                assert answer.getheader("Cache-Control") == "no-store"
                assert seconds < 10
            assert not select.select(hanging, [], [], 0)[0]
        finally:
            relay.speaking.set()
        for line in hanging:
            with line:
                assert line.recv(9) == b"HTTP/1.1 "
