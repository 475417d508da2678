"""`make prod`: check, build, release, start, wait, and say where everything is.

    python3 -m ops.prod [--scale web=3 --scale worker=4]
    python3 -m ops.prod logs --follow worker

Options go to `docker compose up`; a word is a Compose command of its own, on this project. All
values are those of `.env.production`: neither `.env` nor the shell decides anything. Safe to run
again, which is how a new version is put in place. Python 3.8 and its standard library.
"""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import sys
import time
from typing import Any

from ops import doctor, engine, env_values, envfile, ports, production_values, shell
from ops.addresses import table
from ops.terminal import die, speak_as

ENV = envfile.ROOT / ".env.production"
FILES = ("docker-compose.yml", "docker-compose.prod.yml")
CERTIFICATE_SECONDS = 60
CHECK = ("python", "manage.py", "check", "--deploy")
DONE = ("release", "minio-bootstrap")  # they end by themselves, before the rest is started


def use_production(env: dict[str, str]) -> str:
    """Every Compose command from here on is one of this project, whose name it gives."""
    engine.COMPOSE += ["--env-file", ENV.name]
    for file in FILES:
        engine.COMPOSE += ["--file", file]
    if env.get("STORAGE_ADDRESS"):
        engine.COMPOSE += ["--profile", "minio"]
    return shell.use(env, shell.PRODUCTION)


def port(env: dict[str, str], name: str, default: int) -> int:
    """A published port."""
    return int(env.get(name) or default)


def problems(env: dict[str, str]) -> list[str]:
    """What production can't start with, each with the way out; no secret is shown."""
    site, minio = env.get("SITE_ADDRESS", ""), env.get("STORAGE_ADDRESS", "")
    required = ["SITE_ADDRESS", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "FLOWER_BASIC_AUTH"]
    if minio:
        required += ["MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"]
    found = production_values.missing(env, *required)
    # A name of this machine is for a rehearsal: Caddy then signs its certificate itself.
    names = ("SITE_ADDRESS", "STORAGE_ADDRESS")
    found += production_values.problems({name: env[name] for name in env if name not in names})
    if site and not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*", site):
        found.append(f"SITE_ADDRESS={site}: expected a host name, such as drop.example.org")
    if minio and not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", minio):
        found.append(f"STORAGE_ADDRESS={minio}: expected a host name, such as s3.{site}")
    if site and minio == site:
        found.append("STORAGE_ADDRESS is SITE_ADDRESS: MinIO needs a host name of its own")
    if site and site not in env.get("ALLOWED_HOSTS", site).split(","):
        found.append(f"ALLOWED_HOSTS does not name {site}, SITE_ADDRESS: leave it blank")
    if env.get("TRUSTED_PROXIES") != "1":
        found.append("TRUSTED_PROXIES must be 1: Caddy is the one proxy in front")
    if env.get("COMPOSE_PROFILES"):  # of Compose's own variables the one that chooses services
        found.append("COMPOSE_PROFILES chooses nothing here: for MinIO set STORAGE_ADDRESS instead")
    if minio:
        found += env_values.minio_problems(env, ENV.name)
    if minio and not production_values.uses_s3(env):
        found.append("STORAGE_ADDRESS and USE_S3=False: choose one of them")
    for name in ("AWS_S3_ENDPOINT_URL", "AWS_S3_PUBLIC_ENDPOINT_URL"):
        if minio and env.get(name):
            found.append(f"{name} and STORAGE_ADDRESS: leave one of them blank")
    return found


def in_the_way(env: dict[str, str], info: dict[str, Any], project: str) -> list[str]:
    """What this machine lacks, and who holds the ports."""
    one_by_one = (
        doctor.engine_problem(info),
        engine.elsewhere(),
        doctor.compose_problem(),
        engine.project_problem(project, FILES[-1]),
    )
    found = [problem for problem in one_by_one if problem] + doctor.file_problems()
    compiles = bool(env.get("STORAGE_ADDRESS")) and engine.compiles_minio(env, project)
    found += doctor.resource_problems(info, compiles)
    for name, default in (("HTTP_PORT", 80), ("HTTPS_PORT", 443)):
        number = port(env, name, default)
        if not ports.is_free(number) and not ports.is_ours(number, project):
            holder = ports.holder(number)
            found.append(f"port {number} is taken by {holder}: set {name} in .env.production")
    return found


def is_served(site: str, https: int) -> bool:
    """Whether Caddy has a certificate for the name, and the site answers behind it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # this is no visitor
    ask = f"GET /healthz HTTP/1.1\r\nHost: {site}\r\nConnection: close\r\n\r\n"
    try:
        plain = socket.create_connection(("127.0.0.1", https), timeout=5)
        with plain, context.wrap_socket(plain, server_hostname=site) as line:
            line.sendall(ask.encode())
            return line.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def containers() -> dict[str, str]:
    """Each container of the project that runs, by its service and number."""
    text = engine.compose_json("ps", "--format", "json")
    found = json.loads(text) if text.startswith("[") else map(json.loads, text.splitlines())
    return {row.get("Name", row["Service"]): row.get("ID", "") for row in found}


def release(services: dict[str, Any]) -> None:
    """Look at the values as the app reads them, then migrate; ends the program where one fails,
    saying what of the running site that has touched."""
    before = containers()
    # Nothing is started or changed by it.
    if engine.compose("run", "--rm", "--no-deps", "release", *CHECK):
        die("the app refuses these values, see above; nothing was started or changed")
    if not engine.compose("run", "--rm", "release"):
        return
    failed = engine.failed_bootstrap() if "minio-bootstrap" in services else ""
    after = containers()
    touched = sorted(name for name in before if after.get(name) != before[name])
    also = f"; started anew with what changed: {', '.join(touched)}" if touched else ""
    die(f"{failed or 'release failed'}, so nothing else was started or changed{also}")


def start(env: dict[str, str], services: dict[str, Any], options: list[str]) -> None:
    """Release, then the rest; ends the program where one is not well."""
    release(services)
    scaled = re.findall(r"--scale[ =]([\w-]+)=0+(?= |$)", " ".join(options))
    lasting = [name for name in services if name not in DONE]
    # Without --wait, as in up.py.
    failed = engine.compose("up", "--detach", "--no-build", "--no-deps", *options, *lasting)
    expected = [name for name in lasting if name not in scaled]
    bad = engine.unwell(expected) if failed else engine.wait(expected)
    if bad:
        started = [name for name, state in bad.items() if state not in ("not started", "created")]
        if started:
            engine.compose("logs", "--tail", "20", *started)
        die(f"not well: {', '.join(f'{name} ({state})' for name, state in bad.items())}")
    if failed:
        die("Compose failed, see above: the old containers keep running, without the changes")
    site, https = env["SITE_ADDRESS"], port(env, "HTTPS_PORT", 443)
    deadline = time.monotonic() + CERTIFICATE_SECONDS
    while not is_served(site, https):
        if time.monotonic() > deadline:
            engine.compose("logs", "--tail", "20", "caddy")
            die(
                f"no HTTPS for {site}: does the name point to this server, and are both ports open?"
            )
        time.sleep(0.5)
    if "minio-bootstrap" in services:
        engine.forget_former_keys()


def main(arguments: list[str]) -> int:
    speak_as("prod")
    env = envfile.read(ENV)
    project = use_production(env)
    if arguments and not arguments[0].startswith("-"):
        os.chdir(envfile.ROOT)
        os.execvp(engine.COMPOSE[0], [*engine.COMPOSE, *arguments])  # noqa: S606  no shell
    found = problems(env)
    if found:
        die(*found, "see .env.production")
    info, reason = engine.info()
    if not info:
        die(f"it needs a container engine: {reason}")
    found = in_the_way(env, info, project)
    if found:
        die(*found)
    services = json.loads(engine.compose_json("config", "--format", "json"))["services"]
    engine.fetch_images(services)
    if engine.compose("build"):
        die("the build failed, see above")
    start(env, services, arguments)
    https = env.get("HTTPS_PORT")
    page = f"https://{env['SITE_ADDRESS']}{f':{https}' if https else ''}"
    rows = [
        ("My Images", f"{page}/", ""),
        ("My Files", f"{page}/files/", ""),
        ("Admin", f"{page}/admin/", ""),
        ("Flower", f"{page}/flower/", "FLOWER_BASIC_AUTH in .env.production"),
    ]
    verbs = "logs", '"exec web python manage.py createsuperuser"', "down"
    print(table(rows, "   ".join(f"make prod ARGS={verb}" for verb in verbs)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
