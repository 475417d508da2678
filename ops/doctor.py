"""Is this machine ready for `make up`? Says what is not, and the line of `.env` to change.

It also says how many connections the processes take, and what Heroku's small plans admit.

    COMPOSE="docker compose" python3 -m ops.doctor

Ends with 0 where nothing is in the way (also without an engine: `make up` then does `make local`),
else with 1. Python 3.8 and its standard library: it runs before anything is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from pathlib import Path
from typing import Any

from ops import budget, engine, env_values, envfile, shell
from ops.ports import is_ours, port_problem
from ops.terminal import say, speak_as

COMPOSE_MINIMUM = (2, 24)  # the first that takes `!reset` and `env_file` with `required`
ENGINE_MINIMUM = 25  # the first that takes a health check's `start_interval`
GIB = 1024**3
MEMORY_GIB = 2  # all containers idle together take 0.7, a build more
DISK_GIB, DISK_COMPILE_GIB = 3, 8  # the images; with Go's image and caches, for MinIO


def compose_problem() -> str | None:
    """Why this Compose will not do, or None."""
    code, text = engine.output(*engine.COMPOSE, "version", "--short")
    if code:
        last = text.splitlines()[-1] if text else "no output"
        return (
            f"`{' '.join(engine.COMPOSE)}` does not work ({last}): install Docker's Compose plugin"
        )
    version = re.search(r"(\d+)\.(\d+)", text)
    if version and tuple(map(int, version.groups())) < COMPOSE_MINIMUM:
        wanted = ".".join(map(str, COMPOSE_MINIMUM))
        return f"Compose {text} is too old: {wanted} or newer is needed"
    return None


def engine_problem(info: dict[str, Any]) -> str | None:
    """Why this engine will not do, or None; another one than Docker counts otherwise."""
    version = re.match(r"(\d+)\.", str(info.get("ServerVersion", "")))
    if version and engine.ENGINE == "docker" and int(version.group(1)) < ENGINE_MINIMUM:
        return (
            f"the engine is Docker {info['ServerVersion']}, which is too old:"
            f" {ENGINE_MINIMUM} or newer is needed"
        )
    return None


def env_problems(env: dict[str, str], ports: dict[str, int]) -> list[str]:
    """What is wrong with `.env` itself."""
    found = env_values.value_problems(env) + env_values.minio_problems(env)
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
        for folder, folders, names in os.walk(str(envfile.ROOT / top)):
            # An editor's and a tool's own, which no container reads.
            folders[:] = [name for name in folders if name[0] != "." and name != "__pycache__"]
            files = [Path(folder) / name for name in names if name[0] != "."]
            for path in [Path(folder), *files]:
                mode = path.lstat().st_mode
                wanted = 0o005 if stat.S_ISDIR(mode) else 0o004
                if mode & wanted != wanted and not stat.S_ISLNK(mode):
                    closed.append(str(path.relative_to(envfile.ROOT)))
                elif stat.S_ISREG(mode) and (path.parent.name == "bin" or path.suffix == ".sh"):
                    if b"\r\n" in path.read_bytes():
                        windows.append(str(path.relative_to(envfile.ROOT)))
                    if path.parent.name == "bin" and not mode & 0o001:
                        lame.append(str(path.relative_to(envfile.ROOT)))
    found = []
    if closed and sys.platform == "linux":  # elsewhere a virtual machine hands all of them out
        found.append(
            f"containers can't read {closed[0]} ({len(closed)} in all; is the umask 077?):"
            " chmod -R go+rX compose services"
        )
    if windows:
        found.append(
            f"{windows[0]} has Windows line endings, with which it can't run:"
            " git rm -rq --cached . && git reset --hard"
        )
    if lame and not closed:
        found.append(f"{lame[0]} is not executable: chmod +x services/*/bin/*")
    return found


def resource_problems(info: dict[str, Any], compile_minio: bool) -> list[str]:
    """What the engine has too little of."""
    found = []
    memory = info.get("MemTotal", MEMORY_GIB * GIB) / GIB
    if memory < MEMORY_GIB * 0.9:  # a virtual machine of 2 GiB reports a little less
        found.append(f"the engine has {memory:.1f} GiB of memory: give it {MEMORY_GIB} GiB or more")
    # The engine's own disk where this machine sees it; else (a virtual machine) the one below.
    root = Path(info.get("DockerRootDir", envfile.ROOT))
    free = shutil.disk_usage(str(root if root.exists() else envfile.ROOT)).free / GIB
    wanted = DISK_COMPILE_GIB if compile_minio else DISK_GIB
    if free < wanted:
        found.append(
            f"{free:.1f} GiB of disk are free, {wanted} GiB are needed:"
            f" `{engine.ENGINE} system prune`"
        )
    return found


def check(env: dict[str, str], info: dict[str, Any], project: str) -> list[str]:
    """Everything that is in the way of `make up`, each with the way out."""
    wrong = env_values.value_problems(env)
    if wrong:  # what follows reckons with them
        return wrong
    ports = env_values.ports(env)
    found = env_problems(env, ports)
    one_by_one = (
        engine_problem(info),
        compose_problem(),
        engine.project_problem(project),
        budget.compose_problem(env),
    )
    found += [problem for problem in one_by_one if problem]
    found += file_problems() + resource_problems(info, engine.compiles_minio(env, project))
    for name, port in ports.items():
        problem = port_problem(name, port)
        if problem and not is_ours(port, project):
            found.append(problem)
    return found


def main() -> int:
    speak_as("doctor")
    env = envfile.read(envfile.ROOT / ".env")
    project = shell.use(env)
    info, reason = engine.info()
    if info:
        version = info.get("ServerVersion", "")
        say(f"{engine.ENGINE} {version}, {info.get('MemTotal', 0) / GIB:.1f} GiB of memory")
        found = check(env, info, project)
    else:
        say(f"no container engine ({reason}): `make up` will do `make local`")
        found = env_values.value_problems(env)
        if not found:
            ports = env_values.ports(env)
            found = env_problems(env, ports)
            problems = [port_problem(name, ports[name]) for name in ("WEB_PORT", "FLOWER_PORT")]
            found += [problem for problem in problems if problem]
    if not env_values.value_problems(env):
        say(*budget.lines(env))
    say(*(found or ["nothing is in the way"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
