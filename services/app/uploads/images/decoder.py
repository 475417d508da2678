"""The program that decodes an AVIF or a HEIC: python decoder.py avif|heic SOURCE TARGET MAX_BYTES

Writes the pixels of the one picture that such a file is shown as, upright and with eight bits a
sample, and prints its width, height and bands. Exits with DAMAGED where the fault is the picture's.

`safe.decode_apart` runs it, with an empty environment, since strangers have got into servers
through the libraries for these two (https://github.com/strukturag/libheif/security/advisories).
Here they find no secret, get no more memory and time than these, and may crash. The wheel for HEIC
has an encoder in it that is under the GPL: a program beside the app, and no part of it.
"""

import resource
import sys
from pathlib import Path
from typing import NamedTuple

DAMAGED = 65  # EX_DATAERR of sysexits.h
CPU_SECONDS = 30
ROWS = 16  # of libvips's pixels at a time: 256 take 40 MiB more
OWN_BYTES = 64 * 1024 * 1024  # Python and the file, beside the picture


class Damaged(Exception):
    """The picture can't be decoded."""


class Shape(NamedTuple):
    width: int
    height: int
    bands: int


def decode_avif(source: Path, target: Path) -> Shape:
    """By libvips, whose wheel decodes AVIF and not HEIC."""
    import pyvips

    pyvips.block_untrusted_set(True)
    pyvips.cache_set_max(0)
    pyvips.concurrency_set(1)
    with target.open("wb") as file:
        try:
            image = pyvips.Image.heifload(str(source), access="sequential", fail_on="error")
            if image.format == "ushort":
                image = image.colourspace("srgb")
            region = pyvips.Region.new(image)
            for top in range(0, image.height, ROWS):
                rows = min(ROWS, image.height - top)
                file.write(region.fetch(0, top, image.width, rows))
        except pyvips.Error as error:
            raise Damaged from error
    return Shape(image.width, image.height, image.bands)


def decode_heic(source: Path, target: Path) -> Shape:
    """By pillow-heif."""
    import pillow_heif

    pillow_heif.options.DECODE_THREADS = 1
    try:
        file = pillow_heif.open_heif(source)
        image = file[file.primary_index]
        pixels = image.data
    except (EOFError, LookupError, RuntimeError, SyntaxError, ValueError) as error:
        raise Damaged from error
    target.write_bytes(pixels)
    return Shape(*image.size, bands=len(image.mode))  # RGB, RGBA or their greys


DECODERS = {"avif": decode_avif, "heic": decode_heic}


def main(kind: str, source: str, target: str, max_bytes: str) -> int:
    """Decode within the limits; what the process exits with."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_DATA, (int(max_bytes), int(max_bytes)))
    try:
        print(*DECODERS[kind](Path(source), Path(target)))
    except Damaged as damaged:
        print(damaged.__cause__, file=sys.stderr)
        return DAMAGED
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
