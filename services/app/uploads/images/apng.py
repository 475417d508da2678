"""The frames of an animated PNG: https://www.w3.org/TR/png-3/#apng-frame-based-animation"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from uploads.errors import ImageRejected
from uploads.images.film import Film, Still, Then
from uploads.images.formats import MAX_FRAMES
from uploads.images.png import SIGNATURE, Chunk, chunk, chunks, colour_profile, sound_pixels
from uploads.images.reasons import DAMAGED

MOST = 2**31 - 1  # the largest number that the four bytes of a PNG may hold
SHARED = {b"IHDR", b"PLTE", b"tRNS"}  # by all frames
SHARED_MAX_BYTES = 768  # a palette of 256 colours


@dataclass
class Frame:
    """A frame, read from its chunks."""

    control: bytes
    data: list[bytes] = field(default_factory=list)
    is_sound: bool = True
    is_default: bool = False  # what programs show that know no animations

    def add(self, data: bytes, *, is_sound: bool) -> None:
        self.data.append(data)
        self.is_sound = self.is_sound and is_sound


def film(path: Path) -> Film | None:
    """The film of an animated PNG; None for a still.

    The default picture, for programs that don't know animations, need not be one of the frames;
    then it is left out. Raises ImageRejected if frames are missing or make no sense.
    """
    head, control = read_head(chunks(path, longest=SHARED_MAX_BYTES))
    count, plays = struct.unpack(">II", control)
    if not head or not 0 < count <= MOST or plays > MOST:
        return None
    frames = read_frames(chunks(path), min(count, MAX_FRAMES + 1))
    if len(frames) == 1 and frames[0].is_default:
        return None
    width, height = struct.unpack(">II", head[0].data[:8])
    stills = [still(frame, head, width, height) for frame in frames]
    return Film(width, height, stills, plays, "pngload_buffer", colour_profile(path, None))


def read_head(found: Iterator[Chunk]) -> tuple[list[Chunk], bytes]:
    """The chunks that all frames share, the number of frames, and how often they are played."""
    head, control = [], bytes(8)
    for each in found:
        if each.kind == b"IDAT":
            break
        if each.kind in SHARED and each.is_sound:
            head.append(each)
        elif each.kind == b"acTL" and each.is_sound and len(each.data) == 8:
            control = each.data
    is_png = bool(head) and head[0].kind == b"IHDR" and len(head[0].data) == 13
    return (head, control) if is_png else ([], control)


def read_frames(found: Iterator[Chunk], most: int) -> list[Frame]:
    """The frames in their order, no more than announced. Raises ImageRejected if one is missing."""
    frames: list[Frame] = []
    number = 0
    for each in found:
        if each.kind == b"IDAT" and frames:  # else the default picture is no frame
            frames[-1].add(each.data, is_sound=each.is_sound)
            frames[-1].is_default = True
        elif each.kind in {b"fcTL", b"fdAT"}:
            if each.data[:4] != number.to_bytes(4):
                raise ImageRejected(DAMAGED)
            number += 1
            if each.kind == b"fcTL":
                if len(frames) == most:
                    return frames
                frames.append(Frame(each.data[4:] if each.is_sound else b""))
            elif frames:
                frames[-1].add(each.data[4:], is_sound=each.is_sound)
        elif each.kind == b"IEND" and frames:  # fewer than announced: browsers show those there are
            return frames
    if len(frames) < most:
        raise ImageRejected(DAMAGED)
    return frames


def still(frame: Frame, head: list[Chunk], film_width: int, film_height: int) -> Still:
    """Raises ImageRejected where the frame makes no sense."""
    if len(frame.control) != 22 or not frame.data:
        raise ImageRejected(DAMAGED)
    width, height, left, top, delay, parts, then, is_over = struct.unpack(">4I2H2B", frame.control)
    if left + width > film_width or top + height > film_height or then > 2 or is_over > 1:
        raise ImageRejected(DAMAGED)
    header = struct.pack(">II", width, height) + head[0].data[8:]
    return Still(
        write=partial(write, header, head[1:], frame),
        left=left,
        top=top,
        milliseconds=round(1000 * delay / (parts or 100)),
        replaces=not is_over,
        then=Then(then),
    )


def write(header: bytes, shared: list[Chunk], frame: Frame) -> bytes:
    """The frame as a PNG of its own. Raises ImageRejected."""
    pixels = sound_pixels(header, b"".join(frame.data), are_sound=frame.is_sound)
    if pixels is None:
        raise ImageRejected(DAMAGED)
    parts = [(b"IHDR", header), *((each.kind, each.data) for each in shared)]
    parts += [(b"IDAT", pixels), (b"IEND", b"")]
    return SIGNATURE + b"".join(chunk(*part) for part in parts)
