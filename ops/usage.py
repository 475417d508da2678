"""What the processes use of their plans: connections, counted, and memory, at its peak.

Python 3.8 and its standard library.
"""

from __future__ import annotations

import os
import subprocess
from threading import Thread

from ops import engine, envfile

EVERY = "0.05"  # seconds
# Before they ran out, and for the superuser's, which the app's role may not take on Heroku.
TURNED_AWAY = ("too many clients already", "remaining connection slots are reserved")
# By the two versions of control groups; page cache is in it.
PEAKS = "/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes"


def inside(service: str, *command: str) -> str:
    """What a command says in a service's container; blank where it fails."""
    code, text = engine.output(*engine.COMPOSE, "exec", "-T", service, *command)
    return text if code == 0 else ""


def redis(*command: str) -> list[str]:
    """A command for Redis, whose password its container has in a variable."""
    return ["redis-cli", "--tls", "--insecure", *command]


def sql(statement: str) -> str:
    """What Postgres answers, in one word."""
    return inside("postgres", "psql", "-U", "s3tasks", "-tAc", statement)


class Counter:
    """The most connections at a time while the block runs, by `CLIENT LIST` and `pg_stat_activity`.

    Who asks stays connected, asks 20 times a second, and does not count itself.
    """

    def __init__(self) -> None:
        self.most = {"Redis": 0, "Postgres": 0}

    def __enter__(self) -> Counter:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        watch = f'echo "{asked} \\\\watch {EVERY}" | exec psql -U s3tasks -tA'
        self.asking = [
            self.ask("redis", *redis("-r", "-1", "-i", EVERY, "client", "list")),
            self.ask("postgres", "sh", "-c", watch),
        ]
        self.reading = [Thread(target=self.read_redis), Thread(target=self.read_postgres)]
        for thread in self.reading:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.asking:
            each.stdin.close()  # type: ignore[union-attr]
        for thread in self.reading:
            thread.join()

    @staticmethod
    def ask(service: str, *command: str) -> subprocess.Popen[str]:
        """A command in a service's container, which ends with its input."""
        until_the_end = ["sh", "-c", '"$@" & cat > /dev/null; kill $!', "sh"]
        return subprocess.Popen(
            [*engine.COMPOSE, "exec", "-T", service, *until_the_end, *command],
            cwd=str(envfile.ROOT),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            universal_newlines=True,
        )

    def read_redis(self) -> None:
        """A line is a connection; a new list begins with one that was on the list already."""
        seen: set[str] = set()
        for line in self.asking[0].stdout or ():
            connection = line.split(" ")[0]
            if connection in seen:
                self.most["Redis"] = max(self.most["Redis"], len(seen) - 1)
                seen = set()
            seen.add(connection)

    def read_postgres(self) -> None:
        """A line is a number."""
        for line in self.asking[1].stdout or ():
            if line.strip().isdigit():
                self.most["Postgres"] = max(self.most["Postgres"], int(line) - 1)


def turned_away() -> dict[str, int]:
    """How many connections Redis and Postgres did not admit since they started."""
    stats = inside("redis", *redis("info", "stats"))
    rejected = [line for line in stats.splitlines() if line.startswith("rejected_connections:")]
    log = engine.output(*engine.COMPOSE, "logs", "--no-log-prefix", "postgres")[1].splitlines()
    return {
        "Redis": int(rejected[0].partition(":")[2]),
        "Postgres": sum(any(words in line for words in TURNED_AWAY) for line in log),
    }


def memory_peak(service: str) -> float:
    """The most that a service's container took since it started, in MiB, page cache included."""
    for path in PEAKS:
        peak = inside(service, "cat", path)
        if peak:
            return int(peak) / 1024**2
    return 0.0


def has_ended(service: str) -> bool:
    """Whether its container was started again, or its memory ran out."""
    name = f"{os.environ['COMPOSE_PROJECT_NAME']}-{service}-1"
    shape = "{{.RestartCount}} {{.State.OOMKilled}}"
    return engine.output(engine.ENGINE, "inspect", "--format", shape, name)[1] != "0 false"


def waiting_images() -> int:
    """How many images have not been made safe yet."""
    return int(sql("SELECT count(*) FROM uploads_upload WHERE state = 'checking'") or 0)
