"""libvips, and how a picture is read with it: only here do a visitor's bytes meet a loader."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uploads.images.formats import Format
from uploads.images.hdr import Hdr

if TYPE_CHECKING:
    import pyvips

PROFILE = "icc-profile-data"  # as libvips names it
HDR = "s3tasks-hdr"


@cache
def load_vips() -> Any:
    """pyvips, set up for untrusted input and little memory.

    Not loaded with this module: a web process never needs its 15 MiB. It may be loaded before a
    fork but not used before: its threads stay behind, and the child waits for them forever.
    """
    import pyvips

    pyvips.block_untrusted_set(True)
    # For pixels that this package wrote.
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
    embedded = image.get(PROFILE) if image.get_typeof(PROFILE) else None
    return with_profile(image, image_format.colour_profile(path, embedded))


def with_profile(image: pyvips.Image, profile: bytes | Hdr | None) -> pyvips.Image:
    """The image with this profile and no other."""
    image = image.copy()
    image.remove(PROFILE)
    if isinstance(profile, Hdr):
        image.set_type(load_vips().GValue.gstr_type, HDR, str(profile))
    elif profile:
        image.set_type(load_vips().GValue.blob_type, PROFILE, profile)
    return image


def profile_of(image: pyvips.Image) -> bytes | Hdr | None:
    """The profile that it was given."""
    if image.get_typeof(HDR):
        return Hdr.read(image.get(HDR))
    return image.get(PROFILE) if image.get_typeof(PROFILE) else None


def read_frame(path: Path, image_format: Format) -> pyvips.Image:
    """The image's first frame, which has the frame's size and knows how many there are."""
    return read(path, image_format, **image_format.frame_options)


def in_strips(pixels: pyvips.Image, place: tuple[int, int, int, int]) -> pyvips.Image:
    """The place in the pixels of a file, of which no more is in memory than a strip."""
    # arrayjoin, of one though, unmaps the file after each strip: without it all of the file gets
    # resident (143 MiB against 6, libvips 8.18). The cache asks for higher strips, so for fewer.
    strips: pyvips.Image = load_vips().Image.arrayjoin([pixels]).crop(*place)
    return strips.linecache(tile_height=64, access="sequential")
