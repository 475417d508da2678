"""`.env.var` and `.env`: every reader sees the same, and every name is read and explained."""

import ast
import math
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from decouple import RepositoryEnv
from honcho import environ

from ops import env_values, envfile
from tests.support import ROOT
from tests.support.compose import compose
from tests.support.parity import SYSTEMS

TEMPLATE = (ROOT / ".env.var").read_text()
NAMES = envfile.names()

# Read by our files, but not for `.env`: each with whose it is.
NOT_OURS = {
    "APP": "make deploy's: the app on Heroku",
    "ARGS": "make's: what a verb passes on",
    "AWS_SESSION_TOKEN": "AWS's own, with temporary keys: the shell's, for setup_bucket",
    "BASH_SOURCE": "bash's own",
    "CI": "set by CI services",
    "COMPOSE": "make's: the Compose command, for machines where it has another name",
    "COMPOSE_PROFILES": "Compose's own; make prod refuses it, STORAGE_ADDRESS turns MinIO on",
    "COMPOSE_PROJECT_NAME": "Compose's own",
    "CONTENT_TYPE": "WSGI's own, a header of the request",
    "CURDIR": "make's own",
    "DJANGO_SETTINGS_MODULE": "Django's own; SETTINGS_MODULE_PATH decides it",
    "DOCKER_CONFIG": "Docker's own: the folder of its client's configuration",
    "DOCKER_NO_PROXY": "a verb's: what that configuration says is behind no proxy",
    "DRY_RUN": "make deploy's: only print",
    "DYNO": "Heroku's own: tells a dyno from everything else",
    "DYNO_PORT": "make dyno's: the PORT that it draws",
    "DYNO_UID": "make dyno's: the uid that it draws",
    "FLOWER_ADDRESS": "Flower's own; make local sets it",
    "FLOWER_APP": "make deploy's: Flower's app on Heroku",
    "FLOWER_UNAUTHENTICATED_API": "Flower's own; unset, whoever set it",
    "HOME": "the system's",
    "KEEP": "make dyno's: leave it up",
    "LOAD_SECONDS": "make dyno's: for how long it uploads, in its test",
    "MAKEFILE_LIST": "make's own",
    "MAKE_COMMAND": "make's own",
    "PATH": "the system's",
    "PGDATA": "the postgres image's own",
    "PORT": "Heroku's own: where web listens; the compose files set it for containers",
    "POSTGRES_USER": "the postgres image's own; the compose file states it",
    "PWD": "the system's",
    "PYTHON": "make's: the Python that builds the venv",
    "RANDOM": "bash's own",
    "REDISCLI_AUTH": "redis-cli's own; the compose file sets it to REDIS_PASSWORD",
    "SITES": "the production overlay's: what Caddy answers to",
    "TMPDIR": "the system's",
    "VENV": "make's: where the venv is",
}
NOT_READ = {
    "DISABLE_COLLECTSTATIC": "Heroku's, accepted without effect",
}
# A developer's values where the code's defaults are production's.
OTHER_DEFAULT = {"DEBUG", "SETTINGS_MODULE_PATH"}


READERS = {
    "compose": compose,
    "decouple": lambda file: RepositoryEnv(str(file)).data,
    "honcho": lambda file: environ.parse(file.read_text()),
    "envfile": envfile.read,
}


def fill(text: str) -> str:
    """The template with a value in each blank, of the kinds that people put there."""
    samples = {
        "ALLOWED_HOSTS": "drop.example,www.drop.example",
        "AWS_S3_ENDPOINT_URL": "https://s3.example:9000",
        "DATABASE_URL": "postgres://user:pass@host.example:5432/name?sslmode=require",
        "MINIO_IMAGE": "registry.example/minio:RELEASE.2026-01-01T00-00-00Z",
        "REDIS_URL": "rediss://:pass@host.example:6379/0",
    }
    lines = [
        f"{line}{samples.get(line[:-1], 'x1')}" if re.fullmatch(r"\w+=", line) else line
        for line in text.splitlines()
    ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("state", ["template", "made", "filled"])
def test_every_reader_sees_the_same_values(tmp_path: Path, reader: str, state: str) -> None:
    file = tmp_path / ".env"
    envfile.complete(file)
    if state != "made":
        file.write_text(TEMPLATE if state == "template" else fill(file.read_text()))
    # Blank means unset, and what is on the line is the value: nothing quoted, nothing stripped.
    pairs = [line.split("=", 1) for line in file.read_text().splitlines() if line[:1].isalpha()]
    expected = {name: value for name, value in pairs if value}

    seen = READERS[reader](file)

    assert {name: value for name, value in seen.items() if value} == expected
    if state == "filled":
        assert list(expected) == NAMES


def test_each_variable_has_one_line_of_meaning_above_it() -> None:
    lines = TEMPLATE.splitlines()
    for number, line in enumerate(lines):
        if re.match(r"\w+=", line):
            meaning, before = lines[number - 1], lines[number - 2]
            assert re.fullmatch(r"# \S.{5,97}\.", meaning), line
            assert not before.startswith("# ") or before.startswith("# ---"), line
            assert not re.search(r"[\s'\"#$\\]", line), line


def test_names_are_unique() -> None:
    assert len(NAMES) == len(set(NAMES))


# --- Names, both ways ---------------------------------------------------------------------------

CALL = r"(?:text|required|flag|number|words|seconds|config|getenv)\(\s*\"([A-Z][A-Z0-9_]+)\""
ENVIRON = r"\benv(?:iron)?(?:\.(?:get|pop|setdefault)\(|\[)\s*['\"]([A-Z][A-Z0-9_]+)['\"]"
CONTAINED = r"\"([A-Z][A-Z0-9_]+)\" (?:not )?in os\.environ"


def texts(*patterns: str) -> Iterator[str]:
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            if not {"tests", "migrations", "node_modules"} & set(path.parts[len(ROOT.parts) :]):
                yield path.read_text()


def uncommented(text: str) -> str:
    return re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)


def names_read() -> set[str]:
    """Every variable that settings, compose files, Makefile and scripts read."""
    found: set[str] = set()
    for text in texts("services/**/*.py", "client/*.py", "local/*.py", "ops/*.py"):
        for pattern in (CALL, ENVIRON, CONTAINED):
            found.update(re.findall(pattern, text))
    for text in texts("ops/*.py"):  # `ports["WEB_PORT"]`, and PORTS, which names all four
        found.update(set(re.findall(r"['\"]([A-Z][A-Z0-9_]+)['\"]", text)) & set(NAMES))
    for text in texts("docker-compose*.yml", "compose/**/*.yml", "services/caddy/Caddyfile"):
        found.update(re.findall(r"(?<!\$)[${]{2}([A-Z][A-Z0-9_]+)", uncommented(text)))
    for text in texts("services/*/bin/*", "compose/**/*.sh", "ops/*.sh", ".ci/run"):
        code = uncommented(text)
        local = set(re.findall(r"(?:^|[\s;])(?:export )?([A-Z][A-Z0-9_]+)=", code))
        read = set(re.findall(r"\$\{?#?([A-Z][A-Z0-9_]+)", code))
        found.update(read - (local - {"PATH"}))
        found.update(re.findall(r"\bunset ([A-Z_]+)", code))
    for text in texts("Makefile"):
        found.update(re.findall(r"\$[({]?([A-Z][A-Z0-9_]+)", uncommented(text)))
    return found


def test_what_the_platform_sets_is_nothing_to_fill_in() -> None:
    """A PORT of `.env` would move web away from where Compose publishes it, or do nothing."""
    assert not {"PORT", "DYNO", *SYSTEMS} & set(NAMES)


def test_every_name_that_is_read_is_explained() -> None:
    unknown = names_read() - set(NAMES) - set(NOT_OURS)
    assert not unknown, f"in .env.var with a line of meaning, or in NOT_OURS: {sorted(unknown)}"


def test_a_switch_is_read_by_the_verbs_as_by_the_settings() -> None:
    tree = ast.parse((ROOT / "services/app/s3tasks/settings/env.py").read_text())
    (truth,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TRUTH"
    ]
    assert ast.literal_eval(truth) == env_values.TRUTH


def test_every_name_in_the_template_is_read() -> None:
    unread = set(NAMES) - names_read()
    assert unread == set(NOT_READ), "read it, or remove it from .env.var"


def test_defaults_in_the_code_are_those_of_the_template() -> None:
    values = dict(line.split("=", 1) for line in TEMPLATE.splitlines() if line[:1].isalpha())
    found: list[tuple[str, str]] = []
    for text in texts("services/app/s3tasks/settings/*.py"):
        for name, default in re.findall(
            r"env\.(?:number|flag|text)\(\s*\"(\w+)\",\s*([^,()]+)", text
        ):
            value = default.strip()
            if re.fullmatch(r"[\d_ *]+", value):
                value = str(math.prod(int(factor) for factor in value.split("*")))
            elif value.startswith('"'):
                value = ast.literal_eval(value)
            found.append((name, value.strip()))
    for text in texts("docker-compose.yml", "services/*/bin/*"):
        found += re.findall(r"\$\{([A-Z][A-Z0-9_]+):-([^}$]*)\}", text)
    differing = {
        (name, default, values[name])
        for name, default in found
        if values.get(name) and name not in OTHER_DEFAULT and default != values[name]
    }
    assert len(found) > 20
    assert not differing


# --- make .env ----------------------------------------------------------------------------------


def test_a_new_env_has_fresh_secrets_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"

    assert envfile.complete(one) == "made one with fresh secrets"
    envfile.complete(two)

    assert stat.S_IMODE(one.stat().st_mode) == 0o600
    first, second = envfile.read(one), envfile.read(two)
    secrets = [name for name in NAMES if envfile.fresh(name)]
    assert len(secrets) >= 6
    for name in secrets:
        assert re.fullmatch(r"(s3tasks:)?[A-Za-z0-9]{20,}", first[name]), name
        assert first[name] != second[name]
    assert {n: v for n, v in first.items() if n not in secrets} == envfile.read(ROOT / ".env.var")
    assert first["SETTINGS_MODULE_PATH"] == "s3tasks.settings.development"
    assert first["DEBUG"] == "True"


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_an_older_env_gets_what_is_missing_and_nothing_else(tmp_path: Path, end: bytes) -> None:
    file = tmp_path / ".env"
    envfile.complete(file)
    kept = [x for x in file.read_text().splitlines() if not re.match("UPLOAD_RATE|SECRET_KEY", x)]
    old = ("\n".join(["# mine: ünd €", "OWN = '1'", *kept]) + "\r").encode() + end
    file.write_bytes(old)

    said = envfile.complete(file)

    new = file.read_bytes()
    assert said == "added to .env: SECRET_KEY, UPLOAD_RATE"
    assert new.startswith(old)
    added = new[len(old) :].decode().lstrip("\n").splitlines()
    assert [bool(line.startswith("#")) for line in added] == [True, False, True, False]
    assert len(envfile.read(file)["SECRET_KEY"]) == 64
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_new_env_for_production_holds_productions_values(tmp_path: Path) -> None:
    development, production = tmp_path / ".env", tmp_path / ".env.production"

    envfile.complete(development)
    assert envfile.complete(production) == "made .env.production with fresh secrets"

    assert stat.S_IMODE(production.stat().st_mode) == 0o600
    theirs, ours = envfile.read(development), envfile.read(production)
    assert ours["SETTINGS_MODULE_PATH"] == "s3tasks.settings.production"
    assert ours["TRUSTED_PROXIES"] == "1"
    # Of outside, of a developer, or of one machine.
    blank = {n for n in NAMES if n.startswith("AWS_") and envfile.fresh(n)} | {"DEBUG"}
    assert not (blank | {"AWS_STORAGE_BUCKET_NAME"} | set(envfile.PORTS)) & set(ours)
    secrets = {name for name in NAMES if envfile.fresh(name)} - blank
    assert secrets == {
        "SECRET_KEY",
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
        "MINIO_ROOT_PASSWORD",
        "FLOWER_BASIC_AUTH",
    }
    for name in secrets:
        assert len(ours[name]) >= 20
        assert ours[name] != theirs[name]
    assert set(NAMES) - set(envfile.PORTS) == set(RepositoryEnv(str(production)).data)


def test_an_older_env_for_production_gets_what_is_missing(tmp_path: Path) -> None:
    file = tmp_path / ".env.production"
    file.write_text("AWS_ACCESS_KEY_ID=ours\nSITE_ADDRESS=drop.example\n")

    said = envfile.complete(file)

    assert said.startswith("added to .env.production: SETTINGS_MODULE_PATH, DEBUG, SECRET_KEY, ")
    assert file.read_text().startswith("AWS_ACCESS_KEY_ID=ours\nSITE_ADDRESS=drop.example\n")
    assert envfile.read(file)["SETTINGS_MODULE_PATH"] == "s3tasks.settings.production"
    assert envfile.complete(file) == ""


@pytest.mark.parametrize("address", ["s3.test", "'s3.test'", '"s3.test"', " s3.test "])
def test_keys_for_productions_own_minio_are_drawn_once(tmp_path: Path, address: str) -> None:
    file = tmp_path / ".env.production"
    envfile.complete(file)
    text = file.read_text()
    file.write_text(text.replace("STORAGE_ADDRESS=\n", f"STORAGE_ADDRESS={address}\n"))
    drawn = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_STORAGE_BUCKET_NAME"}
    before = envfile.read(file)

    said = envfile.complete(file)

    after = envfile.read(file)
    assert all(name in said for name in drawn)
    assert after.keys() - before.keys() == drawn
    assert {name: after[name] for name in before} == before
    assert not any(after[name] in said for name in drawn - {"AWS_STORAGE_BUCKET_NAME"})
    assert env_values.minio_problems(after) == []
    assert envfile.complete(file) == ""
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("line", ["", "STORAGE_ADDRESS= ", "COMPOSE_PROFILES=minio"])
def test_keys_of_s3_from_outside_are_not_drawn(tmp_path: Path, line: str) -> None:
    file = tmp_path / ".env.production"
    envfile.complete(file)
    text = file.read_text() + f"{line}\n"
    file.write_text(text)

    assert envfile.complete(file) == ""
    assert file.read_text() == text


def test_a_key_that_somebody_chose_stays(tmp_path: Path) -> None:
    file = tmp_path / ".env.production"
    file.write_text(
        "STORAGE_ADDRESS=s3.test\r\nAWS_ACCESS_KEY_ID=mine\r\nAWS_SECRET_ACCESS_KEY=\r\n"
    )

    envfile.complete(file)

    assert file.read_bytes().count(b"AWS_ACCESS_KEY_ID=mine\r\n") == 1
    assert re.search(rb"AWS_SECRET_ACCESS_KEY=\w{40}\r\n", file.read_bytes())


def test_a_complete_env_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    envfile.complete(file)
    before = file.stat()

    assert envfile.complete(file) == ""

    assert (file.stat().st_mtime_ns, file.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_an_interrupted_write_leaves_the_old_env(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    file.write_text("DEBUG=True\n")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        envfile.complete(file)

    assert file.read_text() == "DEBUG=True\n"
    assert list(tmp_path.iterdir()) == [file]


def test_the_repository_holds_no_env() -> None:
    for name in (".env", ".env.production"):
        assert subprocess.run(["git", "check-ignore", "-q", name], cwd=ROOT).returncode == 0
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    assert [name for name in listed if re.match(r"\.env", name)] == [".env.var"]
