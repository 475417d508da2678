"""`/f/<token>.zip`: the zip once it is made, and how far it is until then."""

import io
import time
import zipfile

import pytest
from django.db.models.functions import Now

from support.samples import fetch
from uploads.links.pack import pack_files
from uploads.models import Link, Pack, Upload

pytestmark = pytest.mark.django_db


@pytest.fixture
def files(receive):
    """Two files of one link."""
    first = receive("file", b"1", filename="a")
    return [first, receive("file", b"22", filename="b", link_id=first.link_id)]


@pytest.fixture
def address(files):
    """Where their zip is."""
    return f"/f/{files[0].link.token}.zip"


@pytest.mark.parametrize("method", ["get", "head"])
def test_it_is_made_for_whoever_asks_first(store, client, address, method):
    answer = getattr(client, method)(address)
    assert answer.status_code == 503
    assert answer["Retry-After"] == "2"
    assert "no-store" in answer["Cache-Control"]
    assert Pack.objects.count() == 1
    pack_files(pack_id=Pack.objects.get().id)
    answer = getattr(client, method)(address)
    assert answer.status_code == 302
    assert "no-store" in answer["Cache-Control"]
    assert fetch(answer["Location"], method.upper()).status_code == 200


def test_its_bytes_are_the_files(store, client, address):
    client.get(address)
    pack_files(pack_id=Pack.objects.get().id)
    with zipfile.ZipFile(io.BytesIO(fetch(client.get(address)["Location"]).body)) as file:
        assert {name: file.read(name) for name in file.namelist()} == {"a": b"1", "b": b"22"}


def test_a_program_reads_a_line(store, client, address):
    answer = client.get(address, headers={"Accept": "*/*"})
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.content == b"The zip is being made: 0 % done.\n"


def test_a_person_reads_a_page_that_goes_on_by_itself_or_by_a_link(store, client, address):
    answer = client.get(address, headers={"Accept": "text/html"})
    html = answer.content.decode()
    assert answer.status_code == 503
    assert "The zip is being made: 0 % done." in html
    assert 'data-seconds="2"' in html
    assert 'href="">Refresh</a>' in html
    assert "packing.js" in html
    assert answer["Vary"].count("Accept") >= 1


@pytest.mark.parametrize("token", ["unknown", "x" * 22])
def test_of_an_unknown_link_there_is_none(store, client, token):
    assert client.get(f"/f/{token}.zip").status_code == 404


def test_of_an_expired_link_there_is_none(store, client, files, address):
    client.get(address)
    pack_files(pack_id=Pack.objects.get().id)
    Link.objects.update(expires_at=Now())
    Upload.objects.update(expires_at=Now())
    assert client.get(address).status_code == 404


@pytest.mark.parametrize("method", ["get", "head"])
def test_of_a_protected_link_nobody_gets_it(store, client, files, address, method):
    client.get(address)
    pack_files(pack_id=Pack.objects.get().id)
    Link.objects.update(max_downloads=1)
    for accept, status in (("*/*", 403), ("text/html", 200)):  # a line, or the closed page
        answer = getattr(client, method)(address, headers={"Accept": accept})
        assert answer.status_code == status
        assert "Location" not in answer
    assert Link.objects.get().downloads == 0


def test_of_a_protected_link_nobody_has_it_begun(store, client, address):
    Link.objects.update(max_downloads=1)
    client.get(address)
    assert not Pack.objects.exists()


def test_of_an_image_there_is_none(store, client, receive):
    assert client.get(f"/f/{receive('image').link.token}.zip").status_code == 404


@pytest.mark.django_db(transaction=True)  # another thread removes what has vanished
def test_a_file_that_has_vanished_does_not_hold_it_up(store, client, files, address):
    """As nobody but who waits for the zip may look for it."""
    gone = files[0]
    store.delete([gone.served_key])
    until = time.monotonic() + 60  # a busy storage is asked again some seconds later
    while Upload.objects.filter(id=gone.id).exists():
        assert time.monotonic() < until
        client.get(address)
        time.sleep(0.1)
    assert [pack for pack in Pack.objects.all() if str(gone.id) in pack.files] == []


def test_without_room_it_is_said_when_to_ask_again(store, client, address, settings):
    settings.MAX_TOTAL_BYTES = 10
    answer = client.get(address)
    assert answer.status_code == 429
    assert answer["Retry-After"] == "60"


def test_nothing_is_posted_to_it(store, client, address):
    assert client.post(address).status_code == 405


def test_the_page_of_several_leads_to_it_and_that_of_one_does_not(store, client, files, receive):
    alone = receive("file", b"3")
    for upload, there in ((files[0], True), (alone, False)):
        html = client.get(upload.link.get_absolute_url(), headers={"Accept": "text/html"})
        assert (f'href="/f/{upload.link.token}.zip"' in html.content.decode()) is there


def test_whoever_waits_for_it_is_no_error_in_the_log(store, client, address, caplog):
    assert client.get(address).status_code == 503
    assert [record for record in caplog.records if record.name == "django.request"] == []
