"""The commands of a deployment to Heroku: each is shown before it runs, without secrets.

DRY_RUN=1 only shows them. Python 3.8 and its standard library.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import Any

from ops import envfile, production_values
from ops.terminal import die

ROOT = envfile.ROOT
DRY_RUN = bool(os.environ.get("DRY_RUN"))
MASK = "****"


def show(command: list[str]) -> str:
    """Print the command as a shell would take it, but for its secrets."""
    secrets = production_values.secrets()
    words = []
    for word in command:
        name, equals, _ = word.partition("=")
        words.append(f"{name}={MASK}" if equals and name in secrets else word)
    shown = shlex.join(words)
    print(f"$ {shown}", flush=True)
    return shown


def run(
    command: list[str], *, env: dict[str, str] | None = None, hide: list[str] | None = None
) -> None:
    """Run the command; ends the program where it fails. What stands in `hide` is not printed."""
    shown = show(command)
    if DRY_RUN:
        return
    pipes: dict[str, Any] = {}
    if hide:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, cwd=str(ROOT), env=env, stdin=subprocess.DEVNULL, **pipes)
    if hide:
        text = done.stdout.decode(errors="replace")
        for secret in hide:
            text = text.replace(secret, MASK)
        print(text, end="", flush=True)
    if done.returncode:
        die(f"`{shown}` failed, see above; the steps after it were not run")


def ask(command: list[str], dry: str, *, env: dict[str, str] | None = None) -> tuple[str, str]:
    """What the command answers, or what it says where it fails; `dry` in a dry run."""
    show(command)
    if DRY_RUN:
        return dry, ""
    done = subprocess.run(
        command, cwd=str(ROOT), env=env, stdin=subprocess.DEVNULL, capture_output=True
    )
    failure = done.stderr.decode(errors="replace").strip() or "no output"
    return done.stdout.decode(errors="replace").strip(), failure if done.returncode else ""


def read(command: list[str], dry: str, *, env: dict[str, str] | None = None) -> str:
    """What the command answers; ends the program where it fails."""
    answer, failure = ask(command, dry, env=env)
    if failure:
        die(failure, "that failed; the steps after it were not run")
    return answer
