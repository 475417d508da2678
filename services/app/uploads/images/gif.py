"""GIFs whose frames libvips puts together differently from browsers.

Where no frame has drawn, or one has cleared its area, browsers show the canvas as transparent. The
GIF library makes it opaque if no frame has a transparent colour. It also takes some canvas sizes
for mistakes, such as 640 by 480 or more than 2,048. https://www.w3.org/Graphics/GIF/spec-gif89a.txt
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from uploads.images.film import Film, Still, Then
from uploads.images.formats import MAX_FRAMES

CLEARED = 2
THEN = {CLEARED: Then.CLEARED, 3: Then.RESTORED}


@dataclass
class Frame:
    """A frame, read from its blocks."""

    left: int
    top: int
    width: int
    height: int
    control: bytes  # flags, delay in hundredths of a second, which colour is transparent
    flags: int  # of its palette, and whether its rows are interlaced
    palette: bytes
    pixels: bytes

    @property
    def has_transparency(self) -> bool:
        return bool(self.control[0] & 1)

    @property
    def then(self) -> int:
        return self.control[0] >> 2 & 7


def film(path: Path, width: int, height: int, plays: int) -> Film | None:
    """The film of a GIF; None if libvips, which found this size, shows the same as browsers."""
    screen, frames = read(path.read_bytes())
    if not frames:
        return None
    canvas = canvas_size(screen, frames[0])
    if canvas == (width, height) and is_shown_alike(frames, *canvas):
        return None
    if any(frame.width * frame.height > canvas[0] * canvas[1] for frame in frames):
        return None  # the size of the canvas is what gets memory
    stills = [
        Still(
            write=partial(write, screen, frame),
            left=frame.left,
            top=frame.top,
            milliseconds=10 * int.from_bytes(frame.control[1:3], "little"),
            replaces=False,
            then=THEN.get(frame.then, Then.KEPT),
        )
        for frame in frames
    ]
    return Film(*canvas, stills, plays, "gifload_buffer")


def canvas_size(screen: bytes, first: Frame) -> tuple[int, int]:
    """The canvas's size in browsers: what the file says, enlarged to hold the first frame."""
    width, height = struct.unpack("<HH", screen[6:10])
    return max(width, first.left + first.width), max(height, first.top + first.height)


def is_shown_alike(frames: list[Frame], width: int, height: int) -> bool:
    """Whether the frames cover the whole canvas, or libvips knows that the rest is transparent."""
    first = frames[0]
    is_covered = (first.left, first.top, first.width, first.height) == (0, 0, width, height)
    if not is_covered and not any(frame.has_transparency for frame in frames):
        return False
    return not any(frame.then == CLEARED and not frame.has_transparency for frame in frames[:-1])


def read(content: bytes) -> tuple[bytes, list[Frame]]:
    """The header and the frames, up to where the file makes no sense."""
    frames: list[Frame] = []
    at = 13 + palette_bytes(content[10]) if len(content) >= 13 else len(content)
    screen, control = content[:at], bytes(4)
    while content[at : at + 1] in {b",", b"!"} and len(frames) <= MAX_FRAMES:
        if content[at] == 0x21:
            label, start, at = content[at + 1 : at + 2], at + 2, blocks_end(content, at + 2)
            if label == b"\xf9" and content[start : start + 1] == b"\4":
                control = content[start + 1 : start + 5].ljust(4, b"\0")
            continue
        place = content[at + 1 : at + 10]
        if len(place) < 9:
            break
        left, top, width, height, flags = struct.unpack("<4HB", place)
        palette = content[at + 10 : at + 10 + palette_bytes(flags)]
        start = at + 10 + len(palette)
        at = blocks_end(content, start + 1)  # behind the size of the first code
        frames.append(Frame(left, top, width, height, control, flags, palette, content[start:at]))
        control = bytes(4)
    return screen, frames


def palette_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def blocks_end(content: bytes, at: int) -> int:
    """The position after the blocks that begin here."""
    while at < len(content) and content[at]:
        at += content[at] + 1
    return at + 1


def write(screen: bytes, frame: Frame) -> bytes:
    """The frame as a GIF of its own size."""
    size = struct.pack("<HH", frame.width, frame.height)
    control = b"!\xf9\4" + bytes([frame.control[0] & 1]) + frame.control[1:] + b"\0"
    place = b"," + bytes(4) + size + bytes([frame.flags])
    head = b"GIF89a" + size + screen[10:]
    return head + control + place + frame.palette + frame.pixels + b";"
