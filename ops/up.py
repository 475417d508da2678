"""`make up`: check, build, start, wait, and say where everything is.

Ends with 3 where no engine answers; the Makefile then does `make local`. Safe to run again: it
applies what changed in `.env`. Python 3.8 and its standard library.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ops import doctor, envfile, shell
from ops.addresses import addresses
from ops.terminal import die, say, speak_as

NO_ENGINE = 3
WAIT_SECONDS = 300
RESTARTS_SECONDS = 10  # after that, what still ends and starts anew will not be well
FORMER = "former users:"  # how bootstrap begins its last line, where it left some alive


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
        say(f"fetching {image}")
        if subprocess.run([doctor.ENGINE, "pull", image]).returncode:
            die(f"{image} can't be had; `make local` runs the stack without containers")


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
    command = [*doctor.COMPOSE, "logs", "--no-color", "--no-log-prefix", "--tail", "5", service]
    code, text = doctor.output(*command)
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


def main() -> int:
    speak_as("up")
    env = envfile.read(doctor.ROOT / ".env")
    project = shell.use(env)
    info, reason = doctor.engine()
    if not info:
        say(f"no container engine ({reason}): `make local` instead")
        return NO_ENGINE
    problems = doctor.check(env, info, project)
    if problems:
        die(*problems)
    services = json.loads(compose_json("config", "--format", "json"))["services"]
    fetch_images(services)
    if doctor.compiles_minio(env, project):
        say("MinIO is compiled once, which takes minutes: 5 on two cores")
    if compose("build"):
        die("the build failed, see above; `make local` runs the stack without containers")
    # Without --wait, with which its return code is 1 as soon as a one-shot service has ended.
    failed = compose("up", "--detach", "--no-build")
    services = {name: each for name, each in services.items() if each.get("scale", 1)}
    bad = unwell(services) if failed else wait(services)
    if bad:
        said = failed_bootstrap()
        if said:
            die(said)
        started = [name for name, state in bad.items() if state not in ("not started", "created")]
        if started:
            compose("logs", "--tail", "20", *started)
        listed = ", ".join(f"{name} ({state})" for name, state in bad.items())
        die(f"not well: {listed}; " + ("see above" if failed else "`make logs` shows all"))
    if failed:
        die("Compose failed, see above: what ran before runs on, and what changed was not applied")
    forget_former_keys()
    print(addresses(env, envfile.ports(env), containers=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
