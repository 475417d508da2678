"""`make deploy`: the app on Heroku, the first time and each time after; with FLOWER_APP Flower too.

    APP=drop FLOWER_APP=drop-flower python3 -m ops.heroku

What is there already stays; what is missing is made. Each command is printed before it runs,
without secrets. DRY_RUN=1 only prints: what a first deployment would run. Python 3.8 and its
standard library.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ops import engine, envfile, production
from ops.terminal import die, say, speak_as

ROOT = envfile.ROOT
DRY_RUN = bool(os.environ.get("DRY_RUN"))
POLL_SECONDS = 2
# What an add-on is attached as, where it is the app's first of its kind; it sets NAME_URL.
ATTACHED = {"heroku-postgresql": "DATABASE", "heroku-redis": "REDIS"}
# Set by Heroku and its add-ons, or of one machine, or nothing that the app reads: never sent.
STAYS = re.compile(
    r"\w+_PORT|DATABASE_URL|REDIS_URL|DEBUG|RELOAD|(?:SITE|STORAGE)_ADDRESS|DISABLE_COLLECTSTATIC"
    r"|REDIS_PASSWORD|(?:COMPOSE|FLOWER|MINIO|POSTGRES)_\w+"
)
MASK = "****"
# What git reads before it looks where it is: a hook's, or of a shell for another project.
GIT = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")
# Of whoever deploys. What else is called AWS_ would lead to another server, or be another's keys.
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE")


# --- Commands: shown, then run -------------------------------------------------------------------


def show(command: list[str]) -> str:
    """Print the command as a shell would take it, but for its secrets."""
    secrets = production.secrets()
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
        die(f"`{shown}` failed, see above; what comes after it was not done")


def ask(command: list[str], dry: str, *, env: dict[str, str] | None = None) -> tuple[str, str]:
    """What the command answers, or what it says where it fails; `dry` in a dry run."""
    show(command)
    if DRY_RUN:
        return dry, ""
    done = subprocess.run(
        command, cwd=str(ROOT), env=env, stdin=subprocess.DEVNULL, capture_output=True
    )
    failure = done.stderr.decode(errors="replace").strip() or "it says nothing"
    return done.stdout.decode(errors="replace").strip(), failure if done.returncode else ""


def read(command: list[str], dry: str, *, env: dict[str, str] | None = None) -> str:
    """What the command answers; ends the program where it fails."""
    answer, failure = ask(command, dry, env=env)
    if failure:
        die(failure, "that failed; what comes after it was not done")
    return answer


# --- Before anything is sent ---------------------------------------------------------------------


def setup() -> tuple[list[str], dict[str, str]]:
    """What heroku.yml's `setup` asks for: the plans of the add-ons, and the config."""
    text = (ROOT / "heroku.yml").read_text(encoding="utf-8")
    section = re.search(r"(?m)^setup:\n((?:[ ].*\n|\n)*)", text)
    lines = section.group(1) if section else ""
    plans = re.findall(r"(?m)^    - plan: (\S+)$", lines)
    return plans, dict(re.findall(r'(?m)^    (\w+): "?([^"\n]*)"?$', lines))


def outgoing(env: dict[str, str]) -> dict[str, str]:
    """What of these variables goes to Heroku, with what heroku.yml says for it."""
    names = [name for name in envfile.names() if name in env and not STAYS.fullmatch(name)]
    return {**{name: env[name] for name in names}, **setup()[1]}


def name_problems(app: str, flower_app: str) -> list[str]:
    """What is wrong with the apps' names."""
    if not app:
        return ["which app? make deploy APP=name"]
    found = [
        f"{name} is no app's name: 3 to 30 of a-z, 0-9 and -, a letter first"
        for name in (app, flower_app)
        if name and not re.fullmatch(r"[a-z][a-z0-9-]{1,28}[a-z0-9]", name)
    ]
    if app == flower_app:
        found.append("APP and FLOWER_APP are two apps: Flower needs a `web` of its own")
    return found


def env_problems(env: dict[str, str], flower_app: str) -> list[str]:
    """What is wrong with `.env.production`, for Heroku."""
    found = production.problems(env)
    if not production.uses_s3(env):
        found.append("USE_S3 is off, and a dyno's disk forgets what is uploaded")
    if flower_app:
        found += production.missing(env, "FLOWER_BASIC_AUTH")
    file = production.FILE
    return [each if file in each else f"{each} ({file})" for each in found]


def git_problems() -> list[str]:
    """Why what is here is not what a push would deploy."""
    code, text = engine.output("git", "-C", str(ROOT), "status", "--porcelain")
    if code:
        return [f"git: {text}"]
    changed = [line.split(None, 1)[1] for line in text.splitlines()]
    found = []
    code, text = engine.output("git", "-C", str(ROOT), "rev-parse", "--is-shallow-repository")
    if text == "true":
        found.append("this clone is shallow, which Heroku's git refuses: git fetch --unshallow")
    if engine.output("git", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", "HEAD")[0]:
        found.append("git has no commit yet, so that there is nothing to deploy")
    if changed:
        some = ", ".join(changed[:3]) + (" …" if len(changed) > 3 else "")
        found.append(f"git has changes that would not be deployed: commit or stash them ({some})")
    return found


# --- One app -------------------------------------------------------------------------------------


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
        hide = [value for name, value in changed.items() if name in production.secrets()]
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
            f"the release of {app} {status}, so what ran before runs on:"
            f" `heroku releases:output --app {app}` says why; once its cause is mended,"
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


# --- The two apps --------------------------------------------------------------------------------


def set_up_bucket(variables: dict[str, str]) -> None:
    """The bucket's CORS and lifecycle rules, by whoever's keys this shell has."""
    keys = {n: os.environ.get(n, "") for n in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    if not all(keys.values()):
        say(
            f"the bucket stays as it is: this shell has no {' and '.join(keys)} of somebody who"
            " may configure it; release verifies it"
        )
        return
    shell = {n: v for n, v in os.environ.items() if n in KEYS or not n.startswith("AWS_")}
    # Nothing of `.env` may come in: what is not set here is blank. Nothing connects to the two.
    unused = {"DATABASE_URL": "postgres://unused", "REDIS_URL": "redis://unused"}
    blank = dict.fromkeys(envfile.names(), "")
    # The shell's, where it is another project's, would win.
    django = {"DJANGO_SETTINGS_MODULE": variables["SETTINGS_MODULE_PATH"]}
    python = str(Path(os.environ.get("VENV") or ".venv") / "bin" / "python")
    run(["ops/venv.sh"])
    run(
        [python, "services/app/manage.py", "setup_bucket"],
        env={**shell, **blank, **variables, **unused, **django, **keys},
    )


def deploy(app: str, env: dict[str, str]) -> str:
    """The app: web, worker, beat. Its address."""
    prepare(app)
    present = config(app)
    add_addons(app, present)
    variables = outgoing(env)
    if "ALLOWED_HOSTS" not in variables:
        variables["ALLOWED_HOSTS"] = domains(app)
    configure(app, variables, present)
    set_up_bucket(variables)
    push(app, "HEAD")
    scale(app, ["web", "worker", "beat"], one="beat")
    return "https://" + variables["ALLOWED_HOSTS"].partition(",")[0].lstrip(".")


def flower_commit() -> str:
    """A commit whose root is Flower's folder. The same folder makes the same commit, so that
    Heroku builds only what is new."""
    identity = {
        "NAME": "s3tasks",
        "EMAIL": "deploy@s3tasks.invalid",
        "DATE": "2026-01-01T00:00:00Z",
    }
    names = {f"GIT_{who}_{k}": v for who in ("AUTHOR", "COMMITTER") for k, v in identity.items()}
    command = ["git", "commit-tree", "HEAD:services/flower", "-m", "Flower"]
    return read(command, "<the commit>", env={**os.environ, **names})


def deploy_flower(flower_app: str, app: str, env: dict[str, str]) -> None:
    """Flower, as the `web` of an app of its own, with the Redis of the other."""
    prepare(flower_app)
    present = config(flower_app)
    if "REDIS_URL" not in present:
        redis = f"<the Redis of {app}>" if DRY_RUN else ""
        redis = attachments(app).get("REDIS", redis)
        if not redis:
            die(f"{app} has no add-on that is attached as REDIS, which Flower could share")
        run(["heroku", "addons:attach", redis, "--as", "REDIS", "--app", flower_app])
    configure(flower_app, {"FLOWER_BASIC_AUTH": env["FLOWER_BASIC_AUTH"]}, present)
    # Its folder has no history of its own.
    push(flower_app, flower_commit(), "--force")
    scale(flower_app, ["web"], one="web")


def main() -> int:
    speak_as("deploy")
    for name in GIT:
        os.environ.pop(name, None)
    app, flower_app = os.environ.get("APP", ""), os.environ.get("FLOWER_APP", "")
    file = ROOT / ".env.production"
    env = envfile.read(file) if file.exists() else {}
    problems = name_problems(app, flower_app) + env_problems(env, flower_app) + git_problems()
    if not DRY_RUN and not shutil.which("heroku"):
        problems.append("heroku is not installed: https://devcenter.heroku.com/articles/heroku-cli")
    if problems:
        die(*problems)
    unknown = sorted(env.keys() - set(envfile.names()))
    if unknown:
        say(f"not sent, as .env.var does not know them: {', '.join(unknown)}")
    failure = ask(["heroku", "auth:whoami"], "")[1]
    if failure:
        die(failure, "you are not logged in: `heroku login`")
    address = deploy(app, env)
    if flower_app:
        deploy_flower(flower_app, app, env)
    say(f"{address}/" + ("" if DRY_RUN else " runs what was pushed"))
    say(f"an operator: heroku run --app {app} python manage.py createsuperuser")
    if flower_app:
        say(f"Flower, with FLOWER_BASIC_AUTH of .env.production: heroku open --app {flower_app}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
