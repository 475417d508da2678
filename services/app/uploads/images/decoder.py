"""The decoder: the only program that reads strangers' pictures, with a process for each of them.

It is a fork server: it loads the libraries once, which takes longer than most pictures, and forks
for each. It holds no secret (a new Python without an environment) and never looks at a picture
itself, as libvips may not be used before a fork: its threads would stay behind.

Requests and answers are lines of JSON, on its standard input and output. It exits when its input
ends, which is when its worker does, or when no request came for a while. `uploads.images .safe`
asks it. Strangers have got into servers through such libraries
(https://github.com/strukturag/libheif/security/advisories): what they find here is `cage`. HEIC's
wheel has an encoder in it that is under the GPL: a program beside the app, and no part of it.
"""

import gc
import json
import os
import select
import signal
import sysconfig
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from uploads.errors import ImageRejected
from uploads.images import cage, picture
from uploads.images.reasons import DAMAGED, TOO_MUCH
from uploads.images.vips import load_vips

IDLE_SECONDS = 60  # without a request, after which it exits
LOOK_EVERY = 20  # milliseconds; between two looks, RLIMIT_DATA limits the memory
ANSWER_BYTES = 16 * 1024  # of an answer; a longer one is not read
LIBRARIES = [
    *map(Path, {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib")}),
    *map(Path, ("/lib", "/lib64", "/usr/lib", "/usr/local/lib", "/etc/ld.so.cache")),
]


def main() -> None:
    """Answer one request after the other."""
    # Heroku sends SIGTERM to every process, but this one must finish its picture; the worker ends
    # it.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    load_vips()
    gc.freeze()  # memory that a child's garbage collector doesn't touch stays shared
    say({"ready": True})
    requests = select.poll()
    requests.register(0, select.POLLIN)
    buffer = b""
    while requests.poll(IDLE_SECONDS * 1000):
        received = os.read(0, 65536)
        if not received:
            return
        buffer += received
        if buffer.endswith(b"\n"):
            say(run(json.loads(buffer)))
            buffer = b""


def say(answer: dict[str, Any]) -> None:
    """One line to the worker."""
    os.write(1, json.dumps(answer).encode() + b"\n")


# --- A picture's process, from outside ---


def run(request: dict[str, Any]) -> dict[str, Any]:
    """How the picture's process ended, and its answer.

    `ended`: the signal or 0; `too_much`: whether it was ended here, since it took more memory, or
    longer, than it may; `cpu_seconds`: what it used of them.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        be_a_picture(request, writer)
    os.close(writer)
    try:
        said, too_much = watch(child, reader, request)
    finally:
        os.close(reader)
    _, status, used = os.wait4(child, 0)
    return {
        "ended": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        "too_much": too_much,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "said": said.decode(errors="replace"),
    }


def watch(child: int, reader: int, request: dict[str, Any]) -> tuple[bytes, bool]:
    """Its output until it ended, and whether it was killed because it took too much or the worker
    is gone.
    """
    said, too_much, pause = b"", False, LOOK_EVERY
    deadline = time.monotonic() + request["seconds"]
    open_files = select.poll()
    open_files.register(reader, select.POLLIN)
    open_files.register(0, 0)  # whether the worker is gone
    while not too_much:
        events = dict(open_files.poll(pause))
        if reader in events:
            received = os.read(reader, ANSWER_BYTES)
            said = (said + received)[:ANSWER_BYTES]
            if not received:
                open_files.unregister(reader)
                pause = 1  # it is about to exit, or has closed its output and goes on
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        too_much = (
            time.monotonic() > deadline
            or memory_of(child) > request["memory_bytes"]
            or bool(events.get(0, 0) & select.POLLHUP)
        )
    # Its process id stays its own until waitpid, so this kills nothing else but processes that it
    # left behind.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    os.kill(child, signal.SIGKILL)
    # Its output between the last look at the pipe and its end.
    rest = select.poll()
    rest.register(reader, select.POLLIN)
    while len(said) < ANSWER_BYTES and rest.poll(0):
        received = os.read(reader, ANSWER_BYTES)
        if not received:
            break
        said = (said + received)[:ANSWER_BYTES]
    return said, too_much


def memory_of(process: int) -> int:
    """The bytes of memory of its own, without mapped files, which the kernel can take back.

    The kernel itself has no such limit any more: setrlimit(2), RLIMIT_RSS.
    """
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


# --- And from inside ---


def be_a_picture(request: dict[str, Any], writer: int) -> None:
    """Shut the cage, do the work, print the result, and exit."""
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for file in (0, 1, 2):
            os.dup2(nothing, file)
        os.close(nothing)
        # If the system runs out of memory, the kernel then kills this process first.
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
        cage.limit(
            data_bytes=request["data_bytes"],
            file_bytes=request["file_bytes"],
            cpu_seconds=request["cpu_seconds"],
        )
        source, folder = Path(request["source"]), Path(request["folder"])
        cage.shut(read=[source, *LIBRARIES], write=[folder])
        answer = work(request, source, folder)
        os.write(writer, json.dumps(answer).encode())
    finally:
        os._exit(0)


def work(request: dict[str, Any], source: Path, folder: Path) -> dict[str, Any]:
    """The result: `done`, or `rejected` with a reason; unforeseen errors are in `error`."""
    try:
        if request["do"] == "look":
            return {"done": picture.look(source, folder, max_pixels=request["max_pixels"])}
        return {"done": picture.make(source, folder, max_bytes=request["max_bytes"])}
    except ImageRejected as rejected:
        return {"rejected": rejected.sentence}
    except ImportError as error:
        return {"broken": str(error)}
    except MemoryError:
        return {"rejected": TOO_MUCH}
    except load_vips().Error as error:
        return {"rejected": TOO_MUCH if "out of memory" in str(error) else DAMAGED}
    except Exception as error:  # noqa: BLE001
        # Such as UnicodeDecodeError, when pyvips reads a library's message: the picture caused that
        # too.
        place = traceback.extract_tb(error.__traceback__)[-1]
        return {
            "rejected": DAMAGED,
            "error": f"{error!r:.300} in {place.name}, line {place.lineno}",
        }
