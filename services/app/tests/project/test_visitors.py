"""Nobody reaches another visitor's uploads, unless they share one board."""

import time

import pytest
from django.core import signing
from django.test import Client

from s3tasks.web import visitor_cookie
from support.multipart import post
from support.samples import picture
from uploads.models import Upload

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner(disk):
    """A visitor with an image and a file."""
    owner = Client()
    post(owner, "/", ("image", "secret.png", picture()))
    post(owner, "/files/", ("file", "secret.pdf", b"%PDF"))
    return owner


@pytest.fixture
def stranger():
    """Another visitor, who has been here before."""
    stranger = Client()
    stranger.get("/")
    return stranger


def delete_each(client):
    ids = Upload.objects.values_list("id", flat=True)
    return [client.post(f"/uploads/{upload_id}/delete/").status_code for upload_id in list(ids)]


class TestStranger:
    @pytest.mark.parametrize("path", ["/", "/files/"])
    def test_a_stranger_sees_nothing(self, owner, stranger, path):
        assert "secret" in owner.get(path).content.decode()
        assert "secret" not in stranger.get(path).content.decode()

    def test_a_stranger_cannot_delete(self, owner, stranger):
        assert delete_each(stranger) == [404, 404]
        assert Upload.objects.count() == 2

    @pytest.mark.parametrize("path", ["/images/clear/", "/files/clear/"])
    def test_a_stranger_clears_only_what_is_theirs(self, owner, stranger, path):
        assert stranger.post(path).status_code == 302
        assert Upload.objects.count() == 2

    def test_the_owner_can_delete(self, owner):
        assert delete_each(owner) == [302, 302]

    def test_the_owner_can_clear(self, owner):
        owner.post("/images/clear/")
        owner.post("/files/clear/")
        assert not Upload.objects.exists()

    def test_whoever_has_a_link_follows_it(self, owner, stranger):
        token = Upload.objects.get(filename="secret.pdf").link.token
        assert stranger.get(f"/f/{token}").status_code == 302


class TestSharedBoard:
    @pytest.fixture(autouse=True)
    def shared(self, settings):
        settings.SHARED_BOARD = True

    @pytest.mark.parametrize("path", ["/", "/files/"])
    def test_everybody_sees_everything_and_is_told_so(self, owner, stranger, path):
        html = stranger.get(path).content.decode()
        assert "secret" in html
        assert "This board is shared" in html

    def test_everybody_can_delete(self, owner, stranger):
        assert delete_each(stranger) == [302, 302]
        assert not Upload.objects.exists()

    def test_everybody_can_clear(self, owner, stranger):
        stranger.post("/images/clear/")
        stranger.post("/files/clear/")
        assert not Upload.objects.exists()


class TestCookie:
    def test_it_is_out_of_reach_for_scripts_and_other_sites(self, client):
        cookie = client.get("/").cookies[visitor_cookie.COOKIE]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
        assert not cookie["secure"]

    def test_over_https_it_stays_on_this_host_and_https(self, client):
        """What `__Host-` promises, browsers only believe with all of these."""
        cookie = client.get("/", secure=True).cookies["__Host-visitor"]
        assert cookie["secure"]
        assert (cookie["path"], cookie["domain"]) == ("/", "")
        assert cookie["httponly"]

    def test_it_outlives_every_upload_and_each_answer_renews_it(self, client, settings):
        first = client.get("/").cookies[visitor_cookie.COOKIE]
        again = client.get("/files/").cookies[visitor_cookie.COOKIE]
        assert first.value.split(":")[0] == again.value.split(":")[0]
        assert again["max-age"] > settings.UPLOAD_TTL_MAX

    def test_each_visitor_has_another(self):
        values = {Client().get("/").cookies[visitor_cookie.COOKIE].value for _ in range(3)}
        assert len(values) == 3

    @pytest.mark.parametrize("forge", ["{id}", "{id}:1:x", "{id}:{rest}x", "", "é", "x" * 5000])
    def test_a_forged_one_makes_a_new_visitor(self, owner, forge):
        upload_id, _, rest = owner.cookies[visitor_cookie.COOKIE].value.partition(":")
        forger = Client()
        forger.cookies[visitor_cookie.COOKIE] = forge.format(id=upload_id, rest=rest)
        response = forger.get("/files/")
        assert response.status_code == 200
        assert "secret" not in response.content.decode()
        assert response.cookies[visitor_cookie.COOKIE].value.split(":")[0] != upload_id

    def test_another_cookie_of_ours_is_no_visitor(self, owner):
        """A value that was signed for something else does not pass."""
        upload_id = owner.cookies[visitor_cookie.COOKIE].value.partition(":")[0]
        forger = Client()
        forger.cookies[visitor_cookie.COOKIE] = signing.get_cookie_signer(salt="other").sign(
            upload_id
        )
        assert "secret" not in forger.get("/files/").content.decode()


class TestAge:
    """A cookie is good for as long as what was uploaded with it can live, and no longer."""

    @pytest.fixture
    def life(self):
        return visitor_cookie.max_age()

    def later(self, monkeypatch, seconds):
        now = time.time() + seconds
        monkeypatch.setattr(signing.time, "time", lambda: now)

    @pytest.mark.parametrize("secure", [False, True])
    @pytest.mark.parametrize(("after", "known"), [(-1, True), (1, False)])
    def test_an_old_one_is_nobodys(self, disk, monkeypatch, life, secure, after, known):
        browser = Client()
        post(browser, "/files/", ("file", "mine.pdf", b"1"), secure=secure)
        browser.get("/files/", secure=secure)  # which says once that it came
        self.later(monkeypatch, life + after)
        assert ("mine.pdf" in browser.get("/files/", secure=secure).content.decode()) == known

    def test_an_old_one_is_nobodys_to_programs_either(self, disk, monkeypatch, life):
        browser = Client()
        browser.get("/")
        assert browser.get("/api/uploads").status_code == 200
        self.later(monkeypatch, life + 1)
        assert browser.get("/api/uploads").status_code == 401

    def test_the_age_follows_how_long_uploads_live(self, settings, life):
        settings.UPLOAD_TTL_MAX += 100
        assert visitor_cookie.max_age() == life + 100 > settings.UPLOAD_TTL_MAX


class TestEarlierName:
    """Before, the cookie was named `visitor` over HTTPS as well."""

    @pytest.fixture
    def earlier(self, owner):
        """A browser that was here, over HTTPS, before the name changed."""
        return owner

    def test_its_uploads_stay_and_it_gets_the_new_one(self, earlier):
        answer = earlier.get("/files/", secure=True)
        assert "secret.pdf" in answer.content.decode()
        assert answer.cookies["__Host-visitor"].value
        assert answer.cookies["visitor"]["max-age"] == 0
        del earlier.cookies["visitor"]
        assert "secret.pdf" in earlier.get("/files/", secure=True).content.decode()

    def test_programs_know_it(self, earlier):
        assert len(earlier.get("/api/uploads", secure=True).json()) == 2

    def test_one_planted_beside_the_new_one_is_not_looked_at(self, earlier, owner):
        """A neighbour's host can set `visitor` for ours; `__Host-` it can't."""
        stranger = Client()
        stranger.get("/", secure=True)
        stranger.cookies["visitor"] = owner.cookies["visitor"].value
        assert "secret" not in stranger.get("/files/", secure=True).content.decode()

    def test_the_new_value_is_none_under_the_old_name(self, owner):
        owner.get("/files/", secure=True)
        stranger = Client()
        stranger.cookies["visitor"] = owner.cookies["__Host-visitor"].value
        assert "secret" not in stranger.get("/files/", secure=True).content.decode()
        assert "secret" not in stranger.get("/files/").content.decode()

    def test_over_plain_http_the_new_name_is_not_looked_at(self, owner):
        owner.get("/files/", secure=True)
        stranger = Client()
        stranger.cookies["__Host-visitor"] = owner.cookies["__Host-visitor"].value
        assert "secret" not in stranger.get("/files/").content.decode()
