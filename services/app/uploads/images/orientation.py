"""The picture upright."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from uploads.images.vips import in_strips, load_vips

if TYPE_CHECKING:
    import pyvips

# What is decoded at once of a picture that has to be turned. Rows come in sixteens, which is the
# decoders' own step: one that reads in sequence can't go back into a step that it has left.
BAND_BYTES = 8 * 1024 * 1024
ROW_STEP = 16


@dataclass(frozen=True)
class Turn:
    """Where the bands of a picture, read from its top, stand once it is upright."""

    sideways: bool  # beside each other, not below
    backwards: bool  # the first one last


# By EXIF orientation: https://www.cipa.jp/std/documents/e/DC-X008-Translation-2019-E.pdf, 4.6.5.
# The other two, as it is and mirrored, need no row before its time.
OUT_OF_ORDER = {
    3: Turn(sideways=False, backwards=True),
    4: Turn(sideways=False, backwards=True),
    5: Turn(sideways=True, backwards=False),
    6: Turn(sideways=True, backwards=True),
    7: Turn(sideways=True, backwards=True),
    8: Turn(sideways=True, backwards=False),
}


def turn(image: pyvips.Image, how: Turn, spool: Path) -> pyvips.Image:
    """The picture upright, by way of a file: 48 megapixels would take 137 MiB of memory.

    It is decoded in bands of rows. While one is decoded, the one before is turned and written to
    its place in the file, which is then read as a grid of bands.
    """
    vips = load_vips()
    width, height = image.width, image.height
    pixel_bytes = image.bands * (2 if image.format == "ushort" else 1)
    rows = max(BAND_BYTES // (width * pixel_bytes) // ROW_STEP, 1) * ROW_STEP
    count = -(-height // rows)
    with spool.open("wb") as file, ThreadPoolExecutor(1) as beside:

        def write(band: pyvips.Image, place: int) -> None:
            turned = band.autorot()
            region = vips.Region.new(turned)
            file.seek(place * rows * width * pixel_bytes)
            for top in range(0, turned.height, 256):  # half the time and memory of all at once
                file.write(region.fetch(0, top, turned.width, min(256, turned.height - top)))

        written: Future[None] | None = None
        for number in range(count):
            top = number * rows
            band = image.crop(0, top, width, min(rows, height - top)).copy_memory()
            if band.height < rows:  # the last one is filled up, which the crop below takes off
                band = band.embed(0, 0, width, rows)
            if written:
                written.result()  # two bands in memory, not more; and what went wrong with it
            written = beside.submit(write, band, count - 1 - number if how.backwards else number)
        if written:
            written.result()

    def raw(across: int, down: int) -> pyvips.Image:
        return vips.Image.rawload(
            str(spool),
            across,
            down,
            image.bands,
            format=image.format,
            interpretation=image.interpretation,
        )

    filled = count * rows - height if how.backwards else 0
    if how.sideways:
        grid, place = raw(rows, count * width).grid(width, count, 1), (filled, 0, height, width)
    else:
        grid, place = raw(width, count * rows), (0, filled, width, height)
    return in_strips(grid, place)
