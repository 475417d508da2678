"""One app on Heroku: made where it is missing, configured, and given what is pushed.

Python 3.8 and its standard library.
"""

from __future__ import annotations

import json
import re
import time

from ops import production_values
from ops.heroku_checks import setup
from ops.heroku_commands import DRY_RUN, ask, read, run
from ops.terminal import die

POLL_SECONDS = 2
# What an add-on is attached as, where it is the app's first of its kind; it sets NAME_URL.
ATTACHED = {"heroku-postgresql": "DATABASE", "heroku-redis": "REDIS"}


def prepare(app: str) -> None:
    """The app exists and builds images."""
    answer, failure = ask(["heroku", "apps:info", "--app", app, "--json"], "")
    if DRY_RUN or "not_found" in failure:
        run(["heroku", "apps:create", app, "--stack", "container", "--no-remote"])
    elif failure:
        die(failure)
    elif json.loads(answer)["app"]["build_stack"]["name"] != "container":
        run(["heroku", "apps:stacks:set", "container", "--app", app])


def config(app: str) -> dict[str, str]:
    """The app's config vars."""
    return json.loads(read(["heroku", "config", "--app", app, "--json"], "{}"))


def configure(app: str, wanted: dict[str, str], present: dict[str, str]) -> None:
    """Set what differs; what the app has besides stays."""
    changed = {name: value for name, value in wanted.items() if present.get(name) != value}
    if changed:
        hide = [value for name, value in changed.items() if name in production_values.secrets()]
        pairs = [f"{name}={value}" for name, value in changed.items()]
        run(["heroku", "config:set", *pairs, "--app", app], hide=hide)


def attachments(app: str) -> dict[str, str]:
    """The add-on behind each of the app's attachments."""
    found = {}
    for addon in json.loads(read(["heroku", "addons", "--app", app, "--json"], "[]")):
        for attachment in addon["attachments"]:
            if attachment["app"]["name"] == app:
                found[attachment["name"]] = addon["name"]
    return found


def add_addons(app: str, present: dict[str, str]) -> None:
    """Create the add-ons that the app has none of, and wait until all are there."""
    attached = attachments(app)
    for plan in setup()[0]:
        name = ATTACHED[plan.partition(":")[0]]
        if name not in attached and f"{name}_URL" not in present:
            run(["heroku", "addons:create", plan, "--app", app])
    run(["heroku", "addons:wait", "--app", app])


def domains(app: str) -> str:
    """The host names that Heroku serves the app at, as ALLOWED_HOSTS has them."""
    placeholder = json.dumps([{"hostname": f"<the domains of {app}>"}])
    found = json.loads(read(["heroku", "domains", "--app", app, "--json"], placeholder))
    return ",".join(domain["hostname"].lstrip("*") for domain in found)


def push(app: str, commit: str, *options: str) -> None:
    """Let Heroku build and release the commit. The CLI is git's credential helper there."""
    url = f"https://git.heroku.com/{app}.git"
    run(["git", "push", *options, url, f"{commit}:refs/heads/main"])
    # A release that fails after the build does not fail the push.
    status = "pending"
    while status == "pending":
        answer = read(
            ["heroku", "releases:info", "--app", app, "--json"], '{"status": "succeeded"}'
        )
        status = json.loads(answer)["status"]
        if status == "pending":
            time.sleep(POLL_SECONDS)
    if status != "succeeded":
        die(
            f"the release of {app} {status}, so the previous release keeps running:"
            f" `heroku releases:output --app {app}` says why; once the cause is fixed,"
            f" `heroku releases:retry --app {app}` tries it again"
        )


def scale(app: str, types: list[str], *, one: str) -> None:
    """Start each process type, the first time; after that, only see to it that `one` is one."""
    formation = read(["heroku", "ps:scale", "--app", app], "web=1")
    now = {name: int(count) for name, count in re.findall(r"([\w-]+)=(\d+)", formation)}
    wanted = {one: 1}
    if not now.get(one):
        wanted = {name: max(1, now.get(name, 0)) for name in types}
    if any(now.get(name) != count for name, count in wanted.items()):
        counts = [f"{name}={count}" for name, count in wanted.items()]
        run(["heroku", "ps:scale", *counts, "--app", app])
