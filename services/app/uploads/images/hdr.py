"""HDR pictures, which have light brighter than white, shown on screens without HDR.

Light counts from 1.0, which is paper white: 203 cd/m² (ITU-R BT.2408). What is brighter gets less
so, by the curve with which Chromium shows it on other screens: the reference white tone mapping
of SMPTE ST 2094-50, as Skia has it (SkHdrAgtm.cpp).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uploads.images import icc

if TYPE_CHECKING:
    import pyvips

PQ, HLG = 16, 18  # the curves' code points: ITU-T H.273, table 3
BT_2020 = 9  # the primaries' in which colours are made darker
WHITE = 203.0  # cd/m²
USUAL_PEAK = 1000.0  # cd/m², where a file does not say
KNEE = 0.65


@dataclass(frozen=True)
class Hdr:
    """The light of a picture, as its file describes it."""

    primaries: int
    curve: int
    peak: float  # cd/m², of its brightest pixel

    @classmethod
    def read(cls, text: str) -> Hdr:
        """From what `str` gives."""
        primaries, curve, peak = text.split()
        return cls(int(primaries), int(curve), float(peak))

    def __str__(self) -> str:
        return f"{self.primaries} {self.curve} {self.peak}"


def said(primaries: int, curve: int, *peaks: float) -> Hdr | None:
    """The light by the file's code points and its first valid peak; None for curves without HDR."""
    if curve not in {PQ, HLG} or primaries not in icc.PRIMARIES:
        return None
    return Hdr(primaries, curve, next(filter(None, peaks), USUAL_PEAK))


def light_of_pq(sample: float) -> float:
    """SMPTE ST 2084, where a sample is 0 to 1."""
    root = sample ** (32 / 2523)
    above = max(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)
    return float(10_000 / WHITE * above ** (16384 / 2610))


def light_of_hlg(sample: float) -> float:
    """Of the scene, 0 to 1: ITU-R BT.2100, table 5."""
    if sample <= 0.5:
        return sample * sample / 3
    return (math.exp((sample - 0.55991073) / 0.17883277) + 0.28466892) / 12


def srgb_of(light: float) -> float:
    """IEC 61966-2-1."""
    return 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


def show(image: pyvips.Image, hdr: Hdr) -> pyvips.Image:
    """The picture in sRGB, with as many bits a sample as it has."""
    deep = image.format == "ushort"
    most = 65535 if deep else 255
    bands = image.bandsplit()
    alpha = bands[-1:] if image.hasalpha() else []
    colours = bands[: len(bands) - len(alpha)]
    red, *others = colours if len(colours) == 3 else colours * 3
    matrix = icc.colorants(icc.PRIMARIES[hdr.primaries])
    from_xyz = icc.inverse(icc.colorants(icc.SRGB))
    to_wide = icc.inverse(icc.colorants(icc.PRIMARIES[BT_2020]))

    to_light = light_of_pq if hdr.curve == PQ else light_of_hlg
    light = look_up(red.bandjoin(others), [to_light(step / most) for step in range(most + 1)])
    if hdr.curve == HLG:  # on a screen, dark parts are darker than they were in the scene
        luminance = light.recomb([list(matrix[1])])
        light = light * luminance**0.2 * (USUAL_PEAK / WHITE)
    wide = light.recomb([list(row) for row in icc.times(to_wide, matrix)])
    brightest = wide[0].bandrank([wide[1], wide[2]], index=2)
    shown = (light * gain(brightest, hdr.peak / WHITE)).recomb(
        [list(row) for row in icc.times(from_xyz, matrix)]
    )
    sixteen = (shown * 65535 + 0.5).cast("ushort")  # values below and above are cut off
    curve = [float(round(most * srgb_of(step / 65535))) for step in range(65536)]
    shown = look_up(sixteen, curve).cast(image.format)
    if len(colours) < 3:
        shown = shown[0]
    return shown.bandjoin(alpha) if alpha else shown


def look_up(image: pyvips.Image, table: list[float]) -> pyvips.Image:
    return image.maplut(type(image).new_from_array([table]))


def gain(brightest: pyvips.Image, peak: float) -> pyvips.Image | float:
    """The factor by which each pixel is made darker, from its brightest colour."""
    headroom = math.log2(peak) if peak > 0 else 0.0
    if headroom < 0.001:
        return 1.0
    white = 1 - 0.5 * min(headroom / math.log2(USUAL_PEAK / WHITE), 1)
    # From (1, white) to (peak, 1), a parabola that bends towards this point.
    x, y = 1 - KNEE + KNEE / white, (1 - KNEE) * white + KNEE
    square, linear = 1 - 2 * x + peak, 2 * (x - 1)
    root = (brightest * (4 * square) + (linear * linear - 4 * square)) ** 0.5
    place = (root - linear) / (2 * square)
    rest = 1 - place
    bent = rest * rest * white + place * rest * (2 * y) + place * place
    level = (brightest >= peak).ifthenelse(1.0, bent)
    return (brightest <= 1).ifthenelse(white, level / brightest)
