"""A zip's bytes: whichever way they are read, any program for zips reads them."""

import io
import random
import shutil
import struct
import subprocess
import zipfile
from datetime import UTC, datetime

import pytest

from uploads.links.archive import Archive, Entry

MOMENT = datetime(2026, 11, 27, 22, 30, 10, tzinfo=UTC)
GIB = 1024**3


def archive_of(contents: dict[str, bytes]):
    """The archive, and what reads its files."""
    entries = [Entry(name, len(content), MOMENT) for name, content in contents.items()]
    files = list(contents.values())
    return Archive(entries), lambda number, start, count: files[number][start : start + count]


def read_all(archive, read_file, piece):
    """The zip, read from one end to the other in pieces of so many bytes."""
    checksums = [0] * len(archive.entries)
    out = b""
    while len(out) < archive.size_bytes:
        out += archive.read(len(out), piece, checksums, read_file)
    return out


CONTENTS = {
    "ção 日本.pdf": random.Random(1).randbytes(70_000),
    "a folder/of two/b.txt": b"x",
    "🎈" * 60: bytes(1000),
    "c": b"c" * 2000,
}


@pytest.mark.parametrize("piece", [3, 97, 1000, 70_000, 10**6])
def test_it_is_the_same_in_whatever_pieces_it_is_read(piece):
    archive, read_file = archive_of(CONTENTS)
    whole = read_all(archive, read_file, archive.size_bytes)
    assert read_all(archive, read_file, piece) == whole
    assert len(whole) == archive.size_bytes
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        assert file.testzip() is None
        assert {name: file.read(name) for name in file.namelist()} == CONTENTS
        assert file.infolist()[0].date_time == (2026, 11, 27, 22, 30, 10)


@pytest.mark.skipif(not shutil.which("unzip"), reason="there is no unzip")
def test_unzip_reads_it(tmp_path):
    archive, read_file = archive_of(CONTENTS)
    (tmp_path / "a.zip").write_bytes(read_all(archive, read_file, 5000))
    run = subprocess.run(
        ["unzip", "-t", "a.zip"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (run.returncode, "No errors detected" in run.stdout) == (0, True), run.stdout


class Sparse:
    """A file of zeros but for what is written; only its length and its ends take room."""

    def __init__(self):
        self.pieces = []
        self.size = 0
        self.at = 0

    def append(self, content):
        self.pieces.append((self.size, content))
        self.size += len(content)

    def skip(self, count):
        self.size += count

    def seekable(self):
        return True

    def seek(self, offset, whence=0):
        self.at = {0: 0, 1: self.at, 2: self.size}[whence] + offset
        return self.at

    def tell(self):
        return self.at

    def read(self, count=-1):
        last = self.size if count < 0 else min(self.size, self.at + count)
        out = bytearray(last - self.at)
        for start, content in self.pieces:
            for place in range(max(start, self.at), min(start + len(content), last)):
                out[place - self.at] = content[place - start]
        self.at = last
        return bytes(out)


@pytest.mark.parametrize(
    "sizes", [[5 * GIB, 3], [3 * GIB, 3 * GIB, 3 * GIB, 7], [2**31, 1], [2**32 - 1, 2**32, 1]]
)
def test_above_4_gib_it_is_zip64(sizes):
    archive = Archive([Entry(f"{n}.bin", size, MOMENT) for n, size in enumerate(sizes)])
    file = Sparse()
    for piece in archive.pieces([7] * len(sizes)):
        if piece.file is None:
            file.append(piece.content())
        else:
            file.skip(piece.size_bytes)
    assert file.size == archive.size_bytes
    with zipfile.ZipFile(file) as zipped:
        infos = zipped.infolist()
        assert [(i.file_size, i.CRC) for i in infos] == [(size, 7) for size in sizes]
        for info in infos:  # each is where the directory says
            zipped.open(info).close()
            file.seek(info.header_offset)
            head = struct.unpack("<4s2B4HL2L2H", file.read(30))
            assert head[:1] == (b"PK\3\4",)


def test_a_part_that_could_not_be_read_leaves_no_mark_on_its_checksums():
    archive, read_file = archive_of({"a": b"1" * 100})
    checksums = [0]

    def fail(*_):
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011  ours
        archive.read(0, 60, checksums, fail)
    assert checksums == [0]
    archive.read(0, 60, checksums, read_file)
    assert checksums != [0]


def test_a_time_before_zips_is_their_first():
    archive, read_file = archive_of({"a": b"1"})
    archive.entries[0] = Entry("a", 1, datetime(1970, 1, 1, tzinfo=UTC))
    with zipfile.ZipFile(io.BytesIO(read_all(archive, read_file, 99))) as file:
        assert file.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)
