"""Postgres that is down, full, read-only, stuck or lost in the middle: 503 at every door."""

import socket
import threading
import uuid
from contextlib import contextmanager, suppress
from datetime import timedelta

import psycopg2
import pytest
from django.db import connection
from django.test import Client

from api.auth import owner_token
from support.multipart import nothing_is_left, post
from support.samples import picture
from uploads.links.follow import deletion_secret
from uploads.models import Installation, Link, Upload
from uploads.sweeps import clocks, housekeeping

pytestmark = pytest.mark.django_db(transaction=True)

SENTENCE = "The database is not responding at the moment. Please try again in a minute."
CLAIM = {"kind": "file", "filename": "a", "size": 4, "content_type": ""}


@contextmanager
def connected_differently(**values):
    """From here on connections are made with these settings, and made anew."""
    before = {**connection.settings_dict}
    connection.close()
    connection.settings_dict.update(values)
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.update(before)


@contextmanager
def down():
    with connected_differently(HOST="/nowhere"):
        yield


@contextmanager
def full():
    """Postgres admits no further connection."""
    with connection.cursor() as cursor:
        cursor.execute("DROP ROLE IF EXISTS crowd")
        cursor.execute("CREATE ROLE crowd LOGIN CONNECTION LIMIT 0")
    with connected_differently(USER="crowd"):
        yield


@contextmanager
def set_for_each_session(name, value):
    """Of ours, also the next one: a PUT gives its connection back before it reads the body."""
    options = connection.settings_dict["OPTIONS"]
    before = options["options"]
    options["options"] = f"{before} -c {name}={value}"
    connection.close()
    try:
        yield
    finally:
        options["options"] = before
        connection.close()


@contextmanager
def read_only():
    with set_for_each_session("default_transaction_read_only", "on"):
        yield


@contextmanager
def another_session():
    """A connection of somebody else's."""
    settings = connection.get_connection_params()
    other = psycopg2.connect(**{k: v for k, v in settings.items() if k != "cursor_factory"})
    try:
        yield other.cursor()
    finally:
        other.close()


@contextmanager
def locked(timeout):
    """Somebody holds all rows, and whoever waits for them gives up soon."""
    with another_session() as other, set_for_each_session(timeout, "50ms"):
        other.execute("LOCK TABLE uploads_link, uploads_upload, uploads_installation, auth_user")
        yield


@contextmanager
def lost():
    """The connection is there, and its other end is not."""
    connection.ensure_connection()
    with another_session() as other:
        pid = connection.connection.info.backend_pid
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    try:
        yield
    finally:
        connection.close()


OUTAGES = {
    "down": down,
    "full": full,
    "lost": lost,
    "locked": lambda: locked("lock_timeout"),
    "slow": lambda: locked("statement_timeout"),
}
PAGE = "text/html"
DOORS = {
    "My Images": lambda c, u: c.get("/"),
    "My Files": lambda c, u: c.get("/files/"),
    "an image's form": lambda c, u: post(c, "/", ("image", "a.png", picture())),
    "a file's form": lambda c, u: post(c, "/files/", ("file", "a.bin", b"1234")),
    "delete": lambda c, u: c.post(f"/uploads/{u.id}/delete/"),
    "clear": lambda c, u: c.post("/files/clear/"),
    "an image's link": lambda c, u: c.get(f"/i/{u.link.token}"),
    "a file's link": lambda c, u: c.head(f"/f/{u.link.token}"),
    "its page of deletion": lambda c, u: c.get(f"/d/{deletion_secret(u)}", HTTP_ACCEPT=PAGE),
    "its deletion": lambda c, u: c.delete(f"/d/{deletion_secret(u)}"),
    "the admin": lambda c, u: c.post("/admin/login/", {"username": "a", "password": "b"}),
    "PUT": lambda c, u: c.generic("PUT", "/a.bin", b"1234"),
    "the API's list": lambda c, u: c.get("/api/uploads"),
    "the API's claim": lambda c, u: c.post("/api/uploads", CLAIM, "application/json"),
    "the API's complete": lambda c, u: program("POST", f"/api/uploads/{u.id}/complete", u),
    "the API's deletion": lambda c, u: program("DELETE", f"/api/uploads/{u.id}", u),
}


def program(method, path, upload):
    """What a program asks, which holds the upload's token."""
    client = Client(raise_request_exception=False)
    bearer = f"Bearer {owner_token(upload.owner)}"
    return client.generic(method, path, HTTP_AUTHORIZATION=bearer)


@pytest.fixture
def visitor():
    """Who has been here before, and whom an error does not end."""
    visitor = Client(raise_request_exception=False)
    visitor.get("/")
    return visitor


@pytest.fixture
def upload(disk):
    link = Link.objects.create(owner=uuid.uuid4(), kind="file", ttl="0:15")
    return Upload.objects.create(
        link=link, owner=link.owner, kind="file", filename="a", size_bytes=4, state="pending",
        deadline="2100-01-01T00:00Z",
    )  # fmt: skip


def is_told(answer, door):
    """503, with Retry-After, in what its door speaks."""
    status, again = answer.status_code, answer.headers.get("Retry-After")
    assert (status, again) == (503, "30"), (door, answer.content)
    text = answer.content.decode()
    if door.startswith("the API"):
        assert answer["Content-Type"] == "application/problem+json"
        assert answer.json()["detail"] == SENTENCE
    elif door in {"PUT", "its deletion"}:
        assert text == f"{SENTENCE}\n"
    elif door != "a file's link":  # asked with HEAD
        assert answer["Content-Type"].startswith(PAGE)
        assert SENTENCE in text


@pytest.mark.parametrize("outage", OUTAGES)
def test_an_outage_of_postgres_is_503_at_every_door(upload, visitor, outage):
    for door, ask in DOORS.items():
        with OUTAGES[outage]():
            answer = ask(visitor, upload)
        if (outage, door) == ("lost", "PUT"):  # it gives its connection back before the body
            assert answer.status_code == 201
        else:
            is_told(answer, door)


@pytest.mark.parametrize("door", ["a file's form", "PUT", "the API's claim"])
def test_a_read_only_database_is_503_for_who_writes(upload, visitor, door):
    with read_only():
        assert visitor.get("/files/").status_code == 200
        is_told(DOORS[door](visitor, upload), door)


@pytest.mark.parametrize("door", ["My Files", "PUT", "the API's list"])
def test_a_developer_is_told_the_same(upload, visitor, settings, door):
    settings.DEBUG = True
    with down():
        is_told(DOORS[door](visitor, upload), door)


def test_it_is_said_in_the_visitors_language(visitor, upload):
    with down():
        for path in ("/", "/api/uploads"):
            answer = visitor.get(path, HTTP_ACCEPT_LANGUAGE="pt-BR")
            assert "O banco de dados" in answer.content.decode()


@pytest.mark.parametrize("path", ["/healthz", "/api/docs", "/sharex.sxcu"])
def test_what_needs_no_database_is_not_touched(visitor, path):
    with down():
        assert visitor.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/", "/api/uploads"])
def test_an_error_of_our_own_stays_500(visitor, upload, path):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE uploads_upload RENAME COLUMN reason TO cause")
    try:
        assert visitor.get(path).status_code == 500
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE uploads_upload RENAME COLUMN cause TO reason")


def test_a_put_that_loses_the_database_in_the_middle_is_503_and_leaves_no_orphan(
    s3, visitor, monkeypatch
):
    store = type(s3).put

    def losing(*args, **kwargs):
        stored = store(*args, **kwargs)
        with another_session() as other:
            pid = connection.connection.info.backend_pid
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        return stored

    monkeypatch.setattr(type(s3), "put", losing)
    is_told(visitor.generic("PUT", "/a.bin", b"1234"), "PUT")
    connection.close()
    # It was lost when the row was to be changed: a second connection discarded it, or none did, and
    # its deadline does.
    housekeeping.sweep("expire", now=clocks.database_clock() + timedelta(hours=1))
    housekeeping.sweep("purge")
    assert nothing_is_left(s3)
    assert Installation.objects.get().used_bytes == 0


@pytest.fixture
def postgres_by_tcp():
    """Postgres' socket, on a port of this machine."""
    path = f"{connection.get_connection_params()['host']}/.s.PGSQL.5432"
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source, target):
        with source, target, suppress(OSError):  # whichever end closes first
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    def serve():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(path)
            for ends in ((client, server), (server, client)):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def test_a_server_that_vanished_is_noticed_within_half_a_minute(postgres_by_tcp):
    with connected_differently(HOST="127.0.0.1", PORT=str(postgres_by_tcp)):
        connection.ensure_connection()
        line = socket.socket(fileno=connection.connection.fileno())
        try:
            level = socket.IPPROTO_TCP
            assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            idle = line.getsockopt(level, socket.TCP_KEEPIDLE)
            times = line.getsockopt(level, socket.TCP_KEEPCNT)
            assert idle + line.getsockopt(level, socket.TCP_KEEPINTVL) * times <= 30
            assert 0 < line.getsockopt(level, socket.TCP_USER_TIMEOUT) <= 30_000
        finally:
            line.detach()
