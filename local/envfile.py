"""`.env` and `.env.production`: read them, make them, complete them.

    python3 local/envfile.py .env

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

# Letters and digits: Compose, decouple, honcho, URLs and shells all read these alike.
ALPHABET = string.ascii_letters + string.digits


def fresh(name: str) -> str:
    """A new secret for the variable; blank where the variable is no secret."""
    lengths = {
        "SECRET_KEY": 64,
        "POSTGRES_PASSWORD": 32,
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


def read(path: Path) -> dict[str, str]:
    """The variables that have a value; those that are blank are left out, as unset."""
    values = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, equals, value = (part.strip() for part in line.partition("="))
        if equals and not name.startswith("#"):
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            values[name] = value[1:-1] if quoted else value
    return {name: value for name, value in values.items() if value}


def names() -> list[str]:
    """Every variable of the template."""
    return [name for name, _ in entries(TEMPLATE.read_text(encoding="utf-8"))]


def is_port(value: str) -> bool:
    """Whether it is a number from 1 to 65535."""
    return bool(re.fullmatch(r"[1-9][0-9]{0,4}", value)) and int(value) <= 65535


def ports(env: dict[str, str]) -> dict[str, int]:
    """The ports on this machine: the shell's, else `.env`'s, else the template's, as in Compose."""
    defaults = read(TEMPLATE)
    found = {}
    for name in PORTS:
        value = os.environ.get(name) or env.get(name) or defaults[name]
        if not is_port(value):
            sys.exit(f"{name}={value} in .env: expected a port, 1 to 65535")
        found[name] = int(value)
    return found


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
        os.replace(temporary, str(path))
    except BaseException:
        os.unlink(temporary)
        raise


def complete(target: Path) -> str:
    """What was done to the target, in one line; blank where nothing was missing."""
    template = TEMPLATE.read_text(encoding="utf-8")
    wanted = list(entries(template, production=target.name == ".env.production"))
    path = target.resolve()  # a link stays a link
    if not path.exists():
        write(path, "".join(block for _, block in wanted).encode())
        return f"made {target.name} with fresh secrets"
    old = path.read_bytes()
    known = re.findall(rb"^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=", old, re.MULTILINE)
    missing = {n: block for n, block in wanted if n.encode() not in known}
    if not missing:
        return ""
    addition = "".join(meaning_and_line(block) for block in missing.values())
    gap = b"" if old.endswith(b"\n") or not old else b"\n"
    write(path, old + gap + addition.encode())
    return f"added to {target.name}: {', '.join(missing)}"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    done = complete(Path(sys.argv[1]))
    if done:
        print(done)
