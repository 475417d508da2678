"""A request ends in time, however slowly storage or Postgres answers, and nothing of it stays."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection

from support import multipart
from support.relay import Relay
from support.samples import keys, nothing_stays
from support.served import Server
from uploads import deadline
from uploads.models import Installation, PurgeKey, Upload

pytestmark = pytest.mark.django_db(transaction=True)

MIB = 1024 * 1024
SECONDS = 3.0  # in place of 25
CONFIG = """
from pathlib import Path
from uploads import deadline
deadline.REQUEST_SECONDS, deadline.TIDYING_SECONDS = {seconds}, 2.0
exec(Path("gunicorn.conf.py").read_text())
"""


class SlowStorage:
    """Storage, behind something that makes each of its answers late in the way that is told."""

    def __init__(self, way, pause):
        storage = self
        self.way, self.pause = way, pause
        place = urlsplit(settings.AWS_S3_ENDPOINT_URL).netloc

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self):
                body = self.body()
                with closing(HTTPConnection(place, timeout=60)) as real:
                    if storage.way == "late":  # what was asked for happens when it is given up
                        time.sleep(storage.pause)
                    real.request(self.command, self.path, body, dict(self.headers))
                    answer = real.getresponse()
                    content = answer.read()
                head = f"HTTP/1.1 {answer.status} {answer.reason}\r\n"
                head += "".join(f"{n}: {v}\r\n" for n, v in answer.getheaders()) + "\r\n"
                sent = head.encode() + content
                if storage.way == "answers late":
                    time.sleep(storage.pause)
                if storage.way == "drips":
                    for at in range(0, len(sent), 40):
                        time.sleep(storage.pause / 4)
                        self.wfile.write(sent[at : at + 40])
                        self.wfile.flush()
                else:
                    self.wfile.write(sent)

            def body(self):
                length = int(self.headers.get("Content-Length") or 0)
                if self.headers.get("Expect"):
                    self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = b""
                while len(body) < length:
                    if storage.way == "takes slowly":
                        time.sleep(storage.pause / 8)
                    body += self.rfile.read(min(128 * 1024, length - len(body)))
                return body

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do

            def log_message(self, *_):
                pass

        class Quiet(ThreadingHTTPServer):
            request_queue_size = 64

            def handle_error(self, *_):
                """Who asked has gone."""

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def serve(tmp_path):
    """Start the app on such a storage: `serve(s3, "drips", 1.0)`."""
    with ExitStack() as running:

        def serve(s3, way, pause, **environment):
            storage = running.enter_context(SlowStorage(way, pause))
            (spool := tmp_path / "spool").mkdir()
            config = tmp_path / "conf.py"
            config.write_text(CONFIG.format(seconds=SECONDS))
            environment = {"AWS_S3_ENDPOINT_URL": storage.url, **environment}
            arguments = f"--config {config}"
            return running.enter_context(
                Server(s3.bucket, spool, arguments=arguments, **environment)
            )

        yield serve


def put(server, content):
    return ask(server, "PUT", "/a.bin", content)


def put_in_chunks(server, content):
    return ask(server, "PUT", "/a.bin", iter([content[:MIB], content[MIB:]]))


def send_form(server, content):
    cookies, token = server.open_form("/files/")
    form = token + multipart.head("file", "a.bin") + content + b"\r\n" + multipart.TAIL
    return ask(server, "POST", "/files/", form, cookie=cookies, type=multipart.CONTENT_TYPE)


def ask(server, method, path, body, *, cookie="", type="application/octet-stream"):
    """Status, words, Retry-After, and the seconds since the body was sent."""
    headers = {"Cookie": cookie, "Content-Type": type}
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=60)) as http:
        http.request(method, path, body, headers, encode_chunked=not isinstance(body, bytes))
        began = time.monotonic()
        answer = http.getresponse()
        text = answer.read().decode()
        return answer.status, text, answer.getheader("Retry-After"), time.monotonic() - began


def at_once(call):
    """What each way to send answers, all of them side by side."""
    ways = (put, put_in_chunks, send_form)
    with ThreadPoolExecutor(len(ways)) as pool:
        return dict(zip((way.__name__ for way in ways), pool.map(call, ways), strict=True))


def what_stays(store):
    """In words, for who reads a failure."""
    parts = [part for page in store.list_parts() for part in page]
    queued = list(PurgeKey.objects.values())
    return (
        keys(store),
        parts,
        list(Upload.objects.values()),
        queued,
        Installation.objects.get().used_bytes,
    )


WAYS = {"late": 1.5, "answers late": 1.5, "drips": 2.0, "takes slowly": 1.0}


@pytest.mark.parametrize("way", WAYS)
def test_calls_that_are_slow_together_end_in_time_and_nothing_stays(s3, serve, way):
    server = serve(s3, way, WAYS[way])
    for send, answer in at_once(lambda send: send(server, bytes(11 * MIB))).items():
        status, text, again, seconds = answer
        assert (status, again) == (503, "30"), send
        assert "Storage is not responding" in text, send
        assert seconds < 20, send
    until = time.monotonic() + 60
    while not nothing_stays(s3):  # also of what storage did after it was given up
        assert time.monotonic() < until, what_stays(s3)
        time.sleep(0.3)
    time.sleep(WAYS[way] + 1)
    assert nothing_stays(s3)


def test_a_body_that_takes_longer_than_that_is_left_alone(s3, serve):
    """The time begins when it is there."""
    server = serve(s3, "late", 0.01)

    def slowly():
        for _ in range(6):
            time.sleep(SECONDS / 4)
            yield bytes(MIB)

    def slow_form():
        cookies, token = server.open_form("/files/")

        def form():
            yield token + multipart.head("file", "a.bin")
            yield from slowly()
            yield b"\r\n" + multipart.TAIL

        return ask(server, "POST", "/files/", form(), cookie=cookies, type=multipart.CONTENT_TYPE)

    with ThreadPoolExecutor(2) as pool:
        sent = pool.submit(slow_form), pool.submit(ask, server, "PUT", "/a.bin", slowly())
        assert [answer.result()[0] for answer in sent] == [302, 201]
    assert list(Upload.objects.values_list("size_bytes", flat=True)) == [6 * MIB] * 2


def test_postgres_that_falls_silent_is_503_in_time(s3, serve):
    relay = Relay()
    name = connection.settings_dict["NAME"]
    url = f"postgres://s3tasks@127.0.0.1:{relay.port}/{name}"
    with closing(relay.listener):
        server = serve(s3, "late", 0, DATABASE_URL=url)
        assert ask(server, "GET", "/", None)[0] == 200
        relay.speaking.clear()
        try:
            with ThreadPoolExecutor(12) as pool:
                answers = list(pool.map(lambda _: ask(server, "GET", "/", None), range(12)))
        finally:
            relay.speaking.set()
        assert {(status, again) for status, _, again, _ in answers} == {(503, "30")}
        assert max(seconds for *_, seconds in answers) < 10 * SECONDS
        until = time.monotonic() + 60
        while ask(server, "GET", "/", None)[0] != 200:
            assert time.monotonic() < until


class TestBound:
    @pytest.fixture(autouse=True)
    def request_is_over(self):
        yield
        deadline.end()

    def test_without_a_request_nothing_is_bounded(self):
        thread = deadline.bound(threading.get_ident)
        assert thread == threading.get_ident()

    def test_at_its_end_nothing_is_asked_any_more(self):
        deadline.begin(time.monotonic() - deadline.REQUEST_SECONDS)
        asked = []
        with pytest.raises(TimeoutError):
            deadline.bound(asked.append, 1)
        assert asked == []
        with deadline.time_to_tidy_up():
            deadline.bound(asked.append, 2)
        assert asked == [2]

    def test_an_answer_and_an_error_come_through(self):
        deadline.begin()
        assert deadline.bound(int, "7") == 7
        with pytest.raises(ValueError, match="invalid literal"):
            deadline.bound(int, "x")

    def test_what_was_given_up_is_told_when_it_is_over(self):
        released, over = threading.Event(), threading.Event()
        deadline.begin(time.monotonic() - deadline.REQUEST_SECONDS + 0.05)
        with pytest.raises(TimeoutError):
            deadline.bound(released.wait, 10)
        deadline.when_given_up_is_over(lambda _: over.set())
        assert not over.is_set()
        released.set()
        assert over.wait(30)
