"""The ports of this machine: which are free, who holds the others.

Python 3.8 and its standard library.
"""

from __future__ import annotations

import errno
import os
import re
import socket

from ops.engine import ENGINE, output
from ops.envfile import ROOT


def is_free(port: int) -> bool:
    """Whether a server could listen there, on 127.0.0.1."""
    with socket.socket() as probe:
        # A server of another address hides from the bind below on macOS, but answers.
        probe.settimeout(1)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody holds now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def container(port: int) -> tuple[str, str, str]:
    """The container that publishes the port, its Compose project, and that one's folder."""
    labels = [f'{{{{.Label "com.docker.compose.project{end}"}}}}' for end in ("", ".working_dir")]
    shape = "\t".join(["{{.Names}}", *labels])
    code, text = output(ENGINE, "ps", "--filter", f"publish={port}", "--format", shape)
    words = text.partition("\n")[0].split("\t") if code == 0 else []
    name, project, folder = [*words, "", "", ""][:3]
    return name, project, folder


def holder(port: int) -> str:
    """Who listens on the port, as well as this user may know."""
    name, _, folder = container(port)
    if name:
        return f"container {name}" + (f" of {folder}" if folder else "")
    code, text = output("lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc")
    pid, command = re.search(r"(?m)^p(\d+)", text), re.search(r"(?m)^c(.+)", text)
    if code == 0 and pid and command:
        return f"{command.group(1)} (pid {pid.group(1)})"
    code, text = output("ss", "-Hltnp", f"sport = :{port}")
    process = re.search(r'"([^"]+)",pid=(\d+)', text)
    return "{} (pid {})".format(*process.groups()) if process else "a process of another user"


def is_ours(port: int, project: str) -> bool:
    """Whether a container of this project and checkout has it: no obstacle to a new one."""
    _, its, folder = container(port)
    return its == project and os.path.realpath(folder or "/") == str(ROOT)


def port_problem(name: str, port: int) -> str | None:
    """Who holds the port and which line to change, or None where it is free."""
    if is_free(port):
        return None
    return f"port {port} is taken by {holder(port)}: change {name}={port} in .env"
