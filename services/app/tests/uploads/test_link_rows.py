"""A link and its uploads: who may join it, how long it lives, and that it goes with the last."""

import threading
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now

from support.samples import at_once, counts_every_byte, in_thread, keys, purge_when_tickets_are_over
from uploads import discard, processing
from uploads.arrivals import claim as claims
from uploads.arrivals.claim import claim_upload
from uploads.arrivals.complete import complete_upload
from uploads.arrivals.ticket import claim_with_ticket
from uploads.errors import InvalidUpload, LinkProtected, QuotaExceeded, UploadNotFound
from uploads.existence import MissingObject, discard_vanished
from uploads.limits import check_claim
from uploads.links import follow
from uploads.models import Kind, Link, PurgeKey, State, Upload
from uploads.sweeps import housekeeping

pytestmark = pytest.mark.django_db


def claim(owner, link_id=None, **kwargs):
    kwargs = {"kind": Kind.FILE, "filename": "a", "size_bytes": 4, **kwargs}
    return check_claim(owner=owner, link_id=link_id, **kwargs)


def announce(owner, link_id=None, store=None, **kwargs):
    """A file that was announced; with the store, its bytes have come too."""
    upload = claim_with_ticket(claim(owner, link_id, **kwargs), content_type="x/y").upload
    if store:
        import io

        store.put(upload.incoming_key, io.BytesIO(b"1234"), content_type="x/y")
    return upload


def expire_in(seconds: int, link_id: uuid.UUID) -> None:
    """The link and what came to it have so many seconds left, or are over since."""
    end = Now() + timedelta(seconds=seconds)
    Link.objects.filter(id=link_id).update(expires_at=end)
    link = Link.objects.get(id=link_id)
    Upload.objects.filter(link_id=link_id, expires_at__isnull=False).update(
        expires_at=link.expires_at
    )


@pytest.fixture
def three(receive):
    """Three files of one link."""
    first = receive("file", b"1", filename="1")
    others = [receive("file", b"2", filename=name, link_id=first.link_id) for name in "23"]
    return [first, *others]


class TestEach:
    def test_upload_has_a_link_with_what_was_claimed(self, store, receive, owner):
        link = receive("file", b"x", name="Notes", ttl=60).link
        assert (link.owner, link.kind, link.name, link.ttl) == (
            *(owner, "file", "Notes"),
            timedelta(minutes=1),
        )
        assert len(link.token) == 22

    def test_image_has_its_own(self, store, receive, owner):
        assert receive("image").link_id != receive("image").link_id
        assert set(Link.objects.values_list("kind", flat=True)) == {"image"}

    def test_what_is_refused_leaves_none(self, store, settings, owner):
        settings.MAX_VISITOR_UPLOADS = 0
        with pytest.raises(QuotaExceeded):
            claim_upload(claim(owner))
        assert not Link.objects.exists()


class TestJoining:
    def test_a_file_that_joins_has_the_links_name_and_time(self, store, receive, owner):
        first = receive("file", b"x", name="Notes", ttl=60)
        second = receive("file", b"y", name="Other", ttl=3600, link_id=first.link_id)
        assert second.link == first.link
        assert second.expires_at == first.expires_at == first.link.expires_at
        assert (second.link.name, second.link.ttl) == ("Notes", timedelta(minutes=1))

    def test_the_first_that_is_completed_sets_the_time(self, store, owner):
        first = announce(owner, store=store)
        second = announce(owner, first.link_id, store)
        assert Link.objects.get().expires_at is None
        done = [complete_upload(upload_id=u.id, owner=owner) for u in (second, first)]
        assert done[0].expires_at == done[1].expires_at == Link.objects.get().expires_at
        assert 890 < (done[0].expires_at - first.created_at).total_seconds() < 910

    def test_a_repeated_complete_changes_no_time(self, store, three, owner):
        before = Link.objects.get().expires_at
        again = complete_upload(upload_id=three[2].id, owner=owner)
        assert again.expires_at == Link.objects.get().expires_at == before

    def test_a_strangers_link_is_unknown(self, store, three, stranger):
        with pytest.raises(UploadNotFound, match="There is no such link"):
            claim_upload(claim(stranger, three[0].link_id))
        assert Link.objects.count() == 1

    @pytest.mark.parametrize("link_id", [uuid.UUID(int=0), uuid.uuid4()])
    def test_a_link_that_never_was_is_unknown(self, store, owner, link_id):
        with pytest.raises(UploadNotFound, match="There is no such link"):
            claim_upload(claim(owner, link_id))

    @pytest.mark.parametrize("seconds", [0, -1])
    def test_a_link_that_expired_is_unknown_though_no_sweep_came(
        self, store, three, owner, seconds
    ):
        expire_in(seconds, three[0].link_id)
        with pytest.raises(UploadNotFound, match="There is no such link"):
            claim_upload(claim(owner, three[0].link_id))

    def test_an_image_joins_nothing(self, store, three, owner):
        with pytest.raises(InvalidUpload, match="Only files can share a link"):
            claim(owner, three[0].link_id, kind=Kind.IMAGE)

    def test_nothing_joins_an_image(self, store, receive, owner):
        with pytest.raises(InvalidUpload, match="Only files can share a link"):
            claim_upload(claim(owner, receive("image").link_id))

    def test_the_hundredth_file_joins_and_the_next_does_not(
        self, store, settings, monkeypatch, owner
    ):
        assert claims.LINK_UPLOADS_MAX == 100
        monkeypatch.setattr(claims, "LINK_UPLOADS_MAX", 3)
        link_id = claim_upload(claim(owner)).link_id
        for _ in range(2):
            claim_upload(claim(owner, link_id))
        with pytest.raises(InvalidUpload, match="at most 3 files"):
            claim_upload(claim(owner, link_id))
        assert counts_every_byte()

    def test_on_a_shared_board_the_board_owns_it(self, store, settings, receive):
        from uploads.quotas import BOARD

        upload = receive("file", b"x", owner=BOARD)
        receive("file", b"y", owner=BOARD, link_id=upload.link_id)
        assert Link.objects.get().owner == BOARD

    def test_what_comes_after_its_link_expired_came_too_late(self, store, receive, owner):
        link_id = receive("file", b"x").link_id
        late = announce(owner, link_id, store)
        expire_in(-1, link_id)
        with pytest.raises(UploadNotFound, match="took too long"):
            complete_upload(upload_id=late.id, owner=owner)
        assert not Upload.objects.filter(id=late.id).exists()
        housekeeping.sweep("expire")
        purge_when_tickets_are_over()
        assert (keys(store), Link.objects.count(), counts_every_byte()) == (set(), 0, True)


class TestGoing:
    """With the last upload the link goes, and not before, whoever discards it."""

    @pytest.fixture(
        params=["one by one", "in a shell", "a selection", "vanished", "dropped", "refused"]
    )
    def discard_one(self, request, store, owner):
        def vanish(upload):
            store.delete([upload.served_key])
            assert discard_vanished([MissingObject(upload.id, "files")]) == 1

        def drop(upload):
            Upload.objects.filter(id=upload.id).update(
                state="pending", expires_at=None, deadline=Now()
            )
            claims.drop_upload(upload)

        def refuse(upload):
            drop_to = {"state": "pending", "expires_at": None, "deadline": Now() + upload.link.ttl}
            Upload.objects.filter(id=upload.id).update(**drop_to, size_bytes=99)
            with pytest.raises(InvalidUpload):
                complete_upload(upload_id=upload.id, owner=owner)
            Upload.objects.filter(id=upload.id).update(size_bytes=1)

        return {
            "one by one": lambda u: discard.discard_upload(upload_id=u.id, owner=owner),
            "in a shell": lambda u: u.delete(),
            "a selection": lambda u: Upload.objects.filter(id=u.id).delete(),
            "vanished": vanish,
            "dropped": drop,
            "refused": refuse,
        }[request.param]

    def test_it_goes_with_the_last(self, store, three, discard_one):
        for left, upload in enumerate(three[::-1]):
            assert Link.objects.filter(id=upload.link_id).exists()
            discard_one(Upload.objects.get(id=upload.id))
            assert Upload.objects.count() == 2 - left
        assert not Link.objects.exists()

    def test_clearing_leaves_none_but_strangers(self, store, three, receive, stranger):
        other = receive("file", b"x", owner=stranger)
        image = receive("image")
        assert discard.clear_uploads(owner=three[0].owner, kind=Kind.FILE) == 3
        assert set(Link.objects.values_list("id", flat=True)) == {other.link_id, image.link_id}

    def test_three_expire_at_one_second_and_their_link(self, store, three):
        expire_in(0, three[0].link_id)
        assert housekeeping.sweep("expire") == 3
        housekeeping.sweep("purge")
        assert (Link.objects.count(), keys(store)) == (0, set())

    def test_it_stays_with_one_that_is_on_its_way(self, store, three, owner):
        late = announce(owner, three[0].link_id)
        expire_in(0, three[0].link_id)
        assert housekeeping.sweep("expire") == 3
        assert Link.objects.get().uploads.get() == late
        Upload.objects.update(deadline=Now())
        assert housekeeping.sweep("expire") == 1
        assert not Link.objects.exists()

    def test_an_image_that_is_pushed_out_takes_its_link_along(self, store, ready):
        images = [ready() for _ in range(4)]
        assert set(Link.objects.values_list("id", flat=True)) == {i.link_id for i in images[1:]}

    def test_a_rejected_image_keeps_it_until_it_expires(self, store, receive):
        upload = receive("image", b"\x89PNG\r\n\x1a\n" + b"x" * 99)
        assert processing.make_image_safe(upload_id=upload.id) == State.REJECTED
        expire_in(0, upload.link_id)
        assert (housekeeping.sweep("expire"), Link.objects.count()) == (1, 0)

    def test_reconcile_takes_it_with_what_vanished(self, store, three):
        Upload.objects.update(created_at=Now() - timedelta(hours=1))
        store.delete([upload.served_key for upload in three])
        assert housekeeping.sweep("reconcile").vanished == 3
        assert (Link.objects.count(), counts_every_byte()) == (0, True)

    def test_deleting_the_link_itself_takes_its_uploads(self, store, three):
        Link.objects.get().delete()
        housekeeping.sweep("purge")
        assert (Upload.objects.count(), keys(store), counts_every_byte()) == (0, set(), True)


class TestDeserted:
    """A link without an upload: made before them, or left by an older release."""

    def make(self, **changes):
        link = Link.objects.create(owner=uuid.uuid4(), kind="file", ttl=timedelta(minutes=1))
        Link.objects.filter(id=link.id).update(**changes)
        return link

    def test_a_new_one_waits_for_its_uploads(self, store):
        self.make(created_at=Now() - timedelta(minutes=59))
        assert "expire" not in housekeeping.find_due().sweeps
        assert (housekeeping.sweep("expire"), Link.objects.count()) == (0, 1)

    @pytest.mark.parametrize(
        "changes",
        [
            {"created_at": Now() - timedelta(minutes=61)},
            {"expires_at": Now()},
            {"expires_at": Now() - timedelta(days=1)},
        ],
        ids=["an hour", "just over", "long over"],
    )
    def test_one_that_nothing_will_take_along_goes(self, store, changes):
        self.make(**changes)
        assert "expire" in housekeeping.find_due().sweeps
        housekeeping.sweep("expire")
        assert not Link.objects.exists()
        assert "expire" not in housekeeping.find_due().sweeps

    def test_one_with_an_upload_on_its_way_stays(self, store, owner):
        upload = announce(owner)
        Link.objects.update(created_at=Now() - timedelta(hours=3))
        assert "expire" not in housekeeping.find_due().sweeps
        housekeeping.sweep("expire")
        assert Link.objects.get() == upload.link

    def test_one_with_time_left_stays(self, store):
        self.make(expires_at=Now() + timedelta(minutes=1), created_at=Now() - timedelta(hours=3))
        housekeeping.sweep("expire")
        assert Link.objects.exists()


class TestFollowing:
    def test_a_protected_link_opens_for_no_get(self, store, receive):
        upload = receive("file", b"x")
        for change in ({"password": make_password("x")}, {"password": "", "max_downloads": 5}):
            Link.objects.update(**change)
            with pytest.raises(LinkProtected):
                follow.follow_link(token=upload.link.token, kind=Kind.FILE)
        assert Link.objects.get().downloads == 0

    def test_a_link_without_uploads_is_unknown(self, store):
        link = Link.objects.create(owner=uuid.uuid4(), kind="file", ttl=timedelta(minutes=1))
        with pytest.raises(UploadNotFound):
            follow.uploads_behind(token=link.token, kind=Kind.FILE)


class TestRules:
    """That Postgres keeps, whoever writes."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"max_downloads": 2, "downloads": 3},
            {"max_downloads": 0},
            {"kind": "image", "password": "x"},
            {"kind": "image", "max_downloads": 1},
            {"kind": "other"},
        ],
    )
    def test_a_link_that_must_not_be_is_refused(self, store, receive, changes):
        receive("file", b"x")
        with pytest.raises(IntegrityError), transaction.atomic():
            Link.objects.update(**changes)

    def test_no_upload_is_without_a_link(self, store, receive):
        receive("file", b"x")
        with pytest.raises(IntegrityError), transaction.atomic():
            Upload.objects.update(link=None)


class TestSpending:
    def link(self, **changes):
        changes = {"expires_at": Now() + timedelta(minutes=1), **changes}
        return Link.objects.create(
            owner=uuid.uuid4(), kind="file", ttl=timedelta(minutes=1), **changes
        )

    def test_as_many_as_there_are(self):
        link = self.link(max_downloads=2)
        assert [Link.objects.spend(link.id) for _ in range(3)] == [True, True, False]
        link.refresh_from_db()
        assert link.downloads == 2

    def test_any_number_where_none_is_said(self):
        link = self.link()
        assert all(Link.objects.spend(link.id) for _ in range(3))
        link.refresh_from_db()
        assert link.downloads == 3

    @pytest.mark.parametrize("changes", [{"expires_at": Now()}, {"expires_at": None}])
    def test_none_where_it_is_not_live(self, changes):
        link = self.link(**changes)
        assert not Link.objects.spend(link.id)

    def test_none_of_one_that_never_was(self):
        assert not Link.objects.spend(uuid.uuid4())

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("most", [1, 5])
    def test_twenty_at_once_get_no_more_than_there_are(self, most):
        link = self.link(max_downloads=most)
        gate = threading.Barrier(20)

        def spend():
            connection.ensure_connection()
            gate.wait(60)
            return Link.objects.spend(link.id)

        assert sum(at_once(spend, 20)) == most
        link.refresh_from_db()
        assert link.downloads == most


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    """What happens at one moment, of one link."""

    def test_several_completes_agree_on_one_end(self, s3, owner):
        first = announce(owner, store=s3)
        uploads = [first, *(announce(owner, first.link_id, s3) for _ in range(5))]
        done = at_once(lambda u: complete_upload(upload_id=u.id, owner=owner), uploads)
        assert {u.expires_at for u in done} == {Link.objects.get().expires_at}
        assert set(Upload.objects.values_list("expires_at", flat=True)) == {done[0].expires_at}

    def test_a_hundred_and_one_claims_are_a_hundred(self, s3, owner, monkeypatch):
        monkeypatch.setattr(claims, "LINK_UPLOADS_MAX", 5)
        link_id = claim_upload(claim(owner)).link_id

        def join(_):
            try:
                claim_upload(claim(owner, link_id))
            except InvalidUpload:
                return False
            return True

        assert sum(at_once(join, range(8))) == 4
        assert Link.objects.get().uploads.count() == 5

    def test_a_claim_that_comes_while_the_last_goes_finds_it_gone(self, s3, receive, owner):
        """The sweep has the locks: it takes none of the owner's, so only the link's row is
        between them."""
        upload = receive("file", b"x")
        with transaction.atomic():
            discard.discard_uploads(ids=[upload.id])
            thread, outcome = in_thread(lambda: claim_upload(claim(owner, upload.link_id)))
        thread.join(60)
        assert isinstance(outcome[0], UploadNotFound), outcome
        assert (Link.objects.count(), Upload.objects.count()) == (0, 0)

    def test_a_claim_that_comes_before_keeps_it(self, s3, receive, owner):
        upload = receive("file", b"x")
        with transaction.atomic():
            joined = claim_upload(claim(owner, upload.link_id))
            thread, outcome = in_thread(lambda: discard.discard_uploads(ids=[upload.id]))
        thread.join(60)
        assert outcome == [1]
        assert Link.objects.get().uploads.get() == joined

    def test_what_is_being_joined_is_left_to_the_next_sweep(self, s3, receive, owner):
        upload = receive("file", b"x")
        with transaction.atomic():
            joined = claim_upload(claim(owner, upload.link_id))
            thread, outcome = in_thread(
                lambda: housekeeping.sweep("expire", now=Now() + timedelta(seconds=901))
            )
            thread.join(60)
            assert outcome == [0]
        assert housekeeping.sweep("expire", now=Now() + timedelta(seconds=901)) == 2
        assert joined.link_id == upload.link_id
        assert not Link.objects.exists()

    def test_claims_and_discards_leave_no_link_empty_and_no_upload_without(self, s3, owner):
        """Ten threads, each of which joins whatever link there is or begins one, and discards."""

        def live(number):
            for turn in range(6):
                some = Upload.objects.filter(owner=owner).order_by("?").first()
                link_id = some.link_id if some and (number + turn) % 2 else None
                try:
                    upload = announce(owner, link_id, s3)
                    complete_upload(upload_id=upload.id, owner=owner)
                except UploadNotFound:
                    continue
                if number % 3 == 0:
                    discard.discard_uploads(ids=[upload.id])
                elif number % 3 == 1:
                    discard.clear_uploads(owner=owner, kind=Kind.FILE)

        at_once(live, range(6))
        assert not Link.objects.filter(uploads=None).exists()
        assert counts_every_byte()
        discard.clear_uploads(owner=owner, kind=Kind.FILE)
        assert not Link.objects.exists()
        assert PurgeKey.objects.exists()
