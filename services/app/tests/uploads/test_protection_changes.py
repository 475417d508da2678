"""A link whose owner protects it later, otherwise, or no longer."""

from contextlib import suppress

import pytest

from support.samples import at_once
from uploads.errors import InvalidUpload, UploadNotFound, WrongPassword
from uploads.links.change import change_link
from uploads.links.follow import uploads_behind
from uploads.links.protection import Opener, has_pass, new_pass, open_link
from uploads.models import Kind, Link, Upload

pytestmark = pytest.mark.django_db


@pytest.fixture
def link(s3, receive) -> Link:
    return receive("file", b"x", ttl=600).link


def opens(link: Link, password: str = "") -> bool:
    """Whether a POST with the password opens it, which spends a download."""
    link = Link.objects.get(id=link.id)
    try:
        open_link(link=link, uploads=list(Upload.objects.filter(link=link)), password=password)
    except (WrongPassword, UploadNotFound):
        return False
    return True


def test_a_password_is_put_on_changed_and_taken_off(link, owner):
    change_link(link_id=link.id, owner=owner, password="first")
    assert (opens(link, "first"), opens(link, "")) == (True, False)
    change_link(link_id=link.id, owner=owner, password="second")
    assert (opens(link, "first"), opens(link, "second")) == (False, True)
    assert "second" not in Link.objects.get().password
    change_link(link_id=link.id, owner=owner, password=None)
    assert not Link.objects.get().is_protected
    assert uploads_behind(token=link.token, kind=Kind.FILE)


def test_a_new_password_closes_it_for_who_had_it_open(link, owner):
    change_link(link_id=link.id, owner=owner, password="first")
    opener = Opener(secret=new_pass(Link.objects.get()))
    assert has_pass(Link.objects.get(), opener)
    change_link(link_id=link.id, owner=owner, password="second")
    assert not has_pass(Link.objects.get(), opener)


def test_what_is_not_said_stays(link, owner):
    change_link(link_id=link.id, owner=owner, password="first", max_downloads=5)
    before = Link.objects.values().get()
    change_link(link_id=link.id, owner=owner, ttl=None, name=None)
    assert Link.objects.values().get() == before


def test_downloads_are_counted_in_all(link, owner):
    change_link(link_id=link.id, owner=owner, max_downloads=5)
    assert all(opens(link) for _ in range(2))
    for most in (1, 2):
        with pytest.raises(InvalidUpload, match="more than the 2 that there have been"):
            change_link(link_id=link.id, owner=owner, max_downloads=most, name="No")
    assert Link.objects.values_list("max_downloads", "name").get() == (5, "")
    change_link(link_id=link.id, owner=owner, max_downloads=3)
    assert [opens(link) for _ in range(2)] == [True, False]
    with pytest.raises(UploadNotFound):  # used up is over
        change_link(link_id=link.id, owner=owner, max_downloads=10)


@pytest.mark.parametrize("count", [0, -1, 2**31])
def test_a_number_that_is_not_allowed_changes_nothing(link, owner, count):
    with pytest.raises(InvalidUpload):
        change_link(link_id=link.id, owner=owner, max_downloads=count, ttl=60)
    assert Link.objects.get().expires_at == link.expires_at


@pytest.mark.parametrize("changes", [{"password": "x"}, {"max_downloads": 1}])
def test_an_image_is_never_protected(s3, ready, owner, changes):
    link = ready().link
    with pytest.raises(InvalidUpload, match="An image can't have"):
        change_link(link_id=link.id, owner=owner, **changes)
    change_link(link_id=link.id, owner=owner, password=None, max_downloads=None)
    assert not Link.objects.get().is_protected


def test_a_strangers_is_unknown(link, stranger):
    with pytest.raises(UploadNotFound):
        change_link(link_id=link.id, owner=stranger, password="mine")
    assert not Link.objects.get().is_protected


@pytest.mark.django_db(transaction=True)
def test_while_it_is_opened_no_more_open_it_than_the_number_that_holds(link, owner):
    change_link(link_id=link.id, owner=owner, max_downloads=10)

    def change():
        with suppress(InvalidUpload):  # there had been as many
            change_link(link_id=link.id, owner=owner, max_downloads=4)

    calls = [lambda: opens(link)] * 8
    calls.insert(3, change)
    opened = sum(answer is True for answer in at_once(lambda call: call(), calls))
    after = Link.objects.get()
    assert after.downloads == opened
    assert opened == min(8, after.max_downloads)
