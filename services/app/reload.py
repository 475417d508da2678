"""Run a command, and run it again when the code changes; for RELOAD=1.

    python reload.py [--python] COMMAND…

watchfiles' own command line sends SIGINT, and SIGKILL 5 s after it was asked to stop itself. Here
the command gets SIGTERM and the time that it has on Heroku, so that it ends what it has in hand.
"""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from watchfiles import DefaultFilter, PythonFilter, watch

STOP_SECONDS = 30


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
    process = subprocess.Popen(command)  # noqa: S603  what bin/ says
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interrupt)
    try:
        for _ in watch(
            Path(__file__).parent, watch_filter=PythonFilter() if python else DefaultFilter()
        ):
            print(f"reload: {command[0]} starts again", flush=True)  # noqa: T201  for the developer
            stop(process)
            process = subprocess.Popen(command)  # noqa: S603
    except KeyboardInterrupt:
        stop(process)


if __name__ == "__main__":
    main(sys.argv[1:])
