"""The JSON door: what it answers, and to whom."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from django.db.models.functions import Now
from django.test import Client

from support.multipart import post
from support.program import HTML, Program, is_problem, send
from support.samples import at_once, keys, picture, purge_when_tickets_are_over
from uploads import processing
from uploads.models import Installation, Refusal, State, Upload
from uploads.sweeps import clocks, housekeeping, purge

pytestmark = pytest.mark.django_db

FIELDS = {
    "id", "kind", "state", "reason", "name", "filename", "folder", "size", "content_type", "link",
    "link_id", "thumbnail", "expires_at", "seconds_left", "protected", "max_downloads",
    "downloads",
}  # fmt: skip


@pytest.fixture
def program():
    return Program()


@pytest.fixture
def browser(store):
    """A visitor's browser, which has seen a page."""
    client = Client(enforce_csrf_checks=True)
    client.get("/")
    return client


class TestUpload:
    def test_a_file_goes_to_storage_and_its_link_serves_it(self, store, program):
        answer = program.upload(b"1234", filename="ção.txt", name="Notes", ttl=60)
        assert answer.status_code == 200
        shown = answer.json()
        assert set(shown) == FIELDS
        assert shown["kind"] == "file"
        assert shown["state"] == "ready"
        assert (shown["name"], shown["filename"], shown["size"]) == ("Notes", "ção.txt", 4)
        assert shown["content_type"] == "application/octet-stream"
        assert shown["link"].startswith("http://testserver/f/")
        assert shown["thumbnail"] is None
        assert Client().get(shown["link"]).status_code == 302

    def test_an_image_is_checked_and_then_has_a_thumbnail(self, store, program):
        shown = program.upload(picture(), "image", content_type="image/png").json()
        assert (shown["state"], shown["content_type"]) == ("checking", "image/png")
        processing.make_image_safe(upload_id=uuid.UUID(shown["id"]))
        (shown,) = program.call("GET", "uploads").json()
        assert shown["state"] == "ready"
        assert shown["thumbnail"].startswith("http")
        assert shown["link"].startswith("http://testserver/i/")

    def test_an_image_that_cannot_be_decoded_says_why(self, store, program):
        shown = program.upload(picture()[:60], "image").json()
        processing.make_image_safe(upload_id=uuid.UUID(shown["id"]))
        shown = program.call("GET", f"uploads/{shown['id']}").json()
        assert shown["state"] == "rejected"
        assert shown["reason"]
        assert shown["link"] is None

    def test_the_ticket_says_how_to_send(self, store, program):
        begun = program.begin().json()
        assert set(begun) == {"id", "link_id", "ttl", "owner_token", "ticket"}
        assert begun["ttl"] == 900
        assert set(begun["ticket"]) == {"method", "url", "fields", "expires_at"}
        assert begun["ticket"]["method"] == "POST"
        assert begun["ticket"]["url"].startswith("http")

    def test_a_pending_one_is_known_but_not_shown(self, store, program):
        begun = program.begin().json()
        shown = program.call("GET", f"uploads/{begun['id']}").json()
        assert (shown["state"], shown["link"], shown["expires_at"]) == ("pending", None, None)
        assert program.call("GET", "uploads").json() == []

    def test_a_deleted_one_is_gone(self, store, program):
        path = f"uploads/{program.upload(b'1234').json()['id']}"
        answer = program.call("DELETE", path)
        assert (answer.status_code, answer.content) == (204, b"")
        is_problem(program.call("DELETE", path), 404)
        is_problem(program.call("GET", path), 404)

    def test_an_expired_one_is_gone(self, store, program):
        path = f"uploads/{program.upload(b'1234').json()['id']}"
        Upload.objects.update(expires_at=Now())
        for method, way in [("GET", path), ("DELETE", path), ("POST", f"{path}/complete")]:
            is_problem(program.call(method, way), 404)
        assert program.call("GET", "uploads").json() == []


class TestComplete:
    def test_bytes_that_have_not_arrived_are_missing(self, store, program):
        begun = program.begin().json()
        is_problem(program.call("POST", f"uploads/{begun['id']}/complete"), 409)
        assert send(begun["ticket"], b"1234") == 204
        assert program.call("POST", f"uploads/{begun['id']}/complete").status_code == 200

    def test_twice_is_one_upload_with_one_end(self, store, program):
        first = program.upload(b"1234").json()
        again = program.call("POST", f"uploads/{first['id']}/complete")
        answer = again.json()
        assert 0 < answer.pop("seconds_left") < first.pop("seconds_left") < 900
        assert (again.status_code, answer) == (200, first)
        assert Upload.objects.count() == 1

    def test_ten_at_once_give_one_answer(self, store, program, transactional_db):
        Installation.objects.get_or_create(id=1)
        begun = program.begin().json()
        send(begun["ticket"], b"1234")
        with ThreadPoolExecutor(10) as pool:
            answers = list(
                pool.map(
                    lambda _: in_thread(program, "POST", f"uploads/{begun['id']}/complete"),
                    range(10),
                )
            )
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["expires_at"] for answer in answers}) == 1

    @pytest.mark.parametrize("claimed", ["image/png", "text/html", ""])
    def test_a_page_sent_as_an_image_is_refused_and_gone(self, store, program, claimed):
        answer = program.upload(HTML, "image", content_type=claimed)
        assert "not an image" in is_problem(answer, 422)
        housekeeping.sweep("purge")
        assert keys(store) == set()
        assert not Upload.objects.exists()
        purge_when_tickets_are_over()
        assert Installation.objects.get().used_bytes == 0

    def test_a_refusal_is_repeated_to_whoever_was_cut_off(self, store, program):
        begun = program.begin("image", len(HTML)).json()
        send(begun["ticket"], HTML)
        path = f"uploads/{begun['id']}"
        sentence = is_problem(program.call("POST", f"{path}/complete"), 422)
        assert is_problem(program.call("POST", f"{path}/complete"), 422) == sentence
        is_problem(program.call("GET", path), 404)
        is_problem(program.call("DELETE", path), 404)
        stranger = Program()
        stranger.begin()
        is_problem(stranger.call("POST", f"{path}/complete"), 404)

    def test_a_refusal_is_forgotten_when_the_upload_would_have_expired(self, store, program):
        path = f"uploads/{program.refused()}/complete"
        Refusal.objects.update(until=Now())
        is_problem(program.call("POST", path), 404)
        housekeeping.sweep("expire")
        assert not Refusal.objects.exists()

    def test_what_was_refused_stays_so_whatever_is_sent_after(self, store, program):
        begun = program.begin("image", len(picture())).json()
        send(begun["ticket"], HTML.ljust(len(picture())))
        path = f"uploads/{begun['id']}/complete"
        sentence = is_problem(program.call("POST", path), 422)
        send(begun["ticket"], picture())
        assert is_problem(program.call("POST", path), 422) == sentence

    def test_ten_at_once_are_refused_alike(self, store, program, transactional_db):
        Installation.objects.get_or_create(id=1)
        begun = program.begin("image", len(HTML)).json()
        send(begun["ticket"], HTML)
        path = f"uploads/{begun['id']}/complete"
        answers = at_once(lambda: program.call("POST", path), 10)
        assert len({is_problem(answer, 422) for answer in answers}) == 1
        assert not Upload.objects.exists()

    def test_one_that_saw_good_bytes_learns_that_it_was_refused(self, store, program, monkeypatch):
        begun = program.begin("image", len(HTML)).json()
        send(begun["ticket"], HTML)
        path = f"uploads/{begun['id']}/complete"

        def look(upload):
            monkeypatch.undo()
            is_problem(program.call("POST", path), 422)
            return store.head(upload.incoming_key), "image/png"

        monkeypatch.setattr("uploads.arrivals.complete.look_at_bytes", look)
        assert "not an image" in is_problem(program.call("POST", path), 422)

    def test_a_strangers_is_unknown(self, store, program):
        begun = program.begin().json()
        send(begun["ticket"], b"1234")
        stranger = Program()
        stranger.begin()
        for method, path in [("POST", "/complete"), ("GET", ""), ("DELETE", "")]:
            is_problem(stranger.call(method, f"uploads/{begun['id']}{path}"), 404)
        assert Upload.objects.filter(id=begun["id"], state=State.PENDING).exists()


def in_thread(program, *call):
    from django.db import connection

    try:
        return program.call(*call)
    finally:
        connection.close()


class TestTicket:
    def test_used_again_it_does_not_change_what_an_images_link_serves(self, store, program):
        begun = program.begin("image", len(picture())).json()
        send(begun["ticket"], picture())
        program.call("POST", f"uploads/{begun['id']}/complete")
        upload = Upload.objects.get()
        processing.make_image_safe(upload_id=upload.id)
        served = store.read(upload.served_key)
        send(begun["ticket"], bytes(len(picture())))
        assert store.read(upload.served_key) == served

    def test_used_after_the_delete_its_bytes_are_removed_and_never_served(self, store, program):
        begun = program.begin().json()
        send(begun["ticket"], b"1234")
        link = program.call("POST", f"uploads/{begun['id']}/complete").json()["link"]
        program.call("DELETE", f"uploads/{begun['id']}")
        housekeeping.sweep("purge")
        send(begun["ticket"], b"1234")
        assert Client().get(link).status_code == 404
        housekeeping.sweep("purge", now=clocks.database_clock() + purge.PURGE_AGAIN)
        assert keys(store) == set()

    def test_an_images_leads_to_where_nothing_is_served(self, store, program):
        begun = program.begin("image").json()
        assert begun["ticket"]["fields"]["key"] == f"incoming/{begun['id']}"

    def test_a_files_leads_there_too_as_bytes_without_a_meaning(self, store, program):
        begun = program.begin(content_type="text/html").json()
        assert begun["ticket"]["fields"]["key"] == f"incoming/{begun['id']}"
        assert begun["ticket"]["fields"]["Content-Type"] == "application/octet-stream"

    @pytest.mark.parametrize("content", [b"", b"1", b"123", b"12345", b"x" * 1024 * 1024])
    def test_on_the_local_disk_it_takes_exactly_what_was_announced(self, disk, program, content):
        begun = program.begin().json()
        assert send(begun["ticket"], content) == 400
        assert keys(disk) == set()
        assert not list((disk.root / "parts").glob("*"))
        is_problem(program.call("POST", f"uploads/{begun['id']}/complete"), 409)

    def test_on_the_local_disk_its_fields_decide_nothing(self, disk, program):
        begun = program.begin().json()
        changed = {"key": "images/a", "Content-Type": "text/html"}
        assert send(begun["ticket"], b"1234", **changed) == 204
        assert keys(disk) == {f"incoming/{begun['id']}"}

    def test_on_the_local_disk_one_that_has_run_out_stores_nothing(
        self, disk, program, monkeypatch
    ):
        from uploads.storage import disk_signatures as local

        ticket = program.begin().json()["ticket"]
        assert send({**ticket, "url": ticket["url"][:-3] + "xyz"}, b"1234") == 403
        now = local.time.time()
        monkeypatch.setattr(local.time, "time", lambda: now + 301)
        assert send(ticket, b"1234") == 403
        assert keys(disk) == set()

    def test_a_ticket_cannot_be_read_and_an_address_cannot_be_written(self, disk, program):
        ticket = program.begin().json()["ticket"]
        assert Client().get(ticket["url"]).status_code == 404
        link = program.upload(b"1234").json()["link"]
        address = Client().get(link)["Location"]
        assert post(Client(), address, ("file", "a", b"evil")).status_code == 403

    def test_a_disk_that_is_not_there_says_when_to_come_back(self, disk, program):
        import shutil

        begun = program.begin().json()
        shutil.rmtree(disk.root)
        assert send(begun["ticket"], b"1234") == 503

    def test_on_s3_its_policy_fixes_key_size_and_type(self, s3, program):
        import base64

        begun = program.begin("image", 77, content_type="image/png").json()
        fields = begun["ticket"]["fields"]
        conditions = json.loads(base64.b64decode(fields["policy"]))["conditions"]
        assert ["content-length-range", 77, 77] in conditions
        assert {"key": f"incoming/{begun['id']}"} in conditions
        assert {"Content-Type": "image/png"} in conditions
        assert fields["x-amz-algorithm"] == "AWS4-HMAC-SHA256"

    def test_it_leads_to_the_host_that_browsers_reach(self, s3, program, settings):
        url = program.begin().json()["ticket"]["url"]
        assert url.startswith(settings.AWS_S3_PUBLIC_ENDPOINT_URL)


class TestQuota:
    @pytest.fixture
    def megabytes(self, settings):
        settings.MAX_TOTAL_BYTES = 10 * 1024**3
        settings.MAX_FILE_BYTES = 100 * 1024**2
        settings.MAX_VISITOR_UPLOADS = 1000

    def test_a_hundred_large_tickets_from_one_address_leave_room_for_others(self, store, megabytes):
        hoarder = Program(REMOTE_ADDR="192.0.2.1")
        answers = [hoarder.begin(size=100 * 1024**2) for _ in range(100)]
        assert [answer.status_code for answer in answers] == [201] * 5 + [429] * 95
        assert int(answers[-1]["Retry-After"]) > 0
        other = Program(REMOTE_ADDR="192.0.2.2")
        assert other.begin(size=100 * 1024**2).status_code == 201

    def test_new_owners_do_not_help(self, store, megabytes):
        answers = [Program().begin(size=100 * 1024**2).status_code for _ in range(7)]
        assert answers == [201] * 5 + [429] * 2

    def test_what_was_sent_no_longer_counts(self, store, program, settings):
        settings.MAX_TOTAL_BYTES = 200 * 4
        for _ in range(20):
            assert program.upload(b"1234").status_code == 200

    def test_exactly_the_share_may_be_claimed(self, store, program, settings):
        settings.MAX_TOTAL_BYTES = 200
        assert program.begin(size=10).status_code == 201
        is_problem(program.begin(size=1), 429)

    def test_many_at_once_do_not_slip_through(self, store, settings, transactional_db):
        Installation.objects.get_or_create(id=1)
        settings.MAX_TOTAL_BYTES = 1000
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: begin_in_thread(), range(8)))
        assert Upload.objects.count() == 5

    def test_a_visitors_number_of_uploads_is_limited(self, store, program, settings):
        settings.MAX_VISITOR_UPLOADS = 1
        program.begin()
        is_problem(program.begin(), 429)


def begin_in_thread():
    from django.db import connection

    try:
        return Program().begin(size=10)
    finally:
        connection.close()


class TestRate:
    @pytest.fixture(autouse=True)
    def limited(self, settings, one_minute):
        settings.UPLOAD_RATE = 2

    def test_too_many_from_one_address_wait(self, store):
        address = f"2001:db8:{uuid.uuid4().hex[:4]}::"
        answers = [Program(REMOTE_ADDR=f"{address}{n}").begin() for n in range(1, 4)]
        assert [answer.status_code for answer in answers] == [201, 201, 429]
        is_problem(answers[-1], 429)
        assert 0 < int(answers[-1]["Retry-After"]) <= 60

    @pytest.mark.parametrize("proxies", [0, 1, 2])
    def test_a_forged_forwarded_address_does_not_help(self, store, settings, proxies):
        settings.TRUSTED_PROXIES = proxies
        visitor = f"198.51.{uuid.uuid4().int % 256}.{uuid.uuid4().int % 256}"
        seen_by_ours = ", ".join([visitor, "10.0.0.1"][:proxies])
        statuses = [
            Program(
                REMOTE_ADDR=visitor,
                HTTP_X_FORWARDED_FOR=", ".join(filter(None, [f"192.0.2.{n}", seen_by_ours])),
            )
            .begin()
            .status_code
            for n in range(3)
        ]
        assert statuses == [201, 201, 429]


class TestWho:
    def test_the_cookie_needs_the_csrf_token(self, browser):
        claim = {"kind": "file", "filename": "a", "size": 4, "content_type": ""}

        def begin(**headers):
            return browser.post("/api/uploads", claim, "application/json", headers=headers)

        assert "X-CSRFToken" in is_problem(begin(), 403)
        assert begin(**{"X-CSRFToken": browser.cookies["csrftoken"].value}).status_code == 201

    def test_the_pages_and_the_api_show_the_same(self, browser):
        token = {"X-CSRFToken": browser.cookies["csrftoken"].value}
        claim = {"kind": "file", "filename": "mine.txt", "size": 4, "content_type": ""}
        begun = browser.post("/api/uploads", claim, "application/json", headers=token).json()
        send(begun["ticket"], b"1234")
        complete = f"/api/uploads/{begun['id']}/complete"
        browser.post(complete, content_type="application/json", headers=token)
        assert "mine.txt" in browser.get("/files/").content.decode()
        assert [u["filename"] for u in browser.get("/api/uploads").json()] == ["mine.txt"]
        is_problem(browser.delete(f"/api/uploads/{begun['id']}"), 403)
        assert browser.delete(f"/api/uploads/{begun['id']}", headers=token).status_code == 204

    @pytest.mark.parametrize("header", ["Bearer forged", "Bearer", "Basic dTpw", "x"])
    def test_a_token_that_is_not_ours_is_refused_also_beside_a_cookie(self, browser, header):
        answer = browser.get("/api/uploads", headers={"Authorization": header})
        is_problem(answer, 401)
        assert answer["WWW-Authenticate"] == "Bearer"

    def test_without_either_nothing_is_mine(self, store, program):
        is_problem(program.call("GET", "uploads"), 401)
        is_problem(program.call("DELETE", f"uploads/{uuid.uuid4()}"), 401)

    def test_a_token_outlives_no_longer_than_its_uploads_can(self, store, program, monkeypatch):
        from django.core import signing

        program.begin()
        now = signing.time.time()
        monkeypatch.setattr(signing.time, "time", lambda: now + 3 * 24 * 60 * 60)
        is_problem(program.call("GET", "uploads"), 401)

    def test_one_token_serves_for_all_that_a_program_uploads(self, store, program):
        program.upload(b"1234")
        program.upload(b"1234")
        assert len(program.call("GET", "uploads").json()) == 2


class TestErrors:
    @pytest.mark.parametrize(
        ("changed", "sentence"),
        [
            ({"size": 0}, "The file is empty."),
            ({"size": 10**12}, "The file is too large"),
            ({"kind": "image", "size": 10**9}, "The image is too large"),
            ({"size": "4"}, "size: Input should be a valid integer"),
            ({"size": 4.5}, "size: Input should be a valid integer"),
            ({"filename": "a/b"}, "must not contain a path"),
            ({"filename": ""}, "has no name"),
            ({"filename": "a\x00"}, "invisible"),
            ({"filename": "\ud800"}, "invisible"),
            ({"name": "x" * 101}, "The name is 101 characters long"),
            ({"ttl": 0}, "An upload can live for 1 to 86400 seconds, not 0."),
            ({"ttl": 86401}, "not 86401"),
            ({"kind": "video"}, "kind"),
            ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
        ],
    )
    def test_what_is_not_allowed_says_so(self, store, program, changed, sentence):
        assert sentence in is_problem(program.begin(**changed), 422)
        assert not Upload.objects.exists()

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"null", b"[]"])
    def test_what_cannot_be_read_says_so(self, store, program, content):
        answer = program.client.generic("POST", "/api/uploads", content, "application/json")
        is_problem(answer, 400 if content in {b"{", b"\xff"} else 422)

    def test_a_form_instead_of_json_is_not_looked_at(self, store, browser):
        is_problem(post(browser, "/api/uploads", ("a", "b")), 415)
        for content_type in ("text/plain", "application/x-www-form-urlencoded"):
            is_problem(browser.post("/api/uploads", "{}", content_type=content_type), 415)

    @pytest.mark.parametrize("path", ["nothing", "uploads/", "uploads/x/y"])
    def test_an_unknown_address_says_so(self, store, program, path):
        is_problem(program.call("GET", path), 404)

    def test_a_method_that_is_not_taken_says_which_are(self, store, program):
        answer = program.call("PUT", "uploads")
        is_problem(answer, 405)
        assert sorted(answer["Allow"].split(", ")) == ["GET", "POST"]

    def test_an_id_that_is_none_says_so(self, store, program):
        program.begin()
        is_problem(program.call("GET", "uploads/x"), 422)

    def test_silent_storage_says_when_to_come_back(self, s3, program, monkeypatch):
        from uploads.errors import StorageUnavailable

        def silent(key):
            raise StorageUnavailable("Storage does not answer.")

        begun = program.begin().json()
        monkeypatch.setattr(s3, "head", silent)
        answer = program.call("POST", f"uploads/{begun['id']}/complete")
        is_problem(answer, 503)
        assert answer["Retry-After"] == "30"

    def test_what_breaks_is_a_problem_too(self, store, program, monkeypatch):
        program.client.raise_request_exception = False
        monkeypatch.setattr("uploads.arrivals.ticket.claim_with_ticket", lambda *_, **__: 1 / 0)
        assert "on our side" in is_problem(program.begin(), 500)

    def test_a_host_that_is_not_ours_is_a_problem(self, store, program, settings):
        settings.ALLOWED_HOSTS = ["testserver"]
        is_problem(program.call("GET", "uploads", HTTP_HOST="evil.example"), 400)


class TestDocument:
    def test_it_describes_every_operation(self, store, client):
        document = client.get("/api/openapi.json").json()
        assert {
            (method, path) for path, methods in document["paths"].items() for method in methods
        } == {
            ("get", "/api/uploads"),
            ("post", "/api/uploads"),
            ("get", "/api/uploads/{upload_id}"),
            ("delete", "/api/uploads/{upload_id}"),
            ("post", "/api/uploads/{upload_id}/complete"),
            ("get", "/api/links"),
            ("post", "/api/links"),
            ("get", "/api/links/{link_id}"),
            ("patch", "/api/links/{link_id}"),
            ("delete", "/api/links/{link_id}"),
        }

    def test_its_page_needs_nothing_from_elsewhere(self, store, client):
        html = client.get("/api/docs").content.decode()
        assert "POST /api/uploads/{upload_id}/complete" in html
        assert "<script" not in html
        assert "//" not in html.replace("http://testserver/", "").replace("https://www.rfc", "")


class TestAttackPage:
    """What would run in the app's origin if a browser were led to show it."""

    @pytest.mark.parametrize("name", ["attack.html", "attack.svg"])
    def test_it_is_only_ever_downloaded(self, store, program, name):
        link = program.upload(HTML, filename=name, content_type="text/html").json()["link"]
        address = Client().get(link)["Location"]
        if address.startswith("http"):
            headers = requests.get(address, timeout=30).headers
        else:
            answer = Client().get(address)
            answer.close()
            headers = answer.headers
            assert "sandbox" in headers["Content-Security-Policy"]
            assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Disposition"].startswith("attachment")
        assert headers["Content-Type"] == "application/octet-stream"


class TestRange:
    @pytest.fixture
    def address(self, store, program):
        return Client().get(program.upload(b"0123456789").json()["link"])["Location"]

    @pytest.mark.parametrize(
        ("asked", "content", "shown"),
        [
            ("bytes=0-0", b"0", "bytes 0-0/10"),
            ("bytes=2-4", b"234", "bytes 2-4/10"),
            ("bytes=7-", b"789", "bytes 7-9/10"),
            ("bytes=7-99", b"789", "bytes 7-9/10"),
            ("bytes=-3", b"789", "bytes 7-9/10"),
        ],
    )
    def test_a_range_is_answered(self, address, asked, content, shown):
        status, got, headers = fetch(address, asked)
        assert (status, got, headers["Content-Range"]) == (206, content, shown)
        assert headers["Content-Length"] == str(len(content))

    def test_a_range_beyond_the_end_is_refused(self, address):
        status, _, headers = fetch(address, "bytes=10-")
        assert status == 416
        assert headers.get("Content-Range", "bytes */10") == "bytes */10"

    @pytest.mark.parametrize("asked", ["", "bytes=5-2", "bytes=-", "lines=1-2", "bytes=1-2,4-5"])
    def test_what_is_no_single_range_gets_everything_from_the_disk(self, disk, program, asked):
        address = Client().get(program.upload(b"0123456789").json()["link"])["Location"]
        assert fetch(address, asked)[:2] == (200, b"0123456789")

    def test_an_empty_end_is_refused_by_the_disk(self, disk, program):
        address = Client().get(program.upload(b"0123456789").json()["link"])["Location"]
        assert fetch(address, "bytes=-0")[0] == 416


def fetch(address, asked):
    headers = {"Range": asked} if asked else {}
    if address.startswith("http"):
        answer = requests.get(address, headers=headers, timeout=30)
        return answer.status_code, answer.content, answer.headers
    answer = Client().get(address, headers=headers)
    return answer.status_code, answer.getvalue(), answer.headers
