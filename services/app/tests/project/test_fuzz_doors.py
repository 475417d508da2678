"""Headers, cookies, query strings, forms, JSON and names that nobody meant, at every door: each has
an answer, and none is a 500.

Seeded, so that every run is the same. With EXAMPLES=3000 in the environment they look longer.
"""

import json
import os
import traceback
import uuid
from itertools import cycle, product
from urllib.parse import quote, urlencode

import pytest
from django.contrib.auth.models import User
from django.core.signals import got_request_exception
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from api.auth import owner_token
from support import multipart
from support.gateway import send
from uploads.links import follow
from uploads.models import Kind, PurgeKey, Sweep
from uploads.storage import storage

pytestmark = pytest.mark.django_db

seeded = hypothesis_settings(
    max_examples=int(os.environ.get("EXAMPLES", "40")),
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

TOKEN = "x" * 32  # a cookie and a field that are the same are Django's CSRF token
OWNER = uuid.UUID(int=7)
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "x"]
NASTY = [
    "",
    "0",
    "-1",
    "9" * 5000,
    "bytes=0-" + "9" * 5000,
    "bytes=-0",
    "bytes=5-1,2-3",
    "bytes 0-1/*",
    "\xff\xfe",
    '"\\000abcdefgh"',
    '"\\377\\377"',
    "%00",
    "%ff%fe",
    "../../etc/passwd",
    "'; DROP TABLE uploads_upload; --",
    "a" * 8000,
    "*/*;q=" + "9" * 400,
    "en-" * 200,
    "a/b; x*=idna''%ff",
    "a/b; x*" + "9" * 5000 + "=1",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=" + "a" * 300,
    "application/json; charset=punycode",
    "application/x-www-form-urlencoded; charset=idna",
    "http://[::1",
    "http://a:99999999/",
    "https://testserver",
    "[::1]:80:80",
    "a b",
    "testserver:" + "9" * 30,
    "Bearer ",
    "Bearer \xff",
    "Basic " + "=" * 30,
    "Sun, 99 Nov 99999 99:99:99 GMT",
    "Thu, 01 Jan 0000 00:00:00 GMT",
    "Mon, 01 Jan 10000 00:00:00 +9999",
    'W/"' + "a" * 100,
    "1.2.3.4:567, [::1]:5",
    ":" * 50,
    "null",
    "chunked",
    "gzip;q=nan, br;q=inf",
]
# As gunicorn lets them through: no control characters but the tab.
LATIN = st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=60)
values = st.one_of(st.sampled_from(NASTY), LATIN)
texts = st.one_of(st.sampled_from(NASTY), st.text(max_size=60))
HEADERS = """
    CONTENT_TYPE HTTP_ACCEPT HTTP_ACCEPT_ENCODING HTTP_ACCEPT_LANGUAGE HTTP_AUTHORIZATION
    HTTP_CONTENT_RANGE HTTP_COOKIE HTTP_EXPECT HTTP_HOST HTTP_IF_MATCH HTTP_IF_MODIFIED_SINCE
    HTTP_IF_NONE_MATCH HTTP_IF_RANGE HTTP_ORIGIN HTTP_RANGE HTTP_REFERER HTTP_TTL HTTP_USER_AGENT
    HTTP_X_CSRFTOKEN HTTP_X_FORWARDED_FOR HTTP_X_FORWARDED_HOST HTTP_X_FORWARDED_PROTO
    HTTP_X_HTTP_METHOD_OVERRIDE HTTP_X_REQUEST_ID HTTP_X_REQUESTED_WITH
""".split()  # noqa: SIM905
COOKIES = "visitor __Host-visitor csrftoken sessionid messages django_language x".split()  # noqa: SIM905


@pytest.fixture
def doors(disk, receive, settings):
    """A path of each door, and of each one that is signed a good one and a forged one."""
    settings.MAX_VISITOR_UPLOADS = 10**6
    settings.MAX_TOTAL_BYTES = 2**60
    settings.TRUSTED_PROXIES = 1
    file, image = receive("file", b"0123", filename="a.txt"), receive("image")
    read = follow.follow_link(token=file.link.token, kind=Kind.FILE)
    ticket = storage().ticket(file.incoming_key, size_bytes=4, content_type="", seconds=60).url
    secret = follow.deletion_secret(file)
    return [
        *(
            "/",
            "/files/",
            "/files/?link=x",
            "/files",
            "/images/clear/",
            "/files/clear/",
            "/favicon.ico",
            "//",
            "/x",
        ),
        *(f"/links/{file.link_id}/delete/", f"/files/?link={file.link_id}", "/files/?link=x"),
        *(f"/uploads/{file.id}/delete/", f"/uploads/{uuid.uuid4()}/delete/", "/uploads/1/delete/"),
        *(f"/f/{file.link.token}", f"/i/{image.link.token}", "/f/x", "/i/" + "x" * 500, "/f/%00"),
        *(f"/f/{file.link.token}.svg", f"/i/{image.link.token}.svg", "/f/x.svg"),
        *(f"/d/{secret}", f"/d/{secret}x", "/d/%00", "/d/%ff:1:x"),
        *(read, read + "x", ticket, ticket + "x", "/storage/.eJw:1:x", "/storage/%00"),
        *(
            "/api/links",
            f"/api/links/{file.link_id}",
            "/api/uploads",
            "/api/docs",
            "/api/openapi.json",
            "/api/",
            "/api/nothing",
        ),
        *(f"/api/uploads/{file.id}", f"/api/uploads/{file.id}/complete", "/api/uploads/x"),
        *(
            "/healthz",
            "/readyz",
            "/sharex.sxcu",
            "/static/pages/style.css",
            "/static/%00",
            "/static/",
        ),
        *("/admin/", "/admin/login/", "/admin/login", "/admin/logout/", "/admin/jsi18n/"),
        *("/admin/uploads/upload/", "/admin/uploads/purgekey/a_00b/change/", "/admin/x/"),
    ]


@pytest.fixture(autouse=True)
def broken():
    """What Django caught of our errors, so that a failure shows where."""
    seen = []

    def note(request=None, **_):
        seen.append(traceback.format_exc(limit=-6))

    got_request_exception.connect(note)
    yield seen
    got_request_exception.disconnect(note)


def has_an_answer(broken, path, status, text):
    ours = "".join(broken)
    broken.clear()
    assert not ours, (path, ours)
    assert status < 500 or status == 503, (path, text)
    assert "Traceback" not in text


def test_each_known_trouble_in_each_header_has_an_answer(doors, broken):
    """What is drawn below meets a door and a header by chance; here every trouble meets each."""
    paths = cycle(doors)
    for name, value in product(HEADERS, NASTY):
        path, headers = next(paths), {"HTTP_COOKIE": f"csrftoken={TOKEN}", name: value}
        content_type = headers.pop("CONTENT_TYPE", "")
        answer = send(path, content_type, method="GET", **headers)
        has_an_answer(broken, path, *answer)
        if name == "CONTENT_TYPE":
            has_an_answer(broken, "/", *send("/", content_type, b"a=" + b"b-%ff" * 50, **headers))


def test_each_known_trouble_in_each_cookie_has_an_answer(doors, broken):
    paths = cycle(["/", "/admin/"])
    for name, value in product(COOKIES, NASTY):
        path = next(paths)
        answer = send(path, method="GET", HTTP_COOKIE=f"{name}={value}")
        has_an_answer(broken, path, *answer)


@seeded
@given(st.data())
def test_any_header_at_any_door_has_an_answer(doors, broken, data):
    path = data.draw(st.sampled_from(doors))
    method = data.draw(st.sampled_from(METHODS))
    headers = data.draw(st.dictionaries(st.sampled_from(HEADERS), values, min_size=1, max_size=5))
    body = data.draw(st.sampled_from([b"", b"0123", b"{}", b"\xff" * 10, b"a=b&" * 2000]))
    status, text = send(path, headers.pop("CONTENT_TYPE", ""), body, method=method, **headers)
    has_an_answer(broken, path, status, text)


@seeded
@given(st.data())
def test_any_cookie_at_any_door_has_an_answer(doors, broken, data):
    path = data.draw(st.sampled_from(doors))
    cookies = data.draw(st.dictionaries(st.sampled_from(COOKIES), values, min_size=1, max_size=5))
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    secure = data.draw(st.booleans())
    scheme = {"HTTP_X_FORWARDED_PROTO": "https"} if secure else {}
    for method in ("GET", "POST"):
        status, text = send(path, method=method, HTTP_COOKIE=header, **scheme)
        has_an_answer(broken, path, status, text)


@seeded
@given(st.data())
def test_any_query_at_any_door_has_an_answer(doors, broken, data):
    path = data.draw(st.sampled_from(doors)).partition("?")[0]
    names = st.one_of(st.sampled_from(["next", "q", "p", "o", "ttl", "all", "_popup"]), texts)
    pairs = data.draw(st.lists(st.tuples(names, texts), max_size=5))
    raw = data.draw(values)
    for query in (urlencode(pairs, errors="surrogatepass"), raw):
        status, text = send(path, method="GET", QUERY_STRING=query)
        has_an_answer(broken, path, status, text)


FORMS = ["/", "/files/", "/images/clear/", "/files/clear/", "/admin/login/", "/d/x", "/f/x"]
FIELDS = [
    "name",
    "description",
    "ttl",
    "image",
    "file",
    "username",
    "password",
    "next",
    "_charset_",
]


@seeded
@given(st.data())
def test_any_form_at_any_door_has_an_answer(doors, broken, data):
    path = data.draw(st.sampled_from([*FORMS, *doors]))
    names = st.one_of(st.sampled_from(FIELDS), texts)
    fields = data.draw(st.lists(st.tuples(names, texts), max_size=5))
    files = data.draw(
        st.lists(st.tuples(st.sampled_from(FIELDS), texts, st.binary(max_size=30)), max_size=3)
    )
    cookie = {"HTTP_COOKIE": f"csrftoken={TOKEN}"}
    pairs = [("csrfmiddlewaretoken", TOKEN), *fields]
    encoded = urlencode(pairs, errors="surrogatepass").encode()
    status, text = send(path, "application/x-www-form-urlencoded", encoded, **cookie)
    has_an_answer(broken, path, status, text)
    parts = [(n, t.encode(errors="surrogatepass")) for n, t in pairs] + files
    form = multipart.body(*parts)
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(form))))
    status, text = send(path, multipart.CONTENT_TYPE, form[:cut], **cookie)
    has_an_answer(broken, path, status, text)


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from([10**400, -1, 2**63, 1e308, float("inf"), float("nan"), "\ud800", "\0"]),
        st.floats(),
        texts,
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
WILD = [b"[" * 100_000, b"9" * 5000]
CLAIM = {"kind": "file", "filename": "a.txt", "size": 4, "content_type": "text/plain", "ttl": 60}


@seeded
@given(st.data())
def test_any_json_at_any_door_has_an_answer(doors, broken, data):
    path = data.draw(
        st.sampled_from(["/api/uploads", *(p for p in doors if p.startswith("/api/"))])
    )
    changed = data.draw(st.dictionaries(st.sampled_from([*CLAIM, "name", "x"]), json_values))
    claim = {**CLAIM, **changed}
    bodies = [
        json.dumps(claim).encode(),
        json.dumps(claim, ensure_ascii=False).encode("utf-8", errors="surrogatepass"),
        json.dumps(claim).encode("utf-16"),
        data.draw(
            st.one_of(st.binary(max_size=30), st.sampled_from([b"[" * 100_000, b"9" * 5000]))
        ),
    ]
    token = data.draw(st.sampled_from([owner_token(OWNER), "x", ""]))
    for body in bodies:
        for method in ("POST", "DELETE"):
            status, text = send(
                path,
                "application/json",
                body,
                method=method,
                **({"HTTP_AUTHORIZATION": f"Bearer {token}"} if token else {}),
            )
            has_an_answer(broken, path, status, text)


@seeded
@given(st.data())
def test_any_name_and_time_of_a_put_has_an_answer(doors, broken, data):
    name = data.draw(st.one_of(texts, st.binary(max_size=60)))
    raw = name if isinstance(name, bytes) else name.encode(errors="surrogatepass")
    ttl = data.draw(st.one_of(st.none(), values))
    extra = {} if ttl is None else {"HTTP_TTL": ttl}
    status, text = send("/" + quote(raw), "", b"0123", method="PUT", **extra)
    has_an_answer(broken, raw, status, text)
    if status == 201:
        link = "/f/" + text.strip().partition("/f/")[2]
        has_an_answer(broken, raw, *send(link, method="GET"))


ADMIN = ["uploads/upload", "uploads/purgekey", "uploads/sweep", "auth/user", "auth/group"]


@seeded
@given(st.data())
def test_whatever_the_operator_asks_has_an_answer(doors, operator, broken, data):
    place = f"/admin/{data.draw(st.sampled_from(ADMIN))}/"
    key = data.draw(st.one_of(texts, st.sampled_from(["a_00b", "_FF", "9" * 3000, "1"])))
    rest = data.draw(st.sampled_from(["", "change/", "delete/", "history/"]))
    path = place + (f"{quote(key, errors='surrogatepass')}/{rest}" if rest else "")
    known = ["q", "p", "o", "kind__exact", "state__exact", "id__exact", "token", "all", "e"]
    names = st.one_of(st.sampled_from(known), texts)
    pairs = data.draw(st.lists(st.tuples(names, texts), max_size=3))
    query = urlencode(pairs, errors="surrogatepass")
    cookie = {"HTTP_COOKIE": f"sessionid={operator}; csrftoken={TOKEN}"}
    status, text = send(path, method="GET", QUERY_STRING=query, **cookie)
    has_an_answer(broken, path, status, text)
    fields = [("csrfmiddlewaretoken", TOKEN), ("action", "delete_selected"), *pairs]
    fields.append(("_selected_action", key))
    form = urlencode(fields, errors="surrogatepass").encode()
    status, text = send(path, "application/x-www-form-urlencoded", form, **cookie)
    has_an_answer(broken, path, status, text)


@pytest.fixture
def operator():
    """The session of one who is logged in."""
    PurgeKey.objects.create(key="files/a")
    Sweep.objects.get_or_create(name="tick")
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client.cookies["sessionid"].value
