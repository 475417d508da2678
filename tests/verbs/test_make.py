"""The verbs: help, and what doctor and up answer on machines that stand-ins on PATH play."""

import ast
import json
import os
import re
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops import envfile
from tests.support import ROOT
from tests.support.machine import INFO, OUTSIDE, PROD, Machine, prod, ps, services

STORAGE = "s3.drop.example.org"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_make_alone_prints_each_verb_and_what_it_acts_on(machine: Machine) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([.a-z][.a-z-]*):(?!=)", makefile, re.MULTILINE)) - {".PHONY"}
    verbs = {"up", "down", "local", "test", "lint", "logs", "manage", "lock", "doctor", "clean"}

    code, text = machine.make()

    assert code == 0
    shown = re.findall(r"^  make (\S+) +\S.*\[([a-z:; ]+)\]$", text, re.MULTILINE)
    assert {name for name, _ in shown} == targets - {"help"}
    assert verbs <= targets
    assert all(re.match("containers|local|both|neither", where) for _, where in shown)


def test_a_dry_run_runs_nothing(machine: Machine) -> None:
    machine.docker()

    code, _ = machine.make("-n", "up")

    assert code == 0
    assert not (machine.tree / "calls").exists()


BEFORE_THE_VENV = sorted([*(ROOT / "ops").glob("[!_]*.py"), *(ROOT / "client").glob("[!_]*.py")])


@pytest.mark.parametrize("file", BEFORE_THE_VENV, ids=lambda file: file.stem)
def test_what_runs_before_the_venv_is_python_3_8(file: Path) -> None:
    source = file.read_text()

    ast.parse(source, feature_version=(3, 8))
    assert "from __future__ import annotations" in source  # `str | None` is not evaluated


# --- doctor -------------------------------------------------------------------------------------


def test_doctor_finds_nothing_on_a_ready_machine(machine: Machine) -> None:
    machine.docker()

    code, text = machine.make("doctor")

    assert (code, text.splitlines()[-1]) == (0, "doctor: nothing is in the way")


def test_doctor_makes_an_env_where_there_is_none(machine: Machine) -> None:
    machine.docker()
    (machine.tree / ".env").unlink()

    text = machine.make("doctor")[1]

    assert "made .env with fresh secrets" in text
    assert stat.S_IMODE((machine.tree / ".env").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"info": """echo '{"ServerErrors": ["is it running?"]}'; exit 1"""}, "is it running?"),
        ({"info": "echo permission denied >&2; exit 1"}, "permission denied"),
        (None, "docker is not installed"),
    ],
)
def test_doctor_and_up_say_that_no_engine_answers(
    machine: Machine, answers: dict[str, str] | None, said: str
) -> None:
    if answers:
        machine.docker(answers)

    code, text = machine.make("doctor")
    assert code == 0
    assert f"no container engine ({said}): `make up` will do `make local`" in text

    code, text = machine.make("up")
    assert code == 0
    assert f"up: no container engine ({said}): `make local` instead" in text
    assert text.endswith("python -m local.run\n")


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"compose version": "echo v2.20.3"}, "Compose v2.20.3 is too old: 2.24 or newer"),
        ({"compose version": "echo no such command; exit 1"}, "install Docker's Compose plugin"),
        ({"info": f"echo '{json.dumps({**INFO, 'MemTotal': 2**30})}'"}, "has 1.0 GiB of memory"),
    ],
)
def test_doctor_names_what_the_engine_lacks(
    machine: Machine, answers: dict[str, str], said: str
) -> None:
    machine.docker(answers)

    code, text = machine.make("doctor")

    assert code != 0
    assert said in text


def test_doctor_names_who_holds_a_port_and_the_line_to_change(machine: Machine, taken: int) -> None:
    machine.docker()
    machine.set_ports([*machine.ports[:2], taken, machine.ports[3]])

    code, text = machine.make("doctor")

    assert code != 0
    assert f"port {taken} is taken by " in text
    assert f"(pid {os.getpid()}): change MINIO_PORT={taken} in .env" in text


def test_doctor_names_the_container_that_holds_a_port(machine: Machine, taken: int) -> None:
    machine.docker({"ps --filter": "printf 'other-web-1\\tother\\t/home/other\\n'"})
    machine.set_ports([taken, *machine.ports[1:]])

    text = machine.make("doctor")[1]

    assert f"port {taken} is taken by container other-web-1 of /home/other: change WEB_PORT" in text


def test_a_port_of_this_very_stack_is_no_obstacle(machine: Machine, taken: int) -> None:
    machine.docker({"ps --filter": f"printf 's3tasks-web-1\\ts3tasks\\t{machine.tree}\\n'"})
    machine.set_ports([taken, *machine.ports[1:]])

    assert machine.make("doctor")[0] == 0


def test_doctor_names_two_variables_with_one_port(machine: Machine) -> None:
    machine.docker()
    one, two, three, _ = machine.ports
    machine.set_ports([one, two, three, one])

    text = machine.make("doctor")[1]

    assert f"MINIO_CONSOLE_PORT and WEB_PORT are both {one}" in text


def test_doctor_names_a_port_that_is_none(machine: Machine) -> None:
    machine.docker()
    file = machine.tree / ".env"
    file.write_text(re.sub("FLOWER_PORT=.*", "FLOWER_PORT=none", file.read_text()))

    code, text = machine.make("doctor")

    assert code != 0
    assert "FLOWER_PORT=none in .env: expected a port" in text


def test_doctor_names_a_blank_secret(machine: Machine) -> None:
    machine.docker()
    file = machine.tree / ".env"
    file.write_text(re.sub("SECRET_KEY=.*", "SECRET_KEY=", file.read_text(), count=1))

    assert "SECRET_KEY is blank in .env: remove the line" in machine.make("doctor")[1]


def test_doctor_prints_the_budget_of_connections_which_fits_the_small_plans(
    machine: Machine,
) -> None:
    machine.docker()

    code, text = machine.make("doctor")

    assert code == 0
    for server in ("Redis", "Postgres"):
        total, parts = re.search(rf"{server}: at most (\d+) of 20 .*\((.+)\)", text).groups()
        assert sum(map(int, re.findall(r"\d+", parts))) == int(total) <= 20
        assert all(f"{who} " in parts for who in ("web", "worker", "a shell"))
    assert "more than" not in text


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"WEB_CONCURRENCY": 2},
            (
                "Redis: more than Heroku's small plan admits; WEB_CONCURRENCY=1 or"
                " REDIS_POOL_SIZE=1 would fit"
            ),
        ),
        (
            {"WEB_DATABASE_CONNECTIONS": 20},
            "Postgres: more than Heroku's small plan admits; WEB_DATABASE_CONNECTIONS=15",
        ),
        ({"WORKER_CONCURRENCY": 9}, "Redis: more than Heroku's small plan admits; WORKER_CONCURR"),
        ({"WEB_CONCURRENCY": 3, "WORKER_CONCURRENCY": 9}, "admits; lower several of WEB_CONCURR"),
    ],
)
def test_doctor_names_what_to_lower_for_herokus_small_plans(
    machine: Machine, values: dict[str, int], said: str
) -> None:
    machine.docker()
    machine.set(**values)

    code, text = machine.make("doctor")

    assert code == 0  # `make up` has no such limit
    assert said in text


def test_doctor_says_when_the_containers_postgres_admits_too_few(machine: Machine) -> None:
    machine.docker()
    machine.set(WEB_CONCURRENCY=5)

    code, text = machine.make("doctor")

    assert code != 0
    assert "Postgres in docker-compose.yml admits 50 connections, and these" in text


def test_doctor_names_a_concurrency_that_is_none(machine: Machine) -> None:
    machine.docker()
    machine.set(WEB_THREADS="many")

    code, text = machine.make("doctor")

    assert code != 0
    assert "WEB_THREADS=many in .env: expected a number" in text


# --- up -----------------------------------------------------------------------------------------


def test_up_names_the_image_that_cannot_be_had(machine: Machine) -> None:
    machine.docker(
        {
            "image inspect": "[[ $* == *redis* ]] || exit 1",
            "compose config": services(machine.tree),
            "pull": "echo no such host >&2; exit 1",
        }
    )

    code, text = machine.make("up")

    assert code != 0
    assert "golang:1 can't be fetched; `make local` runs the stack without containers" in text
    assert "compose build" not in (machine.tree / "calls").read_text()


def test_a_ready_made_minio_needs_no_compiler(machine: Machine) -> None:
    machine.docker(
        {
            "image inspect": "exit 1",
            "compose config": services(machine.tree, MINIO_IMAGE="fork/minio:1"),
        }
    )

    machine.make("up")

    calls = (machine.tree / "calls").read_text()
    assert re.findall(r"^pull (.*)", calls, re.MULTILINE) == ["fork/minio:1", "redis:8"]


def test_up_announces_the_compile_and_prints_addresses_and_passwords(machine: Machine) -> None:
    release = {"State": "exited", "ExitCode": 0}
    machine.docker(
        {
            "image inspect s3tasks-minio": "exit 1",
            "image inspect": "exit 0",
            "compose config": services(machine.tree),
            "compose ps": ps(release=release),
        }
    )

    code, text = machine.make("up")

    env = envfile.read(machine.tree / ".env")
    assert code == 0, text
    assert "MinIO is compiled once, which takes minutes" in text
    assert f"http://localhost:{env['WEB_PORT']}/" in text
    assert env["FLOWER_BASIC_AUTH"].partition(":")[2] in text
    assert f"http://localhost:{env['MINIO_CONSOLE_PORT']}/" in text
    assert env["MINIO_ROOT_PASSWORD"] in text
    assert "make down" in text


def test_up_names_the_service_that_is_not_well(machine: Machine) -> None:
    worker = {"State": "running", "Health": "unhealthy"}
    machine.docker({"compose config": services(machine.tree), "compose ps": ps(worker=worker)})

    code, text = machine.make("up")

    assert code != 0
    assert "not well: worker (unhealthy)" in text
    assert "compose logs --tail 20 worker" in (machine.tree / "calls").read_text()


# --- prod ---------------------------------------------------------------------------------------


def test_prod_names_all_that_is_missing_and_starts_nothing(machine: Machine) -> None:
    machine.docker()
    missing = [*OUTSIDE, "SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "FLOWER_BASIC_AUTH"]

    code, text, calls = prod(machine, **dict.fromkeys(missing, ""))

    assert code != 0
    for name in missing:
        assert f"prod: {name} is missing: " in text
    assert "compose" not in calls


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"SITE_ADDRESS": "https://drop.example.org/"}, "expected a host name"),
        ({"DEBUG": "True"}, "DEBUG is on"),
        ({"SETTINGS_MODULE_PATH": "s3tasks.settings.development"}, "is development's"),
        ({"TRUSTED_PROXIES": "0"}, "TRUSTED_PROXIES must be 1"),
        ({"ALLOWED_HOSTS": "other.example.org"}, "ALLOWED_HOSTS does not name drop.example.org"),
        ({"AWS_S3_ENDPOINT_URL": "http://localhost:9000"}, "which only this machine can reach"),
        ({"STORAGE_ADDRESS": "True"}, "STORAGE_ADDRESS=True: expected a host name"),
        ({"STORAGE_ADDRESS": "minio"}, "STORAGE_ADDRESS=minio: expected a host name"),
        ({"STORAGE_ADDRESS": "drop.example.org"}, "STORAGE_ADDRESS is SITE_ADDRESS"),
        ({"STORAGE_ADDRESS": STORAGE, "USE_S3": "False"}, "choose one of them"),
        ({"STORAGE_ADDRESS": STORAGE, "MINIO_ROOT_PASSWORD": ""}, "MINIO_ROOT_PASSWORD is missing"),
        (
            {"STORAGE_ADDRESS": STORAGE, "AWS_S3_ENDPOINT_URL": "https://s3.example.net"},
            "AWS_S3_ENDPOINT_URL and STORAGE_ADDRESS",
        ),
        ({"HTTPS_PORT": "none"}, "HTTPS_PORT=none in .env.production: expected a port"),
    ],
)
def test_prod_refuses_what_would_not_work(
    machine: Machine, values: dict[str, str], said: str
) -> None:
    machine.docker()

    code, text, calls = prod(machine, **values)

    assert code != 0
    assert said in text
    assert "hidden-away" not in text
    assert " run " not in calls
    assert " up " not in calls


def test_prod_names_who_holds_a_port(machine: Machine, taken: int) -> None:
    machine.docker()

    code, text, _ = prod(machine, HTTPS_PORT=str(taken))

    assert code != 0
    assert f"port {taken} is taken by " in text
    assert "set HTTPS_PORT in .env.production" in text


def test_prod_starts_nothing_where_release_fails(machine: Machine) -> None:
    machine.docker({f"{PROD} config": services(machine.tree), f"{PROD} run --rm release": "exit 1"})

    code, text, calls = prod(machine)

    assert code != 0
    assert "prod: release failed, so nothing else was started or changed" in text
    assert " run --rm release" in calls
    assert " up " not in calls


def test_prod_gives_options_to_up_and_words_to_compose(machine: Machine) -> None:
    web = {"State": "exited", "ExitCode": 1}
    machine.docker({f"{PROD} config": services(machine.tree), f"{PROD} ps": ps(web=web)})

    code, text, calls = prod(machine, "ARGS=--scale web=3")
    assert code != 0
    assert "prod: not well: web (exited)" in text
    assert re.search(rf"(?m)^{PROD} up --detach .*--scale web=3", calls)

    _, _, calls = prod(machine, "ARGS=logs --follow worker")
    assert calls.splitlines()[-1] == f"{PROD} logs --follow worker"


def test_prod_reads_neither_env_nor_the_shell(machine: Machine) -> None:
    machine.docker()
    machine.docker({"compose": 'echo "site: $SITE_ADDRESS$POSTGRES_PASSWORD."'})
    (machine.tree / ".env").unlink()

    code, text, _ = prod(machine, "ARGS=ps", "SITE_ADDRESS=of-the-shell", "POSTGRES_PASSWORD=its")

    assert (code, text) == (0, "site: .\n")
    assert not (machine.tree / ".env").exists()


# --- .venv, clean, manage -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "[[ $* != *version_info* ]]",
            "Python 3.11 or newer is missing",
        ),
        ("[[ $* != *ensurepip* ]]", "Python's venv module is missing"),
    ],
)
def test_what_the_venv_lacks_is_named_with_its_command(
    machine: Machine, script: str, said: str
) -> None:
    shutil.rmtree(machine.tree / ".venv")
    machine.program("python3", script)

    code, text = machine.make(".venv")

    assert code != 0
    assert re.search(rf"venv: {said}: (sudo apt|brew) install python", text)
    assert not (machine.tree / ".venv").exists()


def test_clean_keeps_env_and_says_what_it_removes(machine: Machine) -> None:
    machine.docker()
    (machine.tree / ".local").mkdir()

    code, text = machine.make("clean")

    assert code == 0
    assert "clean: the stack's containers and volumes" in text
    assert "clean: .local" in text
    assert not (machine.tree / ".local").exists()
    assert (machine.tree / ".env").exists()
    assert "compose down --volumes" in (machine.tree / "calls").read_text()


def test_clean_leaves_the_stack_of_another_checkout_alone(machine: Machine) -> None:
    labels = "com.docker.compose.project.working_dir=/home/other,com.docker.compose.service=web"
    machine.docker({"compose ps": f"echo '{json.dumps({'Labels': labels})}'"})

    code, text = machine.make("clean")

    assert code != 0
    assert "the stack belongs to /home/other: run it there" in text
    assert "compose down" not in (machine.tree / "calls").read_text()


def test_manage_runs_in_the_running_stack_as_the_caller(machine: Machine) -> None:
    machine.docker({"compose ps": "echo 123abc"})
    (machine.programs / "id").symlink_to(str(shutil.which("id")))

    machine.make("manage", "ARGS=makemigrations -n 'a name'")

    call = (machine.tree / "calls").read_text().splitlines()[-1]
    assert f"--user {os.getuid()}:{os.getgid()}" in call
    assert f"--volume {machine.tree}/services/app:/srv/code --workdir /srv/code" in call
    assert call.endswith("web python manage.py makemigrations -n a name")


def test_manage_uses_the_local_database_otherwise(machine: Machine) -> None:

    text = machine.make("manage", "ARGS=migrate")[1]

    assert "python -m local.run python manage.py migrate" in text
