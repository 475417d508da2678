"""`make local` with uploads on an S3 server of one's own."""

from collections.abc import Iterator

import boto3
import pytest
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer

from client.visitor import Visitor
from support import s3_server
from tests.support.local_tree import Tree, own_tree, wait_for_link
from tests.support.stack import set_variables

KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


@pytest.fixture
def tree() -> Iterator[Tree]:
    """A tree of its own: what it stores elsewhere would be missed by the next test."""
    with own_tree() as tree:
        yield tree


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an S3 server."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS["AWS_SECRET_ACCESS_KEY"])
    monkeypatch.setattr(S3Response, "_bucket_response_post", s3_server.honour_policies())
    monkeypatch.setattr(S3Response, "copy_object", s3_server.copy_what_matches)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_uploads_go_to_the_server_that_env_names(tree: Tree, server: str) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=server,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    client.create_bucket(Bucket="s3tasks")
    set_variables(tree.folder / ".env", USE_S3=True, AWS_S3_ENDPOINT_URL=server, **KEYS)
    tree.start()

    visitor = Visitor(tree.url(""))
    visitor.fill_in("file", "a.bin", b"kept", 600, description="Kept")

    assert visitor.fetch(wait_for_link(visitor, "/files/")).body == b"kept"
    stored = client.list_objects_v2(Bucket="s3tasks", Prefix="files/")
    assert stored["KeyCount"] == 1
    assert tree.stored() == []


@pytest.mark.parametrize("command", [["local"], ["manage", "ARGS=check"]], ids=" ".join)
def test_s3_without_an_address_is_refused_before_anything_starts(
    tree: Tree, command: list[str]
) -> None:
    set_variables(tree.folder / ".env", USE_S3=True)
    assert tree.make(*command).wait(60) != 0
    assert "local: USE_S3=True wants AWS_S3_ENDPOINT_URL" in tree.log.read_text()
    assert not (tree.folder / ".local/postgres").exists()


def test_no_s3_is_the_local_disk_whatever_address_is_there(tree: Tree) -> None:
    set_variables(tree.folder / ".env", USE_S3="no", AWS_S3_ENDPOINT_URL="http://127.0.0.1:9")
    tree.start()
    visitor = Visitor(tree.url(""))
    visitor.fill_in("file", "a.bin", b"kept", 600, description="Kept")
    assert visitor.fetch(wait_for_link(visitor, "/files/")).body == b"kept"
    assert [path.parent.name for path in tree.stored() if path.name != "marker"] == ["files"]
