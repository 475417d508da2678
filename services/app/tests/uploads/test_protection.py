"""Protected links: how often they open, for whom, and what happens with the last download."""

import threading
import time
from datetime import timedelta

import pytest
from django.contrib.auth.hashers import check_password
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from support.samples import at_once, counts_every_byte, fetch, nothing_stays, used_bytes
from uploads import discard
from uploads.errors import (
    InvalidUpload,
    LinkProtected,
    RateLimited,
    StillPacking,
    UploadNotFound,
    WrongPassword,
)
from uploads.limits import DOWNLOADS_MAX, PASSWORD_MAX, check_claim
from uploads.links import follow, pack, protection, zips
from uploads.links.protection import NOBODY, Opener, new_pass, open_link
from uploads.models import GUESSES_MAX, Kind, Link, Upload
from uploads.sweeps import housekeeping

pytestmark = pytest.mark.django_db
QUICK = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def quick(settings):
    """Passwords that are hashed in no time."""
    settings.PASSWORD_HASHERS = QUICK


@pytest.fixture
def protect(receive, quick):
    """A protected link of so many files."""

    def protect(files=1, *, content=b"1234", ttl=600, **protection):
        first = receive("file", content, filename="0", ttl=ttl, **protection)
        for number in range(1, files):
            receive("file", content, filename=str(number), link_id=first.link_id)
        return first.link

    return protect


def attempt(link, password="", opener=NOBODY):
    """What a POST does; the uploads."""
    uploads, is_open = follow.look_behind(token=link.token, kind=Kind.FILE, opener=opener)
    if not is_open:
        open_link(link=uploads[0].link, uploads=uploads, password=password)
    return uploads


def outcome(link, password="") -> str:
    """How an attempt ends, in a word."""
    try:
        attempt(link, password)
    except (RateLimited, WrongPassword, UploadNotFound) as error:
        return type(error).__name__
    return "open"


def leads_somewhere(link, opener=NOBODY) -> bool:
    try:
        return bool(follow.uploads_behind(token=link.token, kind=Kind.FILE, opener=opener))
    except (LinkProtected, UploadNotFound) as error:
        return isinstance(error, LinkProtected)


def let_pass(link, time: timedelta) -> None:
    """As if so much time had passed since the wrong passwords."""
    link.refresh_from_db()
    Link.objects.filter(id=link.id).update(wrong_at=[at - time for at in link.wrong_at])


class TestClaim:
    def test_a_password_is_kept_hashed(self, store, receive):
        link = receive("file", b"1", password="ção").link
        assert check_password("ção", link.password)
        assert "ção" not in link.password

    def test_no_claim_shows_it(self, owner, quick):
        claim = check_claim(
            owner=owner, kind=Kind.FILE, filename="a", size_bytes=1, password="sesame"
        )
        assert "sesame" not in repr(claim)
        assert claim.password not in repr(claim)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"password": "x" * (PASSWORD_MAX + 1)},
            {"password": "a\nb"},
            {"password": "a\x00"},
            {"password": "\ud800"},
            {"max_downloads": 0},
            {"max_downloads": -1},
            {"max_downloads": DOWNLOADS_MAX + 1},
        ],
        ids=str,
    )
    def test_what_no_link_can_have_is_refused_with_a_sentence(self, quick, receive, wrong):
        with pytest.raises(InvalidUpload) as error:
            receive("file", b"1", **wrong)
        assert error.value.sentence
        assert not Link.objects.exists()

    @pytest.mark.parametrize("most", [1, 2, 7, DOWNLOADS_MAX])
    def test_any_number_from_one_on_is_taken(self, store, receive, most):
        assert receive("file", b"1", max_downloads=most).link.max_downloads == most

    @pytest.mark.parametrize("protected", [{"password": "a"}, {"max_downloads": 1}])
    def test_an_image_is_never_protected(self, store, receive, quick, protected):
        with pytest.raises(InvalidUpload, match="An image can't have"):
            receive("image", **protected)

    @pytest.mark.parametrize("protected", [{"password": "a"}, {"max_downloads": 1}])
    def test_a_file_that_joins_a_link_does_not_protect_it(self, store, receive, quick, protected):
        link = receive("file", b"1").link
        with pytest.raises(InvalidUpload, match="for the whole link"):
            receive("file", b"1", link_id=link.id, **protected)


class TestPassword:
    @pytest.mark.parametrize(
        ("kept", "typed"),
        [("sesame", "sesame"), (" a ", " a "), ("ç\u00e3o", "c\u0327a\u0303o"), ("日本", "日本")],
    )
    def test_it_opens_the_link_as_often_as_asked(self, store, protect, kept, typed):
        link = protect(password=kept)
        assert [outcome(link, typed) for _ in range(3)] == ["open"] * 3
        link.refresh_from_db()
        assert link.downloads == 3

    @pytest.mark.parametrize("wrong", ["", "Sesame", "sesame ", "x" * 10_000, "\x00", "日本"])
    def test_another_does_not_and_spends_nothing(self, store, protect, wrong):
        link = protect(password="sesame", max_downloads=1)
        assert outcome(link, wrong) == "WrongPassword"
        link.refresh_from_db()
        assert link.downloads == 0
        assert outcome(link, "sesame") == "open"

    def test_one_that_is_not_needed_does_no_harm(self, store, protect):
        assert outcome(protect(max_downloads=1), "whatever") == "open"

    @pytest.mark.parametrize(
        ("kept", "tried"),
        [("sesame", ""), ("sesame", "wrong"), ("sesame", "x" * 10_000), ("", "wrong")],
    )
    def test_it_is_hashed_whatever_is_wrong(self, store, protect, monkeypatch, kept, tried):
        from django.contrib.auth.hashers import MD5PasswordHasher

        hashed = []
        encode = MD5PasswordHasher.encode
        monkeypatch.setattr(
            MD5PasswordHasher, "encode", lambda *args: hashed.append(1) or encode(*args)
        )
        link = protect(password=kept, max_downloads=1)
        hashed.clear()
        outcome(link, tried)
        assert hashed == [1]

    def test_a_wrong_one_takes_no_less_time_than_the_right_one(self, disk, protect, settings):
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
        link = protect(password="sesame")

        def seconds(password) -> float:
            began = time.process_time()
            outcome(link, password)
            return time.process_time() - began

        right = min(seconds("sesame") for _ in range(3))
        for wrong in ["", "sesam", "x" * 10_000]:
            assert min(seconds(wrong) for _ in range(3)) > 0.8 * right


class TestGuesses:
    def test_after_twenty_wrong_ones_nobody_gets_in_for_ten_minutes(self, store, protect):
        link = protect(password="sesame")
        assert {outcome(link, str(n)) for n in range(GUESSES_MAX)} == {"WrongPassword"}
        for password in ["sesame", "wrong", ""]:
            assert outcome(link, password) == "RateLimited"
        let_pass(link, timedelta(minutes=9, seconds=50))
        with pytest.raises(RateLimited) as error:
            attempt(link, "sesame")
        assert 1 <= error.value.retry_after <= 10
        let_pass(link, timedelta(seconds=10))
        assert outcome(link, "sesame") == "open"

    def test_nineteen_shut_nobody_out(self, store, protect):
        link = protect(password="sesame")
        for number in range(GUESSES_MAX - 1):
            outcome(link, str(number))
        assert [outcome(link, "sesame"), outcome(link, "sesame")] == ["open", "open"]
        assert outcome(link, "wrong") == "WrongPassword"
        assert outcome(link, "sesame") == "RateLimited"

    def test_any_ten_minutes_have_twenty_also_across_a_boundary(self, store, protect):
        link = protect(password="sesame")
        for number in range(10):
            outcome(link, str(number))
        let_pass(link, timedelta(minutes=6))
        for number in range(10):
            outcome(link, str(number))
        assert outcome(link, "sesame") == "RateLimited"
        let_pass(link, timedelta(minutes=5))  # the first ten are over
        assert [outcome(link, str(n)) for n in range(11)] == ["WrongPassword"] * 10 + [
            "RateLimited"
        ]

    def test_another_link_is_not_concerned(self, store, protect):
        link, other = protect(password="sesame"), protect(password="sesame")
        for number in range(GUESSES_MAX):
            outcome(link, str(number))
        assert outcome(other, "sesame") == "open"

    def test_who_opened_it_before_still_has_it(self, store, protect):
        link = protect(2, password="sesame")
        link.refresh_from_db()
        opener = Opener(secret=new_pass(link))
        for number in range(GUESSES_MAX):
            outcome(link, str(number))
        assert len(attempt(link, opener=opener)) == 2

    @pytest.mark.django_db(transaction=True)
    def test_of_forty_at_once_twenty_are_tried(self, disk, protect):
        link = protect(password="sesame")
        gate = threading.Barrier(40)

        def guess(number):
            connection.ensure_connection()
            gate.wait(60)
            return outcome(link, str(number))

        said = at_once(guess, range(40))
        assert (said.count("WrongPassword"), said.count("RateLimited")) == (20, 20)


class TestLastDownload:
    @pytest.mark.parametrize("files", [1, 3])
    def test_with_it_the_link_is_gone_for_everybody_else(self, store, protect, owner, files):
        link = protect(files, max_downloads=2)
        assert [outcome(link) for _ in range(3)] == ["open", "open", "UploadNotFound"]
        assert not leads_somewhere(link)
        assert not leads_somewhere(link, Opener(visitor=owner))
        assert not Upload.objects.live().exists()
        assert not Upload.objects.known().exists()
        assert not Link.objects.known().exists()

    def test_before_it_nothing_ends(self, store, protect):
        link = protect(max_downloads=2)
        attempt(link)
        assert leads_somewhere(link)
        link.refresh_from_db()
        assert link.held_until is None

    def test_the_bytes_stay_for_who_has_it_and_then_go(self, store, protect):
        link = protect(max_downloads=1)
        (upload,) = attempt(link)
        address = follow.signed_address(upload)
        housekeeping.sweep("expire")
        housekeeping.sweep("purge")
        assert fetch(address).body == b"1234"
        assert used_bytes() == 4
        assert counts_every_byte()
        link.refresh_from_db()
        housekeeping.sweep("expire", now=link.held_until)
        assert nothing_stays(store)
        assert not Link.objects.exists()

    @pytest.mark.parametrize(("files", "begins"), [(1, 60), (3, 600)])
    def test_they_stay_for_as_long_as_a_slow_line_takes(
        self, disk, protect, monkeypatch, files, begins
    ):
        monkeypatch.setattr(protection, "SLOWEST", 4 / 100)
        link = protect(files, max_downloads=1, ttl=3600)
        attempt(link)
        link.refresh_from_db()
        kept = (link.held_until - timezone.now()).total_seconds()
        assert begins + 100 * files - 60 < kept <= begins + 100 * files

    def test_never_longer_than_they_would_have(self, disk, protect):
        link = protect(max_downloads=1, ttl=30)
        before = link.expires_at
        attempt(link)
        link.refresh_from_db()
        assert link.held_until == before
        assert link.expires_at < before

    def test_its_uploads_end_with_the_link(self, store, protect):
        link = protect(3, max_downloads=1)
        attempt(link)
        link.refresh_from_db()
        assert set(link.uploads.values_list("expires_at", flat=True)) == {link.expires_at}

    def test_who_has_the_pass_still_has_all_files(self, store, protect):
        link = protect(3, max_downloads=1)
        attempt(link)
        opener = Opener(secret=new_pass(link))
        found = follow.uploads_behind(token=link.token, kind=Kind.FILE, opener=opener)
        assert [upload.filename for upload in found] == ["0", "1", "2"]
        address = follow.follow_link(token=link.token, kind=Kind.FILE, path="1", opener=opener)
        assert fetch(address).body == b"1234"
        Link.objects.update(held_until=Now())
        assert not leads_somewhere(link, opener)

    def test_its_zip_is_made_for_who_has_the_pass(self, store, protect):
        link = protect(3, max_downloads=1)
        attempt(link)
        opener = Opener(secret=new_pass(link))
        with pytest.raises(StillPacking):
            zips.follow_zip(token=link.token, opener=opener)
        pack.pack_files(pack_id=link.pack.id)
        assert fetch(zips.follow_zip(token=link.token, opener=opener)).body.count(b"1234") == 3
        with pytest.raises(UploadNotFound):
            zips.follow_zip(token=link.token)

    def test_nothing_joins_it_any_more(self, store, protect, receive):
        link = protect(max_downloads=1)
        attempt(link)
        with pytest.raises(UploadNotFound):
            receive("file", b"1", link_id=link.id)

    def test_delete_all_takes_it_along(self, store, protect, owner):
        attempt(protect(max_downloads=1))
        assert discard.clear_uploads(owner=owner, kind=Kind.FILE) == 1
        assert nothing_stays(store)

    @pytest.mark.django_db(transaction=True)
    def test_of_twenty_at_once_one_gets_it(self, disk, protect):
        link = protect(password="sesame", max_downloads=1)
        gate = threading.Barrier(20)

        def rush(_):
            connection.ensure_connection()
            gate.wait(60)
            return outcome(link, "sesame")

        said = at_once(rush, range(20))
        assert (said.count("open"), said.count("UploadNotFound")) == (1, 19)


class TestPass:
    @pytest.fixture
    def link(self, store, protect):
        return protect(2, password="sesame")

    def test_it_opens_this_link_without_a_download(self, link):
        attempt(link, opener=Opener(secret=new_pass(link)))
        link.refresh_from_db()
        assert link.downloads == 0

    @pytest.mark.parametrize("secret", ["", "x", "a:b:c", "\x00", "é" * 3000])
    def test_what_we_did_not_sign_opens_nothing(self, link, secret):
        with pytest.raises(LinkProtected):
            follow.uploads_behind(token=link.token, kind=Kind.FILE, opener=Opener(secret=secret))

    def test_another_links_opens_nothing(self, link, protect):
        opener = Opener(secret=new_pass(protect(2, password="sesame")))
        assert not protection.has_pass(link, opener)

    def test_after_ten_minutes_it_is_over(self, link, monkeypatch):
        opener = Opener(secret=new_pass(link))
        assert protection.has_pass(link, opener)
        monkeypatch.setattr("django.core.signing.time.time", lambda: time.monotonic() + 10**10)
        assert not protection.has_pass(link, opener)

    def test_another_password_ends_it(self, link):
        opener = Opener(secret=new_pass(link))
        link.password = "changed"
        assert not protection.has_pass(link, opener)


class TestOwner:
    def test_has_it_open_and_spends_nothing(self, store, protect, owner):
        link = protect(password="sesame", max_downloads=1)
        attempt(link, opener=Opener(visitor=owner))
        link.refresh_from_db()
        assert link.downloads == 0

    def test_a_stranger_does_not(self, store, protect, stranger):
        with pytest.raises(WrongPassword):
            attempt(protect(password="sesame"), opener=Opener(visitor=stranger))

    def test_on_a_shared_board_nobody_does(self, store, protect, owner, settings):
        settings.SHARED_BOARD = True
        with pytest.raises(WrongPassword):
            attempt(protect(password="sesame"), opener=Opener(visitor=owner))
