"""Whose bytes count where, at every door and whatever becomes of an upload."""

import io
import uuid
from datetime import timedelta

import pytest
import requests
from django.core.management import call_command
from django.test import Client

from support.multipart import post
from support.samples import (
    at_once,
    counts_every_byte,
    keys,
    picture,
    purge_when_tickets_are_over,
    used_bytes,
)
from uploads import discard, processing, quotas
from uploads.arrivals.complete import complete_upload
from uploads.arrivals.form import receive_upload
from uploads.arrivals.stream import receive_stream
from uploads.arrivals.ticket import claim_with_ticket
from uploads.errors import (
    BytesMissing,
    InvalidUpload,
    QuotaExceeded,
    StorageUnavailable,
    TooMuchToRemove,
    UploadError,
    UploadNotFound,
)
from uploads.limits import check_claim
from uploads.links import follow
from uploads.models import Installation, Kind, PurgeKey, State, Sweep, Upload
from uploads.sweeps import clocks, housekeeping, purge, reconcile, walk

pytestmark = pytest.mark.django_db

LATER = timedelta(hours=2)
HERE, THERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture(autouse=True)
def every_byte(request):
    """Whatever a test of this module does, what is used is what rows and queued keys hold."""
    yield
    if "db" in request.fixturenames or "transactional_db" in request.fixturenames:
        assert counts_every_byte()


def announce(owner, kind=Kind.FILE, size_bytes=4, address=HERE, **fields):
    """A claim with a ticket."""
    claim = check_claim(
        owner=owner,
        kind=kind,
        filename="a.png",
        size_bytes=size_bytes,
        address=address,
        **fields,
    )
    return claim_with_ticket(claim, content_type="image/png")


def send(claimed, content: bytes) -> int:
    """What storage answers to the ticket's form."""
    ticket = claimed.ticket
    if "/storage/" in ticket.url:
        fields = (*ticket.fields.items(), ("file", "a", content))
        return post(Client(), ticket.url, *fields).status_code
    files = {"file": ("a", content)}
    return requests.post(ticket.url, data=ticket.fields, files=files, timeout=30).status_code


def complete(claimed):
    return complete_upload(upload_id=claimed.upload.id, owner=claimed.upload.owner)


def everything_goes(store) -> bool:
    """Nothing is stored, queued or counted once all is expired and every ticket is over."""
    housekeeping.sweep("expire", now=clocks.database_clock() + LATER)
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
            discard.discard_upload(upload_id=claimed.upload.id, owner=owner)
        elif how == "clear":
            discard.clear_uploads(owner=owner, kind=kind)
        else:
            Upload.objects.all().delete()
        housekeeping.sweep("purge")
        assert keys(store) == set()
        assert used_bytes() == len(CONTENT[kind])
        send(claimed, CONTENT[kind])
        again = clocks.database_clock() + purge.PURGE_AGAIN
        assert housekeeping.sweep("reconcile", now=again + reconcile.GRACE).orphaned == 0
        housekeeping.sweep("purge", now=again)
        assert keys(store) == set()
        assert used_bytes() == len(CONTENT[kind])
        housekeeping.sweep("purge", now=claimed.upload.ticket_until)
        assert (PurgeKey.objects.count(), used_bytes()) == (0, 0)

    def test_a_moment_before_its_end_its_bytes_stay_counted(self, store, owner, kind):
        claimed = self.claimed(owner, kind)
        discard.discard_upload(upload_id=claimed.upload.id, owner=owner)
        moment = claimed.upload.ticket_until - timedelta(microseconds=1)
        housekeeping.sweep("purge", now=moment)
        assert used_bytes() == len(CONTENT[kind])

    def test_used_after_complete_it_is_counted_and_purged(self, store, owner, kind):
        claimed = self.claimed(owner, kind)
        send(claimed, CONTENT[kind])
        upload = complete(claimed)
        if kind == Kind.IMAGE:
            processing.make_image_safe(upload_id=upload.id)
        housekeeping.sweep("purge")
        served = keys(store)
        assert f"incoming/{upload.id}" not in served
        stored = Upload.objects.get().size_bytes
        assert used_bytes() == stored + len(CONTENT[kind])
        send(claimed, CONTENT[kind])
        housekeeping.sweep("purge", now=clocks.database_clock() + purge.PURGE_AGAIN)
        assert keys(store) == served
        housekeeping.sweep("purge", now=claimed.upload.ticket_until)
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
        housekeeping.sweep("purge")
        assert (keys(store), used_bytes()) == (set(), 9)
        assert everything_goes(store)

    def test_used_after_its_row_expired_it_leaves_nothing(self, store, owner, kind):
        claimed = self.claimed(owner, kind)
        housekeeping.sweep("expire", now=claimed.upload.deadline)
        send(claimed, CONTENT[kind])
        assert everything_goes(store)

    def test_a_purge_that_fails_forgets_nothing(self, s3, owner, kind, monkeypatch):
        claimed = self.claimed(owner, kind)
        send(claimed, CONTENT[kind])
        discard.discard_upload(upload_id=claimed.upload.id, owner=owner)
        with monkeypatch.context() as failing:
            failing.setattr(s3, "delete", lambda keys: dict.fromkeys(keys, "AccessDenied"))
            housekeeping.sweep("purge", now=claimed.upload.ticket_until)
        assert used_bytes() == 2 * len(CONTENT[kind])
        assert everything_goes(s3)

    def test_on_the_local_disk_it_stores_nothing_without_a_pending_row(self, disk, owner, kind):
        claimed = self.claimed(owner, kind)
        send(claimed, CONTENT[kind])
        complete(claimed)
        assert send(claimed, CONTENT[kind]) == 403
        other = self.claimed(owner, kind)
        discard.clear_uploads(owner=owner, kind=kind)
        assert send(other, CONTENT[kind]) == 403
        assert not list((disk.root / "parts").glob("*"))

    def test_on_the_local_disk_nor_where_it_goes_while_the_bytes_come(
        self, disk, owner, kind, monkeypatch
    ):
        claimed = self.claimed(owner, kind)
        put_part = type(disk).put_part

        def slow(self, *args):
            discard.clear_uploads(owner=owner, kind=kind)
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
        discard.discard_upload(upload_id=claimed.upload.id, owner=owner)
    housekeeping.sweep("purge")
    at_once(lambda claimed: send(claimed, b"1234"), claims[:8])
    for claimed in claims[8:]:
        send(claimed, b"1234")
    now = clocks.database_clock() + 2 * reconcile.GRACE
    assert housekeeping.sweep("reconcile", now=now).orphaned == 0
    assert used_bytes() == 8 * 2 * 4 + 130 * 4
    housekeeping.sweep("purge", now=now)
    assert keys(s3) == {f"files/{claimed.upload.id}" for claimed in kept}


def test_what_comes_after_a_tickets_end_is_removed_without_an_alarm(store, monkeypatch):
    monkeypatch.setattr(walk, "ALARM_ABOVE", 2)
    for _ in range(9):
        store.put(f"incoming/{uuid.uuid4()}", io.BytesIO(b"x"), content_type="text/plain")
    assert (
        housekeeping.sweep("reconcile", now=clocks.database_clock() + 2 * reconcile.GRACE).orphaned
        == 9
    )
    housekeeping.sweep("purge")
    assert keys(store) == set()


def test_a_key_that_is_queued_again_while_it_is_purged_stays_queued(store):
    discard.queue_key("files/a", size_bytes=3)
    Installation.objects.update(used_bytes=3)
    moment = clocks.database_clock()
    (leased,) = purge.lease_keys(moment)
    store.delete([leased])
    store.put("files/a", io.BytesIO(b"late"), content_type="text/plain")
    discard.queue_key("files/a", size_bytes=0)
    assert purge.forget_keys([leased], moment) == 0
    assert housekeeping.sweep("purge") == 1
    assert keys(store) == set()


def test_what_a_late_run_stores_of_an_image_that_was_rejected_meanwhile_goes(
    store, receive, monkeypatch
):
    upload = receive("image")
    finish = processing.finish_image

    def late(*args):
        assert processing.reject_image(Upload.objects.get(), "no") == State.REJECTED
        housekeeping.sweep("purge")
        store.put(upload.served_key, io.BytesIO(b"late"), content_type="image/png")
        return finish(*args)

    monkeypatch.setattr(processing, "finish_image", late)
    assert processing.make_image_safe(upload_id=upload.id) is None
    housekeeping.sweep("purge")
    assert (keys(store), used_bytes()) == (set(), 0)


class TestConsent:
    @pytest.fixture
    def much(self, store, receive, monkeypatch, settings):
        """More than a fifth gone on both sides."""
        monkeypatch.setattr(walk, "ALARM_ABOVE", 2)
        uploads = [receive("file", b"x") for _ in range(8)]
        store.delete([upload.served_key for upload in uploads[:4]])
        for _ in range(4):
            store.put(f"files/{uuid.uuid4()}", io.BytesIO(b"x"), content_type="text/plain")
        return clocks.database_clock() + 2 * reconcile.GRACE

    def test_it_is_asked_for_and_what_is_said_names_the_way(self, store, much):
        with pytest.raises(TooMuchToRemove):
            housekeeping.sweep("reconcile", now=much)
        assert "pair_bucket --take" in Sweep.objects.get(name="reconcile").last_error
        call_command("pair_bucket", stdout=io.StringIO())
        with pytest.raises(TooMuchToRemove):
            housekeeping.sweep("reconcile", now=much)

    def test_one_pass_honours_it(self, store, much, receive):
        call_command("pair_bucket", "--take", stdout=io.StringIO())
        done = housekeeping.sweep("reconcile", now=much)
        assert (done.vanished, done.orphaned) == (4, 4)
        housekeeping.sweep("purge")
        assert len(keys(store)) == 4
        store.delete(list(keys(store))[:3])
        with pytest.raises(TooMuchToRemove):
            housekeeping.sweep("reconcile", now=much)

    def test_where_one_pass_removes_only_a_part_the_next_one_goes_on(
        self, store, much, monkeypatch
    ):
        monkeypatch.setattr(walk, "REMOVE_MAX", 3)
        call_command("pair_bucket", "--take", stdout=io.StringIO())
        assert housekeeping.sweep("reconcile", now=much).orphaned == 3
        housekeeping.sweep("purge")
        assert housekeeping.sweep("reconcile", now=much).orphaned == 1
        assert not Installation.objects.get().removal_agreed

    def test_a_pass_that_fails_does_not_spend_it(self, store, much, monkeypatch):
        call_command("pair_bucket", "--take", stdout=io.StringIO())

        def silent(prefix):
            raise StorageUnavailable("Storage does not answer.")

        with monkeypatch.context() as failing:
            failing.setattr(store, "pages", silent)
            with pytest.raises(StorageUnavailable):
                housekeeping.sweep("reconcile", now=much)
        assert housekeeping.sweep("reconcile", now=much).orphaned == 4


# Each way in, as one upload of so many bytes from an address; its status.


def by_form(size, address):
    """The page's form."""
    client = Client()
    client.get("/files/")
    answer = post(client, "/files/", ("file", "a", bytes(size)), REMOTE_ADDR=address)
    return answer.status_code


def by_image_form(size, address):
    """The other page's form."""
    content = picture().ljust(size, b"\0")[:size]
    return post(Client(), "/", ("image", "a.png", content), REMOTE_ADDR=address).status_code


def by_ticket(size, address):
    """The API: announced, sent and completed."""
    try:
        claimed = announce(uuid.uuid4(), size_bytes=size, address=address)
    except QuotaExceeded as error:
        return error.status
    send(claimed, bytes(size))
    complete(claimed)
    return 201


def by_put(size, address):
    """`curl -T`."""
    return Client().generic("PUT", "/a", bytes(size), "", REMOTE_ADDR=address).status_code


def by_pipe(size, address):
    """`curl -T -`, whose length nobody knows before its end."""
    extra = {"wsgi.input": io.BytesIO(bytes(size)), "wsgi.input_terminated": True}
    extra |= {"HTTP_TRANSFER_ENCODING": "chunked", "REMOTE_ADDR": address}
    return Client().generic("PUT", "/a", **extra).status_code


DOORS = [by_form, by_ticket, by_put, by_pipe]
DONE = {201, 302}


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of a few bytes; moto lets an object be joined of such, as the local disk does."""
    from moto.s3 import models

    monkeypatch.setattr(models, "S3_UPLOAD_PART_MIN_SIZE", 1)
    monkeypatch.setattr("uploads.arrivals.stream.PART_BYTES", 30)


@pytest.mark.usefixtures("small_parts")
class TestAnAddress:
    """Has a quarter of what is stored, whichever way it comes."""

    @pytest.fixture(autouse=True)
    def total(self, settings):
        settings.MAX_TOTAL_BYTES = 2000  # shares of 500 and 100

    @pytest.mark.parametrize("door", DOORS)
    def test_has_its_share_and_not_a_byte_more_at_every_door(self, store, door):
        assert [door(100, HERE) in DONE for _ in range(5)] == [True] * 5
        assert door(1, HERE) == 429
        assert door(100, THERE) in DONE
        assert counts_every_byte()

    @pytest.mark.parametrize("door", [by_put, by_pipe, by_form])
    def test_is_stopped_in_the_middle_of_one_and_nothing_of_it_stays(self, store, door):
        assert door(450, HERE) in DONE
        assert door(100, HERE) == 429
        housekeeping.sweep("purge")
        assert used_bytes() == 450
        assert door(50, HERE) in DONE

    @pytest.mark.parametrize("door", DOORS)
    def test_cannot_fill_it_by_deleting_while_its_tickets_are_open(self, store, door):
        for _ in range(8):
            door(100, HERE)
            Upload.objects.all().delete()
            housekeeping.sweep("purge")
        assert used_bytes() <= 500
        assert by_put(100, THERE) == 201

    def test_fills_no_more_while_nothing_can_be_purged(self, s3, monkeypatch):
        monkeypatch.setattr(s3, "delete", lambda keys: dict.fromkeys(keys, "AccessDenied"))
        statuses = []
        for _ in range(8):
            statuses.append(by_put(100, HERE))
            Upload.objects.all().delete()
            housekeeping.sweep("purge")
        assert statuses == [201] * 5 + [429] * 3

    def test_of_an_image_what_is_stored_counts_and_not_what_arrived(self, store, owner, settings):
        settings.MAX_TOTAL_BYTES = 4 * len(picture())
        settings.IMAGES_KEPT = 1
        for _ in range(3):
            assert by_image_form(len(picture()), HERE) == 302
            upload = Upload.objects.get(state=State.CHECKING)
            processing.make_image_safe(upload_id=upload.id)
            assert counts_every_byte()
            Upload.objects.all().delete()
            housekeeping.sweep("purge")
        assert by_image_form(len(picture()) + 1, HERE) == 429

    def test_of_ipv6_is_the_first_half(self, store):
        for n in range(5):
            assert by_put(100, f"2001:db8::{n}") == 201
        assert by_put(1, "2001:db8::ffff") == 429
        assert by_put(1, "2001:db8:0:1::") == 201

    def test_leaves_a_hash_that_its_key_is_needed_for(self, store, settings):
        by_put(1, HERE)
        (sender,) = Upload.objects.values_list("sender", flat=True)
        assert len(sender) == 32
        assert HERE not in sender
        assert sender == quotas.sender_of(HERE)
        settings.SECRET_KEY = "another"
        assert sender != quotas.sender_of(HERE)

    def test_that_is_not_known_has_no_share(self, store, receive):
        for _ in range(10):
            receive("file", bytes(150))

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("door", [by_ticket, by_put, by_pipe])
    def test_passes_no_share_by_ten_at_once(self, store, door):
        statuses = at_once(lambda _: door(90, HERE), [None] * 10)
        held = sum(Upload.objects.values_list("size_bytes", flat=True))
        assert held <= 500
        assert statuses.count(429) >= 5
        assert counts_every_byte()


class TestAnnounced:
    """What has been announced and not sent."""

    @pytest.fixture(autouse=True)
    def total(self, settings):
        settings.MAX_TOTAL_BYTES = 2000  # shares of 500 and 100

    def test_is_a_twentieth_of_one_address_and_a_quarter_of_all(self, store, owner, settings):
        for n in range(5):
            announce(owner, size_bytes=100, address=f"192.0.2.{n}")
        with pytest.raises(QuotaExceeded, match="no room"):
            announce(owner, size_bytes=1, address="192.0.2.99")
        assert by_put(100, "192.0.2.99") == 201  # what is sent has room

    def test_stays_so_when_its_row_is_deleted(self, store, owner):
        claimed = announce(owner, size_bytes=100)
        discard.discard_upload(upload_id=claimed.upload.id, owner=owner)
        housekeeping.sweep("purge")
        with pytest.raises(QuotaExceeded, match="announced from your IP address"):
            announce(owner, size_bytes=1)
        housekeeping.sweep("purge", now=claimed.upload.ticket_until)
        announce(owner, size_bytes=100)

    def test_cannot_fill_the_total_by_deleting_from_many_addresses(self, store, owner):
        for n in range(30):
            try:
                claimed = announce(owner, size_bytes=100, address=f"192.0.2.{n}")
            except QuotaExceeded:
                continue
            discard.discard_upload(upload_id=claimed.upload.id, owner=owner)
            housekeeping.sweep("purge")
        assert used_bytes() == 500

    def test_no_longer_counts_once_it_was_sent(self, store, owner):
        for _ in range(4):
            assert by_ticket(100, HERE) == 201
        announce(owner, size_bytes=100)

    def test_ends_with_the_rows_patience(self, store, owner):
        claimed = announce(owner, size_bytes=100)
        housekeeping.sweep("expire", now=claimed.upload.deadline)
        housekeeping.sweep("purge", now=claimed.upload.deadline)
        assert used_bytes() == 0
        announce(owner, size_bytes=100)


class TestSharedBoard:
    @pytest.fixture(autouse=True)
    def shared(self, settings):
        settings.SHARED_BOARD = True
        settings.MAX_VISITOR_UPLOADS = 5

    @pytest.mark.parametrize("door", [by_form, by_image_form])
    def test_one_byte_tickets_of_one_address_block_nobody_else(self, store, door):
        for _ in range(5):
            announce(quotas.BOARD, size_bytes=1)
        with pytest.raises(QuotaExceeded, match="Your IP address can have"):
            announce(quotas.BOARD, size_bytes=1)
        assert door(100, HERE) == 429
        assert door(100, THERE) == 302
        announce(quotas.BOARD, size_bytes=1, address=THERE)

    def test_a_visitor_without_the_board_is_limited_as_before(self, store, owner, settings):
        settings.SHARED_BOARD = False
        for n in range(5):
            announce(owner, size_bytes=1, address=f"192.0.2.{n}")
        with pytest.raises(QuotaExceeded, match="You can have at most"):
            announce(owner, size_bytes=1, address="192.0.2.9")


class TestExchange:
    """No address that a client was given can write what a link serves."""

    def served(self, upload):
        from support.samples import fetch

        return fetch(follow.follow_link(token=upload.link.token, kind=Kind.FILE)).body

    def test_after_complete_the_ticket_changes_nothing(self, store, owner):
        claimed = announce(owner)
        send(claimed, b"good")
        upload = complete(claimed)
        assert self.served(upload) == b"good"
        send(claimed, b"evil")
        assert complete(claimed).state == State.READY
        assert self.served(upload) == b"good"

    def test_what_is_exchanged_after_it_was_looked_at_is_not_taken(self, store, owner, monkeypatch):
        claimed = announce(owner)
        send(claimed, b"good")
        copy = type(store).copy

        def exchanged(self, *args, **kwargs):
            send(claimed, b"evil")
            return copy(self, *args, **kwargs)

        with monkeypatch.context() as slow:
            slow.setattr(type(store), "copy", exchanged)
            with pytest.raises(BytesMissing):
                complete(claimed)
        assert Upload.objects.get().state == State.PENDING
        assert store.head(f"files/{claimed.upload.id}") is None
        assert self.served(complete(claimed)) == b"evil"  # looked at again, and whole

    def test_what_a_form_says_of_its_bytes_is_not_served(self, s3, owner):
        claimed = announce(owner)
        send(claimed, b"good")
        upload = complete(claimed)
        head = s3.client.head_object(Bucket=s3.bucket, Key=upload.served_key)
        assert head["ContentType"] == "application/octet-stream"

    def test_what_comes_through_the_app_is_stored_in_its_place(self, store, receive):
        upload = receive("file", b"good")
        assert keys(store) == {f"files/{upload.id}"}

    def test_a_copy_that_took_longer_than_its_request_waited_is_found(
        self, store, owner, monkeypatch
    ):
        claimed = announce(owner)
        send(claimed, b"good")
        copy = type(store).copy

        def slow(self, *args, **kwargs):
            copy(self, *args, **kwargs)
            raise StorageUnavailable("It did not answer in time.")

        monkeypatch.setattr(type(store), "copy", slow)
        with pytest.raises(StorageUnavailable):
            complete(claimed)
        same = (
            store.head(f"files/{claimed.upload.id}").etag
            == store.head(f"incoming/{claimed.upload.id}").etag
        )
        assert same
        assert self.served(complete(claimed)) == b"good"

    def test_an_images_bytes_are_what_the_worker_fetched(self, store, owner):
        first, second = picture(color="teal"), picture(color="navy")
        claimed = announce(owner, Kind.IMAGE, len(first))
        send(claimed, first)
        complete(claimed)
        send(claimed, second.ljust(len(first), b"\0")[: len(first)])
        state = processing.make_image_safe(upload_id=claimed.upload.id)
        upload = Upload.objects.get()
        assert state == upload.state
        if state == State.READY:
            served = store.read(upload.served_key)
            send(claimed, first)
            assert store.read(upload.served_key) == served

    @pytest.mark.django_db(transaction=True)
    def test_of_many_completes_at_once_one_copies(self, store, owner, monkeypatch):
        copied = []
        copy = type(store).copy

        def counting(self, *args, **kwargs):
            copied.append(args)
            return copy(self, *args, **kwargs)

        monkeypatch.setattr(type(store), "copy", counting)
        claimed = announce(owner)
        send(claimed, b"good")
        done = at_once(lambda _: complete(claimed), [None] * 6)
        assert {upload.expires_at for upload in done} == {Upload.objects.get().expires_at}
        assert len(copied) == 1
        assert counts_every_byte()


@pytest.mark.django_db(transaction=True)
class TestMeanwhile:
    """What a request saw in storage counts only for what is still pending when it has the lock."""

    @pytest.fixture
    def slow(self, store, monkeypatch):
        """Hold the first call of a storage's method until the test lets it go."""
        import threading

        def hold(name, before=True):
            began, go, method = threading.Event(), threading.Event(), getattr(type(store), name)
            first = threading.Lock()

            def held(self, *args, **kwargs):
                if not first.acquire(blocking=False):
                    return method(self, *args, **kwargs)
                answer = None if before else method(self, *args, **kwargs)
                began.set()
                assert go.wait(20)
                return method(self, *args, **kwargs) if before else answer

            monkeypatch.setattr(type(store), name, held)
            return began, go

        return hold

    def together(self, slow_call, meanwhile, gate):
        """The slow call's result or error; `meanwhile` happens while it waits in storage."""
        from concurrent.futures import ThreadPoolExecutor

        from django.db import connection

        began, go = gate

        def call():
            try:
                return slow_call()
            except UploadError as error:
                return error
            finally:
                connection.close()

        with ThreadPoolExecutor(1) as pool:
            result = pool.submit(call)
            assert began.wait(20)
            try:
                meanwhile()
            finally:
                go.set()
            return result.result()

    @pytest.mark.parametrize("where", ["head", "read"])
    def test_an_image_that_another_complete_brought_to_ready_is_not_refused(
        self, store, owner, slow, where
    ):
        claimed = announce(owner, Kind.IMAGE, len(picture()))
        send(claimed, picture())
        gate = slow(where)

        def meanwhile():
            assert complete(claimed).state == State.CHECKING
            processing.make_image_safe(upload_id=claimed.upload.id)
            housekeeping.sweep("purge")

        answer = self.together(lambda: complete(claimed), meanwhile, gate)
        assert answer.state == State.READY
        upload = Upload.objects.get()
        assert store.head(upload.served_key)
        assert counts_every_byte()

    @pytest.mark.parametrize("where", ["head", "copy"])
    def test_nor_is_a_file(self, store, owner, slow, where):
        claimed = announce(owner)
        send(claimed, b"1234")
        gate = slow(where)

        def meanwhile():
            if where == "head":
                assert complete(claimed).state == State.READY
                housekeeping.sweep("purge")

        answer = self.together(lambda: complete(claimed), meanwhile, gate)
        assert answer.state == State.READY
        assert store.read(answer.served_key) == b"1234"

    def test_a_copy_that_is_long_at_it_is_not_overtaken(self, store, owner, slow):
        claimed = announce(owner)
        send(claimed, b"good")
        gate = slow("copy")
        others = []

        def meanwhile():
            send(claimed, b"evil")
            try:
                others.append(complete(claimed))
            except UploadError as error:
                others.append(error)

        answer = self.together(lambda: complete(claimed), meanwhile, gate)
        assert others[0].status == 503
        assert isinstance(answer, BytesMissing)  # no longer what was looked at
        upload = complete(claimed)
        assert store.read(upload.served_key) == b"evil"

    @pytest.mark.parametrize("how", ["delete", "clear", "expire"])
    @pytest.mark.parametrize("kind", Kind)
    @pytest.mark.parametrize("where", ["head", "read", "copy"])
    def test_one_that_goes_while_it_completes_stays_gone_and_leaves_nothing(
        self, store, owner, slow, kind, how, where
    ):
        if (kind, where) in {(Kind.FILE, "read"), (Kind.IMAGE, "copy")}:
            pytest.skip("not asked for this kind")
        claimed = announce(owner, kind, len(CONTENT[kind]))
        send(claimed, CONTENT[kind])
        gate = slow(where, before=False)

        def meanwhile():
            if how == "delete":
                discard.discard_upload(upload_id=claimed.upload.id, owner=owner)
            elif how == "clear":
                discard.clear_uploads(owner=owner, kind=kind)
            else:
                housekeeping.sweep("expire", now=claimed.upload.deadline)
            housekeeping.sweep("purge")

        answer = self.together(lambda: complete(claimed), meanwhile, gate)
        assert isinstance(answer, UploadNotFound)
        housekeeping.sweep("purge")
        assert keys(store) == set()
        assert counts_every_byte()
        assert everything_goes(store)

    def test_one_whose_copy_lands_after_it_was_purged_leaves_nothing(self, store, owner, slow):
        claimed = announce(owner)
        send(claimed, b"1234")

        def meanwhile():
            discard.clear_uploads(owner=owner, kind=Kind.FILE)
            housekeeping.sweep("purge")
            store.put(f"files/{claimed.upload.id}", io.BytesIO(b"1234"), content_type="x/y")

        gate = slow("copy", before=False)
        self.together(lambda: complete(claimed), meanwhile, gate)
        housekeeping.sweep("purge")
        assert keys(store) == set()

    @pytest.mark.parametrize("kind", Kind)
    def test_one_that_was_refused_by_another_says_so(self, store, owner, slow, kind):
        if kind == Kind.FILE:
            pytest.skip("any four bytes are a file")
        claimed = announce(owner, kind, 9)
        send(claimed, b"not a PNG")
        gate = slow("read", before=False)

        def meanwhile():
            with pytest.raises(InvalidUpload):
                complete(claimed)

        answer = self.together(lambda: complete(claimed), meanwhile, gate)
        assert isinstance(answer, InvalidUpload)
        assert counts_every_byte()

    @pytest.mark.parametrize("kind", Kind)
    @pytest.mark.parametrize("door", ["form", "stream"])
    def test_bytes_that_are_stored_after_their_row_went_go_as_well(
        self, store, owner, slow, kind, door
    ):
        if (kind, door) == (Kind.IMAGE, "stream"):
            pytest.skip("what is piped is a file")
        gate = slow("put")
        content = CONTENT[kind]

        def arrive():
            if door == "stream":
                claim = check_claim(owner=owner, kind=Kind.FILE, filename="a", size_bytes=None)
                return receive_stream(claim, io.BytesIO(content))
            claim = check_claim(owner=owner, kind=kind, filename="a", size_bytes=len(content))
            return receive_upload(claim, io.BytesIO(content))

        def meanwhile():
            housekeeping.sweep("expire", now=clocks.database_clock() + LATER)
            housekeeping.sweep("purge")

        answer = self.together(arrive, meanwhile, gate)
        assert isinstance(answer, UploadNotFound)
        housekeeping.sweep("purge")
        assert (keys(store), PurgeKey.objects.count(), used_bytes()) == (set(), 0, 0)

    def test_a_form_that_fails_does_not_discard_what_somebody_completed(
        self, store, owner, monkeypatch
    ):
        put = type(store).put

        def stored_and_silent(self, key, *args, **kwargs):
            put(self, key, *args, **kwargs)
            upload = Upload.objects.get()
            complete_upload(upload_id=upload.id, owner=owner)
            raise StorageUnavailable("It did not answer in time.")

        monkeypatch.setattr(type(store), "put", stored_and_silent)
        with pytest.raises(StorageUnavailable):
            receive_upload(
                check_claim(owner=owner, kind=Kind.FILE, filename="a", size_bytes=1),
                io.BytesIO(b"1"),
            )
        assert Upload.objects.get().state == State.READY


@pytest.mark.django_db(transaction=True)
class TestRecount:
    def test_it_mends_what_drifted(self, store, receive):
        receive("file", b"1234")
        Installation.objects.update(used_bytes=999)
        reconcile.recount_bytes()
        assert used_bytes() == 4

    def test_claims_and_purges_meanwhile_are_not_lost(self, store, owner, settings):
        settings.MAX_VISITOR_UPLOADS = 10_000

        def busy(worker):
            for _ in range(15):
                if worker == 0:
                    reconcile.recount_bytes()
                    continue
                claimed = announce(uuid.uuid4(), address=f"192.0.2.{worker}")
                discard.clear_uploads(owner=claimed.upload.owner, kind=Kind.FILE)
                housekeeping.sweep("purge", now=claimed.upload.ticket_until)

        at_once(busy, range(4))
        assert counts_every_byte()

    def test_no_claim_waits_while_it_sums(self, store):
        from concurrent.futures import ThreadPoolExecutor

        import psycopg2
        from django.db import connection

        def recount():
            try:
                reconcile.recount_bytes()
            finally:
                connection.close()

        def summing() -> bool:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                )
                return bool(cursor.fetchone()[0])

        other = psycopg2.connect(**connection.get_connection_params() | {"cursor_factory": None})
        with ThreadPoolExecutor(1) as pool, other.cursor() as cursor:
            # Holds up whoever sums the queue.
            cursor.execute("LOCK TABLE uploads_purgekey IN ACCESS EXCLUSIVE MODE")
            done = pool.submit(recount)
            try:
                while not summing():
                    assert not done.done()
                quotas.reserve_bytes(7)  # 5 s later it would have given up
                quotas.reserve_bytes(-7)
            finally:
                other.rollback()
            done.result()
        other.close()


class TestWhileARelease:
    """Is rolled out, older code writes rows beside this one, and its tickets lead to files/."""

    @pytest.fixture
    def old(self, owner):
        """As older code claims: without the columns that it does not know."""
        from django.db import connection

        def claim(kind=Kind.FILE, size=4):
            upload_id = uuid.uuid4()
            with connection.cursor() as cursor:
                cursor.execute(
                    """
                    INSERT INTO uploads_upload (id, kind, state, owner, token, name, filename,
                        size_bytes, content_type, reason, ttl, deadline, address, attempts)
                    VALUES (%s, %s, 'pending', %s, %s, '', 'a', %s, '', '', '900 s',
                            now() + interval '5 minutes', '192.0.2.1', 0)
                    """,
                    [upload_id, kind, owner, upload_id.hex[:22], size],
                )
                cursor.execute(
                    "UPDATE uploads_installation SET used_bytes = used_bytes + %s", [size]
                )
            return Upload.objects.get(id=upload_id)

        return claim

    def test_what_it_claimed_is_completed_where_its_ticket_leads(self, store, old, owner):
        upload = old()
        assert upload.incoming_key == f"files/{upload.id}"
        store.put(upload.incoming_key, io.BytesIO(b"1234"), content_type="x/y")
        upload = complete_upload(upload_id=upload.id, owner=owner)
        assert (upload.state, keys(store)) == (State.READY, {upload.served_key})
        assert everything_goes(store)

    def test_its_image_is_made_safe(self, store, old, owner):
        upload = old(Kind.IMAGE, len(picture()))
        store.put(upload.incoming_key, io.BytesIO(picture()), content_type="x/y")
        complete_upload(upload_id=upload.id, owner=owner)
        assert processing.make_image_safe(upload_id=upload.id) == State.READY
        assert counts_every_byte()
        assert everything_goes(store)

    def test_what_it_claimed_and_nobody_completed_leaves_nothing(self, store, old):
        for kind in Kind:
            upload = old(kind)
            store.put(upload.incoming_key, io.BytesIO(b"1234"), content_type="x/y")
        now = clocks.database_clock() + timedelta(seconds=90)
        assert housekeeping.sweep("reconcile", now=now).orphaned == 0
        assert everything_goes(store)

    def test_what_it_queued_is_purged(self, store):
        from django.db import connection

        store.put("files/a", io.BytesIO(b"1234"), content_type="x/y")
        Installation.objects.update(used_bytes=4)
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO uploads_purgekey (key, size_bytes, multipart_id, not_before, attempts)"
                " VALUES ('files/a', 4, '', now(), 0) ON CONFLICT (key) DO NOTHING"
            )
        assert everything_goes(store)
