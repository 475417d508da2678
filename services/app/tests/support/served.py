"""The app as its visitors reach it: under gunicorn, over a real connection."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from django.db import connection

from support import APP, multipart

KIB = 1024
STOP_SECONDS = 30  # then Heroku sends SIGKILL


class Server:
    """The app under gunicorn, as `bin/web` starts it, on the test's database and bucket."""

    def __init__(
        self, bucket: str, spool: Path, *, arguments: str = "", **environment: str
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        database = os.environ["DATABASE_URL"].rpartition("/")[0]
        self.spool = spool
        self.said = spool.with_name("said")  # what it writes
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                [APP / "bin" / "web"],
                env=os.environ
                | {
                    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                    "DATABASE_URL": f"{database}/{connection.settings_dict['NAME']}",
                    "AWS_STORAGE_BUCKET_NAME": bucket,
                    "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{self.port} {arguments}",
                    "PORT": "",
                    "WEB_CONCURRENCY": "1",
                    "TMPDIR": str(spool),
                    "HOME": str(spool),
                    **environment,
                },
                start_new_session=True,
                stdout=said,
                stderr=said,
            )

    def __enter__(self) -> "Server":
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        raise TimeoutError("gunicorn did not start")

    def stop(self) -> int:
        """Its return code, once all that was under way is answered and said."""
        self.process.terminate()
        return self.process.wait(STOP_SECONDS)

    def __exit__(self, *_: object) -> None:
        """Killed, which no test waits for, with whatever it still has to do in the database."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    def open_form(self, path: str) -> tuple[str, bytes]:
        """The cookies, and the form's first part: its token."""
        http = HTTPConnection("127.0.0.1", self.port, timeout=40)
        http.request("GET", path)
        answer = http.getresponse()
        cookies = [value.split(";")[0] for value in answer.headers.get_all("Set-Cookie")]
        token = multipart.csrf_token(answer.read().decode())
        http.close()
        return "; ".join(cookies), multipart.head("csrfmiddlewaretoken") + token.encode() + b"\r\n"

    def connect(self, start: bytes = b"") -> socket.socket:
        """A connection on which this was sent, and nothing more yet."""
        line = socket.create_connection(("127.0.0.1", self.port), timeout=40)
        line.sendall(start.replace(b"HOST", b"Host: 127.0.0.1:%d" % self.port))
        return line

    def answers(self) -> bool:
        """Whether it has a thread to say so with, which `/healthz` needs none for."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=40)) as http:
            http.request("GET", "/sharex.sxcu")
            return http.getresponse().status == 200

    def memory(self) -> int:
        """The resident bytes of the worker process."""
        pid = self.process.pid
        child = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{child}/status").read_text())[1]) * KIB

    def spooled(self) -> int:
        """The bytes of all files, named or not, that the worker has open in its spool."""
        pid = self.process.pid
        child = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
        total = 0
        for link in Path(f"/proc/{child}/fd").iterdir():
            try:
                if str(link.readlink()).startswith(str(self.spool)):
                    total += link.stat().st_size
            except FileNotFoundError:  # closed meanwhile
                continue
        return total
