"""`make up`: check, build, start, wait, and say where everything is.

Ends with 3 where no engine answers; the Makefile then does `make local`. Safe to run again: it
applies what changed in `.env`. Python 3.8 and its standard library.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import doctor
import envfile
from addresses import addresses

NO_ENGINE = 3
WAIT_SECONDS = 300


def die(message: str) -> NoReturn:
    sys.exit(f"up: {message}")


def compose(*arguments: str) -> int:
    return subprocess.run([*doctor.COMPOSE, *arguments], cwd=str(doctor.ROOT)).returncode


def compose_json(*arguments: str) -> str:
    """What Compose prints; ends the program with Compose's own words where it fails."""
    done = subprocess.run(
        [*doctor.COMPOSE, *arguments], cwd=str(doctor.ROOT), stdout=subprocess.PIPE
    )
    if done.returncode:
        die("Compose does not accept docker-compose.yml")
    return done.stdout.decode()


def base_images(build: dict[str, Any]) -> Iterator[str]:
    """The images that the build starts from; stages that its target does not need are left out."""
    dockerfile = Path(build["context"]) / build.get("dockerfile", "Dockerfile")
    arguments: dict[str, str] = {}
    stages: dict[str, list[str]] = {}  # in the file's order: what each stage builds on
    name = ""
    for line in dockerfile.read_text(encoding="utf-8").splitlines():
        line = re.sub(r"\$\{?(\w+)\}?", lambda word: arguments.get(word.group(1), ""), line)
        if line.startswith("ARG ") and not stages and "=" in line:
            key, _, default = line[4:].partition("=")
            arguments[key] = (build.get("args") or {}).get(key) or default
        words = [word for word in line.split() if not word.startswith("--platform")]
        if line.startswith("FROM "):
            name = words[3] if len(words) > 3 else str(len(stages))
            stages[name] = [words[1]]
        source = re.search(r"--from=(\S+)", line)
        if source and stages and not line.startswith("#"):
            stages[name].append(source.group(1))
    todo, seen = [build.get("target") or name], set()
    while todo:
        stage = todo.pop()
        if stage in seen:
            continue
        seen.add(stage)
        if stage in stages:
            todo += stages[stage]
        elif stage != "scratch":
            yield stage


def fetch_images(services: dict[str, Any]) -> None:
    """Get every image that is not built here, one by one, to name the one that can't be had."""
    wanted = {service["image"] for service in services.values()}
    for service in services.values():
        if "build" in service:
            wanted.discard(service["image"])
            wanted.update(base_images(service["build"]))
    for image in sorted(wanted):
        if doctor.has_image(image):
            continue
        print(f"up: fetching {image}", flush=True)
        if subprocess.run([doctor.ENGINE, "pull", image]).returncode:
            die(f"{image} can't be had; `make local` runs the stack without containers")


def unwell() -> list[str]:
    """The services that neither run well nor have done their work, each with its state."""
    text = compose_json("ps", "--all", "--format", "json")
    # One object a line; a list before Compose 2.21.
    rows = json.loads(text) if text.startswith("[") else map(json.loads, text.splitlines())
    bad = []
    for row in rows:
        state, health = row.get("State", ""), row.get("Health", "")
        done = state == "exited" and row.get("ExitCode") == 0
        well = state == "running" and health in ("", "healthy")
        if not done and not well:
            bad.append(f"{row['Service']} ({health or state})")
    return bad


def main() -> int:
    env = envfile.read(doctor.ROOT / ".env")
    info, reason = doctor.engine()
    if not info:
        print(f"up: no container engine ({reason}): `make local` instead", flush=True)
        return NO_ENGINE
    problems = doctor.check(env, info)
    if problems:
        die("\nup: ".join(problems))
    services = json.loads(compose_json("config", "--format", "json"))["services"]
    fetch_images(services)
    if doctor.compiles_minio(env):
        print("up: MinIO is compiled once, which takes minutes: 5 on two cores", flush=True)
    if compose("build"):
        die("the build failed, see above; `make local` runs the stack without containers")
    # Its return code says little: with --wait it is 1 as soon as a one-shot service has ended.
    compose("up", "--detach", "--no-build", "--wait", "--wait-timeout", str(WAIT_SECONDS))
    bad = unwell()
    if bad:
        compose("logs", "--tail", "20", *(service.split(" ")[0] for service in bad))
        die(f"not well: {', '.join(bad)}; `make logs` shows all")
    print(addresses(env, envfile.ports(env), containers=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
