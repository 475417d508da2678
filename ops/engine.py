"""What the container engine and Compose are asked, and told.

Python 3.8 and its standard library.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ops.envfile import ROOT
from ops.terminal import die, say

COMPOSE = shlex.split(os.environ.get("COMPOSE") or "docker compose")
ENGINE = COMPOSE[0] if COMPOSE[0] in ("docker", "podman", "nerdctl") else "docker"
OVERLAYS = {"docker-compose.prod.yml", "dyno.yml"}
WAIT_SECONDS = 300
RESTARTS_SECONDS = 10  # after that, what still ends and starts anew will not be well
FORMER = "former users:"  # how bootstrap begins its last line, where it left some alive


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


def info() -> tuple[dict[str, Any], str]:
    """What the engine says of itself, or nothing and the reason."""
    code, text = output(ENGINE, "info", "--format", "{{json .}}")
    if code in (124, 127):
        return {}, text
    try:
        # Warnings may stand in front of it.
        found = json.loads(text[text.index("{") :].splitlines()[0])
    except ValueError:
        return {}, text.splitlines()[-1] if text else f"{ENGINE} info prints nothing"
    if not found.get("ServerVersion") and "host" not in found:  # podman's answer has another shape
        errors = found.get("ServerErrors") or [
            f"{ENGINE} is installed, but its engine is not running"
        ]
        return {}, errors[0]
    return found, ""


def has_image(name: str) -> bool:
    return output(ENGINE, "image", "inspect", name)[0] == 0


def compiles_minio(env: dict[str, str], project: str) -> bool:
    """Whether a build has MinIO to compile, which takes minutes and room."""
    return not env.get("MINIO_IMAGE") and not has_image(f"{project}-minio")


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


def compose(*arguments: str) -> int:
    return subprocess.run([*COMPOSE, *arguments], cwd=str(ROOT)).returncode


def compose_json(*arguments: str) -> str:
    """What Compose prints; ends the program with Compose's own words where it fails."""
    done = subprocess.run([*COMPOSE, *arguments], cwd=str(ROOT), stdout=subprocess.PIPE)
    if done.returncode:
        die("Compose does not accept docker-compose.yml")
    return done.stdout.decode()


def base_images(build: dict[str, Any]) -> Iterator[str]:
    """The images that the build starts from; stages that its target does not need are left out."""
    dockerfile = Path(build["context"]) / build.get("dockerfile", "Dockerfile")
    arguments: dict[str, str] = {}
    stages: dict[str, list[str]] = {}  # in the file's order: what each stage builds on
    name = ""
    for raw in dockerfile.read_text(encoding="utf-8").splitlines():
        line = re.sub(r"\$\{?(\w+)\}?", lambda word: arguments.get(word.group(1), ""), raw)
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
        if has_image(image):
            continue
        say(f"fetching {image}")
        if subprocess.run([ENGINE, "pull", image]).returncode:
            die(f"{image} can't be fetched; `make local` runs the stack without containers")


def rows() -> dict[str, list[tuple[str, bool]]]:
    """Of each service that has containers: the state of each, and whether that is a good one."""
    text = compose_json("ps", "--all", "--format", "json")
    # One object a line; a list before Compose 2.21.
    found: dict[str, list[tuple[str, bool]]] = {}
    for row in json.loads(text) if text.startswith("[") else map(json.loads, text.splitlines()):
        state, health = row.get("State", ""), row.get("Health", "")
        done = state == "exited" and row.get("ExitCode") == 0
        well = state == "running" and health in ("", "healthy")
        found.setdefault(row["Service"], []).append((health or state, done or well))
    return found


def unwell(services: Iterable[str]) -> dict[str, str]:
    """Those of the services that neither run well nor have done their work, each with its state.

    A service without a container is among them: what was never started is not well.
    """
    seen = rows()
    bad = {name: "not started" for name in services if name not in seen}
    for name, states in seen.items():
        for state, well in states:
            if not well:
                bad[name] = state
    return bad


def wait(services: Iterable[str]) -> dict[str, str]:
    """Wait until all are well; what is not by then, or can't be any more, each with its state."""
    services, restarts = list(services), {}
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        bad, now = unwell(services), time.monotonic()
        for name, state in bad.items():
            if state == "restarting":
                restarts.setdefault(name, now)
        looping = any(
            state == "restarting" and now - restarts[name] > RESTARTS_SECONDS
            for name, state in bad.items()
        )
        # What only takes its time. All else stays as it is, however long one waits.
        hopeful = {"starting", "created", "running", "restarting"}
        if not bad or looping or now > deadline or not set(bad.values()) <= hopeful:
            return bad
        time.sleep(0.3)


def last_line(service: str) -> str:
    """What the service's container said last."""
    command = [*COMPOSE, "logs", "--no-color", "--no-log-prefix", "--tail", "5", service]
    code, text = output(*command)
    said = [line for line in text.splitlines() if line.strip()]
    return said[-1].strip() if said and not code else ""


def failed_bootstrap() -> str:
    """What MinIO's bootstrap says of its failure, or blank where it has not failed."""
    state, well = rows().get("minio-bootstrap", [("", True)])[0]
    if well or state != "exited":
        return ""
    return last_line("minio-bootstrap") or "minio-bootstrap failed"


def forget_former_keys() -> None:
    """Remove MinIO's users of former keys, now that nothing uses them any more."""
    if FORMER in last_line("minio-bootstrap"):
        bootstrap = ("python", "/srv/bootstrap.py", "/srv/s3-policy.json", "--forget")
        compose("run", "--rm", "--no-deps", "minio-bootstrap", *bootstrap)
