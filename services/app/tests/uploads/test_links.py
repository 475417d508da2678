"""Links and pictures: what their addresses serve, as what, and for how long."""

from urllib.parse import parse_qs, urlsplit

import pillow_heif
import pytest
from django.db.models.functions import Now
from django.test import Client

from support.samples import fetch, picture
from uploads.errors import StillChecking, UploadNotFound
from uploads.links import follow
from uploads.models import Kind, Upload

pillow_heif.register_heif_opener()
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", ["report.pdf", "ção 日本.pdf", 'a"b;c.txt'])
def test_a_file_comes_back_byte_for_byte_under_its_own_name(store, receive, name):
    upload = receive("file", b"\x00\xff report", filename=name)
    answer = fetch(follow.follow_link(token=upload.link.token, kind=Kind.FILE))
    assert answer.status_code == 200
    assert answer.body == b"\x00\xff report"
    from uploads.storage.headers import attachment

    assert answer.headers["Content-Disposition"] == attachment(name)
    assert answer.headers["Content-Type"] == "application/octet-stream"


def test_an_image_is_shown_inline_as_what_it_is(store, ready):
    upload = ready()
    answer = fetch(follow.follow_link(token=upload.link.token, kind=Kind.IMAGE))
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Disposition"] == "inline"
    assert answer.headers["Cache-Control"].startswith("private, max-age=")


def test_a_heic_is_shown_as_the_jpeg_that_it_became(store, ready):
    upload = ready(picture(image_format="HEIF"), filename="IMG_1.HEIC")
    assert upload.content_type == "image/jpeg"
    answer = fetch(follow.follow_link(token=upload.link.token, kind=Kind.IMAGE))
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Content-Disposition"] == "inline"  # the name is not said: it ends wrong
    assert answer.body.startswith(b"\xff\xd8\xff")


def test_a_head_gets_an_address_that_answers_head(store, receive):
    upload = receive("file", b"12345")
    url = follow.follow_link(token=upload.link.token, kind=Kind.FILE, method="HEAD")
    assert fetch(url, "HEAD").headers["Content-Length"] == "5"


def test_the_address_is_the_one_a_browser_would_use(s3, receive, settings):
    url = follow.follow_link(token=receive("file", b"x").link.token, kind=Kind.FILE)
    assert url.startswith(settings.AWS_S3_PUBLIC_ENDPOINT_URL)


def test_an_image_in_the_works_says_so(store, receive):
    with pytest.raises(StillChecking):
        follow.follow_link(token=receive("image").link.token, kind=Kind.IMAGE)


def test_a_link_works_for_its_own_kind_only(store, receive):
    with pytest.raises(UploadNotFound):
        follow.follow_link(token=receive("file", b"x").link.token, kind=Kind.IMAGE)


def test_an_expired_link_is_unknown_though_its_object_is_still_there(store, receive):
    upload = receive("file", b"x")
    Upload.objects.update(expires_at=Now())
    with pytest.raises(UploadNotFound):
        follow.follow_link(token=upload.link.token, kind=Kind.FILE)


def test_a_rejected_image_has_no_link(store, receive):
    from support.samples import picture
    from uploads import processing

    upload = receive("image", picture()[:60])
    processing.make_image_safe(upload_id=upload.id)
    with pytest.raises(UploadNotFound):
        follow.follow_link(token=upload.link.token, kind=Kind.IMAGE)


@pytest.mark.parametrize(("ttl", "most"), [(900, 60), (30, 30)])
def test_a_signature_never_outlives_its_upload(s3, receive, ttl, most):
    url = follow.follow_link(token=receive("file", b"x", ttl=ttl).link.token, kind=Kind.FILE)
    query = parse_qs(urlsplit(url).query)
    assert most - 2 <= int(query["X-Amz-Expires"][0]) <= most
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]


def test_in_its_last_second_a_link_is_gone(store, receive):
    upload = receive("file", b"x", ttl=1)
    with pytest.raises(UploadNotFound):
        follow.follow_link(token=upload.link.token, kind=Kind.FILE)


def test_a_picture_keeps_its_address_for_half_its_life(store, ready, monkeypatch):
    ready()
    upload = Upload.objects.with_seconds_left().get()
    pictures = follow.ThumbnailUrlCache()
    now = follow.time.monotonic()
    first = pictures.thumbnail_url(upload)
    monkeypatch.setattr(follow.time, "monotonic", lambda: now + 100)
    assert pictures.thumbnail_url(upload) == first
    monkeypatch.setattr(follow.time, "monotonic", lambda: now + 200)
    sign_again = pictures.signed[upload.thumbnail_key, upload.expires_at][1] < now + 200
    assert sign_again
    assert fetch(first).headers["Content-Type"] == follow.THUMBNAIL_TYPE


class TestLocalAddresses:
    def test_a_forged_one_is_unknown(self, disk, receive):
        url = follow.follow_link(token=receive("file", b"x").link.token, kind=Kind.FILE)
        assert Client().get(url[:-3] + "xyz").status_code == 404

    def test_one_that_has_run_out_is_unknown(self, disk, receive, monkeypatch):
        from uploads.storage import disk_signatures as local

        url = follow.follow_link(token=receive("file", b"x").link.token, kind=Kind.FILE)
        now = local.time.time()
        monkeypatch.setattr(local.time, "time", lambda: now + 61)
        assert Client().get(url).status_code == 404

    def test_what_it_serves_cannot_run_in_the_apps_origin(self, disk, receive):
        upload = receive("file", b"<script>alert(1)</script>", filename="a.html")
        answer = Client().get(follow.follow_link(token=upload.link.token, kind=Kind.FILE))
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Disposition"].startswith("attachment")
        answer.close()
