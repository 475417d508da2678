"""The stack as its users meet it: a copy of the tree, `make up`, a browser's requests.

The copy has its own `.env`, Compose project, volumes and free ports, so a running `make up` is not
touched, and nothing of its `.env` is read.
"""

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import requests
from botocore.config import Config
from decouple import RepositoryEnv

from client.smoke import wait_for
from client.visitor import links_in, pictures_in, token_in
from ops.ports import free_ports
from tests.support import ROOT
from uploads.keys import MARKER

BUCKET = "s3tasks"
# As a process of the container's own user sees its neighbours.
MEMORY = """
import pathlib
largest = 0
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        found = (process / "status").read_text().partition("FIGURE:")[2]
        largest = max(largest, int(found.split()[0]))
        if "FIGURE" == "VmRSS":
            (process / "clear_refs").write_text("5")
    except (OSError, IndexError):  # it has ended, or is a thread of the kernel
        continue
print(largest * 1024)
"""


def why_no_engine() -> str | None:
    """What keeps containers from running here; None where they can."""
    if not shutil.which("docker"):
        return "no container engine: docker is not installed"
    answer = subprocess.run(["docker", "info"], capture_output=True, text=True)
    if answer.returncode:
        return "no container engine answers `docker info`"
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        return "no Docker Compose: `docker compose version` fails"
    return None


def remove_images(project: str) -> None:
    """Remove what Compose built for the project; it labels that."""
    label = f"label=com.docker.compose.project={project}"
    command = ["docker", "image", "ls", "--quiet", "--filter", label]
    found = subprocess.run(command, capture_output=True, text=True).stdout.split()
    if found:
        subprocess.run(["docker", "image", "rm", *found], capture_output=True)


def copy_tree(target: Path) -> Path:
    """The working copy without what git ignores, as a fresh clone has it."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def set_variables(env: Path, **values: Any) -> None:
    """Change lines of an env file."""
    text = env.read_text()
    for name, value in values.items():
        text, found = re.subn(rf"(?m)^{name}=.*$", f"{name}={value}", text)
        assert found, f"{name} is not in {env.name}"
    env.write_text(text)


def without_decouple_files(**values: str) -> dict[str, str]:
    """The environment for commands in the copy: no variable of the outer one decides anything."""
    names = RepositoryEnv(str(ROOT / ".env.var")).data
    return {k: v for k, v in os.environ.items() if k not in names} | values


class Stack:
    """The containers, from outside and, for the faults, from inside."""

    def __init__(self, folder: Path, project: str) -> None:
        self.folder = folder
        self.project = project
        self.environment = without_decouple_files(COMPOSE_PROJECT_NAME=project)
        self.run("make", ".env")
        names = ("WEB_PORT", "FLOWER_PORT", "MINIO_PORT", "MINIO_CONSOLE_PORT")
        self.ports = dict(zip(names, free_ports(4), strict=True))
        set_variables(folder / ".env", UPLOAD_RATE=0, **self.ports)
        self.page = f"http://localhost:{self.ports['WEB_PORT']}"
        self.flower = f"http://localhost:{self.ports['FLOWER_PORT']}"

    @property
    def storage(self) -> str:
        """Where MinIO is, as browsers reach it."""
        return f"http://127.0.0.1:{self.ports['MINIO_PORT']}"

    @property
    def storage_itself(self) -> str:
        """Where MinIO is, whatever stands in front of it for browsers."""
        return self.storage

    @property
    def env(self) -> dict[str, str]:
        """What `.env` holds."""
        return RepositoryEnv(str(self.folder / ".env")).data

    def run(self, *command: str, check: bool = True) -> str:
        """A command in the copy; what it printed."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, text=True, capture_output=True
        )
        assert not check or done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def compose(self, *command: str) -> str:
        """A Compose command on this project."""
        return self.run("docker", "compose", *command)

    def up(self, *services: str, **values: Any) -> None:
        """Start these with what `.env` says, after changing it, and wait until they are healthy."""
        if values:
            set_variables(self.folder / ".env", **values)
        self.compose("up", "--detach", "--no-build", "--no-deps", "--wait", *services)

    def mend(self) -> None:
        """Start what an earlier test left stopped or ill."""
        services = {"beat", "flower", "minio", "postgres", "redis", "web", "worker"}
        states = self.compose("ps", "--format", "{{.Service}} {{.Health}}").splitlines()
        if unwell := services - {s.split()[0] for s in states if s.endswith(" healthy")}:
            # `up --wait` gives up at once on a container that is unhealthy already.
            self.compose("restart", *unwell)
            self.up(*unwell)

    def kill(self, service: str) -> None:
        """SIGKILL to all its processes at once."""
        self.compose("kill", "--signal", "KILL", service)

    def memory(self, service: str, figure: str) -> int:
        """Of its largest process, in bytes: `VmRSS`, what it is now, and the peak begins anew; or
        `VmHWM`, the peak."""
        script = MEMORY.replace("FIGURE", figure)
        return int(self.compose("exec", "-T", service, "python", "-c", script))

    def sql(self, statement: str) -> list[list[str]]:
        """The rows, as text."""
        command = ["exec", "-T", "postgres", "psql", "-U", "s3tasks", "-tAF", "\t", "-c", statement]
        return [line.split("\t") for line in self.compose(*command).splitlines() if line]

    def count(self, table: str, where: str = "true") -> int:
        """How many rows."""
        return int(self.sql(f"SELECT count(*) FROM uploads_{table} WHERE {where}")[0][0])

    def s3(self, *, root: bool = False) -> Any:
        """A client with the app's credentials, or with MinIO's own."""
        name = "MINIO_ROOT_USER" if root else "AWS_ACCESS_KEY_ID"
        secret = "MINIO_ROOT_PASSWORD" if root else "AWS_SECRET_ACCESS_KEY"
        return boto3.client(
            "s3",
            endpoint_url=self.storage_itself,
            region_name="us-east-1",
            aws_access_key_id=self.env[name],
            aws_secret_access_key=self.env[secret],
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                max_pool_connections=32,
            ),
        )

    def keys(self) -> set[str]:
        """Every key in the bucket."""
        pages = self.s3().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return {found["Key"] for page in pages for found in page.get("Contents", ())}

    def objects(self) -> set[str]:
        """Every key but the marker."""
        return self.keys() - {MARKER}

    def rows_objects(self) -> set[str]:
        """The keys that the rows say there are, where everything is ready."""
        rows = self.sql("SELECT id, kind FROM uploads_upload WHERE state = 'ready'")
        zips = self.sql("SELECT id FROM uploads_pack WHERE ready")
        return {f"zips/{row_id}" for (row_id,) in zips} | {
            f"{prefix}/{row_id}"
            for row_id, kind in rows
            for prefix in (["files"] if kind == "file" else ["images", "thumbs"])
        }

    def agrees(self) -> bool:
        """Whether nothing is in motion, and storage holds exactly what the rows say."""
        in_motion = self.count("upload", "state IN ('pending', 'checking')") + self.to_purge()
        in_motion += self.count("pack", "NOT ready")
        return not in_motion and self.objects() == self.rows_objects()

    def to_purge(self) -> int:
        """How many keys are to be deleted, but for those that wait for the end of a ticket."""
        return self.count("purgekey", "until IS NULL OR until < now()")

    def is_settled(self, seconds: float = 90) -> None:
        """Wait until rows and objects agree exactly."""
        wait_for(self.agrees, seconds, "rows and objects agree")

    def delete(self, keys: set[str]) -> None:
        """Behind the app's back."""
        with ThreadPoolExecutor(16) as pool:
            client = self.s3()
            list(pool.map(lambda key: client.delete_object(Bucket=BUCKET, Key=key), keys))

    def empty(self) -> None:
        """No row, no object, no message from an earlier test."""
        self.sql("DELETE FROM uploads_upload")
        self.sql("DELETE FROM uploads_pack")
        self.sql("DELETE FROM uploads_link")
        self.sql("DELETE FROM uploads_purgekey")
        # As after a release: otherwise each test would begin with a reconcile.
        self.sql(
            "UPDATE uploads_sweep SET last_ok = now(), last_error = '', last_error_at = NULL,"
            " told_until = NULL, progress = ''"
        )
        self.sql("UPDATE uploads_installation SET used_bytes = 0")
        self.delete(self.objects())

    def tasks(self) -> list[dict[str, Any]]:
        """The tasks that Flower shows, the newest first."""
        user, password = self.env["FLOWER_BASIC_AUTH"].split(":")
        answer = requests.get(f"{self.flower}/api/tasks", auth=(user, password), timeout=30)
        answer.raise_for_status()
        return sorted(answer.json().values(), key=lambda task: -(task["received"] or 0))


class Visitor:
    """A browser without scripts: it keeps its cookies, and fills in the page's forms."""

    def __init__(self, page: str) -> None:
        self.page = page
        self.session = requests.Session()
        self.session.headers["Referer"] = f"{page}/"  # which forms are asked for over HTTPS
        self.token = ""

    def get(self, path: str = "/") -> requests.Response:
        """A page, whose forms' token is kept."""
        answer = self.session.get(f"{self.page}{path}", timeout=30)
        self.token = token_in(answer.text) or self.token
        return answer

    def post(self, path: str, files: Any = None, **fields: Any) -> requests.Response:
        """Submit a form, and follow to the page that it leads to."""
        if not self.token:
            self.get()
        data = {"csrfmiddlewaretoken": self.token, **fields}
        # `files={}` would not be multipart.
        return self.session.post(f"{self.page}{path}", data=data, files=files, timeout=60)

    def upload_images(self, *images: tuple[str, bytes], **fields: Any) -> requests.Response:
        """Choose images and submit the form of My Images."""
        return self.post("/", files=[("image", image) for image in images], **fields)

    def upload_file(self, name: str, content: bytes, **fields: Any) -> requests.Response:
        """Choose a file and submit the form of My Files."""
        return self.post("/files/", files=[("file", (name, content))], **fields)

    def links(self, path: str = "/") -> list[str]:
        """The share links on a page, in its order, each once."""
        return links_in(self.get(path).text, self.page, path)

    def pictures(self) -> list[str]:
        """The addresses of the pictures on My Images, as the browser would fetch them."""
        return pictures_in(self.get().text)

    def wait_for_pictures(self, count: int, seconds: float = 60) -> list[str]:
        """The pictures, once there are so many."""
        return wait_for(
            lambda: (p := self.pictures()) and len(p) == count and p, seconds, f"{count} pictures"
        )
