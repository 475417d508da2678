"""`make local` on a machine without Docker: the whole stack, from the outside."""

import os
import re
import signal
from collections.abc import Iterator

import psutil
import pytest
import requests

from client.smoke import wait_for
from client.visitor import Visitor
from ops import envfile
from tests.support.local_tree import Tree, own_tree, wait_for_link
from tests.support.photos import photo

HOSTS = ["localhost", "127.0.0.1"]


@pytest.fixture(scope="module")
def tree() -> Iterator[Tree]:
    with own_tree() as tree:
        yield tree


@pytest.fixture
def running(tree: Tree) -> Tree:
    """The tree with `make local` up, whatever the test before it did."""
    if not tree.process or tree.process.poll() is not None:
        tree.start()
    return tree


@pytest.mark.parametrize("host", HOSTS)
def test_a_photo_is_shown_and_shared(running: Tree, host: str) -> None:
    visitor = Visitor(running.url("", host=host))

    visitor.fill_in("image", "photo.jpg", photo(640, 480), 60, name="Holiday")
    link = wait_for_link(visitor, "/")

    assert visitor.fetch(link).headers["Content-Type"].startswith("image/")
    assert "Holiday" in visitor.get("/")


def test_a_photo_is_gone_on_time(running: Tree) -> None:
    visitor = Visitor(running.url(""))
    before = set(running.stored())

    visitor.fill_in("image", "photo.jpg", photo(640, 480), name="Holiday")  # UPLOAD_TTL=5
    link = wait_for_link(visitor, "/")
    files = set(running.stored()) - before
    wait_for(lambda: "Holiday" not in visitor.get("/"), 60, "off the page")

    assert visitor.fetch(link).status == 404
    assert files
    wait_for(lambda: not files & set(running.stored()), 60, f"gone from the disk: {files}")


@pytest.mark.parametrize("host", HOSTS)
def test_a_file_comes_back_as_it_was(running: Tree, host: str) -> None:
    visitor = Visitor(running.url("", host=host))
    content = os.urandom(100_000)

    visitor.fill_in("file", "notes.bin", content, 60, description="Notes")
    answer = visitor.fetch(wait_for_link(visitor, "/files/"))

    assert answer.body == content
    assert answer.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize("host", HOSTS)
def test_flower_asks_for_its_password(running: Tree, host: str) -> None:
    url = running.url("/", host=host, port="FLOWER_PORT")
    user, password = envfile.read(running.folder / ".env")["FLOWER_BASIC_AUTH"].split(":")

    assert requests.get(url, timeout=30).status_code == 401
    assert requests.get(url, auth=(user, "wrong"), timeout=30).status_code == 401
    assert requests.get(url, auth=(user, password), timeout=30).status_code == 200
    assert password in running.log.read_text()


def test_only_this_machine_is_served(running: Tree) -> None:
    ours = {process.pid for process in running.processes()}
    listening = {
        (each.laddr.ip, each.laddr.port)
        for each in psutil.net_connections("inet")
        if each.status == psutil.CONN_LISTEN and each.pid in ours
    }
    pages = {("127.0.0.1", running.ports[name]) for name in ("WEB_PORT", "FLOWER_PORT")}
    assert pages < listening  # and Valkey
    assert {address for address, _ in listening} == {"127.0.0.1"}


def test_a_second_start_beside_the_first_says_so(running: Tree) -> None:
    second = running.make("local")

    assert second.wait(120) != 0
    assert "is in use by pid" in running.log.read_text()
    assert Visitor(running.url("")).answers("/")


def test_manage_reaches_the_running_database(running: Tree) -> None:
    code = "from uploads.models import Upload; print('uploads:', Upload.objects.count() + 1000)"

    assert running.make("manage", f'ARGS=shell -c "{code}"').wait(120) == 0

    assert re.search(r"uploads: 1\d\d\d", running.log.read_text())


def test_data_outlives_a_stop_a_kill_and_a_new_env(running: Tree) -> None:
    visitor = Visitor(running.url(""))
    visitor.fill_in("file", "kept.bin", b"kept", 600, description="Kept")
    link = wait_for_link(visitor, "/files/")
    assert running.process

    os.killpg(running.process.pid, signal.SIGINT)  # what Ctrl-C in a terminal does
    running.wait_until_gone()
    running.start()
    assert Visitor(running.url("")).fetch(link).body == b"kept"

    # make first, then the runner, and nothing is tidied up: the rest of it is left running.
    for process in (running.process, *psutil.Process(running.process.pid).children()):
        process.kill()
    running.process.wait(60)
    assert running.processes()
    running.make_env()
    running.start()
    assert Visitor(running.url("")).fetch(link).body == b"kept"

    for process in running.processes():
        process.kill()
    running.process.wait(60)
    running.start()
    assert Visitor(running.url("")).fetch(link).body == b"kept"

    running.process.terminate()
    running.wait_until_gone()
