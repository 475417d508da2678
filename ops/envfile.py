"""`.env` and `.env.production`: read them, make them, complete them.

    python3 -m ops.envfile .env

makes `.env` from `.env.var` with fresh secrets; to an older one it adds what is missing, names it,
and changes nothing else. A file named `.env.production` gets production's values. Python 3.8 and
its standard library: it runs before anything is installed.
"""

from __future__ import annotations

import os
import re
import secrets
import string
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / ".env.var"
PORTS = ("WEB_PORT", "FLOWER_PORT", "MINIO_PORT", "MINIO_CONSOLE_PORT")

# What `.env.production` holds in place of the template's values and of fresh secrets.
PRODUCTION = {
    "SETTINGS_MODULE_PATH": "s3tasks.settings.production",
    "DEBUG": "",
    "TRUSTED_PROXIES": "1",  # Heroku's router, or Caddy
    # S3's come from outside, and so does the name of a bucket.
    "AWS_ACCESS_KEY_ID": "",
    "AWS_SECRET_ACCESS_KEY": "",
    "AWS_STORAGE_BUCKET_NAME": "",
}

# Of a MinIO that is production's own, and what it is called there; blank: a fresh secret.
DRAWN = {
    "AWS_ACCESS_KEY_ID": "",
    "AWS_SECRET_ACCESS_KEY": "",
    "AWS_STORAGE_BUCKET_NAME": "s3tasks",
}

# What Docker and the system can hand on as environment; ours has 5 KB.
MAX_BYTES, MAX_LENGTH = 256 * 1024, 8 * 1024

# Letters and digits: Compose, decouple, honcho, URLs and shells all read these alike.
ALPHABET = string.ascii_letters + string.digits


def fresh(name: str) -> str:
    """A new secret for the variable; blank where the variable is no secret."""
    lengths = {
        "SECRET_KEY": 64,
        "POSTGRES_PASSWORD": 32,
        "REDIS_PASSWORD": 32,
        "AWS_ACCESS_KEY_ID": 20,  # MinIO takes 3 to 20
        "AWS_SECRET_ACCESS_KEY": 40,  # MinIO takes 8 to 40
        "MINIO_ROOT_PASSWORD": 32,
        "FLOWER_BASIC_AUTH": 24,
    }
    secret = "".join(secrets.choice(ALPHABET) for _ in range(lengths.get(name, 0)))
    return "s3tasks:" + secret if name == "FLOWER_BASIC_AUTH" else secret


def entries(template: str, production: bool = False) -> Iterator[tuple[str, str]]:
    """Each variable's name, and the template's lines up to it: headings, comment, assignment.

    For production without the ports of a developer's machine.
    """
    block = ""
    for line in template.splitlines(keepends=True):
        block += line
        name, equals, value = line.rstrip("\n").partition("=")
        if equals and not line.startswith("#"):
            heading = block[: -len(line)]
            value = value or fresh(name)
            if production:
                value = PRODUCTION.get(name, value)
            if not production or name not in PORTS:
                yield name, f"{heading}{name}={value}\n"
            block = ""


def meaning_and_line(block: str) -> str:
    """The block's last two lines: the one of meaning, and the assignment."""
    return "".join(block.splitlines(keepends=True)[-2:])


class Wrong(SystemExit):
    """What is wrong with an `.env`, in a sentence that shows no value; it ends the program."""


def content(path: Path) -> bytes:
    """The file's bytes; raises Wrong where it is no file, or not for who asks."""
    try:
        if path.exists() and not path.is_file():
            raise Wrong(f"{path.name} is not a file: remove it, and `make {path.name}` makes it")
        return path.read_bytes()
    except FileNotFoundError:
        raise Wrong(f"{path.name} is missing: `make {path.name}` makes it") from None
    except (OSError, RuntimeError) as error:  # also a link to itself
        reason = getattr(error, "strerror", None) or str(error)
        owner = "; does it belong to root?" if isinstance(error, PermissionError) else ""
        raise Wrong(f"{path.name} can't be read: {reason}{owner}") from None


def decoded(path: Path) -> str:
    """The file's text; raises Wrong where it is not UTF-8, as every reader expects it."""
    data = content(path)
    if len(data) > MAX_BYTES:
        raise Wrong(f"{path.name} has more than {MAX_BYTES} bytes: is it the right file?")
    if data.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")) or b"\0" in data:
        raise Wrong(f"{path.name} is not plain UTF-8 (UTF-16, or with a mark): save it as UTF-8")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Wrong(f"{path.name}, line {line}: it is not UTF-8: save it as UTF-8") from None


def line_problem(line: str) -> str:
    """Why Compose, decouple and we would not read the same in the line; blank where they do."""
    name, equals, value = (part.strip(" \t") for part in line.partition("="))
    if re.match(r"export\s", name):
        return "`export` is the shell's: write NAME=value"
    if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return "expected NAME=value, the name of letters, digits and _"
    if not value.replace(" ", "x").isprintable():  # but for "", which is
        return f"{name} holds a character that can't be seen, or a space that is none"
    if len(value) > MAX_LENGTH:
        return f"{name} has more than {MAX_LENGTH} characters"
    if "$" in value:
        return f"{name} holds a $, which Compose would put another variable for"
    quoted = value[:1] in ("'", '"')
    if quoted and not re.fullmatch(r"""(['"])[^'"\\]*\1""", value):
        return f"{name} begins with a quotation mark: write the value without any"
    if not quoted and " #" in f" {value}":
        return f"{name} has a comment behind its value: write that in a line of its own"
    return ""


def read(path: Path) -> dict[str, str]:
    """The variables that have a value; those that are blank are left out, as unset.

    Raises Wrong, naming the line, where Compose or decouple would read another value or none.
    """
    values = {}
    for number, raw in enumerate(decoded(path).split("\n"), 1):
        line = raw.strip(" \t\r")
        if not line or line.startswith("#"):
            continue
        problem = line_problem(line)
        if problem:
            raise Wrong(f"{path.name}, line {number}: {problem}")
        name, _, value = (part.strip(" \t") for part in line.partition("="))
        values[name] = value[1:-1] if value[:1] in ("'", '"') else value
    return {name: value for name, value in values.items() if value}


def entry_values() -> list[tuple[str, str]]:
    """Every variable of the template, and the value that it has there."""
    lines = TEMPLATE.read_text(encoding="utf-8").splitlines()
    return [(n, v) for n, e, v in (line.partition("=") for line in lines) if e and n[0] != "#"]


def names() -> list[str]:
    """Every variable of the template."""
    return [name for name, _ in entry_values()]


def write(path: Path, content: bytes) -> None:
    """The file with this content and for its owner alone: whole, or as it was."""
    handle, temporary = tempfile.mkstemp(prefix=".env-", dir=str(path.parent))  # mode 600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        if path.exists() and os.geteuid() == 0:
            os.chown(temporary, path.stat().st_uid, path.stat().st_gid)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


def fill(text: bytes, names: tuple[str, ...]) -> tuple[bytes, list[str]]:
    """The text with a value for each of these that is blank in it, and their names."""
    filled = []
    for name in names:
        value = DRAWN.get(name) or fresh(name)
        line = rb"(?m)^([ \t]*%s[ \t]*=)[ \t]*(\r?)$" % name.encode()
        text, count = re.subn(line, rb"\g<1>%s\g<2>" % value.encode(), text)
        if count:
            filled.append(name)
    return text, filled


def complete(target: Path) -> str:
    """What was done to the target, in one line; blank where nothing was missing.

    Raises Wrong where it can't be read or written, or holds a line that `read` refuses. In
    `.env.production` with STORAGE_ADDRESS the blank keys and bucket are filled in: that
    MinIO is ours.
    """
    template = TEMPLATE.read_text(encoding="utf-8")
    production = target.name == ".env.production"
    wanted = list(entries(template, production=production))
    try:
        path = target.resolve()  # a link stays a link
        if not path.exists():
            write(path, "".join(block for _, block in wanted).encode())
            return f"made {target.name} with fresh secrets"
        present = read(target)
        old = new = content(target)
        said = []
        if production and present.get("STORAGE_ADDRESS"):
            new, filled = fill(new, tuple(DRAWN))
            said += [f"made {', '.join(filled)} for MinIO in {target.name}"] if filled else []
        known = re.findall(rb"^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=", old, re.MULTILINE)
        missing = {n: block for n, block in wanted if n.encode() not in known}
        if missing:
            addition = "".join(meaning_and_line(block) for block in missing.values())
            gap = b"" if new.endswith(b"\n") or not new else b"\n"
            new += gap + addition.encode()
            said.append(f"added to {target.name}: {', '.join(missing)}")
        if new != old:
            write(path, new)
        return "; ".join(said)
    except (OSError, RuntimeError) as error:  # also a link to itself
        reason = getattr(error, "strerror", None) or str(error)
        raise Wrong(f"{target.name} can't be written: {reason}") from None


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    done = complete(Path(sys.argv[1]))
    if done:
        print(done)
