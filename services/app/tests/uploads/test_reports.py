"""What a sweep says of itself, and who says it where a sweep says nothing."""

import logging
import re
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from django.core.management import call_command
from django.db import connection
from django.db.models.functions import Now
from django.urls import reverse

from uploads import discard, tasks
from uploads.errors import StorageUnavailable
from uploads.models import Sweep
from uploads.storage import s3 as s3_module
from uploads.sweeps import clocks, expire, housekeeping, report

pytestmark = pytest.mark.django_db

LONG_AGO = timedelta(days=1)


def said(name: str) -> str:
    return Sweep.objects.get(name=name).last_error


def refused(code: str, operation: str) -> ClientError:
    return ClientError(
        {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 403}}, operation
    )


class TestCause:
    """The row says what happened, not what a visitor is told."""

    @pytest.mark.parametrize(
        ("method", "operation"),
        [
            ("delete_objects", "DeleteObjects"),
            ("get_object", "GetObject"),
        ],
    )
    @pytest.mark.parametrize("code", ["AccessDenied", "SlowDown", "InvalidAccessKeyId"])
    def test_of_a_purge(self, s3, monkeypatch, method, operation, code):
        def fail(**_):
            raise refused(code, operation)

        discard.queue_key("files/a", size_bytes=0)
        monkeypatch.setattr(s3.client, method, fail)
        with pytest.raises(StorageUnavailable):
            housekeeping.sweep("purge")
        assert said("purge") == f"{code} on {operation}"

    def test_of_single_keys_in_an_answer_of_200(self, s3, monkeypatch):
        for key in ("files/a", "files/b", "files/c"):
            discard.queue_key(key, size_bytes=0)
        errors = [{"Key": key, "Code": "AccessDenied"} for key in ("files/a", "files/b")]
        real = s3.client.delete_objects

        def delete(**asked):
            names = {thing["Key"] for thing in asked["Delete"]["Objects"]}
            return {**real(**asked), "Errors": [e for e in errors if e["Key"] in names]}

        monkeypatch.setattr(s3.client, "delete_objects", delete)
        assert housekeeping.sweep("purge") == 1
        assert "AccessDenied on DeleteObjects" in said("purge")
        assert "files/a" in said("purge")

    def test_of_a_storage_that_does_not_answer(self, s3, monkeypatch):
        def fail(**_):
            raise ReadTimeoutError(endpoint_url="http://storage.example")

        monkeypatch.setattr(s3.client, "list_objects_v2", fail, raising=False)
        monkeypatch.setattr(s3.client, "get_object", fail)
        with pytest.raises(StorageUnavailable):
            housekeeping.sweep("reconcile")
        assert "ReadTimeoutError" in said("reconcile")

    def test_of_a_disk_that_does_not(self, disk):
        disk.root.rename(disk.root.with_name("elsewhere"))
        with pytest.raises(StorageUnavailable):
            housekeeping.sweep("reconcile")
        assert "no folder" in said("reconcile")
        assert str(disk.root) in said("reconcile")

    @pytest.mark.parametrize("error", [ValueError("odd"), KeyError("x"), RuntimeError("a\x00\nb")])
    @pytest.mark.parametrize(
        ("sweep", "within"),
        [
            ("expire", "expire.expire_batch"),
            ("purge", "purge.lease_keys"),
            ("reconcile", "reconcile.recount_bytes"),
        ],
    )
    def test_of_any_exception(self, store, monkeypatch, sweep, within, error):
        def fail(*_):
            raise error

        discard.queue_key("files/a", size_bytes=0)
        monkeypatch.setattr(f"uploads.sweeps.{within}", fail)
        with pytest.raises(type(error)):
            housekeeping.sweep(sweep)
        row = Sweep.objects.get(name=sweep)
        assert type(error).__name__ in row.last_error
        assert row.last_error.isprintable()
        assert row.last_error_at is not None
        assert row.last_ok is None

    def test_stays_short(self, store, monkeypatch):
        def fail(*_):
            raise ValueError("x" * 1_000_000)

        monkeypatch.setattr(expire, "expire_batch", fail)
        with pytest.raises(ValueError, match="xxx"):
            housekeeping.sweep("expire")
        assert len(said("expire")) <= report.SAID_MAX

    def test_is_an_error_in_the_log(self, s3, caplog):
        discard.queue_key("files/a", size_bytes=0)
        s3.bucket = "gone"
        with pytest.raises(StorageUnavailable):
            housekeeping.sweep("purge")
        assert "purge: NoSuchBucket on GetObject" in caplog.text


@pytest.mark.django_db(transaction=True)
class TestDatabase:
    @pytest.mark.parametrize("sweep", ["expire", "purge", "reconcile"])
    def test_a_sweep_whose_statement_fails_says_so(self, store, monkeypatch, sweep):
        def fail(*_):
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")

        discard.queue_key("files/a", size_bytes=0)
        for within in ("expire.expire_batch", "purge.lease_keys", "reconcile.recount_bytes"):
            monkeypatch.setattr(f"uploads.sweeps.{within}", fail)
        with pytest.raises(Exception, match="division by zero"):
            housekeeping.sweep(sweep)
        assert "division by zero" in said(sweep)

    @pytest.mark.parametrize("sweep", ["expire", "purge", "reconcile"])
    def test_a_sweep_whose_session_was_ended_says_so(self, store, monkeypatch, sweep):
        def fail(*_):
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

        discard.queue_key("files/a", size_bytes=0)
        for within in ("expire.expire_batch", "purge.lease_keys", "reconcile.recount_bytes"):
            monkeypatch.setattr(f"uploads.sweeps.{within}", fail)
        with pytest.raises(Exception, match=r"terminating|terminated|closed"):
            housekeeping.sweep(sweep)
        assert re.search("terminating|terminated", said(sweep))
        monkeypatch.undo()
        assert housekeeping.sweep(sweep) is not None  # its lock went with its session


class TestLate:
    def test_an_installation_that_has_not_begun_is_not_late(self):
        assert report.late() == {}

    def test_release_begins_it(self):
        report.begin()
        assert report.late() == {}
        Sweep.objects.update(last_ok=Now() - LONG_AGO)
        report.begin()
        assert set(report.late()) == set(report.NAMES)

    @pytest.mark.parametrize("name", report.NAMES)
    def test_a_success_in_time_is_none(self, name):
        patience = report.patience(name)
        Sweep.objects.create(name=name, last_ok=Now() - patience + timedelta(seconds=10))
        assert report.late() == {}
        Sweep.objects.update(last_ok=Now() - patience - timedelta(seconds=1))
        assert set(report.late()) == {name}

    def test_one_that_only_ever_stopped_is_late(self):
        Sweep.objects.create(name="purge", last_error_at=Now(), last_error="AccessDenied on X")
        assert report.late()["purge"].sentence == "purge has never succeeded"
        assert report.late()["purge"].why == "AccessDenied on X"

    def test_a_reconcile_that_is_seldom_wanted_may_be_old(self, settings):
        settings.RECONCILE_EVERY = 7 * 24 * 60 * 60
        Sweep.objects.create(name="reconcile", last_ok=Now() - LONG_AGO)
        assert report.late() == {}

    def test_a_tick_that_finds_nothing_to_do_is_a_success(self):
        report.begin()
        Sweep.objects.update(last_ok=Now() - LONG_AGO)
        housekeeping.find_due()
        assert set(report.late()) == {"reconcile"}

    def test_a_tick_that_finds_something_to_do_is_none(self, store, receive):
        report.begin()
        Sweep.objects.update(last_ok=Now() - LONG_AGO)
        upload = receive("file", b"x")
        type(upload).objects.update(expires_at=Now())
        discard.queue_key("files/a", size_bytes=0)
        housekeeping.find_due()
        assert set(report.late()) == set(report.NAMES)

    def test_a_success_to_come_is_none_and_the_next_tick_says_when_it_was(self):
        """Postgres' clock was set back."""
        Sweep.objects.create(name="purge", last_ok=Now() + LONG_AGO)
        assert set(report.late()) == {"purge"}
        housekeeping.find_due()
        assert report.late() == {}

    def test_a_sweep_that_stopped_is_not_well_because_nothing_came_after(self):
        Sweep.objects.create(
            name="purge", last_ok=Now() - LONG_AGO, last_error_at=Now() - LONG_AGO / 2
        )
        housekeeping.find_due()
        assert set(report.late()) == {"purge"}

    @pytest.mark.django_db(transaction=True)  # which another connection sees
    @pytest.mark.parametrize("name", report.NAMES)
    def test_readyz_says_it_in_words(self, store, client, caplog, name):
        Sweep.objects.create(name=name, last_ok=Now() - LONG_AGO)
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert f"{name} last succeeded 1440 minutes ago" in answer.json()["sweeps"]
        assert f"{name} last succeeded" in caplog.text

    @pytest.mark.django_db(transaction=True)
    def test_readyz_tells_no_stranger_what_stopped_it(self, store, client):
        Sweep.objects.create(
            name="purge", last_error_at=Now(), last_error="EndpointConnectionError: http://minio"
        )
        answer = client.get("/readyz")
        assert "purge has never succeeded" in answer.json()["sweeps"]
        assert "minio" not in answer.content.decode()

    def test_the_admin_shows_it(self, admin_client):
        Sweep.objects.create(name="purge", last_ok=Now() - LONG_AGO)
        address = reverse("admin:uploads_sweep_changelist")
        assert "icon-no" in admin_client.get(address).content.decode()
        Sweep.objects.update(last_ok=Now())
        assert "icon-no" not in admin_client.get(address).content.decode()

    def test_a_tick_says_it_in_the_log_and_not_each_time(self, store, caplog, monkeypatch):
        Sweep.objects.create(name="purge", last_error_at=Now(), last_error="AccessDenied on X")
        monkeypatch.setattr(tasks, "_said_late_at", float("-inf"))
        monkeypatch.setattr(tasks.reconcile, "delay", lambda: None)
        for _ in range(3):
            tasks.tick()
        assert caplog.text.count("purge has never succeeded: AccessDenied on X") == 1


class Elsewhere(BaseHTTPRequestHandler):
    """A storage by whose clock it is another time."""

    ahead = 0.0
    status = 200

    def do_HEAD(self):
        moment = datetime.now(UTC) + timedelta(seconds=self.ahead)
        self.send_response_only(self.status)
        if self.ahead is not None:
            self.send_header("Date", format_datetime(moment, usegmt=True))
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def elsewhere(settings):
    """Sets what time it is for storage: so many seconds ahead of us."""
    with HTTPServer(("127.0.0.1", 0), type("Handler", (Elsewhere,), {})) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings.AWS_S3_ENDPOINT_URL = f"http://127.0.0.1:{server.server_port}"
        settings.USE_S3 = True
        storage = s3_module.S3()

        def ahead(seconds, status=200):
            server.RequestHandlerClass.ahead = seconds
            server.RequestHandlerClass.status = status
            return storage

        yield ahead
        server.shutdown()


class TestClock:
    @pytest.mark.parametrize("status", [200, 403, 404])
    @pytest.mark.parametrize("seconds", [-7200, -60, 0, 60, 7200])
    def test_any_answer_tells_storages_time(self, elsewhere, seconds, status):
        assert abs(elsewhere(seconds, status).seconds_ahead() + seconds) < 2

    @pytest.mark.parametrize(
        ("seconds", "words"),
        [
            (-20, ["20 s ahead of", "longer than its upload"]),
            (20, ["20 s behind", "too soon"]),
            (-3600, ["ahead of", "refuses whatever is signed here"]),
            (3600, ["behind", "refuses whatever is signed here"]),
        ],
    )
    def test_readyz_says_that_it_differs(self, elsewhere, client, monkeypatch, seconds, words):
        monkeypatch.setattr(clocks, "storage", lambda: elsewhere(seconds))
        answer = client.get("/readyz")
        assert answer.status_code == 503
        for word in words:
            assert word in answer.json()["clock"]

    @pytest.mark.parametrize("seconds", [-3, 0, 3])
    def test_a_moment_is_no_difference(self, elsewhere, monkeypatch, seconds):
        monkeypatch.setattr(clocks, "storage", lambda: elsewhere(seconds))
        assert clocks.difference() == ""

    def test_the_disk_has_our_clock(self, disk):
        assert clocks.difference() == ""

    def test_release_says_that_it_differs(self, s3, elsewhere, monkeypatch, capsys):
        monkeypatch.setattr(clocks, "storage", lambda: elsewhere(-20))
        call_command("release")
        assert "20 s ahead of storage's" in capsys.readouterr().err

    def test_objects_are_as_old_as_storage_says(self, s3, monkeypatch, receive):
        """By its clock; where that goes an hour behind, a new object looks old to ours."""
        monkeypatch.setattr(s3, "seconds_ahead", lambda: 3600.0)
        assert abs(clocks.storage_clock() + timedelta(hours=1) - datetime.now(UTC)) < (
            timedelta(seconds=10)
        )


@pytest.fixture(autouse=True)
def audible(caplog):
    """The log's errors."""
    caplog.set_level(logging.ERROR)
