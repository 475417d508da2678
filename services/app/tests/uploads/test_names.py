"""Names that visitors give: what no name may hold, how long one may be, and what a download is
saved under."""

import re
import time
import unicodedata
from itertools import product
from urllib.parse import unquote

import pytest
import requests
from django.test import Client

from api import schemas
from support.multipart import message, nothing_is_left, post
from support.samples import picture
from uploads import limits
from uploads.errors import InvalidUpload
from uploads.links import follow
from uploads.models import Kind, Upload
from uploads.storage.headers import attachment

pytestmark = pytest.mark.django_db

UNSHOWN = {
    "a direction": "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    "a tag": "\U000e0000\U000e0001\U000e0020\U000e0041\U000e007f",
    "a control character": "\x00\t\n\x1b\x7f\x80\x9f",
    "an end of a line": "\u2028\u2029",
    "nothing": "\u00ad\u034f\u115f\u1160\u180e\u200b\u2060\u2061\u2064\u206f\u3164\ufeff\ufff9",
    "no character": "\ufdd0\ufdef\ufffe\uffff\U0001ffff\U0010fffe",
}
HONEST = [
    "report.pdf",
    "naïve 🌙.png",
    "👩‍👩‍👧‍👦 ❤️ 👍🏽.jpg",  # joiners, a variation selector, a skin tone
    "क्‍ष नमस्ते.txt",  # a joiner in Devanagari
    "می‌خواهم.pdf",  # a non-joiner in Persian
    "שלום.pdf",
    "تقرير.pdf",
    "Screenshot 2026-11-27 at 9.41.00\u202fAM.png",  # as macOS writes it
    "全角　空白.txt",
    "葛\U000e0100飾.txt",  # which of its forms
    "\uf8ff private.txt",
    "100% \"sure\"; 'yes' & <b>.txt",
]


@pytest.mark.parametrize("kind", UNSHOWN)
@pytest.mark.parametrize("check", [limits.check_filename, limits.check_name])
def test_a_character_that_shows_nothing_or_another_name_is_in_no_name(kind, check):
    for character in UNSHOWN[kind]:
        with pytest.raises(InvalidUpload, match="invisible"):
            pytest.fail(f"{character!a}: {check(f'a{character}b.txt')!a} is taken")


@pytest.mark.parametrize("kind", UNSHOWN)
def test_the_document_of_the_api_refuses_what_the_limits_refuse(kind):
    for pattern, character in product((schemas.NAME, schemas.FILENAME), UNSHOWN[kind]):
        assert not re.search(pattern["pattern"], f"a{character}b.txt"), ascii(character)


@pytest.mark.parametrize("name", HONEST)
def test_a_name_as_people_write_it_is_kept(name):
    assert limits.check_filename(name) == limits.check_name(name) == name
    assert re.search(schemas.FILENAME["pattern"], name)
    assert re.search(schemas.NAME["pattern"], name)


def by_form(name):
    return message(post(Client(), "/files/", ("file", name, b"1")))


def by_image_form(name):
    return message(post(Client(), "/", ("image", name, picture())))


def by_put(name):
    return Client().put(f"/{name}", b"1").content.decode()


def by_api(name):
    claim = {"kind": "file", "filename": name, "size": 1, "content_type": ""}
    return Client().post("/api/uploads", claim, content_type="application/json").content.decode()


DOORS = [by_form, by_image_form, by_put, by_api]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("character", ["\u2066", "\u061c", "\u200f", "\U000e0041", "\ufeff"])
def test_every_door_refuses_a_name_that_reads_as_another(disk, door, character):
    assert "invisible" in door(f"gpj.{character}exe")
    assert nothing_is_left(disk)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("letter", ["a", "é", "語", "🌙"])
def test_a_file_name_is_measured_in_the_bytes_of_a_file_system(disk, door, letter):
    each = len(letter.encode())
    name = letter * (255 // each) + "a" * (255 % each)
    assert "at most 255 are accepted" in door(name + "a")
    assert nothing_is_left(disk)
    door(name)
    assert Upload.objects.get().filename == name


@pytest.mark.parametrize("letter", ["é", "한", "ế"])
def test_a_decomposed_name_counts_as_it_is_composed(letter):
    name = letter * (255 // len(letter.encode()))
    assert limits.check_filename(unicodedata.normalize("NFD", name)) == name
    assert limits.check_name(unicodedata.normalize("NFD", letter * 100)) == letter * 100


@pytest.mark.parametrize("check", [limits.check_filename, limits.check_name])
def test_a_name_of_any_length_is_refused_before_it_is_composed(check, monkeypatch):
    """Composing alternating accents is quadratic on Python 3.11.7: 2.4 MB held a process."""
    composed = []
    normalize = unicodedata.normalize
    monkeypatch.setattr(
        limits.unicodedata,
        "normalize",
        lambda form, t: composed.append(len(t)) or normalize(form, t),
    )
    with pytest.raises(InvalidUpload, match="at most"):
        check("a" + "\u0316\u0301" * 1_200_000)
    assert not composed
    check("e\u0301")
    assert composed == [2]


@pytest.mark.parametrize("field", ["filename", "name", "content_type"])
def test_a_text_of_megabytes_in_a_claim_costs_next_to_nothing(disk, field):
    claim = {"kind": "file", "filename": "a", "size": 1, "content_type": ""}
    claim[field] = "a" + "\u0316\u0301" * 190_000  # what fits into a request, escaped
    start = time.monotonic()
    answer = Client().post("/api/uploads", claim, content_type="application/json")
    assert time.monotonic() - start < 20  # minutes, where it is composed
    assert answer.status_code < 500
    assert (answer.status_code == 422) == (field != "content_type")


class TestDownload:
    """`filename` for everybody, `filename*` for whoever reads it."""

    @pytest.mark.parametrize("name", ["report.pdf", "a b.txt", "it's; (1) & [2].txt", ".bashrc"])
    def test_a_name_in_ascii_is_said_once(self, name):
        assert attachment(name) == f'attachment; filename="{name}"'

    @pytest.mark.parametrize(
        ("name", "plain"),
        [
            ("日本.pdf", "download.pdf"),
            ("日本", "download"),
            ("日本.日本", "download"),
            ("🌙.tar.gz", "_.tar.gz"),
            ("résumé 2.pdf", "resume 2.pdf"),
            ('My "best" 50%.png', "My _best_ 50_.png"),
            ("a%2e%2e%2fb.txt", "a_2e_2e_2fb.txt"),
            ("a\\b.txt", "a_b.txt"),
            ("\uff0fetc\uff0fpasswd\uff02.txt", "_etc_passwd_.txt"),  # full width / and "
            ("\u2025\uff0fa.txt", ".._a.txt"),  # ‥／ is ../ in a compatible form
            ("\u2100.txt", "a_c.txt"),  # ℀
            ("Straße.txt", "Stra_e.txt"),
            ("ﬁle.txt", "file.txt"),
            ("%", "download"),
        ],
    )
    def test_any_other_has_a_plain_one_beside_it(self, name, plain):
        said = attachment(name)
        assert said.startswith(f"attachment; filename=\"{plain}\"; filename*=UTF-8''")
        assert unquote(said.partition("''")[2]) == name
        assert said.isascii()

    @pytest.mark.parametrize("name", [*HONEST, "x" * 251 + ".txt", "\ufdfa" * 85])
    def test_no_name_ends_its_quotes_or_begins_a_path(self, name):
        said = attachment(name)
        (plain,) = re.findall(r'filename="([^"]*)"', said)
        assert plain
        assert not re.search(r'[%/\\"\r\n]', plain)
        assert said.count('"') == 2

    @pytest.mark.parametrize("name", ['日本 "1" 100%.pdf', "naïve.txt"])
    def test_storage_says_both(self, store, receive, name, live_server):
        upload = receive("file", b"x", filename=name)
        url = follow.follow_link(token=upload.link.token, kind=Kind.FILE)
        answer = requests.get(requests.compat.urljoin(live_server.url, url), timeout=30)
        assert answer.headers["Content-Disposition"] == attachment(name)
