"""The reads of uploads by time: before a moment, exactly at it, and after it."""

from datetime import timedelta

import pytest

from uploads.arrivals.ticket import claim_with_ticket
from uploads.limits import check_claim
from uploads.models import Kind, Upload

pytestmark = pytest.mark.django_db

STEP = timedelta(microseconds=1)  # the least that Postgres tells apart
UNTIL_THE_END = {"before": True, "at": False, "after": False}


def found(read: str, moment) -> dict[str, bool]:
    """Whether the read finds an upload just before the moment, at it, and just after it."""
    moments = {"before": moment - STEP, "at": moment, "after": moment + STEP}
    return {name: getattr(Upload.objects, read)(now=now).exists() for name, now in moments.items()}


@pytest.mark.parametrize("read", ["live", "known", "counted"])
def test_an_upload_is_there_until_its_last_moment_and_not_in_it(disk, receive, read):
    upload = receive("file", b"x")
    assert found(read, upload.expires_at) == UNTIL_THE_END


def test_an_upload_is_due_from_its_last_moment_on(disk, receive):
    upload = receive("file", b"x")
    assert found("due", upload.expires_at) == {"before": False, "at": True, "after": True}


@pytest.mark.parametrize("read", ["known", "counted"])
def test_a_pending_one_is_there_until_its_deadline_and_not_at_it(disk, owner, read):
    claim = check_claim(owner=owner, kind=Kind.FILE, filename="a", size_bytes=1)
    upload = claim_with_ticket(claim, content_type="").upload
    assert found(read, upload.deadline) == UNTIL_THE_END
    assert not any(found("live", upload.deadline).values())


def test_a_pending_one_is_due_from_its_deadline_on(disk, owner):
    claim = check_claim(owner=owner, kind=Kind.FILE, filename="a", size_bytes=1)
    upload = claim_with_ticket(claim, content_type="").upload
    assert found("due", upload.deadline) == {"before": False, "at": True, "after": True}


def test_an_image_waits_for_its_worker_until_the_lease_is_over(disk, receive):
    upload = receive("image")
    assert found("unattended", upload.lease_until) == {"before": False, "at": True, "after": True}
