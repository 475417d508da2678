"""An uploaded image made safe: decoded, turned upright, stripped of metadata, encoded anew.

Knows nothing of storage or rows. Only the loaders below ever see a visitor's bytes.
Pixels stream from the decoder to the encoder, and where a picture has to be turned they go by way
of a file, so memory does not grow with the picture. What its format keeps whole (an interlaced
picture, a frame of a GIF or a WebP, an AVIF, a HEIC) has a limit of its own, and what comes near
it is made alone.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from signal import SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGXCPU
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_noop

from uploads import heif
from uploads.errors import ImageRejected

if TYPE_CHECKING:
    import pyvips

THUMBNAIL_SIZE = 320  # pixels, the longer side
THUMBNAIL_TYPE = "image/webp"  # the smallest that every browser shows, and it has transparency

HEAD_BYTES = 64  # as many first bytes tell every type that we accept

# What may be held of a picture that does not stream: a dyno has 512 MiB, an idle worker up to 225,
# and any picture takes 20 or more.
WHOLE_MAX_BYTES = 240 * 1024 * 1024
ALONE_BYTES = 80 * 1024 * 1024  # one that holds more is made while no other is

# Locked by who makes a picture. In each container's own folder, which TMPDIR need not be; without
# containers another user's file could not be opened there.
PICTURES = Path(f"/tmp/s3tasks-pictures-{os.getuid()}")  # noqa: S108

# What is decoded at once of a picture that has to be turned. Rows come in sixteens, which is the
# decoders' own step: one that reads in sequence can't go back into a step that it has left.
BAND_BYTES = 8 * 1024 * 1024
ROW_STEP = 16

# How heif.py ends where a picture is too much for it. SIGKILL comes from elsewhere.
CRASHED = {-number for number in (SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGXCPU)}

DENSITY = 72 / 25.4  # pixels a millimetre; one for all, as the picture's own says where it is from

NOT_AN_IMAGE = gettext_noop("This is not a JPEG, PNG, GIF, WebP, AVIF or HEIC image.")
DAMAGED = gettext_noop("The image is damaged or incomplete.")
TOO_MANY_PIXELS = gettext_noop(
    "The image has more than %(megapixels)s million pixels, all frames counted."
)
TOO_MUCH_AT_ONCE = gettext_noop(
    "The image has too many pixels for a GIF, a WebP, an AVIF, a HEIC or an interlaced picture;"
    " a plain JPEG or PNG may have more."
)


@dataclass(frozen=True)
class SafeImage:
    """Two files that may be shown to anybody, and what they are. Sizes in pixels, upright."""

    content_type: str
    image: Path
    thumbnail: Path
    thumbnail_content_type: str
    width: int
    height: int


# --- Formats -------------------------------------------------------------------------------------


def gif_is_whole(path: Path) -> bool:
    """Whether its last block has an end: of a cut animation the GIF library shows what is there.

    https://www.w3.org/Graphics/GIF/spec-gif89a.txt
    """

    def palette_bytes(flags: int) -> int:
        return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0

    with path.open("rb") as file:
        file.seek(palette_bytes(file.read(13)[10]), os.SEEK_CUR)
        while (block := file.read(1)) in {b",", b"!"}:
            if block == b",":  # a frame: place, size, flags; its palette; the first code's size
                place = file.read(9)
                file.seek((palette_bytes(place[8]) if len(place) == 9 else 0) + 1, os.SEEK_CUR)
            else:  # an extension: its label
                file.seek(1, os.SEEK_CUR)
            while size := file.read(1):
                if size == b"\0":
                    break
                file.seek(size[0], os.SEEK_CUR)
            else:
                return False
    return True


def names(*brands: bytes) -> Callable[[bytes], bool]:
    """Whether the first bytes name one of the brands: https://mp4ra.org/registered-types/brands"""

    def matches(head: bytes) -> bool:
        length = int.from_bytes(head[:4])
        named = head[8:12] + head[16 : min(length, HEAD_BYTES)]
        return head[4:8] == b"ftyp" and any(
            named[at : at + 4] in brands for at in range(0, len(named), 4)
        )

    return matches


@dataclass(frozen=True)
class Format:
    """How one type is recognised, read and written; options are libvips's."""

    content_type: str
    matches: Callable[[bytes], bool]
    load: str
    save: str
    load_options: dict[str, Any]
    save_options: dict[str, Any]
    frame_options: dict[str, Any] = field(default_factory=dict)  # to load the first frame alone
    frame_bytes: int = 0  # held a pixel of a frame, by reading and writing together
    alpha_bytes: int = 0  # more, where a pixel may be transparent
    deep_bytes: int = 0  # more, where a sample has more than eight bits
    film_bytes: int = 0  # more, for each frame of an animation
    apart: str = ""  # what heif.py decodes it as; then only its header is read here
    safe_type: str = ""  # what it becomes, where that is another type
    is_whole: Callable[[Path], bool] = lambda path: True


FORMATS = [
    Format(
        "image/jpeg",
        lambda head: head.startswith(b"\xff\xd8\xff"),
        load="jpegload",
        save="jpegsave",
        # Damage is no more than a warning to the JPEG library, and what it can't read it paints.
        load_options={"fail_on": "warning"},
        save_options={"Q": 80},  # 85 makes a photo half as large again
    ),
    Format(
        "image/png",
        lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"),
        load="pngload",
        save="pngsave",
        # To the PNG library a warning is a profile that it knows to be wrong, or the like.
        load_options={"fail_on": "error"},
        # 4 % larger than Pillow makes a photo, in a third of its time.
        save_options={"compression": 2, "filter": "all"},
    ),
    Format(
        "image/gif",
        lambda head: head.startswith((b"GIF87a", b"GIF89a")),
        load="gifload",
        save="gifsave",
        load_options={"fail_on": "error", "n": -1},
        save_options={"dither": 0},  # its colours fit a palette as they are
        frame_options={"n": 1},
        frame_bytes=19,
        is_whole=gif_is_whole,
    ),
    Format(
        "image/webp",
        lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP",
        load="webpload",
        save="webpsave",
        load_options={"fail_on": "error", "n": -1},
        save_options={"Q": 85, "effort": 2},  # 48 megapixels in 3 s; 4, the default, takes 6
        frame_options={"n": 1},
        frame_bytes=12,
        alpha_bytes=26,
        film_bytes=4,  # its loader lets go of no frame before the last
    ),
    Format(
        "image/avif",
        names(b"avif", b"avis"),
        load="heifload",
        save="heifsave",
        load_options={"fail_on": "error"},
        # As good as the WebP above in two thirds of its bytes. A higher effort takes four times as
        # long and gains nothing.
        save_options={"compression": "av1", "Q": 65, "effort": 1},
        frame_bytes=20,
        alpha_bytes=16,
        deep_bytes=4,
        apart="avif",
    ),
    Format(
        "image/heic",
        names(b"heic", b"heix", b"heim", b"heis"),
        load="heifload",
        save="jpegsave",
        load_options={"fail_on": "error"},
        save_options={"Q": 80, "background": 255},  # white, where a JPEG can't be transparent
        frame_bytes=5,
        alpha_bytes=4,
        deep_bytes=8,
        apart="heic",
        safe_type="image/jpeg",  # only Apple's browsers show the other
    ),
]


def recognise(head: bytes) -> Format | None:
    """The format that the first bytes tell."""
    return next((each for each in FORMATS if each.matches(head)), None)


def sniff(head: bytes) -> str | None:
    """The content type that the first bytes tell, None where it is none that we accept."""
    found = recognise(head)
    return found.content_type if found else None


# --- Making it safe ------------------------------------------------------------------------------


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


@contextmanager
def room_for(held_bytes: int) -> Iterator[None]:
    """Wait until the picture fits beside those of the worker's other processes; until the end.

    The kernel lifts the lock of a process that is killed.
    """
    with PICTURES.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if held_bytes > ALONE_BYTES else fcntl.LOCK_SH)
        yield


@cache
def load_vips() -> Any:
    """pyvips, set up for untrusted input and little memory.

    Not loaded with this module: a web process never needs its 15 MiB. It may be loaded before a
    fork but not used before: its threads stay behind, and the child waits for them forever.
    """
    import pyvips

    pyvips.block_untrusted_set(True)
    # For pixels that this module or heif.py wrote.
    pyvips.operation_block_set("VipsForeignLoadRaw", False)
    pyvips.cache_set_max(0)  # it would hold files open, and no operation comes twice
    # One thread for the pixels beside the encoder's own: two are no faster and hold more memory.
    pyvips.concurrency_set(1)
    return pyvips


def read(path: Path, image_format: Format, **options: Any) -> pyvips.Image:
    """The image with all its frames; only its header is read until pixels are asked for."""
    loader = getattr(load_vips().Image, image_format.load)
    options = image_format.load_options | options
    image: pyvips.Image = loader(str(path), access="sequential", **options)
    return image


def read_frame(path: Path, image_format: Format) -> pyvips.Image:
    """The image's first frame, which has the frame's size and knows how many there are."""
    return read(path, image_format, **image_format.frame_options)


def decode_apart(
    source: Path, target: Path, frame: pyvips.Image, image_format: Format
) -> pyvips.Image:
    """The pixels by way of a file, as heif.py decodes them, and the profile of the header."""
    vips = load_vips()
    most = str(WHOLE_MAX_BYTES + heif.OWN_BYTES)
    done = subprocess.run(
        [sys.executable, "-I", heif.__file__, image_format.apart, str(source), str(target), most],
        env={name: value for name, value in os.environ.items() if name.startswith("MALLOC_")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == heif.DAMAGED or done.returncode in CRASHED:
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
        if not image_format.apart:  # of those heif.py has told already
            image.avg()
    except load_vips().Error:
        return False
    return True


def check_pixels(frame: pyvips.Image, image_format: Format, max_pixels: int) -> int:
    """How many bytes will be held of the picture, by what its header tells.

    Raises ImageRejected where those, or its pixels, are more than allowed.
    """
    frame_pixels = frame.width * frame.height
    # Of several pictures in an AVIF or a HEIC only one is read.
    frames = 1 if image_format.apart else frame.get_n_pages()
    if frame_pixels * frames > max_pixels:
        raise ImageRejected(TOO_MANY_PIXELS)
    # Interlaced: 2 bytes for each coefficient of a progressive JPEG, at most 2 a sample of a PNG.
    pixel_bytes = 2 * frame.bands if frame.get_typeof("interlaced") else 0
    pixel_bytes += image_format.frame_bytes
    pixel_bytes += image_format.alpha_bytes if frame.hasalpha() else 0
    pixel_bytes += image_format.deep_bytes if frame.format == "ushort" else 0
    pixel_bytes += image_format.film_bytes * frames if frames > 1 else 0
    if frame_pixels * pixel_bytes > WHOLE_MAX_BYTES:
        raise ImageRejected(TOO_MUCH_AT_ONCE)
    return int(frame_pixels * pixel_bytes)


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


# --- Colours -------------------------------------------------------------------------------------

# Every sixth of the colour cube, or of the greys, by the number of a picture's colour bands.
SAMPLES = {
    1: bytes(range(0, 256, 51)),
    3: bytes(
        level
        for red in range(0, 256, 51)
        for green in range(0, 256, 51)
        for blue in range(0, 256, 51)
        for level in (red, green, blue)
    ),
}


def to_srgb(image: pyvips.Image) -> pyvips.Image:
    """The picture in the web's colours, so that it looks right without its profile."""
    if image.interpretation == "cmyk":
        return image.icc_transform("srgb", embedded=True, input_profile="cmyk")
    if not changes_colours(image):
        return image
    depth = 16 if image.format == "ushort" else 8
    converted = image.icc_transform("srgb", embedded=True, intent="relative", depth=depth)
    if image.bands < 3:  # a grey one, which need not take three times the bytes
        converted = converted.colourspace("grey16" if depth == 16 else "b-w")
    return converted


def changes_colours(image: pyvips.Image) -> bool:
    """Whether a profile is embedded that differs from sRGB by more than rounding.

    Most cameras embed sRGB itself, and converting a photo takes longer than all the rest. A
    profile that can't be read, or is for another kind of picture, changes nothing either.
    """
    vips = load_vips()
    if not image.get_typeof("icc-profile-data"):
        return False
    bands = 1 if image.bands < 3 else 3
    samples = vips.Image.new_from_memory(
        SAMPLES[bands], len(SAMPLES[bands]) // bands, 1, bands, "uchar"
    ).copy(interpretation="b-w" if bands == 1 else "srgb")
    samples.set_type(vips.GValue.blob_type, "icc-profile-data", image.get("icc-profile-data"))
    try:
        converted = samples.icc_transform("srgb", embedded=True, intent="relative")
        return bool((converted.cast("short") - samples).abs().max() > 2)
    except vips.Error:
        return False


# --- Turning -------------------------------------------------------------------------------------


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


def in_strips(pixels: pyvips.Image, place: tuple[int, int, int, int]) -> pyvips.Image:
    """The place in the pixels of a file, of which no more is in memory than a strip."""
    # arrayjoin, of one though, unmaps the file after each strip: without it all of the file gets
    # resident (143 MiB against 6, libvips 8.18). The cache asks for higher strips, so for fewer.
    strips: pyvips.Image = load_vips().Image.arrayjoin([pixels]).crop(*place)
    return strips.linecache(tile_height=64, access="sequential")
