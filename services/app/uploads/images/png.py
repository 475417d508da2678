"""The chunks of a PNG: its colours, and wrong checksums put right.

https://www.w3.org/TR/png-3/; where it leaves something open, this does as Chromium.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from uploads.images import hdr, icc
from uploads.images.hdr import Hdr

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the type of colour
PROFILE_MAX_BYTES = 4 * 1024 * 1024  # the largest profiles of printers have two
SLICE_BYTES = 64 * 1024
# A gamma within 5 % of 1/2.2 is close to sRGB's own curve, and browsers then use that.
LIKE_SRGB = range(43_182, 47_728)


class Chunk(NamedTuple):
    """One chunk of a PNG."""

    kind: bytes
    data: bytes
    is_sound: bool  # its checksum is right

    @property
    def may_be_left_out(self) -> bool:
        return bool(self.kind[0] & 0x20)


def chunks(path: Path, *, longest: int | None = None) -> Iterator[Chunk]:
    """The chunks up to the last; of a very long one only its kind.

    It accepts any bytes: a chunk that is incomplete is not sound.
    """
    left = path.stat().st_size  # more is never asked for: memory would be reserved for it
    with path.open("rb") as file:
        file.seek(len(SIGNATURE))
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if longest is not None and length > longest:
                file.seek(length + 4, 1)
                yield Chunk(kind, b"", is_sound=False)
                continue
            data, checksum = file.read(min(length, left)), file.read(4)
            is_sound = checksum == zlib.crc32(data, zlib.crc32(kind)).to_bytes(4)
            yield Chunk(kind, data, is_sound)
            if kind == b"IEND":
                return


def chunk(kind: bytes, data: bytes) -> bytes:
    """As it stands in a file."""
    return struct.pack(">I4s", len(data), kind) + data + zlib.crc32(kind + data).to_bytes(4)


# --- Colours -------------------------------------------------------------------------------------


COLOURS = {b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cLLI", b"mDCV"}
SRGB_INTENTS = [b"\0", b"\1", b"\2", b"\3"]


def colour_profile(path: Path, embedded: bytes | None) -> bytes | Hdr | None:
    """The profile that the picture is shown with; None for sRGB's.

    cICP goes before iCCP, that before sRGB and that before gAMA, of each the first one:
    https://www.w3.org/TR/png-3/#color-chunk-precendence. The decoder found the embedded one, or
    it dropped it: it knows no cICP, and has reasons of its own.
    """
    said: dict[bytes, bytes] = {}
    has_palette = False
    for each in chunks(path, longest=PROFILE_MAX_BYTES):
        if each.kind == b"IDAT":
            break
        has_palette = has_palette or each.kind == b"PLTE"
        if each.is_sound and each.kind in COLOURS - ({b"cICP"} if has_palette else set()):
            said.setdefault(each.kind, each.data)
    return (
        coded_profile(said.get(b"cICP", b""), *peaks(said))
        or embedded_profile(said.get(b"iCCP", b""))
        or (None if said.get(b"sRGB") in SRGB_INTENTS else measured_profile(said))
    )


def peaks(said: dict[bytes, bytes]) -> Iterator[float]:
    """What is said of the brightest pixel, in cd/m², and then of the brightest that could be."""
    for kind, length, at in ((b"cLLI", 8, 0), (b"mDCV", 24, 16)):
        if len(data := said.get(kind, b"")) == length:
            yield int.from_bytes(data[at : at + 4]) / 10_000


def coded_profile(cicp: bytes, *peaks: float) -> bytes | Hdr | None:
    if len(cicp) != 4:
        return None
    primaries, curve, matrix, full_range = cicp
    if matrix != 0 or full_range != 1 or primaries not in icc.PRIMARIES:
        return None
    if curve not in icc.CURVES:
        return hdr.said(primaries, curve, *peaks)
    return icc.make_profile(icc.PRIMARIES[primaries], icc.CURVES[curve]())


def embedded_profile(iccp: bytes) -> bytes | None:
    name, _, rest = iccp.partition(b"\0")
    if len(name) > 79 or rest[:1] != b"\0":
        return None
    try:
        profile = zlib.decompressobj().decompress(rest[1:], PROFILE_MAX_BYTES)
    except zlib.error:
        return None
    return profile if profile[36:40] == b"acsp" else None


def measured_profile(said: dict[bytes, bytes]) -> bytes | None:
    gama, chrm = said.get(b"gAMA", b""), said.get(b"cHRM", b"")
    if len(gama) != 4 or gama == bytes(4):
        return None  # browsers ignore primaries without a gamma
    value = int.from_bytes(gama)
    if len(chrm) != 32:
        return None if value in LIKE_SRGB else icc.make_profile(icc.SRGB, icc.power(1e5 / value))
    x = [each / 1e5 for each in struct.unpack(">8i", chrm)]
    white, red, green, blue = zip(x[::2], x[1::2], strict=True)
    return icc.make_profile(icc.Primaries(red, green, blue, white), icc.power(1e5 / value))


# --- Checksums -----------------------------------------------------------------------------------


def mend(source: Path, target: Path, complaint: str) -> bool:
    """Write the PNG with right checksums, if all its pixels are there; whether they are.

    Browsers check few of the checksums. An optional chunk with a wrong one is left out.
    """
    head: list[Chunk] = []
    rest: list[Chunk] = []
    stream: list[bytes] = []
    are_sound = True
    for each in chunks(source):
        if each.kind == b"IDAT":
            stream.append(each.data)
            are_sound = are_sound and each.is_sound
        elif each.is_sound:
            (rest if stream else head).append(each)
        elif each.kind != b"IEND" and not each.may_be_left_out:
            return False
    if not head or head[0].kind != b"IHDR":
        return False
    pixels = sound_pixels(head[0].data, b"".join(stream), are_sound=are_sound)
    if pixels is None:
        return False
    parts = [*head, Chunk(b"IDAT", pixels, is_sound=True), *rest]
    target.write_bytes(SIGNATURE + b"".join(chunk(each.kind, each.data) for each in parts))
    return True


def sound_pixels(header: bytes, stream: bytes, *, are_sound: bool) -> bytes | None:
    """The compressed pixels with a right checksum; None where they are not all there.

    They have two, their chunks' and their own: one of them has to be right.
    """
    found = inflate(stream, most=most_bytes(header))
    if found is None:
        return None
    end, checksum = found
    if not are_sound and stream[end : end + 4] != checksum:
        return None
    # A window of the largest size, whatever the first two bytes say: RFC 1950, 2.2.
    return b"\x78\x9c" + stream[2:end] + checksum


def most_bytes(header: bytes) -> int:
    """That the pixels can be before compression, or more."""
    if len(header) != 13:
        return 0
    width, height, depth, colour = struct.unpack(">IIBB", header[:10])
    row = width * CHANNELS.get(colour, 0) * depth // 8 + 2  # with its filter
    return int(row * (2 * height + 8))  # an interlaced picture has rows that are cut up


def inflate(stream: bytes, *, most: int) -> tuple[int, bytes] | None:
    """Where the compressed pixels end in the stream, and their checksum; None where they don't."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    checksum, count = 1, 0
    for at in range(2, len(stream), SLICE_BYTES):
        piece = stream[at : at + SLICE_BYTES]
        end = at + len(piece)
        while piece and not inflater.eof:
            try:
                pixels = inflater.decompress(piece, SLICE_BYTES * 16)
            except zlib.error:
                return None
            checksum, count = zlib.adler32(pixels, checksum), count + len(pixels)
            if count > most:
                return None
            piece = inflater.unconsumed_tail
        if inflater.eof:
            return end - len(inflater.unused_data), checksum.to_bytes(4)
    return None
