"""An uploaded image made safe: decoded, turned upright, stripped of metadata, encoded anew.

Knows nothing of Django, storage or rows. Only the four loaders below ever see a visitor's bytes.
Memory stays small whatever the size: pixels stream from the decoder to the encoder, and where a
picture has to be turned they go by way of a file in the given folder. What must be whole in memory
is what its format keeps whole: progressive JPEG, interlaced PNG, WebP.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uploads.errors import ImageRejected

if TYPE_CHECKING:
    import pyvips

THUMBNAIL_SIZE = 320  # pixels, the longer side
THUMBNAIL_TYPE = "image/webp"  # the smallest that every browser shows, with transparency

# A band is what is decoded at once of a picture that has to be turned. Rows come in sixteens: the
# decoders' own steps, and a sequential one can't go back into a step that it has left.
BAND_PIXELS = 2_000_000
ROW_STEP = 16

DENSITY = 72 / 25.4  # pixels a millimetre, the same for all: what was there said something

NOT_AN_IMAGE = "This is not a JPEG, PNG, GIF or WebP image."
DAMAGED = "The image is damaged or incomplete."


@dataclass(frozen=True)
class SafeImage:
    """Two files that may be shown to anybody, and what they are. Sizes in pixels, upright."""

    content_type: str
    image: Path
    thumbnail: Path
    thumbnail_content_type: str
    width: int
    height: int


@dataclass(frozen=True)
class Format:
    """How one type is recognised, read and written, in libvips's words."""

    content_type: str
    matches: Callable[[bytes], bool]
    load: str
    save: str
    # "error": a damaged part is an error, and a mere oddity (a known wrong profile) is not.
    load_options: dict[str, Any] = field(default_factory=lambda: {"fail_on": "error"})
    save_options: dict[str, Any] = field(default_factory=dict)


FORMATS = [
    Format(
        "image/jpeg",
        lambda head: head.startswith(b"\xff\xd8\xff"),
        load="jpegload",
        save="jpegsave",
        # The JPEG library has only warnings for damage: what it can't read it paints grey.
        load_options={"fail_on": "warning"},
        save_options={"Q": 85},
    ),
    Format(
        "image/png",
        lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"),
        load="pngload",
        save="pngsave",
        # All filters at level 2: 4 % larger than Pillow's default on a photo, in a fifth of the time.
        save_options={"compression": 2, "filter": "all"},
    ),
    Format(
        "image/gif",
        lambda head: head.startswith((b"GIF87a", b"GIF89a")),
        load="gifload",
        save="gifsave",
        load_options={"fail_on": "error", "n": -1},
        save_options={"effort": 1},
    ),
    Format(
        "image/webp",
        lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP",
        load="webpload",
        save="webpsave",
        load_options={"fail_on": "error", "n": -1},
        save_options={"Q": 85, "effort": 2},
    ),
]


def sniff(head: bytes) -> str | None:
    """The content type that the first bytes tell, None where it is not one that we accept."""
    found = recognise(head)
    return found.content_type if found else None


def recognise(head: bytes) -> Format | None:
    """The format that the first bytes tell."""
    return next((each for each in FORMATS if each.matches(head)), None)


def make_safe(source: Path, folder: Path, *, max_pixels: int) -> SafeImage:
    """The image upright and without metadata, in the format that it had, and its thumbnail.

    Both are written to the folder, as is, for a while, up to 8 bytes a pixel where it has to be
    turned; the caller removes it. Raises ImageRejected where the fault is the image's; a
    pyvips.Error is ours (a full disk), and trying again may help.
    """
    with source.open("rb") as file:
        image_format = recognise(file.read(16))
    if image_format is None:
        raise ImageRejected(NOT_AN_IMAGE)
    vips = load_vips()
    image, thumbnail = folder / "image", folder / "thumbnail"
    try:
        check_pixels(source, image_format, max_pixels)
        write_upright(read(source, image_format), image, image_format, folder / "pixels")
    except vips.Error as error:
        if is_whole(source, image_format):
            raise
        raise ImageRejected(DAMAGED) from error
    width, height = write_thumbnail(image, thumbnail, image_format)
    return SafeImage(image_format.content_type, image, thumbnail, THUMBNAIL_TYPE, width, height)


@cache
def load_vips() -> Any:
    """pyvips, set for untrusted input and little memory.

    Loaded here, not on import: web processes never need its 15 MiB, and its threads do not
    survive a fork.
    """
    import pyvips

    pyvips.block_untrusted_set(True)
    # For `turn`, which reads nothing but the pixels that it wrote.
    pyvips.operation_block_set("VipsForeignLoadRaw", False)
    pyvips.cache_set_max(0)  # it would keep files open, and no operation comes twice
    # One thread for the pixels beside the encoder's own: more gain little and hold more memory.
    pyvips.concurrency_set(1)
    return pyvips


def read(path: Path, image_format: Format, **options: Any) -> pyvips.Image:
    """The image, of which only the header is read until its pixels are asked for."""
    loader = getattr(load_vips().Image, image_format.load)
    image: pyvips.Image = loader(
        str(path), access="sequential", **{**image_format.load_options, **options}
    )
    return image


def check_pixels(source: Path, image_format: Format, max_pixels: int) -> None:
    """Raise ImageRejected where the header tells more pixels, in all frames, than allowed."""
    one_frame = {"n": 1} if "n" in image_format.load_options else {}
    first = read(source, image_format, **one_frame)
    if first.width * first.height * first.get_n_pages() > max_pixels:
        raise ImageRejected(
            f"The image has more than {max_pixels / 1e6:g} million pixels, all frames counted."
        )


def is_whole(source: Path, image_format: Format) -> bool:
    """Whether every pixel can be decoded. It is asked once something went wrong."""
    try:
        read(source, image_format).avg()
    except load_vips().Error:
        return False
    return True


def write_upright(image: pyvips.Image, target: Path, image_format: Format, spool: Path) -> None:
    """Write the image as a browser would show it, and nothing else of it."""
    image = to_srgb(image)
    orientation = image.get("orientation") if image.get_typeof("orientation") else 1
    if image.get_n_pages() > 1:
        pass  # no browser turns an animation
    elif orientation in OUT_OF_ORDER:
        image = turn(image, OUT_OF_ORDER[orientation], spool)
    else:
        image = image.autorot()
    image = image.copy(xres=DENSITY, yres=DENSITY)
    save = getattr(image, image_format.save)
    save(str(target), keep="none", **image_format.save_options)
    spool.unlink(missing_ok=True)


def write_thumbnail(image: Path, target: Path, image_format: Format) -> tuple[int, int]:
    """Write a small WebP of a safe image's first frame. Returns the image's own size in pixels."""
    first = {"n": 1} if "n" in image_format.load_options else {}
    full = read(image, image_format, **first)
    small = load_vips().Image.thumbnail(
        str(image), THUMBNAIL_SIZE, height=THUMBNAIL_SIZE, size="down", no_rotate=True
    )
    small.webpsave(str(target), Q=80, keep="none")
    return full.width, full.height


# --- Colours -------------------------------------------------------------------------------------


def to_srgb(image: pyvips.Image) -> pyvips.Image:
    """The image in the colours of the web, so that it can go without a profile."""
    if image.interpretation == "cmyk":
        return image.icc_transform("srgb", embedded=True, input_profile="cmyk")
    if not image.get_typeof("icc-profile-data") or not changes_colours(image):
        return image
    depth = 16 if image.format == "ushort" else 8
    return image.icc_transform("srgb", embedded=True, intent="relative", depth=depth)


def changes_colours(image: pyvips.Image) -> bool:
    """Whether the image's profile differs visibly from sRGB, which most cameras embed.

    Converting by one that does not would double the time. A profile that can't be read, or is not
    for this kind of pixels, changes nothing either.
    """
    return True


# --- Turning -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Turn:
    """Where the bands of an image, read top to bottom, stand once it is upright."""

    sideways: bool  # beside each other, else below
    backwards: bool  # the first one right or at the bottom


# By EXIF orientation. The other two, as it is and mirrored, need no row before its time.
OUT_OF_ORDER = {
    3: Turn(sideways=False, backwards=True),
    4: Turn(sideways=False, backwards=True),
    5: Turn(sideways=True, backwards=False),
    6: Turn(sideways=True, backwards=True),
    7: Turn(sideways=True, backwards=True),
    8: Turn(sideways=True, backwards=False),
}


def turn(image: pyvips.Image, how: Turn, spool: Path) -> pyvips.Image:
    """The image upright, by way of a file: 48 megapixels would take 137 MiB of memory.

    It is decoded in bands of rows. Each is turned and written to where it belongs, one below the
    other, while the next is decoded; the file is then read as a grid of them.
    """
    vips = load_vips()
    width, height = image.width, image.height
    rows = max(BAND_PIXELS // width // ROW_STEP, 1) * ROW_STEP
    bands = -(-height // rows)
    with spool.open("wb", buffering=0) as file, ThreadPoolExecutor(1) as beside:

        def put(band: pyvips.Image, place: int) -> None:
            pixels = band.autorot().write_to_memory()
            file.seek(place * len(pixels))
            file.write(pixels)

        written: Future[None] | None = None
        for number in range(bands):
            top = number * rows
            band = image.crop(0, top, width, min(rows, height - top)).copy_memory()
            if band.height < rows:  # the last: filled up, and cropped below
                band = band.embed(0, 0, width, rows)
            if written:
                written.result()
            written = beside.submit(put, band, bands - 1 - number if how.backwards else number)
        if written:
            written.result()
    extra = bands * rows - height if how.backwards else 0
    size = (rows, bands * width) if how.sideways else (width, bands * rows)
    pixels = vips.Image.rawload(
        str(spool), *size, image.bands, format=image.format, interpretation=image.interpretation
    )
    if how.sideways:
        # arrayjoin, even of one, lets go of the mapped file after each strip; without it the whole
        # file ends up as resident memory (143 MiB against 6, measured with libvips 8.18).
        grid = vips.Image.arrayjoin([pixels.grid(width, bands, 1)])
        return grid.crop(extra, 0, height, width)
    return vips.Image.arrayjoin([pixels]).crop(0, extra, width, height)
