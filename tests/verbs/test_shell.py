"""What a shell exports for other projects changes nothing of what the verbs do."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.foreign import FOREIGN, LIBRARIES
from tests.support.machine import PROD, Machine, prod, ps, services

# Where production and the dyno would wait for a server that no stand-in plays.
ENDS = {
    f"{PROD} ps": ps(web={"State": "exited", "ExitCode": 1}),
    "compose --progress quiet up": "exit 1",
}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    answers = {
        "info": f"env >>{machine.tree}/seen; echo '{json.dumps({'ServerVersion': '28.0.1'})}'",
        "compose version": "echo 2.30.0",
        "compose config": services(machine.tree),
        f"{PROD} config": services(machine.tree),
        "compose ps --all --format": ps(),
        **ENDS,
        "": f"env >>{machine.tree}/seen",
    }
    machine.docker(answers)
    return machine


def seen(machine: Machine) -> str:
    """The environments that docker was called with."""
    return (machine.tree / "seen").read_text()


def verbs() -> list[list[str]]:
    """Each that calls Compose."""
    words = ["up", "down", "logs", "doctor", "clean", "dyno", "prod", "prod ARGS=pull"]
    return [word.split() for word in [*words, "manage ARGS=check", "manage ARGS=dbshell"]]


@pytest.mark.parametrize("verb", verbs(), ids=" ".join)
def test_what_the_shell_exports_reaches_no_container(machine: Machine, verb: list[str]) -> None:
    if verb[0] == "prod":
        prod(machine)  # makes a file that is complete
        (machine.tree / "seen").unlink()

    machine.make(*verb, **FOREIGN)

    assert [line for line in seen(machine).splitlines() if "foreign" in line] == []


@pytest.mark.parametrize("exported", ["", "other", "s3tasks"])
def test_production_is_a_project_of_its_own(machine: Machine, exported: str) -> None:
    prod(machine)
    (machine.tree / "seen").unlink()

    machine.make("prod", COMPOSE_PROJECT_NAME=exported)
    machine.make("prod", "ARGS=down", COMPOSE_PROJECT_NAME=exported)

    names = set(re.findall(r"(?m)^COMPOSE_PROJECT_NAME=(.*)$", seen(machine)))
    assert names == {f"{exported or 's3tasks'}-prod"}


@pytest.mark.parametrize("name", ["s3tasks-prod", "s3tasks-dyno", "Mine", "-x", "../x"])
@pytest.mark.parametrize("verb", [*verbs()], ids=" ".join)
def test_no_verb_runs_in_the_project_of_another(
    machine: Machine, verb: list[str], name: str
) -> None:
    if verb[0] == "prod":
        machine.make(".env.production")

    text = machine.make(*verb, COMPOSE_PROJECT_NAME=name)[1]

    assert [call for call in machine.calls() if "compose" in call] == []
    assert re.search(rf"(?m)^COMPOSE_PROJECT_NAME={re.escape(name)}(:| is )", text)
    assert "local.run" not in text


@pytest.mark.parametrize("verb", ["up", "down", "clean", "prod", "dyno"])
@pytest.mark.parametrize("files", ["theirs", "production's", "development's", "dyno's", "blank"])
def test_a_project_that_holds_other_containers_is_left_alone(
    machine: Machine, verb: str, files: str
) -> None:
    tree = machine.tree
    base = f"{tree}/docker-compose.yml"
    elsewhere = tree.parent / "elsewhere.yml"
    elsewhere.touch()
    listed = {
        "theirs": str(elsewhere),
        "production's": f"{base},{tree}/docker-compose.prod.yml",
        "development's": base,
        "dyno's": f"{base},{tree}/compose/dyno/dyno.yml",
        "blank": "",  # of an engine that keeps no such label
    }
    prod(machine)
    label = "label=com.docker.compose.project="
    machine.docker(
        {
            f"ps --all --filter {label}": f"echo '{listed[files]}'",
            "compose config": services(tree),
            f"{PROD} config": services(tree),
            "compose ps --all --format": ps(),
            **ENDS,
        }
    )
    machine.calls()

    code, text = machine.make(verb)

    own = {"prod": "production's", "dyno": "dyno's"}.get(verb, "development's")
    changed = [call for call in machine.calls() if re.search(r"compose.* (up|down|run)\b", call)]
    if files in (own, "blank"):
        assert "holds containers of" not in text
        assert changed
    else:
        assert code != 0
        assert f"holds containers of {listed[files]}" in text
        assert changed == []


def test_production_that_moved_to_another_folder_is_upgraded_there(machine: Machine) -> None:
    old = machine.tree.parent / "old"
    old.mkdir()
    (old / "docker-compose.yml").touch()
    prod(machine)
    files = f"{old}/docker-compose.yml,{old}/docker-compose.prod.yml"
    machine.docker(
        {"ps --all": f"echo '{files}'", f"{PROD} config": services(machine.tree), **ENDS}
    )

    text = machine.make("prod")[1]

    assert "holds containers" not in text


def test_an_engine_elsewhere_keeps_its_address(machine: Machine) -> None:
    address = {"DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_CONTEXT": "c", "DOCKER_CERT_PATH": "/c"}

    machine.make("down", **address)

    given = {f"{name}={value}" for name, value in address.items()}
    assert given <= set(seen(machine).splitlines())


@pytest.mark.parametrize("place", ["ssh://drop.example.org", "tcp://192.0.2.7:2376"])
def test_production_is_not_started_on_another_machine(machine: Machine, place: str) -> None:
    machine.docker({"context inspect": f"echo {place}"})

    code, text, calls = prod(machine)

    assert code != 0
    assert f"the engine is on another machine ({place}" in text
    assert " up " not in calls


def test_ports_are_those_of_env(machine: Machine) -> None:
    code, text = machine.make("up", WEB_PORT="1", FLOWER_PORT="none", MINIO_CONSOLE_PORT="2")

    assert code == 0, text
    assert f"http://localhost:{machine.ports[0]}/" in text


def test_a_list_of_no_proxies_in_dockers_configuration_is_kept(machine: Machine) -> None:
    folder = machine.tree / ".docker"
    folder.mkdir()
    proxies = {"default": {"httpProxy": "http://proxy.example:1", "noProxy": "s3.example"}}
    (folder / "config.json").write_text(json.dumps({"proxies": proxies}))

    machine.make("down")

    assert "DOCKER_NO_PROXY=s3.example" in seen(machine).splitlines()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"proxies": []}', '{"proxies": {"default": 1}}'])
def test_dockers_configuration_may_be_anything(machine: Machine, text: str) -> None:
    (machine.tree / ".docker").mkdir()
    (machine.tree / ".docker" / "config.json").write_text(text)

    assert machine.make("down") == (0, "")


# --- Without containers -------------------------------------------------------------------------


def test_a_process_of_the_local_run_knows_nothing_of_the_shells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from local import run

    for name, value in {**FOREIGN, **LIBRARIES}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "its")

    variables = run.variables({"UPLOAD_TTL": "5"}, {"DATABASE_URL": "postgres://ours"})

    assert [name for name, value in variables.items() if "foreign" in value] == []
    assert variables["UPLOAD_TTL"] == "5"
    assert variables["DATABASE_URL"] == "postgres://ours"
    assert (variables["TERM"], variables["DJANGO_SUPERUSER_PASSWORD"]) == ("xterm", "its")


def test_a_run_of_the_tests_knows_nothing_of_the_shells(machine: Machine) -> None:
    early = {
        "DJANGO_SETTINGS_MODULE",
        "PYTHONPATH",
        "PYTHONSTARTUP",
    }  # read before ours
    exported = {**FOREIGN, **LIBRARIES}
    for name in ("python", "pytest"):
        (machine.tree / ".venv" / "bin" / name).write_text("#!/bin/sh\nenv\n")
        (machine.tree / ".venv" / "bin" / name).chmod(0o755)

    said = machine.make("test", **exported)[1]

    left = set(re.findall(r"(?m)^(\w+)=.*foreign", said))
    assert left & early == set()

    # A test that asks storage, with all that is left.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["services/app/tests/uploads/test_links.py", "-k", "byte_for_byte"]
    environment = {name: value for name, value in os.environ.items() if name not in early}
    environment |= {name: exported[name] for name in left}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
