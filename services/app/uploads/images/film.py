"""Animations whose frames libvips would not put together as browsers do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from uploads.images.colours import changes_colours, to_srgb
from uploads.images.hdr import Hdr
from uploads.images.vips import in_strips, load_vips, with_profile

if TYPE_CHECKING:
    import pyvips

LONGEST = 2**24 - 1  # milliseconds; the longest that a WebP shows a frame
LONGEST_OF_ALL = 2**31 - 1  # milliseconds of a whole animation, as its encoder adds them up
MOST_PLAYS = 2**16 - 1


class Then(Enum):
    """What happens to a frame's area before the next frame."""

    KEPT = 0
    CLEARED = 1
    RESTORED = 2  # to what was there before the frame


@dataclass(frozen=True)
class Still:
    """One frame, which may be smaller than its film."""

    write: Callable[[], bytes]  # as a file of its own
    left: int
    top: int
    milliseconds: int
    replaces: bool  # else it is blended over the canvas
    then: Then


@dataclass(frozen=True)
class Film:
    """An animation; sizes in pixels."""

    width: int
    height: int
    stills: list[Still]
    plays: int  # 0: for ever
    load: str  # libvips's loader for a still
    profile: bytes | Hdr | None = None

    def frame(self) -> pyvips.Image:
        """An empty frame of the film's size, with the number of frames in its metadata."""
        empty = load_vips().Image.black(self.width, self.height, bands=4)
        empty = empty.copy(interpretation="srgb")
        empty.set_type(load_vips().GValue.gint_type, "n-pages", len(self.stills))
        return empty


def compose(film: Film, spool: Path) -> None:
    """Write all frames, each complete, one below the other, at 4 bytes a pixel. Memory holds one
    frame."""
    canvas = film.frame()
    converts = None
    with spool.open("wb") as file:
        for still in film.stills:
            picture = decode(still, film)
            if converts is None:
                converts = changes_colours(picture)
            picture = with_alpha(to_srgb(picture) if converts else picture)
            drawn = draw(canvas, picture, still).copy_memory()
            file.write(drawn.write_to_memory())
            if still.then is Then.CLEARED:
                nothing = load_vips().Image.black(picture.width, picture.height, bands=4)
                canvas = drawn.insert(nothing, still.left, still.top).copy_memory()
            elif still.then is Then.KEPT:
                canvas = drawn


def composed(film: Film, spool: Path) -> pyvips.Image:
    """The frames that were written, with their metadata."""
    vips = load_vips()
    count = len(film.stills)
    height = film.height * count
    pages = vips.Image.rawload(str(spool), film.width, height, 4, interpretation="srgb")
    pages = in_strips(pages, (0, 0, film.width, height)).copy()
    pages.set_type(vips.GValue.gint_type, "page-height", film.height)
    pages.set_type(vips.GValue.gint_type, "n-pages", count)
    pages.set_type(vips.GValue.gint_type, "loop", min(film.plays, MOST_PLAYS))
    longest = min(LONGEST, LONGEST_OF_ALL // count)
    delays = [min(still.milliseconds, longest) for still in film.stills]
    pages.set_type(vips.GValue.array_int_type, "delay", delays)
    return pages


def decode(still: Still, film: Film) -> pyvips.Image:
    loader = getattr(load_vips().Image, film.load)
    return with_profile(loader(still.write(), fail_on="error"), film.profile)


def with_alpha(picture: pyvips.Image) -> pyvips.Image:
    """Red, green, blue and alpha, eight bits each."""
    picture = picture.colourspace("srgb")
    return picture if picture.hasalpha() else picture.bandjoin(255)


def draw(canvas: pyvips.Image, picture: pyvips.Image, still: Still) -> pyvips.Image:
    """Draw the frame in its place on the canvas; it may reach beyond the edges."""
    width = min(picture.width, canvas.width - still.left)
    height = min(picture.height, canvas.height - still.top)
    if width <= 0 or height <= 0:
        return canvas
    picture = picture.crop(0, 0, width, height)
    if not still.replaces:
        under, alpha = canvas.crop(still.left, still.top, width, height), picture[3]
        mixed = under.composite2(picture, "over").cast("uchar")
        # Exactly, or pixels under a transparent frame would become darker with each one.
        mixed = (alpha == 0).ifthenelse(under, mixed)
        picture = (alpha == 255).ifthenelse(picture, mixed)
    return canvas.insert(picture, still.left, still.top)
