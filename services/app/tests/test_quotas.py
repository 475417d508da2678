"""Whose bytes count where, at every door and whatever becomes of an upload."""

import io
import uuid
from datetime import timedelta

import pytest
import requests
from django.core.management import call_command
from django.test import Client

from multipart import post
from samples import at_once, counts_every_byte, keys, picture, purge_when_tickets_are_over
from uploads import lifecycle, sweeps
from uploads.errors import (
    InvalidUpload,
    StorageUnavailable,
    TooMuchToRemove,
)
from uploads.models import Installation, Kind, PurgeKey, Sweep, Upload

pytestmark = pytest.mark.django_db

LATER = timedelta(hours=2)
HERE, THERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture(autouse=True)
def every_byte(request):
    """Whatever a test of this module does, what is used is what rows and queued keys hold."""
    yield
    if "db" in request.fixturenames or "transactional_db" in request.fixturenames:
        assert counts_every_byte()


def used_bytes() -> int:
    return Installation.objects.get().used_bytes


def announce(owner, kind=Kind.FILE, size_bytes=4, address=HERE, **fields):
    """A claim with a ticket."""
    return lifecycle.claim_with_ticket(
        owner=owner,
        kind=kind,
        filename="a.png",
        size_bytes=size_bytes,
        content_type="image/png",
        address=address,
        **fields,
    )


def send(claimed, content: bytes) -> int:
    """What storage answers to the ticket's form."""
    ticket = claimed.ticket
    if "/storage/" in ticket.url:
        fields = (*ticket.fields.items(), ("file", "a", content))
        return post(Client(), ticket.url, *fields).status_code
    files = {"file": ("a", content)}
    return requests.post(ticket.url, data=ticket.fields, files=files, timeout=9).status_code


def complete(claimed):
    return lifecycle.complete_upload(upload_id=claimed.upload.id, owner=claimed.upload.owner)


def everything_goes(store) -> bool:
    """Nothing is stored, queued or counted once all is expired and every ticket is over."""
    sweeps.expire(now=sweeps.database_clock() + LATER)
    purge_when_tickets_are_over()
    return (keys(store), Upload.objects.count(), used_bytes()) == (set(), 0, 0)


CONTENT = {Kind.FILE: b"1234", Kind.IMAGE: picture()}


@pytest.mark.parametrize("kind", Kind)
class TestTicket:
    """What it can still write stays reserved, and its key is purged again, until it is over."""

    def claimed(self, owner, kind):
        return announce(owner, kind, len(CONTENT[kind]))

    def test_it_reserves_what_arrives_and_what_is_served(self, store, owner, kind):
        self.claimed(owner, kind)
        assert used_bytes() == 2 * len(CONTENT[kind])
        assert everything_goes(store)

    @pytest.mark.parametrize("sent", [False, True])
    @pytest.mark.parametrize("how", ["delete", "clear", "admin"])
    def test_used_after_its_upload_went_it_is_counted_and_purged(
        self, store, owner, kind, sent, how
    ):
        claimed = self.claimed(owner, kind)
        if sent:
            send(claimed, CONTENT[kind])
        if how == "delete":
            lifecycle.discard_upload(upload_id=claimed.upload.id, owner=owner)
        elif how == "clear":
            lifecycle.clear_uploads(owner=owner, kind=kind)
        else:
            Upload.objects.all().delete()
        sweeps.purge()
        assert keys(store) == set()
        assert used_bytes() == len(CONTENT[kind])
        send(claimed, CONTENT[kind])
        again = sweeps.database_clock() + sweeps.PURGE_AGAIN
        assert sweeps.reconcile(now=again + sweeps.GRACE).orphaned == 0
        sweeps.purge(now=again)
        assert keys(store) == set()
        assert used_bytes() == len(CONTENT[kind])
        sweeps.purge(now=claimed.upload.ticket_until)
        assert (PurgeKey.objects.count(), used_bytes()) == (0, 0)

    def test_a_moment_before_its_end_its_bytes_stay_counted(self, store, owner, kind):
        claimed = self.claimed(owner, kind)
        lifecycle.discard_upload(upload_id=claimed.upload.id, owner=owner)
        moment = claimed.upload.ticket_until - timedelta(microseconds=1)
        sweeps.purge(now=moment)
        assert used_bytes() == len(CONTENT[kind])

    def test_used_after_complete_it_is_counted_and_purged(self, store, owner, kind):
        claimed = self.claimed(owner, kind)
        send(claimed, CONTENT[kind])
        upload = complete(claimed)
        if kind == Kind.IMAGE:
            lifecycle.make_image_safe(upload_id=upload.id)
        sweeps.purge()
        served = keys(store)
        assert f"incoming/{upload.id}" not in served
        stored = Upload.objects.get().size_bytes
        assert used_bytes() == stored + len(CONTENT[kind])
        send(claimed, CONTENT[kind])
        sweeps.purge(now=sweeps.database_clock() + sweeps.PURGE_AGAIN)
        assert keys(store) == served
        sweeps.purge(now=claimed.upload.ticket_until)
        assert used_bytes() == stored
        assert everything_goes(store)

    def test_used_after_the_refusal_it_is_counted_and_purged(self, store, owner, kind):
        if kind == Kind.FILE:
            pytest.skip("any four bytes are a file")
        claimed = announce(owner, kind, 9)
        send(claimed, b"not a PNG")
        with pytest.raises(InvalidUpload):
            complete(claimed)
        send(claimed, b"not a PNG")
        sweeps.purge()
        assert (keys(store), used_bytes()) == (set(), 9)
        assert everything_goes(store)

    def test_used_after_its_row_expired_it_leaves_nothing(self, store, owner, kind):
        claimed = self.claimed(owner, kind)
        sweeps.expire(now=claimed.upload.deadline)
        send(claimed, CONTENT[kind])
        assert everything_goes(store)

    def test_a_purge_that_fails_forgets_nothing(self, s3, owner, kind, monkeypatch):
        claimed = self.claimed(owner, kind)
        send(claimed, CONTENT[kind])
        lifecycle.discard_upload(upload_id=claimed.upload.id, owner=owner)
        with monkeypatch.context() as failing:
            failing.setattr(s3, "delete", lambda keys: dict.fromkeys(keys, "AccessDenied"))
            sweeps.purge(now=claimed.upload.ticket_until)
        assert used_bytes() == 2 * len(CONTENT[kind])
        assert everything_goes(s3)

    def test_on_the_local_disk_it_stores_nothing_without_a_pending_row(self, disk, owner, kind):
        claimed = self.claimed(owner, kind)
        send(claimed, CONTENT[kind])
        complete(claimed)
        assert send(claimed, CONTENT[kind]) == 403
        other = self.claimed(owner, kind)
        lifecycle.clear_uploads(owner=owner, kind=kind)
        assert send(other, CONTENT[kind]) == 403
        assert not list((disk.root / "parts").glob("*"))

    def test_on_the_local_disk_nor_where_it_goes_while_the_bytes_come(
        self, disk, owner, kind, monkeypatch
    ):
        claimed = self.claimed(owner, kind)
        put_part = type(disk).put_part

        def slow(self, *args):
            lifecycle.clear_uploads(owner=owner, kind=kind)
            return put_part(self, *args)

        monkeypatch.setattr(type(disk), "put_part", slow)
        assert send(claimed, CONTENT[kind]) == 403
        assert keys(disk) == set()
        assert not list((disk.root / "parts").glob("*"))


def test_a_hundred_and_thirty_used_tickets_of_deleted_uploads_are_no_alarm(s3, settings, owner):
    settings.MAX_VISITOR_UPLOADS = 200
    claims = [announce(owner) for _ in range(130)]
    kept = [announce(owner) for _ in range(8)]
    for claimed in kept:
        send(claimed, b"1234")
        complete(claimed)
    for claimed in claims:
        lifecycle.discard_upload(upload_id=claimed.upload.id, owner=owner)
    sweeps.purge()
    at_once(lambda claimed: send(claimed, b"1234"), claims[:8])
    for claimed in claims[8:]:
        send(claimed, b"1234")
    now = sweeps.database_clock() + 2 * sweeps.GRACE
    assert sweeps.reconcile(now=now).orphaned == 0
    assert used_bytes() == 8 * 2 * 4 + 130 * 4
    sweeps.purge(now=now)
    assert keys(s3) == {f"files/{claimed.upload.id}" for claimed in kept}


def test_what_comes_after_a_tickets_end_is_removed_without_an_alarm(store, monkeypatch):
    monkeypatch.setattr(sweeps, "ALARM_ABOVE", 2)
    for _ in range(9):
        store.put(f"incoming/{uuid.uuid4()}", io.BytesIO(b"x"), content_type="text/plain")
    assert sweeps.reconcile(now=sweeps.database_clock() + 2 * sweeps.GRACE).orphaned == 9
    sweeps.purge()
    assert keys(store) == set()


def test_a_key_that_is_queued_again_while_it_is_purged_stays_queued(store):
    lifecycle.queue_key("files/a", size_bytes=3)
    Installation.objects.update(used_bytes=3)
    moment = sweeps.database_clock()
    (leased,) = sweeps.lease_keys(moment)
    store.delete([leased])
    store.put("files/a", io.BytesIO(b"late"), content_type="text/plain")
    lifecycle.queue_key("files/a", size_bytes=0)
    assert sweeps.forget_keys([leased], moment) == 0
    assert sweeps.purge() == 1
    assert keys(store) == set()


class TestConsent:
    @pytest.fixture
    def much(self, store, receive, monkeypatch, settings):
        """More than a fifth gone on both sides."""
        monkeypatch.setattr(sweeps, "ALARM_ABOVE", 2)
        uploads = [receive("file", b"x") for _ in range(8)]
        store.delete([upload.served_key for upload in uploads[:4]])
        for _ in range(4):
            store.put(f"files/{uuid.uuid4()}", io.BytesIO(b"x"), content_type="text/plain")
        return sweeps.database_clock() + 2 * sweeps.GRACE

    def test_it_is_asked_for_and_what_is_said_names_the_way(self, store, much):
        with pytest.raises(TooMuchToRemove):
            sweeps.reconcile(now=much)
        assert "pair_bucket --take" in Sweep.objects.get(name="reconcile").last_error
        call_command("pair_bucket", stdout=io.StringIO())
        with pytest.raises(TooMuchToRemove):
            sweeps.reconcile(now=much)

    def test_one_pass_honours_it(self, store, much, receive):
        call_command("pair_bucket", "--take", stdout=io.StringIO())
        done = sweeps.reconcile(now=much)
        assert (done.vanished, done.orphaned) == (4, 4)
        sweeps.purge()
        assert len(keys(store)) == 4
        store.delete(list(keys(store))[:3])
        with pytest.raises(TooMuchToRemove):
            sweeps.reconcile(now=much)

    def test_where_one_pass_removes_only_a_part_the_next_one_goes_on(
        self, store, much, monkeypatch
    ):
        monkeypatch.setattr(sweeps, "REMOVE_MAX", 3)
        call_command("pair_bucket", "--take", stdout=io.StringIO())
        assert sweeps.reconcile(now=much).orphaned == 3
        sweeps.purge()
        assert sweeps.reconcile(now=much).orphaned == 1
        assert not Installation.objects.get().removal_agreed

    def test_a_pass_that_fails_does_not_spend_it(self, store, much, monkeypatch):
        call_command("pair_bucket", "--take", stdout=io.StringIO())

        def silent(prefix):
            raise StorageUnavailable("Storage does not answer.")

        with monkeypatch.context() as failing:
            failing.setattr(store, "list", silent)
            with pytest.raises(StorageUnavailable):
                sweeps.reconcile(now=much)
        assert sweeps.reconcile(now=much).orphaned == 4
