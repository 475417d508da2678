"""What an open page asks every few seconds: how long its links live now."""

import logging

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from s3tasks.web import visitor_cookie
from uploads.arrivals.claim import claim_upload
from uploads.limits import check_claim
from uploads.links.change import change_link
from uploads.models import Kind, Link, Upload

pytestmark = pytest.mark.django_db

MINE = "/links/left/"


@pytest.fixture
def visitor(owner, rf):
    """The owner's browser, which has the cookie."""
    from django.http import HttpResponse

    response = HttpResponse()
    visitor_cookie.remember(rf.get("/"), response, owner)
    client = Client()
    client.cookies = response.cookies
    return client


def of(link: Link) -> str:
    return reverse("time-left", args=[link.token])


class TestMine:
    def test_each_of_my_links_says_what_it_has_left(self, s3, visitor, receive):
        file = receive("file", b"x", ttl=600)
        receive("file", b"y", link_id=file.link_id)
        image = receive("image", ttl=60)
        left = visitor.get(MINE).json()
        assert set(left) == {str(file.link_id), str(image.link_id)}
        assert 570 < left[str(file.link_id)] <= 600
        assert 30 < left[str(image.link_id)] <= 60

    def test_what_has_expired_or_not_begun_is_not_there(self, s3, visitor, receive, owner):
        receive("file", b"x")
        Link.objects.update(expires_at=Now())
        claim_upload(check_claim(owner=owner, kind=Kind.FILE, filename="a", size_bytes=1))
        assert visitor.get(MINE).json() == {}

    def test_strangers_are_not_there(self, s3, visitor, receive, stranger):
        receive("file", b"x", owner=stranger)
        assert visitor.get(MINE).json() == {}

    def test_who_is_unknown_has_none_and_becomes_nobody(self, s3, client, receive):
        receive("file", b"x")
        answer = client.get(MINE)
        assert answer.json() == {}
        assert not answer.cookies

    def test_on_a_shared_board_all_are_everybodys(self, s3, settings, visitor, receive):
        from uploads.quotas import BOARD

        settings.SHARED_BOARD = True
        upload = receive("file", b"x", owner=BOARD)
        assert list(visitor.get(MINE).json()) == [str(upload.link_id)]


class TestOfLink:
    def test_anyone_who_has_it_is_told(self, s3, client, receive, owner):
        link = receive("file", b"x", ttl=600).link
        assert 570 < client.get(of(link)).json()[link.token] <= 600
        change_link(link_id=link.id, owner=owner, ttl=5)
        assert client.get(of(link)).json()[link.token] <= 5

    def test_an_expired_one_is_told_apart_from_none_by_nothing(self, s3, client, receive):
        link = receive("file", b"x").link
        Link.objects.update(expires_at=Now())
        Upload.objects.update(expires_at=Now())
        image = receive("image").link
        for token in (link.token, image.token, "x" * 22):
            answer = client.get(reverse("time-left", args=[token]))
            assert (answer.status_code, answer.json()) == (200, {})


class TestBoth:
    @pytest.fixture(params=["mine", "of a link"])
    def address(self, request, s3, receive):
        link = receive("file", b"x").link
        return MINE if request.param == "mine" else of(link)

    def test_it_takes_one_query(self, visitor, address):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert visitor.get(address).json()
        assert len(queries) == 1

    def test_nobody_keeps_it(self, visitor, address):
        assert "no-store" in visitor.get(address)["Cache-Control"]

    def test_a_form_is_not_taken(self, visitor, address):
        assert visitor.post(address).status_code == 405

    def test_the_log_is_not_filled_with_it_but_with_what_goes_wrong(self, visitor, address, caplog):
        with caplog.at_level(logging.INFO, logger="s3tasks.access"):
            visitor.get(address)
            assert not caplog.records
            visitor.post(address)
            assert [r.status for r in caplog.records if r.name == "s3tasks.access"] == [405]
