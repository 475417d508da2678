"""An uploaded image made safe."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from signal import SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGXCPU
from typing import TYPE_CHECKING

from uploads.errors import ImageRejected
from uploads.images import decoder
from uploads.images.colours import to_srgb
from uploads.images.formats import HEAD_BYTES, Format, recognise
from uploads.images.memory import WHOLE_MAX_BYTES, check_pixels, room_for
from uploads.images.orientation import OUT_OF_ORDER, turn
from uploads.images.reasons import DAMAGED, NOT_AN_IMAGE
from uploads.images.vips import in_strips, load_vips, read, read_frame

if TYPE_CHECKING:
    import pyvips

THUMBNAIL_SIZE = 320  # pixels, the longer side
THUMBNAIL_TYPE = "image/webp"  # the smallest that every browser shows, and it has transparency

DENSITY = 72 / 25.4  # pixels a millimetre; one for all, as the picture's own says where it is from

# How the decoder ends where a picture is too much for it. SIGKILL comes from elsewhere.
CRASHED = {-number for number in (SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGXCPU)}


@dataclass(frozen=True)
class SafeImage:
    """Two files that may be shown to anybody, and what they are. Sizes in pixels, upright."""

    content_type: str
    image: Path
    thumbnail: Path
    thumbnail_content_type: str
    width: int
    height: int


def make_safe(source: Path, folder: Path, *, max_pixels: int) -> SafeImage:
    """The image upright and without metadata, in a format for browsers, and its thumbnail.

    Both are written to the folder, which the caller removes, whatever comes; a picture that has to
    be turned needs up to 8 bytes a pixel there meanwhile. Raises ImageRejected where the fault is
    the image's. Any other error (a full disk) is ours, and another attempt may go well.
    """
    with source.open("rb") as file:
        image_format = recognise(file.read(HEAD_BYTES))
    if image_format is None:
        raise ImageRejected(NOT_AN_IMAGE)
    vips = load_vips()
    image, thumbnail = folder / "image", folder / "thumbnail"
    try:
        frame = read_frame(source, image_format)
        with room_for(check_pixels(frame, image_format, max_pixels)):
            if not image_format.is_whole(source):
                raise ImageRejected(DAMAGED)
            if image_format.apart:
                pixels = decode_apart(source, folder / "decoded", frame, image_format)
            else:
                pixels = read(source, image_format)
            write_upright(pixels, image, image_format, folder / "pixels")
            write_thumbnail(image, thumbnail)
    except vips.Error as error:
        if decodes(source, image_format):
            raise
        raise ImageRejected(DAMAGED) from error
    safe = vips.Image.new_from_file(str(image))
    return SafeImage(
        image_format.safe_type or image_format.content_type,
        image,
        thumbnail,
        THUMBNAIL_TYPE,
        safe.width,
        safe.height,
    )


def decode_apart(
    source: Path, target: Path, frame: pyvips.Image, image_format: Format
) -> pyvips.Image:
    """The pixels by way of a file, as the decoder leaves them, and the profile of the header."""
    vips = load_vips()
    most = str(WHOLE_MAX_BYTES + decoder.OWN_BYTES)
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            decoder.__file__,
            image_format.apart,
            str(source),
            str(target),
            most,
        ],
        env={name: value for name, value in os.environ.items() if name.startswith("MALLOC_")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == decoder.DAMAGED or done.returncode in CRASHED:
        raise ImageRejected(DAMAGED)
    done.check_returncode()
    width, height, bands = map(int, done.stdout.split())
    grey = bands < 3
    pixels: pyvips.Image = vips.Image.rawload(
        str(target), width, height, bands, interpretation="b-w" if grey else "srgb"
    )
    if frame.get_typeof("icc-profile-data"):
        pixels = pixels.copy()
        profile = frame.get("icc-profile-data")
        pixels.set_type(vips.GValue.blob_type, "icc-profile-data", profile)
    return in_strips(pixels, (0, 0, width, height))


def decodes(path: Path, image_format: Format) -> bool:
    """Whether every pixel can be read; asked only once something went wrong."""
    try:
        image = read(path, image_format)
        if not image_format.apart:  # of those the decoder has told already
            image.avg()
    except load_vips().Error:
        return False
    return True


def write_upright(image: pyvips.Image, target: Path, image_format: Format, spool: Path) -> None:
    """Write the picture as a browser shows it, and nothing else of the image."""
    image = to_srgb(image)
    orientation = image.get("orientation") if image.get_typeof("orientation") else 1
    if image.get_n_pages() == 1:  # no camera takes an animation sideways
        how = OUT_OF_ORDER.get(orientation)
        image = turn(image, how, spool) if how else image.autorot()
    image = image.copy(xres=DENSITY, yres=DENSITY)
    getattr(image, image_format.save)(str(target), keep="none", **image_format.save_options)
    spool.unlink(missing_ok=True)


def write_thumbnail(image: Path, target: Path) -> None:
    """Write a small WebP of a safe image's first frame.

    It is read from there, a second time: a JPEG is decoded to an eighth of its size at once, and
    what it shows is upright, in sRGB and without metadata already.
    """
    size = THUMBNAIL_SIZE
    small = load_vips().Image.thumbnail(str(image), size, height=size, size="down")
    small.webpsave(str(target), Q=80, keep="none")
