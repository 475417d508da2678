"""Is this machine ready for `make up`? Says what is not, and the line of `.env` to change.

It also says how many connections the processes take, and what Heroku's small plans admit.

    COMPOSE="docker compose" python3 -m ops.doctor

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
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

from ops import budget, envfile, shell
from ops.terminal import say, speak_as

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = shlex.split(os.environ.get("COMPOSE") or "docker compose")
ENGINE = COMPOSE[0] if COMPOSE[0] in ("docker", "podman", "nerdctl") else "docker"
OVERLAYS = {"docker-compose.prod.yml", "dyno.yml"}
COMPOSE_MINIMUM = (2, 24)  # the first that takes `!reset` and `env_file` with `required`
ENGINE_MINIMUM = 25  # the first that takes a health check's `start_interval`
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


def engine_problem(info: dict[str, Any]) -> str | None:
    """Why this engine will not do, or None; another one than Docker counts otherwise."""
    version = re.match(r"(\d+)\.", str(info.get("ServerVersion", "")))
    if version and ENGINE == "docker" and int(version.group(1)) < ENGINE_MINIMUM:
        return (
            f"the engine is Docker {info['ServerVersion']}, which is too old:"
            f" {ENGINE_MINIMUM} or newer is needed"
        )
    return None


def elsewhere() -> str | None:
    """Where the engine is, if that is another machine, or None: ports and files are this one's."""
    place = "{{.Endpoints.docker.Host}}"
    code, text = output(ENGINE, "context", "inspect", "--format", place)
    remote = re.match(r"(ssh|tcp)://(?!localhost|127\.|\[::1\])", text)
    if code == 0 and remote:
        return (
            f"the engine is on another machine ({text}, by DOCKER_HOST or a context): run it there"
        )
    return None


def has_image(name: str) -> bool:
    return output(ENGINE, "image", "inspect", name)[0] == 0


def compiles_minio(env: dict[str, str], project: str) -> bool:
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


def container(port: int) -> tuple[str, str, str]:
    """The container that publishes the port, its Compose project, and that one's folder."""
    labels = [f'{{{{.Label "com.docker.compose.project{end}"}}}}' for end in ("", ".working_dir")]
    shape = "\t".join(["{{.Names}}", *labels])
    code, text = output(ENGINE, "ps", "--filter", f"publish={port}", "--format", shape)
    words = text.partition("\n")[0].split("\t") if code == 0 else []
    name, project, folder = [*words, "", "", ""][:3]
    return name, project, folder


def holder(port: int) -> str:
    """Who listens on the port, as well as this user may know."""
    name, _, folder = container(port)
    if name:
        return f"container {name}" + (f" of {folder}" if folder else "")
    code, text = output("lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc")
    pid, command = re.search(r"^p(\d+)", text, re.M), re.search(r"^c(.+)", text, re.M)
    if code == 0 and pid and command:
        return f"{command.group(1)} (pid {pid.group(1)})"
    code, text = output("ss", "-Hltnp", f"sport = :{port}")
    process = re.search(r'"([^"]+)",pid=(\d+)', text)
    return "{} (pid {})".format(*process.groups()) if process else "a process of another user"


def is_ours(port: int, project: str) -> bool:
    """Whether a container of this project and checkout has it: no obstacle to a new one."""
    _, its, folder = container(port)
    return its == project and os.path.realpath(folder or "/") == str(ROOT)


def project_problem(project: str, overlay: str = "") -> str | None:
    """Whose the project's containers are, where they were not started by this verb: from another
    folder, or with other Compose files; else None. Production may have moved to another folder."""
    label = "com.docker.compose.project"
    shape = f'{{{{.Label "{label}.config_files"}}}}'
    code, text = output(
        ENGINE, "ps", "--all", "--filter", f"label={label}={project}", "--format", shape
    )
    for files in set(text.splitlines()) if code == 0 else ():
        named = [Path(file) for file in files.split(",") if file.startswith("/")]
        overlays = {file.name for file in named} & OVERLAYS
        moved = not overlay and any(f.exists() and f.parent.resolve() != ROOT for f in named)
        if named and (overlays != ({overlay} if overlay else set()) or moved):
            return (
                f"the project {project} holds containers of {files}:"
                " give this one another COMPOSE_PROJECT_NAME, or none"
            )
    return None


def port_problem(name: str, port: int) -> str | None:
    """Who holds the port and which line to change, or None where it is free."""
    if is_free(port):
        return None
    return f"port {port} is taken by {holder(port)}: change {name}={port} in .env"


def env_problems(env: dict[str, str], ports: dict[str, int]) -> list[str]:
    """What is wrong with `.env` itself."""
    found = envfile.value_problems(env) + envfile.minio_problems(env)
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


def file_problems() -> list[str]:
    """What of their own containers could not read or run: they are other users, on Linux."""
    closed, windows, lame = [], [], []
    for top in ("compose", "services"):
        for folder, folders, names in os.walk(str(ROOT / top)):
            # An editor's and a tool's own, which no container reads.
            folders[:] = [name for name in folders if name[0] != "." and name != "__pycache__"]
            files = [Path(folder) / name for name in names if name[0] != "."]
            for path in [Path(folder), *files]:
                mode = path.lstat().st_mode
                wanted = 0o005 if stat.S_ISDIR(mode) else 0o004
                if mode & wanted != wanted and not stat.S_ISLNK(mode):
                    closed.append(str(path.relative_to(ROOT)))
                elif stat.S_ISREG(mode) and (path.parent.name == "bin" or path.suffix == ".sh"):
                    if b"\r\n" in path.read_bytes():
                        windows.append(str(path.relative_to(ROOT)))
                    if path.parent.name == "bin" and not mode & 0o001:
                        lame.append(str(path.relative_to(ROOT)))
    found = []
    if closed and sys.platform == "linux":  # elsewhere a virtual machine hands all of them out
        found.append(
            f"containers can't read {closed[0]} ({len(closed)} such; a umask of 077?):"
            " chmod -R go+rX compose services"
        )
    if windows:
        found.append(
            f"{windows[0]} has Windows' line ends, with which it does not run:"
            " git rm -rq --cached . && git reset --hard"
        )
    if lame and not closed:
        found.append(f"{lame[0]} may not be run: chmod +x services/*/bin/*")
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


def check(env: dict[str, str], info: dict[str, Any], project: str) -> list[str]:
    """Everything that is in the way of `make up`, each with the way out."""
    wrong = envfile.value_problems(env)
    if wrong:  # what follows reckons with them
        return wrong
    ports = envfile.ports(env)
    found = env_problems(env, ports)
    one_by_one = (
        engine_problem(info),
        compose_problem(),
        project_problem(project),
        budget.compose_problem(env),
    )
    found += [problem for problem in one_by_one if problem]
    found += file_problems() + resource_problems(info, compiles_minio(env, project))
    for name, port in ports.items():
        if not is_free(port) and not is_ours(port, project):
            found.append(f"port {port} is taken by {holder(port)}: change {name}={port} in .env")
    return found


def main() -> int:
    speak_as("doctor")
    env = envfile.read(ROOT / ".env")
    project = shell.use(env)
    info, reason = engine()
    if info:
        version = info.get("ServerVersion", "")
        say(f"{ENGINE} {version}, {info.get('MemTotal', 0) / GIB:.1f} GiB of memory")
        found = check(env, info, project)
    else:
        say(f"no container engine ({reason}): `make up` will do `make local`")
        found = envfile.value_problems(env)
        if not found:
            ports = envfile.ports(env)
            found = env_problems(env, ports)
            problems = [port_problem(name, ports[name]) for name in ("WEB_PORT", "FLOWER_PORT")]
            found += [problem for problem in problems if problem]
    if not envfile.value_problems(env):
        say(*budget.lines(env))
    say(*(found or ["nothing is in the way"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
