"""Rows go with their objects, and only at their owner's word."""

import pytest
from django.db import transaction

from support.samples import keys, purge_all, used_bytes
from uploads import discard
from uploads.errors import UploadNotFound
from uploads.models import Kind, PurgeKey, Upload

pytestmark = pytest.mark.django_db


def test_a_stranger_cannot_delete_or_clear(store, receive, stranger):
    upload = receive("file", b"x")
    with pytest.raises(UploadNotFound):
        discard.discard_upload(upload_id=upload.id, owner=stranger)
    assert discard.clear_uploads(owner=stranger, kind=Kind.FILE) == 0
    assert Upload.objects.count() == 1


def test_clear_takes_one_kind(store, receive, owner):
    receive("file", b"x")
    image = receive("image")
    assert discard.clear_uploads(owner=owner, kind=Kind.FILE) == 1
    assert Upload.objects.get().id == image.id


def test_a_row_that_the_admin_deletes_takes_its_objects_along(store, ready, receive):
    ready()
    receive("file", b"x")
    Upload.objects.all().delete()
    purge_all()
    assert (keys(store), used_bytes()) == (set(), 0)


def test_a_rolled_back_delete_queues_nothing(store, receive):
    upload = receive("file", b"x")
    with pytest.raises(RuntimeError), transaction.atomic():
        upload.delete()
        raise RuntimeError
    assert (Upload.objects.count(), PurgeKey.objects.count()) == (1, 0)
