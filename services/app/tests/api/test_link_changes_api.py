"""The JSON door to a link's time and name."""

import json
import uuid

import pytest
from django.test import Client

from support.program import Program, is_problem
from uploads.models import Link, Upload

pytestmark = pytest.mark.django_db


@pytest.fixture
def program():
    return Program()


@pytest.fixture
def link(store, program) -> str:
    """The path of a program's link to two files."""
    first = program.upload(b"1234", name="Trip", ttl=600).json()["link_id"]
    program.upload(b"5678", filename="b", link_id=first)
    return f"links/{first}"


def rows() -> list:
    links = Link.objects.values_list("ttl", "name", "expires_at")
    return [*links, *Upload.objects.order_by("id").values_list("id", "expires_at")]


def test_its_time_counts_from_now_on_for_all_of_it(program, link):
    answer = program.call("PATCH", link, {"ttl": 60})
    assert answer.status_code == 200, answer.content
    changed = answer.json()
    assert (changed["ttl"], changed["name"]) == (60, "Trip")
    assert 30 < changed["seconds_left"] <= 60
    assert {u["expires_at"] for u in changed["uploads"]} == {changed["expires_at"]}
    assert len(changed["uploads"]) == 2


def test_its_name_can_be_changed_and_taken_off(program, link):
    assert program.call("PATCH", link, {"name": " Notes "}).json()["name"] == "Notes"
    assert program.call("PATCH", link, {"name": ""}).json()["name"] == ""


@pytest.mark.parametrize("change", [{}, {"ttl": None}, {"name": None, "ttl": None}])
def test_what_is_not_said_stays(program, link, change):
    before = rows()
    assert program.call("PATCH", link, change).status_code == 200
    assert rows() == before


@pytest.mark.parametrize(
    "change",
    [
        {"ttl": 10**6}, {"ttl": 86_400}, {"ttl": 0}, {"ttl": -1}, {"ttl": 10**30}, {"ttl": "60"},
        {"ttl": 1.5}, {"ttl": True}, {"name": "x" * 101}, {"name": "a\nb"}, {"name": 1},
        {"name": "Mine", "ttl": 10**6}, {"owner": str(uuid.uuid4())}, {"expires_at": None},
        {"token": "x" * 22}, [], "ttl",
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_refused_and_changes_nothing(program, link, change):
    before = rows()
    is_problem(program.call("PATCH", link, change), 422)
    assert rows() == before


def test_a_strangers_is_unknown(program, link):
    stranger = Program()
    stranger.begin()
    before = rows()
    is_problem(stranger.call("PATCH", link, {"ttl": 60, "name": "Mine"}), 404)
    is_problem(Program().call("PATCH", link, {"ttl": 60}), 401)
    assert rows() == before


def test_one_that_never_was_is_unknown(program, link):
    is_problem(program.call("PATCH", f"links/{uuid.uuid4()}", {"ttl": 60}), 404)
    is_problem(program.call("PATCH", "links/x", {"ttl": 60}), 422)


def test_what_is_not_json_is_not_looked_at(program, link):
    before = rows()
    answer = program.client.patch(
        f"/api/{link}", "ttl=60", "application/x-www-form-urlencoded", headers=program.headers
    )
    is_problem(answer, 415)
    assert rows() == before


def test_with_the_cookie_the_csrf_token_is_needed(store, receive, owner, rf):
    from django.http import HttpResponse

    from s3tasks.web import visitor_cookie

    upload = receive("image")
    given = HttpResponse()
    visitor_cookie.remember(rf.get("/"), given, owner)
    browser = Client(enforce_csrf_checks=True)
    browser.cookies = given.cookies
    address = f"/api/links/{upload.link_id}"
    is_problem(browser.patch(address, json.dumps({"ttl": 60}), "application/json"), 403)
    browser.get("/")
    token = browser.cookies["csrftoken"].value
    answer = browser.patch(
        address, json.dumps({"ttl": 60}), "application/json", headers={"X-CSRFToken": token}
    )
    assert answer.json()["ttl"] == 60


def test_it_is_never_later_than_the_longest_after_it_was_made(program, link, settings):
    before = rows()
    settings.UPLOAD_TTL_MAX = 3600
    sentence = is_problem(program.call("PATCH", link, {"ttl": 3600}), 422)
    assert "at most 35" in sentence
    assert rows() == before
    assert program.call("PATCH", link, {"ttl": 3300}).status_code == 200


class TestProtection:
    def test_it_can_be_put_on_and_taken_off(self, program, link):
        protected = program.call("PATCH", link, {"password": "s3cret", "max_downloads": 5})
        assert protected.status_code == 200, protected.content
        assert "s3cret" not in protected.content.decode()
        shown = protected.json()
        assert (shown["protected"], shown["max_downloads"]) == (True, 5)
        assert program.call("PATCH", link, {"name": "Same"}).json()["max_downloads"] == 5
        assert program.call("PATCH", link, {"max_downloads": None}).json()["protected"] is True
        assert program.call("PATCH", link, {"password": None}).json()["protected"] is False

    @pytest.mark.parametrize(
        "change",
        [{"max_downloads": 0}, {"max_downloads": "1"}, {"password": 1}, {"password": "a\nb"}],
    )
    def test_what_is_not_allowed_is_refused(self, program, link, change):
        is_problem(program.call("PATCH", link, {"ttl": 60, **change}), 422)
        left = Link.objects.with_seconds_left().get().seconds_left
        assert left > 500
        assert not Link.objects.get().is_protected

    def test_passwords_are_counted_like_uploads(self, program, link, settings, redis, one_minute):
        settings.UPLOAD_RATE = 1
        answers = [program.call("PATCH", link, {"password": "x"}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 429]
        assert program.call("PATCH", link, {"ttl": 60}).status_code == 200
