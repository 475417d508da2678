"""Development's error pages give away nothing that opens the database, the broker or the bucket."""

import pytest
from django.core.exceptions import SuspiciousOperation
from django.db import OperationalError
from django.test import Client, RequestFactory
from django.views.debug import technical_500_response

from pages import views
from s3tasks.web.debug_pages import without_secrets
from support.gateway import send

pytestmark = pytest.mark.django_db

SECRETS = {
    "SECRET_KEY": "kkkSECRETkkk",
    "AWS_SECRET_ACCESS_KEY": "aws/SECRET+aws",
    "AWS_ACCESS_KEY_ID": "AKIAsecret",
    "AWS_SESSION_TOKEN": "token/SECRET&token",
}
PASSWORDS = ["pa55word-db", "pa55word&<@#$redis"]


@pytest.fixture(autouse=True)
def development(settings):
    settings.DEBUG = True
    settings.ALLOWED_HOSTS = ["localhost"]
    for name, value in SECRETS.items():
        setattr(settings, name, value)
    settings.DATABASE_URL = f"postgres://u:{PASSWORDS[0]}@db/s3tasks"
    settings.REDIS_URL = "redis://:pa55word%26%3C%40%23%24redis@redis/0"
    settings.CELERY_BROKER_URL = settings.REDIS_URL


def gives_nothing_away(text):
    for secret in [*SECRETS.values(), *PASSWORDS, "pa55word", "SECRETkkk", "%24redis"]:
        assert secret not in text
    return True


def breaks(self, request, **credentials):
    raise ValueError("broken")


@pytest.mark.parametrize("accept", ["text/html", "*/*", "application/json", ""])
@pytest.mark.parametrize("path", ["/", "/api/uploads", "/nothing/", "/admin/", "/static/no"])
def test_the_page_of_a_wrong_host(accept, path):
    status, text = send(path, method="GET", HTTP_HOST="evil.example", HTTP_ACCEPT=accept)
    assert status == 400
    assert gives_nothing_away(text)


def test_the_page_of_an_address_that_is_none():
    status, text = send("/nothing/", method="GET", HTTP_HOST="localhost")
    assert status == 404
    assert gives_nothing_away(text)


ERRORS = [OperationalError, SuspiciousOperation, ValueError, KeyError]


@pytest.mark.parametrize("accept", ["text/html", "text/plain"])
@pytest.mark.parametrize("error", ERRORS)
def test_the_page_of_an_error(settings, monkeypatch, error, accept):
    """Variables and messages quote a secret as it is, in an address, or in a dictionary."""

    def broken(self, request):
        dsn = settings.DATABASE_URL
        parameters = {"password": PASSWORDS[1], "nested": [{"x": SECRETS["SECRET_KEY"]}]}
        query = f"postgres://u@db/?password={PASSWORDS[0]}&key={SECRETS['AWS_SECRET_ACCESS_KEY']}"
        raise error(f"{dsn} {parameters} {query}")

    monkeypatch.setattr(views.UploadsPage, "get", broken)
    client = Client(raise_request_exception=False)
    answer = client.get("/", headers={"host": "localhost", "accept": accept})
    assert answer.status_code in {400, 500, 503}
    assert gives_nothing_away(answer.content.decode())


def test_what_stands_beside_the_request(settings):
    """A server may lay its environment over the request, as Python's own does."""
    request = RequestFactory().get("/", **{name: f"x {v} y" for name, v in SECRETS.items()})
    request.META |= {"DATABASE_URL": settings.DATABASE_URL, "ELSE": f"a {settings.REDIS_URL} b"}
    try:
        raise ValueError
    except ValueError as error:
        answer = technical_500_response(request, type(error), error, error.__traceback__)
    assert gives_nothing_away(answer.content.decode())


def test_a_password_that_somebody_typed(monkeypatch):
    from django.contrib import auth

    monkeypatch.setattr(auth.backends.ModelBackend, "authenticate", breaks)
    client = Client(raise_request_exception=False)
    fields = {"username": "operator", "password": "typed-by-hand"}
    answer = client.post("/admin/login/", fields, headers={"host": "localhost"})
    assert answer.status_code == 500
    assert "typed-by-hand" not in answer.content.decode()


def test_the_rest_of_the_page_is_there():
    _, text = send("/", method="GET", HTTP_HOST="evil.example", HTTP_ACCEPT="text/html")
    assert "evil.example" in text
    assert "ALLOWED_HOSTS" in text
    assert without_secrets("nothing of it") == "nothing of it"
