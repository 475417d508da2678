"""How each type of image is recognised, read and written."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uploads.errors import ImageRejected
from uploads.images import heif, jpeg_markers, png
from uploads.images.hdr import Hdr
from uploads.images.reasons import DAMAGED, TOO_MANY_FRAMES

MAX_FRAMES = 4_000  # more than six minutes at ten a second
HEAD_BYTES = 4096  # enough first bytes to recognise every accepted type: a HEIC lists many brands


def check_gif(path: Path) -> None:
    """Walk over the blocks of a GIF: its library accepts an incomplete animation, and reads all
    frames to count them. Raises ImageRejected.

    https://www.w3.org/Graphics/GIF/spec-gif89a.txt
    """

    def palette_bytes(flags: int) -> int:
        return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0

    frames = 0
    with path.open("rb") as file:
        head = file.read(13)
        file.seek(palette_bytes(head[10]) if len(head) == 13 else 0, os.SEEK_CUR)
        while (block := file.read(1)) in {b",", b"!"}:
            if block == b",":  # a frame: place, size, flags; its palette; the first code's size
                frames += 1
                if frames > MAX_FRAMES:
                    raise ImageRejected(TOO_MANY_FRAMES)
                place = file.read(9)
                file.seek((palette_bytes(place[8]) if len(place) == 9 else 0) + 1, os.SEEK_CUR)
            else:  # an extension: its label
                file.seek(1, os.SEEK_CUR)
            while size := file.read(1):
                if size == b"\0":
                    break
                file.seek(size[0], os.SEEK_CUR)
            else:
                raise ImageRejected(DAMAGED)


def check_webp(path: Path) -> None:
    """Count the frames of a WebP, because its library looks at each one to count them.

    Raises ImageRejected. https://developers.google.com/speed/webp/docs/riff_container
    """
    frames = others = 0
    with path.open("rb") as file:
        file.seek(12)
        while len(chunk := file.read(8)) == 8:
            frames += chunk[:4] == b"ANMF"
            others += chunk[:4] != b"ANMF"
            if frames > MAX_FRAMES:
                raise ImageRejected(TOO_MANY_FRAMES)
            if others > MAX_FRAMES:
                raise ImageRejected(DAMAGED)
            length = int.from_bytes(chunk[4:], "little")
            file.seek(length + length % 2, os.SEEK_CUR)


AVIF = {b"avif", b"avis"}
HEIC = {b"heic", b"heix", b"heim", b"heis"}


def brands(head: bytes) -> list[bytes]:
    """The brands that a file's first bytes name, best first; none if they name none.

    ISO/IEC 14496-12, 4.3; the names: https://mp4ra.org/registered-types/brands
    """
    length, at = int.from_bytes(head[:4]), 8
    if length == 1:  # the size has eight bytes
        length, at = int.from_bytes(head[8:16]), 16
    if head[4:8] != b"ftyp":
        return []
    end = min(length, HEAD_BYTES)
    listed = head[at : min(at + 4, end)] + head[at + 8 : end]  # the minor version is in between
    return [listed[at : at + 4] for at in range(0, len(listed), 4)]


def names(ours: set[bytes]) -> Callable[[bytes], bool]:
    """Whether the first bytes name one of these brands before any of another format."""

    def matches(head: bytes) -> bool:
        return next((brand for brand in brands(head) if brand in AVIF | HEIC), None) in ours

    return matches


@dataclass(frozen=True)
class Encoding:
    """One way to encode a picture; the options are libvips's."""

    content_type: str
    save: str
    options: dict[str, Any]
    most_pixels: int | None = None  # in all frames; more would take too much memory or time


def jpeg(quality: int, **options: Any) -> Encoding:
    """A JPEG of this quality, of what is not transparent."""
    return Encoding("image/jpeg", "jpegsave", {"Q": quality, **options})


def webp(quality: int, most_pixels: int | None = None, **options: Any) -> Encoding:
    """A WebP of this quality."""
    # 48 megapixels in 3 s; 4, the default, takes 6.
    options = {"Q": quality, "effort": 2, **options}
    return Encoding("image/webp", "webpsave", options, most_pixels)


def avif(quality: int) -> Encoding:
    """An AVIF of this quality."""
    # A higher effort takes four times as long and gains nothing.
    return Encoding("image/avif", "heifsave", {"compression": "av1", "Q": quality, "effort": 1})


@dataclass(frozen=True)
class Format:
    """How one image type is recognised, read and written; the options are libvips's."""

    content_type: str
    name: str
    matches: Callable[[bytes], bool]
    load: str
    load_options: dict[str, Any]
    encodings: list[Encoding]  # tried in this order, each with fewer bytes than the one before
    frame_options: dict[str, Any] = field(default_factory=dict)  # to load the first frame alone
    frame_bytes: int = 0  # held a pixel of a frame, by reading and writing together
    alpha_bytes: int = 0  # more, where a pixel may be transparent
    deep_bytes: int = 0  # more, where a sample has more than eight bits
    film_bytes: int = 0  # more, for each frame of an animation
    one_picture: bool = False  # of several only one is read
    drawn: bool = True  # by browsers
    check: Callable[[Path], None] = lambda path: None  # faults that its library overlooks
    # The colour profile to show the picture with, given the one that the decoder found.
    colour_profile: Callable[[Path, bytes | None], bytes | Hdr | None] = lambda path, embedded: (
        embedded
    )
    # Write the file without harmless faults of which its decoder complains; whether anything was
    # written.
    mend: Callable[[Path, Path, str], bool] = lambda source, target, complaint: False


FORMATS = [
    Format(
        "image/jpeg",
        "JPEG",
        lambda head: head.startswith(b"\xff\xd8\xff"),
        load="jpegload",
        # To the JPEG library, damage is only a warning, and it fills in the pixels that it can't
        # read.
        load_options={"fail_on": "warning"},
        encodings=[jpeg(80), jpeg(60), jpeg(35)],  # 85 makes a photo half as large again
        mend=jpeg_markers.mend,
    ),
    Format(
        "image/png",
        "PNG",
        lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"),
        load="pngload",
        # The PNG library's warnings are harmless, such as one about a profile that it knows to be
        # wrong.
        load_options={"fail_on": "error"},
        encodings=[
            # 4 % larger than Pillow makes a photo, in a third of its time.
            Encoding("image/png", "pngsave", {"compression": 2, "filter": "all"}),
            # A drawing of few colours, which filters spoil, and one whose rows are alike.
            Encoding("image/png", "pngsave", {"compression": 6, "filter": "none"}),
            Encoding("image/png", "pngsave", {"compression": 6, "filter": "up"}),
            webp(100, most_pixels=4_000_000, lossless=True),
            webp(85, most_pixels=4_000_000),
            jpeg(80),
            jpeg(35),
        ],
        colour_profile=png.colour_profile,
        mend=png.mend,
    ),
    Format(
        "image/gif",
        "GIF",
        lambda head: head.startswith((b"GIF87a", b"GIF89a")),
        load="gifload",
        load_options={"fail_on": "error", "n": -1},
        encodings=[
            # Its colours fit a palette as they are.
            Encoding("image/gif", "gifsave", {"dither": 0}),
            Encoding("image/gif", "gifsave", {"dither": 0, "interframe_maxerror": 8}),
            webp(60, most_pixels=20_000_000),
        ],
        frame_options={"n": 1},
        frame_bytes=19,
        check=check_gif,
    ),
    Format(
        "image/webp",
        "WebP",
        lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP",
        load="webpload",
        load_options={"fail_on": "error", "n": -1},
        encodings=[webp(85), webp(60), webp(30)],
        frame_options={"n": 1},
        frame_bytes=14,
        alpha_bytes=26,
        film_bytes=4,  # its loader keeps all frames until the last
        check=check_webp,
    ),
    Format(
        "image/avif",
        "AVIF",
        names(AVIF),
        load="heifload",
        load_options={"fail_on": "error"},
        encodings=[avif(65), avif(45), avif(25)],  # 65: as good as the WebP, in two thirds
        frame_bytes=20,
        alpha_bytes=20,
        deep_bytes=4,
        one_picture=True,
        colour_profile=heif.colour_profile,
    ),
    Format(
        "image/heic",
        "HEIC",
        names(HEIC),
        load="heifload",
        load_options={"fail_on": "error"},
        # Only Apple's browsers show a HEIC, so it becomes a JPEG, with white for transparent
        # pixels.
        encodings=[jpeg(quality, background=255) for quality in (80, 65, 45, 25)],
        frame_bytes=5,
        alpha_bytes=4,
        deep_bytes=8,
        one_picture=True,
        drawn=False,  # https://caniuse.com/heif
        colour_profile=heif.colour_profile,
    ),
]

# What people call each type that we accept.
IMAGE_TYPES = {each.content_type: each.name for each in FORMATS}
DRAWN_TYPES = {each.content_type for each in FORMATS if each.drawn}

# An animated PNG. Large films are encoded smaller at once, because the lossless way takes long.
ANIMATED_PNG = Format(
    "image/png",
    "PNG",
    lambda head: False,  # its first bytes are those of any PNG
    load="",
    load_options={},
    encodings=[
        webp(20, most_pixels=40_000_000, lossless=True, effort=1),
        webp(85),
        webp(60),
        webp(30),
    ],
    frame_bytes=70,
)


def detect_format(head: bytes) -> Format | None:
    """The format, recognised by the first bytes."""
    return next((each for each in FORMATS if each.matches(head)), None)


def sniff(head: bytes) -> str | None:
    """The content type, recognised by the first bytes; None if we don't accept it."""
    found = detect_format(head)
    return found.content_type if found else None
