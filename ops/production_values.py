"""What is wrong with `.env.production`, before `make prod` or `make deploy` uses any of it.

Python 3.8 and its standard library.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from ops import env_values, envfile

FILE = ".env.production"
SECRET_KEY_LENGTH = 50  # as Django's own check asks for
LOCAL = (".localhost", ".local", ".lan", ".internal", ".home.arpa")  # ends of names


def meanings() -> dict[str, str]:
    """Each variable's line of meaning."""
    blocks = envfile.entries(envfile.TEMPLATE.read_text(encoding="utf-8"))
    return {name: envfile.meaning_and_line(block).splitlines()[0][2:] for name, block in blocks}


def secrets() -> set[str]:
    """The variables whose values are nobody else's business."""
    return {name for name, meaning in meanings().items() if meaning.endswith("Secret.")}


def uses_s3(env: dict[str, str]) -> bool:
    """Whether uploads live on S3, as the settings read it."""
    return env_values.truth(env.get("USE_S3", "True")) is not False


def missing(env: dict[str, str], *names: str) -> list[str]:
    """A sentence for each of these variables that has no value."""
    known = meanings()
    lacking = [name for name in names if not env.get(name)]
    return [f"{name} is missing: {known[name].replace(' Secret.', '')}" for name in lacking]


def hosts(value: str) -> list[str]:
    """The host names in a list of names, or in an address; blank where there is none."""
    found = []
    for word in filter(None, map(str.strip, value.split(","))):
        try:
            found.append(urlsplit(word if "://" in word else f"//{word}").hostname or "")
        except ValueError:
            found.append("")
    return found


def is_local(host: str) -> bool:
    """Whether the name or number means something on one machine or in one network only."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        name = host.strip(".")
        return name != "*" and ("." not in name or name.endswith(LOCAL))


def local_addresses(env: dict[str, str]) -> Iterator[str]:
    """A sentence for each address that nobody else can reach."""
    for name, value in env.items():
        if name.endswith(("_URL", "_HOSTS", "_ADDRESS")):
            for host in hosts(value):
                if is_local(host):
                    yield f"{name} names {host or 'no host'}, which only this machine can reach"


def development_values(env: dict[str, str]) -> Iterator[str]:
    """A sentence for each value that is a developer's."""
    if env_values.truth(env.get("DEBUG", "False")) is not False:
        yield "DEBUG is on: it shows the code and the settings to everybody"
    if env.get("SETTINGS_MODULE_PATH", "").endswith("development"):
        yield "SETTINGS_MODULE_PATH is development's: s3tasks.settings.production"
    if "RELOAD" in env:
        yield "RELOAD is for a developer's machine"
    key = env.get("SECRET_KEY", "")
    if 0 < len(key) < SECRET_KEY_LENGTH:
        yield f"SECRET_KEY is shorter than {SECRET_KEY_LENGTH} letters"
    elif key and (
        len(set(key)) < 5 or key in (key * 2)[1:-1] or key.startswith("django-insecure-")
    ):
        yield "SECRET_KEY could be guessed: remove the line, and `make .env.production` makes one"
    if any(not host.strip(" .*") for host in env.get("ALLOWED_HOSTS", "drop").split(",")):
        yield "ALLOWED_HOSTS admits every name: this site's, or blank"
    file = envfile.ROOT / ".env"
    try:
        development = envfile.read(file) if file.exists() else {}
    except envfile.Wrong:  # which is the other verbs' to say
        development = {}
    for name in sorted(secrets() & env.keys()):
        if env[name] == development.get(name):
            yield f"{name} is the one of .env, which is for this machine: choose another"


def problems(env: dict[str, str]) -> list[str]:
    """What is wrong with these variables, each in a sentence that never shows a secret."""
    required = ["SECRET_KEY"]
    if uses_s3(env):
        required += ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_STORAGE_BUCKET_NAME"]
    found = missing(env, *required)
    found += development_values(env)
    found += local_addresses(env)
    endpoint = env.get("AWS_S3_PUBLIC_ENDPOINT_URL") or env.get("AWS_S3_ENDPOINT_URL", "")
    if endpoint.startswith("http://"):
        found.append("browsers call S3 by http://, which a page on HTTPS may not: use https://")
    return found + env_values.value_problems(env, FILE)
