"""How each type of image is recognised, read and written."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from uploads.images import heif, png

HEAD_BYTES = 4096  # as many first bytes tell every type that we accept: a HEIC has many brands


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


AVIF = {b"avif", b"avis"}
HEIC = {b"heic", b"heix", b"heim", b"heis"}


def brands(head: bytes) -> list[bytes]:
    """What the first bytes say that a file is read as, best first; nothing where they don't.

    ISO/IEC 14496-12, 4.3; the names: https://mp4ra.org/registered-types/brands
    """
    length, at = int.from_bytes(head[:4]), 8
    if length == 1:  # more than four bytes can tell
        length, at = int.from_bytes(head[8:16]), 16
    if head[4:8] != b"ftyp":
        return []
    end = min(length, HEAD_BYTES)
    listed = head[at : min(at + 4, end)] + head[at + 8 : end]  # a version stands in between
    return [listed[at : at + 4] for at in range(0, len(listed), 4)]


def names(ours: set[bytes]) -> Callable[[bytes], bool]:
    """Whether the first bytes name one of the brands before any of another format."""

    def matches(head: bytes) -> bool:
        return next((brand for brand in brands(head) if brand in AVIF | HEIC), None) in ours

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
    apart: str = ""  # what the decoder decodes it as; then only its header is read here
    safe_type: str = ""  # what it becomes, where that is another type
    is_whole: Callable[[Path], bool] = lambda path: True
    # The profile that it is shown with, from the one that the decoder found.
    colour_profile: Callable[[Path, bytes | None], bytes | None] = lambda path, embedded: embedded


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
        colour_profile=png.colour_profile,
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
        names(AVIF),
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
        colour_profile=heif.colour_profile,
    ),
    Format(
        "image/heic",
        names(HEIC),
        load="heifload",
        save="jpegsave",
        load_options={"fail_on": "error"},
        save_options={"Q": 80, "background": 255},  # white, where a JPEG can't be transparent
        frame_bytes=5,
        alpha_bytes=4,
        deep_bytes=8,
        apart="heic",
        colour_profile=heif.colour_profile,
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
