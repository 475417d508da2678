"""A link whose owner changes it: its time from now on, its name, and what happens meanwhile."""

import io
import time
import uuid
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from support.samples import at_once, in_thread, nothing_stays
from uploads import discard, processing
from uploads.arrivals.complete import complete_upload
from uploads.arrivals.ticket import claim_with_ticket
from uploads.errors import InvalidUpload, UploadNotFound
from uploads.limits import check_claim
from uploads.links import follow
from uploads.links.change import change_link
from uploads.models import Kind, Link, State, Upload
from uploads.sweeps import housekeeping

pytestmark = pytest.mark.django_db

HOUR, DAY = 3600, 86400


def announce(owner, link_id=None, store=None, ttl=None):
    """A file that was announced; with the store, its bytes have come too."""
    claim = check_claim(
        owner=owner, kind=Kind.FILE, filename="a", size_bytes=4, link_id=link_id, ttl=ttl
    )
    upload = claim_with_ticket(claim, content_type="x/y").upload
    if store:
        store.put(upload.incoming_key, io.BytesIO(b"1234"), content_type="x/y")
    return upload


def seconds_left(link_id: uuid.UUID) -> float:
    """What the link has left, which must be what each of its uploads has."""
    ends = {u.seconds_left for u in Upload.objects.with_seconds_left().filter(link_id=link_id)}
    times = {u.expires_at for u in Upload.objects.filter(link_id=link_id, expires_at__isnull=False)}
    assert times == {Link.objects.get(id=link_id).expires_at}
    return max(end for end in ends if end is not None)


def age(link_id: uuid.UUID, by: timedelta) -> None:
    """As if it had been made so long ago."""
    Link.objects.filter(id=link_id).update(created_at=F("created_at") - by)


def wait_until_expired(link_id: uuid.UUID) -> None:
    until = time.monotonic() + 60
    while Link.objects.live().filter(id=link_id).exists():
        assert time.monotonic() < until
        time.sleep(0.02)


def rows() -> list:
    """All that a change may change."""
    links = Link.objects.order_by("id").values_list("id", "ttl", "name", "expires_at")
    uploads = Upload.objects.order_by("id").values_list("id", "expires_at", "deadline")
    return [*links, *uploads]


@pytest.fixture
def three(receive):
    """The link of three files, with a quarter of an hour left."""
    first = receive("file", b"1", filename="1")
    for name in "23":
        receive("file", b"2", filename=name, link_id=first.link_id)
    return first.link


class TestTime:
    @pytest.mark.parametrize("ttl", [5, 60, 12 * HOUR])
    def test_it_counts_from_now_on_and_for_all_its_files(self, s3, three, owner, ttl):
        age(three.id, timedelta(minutes=10))
        change_link(link_id=three.id, owner=owner, ttl=ttl)
        assert ttl - 5 < seconds_left(three.id) <= ttl
        assert Link.objects.get().ttl == timedelta(seconds=ttl)

    def test_what_is_on_its_way_keeps_its_deadline_and_ends_with_the_others(self, s3, three, owner):
        pending = announce(owner, three.id, s3)
        change_link(link_id=three.id, owner=owner, ttl=60)
        row = Upload.objects.get(id=pending.id)
        assert (row.deadline, row.expires_at) == (pending.deadline, None)
        assert complete_upload(upload_id=row.id, owner=owner).expires_at == (
            Link.objects.get().expires_at
        )
        assert seconds_left(three.id) <= 60

    def test_of_a_link_that_has_not_begun_it_counts_from_its_first_file_on(self, s3, owner):
        upload = announce(owner, store=s3)
        change_link(link_id=upload.link_id, owner=owner, ttl=60)
        link = Link.objects.get()
        assert (link.expires_at, link.ttl) == (None, timedelta(minutes=1))
        complete_upload(upload_id=upload.id, owner=owner)
        assert 50 < seconds_left(link.id) <= 60

    def test_an_image_has_a_link_too_also_while_it_is_checked(self, s3, receive, owner):
        upload = receive("image")
        change_link(link_id=upload.link_id, owner=owner, ttl=60)
        processing.make_image_safe(upload_id=upload.id)
        assert Upload.objects.get().state == State.READY
        assert 30 < seconds_left(upload.link_id) <= 60

    def test_a_rejected_images_notice_goes_with_its_link(self, s3, receive, owner):
        from support.samples import picture

        upload = receive("image", picture()[:60])
        processing.make_image_safe(upload_id=upload.id)
        change_link(link_id=upload.link_id, owner=owner, ttl=60)
        assert seconds_left(upload.link_id) <= 60

    def test_on_a_shared_board_the_board_changes_it(self, s3, settings, receive):
        from uploads.quotas import BOARD

        upload = receive("file", b"x", owner=BOARD)
        change_link(link_id=upload.link_id, owner=BOARD, ttl=60)
        assert seconds_left(upload.link_id) <= 60

    def test_once_it_is_over_nothing_is_left_anywhere(self, store, three, ready, owner):
        image = ready()
        for link in (three, image.link):
            change_link(link_id=link.id, owner=owner, ttl=1)
        wait_until_expired(three.id)
        wait_until_expired(image.link_id)
        for link in (three, image.link):
            with pytest.raises(UploadNotFound):
                follow.follow_link(token=link.token, kind=Kind(link.kind))
        assert not Upload.objects.live().exists()
        housekeeping.sweep("expire")
        assert nothing_stays(store)
        assert not Link.objects.exists()


class TestLatestEnd:
    """Never later than UPLOAD_TTL_MAX after it was made."""

    @pytest.mark.parametrize("seconds", [DAY - HOUR + 1, DAY, DAY + 1, 10**9, 0, -1])
    def test_beyond_it_nothing_is_changed(self, s3, three, owner, seconds):
        age(three.id, timedelta(hours=1))
        before = rows()
        with pytest.raises(InvalidUpload, match=r"can live for"):
            change_link(link_id=three.id, owner=owner, ttl=seconds, name="Not this either")
        assert rows() == before

    def test_up_to_it_the_time_is_given(self, s3, three, owner):
        age(three.id, timedelta(hours=1))
        change_link(link_id=three.id, owner=owner, ttl=DAY - HOUR - 60)
        assert seconds_left(three.id) > DAY - HOUR - 90

    def test_no_number_of_changes_gets_past_it(self, s3, three, owner):
        refused = 0
        for _ in range(3):
            try:
                change_link(link_id=three.id, owner=owner, ttl=10 * HOUR)
            except InvalidUpload:
                refused += 1
            age(three.id, timedelta(hours=9))
            Link.objects.update(expires_at=F("expires_at") - timedelta(hours=9))
            Upload.objects.update(expires_at=F("expires_at") - timedelta(hours=9))
        link = Link.objects.get()
        assert refused == 1
        assert link.expires_at - link.created_at <= timedelta(days=1)

    def test_the_sentence_says_how_much_there_is(self, s3, three, owner):
        age(three.id, timedelta(hours=23))
        with pytest.raises(InvalidUpload, match=r"at most 3\d{3} more seconds"):
            change_link(link_id=three.id, owner=owner, ttl=2 * HOUR)

    def test_what_was_long_on_its_way_can_be_shortened_and_not_prolonged(self, s3, three, owner):
        change_link(link_id=three.id, owner=owner, ttl=10 * HOUR)
        age(three.id, timedelta(hours=20))
        change_link(link_id=three.id, owner=owner, ttl=9 * HOUR)
        before = rows()
        with pytest.raises(InvalidUpload):
            change_link(link_id=three.id, owner=owner, ttl=9 * HOUR + 60)
        assert rows() == before

    @pytest.mark.parametrize("ttl", [0, DAY + 1])
    def test_a_link_that_has_not_begun_is_held_to_the_usual_limits(self, s3, owner, ttl):
        upload = announce(owner)
        with pytest.raises(InvalidUpload):
            change_link(link_id=upload.link_id, owner=owner, ttl=ttl)
        assert Link.objects.get().ttl == timedelta(minutes=15)


class TestName:
    def test_it_is_trimmed_and_nothing_else_is_changed(self, s3, three, owner):
        end = three.expires_at
        change_link(link_id=three.id, owner=owner, name="  Notes ")
        assert Link.objects.values_list("name", "expires_at").get() == ("Notes", end)

    def test_an_empty_one_takes_it_off(self, s3, receive, owner):
        link = receive("file", b"x", name="Notes").link
        change_link(link_id=link.id, owner=owner, name="")
        assert Link.objects.get().name == ""

    @pytest.mark.parametrize("name", ["x" * 101, "a\nb", "gpj\u202eexe"])
    def test_one_that_is_not_allowed_changes_nothing(self, s3, three, owner, name):
        before = rows()
        with pytest.raises(InvalidUpload):
            change_link(link_id=three.id, owner=owner, ttl=60, name=name)
        assert rows() == before


class TestWhose:
    def test_a_strangers_is_unknown(self, s3, three, stranger):
        before = rows()
        with pytest.raises(UploadNotFound):
            change_link(link_id=three.id, owner=stranger, ttl=60, name="Mine")
        assert rows() == before

    def test_one_that_never_was_is_unknown(self, s3, owner):
        with pytest.raises(UploadNotFound):
            change_link(link_id=uuid.uuid4(), owner=owner, ttl=60)

    @pytest.mark.parametrize("change", [{"ttl": 60}, {"name": "x"}, {}])
    def test_one_that_has_expired_does_not_come_back(self, s3, three, owner, change):
        Link.objects.update(expires_at=Now())
        Upload.objects.update(expires_at=Now())
        before = rows()
        with pytest.raises(UploadNotFound):
            change_link(link_id=three.id, owner=owner, **change)
        assert rows() == before


class TestSignatures:
    def test_a_pictures_address_does_not_outlive_an_end_that_came_nearer(self, s3, ready, owner):
        upload = ready()
        pictures = follow.ThumbnailUrlCache()
        live = Upload.objects.with_seconds_left()
        assert life_of(pictures.thumbnail_url(live.get())) == 300
        change_link(link_id=upload.link_id, owner=owner, ttl=20)
        assert life_of(pictures.thumbnail_url(live.get())) <= 20

    def test_a_links_address_does_not_outlive_an_end_that_came_nearer(self, s3, three, owner):
        change_link(link_id=three.id, owner=owner, ttl=20)
        assert life_of(follow.follow_link(token=three.token, kind=Kind.FILE)) <= 20


def life_of(url: str) -> int:
    """For how many seconds it was signed."""
    return int(parse_qs(urlsplit(url).query)["X-Amz-Expires"][0])


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    """What happens to a link at the moment in which it is changed."""

    def test_with_completes_all_agree_on_one_end(self, s3, owner):
        first = announce(owner, store=s3, ttl=HOUR)
        uploads = [first, *(announce(owner, first.link_id, s3) for _ in range(4))]
        calls = [lambda u=u: complete_upload(upload_id=u.id, owner=owner) for u in uploads]
        calls.insert(2, lambda: change_link(link_id=first.link_id, owner=owner, ttl=60))
        at_once(lambda call: call(), calls)
        assert seconds_left(first.link_id) <= 60

    def test_of_two_changes_one_is_the_last_for_all(self, s3, three, owner):
        at_once(lambda ttl: change_link(link_id=three.id, owner=owner, ttl=ttl), [60, 600] * 4)
        assert seconds_left(three.id) <= Link.objects.get().ttl.total_seconds()

    def test_with_the_worker_the_image_ends_as_its_link(self, s3, receive, owner):
        upload = receive("image")
        at_once(
            lambda call: call(),
            [
                lambda: processing.make_image_safe(upload_id=upload.id),
                lambda: change_link(link_id=upload.link_id, owner=owner, ttl=60),
            ],
        )
        assert Upload.objects.get().state == State.READY
        assert seconds_left(upload.link_id) <= 60

    @pytest.mark.parametrize(
        "go",
        [
            lambda link: discard.clear_uploads(owner=link.owner, kind=Kind.FILE),
            lambda link: discard.discard_uploads(
                ids=list(link.uploads.values_list("id", flat=True))
            ),
        ],
        ids=["clear", "sweep"],
    )
    def test_while_it_goes_it_is_found_gone(self, s3, three, owner, go):
        """A sweep takes none of the owner's locks: only the link's row is between them."""
        with transaction.atomic():
            go(three)
            thread, outcome = in_thread(lambda: change_link(link_id=three.id, owner=owner, ttl=60))
        thread.join(60)
        assert isinstance(outcome[0], UploadNotFound), outcome
        assert nothing_stays(s3)

    def test_what_expires_while_the_change_waits_stays_expired(self, s3, three, owner):
        change_link(link_id=three.id, owner=owner, ttl=2)
        with transaction.atomic():
            Link.objects.select_for_update().get()
            thread, outcome = in_thread(lambda: change_link(link_id=three.id, owner=owner, ttl=60))
            wait_until_expired(three.id)
        thread.join(60)
        assert isinstance(outcome[0], UploadNotFound), outcome
        assert not Upload.objects.live().exists()

    def test_a_sweep_leaves_what_is_being_prolonged(self, s3, three, owner):
        change_link(link_id=three.id, owner=owner, ttl=2)
        with transaction.atomic():
            change_link(link_id=three.id, owner=owner, ttl=60)
            at_once(lambda: housekeeping.sweep("expire", now=three.created_at + timedelta(1)), 1)
        assert Upload.objects.live().count() == 3
        assert seconds_left(three.id) <= 60
