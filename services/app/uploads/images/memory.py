"""The limits of a picture, how much memory it takes, and when it gets its turn.

Pixels stream from the decoder to the encoder, some hundred rows at a time, and where a picture has
to be turned they go by way of a file. What its format keeps whole (an interlaced picture, a frame
of a GIF or a WebP, an AVIF, a HEIC) is counted here from the header. That no more is taken is seen
to by the kernel (`cage.limit`), and closer by `decoder.watch`.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from uploads.errors import ImageRejected, NotItsTurn
from uploads.images.formats import MAX_FRAMES, Format
from uploads.images.reasons import TOO_LONG, TOO_MANY_FRAMES, TOO_MANY_PIXELS, TOO_MUCH_AT_ONCE

if TYPE_CHECKING:
    import pyvips

# The most that a JPEG or a GIF can have. A PNG could have 2 billion, and each row takes memory.
MAX_SIDE = 65_535

# How much of a picture may be in memory: a dyno has 512 MiB. A picture that takes more than
# SMALL_BYTES is made while no other is.
SMALL_BYTES = 80 * 1024 * 1024
LARGE_BYTES = 256 * 1024 * 1024  # 48 megapixels of a phone's HEIC
OWN_BYTES = 64 * 1024 * 1024  # Python, the libraries and the file, beside the picture
STRIP_ROWS = 800  # rows of any picture are in memory, between its decoder and its encoder

# Files to lock while a picture is made, and while one waits. They lie in /tmp, which every
# container has to itself, unlike TMPDIR; the user's id is for machines without containers, where
# the file of another user could not be opened.
PICTURES = Path(f"/tmp/s3tasks-pictures-{os.getuid()}")  # noqa: S108
PAUSE = 0.02  # seconds between two attempts to get the lock


def check_pixels(frame: pyvips.Image, image_format: Format, max_pixels: int) -> int:
    """How many bytes the picture will take in memory, estimated from its header.

    Raises ImageRejected if those, or its pixels, are more than allowed.
    """
    frame_pixels = frame.width * frame.height
    frames = 1 if image_format.one_picture else frame.get_n_pages()
    if frames > MAX_FRAMES:
        raise ImageRejected(TOO_MANY_FRAMES)
    if frame_pixels * frames > max_pixels:
        raise ImageRejected(TOO_MANY_PIXELS)
    if max(frame.width, frame.height) > MAX_SIDE:
        raise ImageRejected(TOO_LONG)
    deep = frame.format == "ushort"
    # Interlaced: 2 bytes for each coefficient of a progressive JPEG, at most 2 a sample of a PNG.
    pixel_bytes = 2 * frame.bands if frame.get_typeof("interlaced") else 0
    pixel_bytes += image_format.frame_bytes
    pixel_bytes += image_format.alpha_bytes if frame.hasalpha() else 0
    pixel_bytes += image_format.deep_bytes if deep else 0
    pixel_bytes += image_format.film_bytes * frames if frames > 1 else 0
    rows = min(frame.height, STRIP_ROWS)
    strip_bytes = frame.width * frame.bands * (2 if deep else 1) * rows
    held_bytes = frame_pixels * pixel_bytes + strip_bytes
    if held_bytes > LARGE_BYTES:
        raise ImageRejected(TOO_MUCH_AT_ONCE)
    return int(held_bytes)


def most_bytes(held_bytes: int) -> int:
    """The memory that a picture's process may use, if so much of the picture is in memory."""
    return OWN_BYTES + (LARGE_BYTES if held_bytes > SMALL_BYTES else SMALL_BYTES)


def most_reserved(held_bytes: int) -> int:
    """The memory that it may reserve, up to twice as much: an AVIF's encoder reserves 40 bytes a
    pixel and uses 20, and each thread reserves a stack of 8 MiB.
    """
    return 2 * most_bytes(held_bytes)


@contextmanager
def memory_slot(held_bytes: int, *, patience: float) -> Iterator[None]:
    """Wait until the picture fits beside those of the worker's other processes; until the end.

    Raises NotItsTurn after so many seconds. A large one waits where all others pass, so that no
    small one can overtake it, and those that came before it are soon done. The kernel lifts the
    locks of a process that is killed.
    """
    deadline = time.monotonic() + patience
    with PICTURES.open("a") as room:
        with PICTURES.with_suffix(".next").open("a") as passage:
            lock(passage, fcntl.LOCK_EX, deadline)
            lock(room, fcntl.LOCK_EX if held_bytes > SMALL_BYTES else fcntl.LOCK_SH, deadline)
        yield


def lock(file: IO[str], how: int, deadline: float) -> None:
    """Wait for it; raises NotItsTurn. The kernel's own waiting has no end."""
    while True:
        try:
            return fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise NotItsTurn from None
        time.sleep(PAUSE)
