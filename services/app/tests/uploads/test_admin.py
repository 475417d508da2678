"""The operator finds an upload by its link, and deletes it with its objects."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from support.samples import keys
from uploads.models import Link, Upload
from uploads.sweeps import housekeeping

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator():
    """A browser that is logged in as a superuser."""
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client


def test_an_upload_is_found_by_its_link(store, receive, operator):
    upload, other = receive("file", b"x", filename="a.txt"), receive("file", b"y", filename="b.txt")
    link = f"http://drop.example/f/{upload.link.token}"
    text = operator.get(reverse("admin:uploads_upload_changelist"), {"q": link}).content.decode()
    assert str(upload.id) in text
    assert str(other.id) not in text


def test_all_uploads_of_a_link_are_found_by_it_and_say_its_downloads(store, receive, operator):
    first = receive("file", b"x", filename="a.txt", name="Minutes")
    receive("file", b"y", filename="b.txt", link_id=first.link_id)
    receive("file", b"z", filename="c.txt")
    Link.objects.filter(id=first.link_id).update(max_downloads=5, downloads=2, password="a-hash")
    for sought in (first.link.token, "Minutes"):
        answer = operator.get(reverse("admin:uploads_upload_changelist"), {"q": sought})
        text = answer.content.decode()
        assert [name in text for name in ("a.txt", "b.txt", "c.txt", "2 / 5")] == [
            *(True, True, False, True)
        ]
        assert "a-hash" not in text


def test_deleting_it_deletes_its_objects(store, ready, operator):
    upload = ready()
    operator.post(reverse("admin:uploads_upload_delete", args=[upload.id]), {"post": "yes"})
    housekeeping.sweep("purge")
    assert (Upload.objects.count(), keys(store)) == (0, set())


def test_deleting_a_selection_deletes_its_objects(store, receive, operator):
    uploads = [receive("file", b"x"), receive("file", b"y")]
    operator.post(
        reverse("admin:uploads_upload_changelist"),
        {"action": "delete_selected", "_selected_action": [u.id for u in uploads], "post": "yes"},
    )
    housekeeping.sweep("purge")
    assert (Upload.objects.count(), keys(store)) == (0, set())


def test_nothing_is_changed_by_hand(store, receive, operator):
    upload = receive("file", b"x")
    operator.post(
        reverse("admin:uploads_upload_change", args=[upload.id]), {"filename": "other.txt"}
    )
    assert Upload.objects.get().filename == "a.png"


def test_a_brazilian_operator_reads_the_lists(store, receive, operator):
    receive("file", b"x")
    texts = [
        operator.get(
            reverse(f"admin:uploads_{model}_changelist"), HTTP_ACCEPT_LANGUAGE="pt-BR"
        ).content.decode()
        for model in ("upload", "purgekey", "sweep")
    ]
    assert all(word in texts[0] for word in ("1 envio", "Nome do arquivo", "pronto", "um link"))
    assert "Chaves a apagar" in texts[1]
    assert "Varreduras" in texts[2]


def test_a_visitor_has_no_way_in(store):
    answer = Client().get(reverse("admin:uploads_upload_changelist"))
    assert answer.status_code == 302
    assert "login" in answer["Location"]
