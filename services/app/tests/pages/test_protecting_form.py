"""A password and a number of downloads, set on My Files, and what the owner's card says of them."""

import io
import re

import pytest
from django.contrib.auth.hashers import check_password
from django.test import Client

from uploads.limits import PASSWORD_MAX
from uploads.models import Link, Upload

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quick(settings):
    """Passwords that are hashed in no time."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def add(client, *names, page="/files/", chosen="file", **fields):
    """What the form's answer is, with files of these names."""
    files = []
    for name in names or ["a.txt"]:
        files.append(io.BytesIO(b"a secret"))
        files[-1].name = name
    return client.post(page, {chosen: files, "ttl": 600, **fields})


def text(client, path="/files/") -> str:
    return client.get(path).content.decode()


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"]])
def test_the_form_protects_the_link_of_all_that_it_sends(store, client, names):
    answer = add(client, *names, password=" sesame ", max_downloads=5)
    assert answer.status_code == 302
    link = Link.objects.get()
    assert link.uploads.count() == len(names)
    assert check_password(" sesame ", link.password)
    assert link.max_downloads == 5


def test_left_blank_they_protect_nothing(store, client):
    add(client, password="", max_downloads="")
    assert not Link.objects.get().is_protected


@pytest.mark.parametrize("most", [1, 2, 5, 10])
def test_the_usual_numbers_are_offered(store, client, most):
    assert f'<option value="{most}">' in text(client)


def test_any_other_number_is_taken(store, client):
    add(client, max_downloads=7)
    assert Link.objects.get().max_downloads == 7


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"password": "x" * (PASSWORD_MAX + 1)}, "at most 128"),
        ({"password": "a\tb"}, "invisible character"),
        ({"max_downloads": 0}, "must be from 1"),
        ({"max_downloads": "once"}, "whole number"),
        ({"max_downloads": 2**31}, "must be from 1"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said_and_shown_unfolded(store, client, fields, sentence):
    answer = add(client, **fields)
    assert answer.status_code == 422
    assert sentence in answer.content.decode()
    assert re.search(r'<details class="folded"\s+open', answer.content.decode())
    assert not Upload.objects.exists()


def test_no_page_shows_a_password_again(store, client):
    answer = add(client, password="sesame", max_downloads="once")
    assert "sesame" not in answer.content.decode()


@pytest.mark.parametrize("fields", [{"password": "a"}, {"max_downloads": 1}], ids=str)
def test_an_image_is_never_protected(store, client, fields):
    answer = add(client, "a.png", page="/", chosen="image", **fields)
    assert answer.status_code == 422
    assert not Upload.objects.exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"password": "a"}, "Password"),
        ({"max_downloads": 5}, "1 of 5 downloads"),
        ({"password": "a", "max_downloads": 5}, "Password · 1 of 5 downloads"),
    ],
    ids=str,
)
def test_the_card_says_how_the_link_is_protected(store, client, fields, said):
    add(client, **fields)
    link = Link.objects.get()
    Client().post(link.get_absolute_url(), {"password": "a"})
    assert f">{said}</p>" in text(client)
    assert link.password not in text(client) or not link.password


def test_of_an_open_link_the_card_says_nothing(store, client):
    add(client)
    assert "downloads<" not in text(client).partition("<template")[0]


def test_what_joins_a_link_is_asked_for_no_protection(store, client):
    add(client, max_downloads=2)
    link = Link.objects.get()
    assert "max_downloads" not in text(client, f"/files/?link={link.id}")
    assert add(client, "b.txt", link=link.id).status_code == 302
    assert link.uploads.count() == 2


def test_a_used_up_link_has_no_card(store, client):
    add(client, max_downloads=1)
    Client().post(Link.objects.get().get_absolute_url())
    assert "No files yet" in text(client)
    assert 'class="card file"' not in text(client).partition("<template")[0]
