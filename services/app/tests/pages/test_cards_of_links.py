"""My Files: what is sent together is one link with a card of its own, also without scripts."""

import re
import uuid

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from support.multipart import message, post
from support.samples import fetch, nothing_stays
from uploads.models import Link, Upload
from uploads.storage import storage

pytestmark = pytest.mark.django_db


@pytest.fixture
def visitor(store):
    """A browser without scripts that has seen the page."""
    client = Client()
    client.get("/files/")
    return client


def add(client, *names, **fields):
    """Send files of these names, and of these as content, by the form."""
    return post(client, "/files/", *fields.items(), *(("file", n, n.encode()) for n in names))


def cards(client) -> list[str]:
    """The page's cards."""
    html = client.get("/files/").content.decode()
    return (
        html.partition('id="uploads"')[2].partition('data-when="none"')[0].split('class="card')[1:]
    )


def test_files_that_are_sent_together_are_one_link_with_one_card(visitor):
    response = add(visitor, "a.txt", "b.txt", "a.txt", description="For Ana", ttl="60")
    assert (response.status_code, response["Location"]) == (302, "/files/")
    assert "3 files were uploaded. Their link is below." in message(visitor.get("/files/"))
    link = Link.objects.get()
    assert (link.name, link.ttl.total_seconds()) == ("For Ana", 60)
    (card,) = cards(visitor)
    assert "<h3><bdi" in card
    assert ">For Ana</bdi></h3>" in card
    assert re.search(r"3 files, 15\xa0bytes", card)
    addresses = re.findall(r'class="button quiet"\s+href="([^"]+)"', card)
    assert [fetch(visitor.get(a)["Location"]).body for a in addresses] == [
        b"a.txt",
        b"b.txt",
        b"a.txt",
    ]
    assert f"/f/{link.token}</code>" in card
    assert f'href="/f/{link.token}.zip"' in card


def test_files_that_are_sent_one_after_the_other_are_two(visitor):
    add(visitor, "a.txt")
    add(visitor, "b.txt")
    latest, older = cards(visitor)
    assert ">b.txt</bdi></h3>" in latest
    assert ">a.txt</bdi></h3>" in older


def test_without_a_description_several_are_called_by_their_number(visitor):
    add(visitor, "a.txt", "b.txt")
    assert ">2 files</bdi></h3>" in cards(visitor)[0]


def test_files_are_added_to_a_link_that_is_there(visitor):
    add(visitor, "a.txt", ttl="60")
    link = Link.objects.get()
    page = visitor.get(f"/files/?link={link.id}").content.decode()
    form = page.partition("<form")[2].partition("</form>")[0]
    assert f'name="link" value="{link.id}"' in form
    assert 'name="ttl"' not in form
    assert 'name="description"' not in form
    assert add(visitor, "b.txt", link=str(link.id), ttl="3600").status_code == 302
    assert [upload.link_id for upload in Upload.objects.all()] == [link.id] * 2
    assert len({upload.expires_at for upload in Upload.objects.all()}) == 1


def test_what_is_wrong_with_an_added_file_is_said_on_the_same_form(visitor):
    add(visitor, "a.txt")
    link = Link.objects.get()
    response = post(visitor, "/files/", ("link", str(link.id)), ("file", "b.txt", b""))
    assert response.status_code == 422
    assert f'name="link" value="{link.id}"' in response.content.decode()
    assert Upload.objects.count() == 1


@pytest.mark.parametrize("asked", [uuid.uuid4(), uuid.UUID(int=0), "x", "é", "1" * 500])
def test_to_no_link_nothing_is_added(visitor, asked):
    assert visitor.get("/files/", {"link": asked}).status_code == 404
    assert add(visitor, "b.txt", link=str(asked)).status_code == 404
    assert not Upload.objects.exists()


def test_a_stranger_can_neither_add_to_a_link_nor_delete_it(visitor, client):
    add(visitor, "a.txt", "b.txt")
    link = Link.objects.get()
    assert client.get(f"/files/?link={link.id}").status_code == 404
    assert add(client, "c.txt", link=str(link.id)).status_code == 404
    assert client.post(f"/links/{link.id}/delete/").status_code == 404
    for upload in Upload.objects.all():
        assert client.post(f"/uploads/{upload.id}/delete/").status_code == 404
    assert Upload.objects.count() == 2
    assert cards(client) == []


def test_of_several_the_first_that_fails_ends_it_and_says_what_is_there(visitor, settings):
    settings.MAX_VISITOR_UPLOADS = 2
    response = add(visitor, "a.txt", "b.txt", "c.txt")
    assert response.status_code == 429
    assert "Already uploaded: a.txt , b.txt ." in message(response)
    assert Link.objects.count() == 1


class TestDeleting:
    def test_a_link_goes_with_all_its_files(self, visitor, store):
        add(visitor, "a.txt", "b.txt")
        add(visitor, "c.txt")
        link = Link.objects.order_by("created_at").first()
        response = visitor.post(f"/links/{link.id}/delete/")
        assert (response.status_code, response["Location"]) == (302, "/files/")
        assert "2 files were deleted." in message(visitor.get("/files/"))
        assert len(cards(visitor)) == 1
        visitor.post(f"/links/{Link.objects.get().id}/delete/")
        assert "c.txt was deleted." in message(visitor.get("/files/"))
        assert nothing_stays(store)

    def test_one_of_its_files_goes_by_itself_and_the_last_takes_it_along(self, visitor):
        add(visitor, "a.txt", "b.txt")
        first, second = Upload.objects.order_by("created_at")
        visitor.post(f"/uploads/{first.id}/delete/")
        assert ">b.txt</bdi></h3>" in cards(visitor)[0]
        visitor.post(f"/uploads/{second.id}/delete/")
        assert cards(visitor) == []
        assert not Link.objects.exists()

    def test_it_takes_a_form(self, visitor):
        add(visitor, "a.txt")
        assert visitor.get(f"/links/{Link.objects.get().id}/delete/").status_code == 405


def test_an_expired_link_has_no_card(visitor):
    add(visitor, "a.txt", "b.txt")
    Link.objects.update(expires_at=Now())
    Upload.objects.update(expires_at=Now())
    assert cards(visitor) == []


@pytest.mark.django_db(transaction=True)  # another thread removes what has vanished
def test_what_vanished_is_on_no_card(visitor):
    add(visitor, "a.txt", "b.txt")
    add(visitor, "c.txt")
    gone = Upload.objects.filter(filename__in=["a.txt", "c.txt"])
    storage().delete([upload.served_key for upload in gone])
    from uploads.existence import page_check

    page_check().found_until.clear()
    (card,) = cards(visitor)
    assert ">b.txt</bdi></h3>" in card


def test_the_page_costs_as_many_queries_with_ten_links_as_with_one(visitor):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            visitor.get("/files/")
        return len(captured)

    add(visitor, "a.txt")
    visitor.get("/files/")  # says the message
    one = queries()
    for _ in range(4):
        add(visitor, "a.txt", "b.txt", "c.txt")
    visitor.get("/files/")
    assert queries() == one
