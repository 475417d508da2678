"""`make local` on a machine without Docker: the whole stack, from the outside."""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests
from PIL import Image

from client.smoke import wait_for
from client.visitor import Visitor
from ops import envfile
from ops.ports import free_ports
from tests.support import ROOT
from tests.verbs.test_shell import FOREIGN, LIBRARIES

START_SECONDS = 60  # it takes about 5; a busy machine takes longer
HOSTS = ["localhost", "127.0.0.1"]


class Tree:
    """A copy of the working tree with ports of its own, where no Docker is found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self._copy()
        self.ports = dict(zip(envfile.PORTS, free_ports(len(envfile.PORTS)), strict=True))
        self.make_env()

    def _copy(self) -> None:
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True).stdout
        for name in filter(None, names.decode().split("\0")):
            if (ROOT / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.folder / name)
        # The installed venv without its note of what is installed, so that nothing reinstalls it.
        venv = self.folder / ".venv"
        venv.mkdir()
        for part in Path(sys.prefix).iterdir():
            if part.name != "installed.txt":
                (venv / part.name).symlink_to(part)
        lock = self.folder / "services/app/requirements/development.txt"
        shutil.copy2(lock, venv / "installed.txt")
        # Every program of this machine but the engines.
        programs = self.folder / "bin"
        programs.mkdir()
        for path in os.environ["PATH"].split(os.pathsep):
            for program in Path(path).iterdir() if Path(path).is_dir() else []:
                if not re.match("docker|podman|nerdctl", program.name):
                    with suppress(FileExistsError):
                        (programs / program.name).symlink_to(program)

    def make_env(self) -> None:
        """A new `.env`, as on the first day, with our ports and short lives."""
        file = self.folder / ".env"
        file.unlink(missing_ok=True)
        envfile.complete(file)
        mine = {**self.ports, "UPLOAD_TTL": 5, "EXPIRE_EVERY": 1}
        text = file.read_text()
        for name, value in mine.items():
            text = re.sub(rf"^{name}=.*", f"{name}={value}", text, flags=re.MULTILINE)
        file.write_text(text)

    def make(self, *arguments: str) -> subprocess.Popen[bytes]:
        """`make`, as a shell in a terminal starts it: in a process group of its own."""
        # With what a shell may export for other projects, of which nothing may count.
        environment = {"PATH": str(self.folder / "bin"), "HOME": os.environ["HOME"]}
        environment = {**FOREIGN, **LIBRARIES, **environment}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["make", *arguments],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self) -> None:
        """Start `make local`, and wait until it says where everything is."""
        self.log.write_bytes(b"")
        self.process = self.make("local")
        with suppress(AssertionError):
            wait_for(self.announced, START_SECONDS, "make local")
        assert self.announced(), self.log.read_text()

    def announced(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.log.read_text()
        return "Ctrl-C stops it" in self.log.read_text()

    def url(self, path: str, *, host: str = "localhost", port: str = "WEB_PORT") -> str:
        return f"http://{host}:{self.ports[port]}{path}"

    def stored(self) -> list[Path]:
        return [path for path in (self.folder / ".local/media").rglob("*") if path.is_file()]

    def processes(self) -> list[psutil.Process]:
        """Everything that runs for this tree: by its arguments, its folder or its database."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                facts = [process.cwd(), *process.cmdline(), process.environ().get("PWD", "")]
                if any(str(self.folder) in fact for fact in facts):
                    found.append(process)
        return found

    def wait_until_gone(self) -> None:
        assert self.process
        self.process.wait(30)
        wait_for(lambda: not self.processes(), 5, f"nothing runs: {self.processes()}")

    def end(self) -> None:
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(self.processes(), timeout=5)
        if self.process:
            self.process.wait(10)


@pytest.fixture(scope="module")
def tree() -> Iterator[Tree]:
    # Not pytest's own folder, which nobody else may enter: as root, Postgres is somebody else.
    folder = Path(tempfile.mkdtemp(prefix="s3tasks-tree-", dir="/tmp"))
    folder.chmod(0o755)
    tree = Tree(folder)
    try:
        yield tree
    finally:
        tree.end()
        shutil.rmtree(folder)


@pytest.fixture
def running(tree: Tree) -> Tree:
    """The tree with `make local` up, whatever the test before it did."""
    if not tree.process or tree.process.poll() is not None:
        tree.start()
    return tree


def wait_for_link(visitor: Visitor, path: str) -> str:
    """The share link of the page's first upload, once it is ready."""

    def ready() -> str:
        links = visitor.links(path)
        return links[0] if links and visitor.fetch(links[0]).status == 200 else ""

    return wait_for(ready, 20, f"a link on {path}")


def photo() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((640, 480), 90).convert("RGB").save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize("host", HOSTS)
def test_a_photo_is_shown_and_shared(running: Tree, host: str) -> None:
    visitor = Visitor(running.url("", host=host))

    visitor.fill_in("image", "photo.jpg", photo(), 60, name="Holiday")
    link = wait_for_link(visitor, "/")

    assert visitor.fetch(link).headers["Content-Type"].startswith("image/")
    assert "Holiday" in visitor.get("/")


def test_a_photo_is_gone_on_time(running: Tree) -> None:
    visitor = Visitor(running.url(""))
    before = set(running.stored())

    visitor.fill_in("image", "photo.jpg", photo(), name="Holiday")  # UPLOAD_TTL=5
    link = wait_for_link(visitor, "/")
    files = set(running.stored()) - before
    wait_for(lambda: "Holiday" not in visitor.get("/"), 10, "off the page")

    assert visitor.fetch(link).status == 404
    assert files
    wait_for(lambda: not files & set(running.stored()), 10, f"gone from the disk: {files}")


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

    assert requests.get(url, timeout=10).status_code == 401
    assert requests.get(url, auth=(user, "wrong"), timeout=10).status_code == 401
    assert requests.get(url, auth=(user, password), timeout=10).status_code == 200
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

    assert second.wait(30) != 0
    assert "is in use by pid" in running.log.read_text()
    assert Visitor(running.url("")).answers("/")


def test_manage_reaches_the_running_database(running: Tree) -> None:
    code = "from uploads.models import Upload; print('uploads:', Upload.objects.count() + 1000)"

    assert running.make("manage", f'ARGS=shell -c "{code}"').wait(30) == 0

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
    running.process.wait(10)
    assert running.processes()
    running.make_env()
    running.start()
    assert Visitor(running.url("")).fetch(link).body == b"kept"

    for process in running.processes():
        process.kill()
    running.process.wait(10)
    running.start()
    assert Visitor(running.url("")).fetch(link).body == b"kept"

    running.process.terminate()
    running.wait_until_gone()
