"""What the lines hold: an id that goes from the request into its tasks, and nothing secret."""

import io
import json
import logging
import logging.config
import re
import socket

import pytest
import requests
from django.db import connection

from s3tasks import logs, request_id
from support import APP
from support.multipart import csrf_token
from support.served import Server

ID = "8f14e45f-ceea-467f-9e5a-0123456789ab"


@pytest.fixture
def lines(monkeypatch):
    """Production's lines, read."""
    stream = io.StringIO()
    configuration = logs.configuration(json=True)
    configuration["handlers"]["console"]["stream"] = stream
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    logging.config.dictConfig(configuration)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:], root.level = kept, level


@pytest.fixture(autouse=True)
def behind_a_proxy(settings):
    settings.TRUSTED_PROXIES = 1


@pytest.mark.django_db
def test_a_request_is_a_line_of_json_with_the_routers_id(client, lines):
    client.get("/files/?secret=word", headers={"X-Request-ID": ID})
    (line,) = [line for line in lines() if line["logger"] == "s3tasks.access"]
    assert line["request_id"] == ID
    assert (line["level"], line["status"]) == ("INFO", 200)
    assert line["message"].startswith("GET /files/ 200 in ")


@pytest.mark.django_db
def test_no_line_holds_a_link_or_a_query(client, lines):
    client.get("/f/AAAAAAAAAAAAAAAAAAAAAA?secret=word")
    client.get("/a-visitors-report.pdf")
    assert lines()
    assert not [x for x in map(str, lines()) if "AAAA" in x or "word" in x or "report" in x]


@pytest.mark.parametrize("forged", ["short", "x" * 201, 'a"b' * 10, "a b" * 10])
@pytest.mark.django_db
def test_what_is_no_id_is_replaced(client, lines, forged):
    client.get("/", headers={"X-Request-ID": forged})
    assert lines()
    assert forged not in {line["request_id"] for line in lines()}


@pytest.mark.django_db
def test_without_a_proxy_nobody_chooses_the_id(client, lines, settings):
    settings.TRUSTED_PROXIES = 0
    client.get("/", headers={"X-Request-ID": ID})
    assert ID not in {line["request_id"] for line in lines()}


def test_a_task_carries_the_id_of_what_sent_it():
    headers: dict = {}
    token = request_id.current.set(ID)
    request_id.send_request_id(headers=headers)
    request_id.current.reset(token)
    assert headers == {"request_id": ID}


def test_a_task_takes_the_id_and_leaves_it(lines):
    class Task:
        class request:
            request_id = ID

    request_id.take_request_id(task=Task)
    logging.getLogger("uploads").info("at work")
    request_id.leave_request_id()
    logging.getLogger("uploads").info("idle")
    first, second = lines()
    assert first["request_id"] == ID
    assert "request_id" not in second


def test_a_tick_is_not_worth_a_line(lines):
    for name in ("tick", "expire"):
        logging.getLogger("celery.app.trace").info("ended", extra={"data": {"name": name}})
    assert len(lines()) == 1


def test_a_traceback_is_short_enough_for_heroku(lines):
    def fall(depth):
        if depth:
            fall(depth - 1)
        raise RuntimeError("x" * 100)

    try:
        fall(200)
    except RuntimeError as error:
        reason = repr(error)
        logging.getLogger("celery.app.trace").exception(
            "Task expire[1] raised unexpected: %s",
            reason,
            extra={"data": {"name": "expire", "args": "()", "traceback": "x" * 20_000}},
        )
    (line,) = lines()
    assert len(json.dumps(line)) < 10_000
    assert line["exc_info"].endswith(reason.replace("('", ": ").replace("')", ""))
    assert line["args"] == "()"


# --- All that web says -------------------------------------------------------------------------

WORD = "Aardvark"  # all that a visitor gives is named so
SIZE = len(WORD)
UNREADABLE = [
    f"GET /{WORD}\r\n\r\n",
    f"GET /{WORD} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie {WORD}\r\n\r\n",
    f"PUT /{WORD} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {WORD}\r\n\r\n",
    (
        f"PUT /{WORD} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-Proto: https\r\n"
        f"Transfer-Encoding: chunked\r\n\r\n{WORD}\r\n"
    ),
]


def production(**environment):
    return {
        "DJANGO_SETTINGS_MODULE": "support.unbuilt",
        "PYTHONPATH": str(APP / "tests"),
        "DEBUG": "",
        "ALLOWED_HOSTS": "127.0.0.1",
        "TRUSTED_PROXIES": "1",
        "UPLOAD_RATE": "100",
        **environment,
    }


def use_every_door(server) -> list[str]:
    """Right and wrong requests, of words that no line may hold; the secrets of the answers."""
    given: list[str] = []

    def ask(method, path, **options):
        headers = {"X-Forwarded-Proto": "https", **options.pop("headers", {})}
        address = f"http://127.0.0.1:{server.port}{path}"
        answer = requests.request(
            method, address, headers=headers, allow_redirects=False, timeout=20, **options
        )
        told = f"{answer.text} {answer.headers}"
        given.extend(re.findall(r"(?<=/[fid]/)[\w:-]{22,}|(?<=Signature=)\w+", told))
        given.extend(answer.cookies.values())
        return answer

    answer = ask("PUT", f"/{WORD}.pdf?{WORD}", data=WORD)
    if answer.status_code == 201:
        link = answer.text.strip().partition(str(server.port))[2]
        assert ask("GET", link).status_code == 302
        ask("GET", f"{link}/{WORD}?{WORD}")
        ask("GET", answer.headers["X-Url-Delete"].partition(str(server.port))[2])
    ask("PUT", f"/{WORD}.pdf", data=WORD, headers={"Ttl": WORD})
    ask("PUT", f"/{WORD}/{WORD}.pdf", data=WORD)
    claim = {"kind": "file", "filename": WORD, "name": WORD, "size": SIZE, "content_type": WORD}
    answer = ask("POST", "/api/uploads", json=claim)
    if answer.status_code == 201:
        claimed = answer.json()
        given += [claimed["owner_token"], *claimed["ticket"]["fields"].values()]
        bearer = {"Authorization": f"Bearer {claimed['owner_token']}"}
        ask("POST", f"/api/uploads/{claimed['id']}/complete", headers=bearer)
    page = ask("GET", "/files/")
    cookies = "; ".join(f"{name}={value}" for name, value in page.cookies.items())
    headers = {"Cookie": cookies, "Referer": f"https://127.0.0.1:{server.port}/{WORD}"}
    fields = {"csrfmiddlewaretoken": csrf_token(page.text), "description": WORD}
    for name in (WORD, f"{WORD}\t"):
        ask("POST", "/files/", headers=headers, files={"file": (name, WORD)}, data=fields)
    ask("POST", "/api/uploads", data=WORD, headers={"Content-Type": "application/json"})
    ask("GET", f"/api/uploads?{WORD}", headers={"Authorization": f"Bearer {WORD}"})
    ask("GET", "/", headers={"Cookie": f"visitor={WORD}; sessionid={WORD}"})
    ask("POST", f"/files/?{WORD}", files={"file": (WORD, WORD)}, data={"description": WORD})
    ask("POST", "/admin/login/", data={"username": WORD, "password": WORD})
    ask("GET", f"/{WORD}/{WORD}?{WORD}")
    ask("GET", f"/readyz?{WORD}")
    for request in UNREADABLE:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
            client.sendall(request.encode())
            client.recv(100)
    return [secret for secret in given if len(secret) > 10]


@pytest.mark.parametrize("failing", ["nothing", "database", "storage and Redis"])
@pytest.mark.django_db(transaction=True)
def test_no_line_of_webs_holds_what_a_visitor_gave_or_got(s3, tmp_path, failing):
    spool = tmp_path / "spool"
    spool.mkdir()
    environment = production()
    if failing == "storage and Redis":
        environment["AWS_S3_ENDPOINT_URL"] = "http://127.0.0.1:1"
        environment["REDIS_URL"] = f"redis://:{WORD}@127.0.0.1:1"
    if failing == "database":
        with connection.cursor() as cursor:
            cursor.execute(
                f"ALTER TABLE uploads_upload ADD CONSTRAINT refused CHECK (size_bytes <> {SIZE})"
            )
    try:
        with Server(s3.bucket, spool, **environment) as server:
            secrets = use_every_door(server)
            server.stop()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE uploads_upload DROP CONSTRAINT IF EXISTS refused")
    said = server.said.read_text()
    lines = [json.loads(line) for line in said.splitlines()]
    assert sum(line["logger"] == "s3tasks.access" for line in lines) >= 9
    assert sum(line["message"] == "Invalid request" for line in lines) >= 3
    assert ("violates check constraint" in said) == (failing == "database")
    assert len(secrets) > 10 or failing != "nothing"
    assert not [secret for secret in [WORD, *secrets] if secret in said]
    assert all("request_id" in line for line in lines if line["logger"].startswith("django"))
