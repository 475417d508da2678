"""The bytes of a zip, from any position on. It is pure: it knows names, sizes and times, and gets
the files' bytes from its caller.

The files are not compressed, so everything except their checksums is known beforehand, including
the zip's size. Each file's checksum follows its bytes. Names are in UTF-8, and numbers above 32
bits use zip64: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import IO, cast
from zipfile import ZIP64_LIMIT, ZIP_STORED, ZipFile, ZipInfo
from zlib import crc32

CHECKSUM_FOLLOWS = 0x08  # a bit of a file's flags (APPNOTE.TXT 4.4.4, bit 3)
DESCRIPTOR = 0x08074B50  # the signature of the record after a file (4.3.9)
MODE = 0o100644  # each file's permissions on Unix
EARLIEST = 1980  # the year in which the times of zips begin

# Reads so many bytes of the file with this number, from this byte on.
ReadFile = Callable[[int, int, int], bytes]


@dataclass(frozen=True)
class Entry:
    """One file of the zip."""

    name: str  # with the folders that it lies in
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True)
class Piece:
    """What follows the piece before it: bytes of the zip's own, or a file's."""

    size_bytes: int
    content: Callable[[], bytes]
    file: int | None = None


class Archive:
    """A zip of these files, in this order."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries

    @cached_property
    def size_bytes(self) -> int:
        """The size of the whole zip."""
        return sum(piece.size_bytes for piece in self.pieces([0] * len(self.entries)))

    def read(self, start: int, count: int, checksums: list[int], read_file: ReadFile) -> bytes:
        """`count` bytes from `start` on, or all that are left.

        A caller that reads the zip from beginning to end, in pieces of any size, passes the list of
        `checksums` each time: a number for each file, 0 at first, which this updates.
        """
        out = []
        end = start + count
        at = 0
        for piece in self.pieces(checksums):
            first, last = max(start, at), min(end, at + piece.size_bytes)
            if first < last and piece.file is not None:
                content = read_file(piece.file, first - at, last - first)
                checksums[piece.file] = crc32(content, checksums[piece.file])
                out.append(content)
            elif first < last:
                out.append(piece.content()[first - at : last - at])
            at += piece.size_bytes
            if at >= end:
                break
        return b"".join(out)

    def pieces(self, checksums: list[int]) -> Iterator[Piece]:
        """The whole zip, in order; a piece with a checksum is made when it is read."""
        infos = [info_of(entry) for entry in self.entries]
        at = 0
        for number, info in enumerate(infos):
            info.header_offset = at
            large = info.file_size > ZIP64_LIMIT
            header = info.FileHeader(zip64=large)
            descriptor = struct.Struct("<LLQQ" if large else "<LLLL")
            yield own(header)
            yield Piece(info.file_size, bytes, file=number)
            info.CRC = checksums[number]
            size = info.file_size
            yield own(descriptor.pack(DESCRIPTOR, info.CRC, size, size))
            at += len(header) + info.file_size + descriptor.size
        yield own(directory(infos, at))


def own(content: bytes) -> Piece:
    """A piece of the zip's own."""
    return Piece(len(content), lambda: content)


def info_of(entry: Entry) -> ZipInfo:
    """What is said of the file."""
    time = entry.modified_at.timetuple()[:6]
    info = ZipInfo(entry.name, time if time[0] >= EARLIEST else (EARLIEST, 1, 1, 0, 0, 0))
    info.compress_type = ZIP_STORED
    info.file_size = info.compress_size = entry.size_bytes
    info.flag_bits = CHECKSUM_FOLLOWS
    info.external_attr = MODE << 16
    info.create_system = 3  # Unix: whose modes are meant
    return info


def directory(infos: list[ZipInfo], at: int) -> bytes:
    """What a zip ends with, which says where each file begins; it begins `at` this byte itself."""
    end = End(at)
    with ZipFile(cast(IO[bytes], end), "w", ZIP_STORED) as file:
        file.filelist.extend(infos)
    return bytes(end.written)


class End:
    """A file of which only the end is kept."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.written = bytearray()

    def write(self, content: bytes) -> int:
        """Append it."""
        self.written += content
        return len(content)

    def tell(self) -> int:
        """Where the next byte comes."""
        return self.at + len(self.written)

    def flush(self) -> None:
        """Nothing is held back."""
