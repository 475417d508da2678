"""Names within a link: each file of it has an address that is always that one file's."""

import pytest
from django.test import Client

from support.samples import at_once, fetch
from uploads.arrivals.claim import claim_upload
from uploads.limits import check_claim
from uploads.models import Kind, Link, Upload

pytestmark = pytest.mark.django_db


def names_of(receive, names, **kwargs) -> list[str]:
    """What files get to be called that join one link under these names."""
    first = receive("file", b"0", filename=names[0], **kwargs)
    rest = [
        receive("file", b"%d" % n, filename=name, link_id=first.link_id, **kwargs)
        for n, name in enumerate(names[1:], start=1)
    ]
    return [upload.filename for upload in [first, *rest]]


@pytest.mark.parametrize(
    ("names", "called"),
    [
        (["report.pdf"] * 3, ["report.pdf", "report (2).pdf", "report (3).pdf"]),
        (["a", "a"], ["a", "a (2)"]),
        ([".profile", ".profile"], [".profile", ".profile (2)"]),
        (["a (2).b", "a.b", "a.b"], ["a (2).b", "a.b", "a (3).b"]),
        (["ção 日本.pdf"] * 2, ["ção 日本.pdf", "ção 日本 (2).pdf"]),
        # Composed, they are the same.
        (["cafe\u0301", "café"], ["café", "café (2)"]),
        (["x" * 255] * 2, ["x" * 255, "x" * 251 + " (2)"]),
        (["日" * 83 + ".txt"] * 2, ["日" * 83 + ".txt", "日" * 82 + " (2).txt"]),
        (["a." + "x" * 250] * 2, ["a." + "x" * 250, ("a." + "x" * 250)[:251] + " (2)"]),
    ],
)
def test_an_equal_name_is_numbered(store, receive, names, called):
    assert names_of(receive, names) == called


def test_in_another_folder_or_link_it_is_not(store, receive):
    first = receive("file", b"1", filename="a.txt", folder="x")
    second = receive("file", b"2", filename="a.txt", folder="y", link_id=first.link_id)
    third = receive("file", b"3", filename="a.txt", link_id=first.link_id)
    assert {u.filename for u in (first, second, third, receive("file", filename="a.txt"))} == {
        "a.txt"
    }


@pytest.mark.django_db(transaction=True)
def test_of_equal_names_at_the_same_moment_each_has_its_own(store, owner):
    link = Link.objects.create(owner=owner, kind=Kind.FILE, ttl=check("a", owner).ttl)
    at_once(lambda: claim_upload(check("a.txt", owner, link_id=link.id)), 5)
    called = set(Upload.objects.values_list("filename", flat=True))
    assert called == {"a.txt", *(f"a ({n}).txt" for n in range(2, 6))}


def check(filename, owner, **kwargs):
    return check_claim(owner=owner, kind=Kind.FILE, filename=filename, size_bytes=1, **kwargs)


def test_each_address_is_always_that_one_file(store, receive):
    first = receive("file", b"0", filename="a?#%.txt", folder="x y/日本")
    others = [
        receive("file", b"1", filename="a?#%.txt", folder="x y/日本", link_id=first.link_id),
        receive("file", b"2", filename="a?#%.txt", link_id=first.link_id),
        receive("file", b"3", filename="x y", link_id=first.link_id),
    ]
    for number, upload in enumerate([first, *others]):
        answer = fetch(Client().get(upload.file_address)["Location"])
        assert answer.body == b"%d" % number
    gone = f"/f/{first.link.token}/x y/a?#%.txt"
    assert Client().get(gone).status_code == 404


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_program_reads_of_several_files_a_line_each(store, receive, method):
    first = receive("file", b"12", filename="a b.txt", folder="ção")
    receive("file", b"1", filename="c.txt", link_id=first.link_id)
    response = Client().generic(method, first.link.get_absolute_url(), HTTP_ACCEPT="*/*")
    assert (response.status_code, response["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert "no-store" in response["Cache-Control"]
    if method == "HEAD":
        assert response.content == b""
        return
    lines = response.content.decode().splitlines()
    base = f"http://testserver/f/{first.link.token}"
    assert lines == [
        f"2 ção/a b.txt {base}/%C3%A7%C3%A3o/a%20b.txt",
        f"1 c.txt {base}/c.txt",
    ]
    for line, content in zip(lines, [b"12", b"1"], strict=True):
        address = line.rpartition(" ")[2]
        assert fetch(Client().get(address)["Location"]).body == content
