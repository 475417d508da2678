"""Harmless faults in a JPEG, which every viewer overlooks, put right: any fault that is left is
damage.

ITU-T T.81, annex B. Markers are found as libjpeg finds them, with which browsers show a JPEG.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

SOI, EOI, SOS, DRI, JFIF, ADOBE, TEM = 0xD8, 0xD9, 0xDA, 0xDD, 0xE0, 0xEE, 0x01
SEQUENTIAL, PROGRESSIVE = {0xC0, 0xC1}, {0xC2}  # the decoder takes no others
RESTARTS = range(0xD0, 0xD8)

MARKER = re.compile(rb"\xff[^\x00\xff]")
AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
RESTART = re.compile(rb"\xff([\xd0-\xd7])")
MOST_PARTS = 10_000  # a progressive JPEG has some tens, a profile or Exif adds a hundred

# More bytes than that are no encoder's slip: pixels were lost before them.
STRAY_MOST = 32
STRAY = re.compile(r"\b(\d{1,2}) extraneous bytes before marker 0x([0-9a-f]{2})")


class Part(NamedTuple):
    """A segment, or the compressed pixels that follow a scan's header."""

    marker: int  # 0 for pixels
    data: bytes


def mend(source: Path, target: Path, complaint: str) -> bool:
    """Write the JPEG without one harmless fault, if its decoder complains of one.

    `complaint` is the decoder's message. It may have another one about the new file.
    """
    content = source.read_bytes()
    found = parts(content)
    if not found:
        return False
    mended = restated(found)
    for tried in (mended, cut_stray(mended, complaint)):
        written = b"".join(map(write, tried))
        if not content.startswith(written):
            target.write_bytes(written)
            return True
    return False


def restated(found: list[Part]) -> list[Part]:
    """The JPEG with correct headers and numbers."""
    frame, scan, mended = Frame(), b"", []
    for part in found:  # segments before the frame's header depend on it too
        frame.read(part)
    frame.interval = 0
    for part in found:
        frame.read(part)
        if part.marker == SOS:
            scan = part.data
        restate = RESTATE.get(part.marker)
        mended.append(restate(part, frame, scan) if restate else part)
    return mended


def parts(content: bytes) -> list[Part]:
    """All from the first marker to the last; none where it is cut."""
    found, at = [Part(SOI, b"")], 2
    while (match := MARKER.search(content, at)) and len(found) < MOST_PARTS:
        marker, at = content[match.start() + 1], match.end()
        if marker == EOI:
            return [*found, Part(EOI, b"")]
        if marker in RESTARTS or marker == TEM:
            continue
        length = int.from_bytes(content[at : at + 2])
        data = content[at + 2 : at + length]
        if marker == SOI or length < 2 or len(data) != length - 2:
            break
        found.append(Part(marker, data))
        at += length
        if marker == SOS:
            end = AFTER_SCAN.search(content, at)
            if not end:
                break
            found.append(Part(0, content[at : end.start()]))
            at = end.start()
    return []


def write(part: Part) -> bytes:
    if not part.marker:
        return part.data
    length = b"" if part.marker in {SOI, EOI} else (len(part.data) + 2).to_bytes(2)
    return bytes([0xFF, part.marker]) + length + part.data


def cut_stray(mended: list[Part], complaint: str) -> list[Part]:
    """Without the bytes that the decoder found between a scan's pixels and the next marker."""
    match = STRAY.search(complaint)
    if not match or int(match[1]) > STRAY_MOST:
        return mended
    count, marker, mended = int(match[1]), int(match[2], 16), list(mended)
    ends = [
        (number, end)
        for number, part in enumerate(mended)
        if not part.marker
        for end in ends_before(marker, part.data, mended[number + 1].marker)
        if end >= count
    ]
    if len(ends) > 1:  # the message doesn't say which of them; padding bytes are all the same
        ends = [
            each for each in ends if len(set(mended[each[0]].data[each[1] - count : each[1]])) == 1
        ]
    if len(ends) == 1:
        number, end = ends[0]
        data = mended[number].data
        mended[number] = Part(0, data[: end - count] + data[end:])
    return mended


def ends_before(marker: int, pixels: bytes, following: int) -> list[int]:
    if marker == following:
        return [len(pixels)]
    return [match.start() for match in RESTART.finditer(pixels) if match[1][0] == marker]


# --- What is overlooked --------------------------------------------------------------------------


@dataclass
class Frame:
    """What the segments before a scan say of it."""

    marker: int = 0
    width: int = 0
    height: int = 0
    factors: dict[int, tuple[int, int]] = field(default_factory=dict)  # across, down; by component
    interval: int = 0  # units between two restart markers

    def read(self, part: Part) -> None:
        marker, data = part
        if marker == DRI and len(data) == 2:
            self.interval = int.from_bytes(data)
        elif marker in SEQUENTIAL | PROGRESSIVE and len(data) >= 6:
            self.marker = marker
            self.height, self.width = int.from_bytes(data[1:3]), int.from_bytes(data[3:5])
            named = zip(data[6::3], data[7::3], strict=False)
            self.factors = {name: (factor >> 4, factor & 15) for name, factor in named}

    def restarts(self, scan: bytes) -> int:
        """How many restart markers the scan with this header has: T.81, A.2."""
        names = scan[1 : 1 + 2 * scan[0] : 2] if scan else b""
        if not self.interval or not names or not set(names) <= set(self.factors):
            return 0
        across, down = (max(1, *factors) for factors in zip(*self.factors.values(), strict=True))
        width, height = self.width, self.height
        if len(names) == 1:  # a scan of one component is not interleaved
            own_across, own_down = self.factors[names[0]]
            width, height = -(-width * own_across // across), -(-height * own_down // down)
            across = down = 1
        units = -(-width // (8 * across)) * -(-height // (8 * down))
        return int(max(-(-units // self.interval) - 1, 0))


def number_restarts(pixels: Part, frame: Frame, scan: bytes) -> Part:
    """Count the restart markers from 0 to 7, where as many are there as there have to be."""
    count = frame.restarts(scan)
    if not count or len(RESTART.findall(pixels.data)) != count:
        return pixels
    number = iter(range(count))
    data = RESTART.sub(lambda _: bytes([0xFF, RESTARTS[next(number) % 8]]), pixels.data)
    return Part(0, data)


def state_all_coefficients(header: Part, frame: Frame, scan: bytes) -> Part:
    """State all 64 coefficients, which a sequential scan always has. Some phones write zeros: T.81,
    B.2.3."""
    if frame.marker not in SEQUENTIAL:
        return header
    return Part(SOS, header.data[:-3] + b"\0\x3f\0")


def state_version(header: Part, frame: Frame, scan: bytes) -> Part:
    """State version 1 of JFIF, the only major version."""
    if not header.data.startswith(b"JFIF\0") or len(header.data) < 7:
        return header
    return Part(JFIF, header.data[:5] + b"\1" + header.data[6:])


def state_transform(header: Part, frame: Frame, scan: bytes) -> Part:
    """Replace an unknown colour transform by the usual one: 2 for four inks, else 1.

    Adobe Technical Note 5116, 18.
    """
    usual = {3: 1, 4: 2}.get(len(frame.factors))
    if not header.data.startswith(b"Adobe") or len(header.data) < 12 or not usual:
        return header
    if header.data[11] in {0, usual}:
        return header
    return Part(ADOBE, header.data[:11] + bytes([usual]) + header.data[12:])


RESTATE: dict[int, Callable[[Part, Frame, bytes], Part]] = {
    0: number_restarts,
    SOS: state_all_coefficients,
    JFIF: state_version,
    ADOBE: state_transform,
}
