"""What the shell may decide: where programs are, which engine, which project. All else is `.env`'s.

Another project's `export ALLOWED_HOSTS=…` or `COMPOSE_FILE=…` must not change what ours does.
Python 3.8 and its standard library.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from ops import envfile

PROJECT = "s3tasks"
# Projects of their own, beside the one of `make up`: what follows its name.
PRODUCTION, DYNO = "-prod", "-dyno"
# Where the engine is. What else Docker and Compose read would change what is started there.
ENGINE = re.compile(r"DOCKER_(HOST|CONTEXT|CONFIG|CERT_PATH|TLS\w*|API_VERSION|CUSTOM_HEADERS)")
STEERS = re.compile(r"(COMPOSE|DOCKER|BUILDX|BUILDKIT)_\w+")
# What a process of the local run is given of the shell: as a container, it knows nobody's settings.
# Not `PG…`, `AWS_…`, `CELERY_…`, `FLOWER_…`, `GUNICORN_…`, `DJANGO_SETTINGS_MODULE`, `BROKER_URL`.
KEPT = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|PWD|TZ|LANG|LANGUAGE|LC_\w+|TERM|TERM\w*|COLORTERM|COLUMNS|LINES"
    r"|NO_COLOR|FORCE_COLOR|EDITOR|VISUAL|PAGER|LESS|DISPLAY|TMPDIR|XDG_\w+|VENV|CI"
    # The way to the outside.
    r"|(?i:https?|all|no)_(?i:proxy)|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL|AWS)_CA_BUNDLE"
    # Libraries, where the system has them in places of its own.
    r"|(DY)?LD_\w+|NIX_\w+"
    # Whom `createsuperuser --no-input` makes.
    r"|DJANGO_SUPERUSER_\w+|PYTHON(BREAKPOINT|WARNINGS|UTF8|DONTWRITEBYTECODE|UNBUFFERED)"
)


# What steers a run of the tests themselves.
TESTS = re.compile(r"(PYTEST|HYPOTHESIS|PLAYWRIGHT|PYTHON)_?\w*|COMPOSE|EXAMPLES")


def forget() -> None:
    """Take what `.env` or a verb decides out of this process' environment, for whom it starts."""
    ours = set(envfile.names())
    for name in list(os.environ):
        steers = STEERS.fullmatch(name) and not ENGINE.fullmatch(name)
        if name in ours or (steers and name != "COMPOSE_PROJECT_NAME"):
            del os.environ[name]


def kept() -> dict[str, str]:
    """What of the environment a process of the local run gets."""
    return {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}


def clear() -> None:
    """Take all of the shell's out of this process' environment but what the tests may be told."""
    for name in list(os.environ):
        if not (KEPT.fullmatch(name) or ENGINE.fullmatch(name) or TESTS.fullmatch(name)):
            del os.environ[name]


def use(env: dict[str, str], suffix: str = "") -> str:
    """The name of the Compose project, from here on every Compose command's.

    That of COMPOSE_PROJECT_NAME, which the shell or the file may set, else `s3tasks`; production's
    and the dyno's are always that and their suffix. Ends the program where it is none, or where it
    would lead into the project of another verb.
    """
    forget()
    name = os.environ.get("COMPOSE_PROJECT_NAME") or env.get("COMPOSE_PROJECT_NAME") or PROJECT
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        sys.exit(
            f"COMPOSE_PROJECT_NAME={name}: expected a-z, 0-9, _ and -, a letter or digit first"
        )
    for other, verb in ((PRODUCTION, "make prod"), (DYNO, "make dyno")):
        if name.endswith(other):
            sys.exit(f"COMPOSE_PROJECT_NAME={name} is the project of `{verb}`: unset it")
    name += suffix
    os.environ["COMPOSE_PROJECT_NAME"] = name
    add_no_proxy()
    return name


def add_no_proxy() -> None:
    """Where no proxy is asked: Docker's client gives containers the list of its own configuration,
    and those of the Compose files, which name the services, take the place of that."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        proxies = json.loads((folder / "config.json").read_text(encoding="utf-8"))["proxies"]
        os.environ["DOCKER_NO_PROXY"] = str(proxies["default"]["noProxy"])
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):  # none, or of another shape
        return
