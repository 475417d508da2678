"""A password and a number of downloads, set by programs: by JSON and by the headers of a PUT."""

import json
import logging

import pytest
from django.test import Client

from support import multipart
from support.samples import fetch
from uploads.limits import DOWNLOADS_MAX, PASSWORD_MAX
from uploads.models import Link, Upload

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quick(settings):
    """Passwords that are hashed in no time."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def curl():
    return Client(enforce_csrf_checks=True)


def put(curl, **headers):
    headers = {f"HTTP_{name}": value for name, value in headers.items()}
    return curl.generic("PUT", "/report.pdf", b"a secret", "", **headers)


def begin(curl, **fields):
    claim = {"kind": "file", "filename": "a.bin", "size": 8, "content_type": ""} | fields
    return curl.post("/api/uploads", json.dumps(claim), "application/json")


def complete(curl, begun):
    fields = [*begun["ticket"]["fields"].items(), ("file", "a", b"a secret")]
    path = begun["ticket"]["url"].removeprefix("http://testserver")
    assert multipart.post(curl, path, *fields).status_code == 204
    bearer = {"Authorization": f"Bearer {begun['owner_token']}"}
    return curl.post(
        f"/api/uploads/{begun['id']}/complete", "", "application/json", headers=bearer
    ).json()


class TestPut:
    def test_the_address_of_a_protected_file_says_no_name_and_opens_by_a_post(self, store, curl):
        answer = put(curl, PASSWORD="sesame", MAX_DOWNLOADS="2")
        assert answer.status_code == 201
        link = Link.objects.get()
        address = f"http://testserver/f/{link.token}"
        assert answer.content.decode() == f"{address}\n"
        assert answer["Location"] == address
        assert link.max_downloads == 2
        opened = curl.post(address, {"password": "sesame"})
        assert fetch(opened["Location"]).body == b"a secret"

    @pytest.mark.parametrize("password", ["ção 日本", "a" * PASSWORD_MAX, "%41", "a:b;c"])
    def test_a_password_in_any_script_is_the_one_typed(self, disk, curl, password):
        answer = put(curl, PASSWORD=password.encode().decode("latin-1"))
        assert curl.post(answer["Location"], {"password": password}).status_code == 303

    @pytest.mark.parametrize("header", [{"PASSWORD": "a"}, {"MAX_DOWNLOADS": "1"}])
    def test_either_protects(self, disk, curl, header):
        assert curl.get(put(curl, **header)["Location"]).status_code == 403

    @pytest.mark.parametrize(
        ("header", "sentence"),
        [
            ({"MAX_DOWNLOADS": "0"}, "from 1 to"),
            ({"MAX_DOWNLOADS": "-1"}, "Max-Downloads header must be a number"),
            ({"MAX_DOWNLOADS": "once"}, "Max-Downloads header must be a number"),
            ({"MAX_DOWNLOADS": ""}, "Max-Downloads header must be a number"),
            ({"MAX_DOWNLOADS": "²"}, "Max-Downloads header must be a number"),
            ({"MAX_DOWNLOADS": "9" * 5000}, "Max-Downloads header must be a number"),
            ({"MAX_DOWNLOADS": str(DOWNLOADS_MAX + 1)}, "from 1 to"),
            ({"PASSWORD": ""}, "Password header is empty"),
            ({"PASSWORD": "\xff"}, "UTF-8"),
            ({"PASSWORD": "a" * (PASSWORD_MAX + 1)}, "at most 128"),
            ({"PASSWORD": "a\tb"}, "invisible character"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_what_cannot_be_is_a_line_that_says_so(self, disk, curl, header, sentence):
        answer = put(curl, **header)
        assert answer.status_code == 422
        assert sentence in answer.content.decode()
        assert not Upload.objects.exists()


class TestApi:
    def test_an_upload_says_how_it_is_protected_and_never_the_hash(self, disk, curl):
        shown = complete(curl, begin(curl, password="sesame", max_downloads=5).json())
        assert (shown["protected"], shown["max_downloads"], shown["downloads"]) == (True, 5, 0)
        curl.post(shown["link"], {"password": "sesame"})
        link = Link.objects.get()
        assert link.downloads == 1
        assert link.password not in json.dumps(shown)
        assert "password" not in shown

    @pytest.mark.parametrize(
        "fields", [{}, {"password": None, "max_downloads": None}, {"password": ""}]
    )
    def test_without_either_it_is_open(self, disk, curl, fields):
        shown = complete(curl, begin(curl, **fields).json())
        assert (shown["protected"], shown["max_downloads"], shown["downloads"]) == (False, None, 0)

    @pytest.mark.parametrize(
        "fields",
        [
            {"password": "a" * (PASSWORD_MAX + 1)},
            {"password": "a\nb"},
            {"password": "\ud800"},
            {"password": 1},
            {"max_downloads": 0},
            {"max_downloads": -1},
            {"max_downloads": 1.5},
            {"max_downloads": "1"},
            {"max_downloads": True},
            {"max_downloads": 2**31},
            {"max_downloads": 2**70},
            {"kind": "image", "password": "a"},
            {"kind": "image", "max_downloads": 1},
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_what_cannot_be_is_a_problem_that_says_so(self, disk, curl, fields):
        answer = begin(curl, **fields)
        assert answer.status_code == 422
        assert answer.json()["detail"]
        assert not Upload.objects.exists()

    def test_a_new_link_is_protected_as_asked(self, disk, curl):
        data = json.dumps({"password": "sesame", "max_downloads": 5})
        answer = curl.post("/api/links", data, "application/json")
        assert answer.status_code == 201
        link = answer.json()
        assert (link["protected"], link["max_downloads"], link["downloads"]) == (True, 5, 0)
        assert Link.objects.get().password not in answer.content.decode()

    @pytest.mark.parametrize(
        "fields", [{"password": "a" * (PASSWORD_MAX + 1)}, {"max_downloads": 0}], ids=str
    )
    def test_a_new_link_cannot_be_protected_by_what_cannot_be(self, disk, curl, fields):
        answer = curl.post("/api/links", json.dumps(fields), "application/json")
        assert answer.status_code == 422
        assert not Link.objects.exists()

    def test_of_an_image_the_sentence_says_what_to_do(self, disk, curl):
        assert "Upload it as a file" in begin(curl, kind="image", password="a").json()["detail"]

    def test_a_used_up_one_is_in_no_list(self, disk, curl):
        begun = begin(curl, max_downloads=1).json()
        shown = complete(curl, begun)
        curl.post(shown["link"])
        bearer = {"Authorization": f"Bearer {begun['owner_token']}"}
        assert curl.get("/api/uploads", headers=bearer).json() == []
        assert curl.get(f"/api/uploads/{begun['id']}", headers=bearer).status_code == 404


def test_no_line_holds_a_password_or_a_hash(disk, curl, caplog):
    caplog.set_level(logging.DEBUG)
    put(curl, PASSWORD="sesame")
    put(curl, PASSWORD="sesame\t")
    begin(curl, password="sesame")
    begin(curl, password="sesame\n")
    link = Upload.objects.get(state="ready").link
    for data in ({"password": "sesame"}, {"password": "sesame?"}, {"sesame": "x"}):
        curl.post(link.get_absolute_url(), data)
    said = [r.getMessage() for r in caplog.records if not r.name.startswith("django.db")]
    assert said
    assert not [line for line in said if "sesame" in line or link.password in line]
