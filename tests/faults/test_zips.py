"""A zip whose worker is killed while it is made: it is there in the end, and no part stays."""

import io
import random
import zipfile

import requests

from tests.support.stack import BUCKET, wait_for

MIB = 1024 * 1024


def share(stack, *contents: bytes) -> str:
    """The link to files with these contents."""
    api, link_id, headers = f"{stack.page}/api/uploads", None, {}
    for number, content in enumerate(contents):
        claim = {"kind": "file", "filename": f"{number}.bin", "size": len(content)}
        claim |= {"content_type": "", "link_id": link_id}
        begun = requests.post(api, json=claim, headers=headers, timeout=30).json()
        link_id = begun["link_id"]
        headers = headers or {"Authorization": f"Bearer {begun['owner_token']}"}
        ticket, files = begun["ticket"], {"file": ("a", content)}
        sent = requests.post(ticket["url"], data=ticket["fields"], files=files, timeout=120)
        assert sent.ok, sent.text
        done = requests.post(f"{api}/{begun['id']}/complete", headers=headers, timeout=30)
        assert done.status_code == 200, done.text
    return done.json()["link"]


def test_a_zip_whose_worker_is_killed_three_times_is_there_in_the_end(stack):
    contents = [random.Random(seed).randbytes(80 * MIB) for seed in range(3)]
    address = f"{share(stack, *contents)}.zip"
    assert requests.get(address, timeout=30).status_code == 503
    in_the_middle, stored = [], "0"
    for kill in range(3):
        further = f"ready OR jsonb_array_length(parts) > {stored}"
        wait_for(lambda where=further: stack.count("pack", where), 120, "a part is stored")
        stack.kill("worker")
        ((stored, ready),) = stack.sql("SELECT jsonb_array_length(parts), ready FROM uploads_pack")
        in_the_middle.append(ready == "f")
        if kill:  # once is enough to wait until its lease has run out
            stack.sql("UPDATE uploads_pack SET lease_until = now()")
        stack.up("worker")
    assert in_the_middle[0], "no kill came in the middle"
    wait_for(
        lambda: requests.head(address, timeout=30, allow_redirects=False).status_code == 302,
        180,
        "the zip is there",
    )
    with zipfile.ZipFile(io.BytesIO(requests.get(address, timeout=120).content)) as file:
        assert [file.read(name) for name in file.namelist()] == contents
    stack.is_settled()
    assert "Uploads" not in stack.s3(root=True).list_multipart_uploads(Bucket=BUCKET)
    stack.sql("UPDATE uploads_upload SET expires_at = now()")
    stack.sql("UPDATE uploads_link SET expires_at = now()")
    wait_for(lambda: not stack.objects(), 90, "nothing is left")
    assert stack.count("pack") == 0
