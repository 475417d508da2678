"""The page's own check: what has vanished is not shown, and no answer is not an absence."""

import threading
import time

import pytest
from django.db import (
    DataError,
    Error,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connection,
)
from django.test import Client

from support.samples import at_once
from uploads import existence
from uploads.models import Upload

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def page():
    """A process that remembers nothing yet."""
    return existence.PageCheck()


def test_what_is_there_is_shown(store, page, receive, ready):
    uploads = [ready(), receive("image"), receive("file", b"x")]
    assert page.present(uploads) == uploads


def test_what_has_vanished_is_not_shown_and_its_row_goes(store, page, receive, ready):
    image, file = ready(), receive("file", b"x")
    store.delete([image.served_key])
    assert page.present([image, file]) == [file]
    assert Upload.objects.get().id == file.id


def test_all_three_vanished_take_all_three_rows(store, page, ready):
    images = [ready() for _ in range(3)]
    store.delete([image.served_key for image in images])
    assert page.present(images) == []
    assert Upload.objects.count() == 0


def test_many_pages_at_once_take_one_connection_for_what_has_vanished(
    store, page, receive, monkeypatch
):
    uploads = [receive("file", b"x") for _ in range(4)]
    store.delete([upload.served_key for upload in uploads])
    removing = []

    def remove(missing):
        removing.append(threading.get_ident())
        time.sleep(0.05)
        return True

    monkeypatch.setattr(existence, "remove_vanished", remove)
    assert at_once(lambda upload: page.present([upload]), uploads) == [[]] * 4
    assert len(removing) == 4
    assert len(set(removing)) == 1


def test_an_image_that_turned_ready_meanwhile_is_no_vanished_one(store, page, receive, ready):
    upload = receive("image")
    from uploads import processing
    from uploads.sweeps import housekeeping

    processing.make_image_safe(upload_id=upload.id)
    housekeeping.sweep("purge")
    page.present([upload])  # as it was read before: still checking
    assert Upload.objects.count() == 1


def test_a_found_object_is_not_looked_for_again_for_a_while(store, page, receive, monkeypatch):
    uploads = [receive("file", b"x")]
    assert page.present(uploads)
    store.delete([uploads[0].served_key])
    assert page.present(uploads)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + existence.REMEMBERED + 1)
    assert page.present(uploads) == []


def test_a_bucket_that_has_gone_hides_nothing_and_removes_no_row(s3, page, receive):
    uploads = [receive("file", b"x")]
    s3.client.delete_object(Bucket=s3.bucket, Key=uploads[0].served_key)
    s3.client.delete_object(Bucket=s3.bucket, Key="marker")
    s3.client.delete_bucket(Bucket=s3.bucket)
    assert page.present(uploads) == uploads
    assert Upload.objects.count() == 1


def test_a_foreign_bucket_hides_nothing_and_removes_no_row(store, page, receive):
    import io

    uploads = [receive("file", b"x")]
    store.delete([uploads[0].served_key])
    store.put("marker", io.BytesIO(b"another"), content_type="text/plain")
    assert page.present(uploads) == uploads
    assert Upload.objects.count() == 1


def test_a_silent_storage_holds_a_page_for_a_second_once(store, page, receive, monkeypatch):
    uploads = [receive("file", b"x") for _ in range(20)]

    over = threading.Event()

    def silent(key):
        over.wait(30)
        return True

    monkeypatch.setattr(store, "exists_quickly", silent)
    try:
        start = time.monotonic()
        assert page.present(uploads) == uploads
        assert time.monotonic() - start < 15
        start = time.monotonic()
        assert page.present(uploads) == uploads
        assert time.monotonic() - start < existence.PAGE_WAITS
    finally:
        over.set()


@pytest.fixture
def refusing_database():
    """One in which no row of an upload may be deleted."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN RAISE 'refused'; END $$"
            " LANGUAGE plpgsql;"
            "CREATE TRIGGER refuse BEFORE DELETE ON uploads_upload"
            " FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER refuse ON uploads_upload; DROP FUNCTION refuse()")


def test_a_database_that_refuses_to_tidy_up_costs_no_page(store, page, receive, refusing_database):
    upload, browser = receive("file", b"x"), Client()
    store.delete([upload.served_key])
    assert page.present([upload]) == [upload]
    browser.get("/files/")
    Upload.objects.update(owner=visitor_of(browser))
    assert browser.get("/files/").status_code == 200
    assert browser.get("/api/uploads").status_code == 200
    assert Upload.objects.count() == 1


@pytest.mark.parametrize(
    "error", [OperationalError, InterfaceError, InternalError, ProgrammingError, DataError, Error]
)
def test_any_error_of_the_database_while_tidying_up_costs_no_page(
    store, page, receive, monkeypatch, error
):
    def break_down(missing):
        raise error("the database went away")

    monkeypatch.setattr(existence, "discard_vanished", break_down)
    uploads = [receive("file", b"x")]
    store.delete([uploads[0].served_key])
    assert page.present(uploads) == uploads


def visitor_of(browser):
    """The id in the browser's cookie."""
    return browser.cookies["visitor"].value.partition(":")[0]
