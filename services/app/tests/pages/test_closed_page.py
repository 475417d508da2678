"""The doors of a protected link: closed to everything but a POST, whatever is behind them."""

import io
import re

import pytest
from django.test import Client

from pages.closed import FORM_BYTES
from support.samples import at_once, fetch
from uploads.links.protection import PASS_LIFE
from uploads.models import GUESSES_MAX, Link, Upload
from uploads.storage import storage

pytestmark = pytest.mark.django_db

HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PREVIEWS = {
    "Slack": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Telegram": "TelegramBot (like TwitterBot)",
    "WhatsApp": "WhatsApp/2.23.20.0",
    "Discord": "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "Signal": "WhatsApp/2",
    "Teams": "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",
    "Facebook": "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
}


@pytest.fixture(autouse=True)
def quick(settings):
    """Passwords that are hashed in no time."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def protect(receive):
    """A protected link of so many files."""

    def protect(files=1, *, content=b"a secret", filename="salaries.pdf", **protection):
        first = receive("file", content, filename=filename, name="For Ana", ttl=600, **protection)
        for number in range(1, files):
            receive("file", content, filename=f"{number}-{filename}", link_id=first.link_id)
        return first.link

    return protect


def path(link, end="") -> str:
    return link.get_absolute_url() + end


def text(response) -> str:
    return response.content.decode()


def head(response) -> list[tuple[str, str]]:
    """Its headers, but for the clock's."""
    return sorted(item for item in response.items() if item[0] != "Expires")


def downloads(link) -> int:
    return Link.objects.get(id=link.id).downloads


class TestClosed:
    @pytest.mark.parametrize("end", ["", "/salaries.pdf", "/another.pdf", ".zip"])
    @pytest.mark.parametrize("protection", [{"password": "sesame"}, {"max_downloads": 1}])
    def test_a_browser_gets_a_form_and_nothing_of_what_is_behind_it(
        self, store, client, protect, protection, end
    ):
        link = protect(**protection)
        response = client.get(path(link, end), HTTP_ACCEPT=HTML)
        assert response.status_code == 200
        assert f'action="{path(link)}"' in text(response)
        assert ('type="password"' in text(response)) == ("password" in protection)
        assert not re.search("salaries|Ana|secret|8.bytes|left", text(response))
        assert "no-store" in response["Cache-Control"]
        assert "Accept" in response["Vary"]

    @pytest.mark.parametrize("end", ["", "/salaries.pdf"])
    @pytest.mark.parametrize(
        ("protection", "data"), [({"password": "a"}, "password=…"), ({"max_downloads": 1}, "''")]
    )
    def test_a_program_gets_the_line_that_opens_it(
        self, store, client, protect, protection, data, end
    ):
        link = protect(**protection)
        response = client.get(path(link, end), HTTP_ACCEPT="*/*")
        assert response.status_code == 403
        assert response["Content-Type"].startswith("text/plain")
        assert f"curl -LOJ -d {data} http://testserver{path(link)}\n" in text(response)
        assert text(response).count("\n") == 1

    @pytest.mark.parametrize("accept", [HTML, "*/*"])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("protection", [{"password": "a"}, {"max_downloads": 3}])
    def test_it_is_the_same_to_the_byte_for_any_files(
        self, disk, client, protect, protection, method, accept
    ):
        one = protect(**protection)
        ten = protect(10, content=b"x" * 100_000, filename="other.zip", **protection)

        def answer(link):
            response = client.generic(method, path(link), HTTP_ACCEPT=accept)
            said = [response.content, str(head(response)).encode()]
            return [part.replace(link.token.encode(), b"TOKEN") for part in said]

        assert answer(one) == answer(ten)

    @pytest.mark.parametrize("agent", PREVIEWS.values(), ids=PREVIEWS)
    @pytest.mark.parametrize("accept", [HTML, "*/*", None])
    def test_no_preview_spends_a_download(self, store, client, protect, agent, accept):
        link = protect(max_downloads=1)
        head = {"HTTP_USER_AGENT": agent} | ({"HTTP_ACCEPT": accept} if accept else {})
        for end in ["", "/salaries.pdf", ".svg"]:
            assert client.get(path(link, end), **head).status_code in {200, 403}
        assert downloads(link) == 0

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PATCH", "DELETE", "TRACE"])
    @pytest.mark.parametrize(
        "head", [{}, {"Range": "bytes=0-0"}, {"Sec-Purpose": "prefetch;prerender"}], ids=str
    )
    def test_nothing_but_a_post_opens_it(self, store, client, protect, method, head):
        link = protect(max_downloads=1)
        for _ in range(10):
            for end in ["", "/salaries.pdf", ".zip"]:
                response = client.generic(method, path(link, end), headers=head)
                assert "Location" not in response
                assert b"secret" not in response.content
        assert downloads(link) == 0

    def test_its_qr_code_stays(self, store, client, protect):
        response = client.get(path(protect(password="a"), ".svg"))
        assert (response.status_code, response["Content-Type"]) == (200, "image/svg+xml")

    def test_a_form_may_lead_to_storage(self, s3, client, protect, settings):
        response = client.get(path(protect(max_downloads=1)), HTTP_ACCEPT=HTML)
        policy = response["Content-Security-Policy"]
        sources = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]["img-src"]
        assert f"form-action {' '.join(sources)};" in f"{policy};"


class TestOpening:
    @pytest.mark.parametrize("accept", [HTML, "*/*"])
    @pytest.mark.parametrize("protection", [{"password": "ção 1&2"}, {"max_downloads": 2}])
    def test_a_post_leads_to_the_one_file(self, store, protect, protection, accept):
        link = protect(**protection)
        sender = Client(enforce_csrf_checks=True)
        answer = sender.post(
            path(link), {"password": protection.get("password", "")}, HTTP_ACCEPT=accept
        )
        assert answer.status_code == 303
        assert "no-store" in answer["Cache-Control"]
        assert not answer.cookies
        got = fetch(answer["Location"])
        assert got.body == b"a secret"
        assert "salaries.pdf" in got.headers["Content-Disposition"]
        assert downloads(link) == 1

    def test_of_several_it_leads_to_the_page_which_is_open_to_this_browser_alone(
        self, store, client, protect
    ):
        link = protect(3, password="sesame", max_downloads=1)
        answer = client.post(path(link), {"password": "sesame"})
        assert (answer.status_code, answer["Location"]) == (303, path(link))
        cookie = answer.cookies["pass"]
        assert cookie["path"] == path(link)
        assert cookie["httponly"]
        assert (cookie["samesite"], cookie["max-age"]) == ("Lax", PASS_LIFE)
        assert "sesame" not in cookie.value
        for end in ["/salaries.pdf", "/1-salaries.pdf", "/2-salaries.pdf"]:
            assert fetch(client.get(path(link, end))["Location"]).body == b"a secret"
            assert Client().get(path(link, end)).status_code == 404
        page = client.get(path(link), HTTP_ACCEPT=HTML)
        assert "salaries.pdf" in text(page)
        assert "last download" in text(page)
        assert "<time" not in text(page)  # of which the link has none
        assert client.get(path(link, ".zip")).status_code == 503  # is being made
        assert Client().get(path(link, ".zip")).status_code == 404
        assert client.post(path(link)).status_code == 303  # of who went back and pressed again
        assert downloads(link) == 1

    def test_over_https_the_cookie_stays_there(self, store, client, protect):
        link = protect(2, max_downloads=1)
        assert client.post(path(link), secure=True).cookies["pass"]["secure"]

    def test_the_owner_has_it_open_without_a_download(self, store, client):
        file = io.BytesIO(b"mine")
        file.name = "mine.txt"
        client.get("/files/")
        client.post("/files/", {"file": file, "description": "", "ttl": 600})
        link = Upload.objects.get().link
        Link.objects.update(max_downloads=1)
        assert client.post(path(link)).status_code == 303
        assert fetch(client.get(path(link, "/mine.txt"))["Location"]).body == b"mine"
        assert "mine.txt" in text(client.get(path(link), HTTP_ACCEPT=HTML))
        assert downloads(link) == 0
        assert Client().get(path(link)).status_code == 403

    @pytest.mark.parametrize("files", [1, 3])
    def test_an_open_link_is_opened_and_not_counted(self, store, client, protect, files):
        link = protect(files)
        answer = client.post(path(link), {"password": "whatever"})
        assert answer.status_code == 303
        assert not answer.cookies
        assert downloads(link) == 0

    @pytest.mark.django_db(transaction=True)  # another thread removes what has vanished
    def test_what_has_vanished_costs_no_download(self, store, client, protect):
        link = protect(max_downloads=1)
        storage().delete([link.uploads.get().served_key])
        assert client.post(path(link)).status_code == 404
        assert not Link.objects.filter(downloads__gt=0).exists()


class TestRefused:
    def test_a_wrong_password_is_said_beside_the_field(self, store, client, protect):
        link = protect(password="sesame")
        response = client.post(path(link), {"password": "wr0ng"}, HTTP_ACCEPT=HTML)
        assert response.status_code == 403
        field = re.search(r"<input[^>]*name=\"password\"[^>]*>", text(response)).group()
        assert 'aria-invalid="true"' in field
        assert "autofocus" in field
        (described,) = re.findall(r'aria-describedby="(\w+)"', field)
        assert re.search(rf'id="{described}"[^>]*>This is not the password', text(response))
        assert "wr0ng" not in text(response)
        assert "salaries" not in text(response)

    def test_a_program_reads_it_in_a_line(self, store, client, protect):
        response = client.post(path(protect(password="sesame")), HTTP_ACCEPT="*/*")
        assert response.status_code == 403
        assert text(response).startswith("This is not the password")
        assert "curl -LOJ -d password=…" in text(response)

    @pytest.mark.parametrize("accept", [HTML, "*/*"])
    def test_twenty_wrong_ones_shut_all_out_for_a_while(self, store, client, protect, accept):
        link = protect(password="sesame")
        for number in range(GUESSES_MAX):
            assert client.post(path(link), {"password": number}).status_code == 403
        response = client.post(path(link), {"password": "sesame"}, HTTP_ACCEPT=accept)
        assert response.status_code == 429
        assert 590 < int(response["Retry-After"]) <= 600
        assert "Too many wrong passwords" in text(response)
        assert client.get(path(link), HTTP_ACCEPT=HTML).status_code == 200

    @pytest.mark.parametrize("accept", [HTML, "*/*"])
    @pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
    @pytest.mark.parametrize("end", ["", "/salaries.pdf", ".svg", ".zip", ".json"])
    def test_used_up_is_like_one_that_never_was(self, store, client, protect, method, accept, end):
        link = protect(max_downloads=1)
        assert client.post(path(link)).status_code == 303

        def answer(token):
            response = client.generic(method, f"/f/{token}{end}", HTTP_ACCEPT=accept)
            return response.status_code, response.content, head(response)

        assert answer(link.token) == answer("A" * 22)
        if end != ".json" and (method != "POST" or not end):
            assert answer(link.token)[0] == 404

    def test_no_hash_is_on_a_page_or_in_the_api(self, store, client, protect):
        link = protect(password="sesame")
        pages = [
            client.get(path(link), HTTP_ACCEPT=HTML),
            client.post(path(link), {"password": "x"}, HTTP_ACCEPT=HTML),
            client.get("/api/openapi.json"),
        ]
        assert not [page for page in pages if link.password in text(page)]


class TestBodies:
    @pytest.fixture
    def link(self, disk, protect):
        return protect(password="sesame", max_downloads=1)

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (b"", ""),
            (b"", "application/x-www-form-urlencoded"),
            (b"password", "application/x-www-form-urlencoded"),
            (b"password=%ff%fe%00", "application/x-www-form-urlencoded"),
            (b"password=" + b"x" * 5_000_000, "application/x-www-form-urlencoded"),
            (b"a=1&" * (FORM_BYTES // 4) + b"password=sesame", "application/x-www-form-urlencoded"),
            (b'{"password": "sesame"}', "application/json"),
            (b"password=sesame", "text/plain"),
            (b"password=sesame", "application/x-www-form-urlencoded; charset=punycode"),
            (b"password=sesame", "application/x-www-form-urlencoded; charset=utf-16"),
            (b"\xff\xfe" * 1000, "multipart/form-data"),
            (b"\xff\xfe" * 1000, "multipart/form-data; boundary=x"),
            (b"x", "x/y; a=" + "b" * 5000),
            (b"x", "\x01"),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_whatever_a_body_is_it_opens_nothing(self, client, link, body, content_type):
        answer = client.generic("POST", path(link), body, content_type)
        assert answer.status_code in {400, 403}
        assert downloads(link) == 0

    def test_a_file_sent_along_is_dropped(self, client, link):
        data = {"password": "sesame", "file": io.BytesIO(b"x" * 3_000_000)}
        assert client.post(path(link), data).status_code == 303

    def test_a_form_in_chunks_is_read(self, client, link):
        extra = {"wsgi.input": io.BytesIO(b"password=sesame"), "wsgi.input_terminated": True}
        extra |= {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
        answer = client.generic("POST", path(link), HTTP_TRANSFER_ENCODING="chunked", **extra)
        assert answer.status_code == 303

    def test_a_sender_whose_line_was_cut_spends_nothing(self, disk, client, protect):
        link = protect(max_downloads=1)
        extra = {"wsgi.input": io.BytesIO(b"password="), "CONTENT_LENGTH": "100"}
        answer = client.generic("POST", path(link), b"password=", **extra)
        assert answer.status_code == 409
        assert downloads(link) == 0


@pytest.mark.django_db(transaction=True)
def test_of_twenty_posts_at_once_one_gets_the_bytes(s3, protect):
    link = protect(password="sesame", max_downloads=1)
    answers = at_once(lambda _: Client().post(path(link), {"password": "sesame"}), range(20))
    assert sorted(answer.status_code for answer in answers) == [303] + [404] * 19
    (address,) = [answer["Location"] for answer in answers if answer.status_code == 303]
    assert fetch(address).body == b"a secret"
