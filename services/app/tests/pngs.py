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
