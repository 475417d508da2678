"""Run a command, and run it again when the code changes, or when it ends by itself; for RELOAD=1.

    python reload.py [--python] COMMAND…

watchfiles' own command line sends SIGINT, and SIGKILL 5 s after it was asked to stop itself. Here
the command gets SIGTERM and as much time as on Heroku, so that it can finish its work.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from watchfiles import DefaultFilter, PythonFilter, watch

STOP_SECONDS = 30
# Seconds until a command that ended by itself is started again. It was killed, Redis refused it, or
# the code that was saved last can't be imported and is being mended.
AGAIN_SECONDS = 3
LOOK_MS = 500  # milliseconds between two looks at the code


def interrupt(*_: Any) -> None:
    """The first signal ends the watch; the others, while the command ends, change nothing."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End the command, by force where it takes too long."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main(command: list[str]) -> None:
    """Until SIGTERM or SIGINT."""
    python = command[0] == "--python"
    command = command[python:]
    process = subprocess.Popen(command)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interrupt)
    ended_at: float | None = None  # by itself
    try:
        for changes in watch(
            Path(__file__).parent,
            watch_filter=PythonFilter() if python else DefaultFilter(),
            rust_timeout=LOOK_MS,
            yield_on_timeout=True,
        ):
            if not changes:
                if process.poll() is None:
                    continue
                if ended_at is None:
                    ended_at = time.monotonic()
                    say(f"{command[0]} ended with status {process.returncode}")
                if time.monotonic() < ended_at + AGAIN_SECONDS:
                    continue
            say(f"{command[0]} starts again")
            stop(process)
            process = subprocess.Popen(command)
            ended_at = None
    except KeyboardInterrupt:
        stop(process)


def say(what: str) -> None:
    """Tell the developer."""
    print(f"reload: {what}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
