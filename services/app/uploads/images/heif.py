"""The colours of an AVIF or a HEIC without a profile: the nclx box of ISO/IEC 23008-12."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from uploads.images import hdr, icc
from uploads.images.hdr import Hdr

META_MAX_BYTES = 1024 * 1024  # a phone's, of fifty tiles, has five thousand
MOST_BOXES = 10_000
LIKE_SRGB = {1, 2, 6, 13, 14, 15}  # here browsers treat television's curves as sRGB's


def colour_profile(path: Path, embedded: bytes | None) -> bytes | Hdr | None:
    """The profile that the picture is shown with; None for sRGB's. An embedded one goes first."""
    if embedded:
        return embedded
    try:
        said = primary_properties(path)
    except (struct.error, IndexError):  # the file is incomplete, which the decoder reports better
        return None
    nclx = said.get(b"nclx", b"")
    if len(nclx) < 4:
        return None
    primaries, curve = struct.unpack(">HH", nclx[:4])
    if curve in LIKE_SRGB:
        curve = 13
    if primaries not in icc.PRIMARIES:
        primaries = 1
    if curve not in icc.CURVES:
        return hdr.said(primaries, curve, int.from_bytes(said.get(b"clli", b"")[:2]))
    if (primaries, curve) == (1, 13):
        return None
    return icc.make_profile(icc.PRIMARIES[primaries], icc.CURVES[curve]())


def primary_properties(path: Path) -> dict[bytes, bytes]:
    """What is said of the primary picture's nclx and clli, of each the first.

    Raises struct.error or IndexError where boxes end too early.
    """
    meta = dict(boxes(meta_box(path)[4:]))
    pitm = meta.get(b"pitm", b"")
    primary = int.from_bytes(pitm[4 : 6 if pitm[:1] == b"\0" else 8])
    iprp = dict(boxes(meta.get(b"iprp", b"")))
    properties = list(boxes(iprp.get(b"ipco", b"")))
    said: dict[bytes, bytes] = {}
    for number in associated(iprp.get(b"ipma", b""), primary):
        if 0 < number <= len(properties):
            kind, data = properties[number - 1]
            if kind == b"colr" and data[:4] == b"nclx":
                said.setdefault(b"nclx", data[4:])
            elif kind == b"clli":
                said.setdefault(kind, data)
    return said


def meta_box(path: Path) -> bytes:
    with path.open("rb") as file:
        for _ in range(MOST_BOXES):
            length, kind = struct.unpack(">I4s", file.read(8))
            if kind == b"meta":
                return file.read(min(length - 8, META_MAX_BYTES)) if length > 8 else b""
            if length == 1:
                length = int.from_bytes(file.read(8)) - 8
            if length < 8:
                break
            file.seek(length - 8, 1)
    return b""


def boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The kind and the content of each: ISO/IEC 14496-12, 4.2."""
    at = 0
    for _ in range(MOST_BOXES):
        if at + 8 > len(content):
            return
        length, kind = struct.unpack_from(">I4s", content, at)
        if length < 8:
            return
        yield kind, content[at + 8 : at + length]
        at += length


def associated(ipma: bytes, item: int) -> list[int]:
    """The numbers of the item's properties, from 1: ISO/IEC 23008-12, 9.3.1."""
    item_format = ">H" if ipma[0] == 0 else ">I"
    number_format, number_bits = (">H", 0x7FFF) if ipma[3] & 1 else (">B", 0x7F)
    item_bytes, number_bytes = struct.calcsize(item_format), struct.calcsize(number_format)
    (entries,), at = struct.unpack_from(">I", ipma, 4), 8
    for _ in range(min(entries, MOST_BOXES)):
        found, count = struct.unpack_from(item_format, ipma, at)[0], ipma[at + item_bytes]
        at += item_bytes + 1
        end = at + count * number_bytes
        if found == item:
            return [
                struct.unpack_from(number_format, ipma, place)[0] & number_bits
                for place in range(at, end, number_bytes)
            ]
        at = end
    return []
