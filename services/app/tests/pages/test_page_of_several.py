"""The page of a link to several files: what its receiver sees of each, and of all together."""

import re
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from support.samples import fetch
from uploads.models import Upload
from uploads.storage import storage

pytestmark = pytest.mark.django_db


def look(client, upload, language="en") -> str:
    """The page as a browser gets it."""
    head = {"HTTP_ACCEPT": "text/html", "HTTP_ACCEPT_LANGUAGE": language}
    response = client.get(upload.link.get_absolute_url(), **head)
    assert response.status_code == 200
    return response.content.decode()


@pytest.fixture
def shared(receive):
    """Share files of these paths as one link; the first of them."""

    def shared(*paths, **claimed):
        first = None
        for path in paths:
            folder, _, filename = path.rpartition("/")
            more = {"link_id": first.link_id} if first else claimed
            upload = receive("file", b"1234", filename=filename, folder=folder, **more)
            first = first or upload
        return first

    return shared


def downloads(html) -> list[str]:
    """Where the page's Download buttons lead."""
    return re.findall(r'<a class="button[^"]*"\s+href="([^"]+)"\s+download', html)


@pytest.mark.parametrize("language", ["en", "pt-BR"])
def test_each_file_has_a_row_with_its_name_its_size_and_its_download(
    store, client, shared, language
):
    first = shared("ção 日本.pdf", "photos/2026/a.png", "photos/2026/a.png", name="For Ana")
    html = look(client, first, language)
    base = f"/f/{first.link.token}"
    assert downloads(html) == [
        f"{base}/{quote('ção 日本.pdf')}",
        f"{base}/photos/2026/a.png",
        f"{base}/photos/2026/a%20(2).png",
    ]
    assert all(fetch(client.get(path)["Location"]).body == b"1234" for path in downloads(html))
    assert '<bdi><span class="folder">photos/2026/</span>a (2).png</bdi>' in html
    assert "<bdi>For Ana</bdi>" in html
    total = re.search(r'class="facts">.*?class="meta">\s*(.*?)\s*</p>', html, re.DOTALL).group(1)
    assert total == {"en": "3 files, 12\xa0bytes", "pt-BR": "3 arquivos, 12\xa0bytes"}[language]
    assert f"{base}.svg" in html


def test_before_it_is_opened_it_says_no_name_and_no_number(store, client, shared):
    head = look(client, shared("salaries.pdf", "b/c")).partition("</head>")[0]
    assert "Shared files" in head
    assert not re.search(r"salaries|b/c|\b2\b", re.sub(r"<(link|script)[^>]*>", "", head))


def test_names_are_text(store, client, shared):
    # `/` ends a folder: no tag closes.
    html = look(client, shared("<b>/<i>", "&amp;", name="<u>"))
    assert '<span class="folder">&lt;b&gt;/</span>&lt;i&gt;' in html
    assert "&amp;amp;" in html
    assert "&lt;u&gt;" in html


@pytest.mark.django_db(transaction=True)  # another thread removes what has vanished
def test_a_file_that_vanished_takes_only_its_own_row(store, client, shared):
    first = shared("a", "b", "c")
    storage().delete([Upload.objects.get(filename="b").served_key])
    html = look(client, first)
    assert [path[-1] for path in downloads(html)] == ["a", "c"]
    assert "2 files" in html


@pytest.mark.django_db(transaction=True)
def test_of_several_that_vanished_there_is_no_page_and_no_line(store, client, shared):
    first = shared("a", "b")
    storage().delete([upload.served_key for upload in Upload.objects.all()])
    for accept in ("text/html", "*/*"):
        response = client.get(first.link.get_absolute_url(), HTTP_ACCEPT=accept)
        assert response.status_code == 404


def test_one_that_is_left_has_the_page_of_one(store, client, shared):
    first = shared("a", "b.txt")
    Upload.objects.filter(filename="a").delete()
    html = look(client, first)
    assert "<bdi>b.txt</bdi></h1>" in html
    assert "The whole text" in html


def test_a_hundred_files_cost_as_many_queries_as_two(store, client, shared):
    def queries(upload):
        with CaptureQueriesContext(connection) as captured:
            look(client, upload)
        return len(captured)

    two, many = shared("a", "b"), shared(*map(str, range(20)))
    assert queries(many) == queries(two)
