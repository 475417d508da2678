"""A machine that the verbs run on, where stand-ins on PATH play the engine and the venv."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from ops import envfile
from ops.ports import free_ports
from tests.support import ROOT

INFO = {"ServerVersion": "28.0.1", "MemTotal": 8 * 1024**3, "DockerRootDir": "/"}
# What a machine without our venv and without an engine has.
TOOLS = "awk bash cat cmp cp cut dirname du env grep lsof make mktemp rm sh ss touch uname xargs"


class Machine:
    """The Makefile and its scripts in a folder of their own, with these programs on PATH only."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.programs = folder / "tree", folder / "programs"
        folders = ("client", "local", "ops")
        requirements = "services/app/requirements/development.txt"
        for name in ("Makefile", ".env.var", "docker-compose.yml", *folders, requirements):
            target = self.tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            copy(ROOT / name, target)
        self.programs.mkdir()
        for tool in TOOLS.split():
            if found := shutil.which(tool):
                (self.programs / tool).symlink_to(found)
        (self.programs / "python3").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
        envfile.complete(self.tree / ".env")
        self.set_ports(free_ports(len(envfile.PORTS)))
        self.venv()

    def set(self, **values: object) -> None:
        """Change lines of `.env`."""
        file = self.tree / ".env"
        text = file.read_text()
        for name, value in values.items():
            text = re.sub(rf"^{name}=.*", f"{name}={value}", text, flags=re.MULTILINE)
        file.write_text(text)

    def set_ports(self, ports: list[int]) -> None:
        self.set(**dict(zip(envfile.PORTS, ports, strict=True)))
        self.ports = ports

    def program(self, name: str, script: str) -> None:
        file = self.programs / name
        file.unlink(missing_ok=True)
        file.write_text(f"#!/usr/bin/env bash\n{script}\n")
        file.chmod(0o755)

    def docker(self, answers: dict[str, str] | None = None) -> None:
        """A docker that answers as a healthy engine does, but for these; its calls are noted."""
        usual = {"info": f"echo '{json.dumps(INFO)}'", "compose version": "echo 2.30.0"}
        # The first that the call begins with counts.
        cases = [
            f"{shlex.quote(call)}*) {answer} ;;"
            for call, answer in [*(answers or {}).items(), *usual.items()]
        ]
        note = f'echo "$*" >>{self.tree}/calls'
        self.program("docker", "\n".join([note, 'case "$*" in', *cases, "*) exit 0 ;;", "esac"]))

    def venv(self) -> None:
        """A venv whose Python says what it was asked to run."""
        folder = self.tree / ".venv" / "bin"
        folder.mkdir(parents=True)
        shutil.copy2(
            self.tree / "services/app/requirements/development.txt", folder.parent / "installed.txt"
        )
        (folder / "python").write_text('#!/bin/sh\n[ "$1" = -c ] || echo "python $*"\n')
        (folder / "python").chmod(0o755)

    def make(self, *arguments: str, **shell: str) -> tuple[int, str]:
        """The return code, and everything that it printed, where the shell exports these."""
        done = subprocess.run(
            ["make", *arguments],
            cwd=self.tree,
            env={"PATH": str(self.programs), "HOME": str(self.tree), **shell},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
        )
        return done.returncode, done.stdout.decode(errors="replace")

    def calls(self) -> list[str]:
        """What docker was asked since the last question."""
        file = self.tree / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines


DOCKERFILE = """
ARG MINIO_IMAGE=compiled
FROM golang:1 AS build
FROM python:3 AS compiled
COPY --from=build /go/bin/minio /bin/
FROM ${MINIO_IMAGE} AS minio
"""


def services(tree: Path, **minio: str) -> str:
    (tree / "Dockerfile").write_text(DOCKERFILE)
    build = {"context": str(tree), "dockerfile": "Dockerfile", "target": "minio", "args": minio}
    both = {"redis": {"image": "redis:8"}, "minio": {"image": "s3tasks-minio", "build": build}}
    return f"echo '{json.dumps({'services': both})}'"


def ps(**states: dict[str, object]) -> str:
    """What Compose says of these containers; of those of `services`, that they are well."""
    well = {"State": "running", "Health": "healthy"}
    rows = {"redis": well, "minio": well, **states}
    return "; ".join(
        f"echo '{json.dumps({'Service': name, **row})}'" for name, row in rows.items() if row
    )


PROD = "compose --env-file .env.production --file docker-compose.yml --file docker-compose.prod.yml"
OUTSIDE = {
    "SITE_ADDRESS": "drop.example.org",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "hidden-away",
    "AWS_STORAGE_BUCKET_NAME": "drop-uploads",
}


def prod(machine: Machine, *arguments: str, **values: str) -> tuple[int, str, str]:
    """`make prod` with these values: the return code, what it printed, and docker's calls."""
    machine.make(".env.production")
    file = machine.tree / ".env.production"
    # Two ports that nobody holds, and that a server would not have.
    ports = {"HTTP_PORT": str(machine.ports[0]), "HTTPS_PORT": str(machine.ports[1])}
    for name, value in {**OUTSIDE, **ports, **values}.items():
        file.write_text(re.sub(rf"(?m)^{name}=.*", f"{name}={value}", file.read_text()))
    code, text = machine.make("prod", *arguments)
    calls = machine.tree / "calls"
    return code, text, calls.read_text() if calls.exists() else ""
