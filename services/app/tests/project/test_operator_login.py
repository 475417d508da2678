"""Trying passwords costs whoever tries them, and nobody else."""

import threading
import time

import pytest
from django.contrib.auth import hashers
from django.contrib.auth.models import User
from django.test import Client

from support.multipart import message
from uploads import rate, redis

pytestmark = pytest.mark.django_db

LOGIN = "/admin/login/"


@pytest.fixture(autouse=True)
def minute(one_minute):
    """One in which nobody has tried anything yet."""
    rate.client().flushdb()
    rate._counted.clear()
    return one_minute


@pytest.fixture
def hashed(monkeypatch):
    """How many passwords were hashed."""
    count = []
    encode = hashers.PBKDF2PasswordHasher.encode

    def counted(self, password, salt, iterations=None):
        count.append(password)
        return encode(self, password, salt, 1)

    monkeypatch.setattr(hashers.PBKDF2PasswordHasher, "encode", counted)
    return count


@pytest.fixture(params=["redis", "silence"])
def counting(request, minute, monkeypatch):
    """Where attempts are counted: in Redis, or while it is silent in the process."""
    if request.param == "silence":
        monkeypatch.setattr(redis.breaker, "open_until", time.monotonic() + 3600)
    return request.param


def attempt(address, username="operator", **fields):
    return Client().post(
        LOGIN, {"username": username, "password": "guess", **fields}, REMOTE_ADDR=address
    )


def test_an_address_has_ten_attempts_a_minute(counting, hashed, minute, monkeypatch):
    answers = [attempt("192.0.2.1", username=f"{n}") for n in range(12)]
    assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 2
    assert len(hashed) == 10
    assert "Too many login attempts" in message(answers[-1])
    assert answers[-1]["Retry-After"] == "40"
    assert attempt("192.0.2.2").status_code == 200
    monkeypatch.setattr(rate.time, "time", lambda: minute + 60)
    assert attempt("192.0.2.1").status_code == 200


def test_all_addresses_together_have_sixty(counting, hashed):
    answers = [attempt(f"198.51.100.{n}").status_code for n in range(65)]
    assert answers == [200] * 60 + [429] * 5
    assert len(hashed) == 60


def test_one_address_does_not_lock_the_others_out(counting, hashed):
    for _ in range(100):
        attempt("192.0.2.1")
    assert attempt("192.0.2.2").status_code == 200


def test_an_address_of_ipv6_is_its_network(counting, hashed):
    answers = [attempt(f"2001:db8::{n:x}").status_code for n in range(11)]
    assert answers[-1] == 429


def test_a_thousand_at_once_are_no_more(counting, hashed):
    refused = []

    def guess(n):
        try:
            rate.check_login_rate(f"203.0.113.{n % 50}")
        except rate.RateLimited:
            refused.append(n)

    threads = [threading.Thread(target=guess, args=(n,)) for n in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 200 - len(refused) <= 60


def test_what_is_remembered_of_a_minute_goes_with_it(monkeypatch):
    for minute in range(1, 100):
        rate.count_here(f"192.0.2.{minute}", minute)
    assert len(rate._counted) == 1


@pytest.mark.parametrize("path", [LOGIN, f"{LOGIN}?next=/admin/", "/admin/login"])
def test_the_right_password_still_opens(hashed, path):
    User.objects.create_superuser("operator", password="right")
    answer = Client().post(path, {"username": "operator", "password": "right"})
    assert answer.status_code in {301, 302}


def test_looking_at_the_page_is_no_attempt():
    assert {Client().get(LOGIN).status_code for _ in range(70)} == {200}


@pytest.mark.parametrize("path", ["/admin/", "/admin/auth/user/", "/admin/uploads/upload/", "/"])
def test_no_other_address_tries_a_password(hashed, path):
    """Django's admin shows its form at every address, and takes it at one."""
    Client().post(path, {"username": "operator", "password": "guess"})
    assert hashed == []
