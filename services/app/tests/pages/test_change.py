"""The form that changes a link, without scripts: each answer that it can give."""

import re
import uuid

import pytest
from django.db.models.functions import Now
from django.http import HttpResponse
from django.test import Client

from s3tasks.web import visitor_cookie
from support.multipart import csrf_token, message
from uploads.models import Link, Upload

pytestmark = pytest.mark.django_db


@pytest.fixture
def visitor(owner, rf):
    """The owner's browser, which has the cookie."""
    response = HttpResponse()
    visitor_cookie.remember(rf.get("/"), response, owner)
    client = Client(enforce_csrf_checks=True)
    client.cookies = response.cookies
    return client


@pytest.fixture
def link(s3, receive) -> Link:
    return receive("file", b"x", filename="a.txt", name="Trip", ttl=600).link


def address(link: Link) -> str:
    return f"/links/{link.id}/"


def change(client, link, **fields):
    """Open the form, fill it in, send it."""
    html = client.get(address(link)).content.decode()
    token = csrf_token(html)
    return client.post(address(link), {"csrfmiddlewaretoken": token, **fields})


def options(html: str, field: str = "ttl") -> list[str]:
    select = html[html.index(f'<select name="{field}"') :].partition("</select>")[0]
    return re.findall(r'<option value="(\d*)"', select)


def test_it_shows_what_there_is_and_offers_what_is_allowed(visitor, link):
    answer = visitor.get(address(link))
    html = answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert re.search(r"As it is: (10 minutes|9 minutes \d+ seconds?) left", html)
    assert options(html) == ["", "300", "900", "3600", "43200"]
    assert 'value="Trip"' in html


def test_it_offers_nothing_beyond_the_latest_end(visitor, link, settings):
    settings.UPLOAD_TTL_MAX = 1000
    assert options(visitor.get(address(link)).content.decode()) == ["", "300", "900"]


@pytest.mark.parametrize("kind", ["file", "image"])
def test_what_is_changed_is_said_on_the_page_it_belongs_to(s3, visitor, receive, kind):
    link = receive(kind).link
    answer = change(visitor, link, ttl=300, name=" Ana's <b> ")
    assert (answer.status_code, answer["Location"]) == (
        302,
        {"file": "/files/", "image": "/"}[kind],
    )
    page = visitor.get(answer["Location"]).content.decode()
    assert "<bdi>Ana&#x27;s &lt;b&gt;</bdi> will be deleted in 5 minutes." in page
    left = Link.objects.with_seconds_left().get()
    assert left.name == "Ana's <b>"
    assert 250 < left.seconds_left <= 300
    assert Upload.objects.get().expires_at == left.expires_at


def test_the_name_alone_leaves_the_time(visitor, link):
    answer = change(visitor, link, ttl="", name="")
    assert "a.txt</bdi> was changed." in visitor.get(answer["Location"]).content.decode()
    assert Link.objects.values_list("name", "expires_at").get() == ("", link.expires_at)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"ttl": 86_400, "name": "x"}, "This link can live for at most"),
        ({"ttl": 10**9, "name": "x"}, "An upload can live for"),
        ({"ttl": 0, "name": "x"}, "An upload can live for"),
        ({"ttl": "soon", "name": "x"}, "Enter a whole number."),
        ({"ttl": 60, "name": "x" * 101}, "The name is 101 characters long"),
    ],
)
def test_what_is_refused_is_said_beside_the_form_and_changes_nothing(
    visitor, link, fields, sentence
):
    answer = change(visitor, link, **fields)
    assert answer.status_code == 422
    assert sentence in message(answer)
    assert f'value="{fields["name"]}"' in answer.content.decode()
    assert "<title>Error" in answer.content.decode()
    assert Link.objects.values_list("name", "expires_at").get() == ("Trip", link.expires_at)


def test_a_strangers_is_unknown(visitor, link, client):
    before = Link.objects.values().get()
    client.get("/files/")
    for answer in (client.get(address(link)), client.post(address(link), {"ttl": 60})):
        assert answer.status_code == 404
        assert "Trip" not in answer.content.decode()
    assert Link.objects.values().get() == before


def test_one_that_expired_or_never_was_is_unknown(visitor, link):
    Link.objects.update(expires_at=Now())
    assert visitor.get(address(link)).status_code == 404
    assert visitor.get(f"/links/{uuid.uuid4()}/").status_code == 404


def test_one_that_expires_while_the_form_is_open_is_said_to_be_gone(visitor, link):
    token = csrf_token(visitor.get(address(link)).content.decode())
    Link.objects.update(expires_at=Now())
    answer = visitor.post(address(link), {"csrfmiddlewaretoken": token, "ttl": 60})
    assert answer.status_code == 404
    assert "There is no such link" in answer.content.decode()


def test_without_the_csrf_token_nothing_is_changed(visitor, link):
    assert visitor.post(address(link), {"ttl": 60, "name": "x"}).status_code == 403
    assert Link.objects.get().name == "Trip"


def test_each_card_leads_to_it(s3, visitor, ready, receive):
    image, file = ready(), receive("file", b"x")
    assert address(image.link) in visitor.get("/").content.decode()
    assert address(file.link) in visitor.get("/files/").content.decode()


class TestProtection:
    def fields(self, answer) -> set[str]:
        return set(re.findall(r'id="change_(\w+?)"', answer.content.decode()))

    def test_what_can_be_changed_depends_on_what_there_is(self, s3, visitor, link, receive):
        usual = {"ttl", "name", "password", "max_downloads"}
        assert self.fields(visitor.get(address(link))) & {*usual, "open_to_all"} == usual
        Link.objects.update(password="a hash")
        assert "open_to_all" in self.fields(visitor.get(address(link)))
        image = self.fields(visitor.get(address(receive("image").link)))
        assert not image & {"password", "max_downloads", "open_to_all"}

    def test_a_password_is_put_on_kept_and_taken_off(self, visitor, link):
        change(visitor, link, name="Trip", password="s3cret")
        first = Link.objects.get().password
        assert first
        answer = visitor.get(address(link))
        assert "s3cret" not in answer.content.decode()
        assert first not in answer.content.decode()
        change(visitor, link, name="Trip")
        assert Link.objects.get().password == first
        change(visitor, link, name="Trip", password="other")
        assert Link.objects.get().password not in {"", first}
        change(visitor, link, name="Trip", open_to_all="on")
        assert not Link.objects.get().is_protected

    def test_downloads_are_offered_above_those_that_there_were(self, visitor, link):
        change(visitor, link, max_downloads=7)
        Link.objects.update(downloads=2)
        html = visitor.get(address(link)).content.decode()
        assert options(html, "max_downloads") == ["", "5", "7", "10"]
        assert "Downloads so far: 2" in html
        change(visitor, link, max_downloads=7, name="Same")
        assert Link.objects.values_list("max_downloads", "name").get() == (7, "Same")
        answer = change(visitor, link, max_downloads=1)
        assert answer.status_code == 422
        assert "more than the 2" in message(answer)
        change(visitor, link, max_downloads="")
        assert Link.objects.get().max_downloads is None

    def test_too_many_passwords_are_told_when_to_come_back(
        self, visitor, link, settings, redis, one_minute
    ):
        settings.UPLOAD_RATE = 1
        assert change(visitor, link, password="a").status_code == 302
        answer = change(visitor, link, password="b")
        assert (answer.status_code, answer["Retry-After"]) == (429, "40")
        assert change(visitor, link, ttl=60).status_code == 302
