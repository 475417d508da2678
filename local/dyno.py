"""`make dyno`: the app under a dyno's rules: smoke flow, a burst of uploads, shutdown, verdict.

    python3 local/dyno.py

A Compose project of its own, beside whatever runs; removed at the end, unless KEEP=1. Ends with 0
where all went well. Python 3.8 and its standard library.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import doctor
import envfile
import up
from smoke import Failed, Visitor, picture, smoke

PROJECT = (os.environ.get("COMPOSE_PROJECT_NAME") or "s3tasks") + "-dyno"
BOOT_SECONDS = 60  # Heroku's R10: bound to $PORT by then
STOP_SECONDS = 30  # then Heroku sends SIGKILL
CONNECTIONS = 20  # Redis's and Postgres's on the small plans
DYNO_MIB = 512
BURST_SECONDS, BURST_CLIENTS = 8, 24
PROCESSES = ("web", "worker", "beat", "flower")


def say(text: str) -> None:
    print(f"dyno: {text}", flush=True)


def die(message: str) -> NoReturn:
    sys.exit(f"dyno: {message}")


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody holds now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def choose() -> dict[str, int]:
    """What Heroku draws, and the ports on this machine: into the environment, for Compose."""
    web, flower, minio, console = free_ports(4)
    chosen = {
        "DYNO_UID": random.randrange(10_000, 60_000),  # noqa: S311  no secret
        "DYNO_PORT": random.randrange(3_000, 60_000),  # noqa: S311
        "WEB_PORT": web,
        "FLOWER_PORT": flower,
        "MINIO_PORT": minio,
        "MINIO_CONSOLE_PORT": console,
    }
    os.environ.update({name: str(value) for name, value in chosen.items()})
    return chosen


def compose(*arguments: str) -> int:
    """The return code; what Compose has to say of each container is left out."""
    return up.compose("--progress", "quiet", *arguments)


def inside(service: str, *command: str) -> str:
    """What a command says in a service's container; blank where it fails."""
    code, text = doctor.output(*doctor.COMPOSE, "exec", "-T", service, *command)
    return text if code == 0 else ""


def connections(password: str) -> dict[str, int]:
    """The connections to Redis and Postgres at this moment, but for those that count."""
    clients = inside(
        "redis", "redis-cli", "--tls", "--insecure", "--no-auth-warning", "-a", password,
        "client", "list",
    )  # fmt: skip
    asked = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    backends = inside("postgres", "psql", "-U", "s3tasks", "-tAc", asked)
    redis = sum("cmd=client" not in line for line in clients.splitlines() if "addr=" in line)
    return {"Redis": redis, "Postgres": int(backends or 1) - 1}


def memory() -> dict[str, float]:
    """MiB that each process type uses."""
    used = {}
    names = [f"{PROJECT}-{name}-1" for name in PROCESSES]
    shape = "{{.Name}} {{.MemUsage}}"
    code, text = doctor.output(doctor.ENGINE, "stats", "--no-stream", "--format", shape, *names)
    for line in text.splitlines() if code == 0 else []:
        name, amount = line.split()[:2]
        unit = 1024 if "GiB" in amount else 1
        used[name.split("-")[-2]] = float(amount.rstrip("GKMiB")) * unit
    return used


def boot(env: dict[str, str], page: str) -> None:
    """Start all of it, release first; ends the program where release fails or web is late."""
    start = time.monotonic()
    if compose("up", "--detach", "--no-build"):
        up.compose("logs", "--tail", "30", "release")
        raise Failed("release failed, so that nothing else was started")
    released = time.monotonic()
    visitor = Visitor(page)
    while not visitor.answers("/healthz"):
        if time.monotonic() - released > BOOT_SECONDS:
            up.compose("logs", "--tail", "30", "web")
            raise Failed(f"web does not answer on $PORT within {BOOT_SECONDS} s")
        time.sleep(0.2)
    say(
        f"release and what it needs took {released - start:.1f} s, then web answered after"
        f" {time.monotonic() - released:.1f} s of {BOOT_SECONDS}"
    )


def burst(page: str, password: str) -> None:
    """Uploads from many visitors at once; what they take of connections and memory."""
    most: dict[str, int] = {"Redis": 0, "Postgres": 0}
    deadline = time.monotonic() + BURST_SECONDS
    photo = picture(640, 480)

    def upload() -> int:
        visitor, done = Visitor(page), 0
        while time.monotonic() < deadline:
            if done % 2:
                visitor.upload("/files/", "file", "a.txt", b"text", ttl=30)
            else:
                visitor.upload("/", "image", "a.png", photo, ttl=30)
            done += 1
        return done

    with ThreadPoolExecutor(BURST_CLIENTS) as pool:
        uploads = [pool.submit(upload) for _ in range(BURST_CLIENTS)]
        while time.monotonic() < deadline:
            for name, count in connections(password).items():
                most[name] = max(most[name], count)
        used = memory()
        total = sum(each.result() for each in uploads)
    say(f"{total} uploads in {BURST_SECONDS} s from {BURST_CLIENTS} visitors")
    counts = ", ".join(f"{name} {count} of {CONNECTIONS}" for name, count in most.items())
    say(f"connections at the most: {counts}")
    say("memory: " + ", ".join(f"{n} {mib:.0f} MiB" for n, mib in used.items()) + f" of {DYNO_MIB}")


def stop() -> None:
    """SIGTERM to every process; fails where one outlives its time."""
    start = time.monotonic()
    compose("stop", *PROCESSES)
    took = time.monotonic() - start
    if took >= STOP_SECONDS:
        raise Failed(f"after SIGTERM it took {took:.0f} s to stop; Heroku kills at {STOP_SECONDS}")
    say(f"after SIGTERM to every process all had stopped within {took:.1f} s of {STOP_SECONDS}")


def main() -> int:
    env = envfile.read(doctor.ROOT / ".env")
    info, reason = doctor.engine()
    if not info:
        die(f"it needs a container engine: {reason}")
    chosen = choose()
    os.environ["COMPOSE_PROJECT_NAME"] = PROJECT
    doctor.COMPOSE += ["--file", "docker-compose.yml", "--file", "compose/dyno.yml"]
    page = f"https://localhost:{chosen['WEB_PORT']}"
    compose("down", "--volumes", "--remove-orphans")  # what a killed run left
    up.fetch_images(json.loads(up.compose_json("config", "--format", "json"))["services"])
    if compose("build"):
        die("the build failed, see above")
    say(f"uid {chosen['DYNO_UID']}, PORT {chosen['DYNO_PORT']}, {DYNO_MIB} MiB, {page}")
    try:
        boot(env, page)
        say(smoke(page, f"http://localhost:{chosen['MINIO_PORT']}"))
        burst(page, env["POSTGRES_PASSWORD"])
        if os.environ.get("KEEP"):
            say(f"it stays up at {page}; `docker compose --project-name {PROJECT} down -v` ends it")
        else:
            stop()
    except Failed as failure:
        say(f"this would NOT run on Heroku: {failure}")
        return 1
    finally:
        if not os.environ.get("KEEP"):
            compose("down", "--volumes", "--remove-orphans")
    say("this runs on Heroku")
    return 0


if __name__ == "__main__":
    sys.exit(main())
