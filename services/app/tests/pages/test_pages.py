"""My Images, My Files and the share links: each answer that they can give."""

import re
import shutil
from html import unescape

import pytest
from django.db.models.functions import Now
from django.test import Client
from django.utils.html import escape

from pages import wording
from support.multipart import message, post
from support.samples import fetch, keys, picture
from uploads import discard, limits, processing
from uploads.models import Kind, State, Upload

pytestmark = pytest.mark.django_db


def add_image(client, filename="a.png", **fields):
    return post(client, "/", *fields.items(), ("image", filename, picture()))


def add_file(client, filename="a.pdf", content=b"%PDF", **fields):
    return post(client, "/files/", *fields.items(), ("file", filename, content))


def without_templates(response):
    """The page without what only scripts use."""
    return re.sub(r"<template.*?</template>", "", response.content.decode(), flags=re.DOTALL)


def make_all_safe():
    for upload in Upload.objects.filter(state=State.CHECKING):
        processing.make_image_safe(upload_id=upload.id)


class TestRefusals:
    def test_a_full_quota_is_said_beside_the_form_which_keeps_its_text(
        self, disk, client, settings
    ):
        settings.MAX_VISITOR_UPLOADS = 1
        add_file(client)
        response = add_file(client, description="Contract")
        assert response.status_code == 429
        assert int(response["Retry-After"]) > 0
        assert "You can have at most 1 uploads" in message(response)
        assert 'value="Contract"' in response.content.decode()
        assert Upload.objects.count() == 1

    def test_too_many_from_one_address_are_told_when_to_come_back(self, disk, client, settings):
        settings.UPLOAD_RATE = 1
        parts = [("image", f"{n}.png", picture()) for n in range(2)]
        response = post(client, "/", *parts, REMOTE_ADDR="198.51.100.7")
        assert response.status_code == 429
        assert 0 < int(response["Retry-After"]) <= 60
        assert "a minute is accepted" in message(response)
        assert keys(disk) == set()

    def test_storage_that_does_not_answer_is_said_and_leaves_nothing(self, disk, client):
        shutil.rmtree(disk.root)
        response = add_image(client)
        assert response.status_code == 503
        assert response["Retry-After"] == "30"
        assert "Storage is not responding" in message(response)
        assert not Upload.objects.exists()

    def test_of_several_images_it_is_said_which_arrived_before_one_failed(
        self, disk, client, settings
    ):
        settings.MAX_VISITOR_UPLOADS = 1
        response = post(
            client, "/", ("image", "first.png", picture()), ("image", "second.png", picture())
        )
        assert response.status_code == 429
        assert "second.png : You can have at most 1" in message(response)
        assert "Already uploaded: first.png" in message(response)
        assert Upload.objects.get().filename == "first.png"

    @pytest.mark.parametrize("path", ["/images/clear/", "/files/clear/"])
    def test_an_address_for_a_button_says_so_when_it_is_opened(self, client, path):
        response = client.get(path)
        assert response.status_code == 405
        assert "POST" in response["Allow"]
        assert "only accepts the form on the page" in message(response)

    def test_what_is_gone_cannot_be_deleted(self, client, owner):
        response = client.post(f"/uploads/{owner}/delete/")
        assert response.status_code == 404
        assert "There is no such upload" in message(response)

    @pytest.mark.parametrize("path", ["/nothing", "/i/", "/i/a%00b", "/uploads/1/delete/"])
    def test_an_unknown_address_says_so(self, client, path):
        response = client.get(path)
        assert response.status_code == 404
        assert "There is no page at this address" in message(response)

    def test_an_error_of_ours_is_a_page_as_well(self, monkeypatch):
        monkeypatch.setattr(discard, "clear_uploads", lambda **_: 1 // 0)
        response = Client(raise_request_exception=False).post("/files/clear/")
        assert response.status_code == 500
        assert "Something went wrong on our side" in message(response)


class TestLinks:
    @pytest.mark.parametrize("path", ["/i/cut-short", "/f/AAAAAAAAAAAAAAAAAAAAAA"])
    def test_an_unknown_link_says_so(self, client, path):
        response = client.get(path)
        assert response.status_code == 404
        assert "expired, or it never existed" in message(response)

    def test_an_expired_link_says_so(self, disk, client):
        add_file(client)
        Upload.objects.update(expires_at=Now())
        assert client.get(f"/f/{Upload.objects.get().link.token}").status_code == 404

    def test_an_image_in_the_works_says_when_to_look_again(self, disk, client):
        add_image(client)
        response = client.get(f"/i/{Upload.objects.get().link.token}")
        assert response.status_code == 503
        assert response["Retry-After"] == "1"
        assert "still being checked" in message(response)

    def test_an_image_is_not_posted_to(self, client):
        assert client.post("/i/AAAAAAAAAAAAAAAAAAAAAA").status_code == 405

    def test_a_link_leads_to_storage_and_makes_nobody_a_visitor(self, s3, client, settings):
        add_file(client)
        response = Client().get(f"/f/{Upload.objects.get().link.token}")
        assert response.status_code == 302
        assert response["Location"].startswith(settings.AWS_S3_PUBLIC_ENDPOINT_URL)
        assert not response.cookies

    def test_a_head_is_sent_on_to_where_a_head_is_answered(self, s3, client):
        add_file(client)
        path = f"/f/{Upload.objects.get().link.token}"
        assert client.head(path)["Location"] != client.get(path)["Location"]


class TestQrCodes:
    @pytest.mark.parametrize("path", ["/i/AAAAAAAAAAAAAAAAAAAAAA.svg", "/f/cut.svg"])
    def test_an_unknown_link_has_none(self, client, path):
        response = client.get(path)
        assert response.status_code == 404
        assert "no-store" in response["Cache-Control"]

    def test_an_expired_link_has_none(self, disk, client):
        add_file(client)
        Upload.objects.update(expires_at=Now())
        assert client.get(f"/f/{Upload.objects.get().link.token}.svg").status_code == 404

    def test_it_is_a_picture_that_its_browser_keeps_while_the_link_works(self, disk, client):
        add_file(client, ttl="600")
        response = client.get(f"/f/{Upload.objects.get().link.token}.svg")
        assert response["Content-Type"] == "image/svg+xml"
        assert response.content.startswith(b"<?xml")
        assert b"<script" not in response.content
        private, age = sorted(response["Cache-Control"].split(", "), reverse=True)
        assert private == "private"
        assert 590 <= int(age.removeprefix("max-age=")) <= 600

    def test_a_link_without_its_token_s_kind_has_none(self, disk, client):
        add_file(client)
        assert client.get(f"/i/{Upload.objects.get().link.token}.svg").status_code == 404


class TestImages:
    def test_an_image_is_being_checked_first(self, store, client):
        response = add_image(client)
        assert (response.status_code, response["Location"]) == (302, "/")
        page = client.get("/")
        assert "1 image was uploaded" in message(page)
        html = page.content.decode()
        assert "Being checked" in html
        assert ">Refresh</a>" in html
        assert "data-picture" not in html.partition('id="uploads"')[2].partition("</ul>")[0]

    def test_a_safe_image_is_shown_small_with_its_link_and_its_time(self, store, client):
        add_image(client, name="The beach")
        make_all_safe()
        upload = Upload.objects.get()
        html = client.get("/").content.decode()
        (picture_url,) = re.findall(r'<img[^>]+src="([^"]+(?:thumbs|storage)/[^"]+)"', html)
        thumbnail = fetch(unescape(picture_url)).body
        assert (thumbnail[:4], thumbnail[8:12]) == (b"RIFF", b"WEBP")
        assert 'alt="The beach"' in html
        assert f"http://testserver/i/{upload.link.token}" in html
        assert re.search(r"14 minutes 5\d seconds left", html)

    def test_several_images_come_at_once(self, disk, client):
        post(client, "/", *[("image", f"{n}.png", picture()) for n in range(3)])
        assert "3 images were uploaded" in message(client.get("/"))
        assert Upload.objects.count() == 3

    def test_a_fourth_image_pushes_out_the_first(self, disk, client):
        for name in "abcd":
            add_image(client, f"{name}.png")
            make_all_safe()
        page = client.get("/")
        assert "Only the newest 3 are kept: a.png will make room." in message(page)
        cards = page.content.decode().partition('id="uploads"')[2]
        assert [name for name in "abcd" if f">{name}.png<" in cards] == ["b", "c", "d"]

    def test_what_could_not_be_decoded_is_said_with_the_reason(self, disk, client):
        whole = picture((640, 480), "JPEG")
        assert post(client, "/", ("image", "half.jpg", whole[: len(whole) // 2])).status_code == 302
        make_all_safe()
        upload = Upload.objects.get()
        html = client.get("/").content.decode()
        assert upload.reason
        assert "half.jpg" in html
        assert upload.reason in html

    def test_the_page_says_what_is_kept_and_for_how_long(self, client, settings):
        settings.IMAGES_KEPT = 5
        settings.UPLOAD_TTL = 90
        settings.MAX_IMAGE_BYTES = 1024 * 1024
        settings.MAX_IMAGE_PIXELS = 2_500_000
        text = client.get("/").content.decode().replace("\xa0", " ")
        assert "Your latest 5 images" in text
        assert "after 1 minute 30 seconds" in text
        assert "JPEG, PNG, GIF, WebP, AVIF, HEIC. Up to 1 MB and 2.5 megapixels each" in text

    def test_one_image_kept_is_singular(self, client, settings):
        settings.IMAGES_KEPT = 1
        assert (
            "Your latest image, as a thumbnail. It deletes itself"
            in client.get("/").content.decode()
        )


class TestFiles:
    def test_the_last_file_is_set_apart_with_its_link(self, store, client):
        add_file(client, "old.pdf")
        response = add_file(client, "ção 日本.pdf", description="Second draft")
        assert (response.status_code, response["Location"]) == (302, "/files/")
        page = client.get("/files/")
        assert "ção 日本.pdf was uploaded" in message(page)
        listed = page.content.decode().partition('id="uploads"')[2].partition("data-when")[0]
        latest, older = listed.split('<li class="card')[1:]
        assert "Latest" in latest
        assert "Second draft" in latest
        token = Upload.objects.get(filename="ção 日本.pdf").link.token
        assert f">http://testserver/f/{token}</code>" in latest
        assert "old.pdf" in older

    def test_the_page_says_what_it_takes(self, client, settings):
        settings.MAX_FILE_BYTES = 3 * 1024 * 1024
        assert "up to 3\xa0MB" in client.get("/files/").content.decode()

    @pytest.mark.parametrize(("asked", "seconds"), [("", 900), ("1", 1), ("86400", 86400)])
    def test_a_file_lives_as_long_as_was_asked(self, disk, client, asked, seconds):
        add_file(client, ttl=asked)
        assert Upload.objects.get().link.ttl.total_seconds() == seconds

    def test_the_times_offered_end_at_the_longest_allowed(self, client, settings):
        settings.UPLOAD_TTL = 120
        settings.UPLOAD_TTL_MAX = 3600
        html = client.get("/files/").content.decode()
        choices = html.partition('name="ttl"')[2].partition("</select>")[0]
        values = [part.partition('"')[0] for part in choices.split('<option value="')[1:]]
        assert values == ["120", "300", "900", "3600"]
        assert '<option value="120" selected>2 minutes</option>' in html


class TestDeleting:
    def test_one_goes_and_the_page_says_which(self, disk, client):
        add_file(client, "a.pdf")
        add_file(client, "b.pdf")
        upload = Upload.objects.get(filename="a.pdf")
        response = client.post(f"/uploads/{upload.id}/delete/")
        assert response["Location"] == "/files/"
        assert "a.pdf was deleted" in message(client.get("/files/"))
        assert Upload.objects.get().filename == "b.pdf"

    def test_all_of_one_kind_go_and_the_other_stays(self, disk, client):
        add_file(client)
        add_image(client)
        response = client.post("/images/clear/")
        assert response["Location"] == "/"
        assert "1 image was deleted" in message(client.get("/"))
        assert Upload.objects.get().kind == Kind.FILE

    def test_delete_all_asks_first(self, disk, client):
        add_file(client)
        html = client.get("/files/").content.decode()
        assert html.index("<details") < html.index('action="/files/clear/"')

    def test_nothing_to_delete_is_not_offered(self, client):
        html = client.get("/").content.decode()
        assert html.count('data-when="any" hidden') == 2


@pytest.mark.django_db(transaction=True)
def test_what_has_vanished_from_storage_is_not_shown(store, client):
    add_file(client, "vanished.pdf")
    store.delete([Upload.objects.get().served_key])
    assert "vanished.pdf" not in client.get("/files/").content.decode().partition("columns")[2]
    assert not Upload.objects.exists()


@pytest.mark.parametrize("path", ["/", "/files/"])
def test_from_its_last_second_on_an_upload_is_on_no_page(disk, client, path):
    add_file(client)
    add_image(client)
    Upload.objects.update(expires_at=Now())
    assert "data-upload" not in without_templates(client.get(path))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/"),
        ("get", "/files/"),
        ("post", "/"),
        ("post", "/files/clear/"),
        ("get", "/files/clear/"),
        ("get", "/i/unknown"),
        ("get", "/nothing"),
    ],
)
def test_no_answer_is_kept_by_a_cache(disk, client, method, path):
    assert "no-store" in getattr(client, method)(path)["Cache-Control"]


def test_a_redirect_is_not_kept_by_a_cache(disk, client):
    assert "no-store" in add_file(client)["Cache-Control"]
    assert "no-store" in client.get(f"/f/{Upload.objects.get().link.token}")["Cache-Control"]


@pytest.mark.parametrize(
    "name", ["<script>alert(1)", "'><img src=x>", "日本 🌙", "{{ 1 }}", "שלום"]
)
def test_a_name_is_text_wherever_it_is_shown(disk, client, name):
    add_image(client, name, name=name)
    pages = [client.get("/")]
    make_all_safe()
    pages.append(client.get("/"))
    add_file(client, name, description=name)
    pages.append(client.get("/files/"))
    pages.append(post(client, "/", ("name", name), ("image", name, b"no image")))
    for page in pages:
        html = page.content.decode()
        assert escape(name) in html
        assert "<script>" not in html
        assert "<img src=x" not in html


def test_a_page_loads_nothing_from_elsewhere_and_is_framed_nowhere(client):
    response = client.get("/")
    policy = dict(
        rule.strip().split(" ", 1) for rule in response["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert response["Referrer-Policy"] == "same-origin"
    html = response.content.decode()
    assert re.findall(r"<script.*", html) == [
        '<script type="module" src="/static/pages/page.js"></script>'
    ]
    assert "style=" not in html
    assert not re.search(r"\son\w+=", html)


@pytest.mark.parametrize("path", ["/", "/nothing", "/api/uploads", "/api/nothing", "/admin/"])
def test_an_answer_asks_for_no_device_and_is_no_part_of_another_site(disk, client, path):
    headers = client.get(path).headers
    assert "camera=(), " in headers["Permissions-Policy"]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "same-origin"


def test_an_image_may_be_shown_in_a_page_of_another_site(disk, client, ready):
    link = client.get(f"/i/{ready().link.token}")
    picture = client.get(link.headers["Location"])
    picture.close()
    assert picture.status_code == 200
    for answer in (link, picture):
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


def test_pictures_may_come_from_the_bucket(client, settings):
    policy = client.get("/")["Content-Security-Policy"]
    assert f"img-src 'self' {settings.AWS_S3_PUBLIC_ENDPOINT_URL}" in policy


class TestWording:
    @pytest.mark.parametrize(
        ("seconds", "words"),
        [
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "1 minute"),
            (900, "15 minutes"),
            (5400, "1 hour 30 minutes"),
            (86400, "1 day"),
            (90061, "1 day 1 hour"),
        ],
    )
    def test_a_duration_says_two_units_at_most(self, seconds, words):
        assert wording.duration(seconds) == words

    @pytest.mark.parametrize(
        ("seconds", "words"),
        [
            (-0.5, "0 seconds"),
            (0.9, "0 seconds"),
            (59.9, "59 seconds"),
            (60.0, "1 minute"),
            (899.9, "14 minutes 59 seconds"),
            (2 * 86400 - 0.1, "1 day 23 hours"),
        ],
    )
    def test_no_more_is_said_to_be_left_than_there_is(self, seconds, words):
        assert wording.time_left(seconds) == words

    @pytest.mark.parametrize("kind", ["image", "file"])
    def test_a_limit_is_said_alike_wherever_it_is(self, kind):
        assert limits.size(limits.max_bytes(kind)) in limits.too_large(kind)

    @pytest.mark.parametrize(
        ("count", "words"), [(1, "1\xa0byte"), (20 * 1024**2, "20\xa0MB"), (1500, "1.5\xa0KB")]
    )
    def test_a_size_has_no_empty_decimals(self, count, words):
        assert limits.size(count) == words

    def test_a_wild_name_is_shortened_and_tamed(self):
        shown = wording.shown_name("a\n\u202e" + "x" * 300)
        assert len(shown) < 100
        assert "\n" not in shown
        assert "\u202e" not in shown
