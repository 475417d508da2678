"""How many connections to Redis and Postgres each process type takes at the most.

Derived from the pools that the code has, and held against what was counted under load. Python 3.8
and its standard library.
"""

from __future__ import annotations

import re
import sys

from ops import envfile

PLAN = 20  # of either, on Heroku's small plans
VARIABLES = (
    "WEB_CONCURRENCY",
    "WEB_DATABASE_CONNECTIONS",
    "WORKER_CONCURRENCY",
    "REDIS_POOL_SIZE",
)


def numbers(env: dict[str, str]) -> dict[str, int]:
    """What decides it, from `.env`, else the template; ends the program where one is no number."""
    defaults = envfile.read(envfile.TEMPLATE)
    found = {}
    for name in (*VARIABLES, "WEB_THREADS"):
        value = env.get(name) or defaults[name]
        if not re.fullmatch(r"[1-9][0-9]{0,4}", value):
            sys.exit(f"{name}={value} in .env: expected a number, 1 or more")
        found[name] = int(value)
    return found


def most(number: dict[str, int]) -> dict[str, dict[str, int]]:
    """The most connections: of each server, by who takes them."""
    return {
        "Redis": {
            # A pool for hints and one for the rate limit: uploads/task_base.py, uploads/redis.py.
            "web": number["WEB_CONCURRENCY"] * 2 * number["REDIS_POOL_SIZE"],
            # Messages, acknowledgements, events, and two for Flower's questions, whose answers take
            # one more; each process of the pool sends hints over one.
            "worker": 6 + number["WORKER_CONCURRENCY"],
            "beat": 1,
            # Two for events, and three for the one question that it asks at a time.
            "flower": 5,
            "a shell": 1,
        },
        "Postgres": {
            # Its threads share them, with /readyz and what looks for what has vanished.
            "web": number["WEB_CONCURRENCY"] * number["WEB_DATABASE_CONNECTIONS"],
            # The main process hands back what is in hand when it stops.
            "worker": number["WORKER_CONCURRENCY"] + 1,
            "release": 1,
            "a shell": 1,
        },
    }


def remedies(server: str, number: dict[str, int]) -> list[str]:
    """Each variable that would make it fit by itself, with the highest value that does."""
    found = []
    for name in VARIABLES:
        for value in range(number[name] - 1, 0, -1):
            if sum(most({**number, name: value})[server].values()) <= PLAN:
                found.append(f"{name}={value}")
                break
    return found


def lines(env: dict[str, str]) -> list[str]:
    """The budget in words, against the small plans."""
    number = numbers(env)
    said = []
    for server, shares in most(number).items():
        total = sum(shares.values())
        parts = ", ".join(f"{who} {count}" for who, count in shares.items())
        said.append(f"{server}: at most {total} of {PLAN} connections ({parts})")
        if total > PLAN:
            ways = " or ".join(remedies(server, number))
            said.append(
                f"{server}: more than Heroku's small plan admits; "
                + (f"{ways} would fit" if ways else f"lower several of {', '.join(VARIABLES)}")
            )
    return said


def compose_problem(env: dict[str, str]) -> str | None:
    """Where the containers' own Postgres admits too few, or None."""
    total = sum(most(numbers(env))["Postgres"].values())
    text = (envfile.ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    admitted = re.search(r"max_connections=(\d+)", text)
    if admitted and total > int(admitted.group(1)):
        return (
            f"Postgres in docker-compose.yml admits {admitted.group(1)} connections, and these"
            f" processes may take {total}: lower WEB_CONCURRENCY or WEB_DATABASE_CONNECTIONS in"
            " .env"
        )
    return None
