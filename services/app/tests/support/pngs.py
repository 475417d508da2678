"""PNGs made of their chunks: what no encoder of ours writes."""

import struct
import zlib

from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {"L": 0, "RGB": 2, "P": 3, "LA": 4, "RGBA": 6}  # PNG's number by Pillow's mode


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data))


def header(picture: Image.Image, depth: int = 8) -> bytes:
    size = struct.pack(">II", *picture.size)
    return chunk(b"IHDR", size + bytes([depth, CHANNELS[picture.mode], 0, 0, 0]))


def rows(picture: Image.Image, depth: int = 8) -> bytes:
    """The samples, each row behind its filter."""
    samples, row = picture.tobytes(), len(picture.getbands()) * picture.width
    lines = [samples[at : at + row] for at in range(0, len(samples), row)]
    if depth == 16:  # the same twice: 0xFF is 0xFFFF
        lines = [bytes(byte for sample in line for byte in (sample, sample)) for line in lines]
    return b"".join(b"\0" + line for line in lines)


def palette(picture: Image.Image) -> bytes:
    return chunk(b"PLTE", bytes(picture.getpalette()[:768])) if picture.mode == "P" else b""


def png(picture: Image.Image, *said: bytes, depth: int = 8) -> bytes:
    """The picture with these chunks between its header and its pixels."""
    pixels = chunk(b"IDAT", zlib.compress(rows(picture, depth)))
    head = SIGNATURE + header(picture, depth)
    return head + b"".join(said) + palette(picture) + pixels + chunk(b"IEND")


class Animation:
    """An animated PNG in the making: `play` it once all its frames are in it."""

    def __init__(self, size: tuple[int, int], mode: str = "RGB", *said: bytes) -> None:
        self.size, self.mode, self.said = size, mode, said
        self.default: Image.Image | None = None  # where it is no frame
        self.frames: list[tuple[Image.Image, tuple[int, ...]]] = []

    def add(
        self, picture: Image.Image, left=0, top=0, *, delay=(1, 10), then=0, is_over=0
    ) -> "Animation":
        self.frames.append((picture, (*picture.size, left, top, *delay, then, is_over)))
        return self

    def play(self, plays: int = 0, *, count: int | None = None) -> bytes:
        number = 0

        def counted(kind: bytes, data: bytes) -> bytes:
            nonlocal number
            number += 1
            return chunk(kind, struct.pack(">I", number - 1) + data)

        canvas = self.default or Image.new(self.mode, self.size)
        control = struct.pack(">II", len(self.frames) if count is None else count, plays)
        parts = [SIGNATURE, header(canvas), chunk(b"acTL", control), *self.said]
        parts.append(palette(self.default or self.frames[0][0]))
        if self.default:
            parts.append(chunk(b"IDAT", zlib.compress(rows(self.default))))
        for at, (picture, told) in enumerate(self.frames):
            parts.append(counted(b"fcTL", struct.pack(">4I2H2B", *told)))
            pixels = zlib.compress(rows(picture))
            is_first = at == 0 and not self.default
            parts.append(chunk(b"IDAT", pixels) if is_first else counted(b"fdAT", pixels))
        return b"".join([*parts, chunk(b"IEND")])
