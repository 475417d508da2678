"""The JSON door to links: several files of a program behind one."""

import uuid

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from support.program import Program, is_problem
from support.samples import nothing_stays, purge_when_tickets_are_over
from uploads.models import Link, Upload
from uploads.storage import storage

pytestmark = pytest.mark.django_db

FIELDS = {
    "id", "link", "name", "uploads", "size", "ttl", "protected", "has_password", "max_downloads",
    "downloads", "expires_at", "seconds_left", "zip",
}  # fmt: skip


@pytest.fixture
def program():
    return Program()


def make(program, **fields) -> dict:
    """A link of the program's."""
    answer = program.call("POST", "links", fields)
    assert answer.status_code == 201, answer.content
    program.headers = {"Authorization": f"Bearer {answer.json()['owner_token']}"}
    return answer.json()


@pytest.fixture
def three(store, program):
    """A program's link to three files."""
    link = make(program, name="Trip", ttl=600)
    for name in "abc":
        program.upload(b"1234", filename=f"{name}.txt", link_id=link["id"], folder="photos/2026")
    return link


def queries_of(call) -> int:
    """How many the call makes."""
    with CaptureQueriesContext(connection) as captured:
        assert call().status_code == 200
    return len(captured)


class TestMaking:
    def test_a_new_link_is_empty_and_has_not_begun(self, store, program):
        link = make(program, name="Trip", ttl=600)
        assert set(link) == FIELDS | {"owner_token"}
        assert (link["name"], link["ttl"], link["uploads"], link["size"]) == ("Trip", 600, [], 0)
        assert (link["expires_at"], link["seconds_left"], link["zip"]) == (None, None, None)
        assert (link["protected"], link["max_downloads"], link["downloads"]) == (False, None, 0)
        assert program.call("GET", "links").json() == []
        assert program.call("GET", f"links/{link['id']}").status_code == 200
        assert Client().get(link["link"]).status_code == 404

    def test_nothing_need_be_said(self, store, program, settings):
        assert make(program)["ttl"] == settings.UPLOAD_TTL

    @pytest.mark.parametrize(
        "fields",
        [{"ttl": 0}, {"ttl": 10**6}, {"ttl": "60"}, {"name": "x" * 101}, {"name": 1}, {"x": 1}],
    )
    def test_what_no_upload_may_have_no_link_has(self, store, program, fields):
        is_problem(program.call("POST", "links", fields), 422)
        assert not Link.objects.exists()

    def test_links_are_counted_like_uploads(self, store, program, settings, redis, one_minute):
        settings.UPLOAD_RATE = 2
        answers = [program.call("POST", "links", {}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201, 201, 429]
        assert int(answers[2]["Retry-After"]) == 40

    def test_nobody_gathers_links_without_files(self, store, program, settings):
        settings.MAX_VISITOR_UPLOADS = 2
        first = make(program)
        make(program)
        answer = program.call("POST", "links", {})
        is_problem(answer, 429)
        assert answer["Retry-After"]
        program.upload(b"1", link_id=first["id"])
        make(program)

    def test_a_shared_board_is_not_closed_by_one_who_makes_links(self, store, settings):
        settings.SHARED_BOARD = True
        settings.MAX_VISITOR_UPLOADS = 1
        for _ in range(3):
            make(Program())

    def test_a_browser_needs_its_csrf_token(self, store):
        browser = Client(enforce_csrf_checks=True)
        browser.get("/")
        head = {"content_type": "application/json"}
        is_problem(browser.post("/api/links", "{}", **head), 403)
        token = browser.cookies["csrftoken"].value
        answer = browser.post("/api/links", "{}", **head, headers={"X-CSRFToken": token})
        assert answer.status_code == 201


class TestJoining:
    def test_files_that_join_are_one_link(self, store, program, three):
        shown = program.call("GET", f"links/{three['id']}").json()
        assert set(shown) == FIELDS
        assert [upload["filename"] for upload in shown["uploads"]] == ["a.txt", "b.txt", "c.txt"]
        assert {upload["folder"] for upload in shown["uploads"]} == {"photos/2026"}
        assert {upload["link_id"] for upload in shown["uploads"]} == {three["id"]}
        assert {upload["expires_at"] for upload in shown["uploads"]} == {shown["expires_at"]}
        assert shown["size"] == 12
        assert shown["zip"] == f"{three['link']}.zip"
        assert Client().get(shown["zip"]).status_code == 503  # it is being made
        assert 590 < shown["seconds_left"] <= 600
        assert program.call("GET", "links").json()[0]["id"] == three["id"]

    def test_what_joins_says_nothing_of_name_and_time(self, store, program, three):
        answer = program.upload(b"1", link_id=three["id"], name="Other", ttl=5)
        assert answer.json()["name"] == "Trip"
        assert answer.json()["seconds_left"] > 500

    def test_to_join_an_uploads_link_is_enough(self, store, program):
        first = program.upload(b"1").json()
        second = program.upload(b"2", link_id=first["link_id"]).json()
        assert second["link"] == first["link"]

    def test_an_image_joins_nothing(self, store, program, three):
        is_problem(program.begin("image", link_id=three["id"]), 422)

    def test_more_than_a_hundred_do_not(self, store, program, settings):
        settings.MAX_VISITOR_UPLOADS = 1000
        link = make(program)
        answers = [program.begin(size=1, link_id=link["id"]).status_code for _ in range(101)]
        assert answers == [201] * 100 + [422]

    @pytest.mark.parametrize(
        "folder", ["/etc", "a/", "a//b", "..", "a/../b", ".", "a\\b", "a\nb", "x" * 256, "a/" * 499]
    )
    def test_what_is_no_path_of_names_is_no_folder(self, store, program, folder):
        is_problem(program.begin(folder=folder), 422)
        assert not Upload.objects.exists()

    @pytest.mark.parametrize("folder", ["a", "a/b/c", "ção 日本/x y", "/".join(["x" * 249] * 4)])
    def test_a_folder_is_a_path_of_names(self, store, program, folder):
        shown = program.upload(b"1", folder=folder).json()
        assert shown["folder"] == folder


class TestStranger:
    """Who knows a link, its ids and its uploads', and has no token of its owner's."""

    @pytest.mark.django_db(transaction=True)  # a 405 ends the test client's transaction
    def test_can_do_nothing_to_a_link_but_open_it(self, store, program, three):
        uploads = program.call("GET", f"links/{three['id']}").json()["uploads"]
        before = list(Upload.objects.order_by("id").values()), list(Link.objects.values())
        stranger = Program()
        make(stranger)
        Link.objects.exclude(id=three["id"]).delete()
        for method in ("GET", "PATCH", "DELETE", "POST", "PUT"):
            for path in (f"links/{three['id']}", *(f"uploads/{u['id']}" for u in uploads)):
                assert stranger.call(method, path, {"ttl": 1}).status_code in {404, 405}
        is_problem(stranger.begin(link_id=three["id"]), 404)
        for upload in uploads:
            is_problem(stranger.call("POST", f"uploads/{upload['id']}/complete"), 404)
        assert stranger.call("GET", "links").json() == []
        assert (list(Upload.objects.order_by("id").values()), list(Link.objects.values())) == before
        assert Client().get(three["link"]).status_code == 200

    def test_without_any_token_is_told_to_send_one(self, store, three):
        for method, path in (("GET", "links"), ("GET", f"links/{three['id']}")):
            is_problem(Program().call(method, path), 401)
        is_problem(Program().call("DELETE", f"links/{three['id']}"), 401)


class TestDeleting:
    def test_a_link_goes_with_all_its_files(self, store, program, three):
        assert program.call("DELETE", f"links/{three['id']}").status_code == 204
        is_problem(program.call("GET", f"links/{three['id']}"), 404)
        is_problem(program.call("DELETE", f"links/{three['id']}"), 404)
        assert Client().get(three["link"]).status_code == 404
        purge_when_tickets_are_over()
        assert nothing_stays(store)
        assert not Link.objects.exists()

    def test_a_link_that_has_not_begun_goes_with_what_was_announced(self, store, program):
        link, empty = make(program), make(program)
        program.begin(link_id=link["id"])
        for one in (link, empty):
            assert program.call("DELETE", f"links/{one['id']}").status_code == 204
        assert not Link.objects.exists()
        assert not Upload.objects.exists()

    def test_one_of_its_files_goes_by_itself(self, store, program, three):
        first, *others = program.call("GET", f"links/{three['id']}").json()["uploads"]
        assert program.call("DELETE", f"uploads/{first['id']}").status_code == 204
        left = program.call("GET", f"links/{three['id']}").json()
        assert [upload["id"] for upload in left["uploads"]] == [upload["id"] for upload in others]
        assert left["size"] == 8

    def test_an_expired_link_is_unknown(self, store, program, three):
        Link.objects.update(expires_at=Now())
        Upload.objects.update(expires_at=Now())
        assert program.call("GET", "links").json() == []
        is_problem(program.call("GET", f"links/{three['id']}"), 404)
        is_problem(program.call("DELETE", f"links/{three['id']}"), 404)


@pytest.mark.django_db(transaction=True)  # another thread removes what has vanished
def test_what_has_vanished_is_in_no_link(store, program, three):
    first, second, third = Upload.objects.order_by("created_at")
    storage().delete([second.served_key])
    (shown,) = program.call("GET", "links").json()
    assert [upload["id"] for upload in shown["uploads"]] == [str(first.id), str(third.id)]
    assert shown["size"] == 8
    storage().delete([first.served_key, third.served_key])
    Upload.objects.update(created_at=Now())
    from uploads.existence import page_check

    page_check().found_until.clear()
    assert program.call("GET", "links").json() == []


def test_a_list_costs_as_many_queries_as_one_link_of_one_file(store, program):
    program.upload(b"1")
    one = queries_of(lambda: program.call("GET", "links"))
    for _ in range(3):
        link = make(program)
        for _ in range(3):
            program.upload(b"1", link_id=link["id"])
    assert queries_of(lambda: program.call("GET", "links")) == one
    assert len(program.call("GET", "links").json()) == 4
    of_three = queries_of(lambda: program.call("GET", f"links/{link['id']}"))
    assert of_three <= one


def test_an_unknown_link_is_no_place_to_join(store, program):
    is_problem(program.begin(link_id=str(uuid.uuid4())), 404)
