"""A Compose command on the project of `make up`, where nothing of the shell's decides anything.

    python3 -m ops.compose down

Without a command it only looks whether there is such a project. Python 3.8 and its standard
library.
"""

from __future__ import annotations

import os
import sys

from ops import engine, envfile, shell

LOOKS = ("ps", "logs")  # and changes nothing, whoever's it is


def main(arguments: list[str]) -> None:
    """Become Compose; ends the program where the project is another verb's or checkout's."""
    project = shell.use(envfile.read(envfile.ROOT / ".env"))
    if not arguments:
        return
    problem = None if arguments[0] in LOOKS else engine.project_problem(project)
    if problem:
        sys.exit(problem)
    os.chdir(str(envfile.ROOT))
    try:
        os.execvp(engine.COMPOSE[0], [*engine.COMPOSE, *arguments])  # noqa: S606  no shell
    except OSError as error:
        sys.exit(f"`{' '.join(engine.COMPOSE)}` does not work: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
