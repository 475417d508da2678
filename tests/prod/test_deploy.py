"""`make deploy` against support/heroku_cli.py, a stand-in for Heroku: nothing leaves here."""

import json
import logging
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer

from ops import envfile, heroku, heroku_app, heroku_checks, production_values
from tests.support import ROOT

FILES = "Makefile .env.var .gitignore heroku.yml ops services/flower services/app/Dockerfile"
LOCK = "services/app/requirements/development.txt"
TOOLS = "awk bash cat cmp cp dirname env git make rm sh uname"
STAND_IN = ROOT / "tests" / "support" / "heroku_cli.py"
# What only looks.
LOOKS = {"auth:whoami", "apps:info", "addons", "addons:wait", "config", "domains", "releases:info"}
HOST = "drop-0123456789ab.herokuapp.com"


class Place:
    """A checkout with its `.env.production`, and a Heroku of its own."""

    def __init__(self, folder: Path) -> None:
        self.tree, self.programs, self.heroku = folder / "tree", folder / "programs", folder / "it"
        for name in [*FILES.split(), LOCK]:
            target = self.tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            copy(ROOT / name, target)
        self.programs.mkdir()
        for tool in TOOLS.split():
            (self.programs / tool).symlink_to(str(shutil.which(tool)))
        (self.programs / "python3").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
        self.program("heroku", f'exec "{sys.executable}" "{STAND_IN}" "{self.heroku}" "$@"')
        self.heroku.mkdir()
        # What git would send to Heroku goes to a folder, and it knows no other way.
        (folder / ".gitconfig").write_text(
            f'[url "file://{self.heroku}/git/"]\n\tinsteadOf = https://git.heroku.com/\n'
            "[user]\n\tname = A\n\temail = a@example.org\n"
        )
        self.env = {
            "PATH": str(self.programs),
            "HOME": str(folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ALLOW_PROTOCOL": "file",
        }
        self.git("init", "--quiet", "--initial-branch", "main")
        self.commit()
        envfile.complete(self.tree / ".env")
        envfile.complete(self.tree / ".env.production")
        self.put("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        self.put("AWS_SECRET_ACCESS_KEY", "hidden-away-hidden-away-hidden-away")
        self.put("AWS_STORAGE_BUCKET_NAME", "drop-uploads")

    def program(self, name: str, script: str) -> None:
        file = self.programs / name
        file.write_text(f"#!/usr/bin/env bash\n{script}\n")
        file.chmod(0o755)

    def record_python(self) -> Path:
        """A venv that is current, and a file that will say what its Python was called with."""
        seen, folder = self.tree.parent / "seen", self.tree / ".venv" / "bin"
        folder.mkdir(parents=True)
        shutil.copy2(ROOT / LOCK, folder.parent / "installed.txt")
        python = folder / "python"
        python.write_text(f'#!/bin/sh\n[ "$1" = -c ] || {{ echo "$@" && env; }} >>{seen}\n')
        python.chmod(0o755)
        return seen

    def git(self, *words: str, where: Path | None = None) -> str:
        """What git says, in the checkout or in one of Heroku's repositories."""
        done = subprocess.run(
            ["git", *words], cwd=where or self.tree, env=self.env, check=True, capture_output=True
        )
        return done.stdout.decode().strip()

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "x")

    def pushed(self, app: str) -> list[str]:
        """The commit that Heroku got, and its files."""
        bare = self.heroku / "git" / f"{app}.git"
        commit = self.git("rev-parse", "main", where=bare)
        return [commit, *self.git("ls-tree", "--name-only", "main", where=bare).split()]

    def put(self, name: str, value: str) -> None:
        """Change a variable of `.env.production`."""
        file = self.tree / ".env.production"
        lines = [x for x in file.read_text().splitlines() if not x.startswith(f"{name}=")]
        file.write_text("\n".join([*lines, f"{name}={value}"]) + "\n")

    @property
    def variables(self) -> dict[str, str]:
        return envfile.read(self.tree / ".env.production")

    def deploy(self, *words: str, **shell: str) -> tuple[int, str]:
        """The return code, and everything that `make deploy APP=drop` printed."""
        done = subprocess.run(
            ["make", "deploy", "APP=drop", *words],
            cwd=self.tree,
            env={**self.env, **shell},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout

    def calls(self) -> list[list[str]]:
        """The CLI's calls since the last question."""
        file = self.heroku / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    @property
    def state(self) -> dict[str, Any]:
        return json.loads((self.heroku / "state.json").read_text())

    def change(self, **changes: Any) -> None:
        """Let Heroku be otherwise."""
        file = self.heroku / "state.json"
        state = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps({**state, **changes}))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def s3() -> Iterator[str]:
    """An S3 server's address."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


def commands(output: str) -> list[str]:
    """The commands that were shown."""
    return re.findall(r"(?m)^\$ (.*)$", output)


def without_values(calls: list[list[str]]) -> list[str]:
    """The calls in one line each, of config vars their names only."""
    return [" ".join(word.partition("=")[0] if "_" in word else word for word in c) for c in calls]


# --- The first time, and the next ----------------------------------------------------------------


def test_the_first_time_makes_the_app_its_addons_its_config_and_its_dynos(place: Place) -> None:
    code, text = place.deploy()

    assert code == 0, text
    calls = place.calls()
    (settings,) = [call for call in calls if call[0] == "config:set"]
    assert [" ".join(call) for call in calls if call is not settings] == [
        "auth:whoami",
        "apps:info --app drop --json",
        "apps:create drop --stack container --no-remote",
        "config --app drop --json",
        "addons --app drop --json",
        "addons:create heroku-postgresql:essential-0 --app drop",
        "addons:create heroku-redis:mini --app drop",
        "addons:wait --app drop",
        "domains --app drop --json",
        "releases:info --app drop --json",
        "ps:scale --app drop",
        "ps:scale web=1 worker=1 beat=1 --app drop",
    ]
    app = place.state["apps"]["drop"]
    assert app["dynos"] == {"web": 1, "worker": 1, "beat": 1}
    assert app["config"]["SECRET_KEY"] == place.variables["SECRET_KEY"]
    assert app["config"]["ALLOWED_HOSTS"] == HOST
    assert app["config"]["TRUSTED_PROXIES"] == "1"
    assert app["releases"][-1]["description"].startswith("Deploy ")
    assert place.pushed("drop")[0] == place.git("rev-parse", "HEAD")
    assert f"https://{HOST}/ runs what was pushed" in text


def test_the_next_time_changes_nothing_but_the_code(place: Place) -> None:
    place.deploy()
    before = place.state
    before["apps"]["drop"]["dynos"].update(web=2, worker=3)
    before["apps"]["drop"]["config"]["THEIRS"] = "kept"
    place.change(**before)
    place.calls()
    place.commit()

    code, text = place.deploy()

    assert code == 0, text
    assert {call[0] for call in place.calls()} - LOOKS == {"ps:scale"}
    after = place.state
    assert after["apps"]["drop"].pop("releases")[-1]["description"].startswith("Deploy ")
    before["apps"]["drop"].pop("releases")
    assert after == before
    assert place.pushed("drop")[0] == place.git("rev-parse", "HEAD")


def test_a_changed_variable_is_the_only_one_that_is_set(place: Place) -> None:
    place.deploy()
    place.calls()
    place.put("UPLOAD_TTL", "60")

    place.deploy()

    settings = [call for call in place.calls() if call[0] == "config:set"]
    assert settings == [["config:set", "UPLOAD_TTL=60", "--app", "drop"]]


def test_two_beats_become_one(place: Place) -> None:
    place.deploy()
    apps = place.state["apps"]
    apps["drop"]["dynos"].update(web=2, worker=0, beat=2)
    place.change(apps=apps)

    place.deploy()

    assert place.state["apps"]["drop"]["dynos"] == {"web": 2, "worker": 0, "beat": 1}


def test_what_broke_off_before_the_dynos_started_is_made_up_for(place: Place) -> None:
    place.change(release_ends="failed")
    code, text = place.deploy()
    assert code != 0
    assert "the release of drop failed" in text
    assert "`heroku releases:retry --app drop`" in text
    assert place.state["apps"]["drop"]["dynos"] == {"web": 1, "worker": 0, "beat": 0}
    place.change(release_ends="succeeded")
    place.commit()

    code, text = place.deploy()

    assert code == 0, text
    assert place.state["apps"]["drop"]["dynos"] == {"web": 1, "worker": 1, "beat": 1}


def test_a_failed_release_stays_one_though_git_has_nothing_to_push(place: Place) -> None:
    place.change(release_ends="failed")
    place.deploy()
    place.change(release_ends="succeeded")

    code, text = place.deploy()

    assert code != 0
    assert "the release of drop failed" in text


def test_a_release_that_goes_on_after_the_push_is_waited_for(place: Place) -> None:
    place.change(release_ends="pending")

    code, text = place.deploy()

    assert code == 0, text
    assert text.count("$ heroku releases:info") == 2


def test_an_app_that_exists_gets_the_stack(place: Place) -> None:
    place.deploy()
    apps = place.state["apps"]
    apps["drop"]["stack"] = "heroku-24"
    place.change(apps=apps)
    place.calls()

    assert place.deploy()[0] == 0

    assert "apps:stacks:set container --app drop" in without_values(place.calls())


def test_a_database_from_elsewhere_is_not_paid_for_twice(place: Place) -> None:
    subprocess.run(
        [place.programs / "heroku", "apps:create", "drop", "-s", "container"], check=True
    )
    apps = place.state["apps"]
    apps["drop"]["config"]["DATABASE_URL"] = "postgres://db.example.net/drop"
    place.change(apps=apps)

    assert place.deploy()[0] == 0

    created = [call[1] for call in place.calls() if call[0] == "addons:create"]
    assert created == ["heroku-redis:mini"]


def test_an_addon_that_is_still_being_made_is_waited_for_and_not_made_again(place: Place) -> None:
    place.change(fails={"addons:wait": "the line was cut"})
    assert place.deploy()[0] != 0
    assert "DATABASE_URL" not in place.state["apps"]["drop"]["config"]
    place.change(fails={})
    place.calls()

    assert place.deploy()[0] == 0

    assert "addons:create" not in {call[0] for call in place.calls()}
    assert "DATABASE_URL" in place.state["apps"]["drop"]["config"]


def test_an_app_of_somebody_else_is_left_alone(place: Place) -> None:
    place.change(of_others=["drop"])

    code, text = place.deploy()

    assert code != 0
    assert "You do not have access to the app drop" in text
    assert [call[0] for call in place.calls()] == ["auth:whoami", "apps:info"]


def test_hosts_are_those_of_the_file_or_all_that_heroku_serves(place: Place) -> None:
    place.change(domains=["drop.example.org", "*.example.com"])
    place.deploy()
    hosts = place.state["apps"]["drop"]["config"]["ALLOWED_HOSTS"]
    assert hosts == f"{HOST},drop.example.org,.example.com"
    place.put("ALLOWED_HOSTS", "drop.example.org")
    place.calls()

    place.deploy()

    assert place.state["apps"]["drop"]["config"]["ALLOWED_HOSTS"] == "drop.example.org"
    assert "domains" not in {call[0] for call in place.calls()}


# --- What is shown, and what leaves --------------------------------------------------------------


@pytest.mark.parametrize("flower", [[], ["FLOWER_APP=drop-flower"]], ids=["app", "with Flower"])
def test_a_dry_run_prints_what_a_first_run_runs_and_runs_nothing(
    place: Place, flower: list[str]
) -> None:
    heroku = place.programs / "heroku"
    heroku.rename(place.tree.parent / "away")
    code, dry = place.deploy("DRY_RUN=1", *flower)
    assert code == 0, dry
    assert not place.calls()
    assert not (place.heroku / "git").exists()
    (place.tree.parent / "away").rename(heroku)

    code, real = place.deploy(*flower)

    assert code == 0, real
    # Names that Heroku draws, and a commit that does not exist yet.
    drawn = {HOST: "<the domains of drop>", "redis-cubed-12346": "<the Redis of drop>"}
    if flower:
        drawn[place.pushed("drop-flower")[0]] = "<the commit>"
    lines = []
    for line in commands(real):
        words = shlex.split(line)
        for name, placeholder in drawn.items():
            words = [word.replace(name, placeholder) for word in words]
        lines.append(words)
    assert [shlex.split(line) for line in commands(dry)] == lines
    called = [["heroku", *call] for call in place.calls()]
    assert without_values([x for x in lines if x[0] == "heroku"]) == [
        line.replace(" redis-cubed-12346 ", " <the Redis of drop> ")
        for line in without_values(called)
    ]


def test_secrets_are_sent_and_not_shown(place: Place) -> None:
    variables = place.variables
    outputs = [place.deploy("FLOWER_APP=drop-flower", *dry)[1] for dry in (["DRY_RUN=1"], [])]

    apps = place.state["apps"]
    sent = {**apps["drop"]["config"], **apps["drop-flower"]["config"]}
    for name in ("SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "FLOWER_BASIC_AUTH"):
        assert sent[name] == variables[name]
        for text in outputs:
            assert variables[name] not in text
            assert f"{name}=****" in text
    for text in outputs:
        assert "secret://" not in text  # what the add-ons set


def test_secrets_are_not_shown_where_the_step_fails(place: Place) -> None:
    secret = place.variables["SECRET_KEY"]
    place.change(fails={"config:set": f"SECRET_KEY={secret} is too long"})

    code, text = place.deploy()

    assert code != 0
    assert "SECRET_KEY=**** is too long" in text
    assert secret not in text


def test_only_what_the_app_reads_leaves_and_nothing_of_this_machine(place: Place) -> None:
    for name in envfile.names():  # all that can be said in the file
        if name not in place.variables and not name.endswith(("_URL", "_ADDRESS", "_HOSTS")):
            place.put(name, "True" if name == "USE_S3" else "7")
    place.put("RELOAD", "")
    place.put("DEBUG", "False")
    place.put("OWN", "theirs")

    code, text = place.deploy()

    assert code == 0, text
    settings = "".join(p.read_text() for p in (ROOT / "services/app/s3tasks/settings").glob("*.py"))
    scripts = "".join(path.read_text() for path in (ROOT / "services/app/bin").iterdir())
    read = set(re.findall(r'env\.\w+\(\s*"(\w+)"', settings)) | set(
        re.findall(r"\$\{(\w+)", scripts)
    )
    read = read & set(envfile.names()) | {"SETTINGS_MODULE_PATH"}
    theirs = {"PORT", "HTTPS_PORT", "DATABASE_URL", "REDIS_URL", "RELOAD", "DEBUG"}
    endpoints = {"AWS_S3_ENDPOINT_URL", "AWS_S3_PUBLIC_ENDPOINT_URL"}
    config = place.state["apps"]["drop"]["config"]
    assert set(config) == read - theirs - endpoints | {"DATABASE_URL", "REDIS_URL"}
    assert "not sent, because .env.var does not list them: OWN" in text


def test_nothing_of_env_ever_leaves(place: Place) -> None:
    marked = [f"{name}=mark-{name}" for name in envfile.names() if not name.endswith("PORT")]
    (place.tree / ".env").write_text("\n".join(marked) + "\n")
    seen = place.record_python()

    place.deploy("FLOWER_APP=drop-flower", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")

    assert "mark-" not in json.dumps(place.calls()) + json.dumps(place.state)
    assert "mark-" not in seen.read_text()
    assert ".env" not in place.pushed("drop")
    assert ".env.production" not in place.pushed("drop")


def test_what_heroku_yml_says_of_heroku_counts_there(place: Place) -> None:
    place.put("TRUSTED_PROXIES", "2")

    place.deploy()

    assert place.state["apps"]["drop"]["config"]["TRUSTED_PROXIES"] == "1"


def test_the_setup_of_heroku_yml_is_read_as_yaml_reads_it() -> None:
    setup = yaml.safe_load((ROOT / "heroku.yml").read_text())["setup"]

    plans, config = heroku_checks.setup()

    assert [{"plan": plan} for plan in plans] == setup["addons"]
    assert config == setup["config"]
    assert {plan.partition(":")[0] for plan in plans} == set(heroku_app.ATTACHED)


# --- What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SECRET_KEY", "", "SECRET_KEY is missing: The key that signs cookies"),
        ("AWS_SECRET_ACCESS_KEY", "", "AWS_SECRET_ACCESS_KEY is missing"),
        ("AWS_STORAGE_BUCKET_NAME", "", "AWS_STORAGE_BUCKET_NAME is missing"),
        ("FLOWER_BASIC_AUTH", "", "FLOWER_BASIC_AUTH is missing"),
        ("DEBUG", "True", "DEBUG is on"),
        ("SETTINGS_MODULE_PATH", "s3tasks.settings.development", "SETTINGS_MODULE_PATH is dev"),
        ("ALLOWED_HOSTS", "localhost", "ALLOWED_HOSTS names localhost"),
        ("AWS_S3_ENDPOINT_URL", "http://minio:9000", "AWS_S3_ENDPOINT_URL names minio"),
        ("USE_S3", "False", "USE_S3 is off"),
    ],
)
def test_a_wrong_variable_is_named_before_anything_is_asked(
    place: Place, name: str, value: str, said: str
) -> None:
    place.put(name, value)

    code, text = place.deploy("FLOWER_APP=drop-flower")

    assert code != 0
    assert f"deploy: {said}" in text
    assert not place.calls()


def test_the_secret_of_this_machine_is_refused(place: Place) -> None:
    place.put("SECRET_KEY", envfile.read(place.tree / ".env")["SECRET_KEY"])

    code, text = place.deploy()

    assert code != 0
    assert "SECRET_KEY is the one of .env" in text
    assert not place.calls()


def test_a_fresh_file_is_made_and_what_to_fill_in_is_named(place: Place) -> None:
    (place.tree / ".env.production").unlink()

    code, text = place.deploy()

    assert code != 0
    assert "made .env.production with fresh secrets" in text
    named = re.findall(r"deploy: (\w+) is missing", text)
    assert named == ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_STORAGE_BUCKET_NAME"]


@pytest.mark.parametrize("file", ["heroku.yml", "new.py"])
def test_what_is_not_committed_is_not_deployed_and_said(place: Place, file: str) -> None:
    with (place.tree / file).open("a") as changed:
        changed.write("# more\n")

    code, text = place.deploy()

    assert code != 0
    assert f"git has changes that would not be deployed: commit or stash them ({file})" in text
    assert not place.calls()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["APP="], "which app? make deploy APP=name"),
        (["APP=Drop"], "Drop is not an app's name"),
        (["APP=--help"], "--help is not an app's name"),
        (["FLOWER_APP=drop"], "APP and FLOWER_APP are two apps"),
    ],
)
def test_a_name_that_is_none_is_refused(place: Place, words: list[str], said: str) -> None:
    code, text = place.deploy(*words)

    assert code != 0
    assert said in text
    assert not place.calls()


def test_a_missing_cli_is_named(place: Place) -> None:
    (place.programs / "heroku").unlink()

    code, text = place.deploy()

    assert code != 0
    assert "heroku is not installed: https://" in text


def test_who_is_not_logged_in_is_told_so(place: Place) -> None:
    place.change(logged_out=True)

    code, text = place.deploy()

    assert code != 0
    assert "you are not logged in: `heroku login`" in text
    assert place.calls() == [["auth:whoami"]]


# --- What fails ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        "apps:create",
        "config",
        "addons",
        "addons:create",
        "addons:wait",
        "domains",
        "config:set",
        "releases:info",
        "ps:scale",
    ],
)
def test_a_step_that_fails_stops_what_comes_after_it(place: Place, step: str) -> None:
    place.change(fails={step: "the sky has fallen"})

    code, text = place.deploy("FLOWER_APP=drop-flower")

    assert code != 0
    assert "the sky has fallen" in text
    assert "the steps after it were not run" in text
    assert place.calls()[-1][0] == step
    assert commands(text)[-1].startswith(f"heroku {step}")


def test_a_build_that_fails_stops_what_comes_after_it(place: Place) -> None:
    place.change(build_fails=True)

    code, text = place.deploy()

    assert code != 0
    assert "returned a non-zero code" in text
    assert "`git push https://git.heroku.com/drop.git HEAD:refs/heads/main` failed" in text
    assert place.calls()[-1][0] == "config:set"


# --- The bucket ----------------------------------------------------------------------------------


def test_the_bucket_is_set_up_by_the_keys_of_the_shell(place: Place) -> None:
    seen = place.record_python()

    code, text = place.deploy(AWS_ACCESS_KEY_ID="deployer", AWS_SECRET_ACCESS_KEY="deploys-hidden")

    assert code == 0, text
    call, *lines = seen.read_text().splitlines()
    assert call == "services/app/manage.py setup_bucket"
    variables = dict(line.partition("=")[::2] for line in lines)
    assert variables["AWS_ACCESS_KEY_ID"] == "deployer"
    assert variables["AWS_SECRET_ACCESS_KEY"] == "deploys-hidden"
    assert variables["AWS_STORAGE_BUCKET_NAME"] == "drop-uploads"
    assert variables["ALLOWED_HOSTS"] == HOST
    assert set(variables) >= set(envfile.names())  # so that nothing of `.env` can come in
    assert variables["SETTINGS_MODULE_PATH"] == "s3tasks.settings.production"
    assert "deploys-hidden" not in text + json.dumps(place.calls()) + json.dumps(place.state)
    order = commands(text)
    bucket = order.index(".venv/bin/python services/app/manage.py setup_bucket")
    assert order[bucket + 1].startswith("git push")


def test_without_keys_the_bucket_stays_and_that_is_said(place: Place) -> None:
    text = place.deploy()[1]

    assert "deploy: the bucket stays as it is: this shell has no AWS_ACCESS_KEY_ID and AWS_" in text
    assert "setup_bucket" not in text


def test_the_bucket_command_needs_nothing_but_the_bucket(
    monkeypatch: pytest.MonkeyPatch, s3: str
) -> None:
    ran: list[Any] = []
    monkeypatch.setattr(heroku, "run", lambda command, env=None: ran.append((command, env)))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "deployer")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "deploys")
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "another.project")
    boto3.client("s3", endpoint_url=s3, region_name="us-east-1").create_bucket(Bucket="drop")

    heroku.set_up_bucket(
        {
            **heroku_checks.setup()[1],
            "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP",
            "ALLOWED_HOSTS": HOST,
            "AWS_STORAGE_BUCKET_NAME": "drop",
            "AWS_S3_ENDPOINT_URL": s3,
        }
    )

    (command, env) = ran[-1]
    done = subprocess.run([sys.executable, *command[1:]], cwd=ROOT, env=env, capture_output=True)
    assert f"CORS: https://{HOST} may send uploads.".encode() in done.stdout, done.stderr


# --- Flower --------------------------------------------------------------------------------------


def test_flower_is_the_web_of_an_app_of_its_own_on_the_same_redis(place: Place) -> None:
    code, text = place.deploy("FLOWER_APP=drop-flower")

    assert code == 0, text
    state = place.state
    flower, app = state["apps"]["drop-flower"], state["apps"]["drop"]
    assert flower["config"] == {
        "REDIS_URL": app["config"]["REDIS_URL"],
        "FLOWER_BASIC_AUTH": place.variables["FLOWER_BASIC_AUTH"],
    }
    assert "FLOWER_BASIC_AUTH" not in app["config"]
    assert flower["dynos"] == {"web": 1}
    assert flower["stack"] == "container"
    assert [addon["app"] for addon in state["addons"].values()] == ["drop", "drop"]
    assert ["drop-flower", "REDIS"] in state["addons"]["redis-cubed-12346"]["attachments"]
    files = place.pushed("drop-flower")[1:]
    assert {"heroku.yml", "Dockerfile", "bin", "app.py", "broker.py"} <= set(files)
    assert "services" not in files


def test_the_next_time_flower_is_built_only_where_its_folder_changed(place: Place) -> None:
    place.deploy("FLOWER_APP=drop-flower")
    first, before = place.pushed("drop-flower")[0], place.state
    place.calls()

    assert place.deploy("FLOWER_APP=drop-flower")[0] == 0

    assert place.state == before
    assert {call[0] for call in place.calls()} - LOOKS == {"ps:scale"}
    (place.tree / "services/flower/more.py").write_text("more = 1\n")
    place.commit()
    assert place.deploy("FLOWER_APP=drop-flower")[0] == 0
    assert place.pushed("drop-flower")[0] != first
    assert place.state["apps"]["drop-flower"]["releases"][-1]["description"].startswith("Deploy")


# --- The stand-in --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("apps:create drop --stak container", "Nonexistent flag: --stak"),
        ("apps:create drop --manifest", "Nonexistent flag: --manifest"),
        ("apps:create drop -m", "Nonexistent flag: -m"),
        ("apps:create drop --stack", "Flag --stack expects a value"),
        ("apps:create drop drop2", "Unexpected argument: drop2"),
        ("apps:delete drop", "apps:delete is not a heroku command"),
        ("config:set A=1", "Missing required flag app"),
        ("addons:create --app drop", "Missing 1 required arg: service:plan"),
        ("addons:create heroku-redis:maxi --app drop", "Couldn't find either the add-on"),
        ("ps:scale clock=1 --app drop", "Couldn't find that process type (clock)"),
    ],
)
def test_the_stand_in_refuses_what_the_cli_does_not_document(
    place: Place, call: str, said: str
) -> None:
    place.change(apps={"drop": {"config": {}, "dynos": {"web": 1}, "releases": []}})
    before = place.state

    done = subprocess.run(
        [place.programs / "heroku", *call.split()], capture_output=True, text=True
    )

    assert done.returncode != 0
    assert said in done.stderr
    assert place.state == before


def test_a_flag_that_the_cli_does_not_have_stops_a_deployment(place: Place) -> None:
    script = place.tree / "ops" / "heroku_app.py"
    script.write_text(script.read_text().replace("--no-remote", "--no-git-remote"))
    place.commit()

    code, text = place.deploy()

    assert code != 0
    assert "Nonexistent flag: --no-git-remote" in text
    assert place.calls()[-1][0] == "apps:create"


def test_secrets_are_those_that_env_var_calls_so() -> None:
    assert {
        "SECRET_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "FLOWER_BASIC_AUTH",
    } <= production_values.secrets()
    assert "AWS_STORAGE_BUCKET_NAME" not in production_values.secrets()


# --- The clone ----------------------------------------------------------------------------------


def test_a_shallow_clone_is_refused_before_anything(place: Place) -> None:
    place.commit()
    (place.tree / ".git" / "shallow").write_text(place.git("rev-parse", "HEAD") + "\n")

    code, text = place.deploy()

    assert code != 0
    assert "this clone is shallow, which Heroku's git refuses: git fetch --unshallow" in text
    assert place.calls() == []


def test_a_repository_without_a_commit_is_refused(place: Place) -> None:
    place.git("update-ref", "-d", "HEAD")

    code, text = place.deploy()

    assert code != 0
    assert "git has no commit yet" in text
    assert place.calls() == []


def test_the_repository_is_the_one_that_the_verb_stands_in(place: Place) -> None:
    other = place.tree.parent / "other"
    other.mkdir()
    place.git("init", "--quiet", where=other)

    code, text = place.deploy(GIT_DIR=str(other / ".git"), GIT_WORK_TREE=str(other))

    assert code == 0, text
    assert place.pushed("drop")[0] == place.git("rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DEBUG", "1", "DEBUG is on"),
        ("DEBUG", "yes", "DEBUG is on"),
        ("SECRET_KEY", "tests", "SECRET_KEY is shorter than 50"),
        ("SECRET_KEY", "changeme" * 8, "SECRET_KEY could be guessed"),
        ("ALLOWED_HOSTS", "*", "ALLOWED_HOSTS admits every name"),
        ("UPLOAD_TTL", "soon", "UPLOAD_TTL=soon in .env.production: expected a number"),
    ],
)
def test_what_production_would_refuse_is_refused_before_anything(
    place: Place, name: str, value: str, said: str
) -> None:
    place.put(name, value)

    code, text = place.deploy()

    assert code != 0
    assert said in text
    assert place.calls() == []
