"""Whatever `.env` holds: it is read as Compose and decouple read it, or refused in one sentence."""

import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from decouple import RepositoryEnv

from local import run
from ops import budget, doctor, engine, env_values, envfile, heroku_checks, ports, production_values
from ops import prod as prod_verb
from tests.support import ROOT
from tests.support.compose import compose
from tests.support.machine import INFO, Machine, prod

CASES = 400
GOOD = "# a comment\nDEBUG=True\n"

# Lines that some readers take for something else than the others, and what is said of them.
LINES = {
    "export DEBUG=True": "`export` is the shell's: write NAME=value",
    "export\tDEBUG=True": "`export` is the shell's: write NAME=value",
    "DEBUG": "expected NAME=value",
    "DEBUG: True": "expected NAME=value",
    "=True": "expected NAME=value",
    "A B=1": "expected NAME=value",
    "1A=1": "expected NAME=value",
    "A-B=1": "expected NAME=value",
    "\N{LATIN SMALL LETTER U WITH DIAERESIS}=1": "expected NAME=value",
    "SECRET_KEY=pa$word": "SECRET_KEY holds a $",
    "SECRET_KEY=pa$$word": "SECRET_KEY holds a $",
    "SECRET_KEY='pa$word'": "SECRET_KEY holds a $",
    "SECRET_KEY=${HOME}": "SECRET_KEY holds a $",
    "SECRET_KEY='word": "SECRET_KEY begins with a quotation mark",
    "SECRET_KEY='": "SECRET_KEY begins with a quotation mark",
    'SECRET_KEY="wo"rd"': "SECRET_KEY begins with a quotation mark",
    'SECRET_KEY="wo\\nrd"': "SECRET_KEY begins with a quotation mark",
    "SECRET_KEY='word' # mine": "SECRET_KEY begins with a quotation mark",
    "SECRET_KEY=word # mine": "SECRET_KEY has a comment behind its value",
    "SECRET_KEY=# mine": "SECRET_KEY has a comment behind its value",
    "SECRET_KEY=wo\trd": "SECRET_KEY holds a character that can't be seen",
    "SECRET_KEY=wo\x1brd": "SECRET_KEY holds a character that can't be seen",
    "SECRET_KEY=wo\x0brd": "SECRET_KEY holds a character that can't be seen",
    "SECRET_KEY=wo\rrd": "SECRET_KEY holds a character that can't be seen",
    "SECRET_KEY=\N{NO-BREAK SPACE}word": "SECRET_KEY holds a character that can't be seen",
    "SECRET_KEY=wo\N{LINE SEPARATOR}rd": "SECRET_KEY holds a character that can't be seen",
    "SECRET_KEY=wo\N{ZERO WIDTH SPACE}rd": "SECRET_KEY holds a character that can't be seen",
    f"SECRET_KEY={'x' * 9000}": "SECRET_KEY has more than 8192 characters",
}
FILES = {
    "UTF-16": GOOD.encode("utf-16"),
    "UTF-16, big end first": b"\xfe\xff" + GOOD.encode("utf-16-be"),
    "UTF-16 without a mark": GOOD.encode("utf-16-le"),
    "UTF-32": GOOD.encode("utf-32"),
    "UTF-8 with a mark": GOOD.encode("utf-8-sig"),
    "cp1252": f"{GOOD}SECRET_KEY=ünd\n".encode("cp1252"),
    "cp1252 in a comment": "# für uns\n".encode("cp1252") + GOOD.encode(),
    "a zero byte": GOOD.encode() + b"A=\0\n",
    "cut in a character": GOOD.encode() + "A=€".encode()[:-1],
    "random bytes": random.Random(1).randbytes(400),
    "another file altogether": GOOD.encode() + b"x" * 300_000,
}


@pytest.mark.parametrize("line", LINES, ids=lambda line: ascii(line)[:40])
@pytest.mark.parametrize("name", [".env", ".env.production"])
def test_a_line_that_readers_disagree_about_is_named(tmp_path: Path, line: str, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(f"{GOOD}{line}\n".encode())
    before = file.read_bytes()

    for use in (envfile.read, envfile.complete):
        with pytest.raises(envfile.Wrong) as raised:
            use(file)
        assert str(raised.value).startswith(f"{name}, line 3: {LINES[line]}")
        assert "word" not in str(raised.value)
    assert file.read_bytes() == before


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_no_text_is_refused_and_left_as_it_is(tmp_path: Path, kind: str) -> None:
    file = tmp_path / ".env"
    file.write_bytes(FILES[kind])

    with pytest.raises(envfile.Wrong, match=r"^\.env(, line \d+:| is| has) .+"):
        envfile.complete(file)

    assert file.read_bytes() == FILES[kind]


def folder(file: Path) -> None:
    file.mkdir()


def pipe(file: Path) -> None:
    os.mkfifo(file)


def link_to_itself(file: Path) -> None:
    file.symlink_to(file)


def link_to_nowhere(file: Path) -> None:
    file.symlink_to(file.parent / "no" / "such")


@pytest.mark.parametrize("make", [folder, pipe, link_to_itself, link_to_nowhere])
def test_what_is_no_file_is_refused(tmp_path: Path, make) -> None:
    make(tmp_path / ".env")

    for use in (envfile.complete, envfile.read):
        with pytest.raises(envfile.Wrong, match=r"^\.env (is not a file|can't be|is missing).*"):
            use(tmp_path / ".env")


@pytest.mark.parametrize("method", ["read_bytes", "exists"])
def test_a_file_of_roots_is_said_to_be_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    (tmp_path / ".env").write_text(GOOD)

    def refuse(*_: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(
        envfile.Wrong, match=r"^\.env can't be read: Permission denied; does it bel"
    ):
        envfile.read(tmp_path / ".env")
    with pytest.raises(envfile.Wrong, match=r"^\.env can't be (read|written): Permission denied"):
        envfile.complete(tmp_path / ".env")


def test_a_folder_that_takes_no_file_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> NoReturn:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(envfile.tempfile, "mkstemp", refuse)
    with pytest.raises(envfile.Wrong, match=r"^\.env can't be written: Read-only file system$"):
        envfile.complete(tmp_path / ".env")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_end_as_on_any_system(tmp_path: Path, end: str) -> None:
    (tmp_path / ".env").write_bytes(
        end.join(["# x", "A=1", " B = 'two words' ", "C=a#b", ""]).encode()
    )

    assert envfile.read(tmp_path / ".env") == {"A": "1", "B": "two words", "C": "a#b"}


# --- The verbs ----------------------------------------------------------------------------------

BAD = {"UTF-16": FILES["UTF-16"], "export": b"export DEBUG=True\n", "a folder": None}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize(
    "verb",
    ["up", "down", "logs", "local", "dyno", "manage", "doctor", "clean", "prod", "deploy"],
)
def test_each_verb_refuses_before_anything(machine: Machine, verb: str, kind: str) -> None:
    name = ".env.production" if verb in ("prod", "deploy") else ".env"
    file = machine.tree / name
    file.unlink(missing_ok=True)
    if BAD[kind] is None:
        file.mkdir()
    else:
        file.write_bytes(BAD[kind])
    machine.docker()

    code, text = machine.make(verb, "APP=drop")

    assert code != 0
    assert re.match(rf"{re.escape(name)}(,| is) .*\nmake: ", text), text
    assert machine.calls() == []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("password", ["p@ss", "p/ss", "p#ss", "p:ss", "p?ss", "p%41", "p ss", "pä"])
@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "REDIS_PASSWORD"])
def test_a_password_that_no_address_can_hold_is_named(
    machine: Machine, name: str, password: str
) -> None:
    machine.docker()
    machine.set(**{name: password})
    expected = f"{name} in .env is part of an address: use letters and digits only"

    assert expected in machine.make("up")[1]
    assert expected.replace(".env", ".env.production") in prod(machine, **{name: password})[1]


def odd_files(dice: random.Random, count: int) -> Iterator[bytes]:
    """`.env` files as people, editors and accidents make them."""
    template = envfile.TEMPLATE.read_text()
    lines = [
        f"{line}x1" if re.fullmatch(r"\w+=", line) else line
        for line in template.splitlines()
        if not line.startswith("#") and line
    ]
    values = [
        "", "0", "-1", "9" * 30, "9" * 5000, "1e3", "٣", "²", "True", "none", "*", ",", ".", "[",
        "://", "http://[", "http://h:port", "p@ss/w#rd", "a b", "'q'", '"q"', "it's", "\\", "%",
        ":", "user:", ":password", "🗝", "ü", "65536", "65535", "80", "s3tasks.settings.development",
        "minio", "-prod", "s3tasks-prod", "A,B", "x" * 300, "~", "`id`", ";", "{}", "[]", "null",
    ]  # fmt: skip
    for _ in range(count):
        chosen = [line for line in lines if dice.random() > 0.05]
        for _ in range(dice.choice([1, 1, 2, 5, 20])):
            name = chosen[dice.randrange(len(chosen))].partition("=")[0]
            line = dice.choice([f"{name}={dice.choice(values)}", *list(LINES)])
            if dice.random() < 0.8:
                line = f"{name}={dice.choice(values)}"
            chosen[dice.randrange(len(chosen))] = line
        if dice.random() < 0.2:
            chosen.append(f"{dice.choice(['COMPOSE_PROJECT_NAME', 'OWN', 'PATH'])}={values[-1]}")
        data = dice.choice(["\n", "\n", "\r\n"]).join(chosen).encode()
        if dice.random() < 0.15:
            at = dice.randrange(len(data))
            data = data[:at] + dice.randbytes(dice.choice([1, 3])) + data[at + 1 :]
        yield data


def sentences(use) -> list[str]:
    """What is said: by the end of the program, or as a list; anything else is a failure."""
    try:
        said = use()
    except SystemExit as end:
        said = [end.code]
    return said if isinstance(said, list) else []


def test_whatever_env_holds_no_verb_ends_with_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(27)
    for module in (engine, ports):
        monkeypatch.setattr(module, "output", lambda *_, **__: (1, ""))
    monkeypatch.setattr(ports, "is_free", lambda _: True)
    refused = 0
    for data in odd_files(dice, CASES):
        for name in (".env", ".env.production"):
            file = tmp_path / name
            file.write_bytes(data)
            said = sentences(lambda file=file: envfile.complete(file))
            refused += bool(said)
            if not said:
                env = envfile.read(file)
                for use in (
                    lambda env=env: doctor.check(env, INFO, "s3tasks"),
                    lambda env=env: env_values.value_problems(env),
                    lambda env=env: budget.numbers(env),
                    lambda env=env: env_values.ports(env),
                    lambda env=env: prod_verb.problems(env),
                    lambda env=env: production_values.problems(env),
                    lambda env=env: heroku_checks.env_problems(env, "flower"),
                ):
                    said += sentences(use)
                heroku_checks.outgoing(env)
                variables = run.variables(env, {})
                assert all("\0" not in n + v and "=" not in n for n, v in variables.items())
            for sentence in said:
                assert isinstance(sentence, str), (data, sentence)
                assert len(sentence.splitlines()) == 1, (data, sentence)
                assert re.search(r"\.env|[A-Z0-9]+_[A-Z]+|DEBUG|RELOAD|by http", sentence)
            file.unlink()
    assert 100 < refused < 2 * CASES - 100  # both happen


def test_what_is_accepted_every_reader_sees_alike(tmp_path: Path) -> None:
    dice, agreed = random.Random(5), 0
    for number, data in enumerate(odd_files(dice, 60)):
        file = tmp_path / str(number) / ".env"
        file.parent.mkdir()
        file.write_bytes(data)
        try:
            expected = envfile.read(file)
        except envfile.Wrong:
            continue
        agreed += 1
        for reader in (compose, lambda file: RepositoryEnv(str(file)).data):
            assert {name: value for name, value in reader(file).items() if value} == expected
    assert agreed > 10


@pytest.mark.parametrize("verb", ["up", "doctor", "local", "dyno", "prod", "deploy", "manage"])
def test_a_few_of_them_through_each_verb_itself(machine: Machine, verb: str) -> None:
    machine.docker({"compose": "exit 1"})
    name = ".env.production" if verb in ("prod", "deploy") else ".env"
    for data in odd_files(random.Random(verb), 5):
        (machine.tree / name).write_bytes(data)
        text = machine.make(verb, "APP=drop")[1]
        assert "Traceback" not in text, (data, text)


# --- The checkout -------------------------------------------------------------------------------


def mounted(machine: Machine) -> Path:
    """What containers mount, in the machine's checkout; a script of it."""
    shutil.copytree(ROOT / "compose", machine.tree / "compose")
    (machine.tree / "services/app/bin").mkdir()
    for tree in (machine.tree / "compose", machine.tree / "services"):
        for path in [tree, *tree.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
    script = machine.tree / "services/app/bin/web"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    return script


@pytest.mark.parametrize("verb", ["up", "doctor", "prod", "dyno"])
@pytest.mark.parametrize("mode", [0o600, 0o700, 0o710])
@pytest.mark.parametrize("what", ["compose/postgres.sh", "compose", "services/app"])
def test_what_a_umask_keeps_from_containers_is_named(
    machine: Machine, verb: str, mode: int, what: str
) -> None:
    mounted(machine)
    path = machine.tree / what
    path.chmod(mode | 0o100 if path.is_dir() else mode)
    machine.docker()

    code, text = machine.make(verb) if verb != "prod" else prod(machine)[:2]

    assert code != 0
    assert f"containers can't read {what} (1 in all; is the umask 077?): chmod -R go+rX" in text


def test_line_ends_of_windows_and_a_lost_right_are_named(machine: Machine) -> None:
    script = mounted(machine)
    machine.docker()
    (machine.tree / "services/app/.cache").mkdir(mode=0o700)
    (machine.tree / "services/app/.views.py.swp").touch(mode=0o600)
    assert machine.make("doctor")[0] == 0

    script.write_bytes(b"#!/bin/sh\r\nexec web\r\n")
    assert "services/app/bin/web has Windows line endings" in machine.make("doctor")[1]
    script.write_bytes(b"#!/bin/sh\n")
    script.chmod(0o644)
    assert "services/app/bin/web is not executable: chmod +x" in machine.make("doctor")[1]


def test_a_checkout_on_windows_has_the_line_ends_of_linux(tmp_path: Path) -> None:
    def git(*words: str, folder: Path = tmp_path) -> str:
        who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        command = ["git", *who, *words]
        return subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True
        ).stdout

    source = tmp_path / "source"
    source.mkdir()
    for name in (".gitattributes", ".env.var", "Makefile", "compose/postgres.sh", "ops/clean.sh"):
        (source / name).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / name, source / name)
    git("init", "--quiet", folder=source)
    git("add", "--all", folder=source)
    git("commit", "--quiet", "--message", "x", folder=source)

    options = ["-c", "core.autocrlf=true", "-c", "core.eol=crlf"]
    git("clone", "--quiet", *options, str(source), str(tmp_path / "clone"))

    for path in (tmp_path / "clone").rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            assert b"\r" not in path.read_bytes(), path


@pytest.mark.parametrize(
    "file", ["docker-compose.yml", "docker-compose.prod.yml", "compose/dyno/dyno.yml"]
)
def test_no_proxy_of_dockers_configuration_comes_between_our_own(file: str) -> None:
    text = (ROOT / file).read_text()
    (listed,) = re.findall(r"NO_PROXY: &direct (\S+)$", text, re.MULTILINE)
    assert text.count("no_proxy: *direct") >= 1
    called = set(re.findall(r"https?://(minio|web|flower)\b", text))
    called |= {"web", "flower", "minio"} if "prod" in file else set()  # Caddy's
    assert {"localhost", "127.0.0.1", *called} <= set(re.split(r"[,$]", listed))
