"""A tree for `make local` alone, with what it runs."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from client.smoke import wait_for
from client.visitor import Visitor
from ops import envfile
from ops.ports import free_ports
from tests.support.foreign import FOREIGN, LIBRARIES
from tests.support.stack import copy_tree, set_variables

START_SECONDS = 60  # it takes about 5; a busy machine takes longer


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
        copy_tree(self.folder)
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
        set_variables(file, UPLOAD_TTL=5, EXPIRE_EVERY=1, **self.ports)

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
        self.process.wait(120)
        wait_for(lambda: not self.processes(), 60, f"nothing runs: {self.processes()}")

    def end(self) -> None:
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(self.processes(), timeout=30)
        if self.process:
            self.process.wait(60)


@contextmanager
def own_tree() -> Iterator[Tree]:
    """A tree that goes at the end, with what still runs for it."""
    # Not pytest's own folder, which nobody else may enter: as root, Postgres is somebody else.
    folder = Path(tempfile.mkdtemp(prefix="s3tasks-tree-", dir="/tmp"))
    folder.chmod(0o755)
    tree = Tree(folder)
    try:
        yield tree
    finally:
        tree.end()
        shutil.rmtree(folder)


def wait_for_link(visitor: Visitor, path: str) -> str:
    """The share link of the page's first upload, once it is ready."""

    def ready() -> str:
        links = visitor.links(path)
        return links[0] if links and visitor.fetch(links[0]).status == 200 else ""

    return wait_for(ready, 60, f"a link on {path}")
