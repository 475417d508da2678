"""What is said of a bucket without the right marker is what then works."""

import io
import re
import uuid
from io import StringIO

import pytest
from django.core.management import call_command

from uploads.bucket import marker
from uploads.errors import BucketMismatch
from uploads.keys import PREFIXES
from uploads.models import Installation

pytestmark = pytest.mark.django_db


def why_not_ours() -> str:
    """What a sweep's row would say; blank where the bucket is ours."""
    try:
        marker.check_ours()
    except BucketMismatch as mismatch:
        return str(mismatch)
    return ""


def follow(sentence: str) -> None:
    """Do what the sentence names."""
    command = re.search(r"`manage.py ([^`]+)`", sentence)[1].split()
    call_command(*command, stdout=StringIO(), stderr=StringIO())


@pytest.mark.parametrize("prefix", [None, *PREFIXES])
def test_a_bucket_whose_marker_is_gone_is_paired_by_what_is_said(store, prefix):
    store.delete(["marker"])
    if prefix:
        store.put(f"{prefix}/{uuid.uuid4()}", io.BytesIO(b"?"), content_type="text/plain")

    said = why_not_ours()
    assert ("holds uploads" in said) == bool(prefix)
    follow(said)

    assert why_not_ours() == ""


@pytest.mark.parametrize("is_full", [False, True])
def test_a_bucket_of_another_installation_is_paired_by_what_is_said(store, is_full):
    store.put("marker", io.BytesIO(str(uuid.uuid4()).encode()), content_type="text/plain")
    if is_full:
        store.put(f"files/{uuid.uuid4()}", io.BytesIO(b"?"), content_type="text/plain")

    follow(why_not_ours())

    assert why_not_ours() == ""
    assert marker.read_marker() == str(Installation.objects.get().marker)
