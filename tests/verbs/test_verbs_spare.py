"""What runs is not hurt by a verb that fails, and what a verb says of it is true."""

import json
import re

import pytest

from tests.support import ROOT
from tests.support.machine import OUTSIDE, PROD, Machine, prod, ps, services

MINIO = {"STORAGE_ADDRESS": "s3.drop.example.org"}
FORMER = "former users: OLDKEY"


@pytest.fixture
def machine(tmp_path) -> Machine:
    return Machine(tmp_path)


def with_bootstrap(machine: Machine) -> str:
    """What Compose says of its services, of which one is MinIO's bootstrap."""
    said = services(machine.tree)
    return said.replace('"redis": {', '"minio-bootstrap": {"image": "x"}, "redis": {', 1)


def answers(machine: Machine, **more: str) -> dict[str, str]:
    """A running production with MinIO; `more`, by the first word of Compose's command, first."""
    done = {"State": "exited", "ExitCode": 0}
    usual = {
        "config": with_bootstrap(machine),
        "ps": ps(**{"minio-bootstrap": done}),
        "logs --no-color": f"echo '{FORMER}'",
    }
    named = {name.replace("_", " "): answer for name, answer in more.items()}
    return {f"{PROD} {name}": answer for name, answer in {**usual, **named}.items()}


def test_with_minio_a_host_name_is_all_that_is_asked_for(machine: Machine) -> None:
    machine.docker()
    blank = dict.fromkeys([*OUTSIDE], "")

    text = prod(machine, **blank, **MINIO)[1]

    asked = re.findall(r"(?m)^prod: (\w+) is missing", text)
    assert asked == ["SITE_ADDRESS"]


def test_a_wrong_key_is_named_before_anything(machine: Machine) -> None:
    machine.docker()
    wrong = {
        "AWS_ACCESS_KEY_ID": "longer-than-minio-takes",
        "AWS_SECRET_ACCESS_KEY": "short",
        "AWS_STORAGE_BUCKET_NAME": "My_Bucket",
        "MINIO_ROOT_PASSWORD": "short",
        "UPLOAD_TTL": "soon",
        "POSTGRES_PASSWORD": "p@ss/w",
        "REDIS_PASSWORD": "p:w",
    }

    code, text, calls = prod(machine, **MINIO, **wrong)

    assert code != 0
    for name in wrong:
        assert f"prod: {name}" in text
    for secret in ("short", "p@ss/w", "longer-than"):
        assert secret not in text.replace("shorter", "")
    assert "compose" not in calls


@pytest.mark.parametrize("key", ["a=b", "a,b", "s3tasks"])
def test_a_key_that_minio_refuses_is_named(machine: Machine, key: str) -> None:
    machine.docker()
    machine.set(AWS_ACCESS_KEY_ID=key)

    assert "AWS_ACCESS_KEY_ID in .env" in machine.make("up")[1]
    assert (
        "AWS_ACCESS_KEY_ID in .env.production" in prod(machine, **MINIO, AWS_ACCESS_KEY_ID=key)[1]
    )


def test_values_that_the_app_refuses_change_nothing(machine: Machine) -> None:
    machine.docker(answers(machine, **{"run --rm --no-deps release": "exit 1"}))

    code, text, calls = prod(machine)

    assert code != 0
    assert "the app refuses these values, see above; nothing was started or changed" in text
    assert " up " not in calls
    assert f"{PROD} run --rm release" not in calls


def test_what_bootstrap_said_last_is_what_prod_says(machine: Machine) -> None:
    failed = {"State": "exited", "ExitCode": 1}
    said = "bootstrap: AWS_SECRET_ACCESS_KEY is another than OLDKEY has"
    more = {
        "run --rm release": "exit 1",
        "ps": ps(**{"minio-bootstrap": failed}),
        "logs --no-color": f"echo first; echo '{said}'",
    }
    machine.docker(answers(machine, **more))

    code, text, calls = prod(machine)

    assert code != 0
    assert f"prod: {said}, so nothing else was started or changed" in text
    assert "--forget" not in calls


def test_what_release_started_anew_is_named(machine: Machine) -> None:
    row = {"Service": "postgres", "Name": "p-postgres-1", "State": "running"}
    rows = f"if [ -e {machine.tree}/anew ]; then i=2; else i=1; fi; echo '{json.dumps(row)[:-1]},'"
    rows += "'\"ID\": \"'$i'\"}'"
    more = {"ps": rows, "run --rm release": f"touch {machine.tree}/anew; exit 1"}
    machine.docker(answers(machine, **more))

    text = prod(machine)[1]

    assert "nothing else was started or changed; started anew with what changed: p-postg" in text


def test_former_keys_go_when_nothing_uses_them_any_more(machine: Machine) -> None:
    dead = {"State": "exited", "ExitCode": 1}
    done = {"minio-bootstrap": {"State": "exited", "ExitCode": 0}}
    for more in (
        {"run --rm release": "exit 1"},
        {"ps": ps(web=dead, **done)},
        {"up": "exit 1"},
    ):
        machine.docker(answers(machine, **more))
        assert "--forget" not in prod(machine)[2]


@pytest.mark.parametrize("last", [FORMER, "user KEY: may do what policy s3tasks allows"])
def test_up_forgets_former_keys_at_the_end(machine: Machine, last: str) -> None:
    done = {"State": "exited", "ExitCode": 0}
    machine.docker(
        {
            "compose config": with_bootstrap(machine),
            "compose ps": ps(**{"minio-bootstrap": done}),
            "compose logs": f"echo '{last}'",
        }
    )

    code, text = machine.make("up")

    calls = machine.calls()
    assert code == 0, text
    assert calls[-1].endswith("--forget") == (last == FORMER)
    assert calls.index("compose up --detach --no-build") < len(calls) - 1


# --- Nothing was started ------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["up", "prod"])
@pytest.mark.parametrize("there", ["nothing", "one of two", "all, from an earlier start"])
def test_a_start_that_failed_is_not_called_well(machine: Machine, verb: str, there: str) -> None:
    rows = {
        "nothing": ":",
        "one of two": ps(minio=None),
        "all, from an earlier start": ps(),
    }
    why = "echo 'network s3tasks_default was found but has incorrect label' >&2"
    compose = PROD if verb == "prod" else "compose"
    machine.docker(
        {
            f"{compose} config": services(machine.tree),
            f"{compose} ps": rows[there],
            f"{compose} up": f"{why}; exit 1",
        }
    )

    code, text = machine.make(verb) if verb == "up" else prod(machine)[:2]

    assert code != 0
    assert "incorrect label" in text
    if there == "all, from an earlier start":
        assert "Compose failed, see above: the old containers keep running" in text
    else:
        assert "minio (not started)" in text
    assert "http" not in text


@pytest.mark.parametrize("verb", ["up", "prod"])
def test_a_service_without_a_container_is_not_well(machine: Machine, verb: str) -> None:
    compose = PROD if verb == "prod" else "compose"
    rows = {f"{compose} config": services(machine.tree), f"{compose} ps": ps(redis=None)}
    machine.docker(rows)

    code, text = machine.make(verb) if verb == "up" else prod(machine)[:2]

    assert code != 0
    assert "not well: redis (not started)" in text


def test_a_service_that_is_scaled_to_none_is_not_missed(machine: Machine) -> None:
    rows = {f"{PROD} config": services(machine.tree), f"{PROD} ps": ps(redis=None)}
    machine.docker({**rows, f"{PROD} up": "kill $PPID"})  # it would wait for Caddy

    assert "not well" not in prod(machine, "ARGS=--scale redis=0")[1]


def test_up_waits_until_all_are_well(machine: Machine) -> None:
    starting = ps(redis={"State": "running", "Health": "starting"})
    count = f"echo . >>{machine.tree}/looks; [ $(grep -c . {machine.tree}/looks) -gt 3 ]"
    machine.docker(
        {
            "compose config": services(machine.tree),
            "compose ps --all": f"if {count}; then {ps()}; else {starting}; fi",
        }
    )

    code, text = machine.make("up")

    assert code == 0, text
    assert (machine.tree / "looks").read_text().count(".") == 4


@pytest.mark.parametrize("state", ["exited", "dead", "paused", "removing"])
def test_what_will_not_be_well_is_not_waited_for(machine: Machine, state: str) -> None:
    machine.docker(
        {
            "compose config": services(machine.tree),
            "compose ps": ps(redis={"State": state, "ExitCode": 137}),
        }
    )

    code, text = machine.make("up")

    assert code != 0
    assert f"not well: redis ({state})" in text


def test_what_ends_again_and_again_is_not_waited_for_long(machine: Machine) -> None:
    machine.docker(
        {
            "compose config": services(machine.tree),
            "compose ps": ps(redis={"State": "restarting"}),
        }
    )

    assert "not well: redis (restarting)" in machine.make("up")[1]


@pytest.mark.parametrize(
    ("version", "old"),
    [
        ("24.0.9", True),
        ("20.10.24+dfsg1", True),
        ("25.0.0", False),
        ("28.3.1-ce", False),
        ("library-import", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("verb", ["up", "doctor", "prod", "dyno"])
def test_an_engine_that_is_too_old_is_named(
    machine: Machine, version: str, old: bool, verb: str
) -> None:
    info = json.dumps({"ServerVersion": version or None, "host": {}, "MemTotal": 8 * 1024**3})
    machine.docker({"info": f"echo '{info}'", "compose": "exit 1", "compose --progress": "exit 1"})

    text = machine.make(verb)[1] if verb != "prod" else prod(machine)[1]

    assert (f"the engine is Docker {version}, which is too old: 25 or newer" in text) == old


def test_what_verbs_share_speaks_as_the_one_that_runs(machine: Machine) -> None:
    for more in ({"config": "exit 1"}, {"image inspect": "exit 1", "pull": "exit 1"}):
        named = {f"{PROD} {name}" if name == "config" else name: more[name] for name in more}
        machine.docker({**named, **answers(machine)} if "pull" in more else named)

        code, text, _ = prod(machine)

        assert code != 0
        assert re.search(r"(?m)^prod: (Compose does not accept|\S+ can't be fetched)", text), text
        assert not re.search(r"(?m)^up: ", text), text


def test_the_storages_address_alone_turns_minio_on(machine: Machine) -> None:
    machine.docker()

    with_it = prod(machine, "ARGS=ps", **MINIO)[2]
    without = prod(machine, "ARGS=ps", STORAGE_ADDRESS="")[2]

    assert "--profile minio" in with_it
    assert "--profile" not in without.replace(with_it, "")


@pytest.mark.parametrize("profiles", ["minio", "debug", "minio,debug"])
@pytest.mark.parametrize("values", [{}, MINIO])
def test_compose_profiles_turns_nothing_on(
    machine: Machine, profiles: str, values: dict[str, str]
) -> None:
    machine.docker()
    machine.make(".env.production")
    file = machine.tree / ".env.production"
    file.write_text(f"{file.read_text()}COMPOSE_PROFILES={profiles}\n")

    code, text, calls = prod(machine, **values)

    assert code != 0
    assert "COMPOSE_PROFILES chooses nothing here" in text
    assert "compose" not in calls
    assert not [path for path in ROOT.glob("docker-compose*") if "PROFILES" in path.read_text()]
