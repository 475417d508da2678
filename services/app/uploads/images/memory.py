"""How much memory a picture may take, and which ones are made alone.

Pixels stream from the decoder to the encoder, and where a picture has to be turned they go by way
of a file, so memory does not grow with the picture. What its format keeps whole (an interlaced
picture, a frame of a GIF or a WebP, an AVIF, a HEIC) has a limit of its own, and what comes near
it is made alone.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from uploads.errors import ImageRejected
from uploads.images.formats import Format
from uploads.images.reasons import TOO_MANY_PIXELS, TOO_MUCH_AT_ONCE

if TYPE_CHECKING:
    import pyvips

# What may be held of a picture that does not stream: a dyno has 512 MiB, an idle worker up to 225,
# and any picture takes 20 or more.
WHOLE_MAX_BYTES = 240 * 1024 * 1024
ALONE_BYTES = 80 * 1024 * 1024  # one that holds more is made while no other is

# Locked by who makes a picture. In each container's own folder, which TMPDIR need not be; without
# containers another user's file could not be opened there.
PICTURES = Path(f"/tmp/s3tasks-pictures-{os.getuid()}")  # noqa: S108


def check_pixels(frame: pyvips.Image, image_format: Format, max_pixels: int) -> int:
    """How many bytes will be held of the picture, by what its header tells.

    Raises ImageRejected where those, or its pixels, are more than allowed.
    """
    frame_pixels = frame.width * frame.height
    # Of several pictures in an AVIF or a HEIC only one is read.
    frames = 1 if image_format.apart else frame.get_n_pages()
    if frame_pixels * frames > max_pixels:
        raise ImageRejected(TOO_MANY_PIXELS)
    # Interlaced: 2 bytes for each coefficient of a progressive JPEG, at most 2 a sample of a PNG.
    pixel_bytes = 2 * frame.bands if frame.get_typeof("interlaced") else 0
    pixel_bytes += image_format.frame_bytes
    pixel_bytes += image_format.alpha_bytes if frame.hasalpha() else 0
    pixel_bytes += image_format.deep_bytes if frame.format == "ushort" else 0
    pixel_bytes += image_format.film_bytes * frames if frames > 1 else 0
    if frame_pixels * pixel_bytes > WHOLE_MAX_BYTES:
        raise ImageRejected(TOO_MUCH_AT_ONCE)
    return int(frame_pixels * pixel_bytes)


@contextmanager
def room_for(held_bytes: int) -> Iterator[None]:
    """Wait until the picture fits beside those of the worker's other processes; until the end.

    The kernel lifts the lock of a process that is killed.
    """
    with PICTURES.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if held_bytes > ALONE_BYTES else fcntl.LOCK_SH)
        yield
