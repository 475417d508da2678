"""The stack without containers.

    .venv/bin/python -m local.run               run it, until Ctrl-C
    .venv/bin/python -m local.run COMMAND …    run a command in services/app with database and
                                               Redis: the running stack's, else started for it
    .venv/bin/python -m local.run --stopped    end with 0 where nothing of it runs

Data under `.local/`: Postgres, the uploads, and run.json, which says where the running servers are.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil
from honcho.environ import parse_procfile
from honcho.manager import Manager

from local.servers import POSTGRES_BIN, ROOT, Postgres, ServerError, Valkey
from ops import env_values, envfile
from ops.addresses import addresses
from ops.ports import port_problem
from ops.shell import clear, kept
from ops.terminal import die, speak_as

LOCAL = ROOT / ".local"
RUN = LOCAL / "run.json"
APP = ROOT / "services" / "app"
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def take_lock() -> IO[str] | None:
    """The lock over `.local/`, or None while another process of this checkout holds it.

    A POSIX lock: unlike flock's it stays behind when honcho forks, and it ends with this process.
    """
    LOCAL.mkdir(exist_ok=True)
    lock = (LOCAL / "lock").open("a")
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return None
    lock.truncate(0)
    lock.write(f"pid {os.getpid()}: {' '.join(sys.argv)}")
    lock.flush()
    return lock


def end_processes(database_url: str) -> None:
    """End every process that works on that database: what is left of a run that is over."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("DATABASE_URL") == database_url and process.pid != os.getpid():
                process.kill()
                found.append(process)
        except psutil.Error:  # gone meanwhile, or somebody else's
            continue
    psutil.wait_procs(found, timeout=5)


def ignore_signals() -> None:
    """From here on nothing interrupts the tidying up, which takes a second."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def end_last_run() -> None:
    """Tidy up after a run that was killed, so that its ports and its folder are free again."""
    if RUN.exists():
        last = json.loads(RUN.read_text())
        end_processes(last["DATABASE_URL"])
        shutil.rmtree(last["TMPDIR"], ignore_errors=True)
        RUN.unlink()


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    """The variables that lead to the database and to Redis, while both run."""
    (LOCAL / "media").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="s3tasks-", dir="/tmp"))  # a socket's path is short
    folder.chmod(0o711)  # where we are root, Postgres is somebody else and passes through
    (folder / "postgres").mkdir(mode=0o700)
    try:
        with (
            Valkey(LOCAL / "valkey") as valkey,
            Postgres(LOCAL / "postgres", folder / "postgres") as postgres,
        ):
            urls = {"DATABASE_URL": postgres.url, "REDIS_URL": valkey.url, "TMPDIR": str(folder)}
            envfile.write(RUN, json.dumps(urls).encode())
            try:
                yield urls
            finally:
                ignore_signals()
                end_processes(postgres.url)
                RUN.unlink()
    finally:
        ignore_signals()
        shutil.rmtree(folder, ignore_errors=True)


def uses_s3(env: dict[str, str]) -> bool:
    """Whether uploads go to the S3 server that `.env` names; else, by default, to the local disk.

    Without an address the keys of a fresh `.env`, which fit nowhere, would go to AWS.
    """
    if env_values.truth(env.get("USE_S3", "False")) is not True:
        return False
    if not env.get("AWS_S3_ENDPOINT_URL"):
        die(
            "USE_S3=True wants AWS_S3_ENDPOINT_URL, your S3 server, with its bucket and keys;"
            " leave USE_S3 blank for the local disk"
        )
    return True


def variables(env: dict[str, str], urls: dict[str, str]) -> dict[str, str]:
    """The environment of the app's processes: as in a container `.env` decides, not the shell."""
    shell = kept()
    path = f"{Path(sys.executable).parent}:{POSTGRES_BIN}:{shell['PATH']}"  # dbshell wants psql
    own = {"PATH": path, "USE_S3": str(uses_s3(env)), "RELOAD": "1", "PYTHONUNBUFFERED": "1"}
    return {**shell, **env, **own, **urls}


def announce(text: str, urls: list[str]) -> None:
    """Print the text as soon as all of the addresses answer."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for url in urls:
        while True:
            try:
                direct.open(url, timeout=2).close()
                break
            except urllib.error.HTTPError:
                break  # an answer, if not a friendly one
            except OSError:
                time.sleep(0.1)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run_stack(env: dict[str, str], ports: dict[str, int]) -> int:
    """Run release, then the other process types, until one ends or a signal comes."""
    processes = parse_procfile((ROOT / "local" / "Procfile").read_text()).processes
    web, flower = f"127.0.0.1:{ports['WEB_PORT']}", f"127.0.0.1:{ports['FLOWER_PORT']}"
    with servers() as urls:
        common = variables(env, urls)
        common.pop("PORT", None)  # would bind to all addresses
        # What building the image does for containers.
        compiled = "python manage.py compilemessages --verbosity 0"
        release = f"(cd services/app && {compiled}) && {processes.pop('release')}"
        released = subprocess.run(["sh", "-c", release], cwd=ROOT, env=common)
        if released.returncode:
            return released.returncode
        own = {
            "web": {"GUNICORN_CMD_ARGS": f"--bind {web}"},
            "flower": {"PORT": str(ports["FLOWER_PORT"]), "FLOWER_ADDRESS": "127.0.0.1"},
        }
        manager = Manager()
        for name, command in processes.items():
            manager.add_process(name, command, env={**common, **own.get(name, {})}, cwd=str(ROOT))
        text = addresses(env, ports, containers=False)
        waiting = [f"http://{web}/healthz", f"http://{flower}/healthcheck"]
        threading.Thread(target=announce, args=(text, waiting), daemon=True).start()
        manager.loop()
    stopped_by_signal = manager.returncode in (130, 143)
    return 0 if stopped_by_signal else manager.returncode or 1


def run_command(command: list[str], env: dict[str, str], urls: dict[str, str]) -> int:
    """The command's return code, from services/app."""
    return subprocess.run(command, cwd=APP, env=variables(env, urls)).returncode


def main(command: list[str]) -> int:
    speak_as("local")
    env = envfile.read(ROOT / ".env")
    wrong = env_values.value_problems(env)
    if wrong:
        die(*wrong)
    uses_s3(env)  # ends the program where its address is missing
    ports = env_values.ports(env)
    lock = take_lock()
    if not lock and command and command != ["--stopped"] and RUN.exists():
        return run_command(command, env, json.loads(RUN.read_text()))
    if not lock:
        die(f"this checkout's .local is in use by {(LOCAL / 'lock').read_text()}; stop that first")
    end_last_run()
    if command == ["--stopped"]:
        return 0
    if command:
        with servers() as urls:
            return run_command(command, env, urls)
    problems = [port_problem(name, ports[name]) for name in ("WEB_PORT", "FLOWER_PORT")]
    if any(problems):
        die("; ".join(filter(None, problems)))
    return run_stack(env, ports)


if __name__ == "__main__":
    clear()  # Postgres' own client, for one, obeys PGSERVICE
    for number in STOPS:
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        sys.exit(main(sys.argv[1:]))
    except ServerError as error:
        die(str(error))
