"""What is looked at before anything is sent to Heroku, and what is sent.

Python 3.8 and its standard library.
"""

from __future__ import annotations

import re

from ops import engine, envfile, production_values

ROOT = envfile.ROOT
# Set by Heroku and its add-ons, or of one machine, or nothing that the app reads: never sent.
STAYS = re.compile(
    r"\w+_PORT|DATABASE_URL|REDIS_URL|DEBUG|RELOAD|(?:SITE|STORAGE)_ADDRESS|DISABLE_COLLECTSTATIC"
    r"|REDIS_PASSWORD|(?:COMPOSE|FLOWER|MINIO|POSTGRES)_\w+"
)


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
        f"{name} is not an app's name: 3 to 30 of a-z, 0-9 and -, a letter first"
        for name in (app, flower_app)
        if name and not re.fullmatch(r"[a-z][a-z0-9-]{1,28}[a-z0-9]", name)
    ]
    if app == flower_app:
        found.append("APP and FLOWER_APP are two apps: Flower needs a `web` of its own")
    return found


def env_problems(env: dict[str, str], flower_app: str) -> list[str]:
    """What is wrong with `.env.production`, for Heroku."""
    found = production_values.problems(env)
    if not production_values.uses_s3(env):
        found.append("USE_S3 is off, and a dyno's disk forgets uploaded files")
    if flower_app:
        found += production_values.missing(env, "FLOWER_BASIC_AUTH")
    file = production_values.FILE
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
