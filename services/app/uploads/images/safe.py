"""Making an uploaded image safe, from the worker's side: it asks the decoder, a program of its own.

This process reads only the first bytes of a stranger's picture, and checks that the decoder's files
are what they must be.
"""

import json
import logging
import os
import select
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import (
    SIGABRT,
    SIGBUS,
    SIGFPE,
    SIGILL,
    SIGPIPE,
    SIGSEGV,
    SIGSYS,
    SIGTRAP,
    SIGXCPU,
    SIGXFSZ,
)
from typing import Any

from uploads.errors import DecoderBroken, DecoderStopped, ImageRejected
from uploads.images.formats import HEAD_BYTES, sniff
from uploads.images.memory import OWN_BYTES, memory_slot, most_bytes, most_reserved
from uploads.images.reasons import DAMAGED, NOT_AN_IMAGE, REASONS, TOO_MUCH

log = logging.getLogger(__name__)

THUMBNAIL_TYPE = "image/webp"  # the smallest type that every browser shows, with transparency

# Seconds. LOOK is for reading a header; the largest pictures take a third of the other.
LOOK_CPU, LOOK_TIME = 5, 10
MAKE_CPU, MAKE_TIME = 40, 45
PATIENCE = 20  # until it is a picture's turn
START_TIME = 20
IDLE_TIME = 50  # after which a decoder gets no more requests, since it is about to exit by itself

# The safe image may have twice the bytes of the upload, or this many.
SMALL_RESULT = 256 * 1024
SPOOL_PIXEL_BYTES = 8  # on the disk, for a picture that has to be turned

# Signals that a process brings upon itself. Any other signal came from elsewhere.
ITS_OWN = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGPIPE, SIGSEGV, SIGSYS, SIGTRAP, SIGXFSZ}

PROGRAM = "import sys; sys.path.append(sys.argv[1]); from uploads.images import decoder; "
RUN = "decoder.main()"
# By default glibc keeps an arena for each thread, and ever larger pieces of freed memory, so that a
# picture takes up to half as much again.
ENVIRONMENT = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": str(8 * 1024 * 1024)}


@dataclass(frozen=True)
class SafeImage:
    """Two files that may be shown to anybody, and what they are. Sizes in pixels, upright."""

    content_type: str
    image: Path
    thumbnail: Path
    thumbnail_content_type: str
    width: int
    height: int


def make_safe(
    source: Path,
    folder: Path,
    *,
    max_pixels: int,
    max_bytes: int = sys.maxsize,
    begin: Callable[[], None] = lambda: None,
) -> SafeImage:
    """The image upright and without metadata, in a format for browsers, and its thumbnail.

    Both are written to the folder, which the caller removes, whatever comes. The image has at most
    `max_bytes`, and not much more than twice what came. `begin` is called when it is its turn,
    before any pixel is read.

    Raises ImageRejected where the fault is the image's: it is damaged, or takes too much of
    anything. Raises NotItsTurn while other pictures leave no room. Raises DecoderStopped where
    something else ended the program, perhaps the system for want of memory. Any other error (the
    disk is full, the program can't be started) is ours. After all these another attempt may go
    well.
    """
    with source.open("rb") as file:
        if sniff(file.read(HEAD_BYTES)) is None:
            raise ImageRejected(NOT_AN_IMAGE)
    target = folder / "safe"
    target.mkdir(exist_ok=True)
    request = {"source": str(source.absolute()), "folder": str(target.absolute())}
    held_bytes = decoder.ask(
        **request,
        do="look",
        max_pixels=max_pixels,
        memory_bytes=most_bytes(0),
        data_bytes=most_reserved(0),
        file_bytes=source.stat().st_size + SMALL_RESULT,  # a copy without harmless faults
        cpu_seconds=LOOK_CPU,
        seconds=LOOK_TIME,
    )
    if not isinstance(held_bytes, int):
        raise ImageRejected(DAMAGED)
    with memory_slot(held_bytes, patience=PATIENCE):
        begin()
        try:
            done = decoder.ask(
                **request,
                do="make",
                max_bytes=min(max(2 * source.stat().st_size, SMALL_RESULT), max_bytes),
                memory_bytes=most_bytes(held_bytes),
                data_bytes=most_reserved(held_bytes),
                file_bytes=SPOOL_PIXEL_BYTES * max_pixels + OWN_BYTES,
                cpu_seconds=MAKE_CPU,
                seconds=MAKE_TIME,
            )
        except ImageRejected:
            check_disk(target)
            raise
    return checked(target, done)


def checked(folder: Path, done: Any) -> SafeImage:
    """The safe image that the decoder reports, once its files are checked. Raises ImageRejected.

    The decoder has read a stranger's bytes, so it may report anything, or leave a link to another
    file.
    """
    try:
        content_type, width, height = done["content_type"], int(done["width"]), int(done["height"])
    except (KeyError, TypeError, ValueError) as error:
        raise ImageRejected(DAMAGED) from error
    image, thumbnail = folder / "image", folder / "thumbnail"
    safe = SafeImage(content_type, image, thumbnail, THUMBNAIL_TYPE, width, height)
    for path, said in ((image, content_type), (thumbnail, THUMBNAIL_TYPE)):
        if not is_picture(path, said):
            raise ImageRejected(DAMAGED)
    return safe


def is_picture(path: Path, content_type: str) -> bool:
    """Whether there is a file of its own, no link or pipe, with a picture of this type in it."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            return False
        return sniff(os.read(number, HEAD_BYTES)) == content_type
    finally:
        os.close(number)


def check_disk(folder: Path) -> None:
    """Raise OSError if the disk is full; then the image was not at fault."""
    with (folder / "room").open("wb") as file:
        for _ in range(16):
            file.write(bytes(64 * 1024))


class Decoder:
    """The decoder's process, one for each worker process, started when it is needed."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.asked = 0.0
        self.lock = threading.Lock()

    def ask(self, **request: Any) -> Any:
        """The answer of the picture's process. Raises the errors of `make_safe`."""
        with self.lock:
            process = self.running()
            try:
                answer = self.answer(process, request, request["seconds"] + START_TIME)
            except BaseException:
                self.stop()  # or it would answer this request when the next one is asked
                raise
            self.asked = time.monotonic()
        # A process that ignores SIGXCPU is killed a second later.
        had_its_time = answer["cpu_seconds"] >= request["cpu_seconds"]
        if answer["too_much"] or answer["ended"] == SIGXCPU or had_its_time:
            raise ImageRejected(TOO_MUCH)
        return understand(answer)

    def running(self) -> "subprocess.Popen[bytes]":
        """The decoder's process, ready. Raises DecoderBroken if it does not start."""
        if self.process is not None and time.monotonic() - self.asked > IDLE_TIME:
            self.stop()
        if self.process is None:
            app = str(Path(__file__).resolve().parents[2])
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-c", PROGRAM + RUN, app],
                env=ENVIRONMENT,
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # a terminal's Ctrl-C must only reach the worker
            )
            try:
                self.answer(self.process, None, START_TIME)
            except DecoderStopped as error:
                self.stop()
                raise DecoderBroken(str(error)) from error
        return self.process

    def answer(self, process: "subprocess.Popen[bytes]", request: Any, seconds: float) -> Any:
        """The decoder's next line, within so many seconds; raises DecoderStopped."""
        assert process.stdin  # noqa: S101  a pipe, as it was started
        assert process.stdout  # noqa: S101
        deadline = time.monotonic() + seconds
        line = b""
        try:
            if request is not None:
                os.write(process.stdin.fileno(), json.dumps(request).encode() + b"\n")
            while not line.endswith(b"\n"):
                left = max(deadline - time.monotonic(), 0)
                if not select.select([process.stdout], [], [], left)[0]:
                    raise DecoderStopped("The decoder does not answer.")
                received = os.read(process.stdout.fileno(), 65536)
                if not received:
                    raise DecoderStopped(f"The decoder has ended: {process.wait()}.")
                line += received
        except BrokenPipeError as error:
            raise DecoderStopped("The decoder has ended.") from error
        return json.loads(line)

    def stop(self) -> None:
        """End the decoder, and with it a picture's process."""
        process, self.process = self.process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            with process:
                pass  # leaving the block closes its pipes and waits for it


decoder = Decoder()


def understand(answer: dict[str, Any]) -> Any:
    """The result of the work; raises the error that the answer stands for."""
    if (ended := answer["ended"]) in ITS_OWN:
        raise ImageRejected(DAMAGED)
    if ended:
        raise DecoderStopped(f"A picture's process was ended by signal {ended}.")
    try:
        said = json.loads(answer["said"])
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise ImageRejected(DAMAGED)
    if "error" in said:
        log.warning("A picture was too much for the decoder: %s", said["error"])
    if "broken" in said:
        raise DecoderBroken(f"The decoder lacks a library: {said['broken']}")
    if "done" not in said:
        raise ImageRejected(said["rejected"] if said.get("rejected") in REASONS else DAMAGED)
    return said["done"]
