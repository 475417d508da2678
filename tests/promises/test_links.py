"""Several files behind one link, against the containers with MinIO."""

import requests

from tests.support.stack import Visitor, wait_for

FILES = [("a.txt", b"1"), ("ção 日本.pdf", b"22"), ("a.txt", b"333")]


def upload(visitor, *files, **fields):
    """Send the files together, by the form."""
    parts = [("file", (name, content)) for name, content in files]
    assert visitor.post("/files/", parts, **fields).status_code == 200


def lines(link: str) -> list[list[str]]:
    """What a program reads at the link: size, name and address of each file."""
    answer = requests.get(link, timeout=30)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    parts = [line.partition(" ") for line in answer.text.splitlines()]
    return [[size, *rest.rsplit(" ", 1)] for size, _, rest in parts]


def test_what_is_sent_together_is_one_link_and_each_file_has_its_address(visitor):
    upload(visitor, *FILES)
    (link,) = visitor.links("/files/")
    listed = lines(link)
    assert [(int(size), name) for size, name, _ in listed] == [
        (1, "a.txt"),
        (2, "ção 日本.pdf"),
        (3, "a (2).txt"),
    ]
    for (_, _, address), (_, content) in zip(listed, FILES, strict=True):
        assert requests.get(address, timeout=30).content == content


def test_three_files_expire_at_one_second_and_leave_nothing(stack, visitor):
    upload(visitor, *FILES, ttl=6)
    (link,) = visitor.links("/files/")
    addresses = [link, *(address for _, _, address in lines(link))]
    assert len(stack.objects()) == 3
    wait_for(lambda: requests.get(link, timeout=30).status_code == 404, 60, "it has expired")
    assert {requests.get(address, timeout=30).status_code for address in addresses} == {404}
    # A link opens no more in its last second, in which the page still shows it.
    wait_for(lambda: visitor.links("/files/") == [], 60, "it is off the page")
    wait_for(lambda: not stack.count("upload") and not stack.count("link"), 60, "the rows are gone")
    stack.is_settled()
    assert stack.objects() == set()


def test_each_file_of_a_link_counts_against_the_quota(stack, visitor):
    stack.up("web", MAX_VISITOR_UPLOADS=4)
    try:
        upload(visitor, *FILES)
        parts = [("file", (name, content)) for name, content in FILES[:2]]
        refused = visitor.post("/files/", parts)
        assert refused.status_code == 429
        assert "at most 4 uploads" in refused.text
        assert stack.count("upload") == 4
        assert stack.count("link") == 2
        links = visitor.links("/files/")
        (link_id,) = stack.sql("SELECT id FROM uploads_link ORDER BY created_at LIMIT 1")[0]
        visitor.post(f"/links/{link_id}/delete/")
        assert visitor.links("/files/") == links[:1]
        stack.is_settled()
        assert len(stack.objects()) == 1
    finally:
        stack.up("web", MAX_VISITOR_UPLOADS=100)


def test_a_stranger_can_do_nothing_to_a_link_but_open_it(stack, visitor):
    upload(visitor, *FILES)
    (link,) = visitor.links("/files/")
    (link_id,) = stack.sql("SELECT id FROM uploads_link")[0]
    ids = [row[0] for row in stack.sql("SELECT id FROM uploads_upload")]
    before = lines(link)
    stranger = Visitor(stack.page)
    assert stranger.post("/files/", [("file", ("x", b"x"))], link=link_id).status_code == 404
    paths = [f"/links/{link_id}/delete/", *(f"/uploads/{one}/delete/" for one in ids)]
    assert {stranger.post(path).status_code for path in paths} == {404}
    claim = {"kind": "file", "filename": "x", "size": 1, "content_type": "", "link_id": link_id}
    api = f"{stack.page}/api"
    assert requests.post(f"{api}/uploads", json=claim, timeout=30).status_code == 404
    made = requests.post(f"{api}/links", json={}, timeout=30).json()
    head = {"Authorization": f"Bearer {made['owner_token']}"}
    for path in (f"{api}/links/{link_id}", *(f"{api}/uploads/{one}" for one in ids)):
        for method in ("GET", "PATCH", "DELETE", "PUT", "POST"):
            answer = requests.request(method, path, json={"ttl": 1}, headers=head, timeout=30)
            assert answer.status_code in {404, 405}, (method, path)
    for method in ("PUT", "DELETE", "PATCH"):
        assert requests.request(method, link, timeout=30).status_code >= 400
    assert lines(link) == before
