"""From a claim to an upload: what is counted and kept, and nothing is left of what is refused."""

import io
from datetime import timedelta
from functools import partial

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from support.samples import at_once, keys, picture, purge_all, used_bytes
from uploads import discard, processing
from uploads.arrivals.claim import claim_upload
from uploads.arrivals.complete import complete_upload
from uploads.errors import (
    BytesMissing,
    InvalidUpload,
    QuotaExceeded,
    StorageUnavailable,
    UploadNotFound,
)
from uploads.limits import check_claim
from uploads.models import Kind, Link, PurgeKey, State, Upload
from uploads.sweeps import housekeeping, reconcile

pytestmark = pytest.mark.django_db


class TestArriving:
    def test_a_file_is_ready_at_once_and_lives_for_its_ttl(self, store, receive):
        upload = receive("file", b"report", filename="r.pdf", ttl=60)
        assert upload.state == State.READY
        assert timedelta(seconds=59) < upload.expires_at - upload.created_at
        assert keys(store) == {f"files/{upload.id}"}

    def test_an_image_waits_for_the_worker(self, store, receive):
        upload = receive("image")
        assert (upload.state, upload.content_type) == (State.CHECKING, "image/png")
        assert keys(store) == {f"incoming/{upload.id}"}

    def test_what_is_not_an_image_leaves_nothing(self, store, receive):
        with pytest.raises(InvalidUpload, match="not an image"):
            receive("image", b"<svg onload=alert(1)>")
        purge_all()
        assert (Upload.objects.count(), keys(store), used_bytes()) == (0, set(), 0)

    def test_a_size_that_differs_from_the_claim_leaves_nothing(self, store, owner):
        claim = claim_upload(
            check_claim(owner=owner, kind=Kind.FILE, filename="a", size_bytes=1000)
        )
        store.put(claim.incoming_key, io.BytesIO(b"x"), content_type="text/html")
        with pytest.raises(InvalidUpload, match="but 1 arrived"):
            complete_upload(upload_id=claim.id, owner=owner)
        purge_all()
        assert (Upload.objects.count(), keys(store), used_bytes()) == (0, set(), 0)

    def test_complete_without_bytes_leaves_the_upload_pending(self, store, owner):
        claim = claim_upload(check_claim(owner=owner, kind=Kind.FILE, filename="a", size_bytes=9))
        with pytest.raises(BytesMissing):
            complete_upload(upload_id=claim.id, owner=owner)
        assert Upload.objects.get().state == State.PENDING

    def test_complete_twice_keeps_the_first_expiry(self, store, receive, owner):
        first = receive("file", b"x")
        again = complete_upload(upload_id=first.id, owner=owner)
        assert again.expires_at == first.expires_at

    def test_a_stranger_cannot_complete(self, store, owner, stranger):
        claim = claim_upload(check_claim(owner=owner, kind=Kind.FILE, filename="a", size_bytes=9))
        with pytest.raises(UploadNotFound):
            complete_upload(upload_id=claim.id, owner=stranger)

    def test_a_storage_that_does_not_answer_leaves_no_row(self, s3, receive, settings):
        s3.bucket = "gone"
        with pytest.raises(StorageUnavailable):
            receive("file", b"x")
        assert Upload.objects.count() == 0
        assert PurgeKey.objects.count() == 1

    @pytest.mark.parametrize("seconds", [0, -1, 86401])
    def test_a_ttl_out_of_range_is_refused(self, owner, seconds):
        with pytest.raises(InvalidUpload, match="live for 1 to 86400"):
            claim_upload(
                check_claim(owner=owner, kind=Kind.FILE, filename="a", size_bytes=1, ttl=seconds)
            )


class TestQuotas:
    @pytest.mark.parametrize("kind", Kind.values)
    def test_the_limit_itself_fits_and_one_byte_more_does_not(self, owner, settings, kind):
        settings.MAX_IMAGE_BYTES = settings.MAX_FILE_BYTES = 10
        claim_upload(check_claim(owner=owner, kind=kind, filename="a", size_bytes=10))
        with pytest.raises(InvalidUpload, match="too large"):
            claim_upload(check_claim(owner=owner, kind=kind, filename="a", size_bytes=11))
        with pytest.raises(InvalidUpload, match="empty"):
            claim_upload(check_claim(owner=owner, kind=kind, filename="a", size_bytes=0))

    def test_a_visitor_has_so_many_uploads_at_a_time(self, owner, stranger, settings):
        settings.MAX_VISITOR_UPLOADS = 2
        claim = {"kind": Kind.FILE, "filename": "a", "size_bytes": 1}
        claim_upload(check_claim(owner=owner, **claim))
        claim_upload(check_claim(owner=owner, **claim))
        with pytest.raises(QuotaExceeded, match="at most 2 uploads") as refused:
            claim_upload(check_claim(owner=owner, **claim))
        assert refused.value.retry_after
        claim_upload(check_claim(owner=stranger, **claim))

    def test_the_total_is_given_back_by_the_purge(self, store, receive, owner, settings):
        settings.MAX_TOTAL_BYTES = 10
        receive("file", b"0123456789")
        with pytest.raises(QuotaExceeded, match="no room"):
            receive("file", b"x")
        discard.clear_uploads(owner=owner, kind=Kind.FILE)
        with pytest.raises(QuotaExceeded):
            receive("file", b"x")
        purge_all()
        assert used_bytes() == 0
        receive("file", b"x")

    def test_a_rejected_image_counts_for_nothing(self, store, receive, settings):
        settings.MAX_VISITOR_UPLOADS = 1
        upload = receive("image", picture()[:60])
        assert processing.make_image_safe(upload_id=upload.id) == State.REJECTED
        purge_all()
        assert (keys(store), used_bytes()) == (set(), 0)
        receive("file", b"x")

    def test_every_byte_is_given_back_whatever_became_of_the_upload(
        self, store, receive, ready, owner
    ):
        ready()
        receive("image")
        receive("image", picture()[:60])
        receive("file", b"x")
        processing.make_image_safe(upload_id=Upload.objects.order_by("size_bytes")[1].id)
        before = used_bytes()
        reconcile.recount_bytes()
        assert used_bytes() == before
        for kind in Kind:
            discard.clear_uploads(owner=owner, kind=kind)
        purge_all()
        assert (keys(store), used_bytes()) == (set(), 0)


class TestSchema:
    def test_a_state_that_contradicts_its_times_cannot_be_written(self, owner):
        link = Link.objects.create(owner=owner, kind=Kind.IMAGE, ttl=timedelta(1))
        others = {"link": link, "owner": owner, "size_bytes": 1, "filename": "a"}
        wrong = [
            {"state": State.PENDING, "expires_at": Now()},
            {"state": State.READY, "deadline": Now()},
            {"state": State.READY, "expires_at": Now(), "deadline": Now()},
            {"state": State.CHECKING, "expires_at": Now(), "kind": Kind.FILE},
            {"state": "lost", "expires_at": Now()},
        ]
        for values in wrong:
            with pytest.raises(IntegrityError), transaction.atomic():
                Upload.objects.create(**{"kind": Kind.IMAGE, **others, **values})


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_ten_images_at_once_leave_three_and_exactly_their_objects(self, store, receive):
        uploads = at_once(lambda: receive("image"), 10)
        at_once(lambda upload: processing.make_image_safe(upload_id=upload.id), uploads)
        left = set(Upload.objects.values_list("id", flat=True))
        purge_all()
        assert len(left) == 3
        assert keys(store) == {f"{p}/{i}" for i in left for p in ("images", "thumbs")}

    def test_ten_claims_at_once_do_not_pass_either_quota(self, owner, settings):
        settings.MAX_VISITOR_UPLOADS = 4
        settings.MAX_TOTAL_BYTES = 3

        def claim():
            try:
                return claim_upload(
                    check_claim(owner=owner, kind=Kind.FILE, filename="a", size_bytes=1)
                )
            except QuotaExceeded:
                return None

        at_once(claim, 10)
        assert (Upload.objects.count(), used_bytes()) == (3, 3)

    def test_two_expiries_at_once_share_the_work(self, store, receive):
        for _ in range(20):
            receive("file", b"x")
        Upload.objects.update(expires_at=Now())
        assert sum(gone or 0 for gone in at_once(partial(housekeeping.sweep, "expire"), 4)) == 20
        assert sum(gone or 0 for gone in at_once(partial(housekeeping.sweep, "purge"), 4)) == 20
        assert (keys(store), used_bytes()) == (set(), 0)
