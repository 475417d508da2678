"""`/readyz` and `/sharex.sxcu`."""

import threading
import time

import pytest
from django.test import Client

from api import ready
from support.samples import at_once
from uploads.errors import StorageUnavailable

pytestmark = pytest.mark.django_db


def test_all_answer(store, client):
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == dict.fromkeys(ready.PARTS, "ok")


@pytest.mark.parametrize("part", ["postgres", "redis", "storage"])
def test_one_that_fails_is_named(store, client, monkeypatch, part):
    def fail():
        raise StorageUnavailable("no")

    monkeypatch.setitem(ready.PARTS, part, fail)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert {name for name, says in answer.json().items() if says != "ok"} == {part}


def test_one_that_hangs_is_named_within_two_seconds(store, client, monkeypatch):
    released = threading.Event()
    monkeypatch.setitem(ready.PARTS, "postgres", lambda: released.wait(60))
    began = time.monotonic()
    answer = client.get("/readyz")
    released.set()
    assert time.monotonic() - began < 20
    silent = dict.fromkeys(["postgres", "sweeps"], "no answer")
    assert answer.json() == {**dict.fromkeys(ready.PARTS, "ok"), **silent}


def test_many_who_ask_at_once_take_one_connection(store, monkeypatch):
    asked = []

    def ask():
        asked.append(threading.get_ident())
        time.sleep(0.05)

    monkeypatch.setitem(ready.PARTS, "postgres", ask)
    answers = at_once(lambda: Client().get("/readyz").status_code, 8)
    assert answers == [200] * 8
    assert len(asked) == 8
    assert len(set(asked)) == 1


def test_a_bucket_that_is_gone_is_not_ready(s3, client):
    s3.bucket = "gone"
    assert client.get("/readyz").json()["storage"] == "no answer"


def test_what_sharex_imports_leads_to_this_host(disk, client):
    answer = client.get("/sharex.sxcu", SERVER_NAME="localhost", SERVER_PORT="8000")
    uploader = answer.json()
    assert 'filename="localhost.sxcu"' in answer["Content-Disposition"]
    assert uploader["RequestURL"] == "http://localhost:8000/{filename}"
    path = uploader["RequestURL"].removeprefix("http://localhost:8000").format(filename="a.png")
    curl = Client(enforce_csrf_checks=True)
    answer = curl.generic(uploader["RequestMethod"], path, b"1", "image/png")
    assert answer.status_code == 201
    assert uploader["DeletionURL"] == "{header:X-Url-Delete}"
    assert answer["X-Url-Delete"]
