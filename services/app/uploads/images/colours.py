"""The picture in the web's colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uploads.images.hdr import Hdr, show
from uploads.images.vips import PROFILE, load_vips, profile_of

if TYPE_CHECKING:
    import pyvips

# Sample colours, in six steps from dark to light: the colour cube or the greys, by the number of a
# picture's colour bands.
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
    profile = profile_of(image)
    if image.interpretation == "cmyk":
        return from_inks(image, profile)
    if isinstance(profile, Hdr):
        return show(image, profile)
    if not changes_colours(image):
        return image
    depth = 16 if image.format == "ushort" else 8
    converted = in_colour(image).icc_transform(
        "srgb", embedded=True, intent="relative", depth=depth
    )
    if image.bands < 3:  # grey stays grey, with a third of the bytes
        converted = converted.colourspace("grey16" if depth == 16 else "b-w")
    return converted


def from_inks(image: pyvips.Image, profile: bytes | Hdr | None) -> pyvips.Image:
    """A picture for print, converted by its profile; without a profile for print, as browsers show
    it."""
    if isinstance(profile, bytes) and profile[16:20] == b"CMYK":
        return image.icc_transform("srgb", embedded=True, input_profile="cmyk")
    black = 255 - image[3]
    paper = (255 - image.extract_band(0, n=3)) * black / 255
    return (paper + 0.5).cast("uchar").copy(interpretation="srgb")


def in_colour(image: pyvips.Image) -> pyvips.Image:
    """The picture in red, green and blue, if its profile is for those."""
    if image.bands >= 3 or bytes(image.get(PROFILE)[16:20]) != b"RGB ":
        return image
    grey = image[0]
    coloured = grey.bandjoin([grey, grey, *image.bandsplit()[1:]])
    return coloured.copy(interpretation="rgb16" if image.format == "ushort" else "srgb")


def changes_colours(image: pyvips.Image) -> bool:
    """Whether a profile is embedded that differs from sRGB by more than rounding.

    Most cameras embed sRGB itself, and converting a photo takes longer than all the rest. A
    profile that can't be read, or is for another kind of picture, changes nothing either.
    """
    vips = load_vips()
    profile = profile_of(image)
    if not isinstance(profile, bytes):
        return profile is not None
    bands = 1 if image.bands < 3 else 3
    samples = vips.Image.new_from_memory(
        SAMPLES[bands], len(SAMPLES[bands]) // bands, 1, bands, "uchar"
    ).copy(interpretation="b-w" if bands == 1 else "srgb")
    samples.set_type(vips.GValue.blob_type, PROFILE, profile)
    samples = in_colour(samples)
    try:
        converted = samples.icc_transform("srgb", embedded=True, intent="relative")
        return bool((converted.cast("short") - samples).abs().max() > 2)
    except vips.Error:
        return False
