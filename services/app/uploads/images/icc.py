"""A colour profile made of what a file says in other words: primaries, a white and a curve.

The code points are those of ITU-T H.273, which PNG's cICP and the nclx of an AVIF or a HEIC use.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

XY = tuple[float, float]  # CIE 1931
Matrix = tuple[tuple[float, ...], ...]

D50 = (0.9642, 1.0, 0.8249)  # the white in which profiles meet: ICC.1:2022, 7.2.16
# How an eye adapts to another white: ICC.1:2022, annex E.
BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
MOST = 32767.0  # that a number of a profile can be
CURVE_STEPS = 4096


@dataclass(frozen=True)
class Primaries:
    """Where a picture's red, green, blue and white lie."""

    red: XY
    green: XY
    blue: XY
    white: XY


WHITE_C, D65, WHITE_DCI = (0.310, 0.316), (0.3127, 0.3290), (0.314, 0.351)
PRIMARIES = {  # H.273, table 2
    1: Primaries((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65),
    4: Primaries((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), WHITE_C),
    5: Primaries((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), D65),
    6: Primaries((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),
    7: Primaries((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),
    8: Primaries((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), WHITE_C),
    9: Primaries((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65),
    10: Primaries((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (1 / 3, 1 / 3)),
    11: Primaries((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), WHITE_DCI),
    12: Primaries((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65),
    22: Primaries((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), D65),
}
SRGB = PRIMARIES[1]


# --- Curves: the light that a sample, 0 to 1, stands for -----------------------------------------


def parametric(kind: int, *values: float) -> bytes:
    """One of ICC.1:2022, 10.18."""
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + b"".join(map(number, values))


def power(exponent: float) -> bytes:
    return parametric(0, exponent)


def table(curve: Callable[[float], float]) -> bytes:
    values = (curve(step / (CURVE_STEPS - 1)) for step in range(CURVE_STEPS))
    steps = [round(65535 * min(max(value, 0.0), 1.0)) for value in values]
    return b"curv\0\0\0\0" + struct.pack(f">I{CURVE_STEPS}H", CURVE_STEPS, *steps)


def smpte_240(sample: float) -> float:
    return sample / 4 if sample < 0.0913 else ((sample + 0.1115) / 1.1115) ** (1 / 0.45)


CURVES: dict[int, Callable[[], bytes]] = {  # H.273, table 3, as screens show them: BT.1886
    **dict.fromkeys((1, 6, 11, 14, 15), lambda: power(2.4)),
    4: lambda: power(2.2),
    5: lambda: power(2.8),
    7: lambda: table(smpte_240),
    8: lambda: power(1.0),
    13: lambda: parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
    17: lambda: table(lambda sample: 52.37 / 48 * sample**2.6),
}


# --- The profile ---------------------------------------------------------------------------------


def make_profile(primaries: Primaries, curve: bytes) -> bytes | None:
    """An ICC profile of version 4; None where there are no such colours."""
    try:
        matrix = colorants(primaries)
    except ZeroDivisionError:
        return None
    if max(abs(value) for row in matrix for value in row) > MOST:
        return None
    text = b"mluc\0\0\0\0" + struct.pack(">II", 0, 12)  # no words in any language
    tags = {b"desc": text, b"cprt": text, b"wtpt": place(D50)}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    columns = zip(*matrix, strict=True)
    tags |= dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), map(place, columns), strict=True))

    start = 128 + 4 + 12 * len(tags)
    listed, data, places = struct.pack(">I", len(tags)), b"", dict[bytes, int]()
    for name, content in tags.items():
        if content not in places:
            places[content] = start + len(data)
            data += content + bytes(-len(content) % 4)
        listed += name + struct.pack(">II", places[content], len(content))
    version = 0x0430_0000
    head = struct.pack(
        ">I4xI4s4s4s12x4s", start + len(data), version, b"mntr", b"RGB ", b"XYZ ", b"acsp"
    )
    head = head.ljust(68, b"\0") + b"".join(map(number, D50))
    return head.ljust(128, b"\0") + listed + data


def number(value: float) -> bytes:
    """A signed one with 16 bits behind the point: ICC.1:2022, 4.6."""
    return struct.pack(">i", round(65536 * min(max(value, -MOST), MOST)))


def place(xyz: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(number, xyz))


def colorants(primaries: Primaries) -> Matrix:
    """What takes light in the primaries to XYZ under D50. Raises ZeroDivisionError."""
    colours = columns_of(to_xyz(xy) for xy in (primaries.red, primaries.green, primaries.blue))
    white = columns_of([to_xyz(primaries.white)])
    amounts = diagonal(times(inverse(colours), white))
    cones, cones_d50 = times(BRADFORD, white), times(BRADFORD, columns_of([D50]))
    ratios = tuple((new[0] / old[0],) for new, old in zip(cones_d50, cones, strict=True))
    adapted = times(inverse(BRADFORD), times(diagonal(ratios), BRADFORD))
    return times(adapted, times(colours, amounts))


def to_xyz(xy: XY) -> tuple[float, ...]:
    x, y = xy
    return (x, y, 1 - x - y)


def columns_of(columns: Iterable[tuple[float, ...]]) -> Matrix:
    return tuple(zip(*columns, strict=True))


def diagonal(column: Matrix) -> Matrix:
    a, b, c = (row[0] for row in column)
    return ((a, 0.0, 0.0), (0.0, b, 0.0), (0.0, 0.0, c))


def times(one: Matrix, other: Matrix) -> Matrix:
    columns = list(zip(*other, strict=True))
    return tuple(
        tuple(sum(a * b for a, b in zip(row, column, strict=True)) for column in columns)
        for row in one
    )


def inverse(matrix: Matrix) -> Matrix:
    (a, b, c), (d, e, f), (g, h, i) = matrix
    determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    return tuple(
        tuple(value / determinant for value in row)
        for row in (
            (e * i - f * h, c * h - b * i, b * f - c * e),
            (f * g - d * i, a * i - c * g, c * d - a * f),
            (d * h - e * g, b * g - a * h, a * e - b * d),
        )
    )
