"""`make dyno`: the app under a dyno's rules: smoke flow, a minute of uploads, shutdown, verdict.

    python3 -m ops.dyno

A Compose project of its own, beside whatever runs; removed at the end, unless KEEP=1. Ends with 0
where all went well. Python 3.8 and its standard library.
"""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

from client.load import THREADS, Load
from client.smoke import smoke, wait_for
from client.visitor import Connections, Failed, Visitor
from ops import doctor, engine, env_values, envfile, ports, shell, usage
from ops.budget import PLAN
from ops.terminal import die, say, speak_as

BOOT_SECONDS = 60  # Heroku's R10: bound to $PORT by then
STOP_SECONDS = 30  # then Heroku sends SIGKILL
DYNO_MIB = 512
RATE = 20  # uploads a second
LOAD_SECONDS = int(os.environ.get("LOAD_SECONDS") or 60)
# In seconds: files also go meanwhile, images live until they have been made safe.
TTL = {"image": 600, "file": 20}
MADE_SECONDS = 300  # on a machine that is busy otherwise
PROCESSES = ("web", "worker", "beat", "flower")

# 90 kB: colours that flow, and a sensor's noise.
PHOTO = """
import sys, pyvips
colours = pyvips.Image.perlin(640, 480, cell_size=160) * 80 + 128
bands = [colours + pyvips.Image.gaussnoise(640, 480, sigma=14) - 128 for _ in range(3)]
photo = bands[0].bandjoin(bands[1:]).cast("uchar").copy(interpretation="srgb")
sys.stdout.buffer.write(photo.jpegsave_buffer(Q=85))
"""
# Somebody who looks around: a connection to Postgres, and one to Redis.
SHELL = """
import time
from uploads.models import Upload
from uploads.tasks import reconcile
print(Upload.objects.count())
reconcile.delay()
time.sleep(5)
"""


def choose() -> dict[str, str]:
    """What Heroku draws, and the ports on this machine: into the environment, for Compose."""
    web, flower, minio, console = ports.free_ports(4)
    chosen = {
        "COMPOSE_FILE": "docker-compose.yml:compose/dyno/dyno.yml",
        "COMPOSE_PATH_SEPARATOR": ":",
        "DYNO_UID": str(random.randrange(10_000, 60_000)),  # noqa: S311  no secret
        "DYNO_PORT": str(random.randrange(3_000, 60_000)),  # noqa: S311
        "WEB_PORT": str(web),
        "FLOWER_PORT": str(flower),
        "MINIO_PORT": str(minio),
        "MINIO_CONSOLE_PORT": str(console),
    }
    os.environ.update(chosen)
    return chosen


def compose(*arguments: str) -> int:
    """The return code; what Compose has to say of each container is left out."""
    return engine.compose("--progress", "quiet", *arguments)


def boot(env: dict[str, str], page: str) -> None:
    """Start all of it, release first; ends the program where release fails or web is late."""
    start = time.monotonic()
    if compose("up", "--detach", "--no-build"):
        engine.compose("logs", "--tail", "30", "release")
        raise Failed("release failed, so nothing else was started")
    released = time.monotonic()
    visitor = Visitor(page)
    try:
        wait_for(lambda: visitor.answers("/healthz"), BOOT_SECONDS, "web answers on $PORT")
    except Failed:
        engine.compose("logs", "--tail", "30", "web")
        raise
    say(
        f"release and what it needs took {released - start:.1f} s, then web answered after"
        f" {time.monotonic() - released:.1f} s of {BOOT_SECONDS}"
    )


def one_off(*command: str) -> bytes:
    """What a one-off dyno prints; raises Failed."""
    run = ["--progress", "quiet", "run", "--rm", "--no-deps", "-T", "release"]
    done = subprocess.run(
        [*engine.COMPOSE, *run, *command],
        cwd=str(envfile.ROOT),
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    if done.returncode:
        raise Failed(f"`{command[0]}` in a one-off dyno fails: {done.stderr.decode()}")
    return done.stdout


def minute(page: str, photo: bytes) -> None:
    """Uploads at the rate that a small dyno must carry, and the time until all of it is done."""
    load = Load(page, photo, count=RATE * LOAD_SECONDS, rate=RATE, ttl=TTL).run()
    if load.failed:
        raise Failed(f"of {load.count} uploads failed: {dict(load.failed)}")
    say(
        f"{load.count} uploads within {load.seconds:.1f} s, {load.count / load.seconds:.1f} a"
        f" second of {RATE}; answered after {load.after(0.5):.2f} s (half of them),"
        f" {load.after(0.95):.2f} s (95 %), {load.after(1):.2f} s (all)"
    )
    waiting, start = usage.waiting_images(), time.monotonic()
    wait_for(lambda: not usage.waiting_images(), MADE_SECONDS, "the worker has made all images")
    seconds = time.monotonic() - start
    say(f"{waiting} images were not made safe yet then, none {seconds:.1f} s later")


def everything(page: str, photo: bytes, flower: Callable[[], object]) -> None:
    """More uploads at once than web has threads, while an operator releases, looks around, and has
    Flower's page open."""
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(one_off, "bin/release"),
            pool.submit(one_off, "python", "manage.py", "shell", "-c", SHELL),
        ]
        while not all(job.done() for job in jobs):
            asked = Thread(target=flower)
            asked.start()
            load = Load(page, photo, count=THREADS, rate=1000, ttl=TTL).run()
            asked.join()
            if load.failed:
                raise Failed(f"of {load.count} uploads at once failed: {dict(load.failed)}")
        for job in jobs:
            job.result()


def load(page: str, env: dict[str, str], flower: str) -> None:
    """The uploads of a minute, then everything at once, and what both took."""
    photo = one_off("python", "-c", PHOTO)
    login = base64.b64encode(env["FLOWER_BASIC_AUTH"].encode()).decode()
    headers = {"Authorization": f"Basic {login}"}

    def ask_flower() -> None:
        Connections().ask("GET", f"{flower}/api/workers?refresh=1", None, headers)

    with usage.Counter() as counter:
        minute(page, photo)
        everything(page, photo, ask_flower)
    most = ", ".join(f"{name} {count} of {PLAN}" for name, count in counter.most.items())
    say(f"most connections, with a release and a shell among them: {most}")
    for name, count in counter.most.items():
        if count > PLAN:
            raise Failed(f"{name} had {count} connections at once: more than {PLAN}")
    for name, count in usage.turned_away().items():
        if count:
            raise Failed(f"{name} turned {count} connections away: more than {PLAN}")
    peaks = {name: usage.memory_peak(name) for name in PROCESSES}
    used = ", ".join(f"{name} {mib:.0f} MiB" for name, mib in peaks.items())
    say(f"most memory: {used} of {DYNO_MIB}")
    ended = [name for name in PROCESSES if usage.has_ended(name)]
    if ended:
        raise Failed(f"{', '.join(ended)} ended under load, perhaps for want of memory")


def stop() -> None:
    """SIGTERM to every process; fails where one outlives its time."""
    start = time.monotonic()
    compose("stop", *PROCESSES)
    took = time.monotonic() - start
    if took >= STOP_SECONDS:
        raise Failed(f"after SIGTERM it took {took:.0f} s to stop; Heroku kills at {STOP_SECONDS}")
    say(f"after SIGTERM to every process all had stopped within {took:.1f} s of {STOP_SECONDS}")


def in_the_way(env: dict[str, str], info: dict[str, Any], project: str) -> list[str]:
    """What it can't run with, each with the way out."""
    wrong = env_values.value_problems(env)
    found = wrong or doctor.env_problems(env, env_values.ports(env))
    one_by_one = (
        doctor.engine_problem(info),
        doctor.compose_problem(),
        engine.project_problem(project, "dyno.yml"),
    )
    return found + [each for each in one_by_one if each] + doctor.file_problems()


def main() -> int:
    speak_as("dyno")
    env = envfile.read(envfile.ROOT / ".env")
    project = shell.use(env, shell.DYNO)
    info, reason = engine.info()
    if not info:
        die(f"it needs a container engine: {reason}")
    found = in_the_way(env, info, project)
    if found:
        die(*found)
    chosen = choose()
    page = f"https://localhost:{chosen['WEB_PORT']}"
    compose("down", "--volumes", "--remove-orphans")  # what a killed run left
    engine.fetch_images(json.loads(engine.compose_json("config", "--format", "json"))["services"])
    if compose("build"):
        die("the build failed, see above")
    say(f"uid {chosen['DYNO_UID']}, PORT {chosen['DYNO_PORT']}, {DYNO_MIB} MiB, {page}")
    try:
        boot(env, page)
        say(smoke(page, f"http://localhost:{chosen['MINIO_PORT']}"))
        load(page, env, f"http://localhost:{chosen['FLOWER_PORT']}")
        stop()
        if os.environ.get("KEEP"):
            compose("start", *PROCESSES)
            say(f"it stays up at {page}; `docker compose --project-name {project} down -v` ends it")
            values = " ".join(f"{name}={value}" for name, value in chosen.items())
            values = f"COMPOSE_PROJECT_NAME={project} {values}"
            say(f"for `docker compose` here: export {values}")
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
