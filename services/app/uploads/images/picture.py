"""The work on a picture, in its own process: look at its header, and make it safe.

Only here does a decoder read a visitor's bytes; `decoder` runs this module.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from uploads.errors import ImageRejected
from uploads.images import apng, gif
from uploads.images.colours import to_srgb
from uploads.images.film import Film, compose, composed
from uploads.images.formats import ANIMATED_PNG, HEAD_BYTES, Encoding, Format, detect_format
from uploads.images.memory import check_pixels
from uploads.images.orientation import OUT_OF_ORDER, turn
from uploads.images.reasons import DAMAGED, GREW, NOT_AN_IMAGE
from uploads.images.vips import load_vips, profile_of, read, read_frame, with_profile

if TYPE_CHECKING:
    import pyvips

Result = TypeVar("Result")

THUMBNAIL_SIZE = 320  # pixels, the longer side
MENDINGS = 3  # attempts to put a file's harmless faults right, each of another kind
COMPOSED_BYTES = 40  # a pixel, when frames are put together here
# Pixels a millimetre; the same for all pictures, because their own density hints at the device.
DENSITY = 72 / 25.4


class Grew(Exception):
    """The encoded picture is larger than allowed."""


def look(source: Path, folder: Path, *, max_pixels: int) -> int:
    """How many bytes the picture will take in memory, by its header. Raises ImageRejected."""

    def look_at(path: Path) -> int:
        image_format, film = opened(path)
        frame = film.frame() if film else read_frame(path, image_format)
        return check_pixels(frame, image_format, max_pixels)

    return overlooking(look_at, source, folder)


def make(source: Path, folder: Path, *, max_bytes: int) -> dict[str, Any]:
    """The type and size of what is now in the folder: `image`, upright and without metadata, in a
    format for browsers and at most so large, and `thumbnail`.

    A picture that has to be turned needs up to 8 bytes a pixel there meanwhile. Raises
    ImageRejected.
    """

    def make_of(path: Path) -> dict[str, Any]:
        return make_whole(path, folder, max_bytes=max_bytes)

    return overlooking(make_of, source, folder)


def overlooking(work: Callable[[Path], Result], source: Path, folder: Path) -> Result:
    """The result of the work on a file or, if that fails, on a copy without harmless faults.

    The copy is only written after a failure, because most files have no such faults.
    """
    for number in range(MENDINGS):
        try:
            return work(source)
        except load_vips().Error as error:
            mended = folder / f"mended-{number}"
            if not recognised(source).mend(source, mended, str(error)):
                raise
            source = mended
    return work(source)


def make_whole(source: Path, folder: Path, *, max_bytes: int) -> dict[str, Any]:
    """As `make`, for a file without harmless faults."""
    image_format, film = opened(source)
    image, thumbnail = folder / "image", folder / "thumbnail"
    pixels = pixels_of(source, image_format, film, folder / "film")
    for encoding in image_format.encodings:
        picture = pixels()
        if not suits(encoding, picture):
            continue
        with suppress(Grew):
            write_upright(picture, image, encoding, folder / "pixels", max_bytes)
            write_thumbnail(image, thumbnail)
            safe = load_vips().Image.new_from_file(str(image))
            return {
                "content_type": encoding.content_type,
                "width": safe.width,
                "height": safe.height,
            }
    raise ImageRejected(GREW)


def suits(encoding: Encoding, picture: pyvips.Image) -> bool:
    """Whether the picture can be encoded like this, unchanged and within the limits."""
    if encoding.most_pixels and picture.width * picture.height > encoding.most_pixels:
        return False
    return encoding.save != "jpegsave" or "background" in encoding.options or not picture.hasalpha()


def recognised(source: Path) -> Format:
    """The format of a file; raises ImageRejected."""
    with source.open("rb") as file:
        image_format = detect_format(file.read(HEAD_BYTES))
    if image_format is None:
        raise ImageRejected(NOT_AN_IMAGE)
    return image_format


def opened(source: Path) -> tuple[Format, Film | None]:
    """A file's format, and its film if libvips can't put the frames together.

    Raises ImageRejected.
    """
    image_format = recognised(source)
    image_format.check(source)
    if image_format.content_type == "image/png" and (film := apng.film(source)):
        return ANIMATED_PNG, film
    if image_format.content_type == "image/gif":
        frame = read_frame(source, image_format)
        if film := gif.film(source, frame.width, frame.height, frame.get("loop")):
            return replace(image_format, frame_bytes=COMPOSED_BYTES), film
    return image_format, None


def pixels_of(
    source: Path, image_format: Format, film: Film | None, spool: Path
) -> Callable[[], pyvips.Image]:
    """A function that returns the pixels, each time from the first row."""
    if film:
        compose(film, spool)
        return partial(composed, film, spool)
    if image_format.content_type != "image/heic":
        return partial(read_eight_bits, source, image_format)
    decoded = decode_heic(source, image_format)
    return lambda: decoded


def read_eight_bits(source: Path, image_format: Format) -> pyvips.Image:
    """The image, but for a deep AVIF, which becomes one of eight bits a sample."""
    image = read(source, image_format)
    if image_format.content_type == "image/avif" and image.format == "ushort":
        image = image.colourspace("srgb")
    return image


def decode_heic(source: Path, image_format: Format) -> pyvips.Image:
    """The primary picture, upright and with eight bits a sample, by pillow-heif: libvips's wheel
    reads a HEIC's header and has no decoder for its pixels.
    """
    import pillow_heif

    pillow_heif.options.DECODE_THREADS = 1
    try:
        file = pillow_heif.open_heif(source)
        picture = file[file.primary_index]
        data = picture.data
    except (EOFError, LookupError, RuntimeError, SyntaxError, ValueError) as error:
        raise ImageRejected(DAMAGED) from error
    bands = len(picture.mode)  # RGB, RGBA or their greys
    pixels = load_vips().Image.new_from_memory(data, *picture.size, bands, "uchar")
    pixels = pixels.copy(interpretation="b-w" if bands < 3 else "srgb")
    return with_profile(pixels, profile_of(read_frame(source, image_format)))


@contextmanager
def at_most(target: Path, max_bytes: int) -> Iterator[None]:
    """Limit the size of the file written in the block: the kernel enforces it. Raises Grew."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (min(max_bytes, soft), hard))
    try:
        yield
    except load_vips().Error as error:
        if target.exists() and target.stat().st_size >= max_bytes:
            raise Grew from error
        raise
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_upright(
    image: pyvips.Image, target: Path, encoding: Encoding, spool: Path, max_bytes: int
) -> None:
    """Write the picture as a browser shows it, and nothing else of the image."""
    shown = to_srgb(image)
    options = encoding.options
    if encoding.save == "pngsave" and (bits := few_bits(image, shown)):
        options = options | {"bitdepth": bits}
    image = shown
    orientation = image.get("orientation") if image.get_typeof("orientation") else 1
    if image.get_n_pages() == 1:  # an animation has no orientation
        how = OUT_OF_ORDER.get(orientation)
        image = turn(image, how, spool) if how else image.autorot()
    image = image.copy(xres=DENSITY, yres=DENSITY)
    with at_most(target, max_bytes):
        getattr(image, encoding.save)(str(target), keep="none", **options)
    spool.unlink(missing_ok=True)


def few_bits(image: pyvips.Image, shown: pyvips.Image) -> int:
    """As how many bits a grey PNG's sample may be written again where they are fewer than eight: a
    scan in black and white would take eight times its bytes.
    """
    if shown is not image or image.bands > 1 or image.get("vips-loader") != "pngload":
        return 0
    bits = image.get("bits-per-sample") if image.get_typeof("bits-per-sample") else 8
    return bits if bits < 8 else 0


def write_thumbnail(image: Path, target: Path) -> None:
    """Write a small WebP of a safe image's first frame.

    It is read from there, a second time: a JPEG is decoded to an eighth of its size at once, and
    what it shows is upright, in sRGB and without metadata already.
    """
    size = THUMBNAIL_SIZE
    small = load_vips().Image.thumbnail(str(image), size, height=size, size="down")
    small.webpsave(str(target), Q=80, keep="none")
