"""Is this machine ready for `make up`? Says what is not, and the line of `.env` to change.

It also says how many connections the processes take, and what Heroku's small plans admit.

    COMPOSE="docker compose" python3 local/doctor.py

Ends with 0 where nothing is in the way (also without an engine: `make up` then does `make local`),
else with 1. Python 3.8 and its standard library: it runs before anything is installed.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import budget
import envfile

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = shlex.split(os.environ.get("COMPOSE") or "docker compose")
PROJECT = os.environ.get("COMPOSE_PROJECT_NAME") or "s3tasks"
ENGINE = COMPOSE[0] if COMPOSE[0] in ("docker", "podman", "nerdctl") else "docker"
COMPOSE_MINIMUM = (2, 24)  # the first that takes `!reset` and `env_file` with `required`
GIB = 1024**3
MEMORY_GIB = 2  # all containers idle together take 0.7, a build more
DISK_GIB, DISK_COMPILE_GIB = 3, 8  # the images; with Go's image and caches, for MinIO


def output(*command: str, seconds: int = 10) -> tuple[int, str]:
    """The command's return code and what it printed; 127 where there is no such command."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds
        )
        return done.returncode, done.stdout.decode(errors="replace").strip()
    except FileNotFoundError:
        return 127, f"{command[0]} is not installed"
    except subprocess.TimeoutExpired:
        return 124, f"{command[0]} did not answer within {seconds} s"


def engine() -> tuple[dict[str, Any], str]:
    """What the engine says of itself, or nothing and the reason."""
    code, text = output(ENGINE, "info", "--format", "{{json .}}")
    if code in (124, 127):
        return {}, text
    try:
        # Warnings may stand in front of it.
        info = json.loads(text[text.index("{") :].splitlines()[0])
    except ValueError:
        return {}, text.splitlines()[-1] if text else f"{ENGINE} info says nothing"
    if not info.get("ServerVersion") and "host" not in info:  # podman's answer has another shape
        errors = info.get("ServerErrors") or [
            f"{ENGINE} is installed, but its engine is not running"
        ]
        return {}, errors[0]
    return info, ""


def compose_problem() -> str | None:
    """Why this Compose will not do, or None."""
    code, text = output(*COMPOSE, "version", "--short")
    if code:
        last = text.splitlines()[-1] if text else "it says nothing"
        return f"`{' '.join(COMPOSE)}` does not work ({last}): install Docker's Compose plugin"
    version = re.search(r"(\d+)\.(\d+)", text)
    if version and tuple(map(int, version.groups())) < COMPOSE_MINIMUM:
        wanted = ".".join(map(str, COMPOSE_MINIMUM))
        return f"Compose {text} is too old: {wanted} or newer is needed"
    return None


def has_image(name: str) -> bool:
    return output(ENGINE, "image", "inspect", name)[0] == 0


def compiles_minio(env: dict[str, str], project: str = PROJECT) -> bool:
    """Whether a build has MinIO to compile, which takes minutes and room."""
    return not env.get("MINIO_IMAGE") and not has_image(f"{project}-minio")


def is_free(port: int) -> bool:
    """Whether a server could listen there, on 127.0.0.1."""
    with socket.socket() as probe:
        # A server of another address hides from the bind below on macOS, but answers.
        probe.settimeout(1)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody holds now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def container(port: int) -> tuple[str, str]:
    """The container that publishes the port, and the folder of its Compose project; or blanks."""
    shape = '{{.Names}}\t{{.Label "com.docker.compose.project.working_dir"}}'
    code, text = output(ENGINE, "ps", "--filter", f"publish={port}", "--format", shape)
    names, _, folder = text.partition("\n")[0].partition("\t") if code == 0 else ("", "", "")
    return names, folder


def holder(port: int) -> str:
    """Who listens on the port, as well as this user may know."""
    name, folder = container(port)
    if name:
        return f"container {name}" + (f" of {folder}" if folder else "")
    code, text = output("lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc")
    pid, command = re.search(r"^p(\d+)", text, re.M), re.search(r"^c(.+)", text, re.M)
    if code == 0 and pid and command:
        return f"{command.group(1)} (pid {pid.group(1)})"
    code, text = output("ss", "-Hltnp", f"sport = :{port}")
    process = re.search(r'"([^"]+)",pid=(\d+)', text)
    return "{} (pid {})".format(*process.groups()) if process else "a process of another user"


def is_ours(port: int) -> bool:
    """Whether a container of this very checkout publishes it, which is no obstacle to a new one."""
    return os.path.realpath(container(port)[1] or "/") == str(ROOT)


def port_problem(name: str, port: int) -> str | None:
    """Who holds the port and which line to change, or None where it is free."""
    if is_free(port):
        return None
    return f"port {port} is taken by {holder(port)}: change {name}={port} in .env"


def env_problems(env: dict[str, str], ports: dict[str, int]) -> list[str]:
    """What is wrong with `.env` itself."""
    found = []
    for name in envfile.names():
        if envfile.fresh(name) and name not in env:
            found.append(
                f"{name} is blank in .env: remove the line, and `make .env` writes a new one"
            )
    for name, port in ports.items():
        twin = next(other for other, its in ports.items() if its == port)
        if twin != name:
            found.append(f"{name} and {twin} are both {port}: change {name}={port} in .env")
    return found


def resource_problems(info: dict[str, Any], compile_minio: bool) -> list[str]:
    """What the engine has too little of."""
    found = []
    memory = info.get("MemTotal", MEMORY_GIB * GIB) / GIB
    if memory < MEMORY_GIB * 0.9:  # a virtual machine of 2 GiB reports a little less
        found.append(f"the engine has {memory:.1f} GiB of memory: give it {MEMORY_GIB} GiB or more")
    # The engine's own disk where this machine sees it; else (a virtual machine) the one below.
    root = Path(info.get("DockerRootDir", ROOT))
    free = shutil.disk_usage(str(root if root.exists() else ROOT)).free / GIB
    wanted = DISK_COMPILE_GIB if compile_minio else DISK_GIB
    if free < wanted:
        found.append(
            f"{free:.1f} GiB of disk are free, {wanted} GiB are needed: `{ENGINE} system prune`"
        )
    return found


def check(env: dict[str, str], info: dict[str, Any]) -> list[str]:
    """Everything that is in the way of `make up`, each with the way out."""
    ports = envfile.ports(env)
    found = env_problems(env, ports)
    compose = compose_problem()
    if compose:
        found.append(compose)
    found += resource_problems(info, compiles_minio(env))
    connections = budget.compose_problem(env)
    if connections:
        found.append(connections)
    for name, port in ports.items():
        if not is_free(port) and not is_ours(port):
            found.append(f"port {port} is taken by {holder(port)}: change {name}={port} in .env")
    return found


def main() -> int:
    env = envfile.read(ROOT / ".env")
    info, reason = engine()
    if not info:
        print(f"doctor: no container engine ({reason}): `make up` will do `make local`")
        ports = envfile.ports(env)
        found = env_problems(env, ports)
        problems = [port_problem(name, ports[name]) for name in ("WEB_PORT", "FLOWER_PORT")]
        found += [problem for problem in problems if problem]
    else:
        version = info.get("ServerVersion", "")
        print(f"doctor: {ENGINE} {version}, {info.get('MemTotal', 0) / GIB:.1f} GiB of memory")
        found = check(env, info)
    for line in budget.lines(env):
        print(f"doctor: {line}")
    for problem in found:
        print(f"doctor: {problem}")
    if not found:
        print("doctor: nothing is in the way")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
