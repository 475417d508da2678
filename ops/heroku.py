"""`make deploy`: the app on Heroku, the first time and each time after; with FLOWER_APP Flower too.

    APP=drop FLOWER_APP=drop-flower python3 -m ops.heroku

What is there already stays; what is missing is made. Each command is printed before it runs,
without secrets. DRY_RUN=1 only prints: what a first deployment would run. Python 3.8 and its
standard library.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from ops import envfile
from ops.heroku_app import (
    add_addons,
    attachments,
    config,
    configure,
    domains,
    prepare,
    push,
    scale,
)
from ops.heroku_checks import env_problems, git_problems, name_problems, outgoing
from ops.heroku_commands import DRY_RUN, ROOT, ask, read, run
from ops.terminal import die, say, speak_as

# What git reads before it looks where it is: a hook's, or of a shell for another project.
GIT = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")
# Of whoever deploys. What else is called AWS_ would lead to another server, or be another's keys.
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE")


def set_up_bucket(variables: dict[str, str]) -> None:
    """The bucket's CORS and lifecycle rules, with the keys in this shell's environment."""
    keys = {n: os.environ.get(n, "") for n in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    if not all(keys.values()):
        say(
            f"the bucket stays as it is: this shell has no {' and '.join(keys)} of a user who"
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
        say(f"not sent, because .env.var does not list them: {', '.join(unknown)}")
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
