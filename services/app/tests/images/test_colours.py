"""A picture's colours are those that Chromium shows of it, whichever way its file says them."""

import io
import struct
import zlib

import pytest
from PIL import Image, ImageCms

from support import PICTURES
from support.pngs import chunk, png
from support.seen import difference, open_chromium
from uploads import images
from uploads.images import heif, icc
from uploads.images.vips import load_vips

MOST = 2  # of 255, the mean difference a sample

D65 = (0.3127, 0.3290)
SRGB = (D65, (0.64, 0.33), (0.3, 0.6), (0.15, 0.06))
P3 = (D65, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
ADOBE = (D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
PROPHOTO = ((0.3457, 0.3585), (0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001))


def gama(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


def chrm(*places: tuple[float, float]) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(1e5 * each) for xy in places for each in xy)))


def cicp(primaries: int, curve: int, matrix: int = 0, full_range: int = 1) -> bytes:
    return chunk(b"cICP", bytes([primaries, curve, matrix, full_range]))


def iccp(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))


def profile(primaries: int, curve: int) -> bytes:
    return icc.make_profile(icc.PRIMARIES[primaries], icc.CURVES[curve]())


LINEAR, P3_PROFILE = profile(1, 8), profile(12, 13)
JUNK = b"junk" * 99
SRGB_CHUNK = chunk(b"sRGB", b"\0")
SUGGESTED = chunk(b"PLTE", bytes(range(48)))


def colourful(mode: str = "RGB") -> Image.Image:
    """Every sixth of the cube, and all greys."""
    levels = range(0, 256, 51)
    cube = [(red, green, blue) for red in levels for green in levels for blue in levels]
    pixels = cube + [(level,) * 3 for level in range(256)]
    picture = Image.new("RGB", (len(pixels), 1))
    picture.putdata(pixels)
    picture = picture.resize((len(pixels), 8), Image.Resampling.NEAREST)
    if mode in {"LA", "RGBA"}:
        picture.putalpha(Image.linear_gradient("L").rotate(90).resize(picture.size))
    return picture.quantize(256) if mode == "P" else picture.convert(mode)


SAID = {
    "gAMA 1": [gama(100_000)],
    "gAMA 1/2.2": [gama(45_455)],
    "gAMA 1/1.8": [gama(55_556)],
    "gAMA 0.35": [gama(35_000)],
    "gAMA 0.4318": [gama(43_181)],
    "gAMA 0.4319": [gama(43_182)],
    "gAMA 0.4772": [gama(47_727)],
    "gAMA 0.4773": [gama(47_728)],
    "gAMA 0.5": [gama(50_000)],
    "gAMA 5": [gama(500_000)],
    "gAMA 100": [gama(10_000_000)],
    "gAMA of the smallest": [gama(1)],
    "gAMA of the largest": [gama(2**32 - 1)],
    "gAMA 0": [gama(0)],
    "gAMA cut": [chunk(b"gAMA", b"\0\1")],
    "gAMA twice": [gama(100_000), gama(45_455)],
    "gAMA after a palette": [SUGGESTED, gama(100_000)],
    "gAMA with a wrong checksum": [gama(100_000)[:-1] + b"\0"],
    "cHRM alone": [chrm(*P3)],
    "cHRM and gAMA, sRGB": [gama(45_455), chrm(*SRGB)],
    "cHRM and gAMA, P3": [chrm(*P3), gama(45_455)],
    "cHRM and gAMA, Adobe": [chrm(*ADOBE), gama(45_455)],
    "cHRM and gAMA, ProPhoto": [chrm(*PROPHOTO), gama(55_556)],
    "cHRM of zeros": [chrm(*[(0, 0)] * 4), gama(100_000)],
    "cHRM of one point": [chrm(*[D65] * 4), gama(100_000)],
    "cHRM and gAMA 0": [chrm(*P3), gama(0)],
    "sRGB before gAMA": [SRGB_CHUNK, gama(100_000)],
    "sRGB after gAMA": [gama(100_000), chrm(*P3), SRGB_CHUNK],
    "sRGB of no intent": [chunk(b"sRGB", b"\7"), gama(100_000)],
    "sRGB of two bytes": [chunk(b"sRGB", b"\0\0"), gama(100_000)],
    "iCCP": [iccp(P3_PROFILE)],
    "iCCP before gAMA": [iccp(P3_PROFILE), gama(100_000)],
    "iCCP after gAMA": [gama(100_000), iccp(P3_PROFILE)],
    "iCCP before sRGB": [iccp(LINEAR), SRGB_CHUNK],
    "iCCP after sRGB": [SRGB_CHUNK, iccp(LINEAR)],
    "iCCP after a palette": [SUGGESTED, iccp(LINEAR)],
    "iCCP of junk, gAMA": [iccp(JUNK), gama(100_000)],
    "iCCP of junk, sRGB": [iccp(JUNK), SRGB_CHUNK, gama(100_000)],
    "iCCP that is not compressed": [chunk(b"iCCP", b"x\0\0" + LINEAR), gama(100_000)],
    "cICP P3": [cicp(12, 13)],
    "cICP BT.2020": [cicp(9, 14)],
    "cICP linear": [cicp(1, 8)],
    "cICP before iCCP": [cicp(12, 13), iccp(LINEAR)],
    "cICP after iCCP": [iccp(LINEAR), cicp(12, 13)],
    "cICP after sRGB and gAMA": [SRGB_CHUNK, gama(100_000), cicp(12, 13)],
    "cICP twice": [cicp(1, 8), cicp(12, 13)],
    "cICP after a palette": [SUGGESTED, cicp(1, 8)],
    "cICP of narrow range, gAMA": [cicp(12, 13, 0, 0), gama(100_000)],
    "cICP unspecified, gAMA": [cicp(2, 2), gama(100_000)],
    "cICP unspecified, iCCP": [cicp(2, 13), iccp(LINEAR)],
    "cICP of unknown codes": [cicp(99, 99)],
    "cICP cut, gAMA": [chunk(b"cICP", b"\1\x08\0"), gama(100_000)],
}

HDR = {
    "PQ": [cicp(9, 16)],
    "PQ in sRGB's primaries": [cicp(1, 16)],
    "PQ in Display P3": [cicp(12, 16)],
    "HLG": [cicp(9, 18)],
    "HLG in Display P3": [cicp(12, 18)],
    "PQ before iCCP": [iccp(LINEAR), cicp(9, 16)],
    **{
        f"{name} up to {nits}": [cicp(9, curve), light]
        for name, curve in (("PQ", 16), ("HLG", 18))
        for nits in (0, 1, 100, 203, 204, 400, 1000, 4000, 10_000)
        for light in [chunk(b"cLLI", struct.pack(">II", nits * 10_000, 10_000))]
    },
    "PQ of a screen up to 4000": [
        cicp(9, 16),
        chunk(b"mDCV", struct.pack(">8HII", *[20_000] * 8, 40_000_000, 1)),
    ],
    "PQ up to 600 of a screen up to 4000": [
        cicp(9, 16),
        chunk(b"mDCV", struct.pack(">8HII", *[20_000] * 8, 40_000_000, 1)),
        chunk(b"cLLI", struct.pack(">II", 6_000_000, 10_000)),
    ],
}


@pytest.fixture(scope="module")
def chromium():
    with open_chromium() as chromium:
        yield chromium


@pytest.fixture
def seen(chromium, tmp_path):
    """How much what is made of the content differs from it, both in Chromium."""

    def seen(content: bytes, content_type: str) -> float:
        source = tmp_path / "incoming"
        source.write_bytes(content)
        safe = images.make_safe(source, tmp_path, max_pixels=10**7)
        before = chromium.still(content, content_type)
        after = chromium.still(safe.image.read_bytes(), safe.content_type)
        return difference(before, after)

    return seen


@pytest.mark.parametrize("name", ["p_gama_1.png", "p_cicp_p3.png"])
def test_a_picture_without_a_profile_looks_as_in_a_browser(seen, name):
    assert seen((PICTURES / name).read_bytes(), "image/png") <= MOST


@pytest.mark.parametrize("said", SAID)
def test_a_png_looks_as_in_a_browser_whatever_it_says_of_its_colours(seen, said):
    assert seen(png(colourful(), *SAID[said]), "image/png") <= MOST


@pytest.mark.parametrize("said", HDR)
def test_a_picture_brighter_than_white_looks_as_in_a_browser(seen, said):
    assert seen(png(colourful(), *HDR[said]), "image/png") <= MOST


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
def test_each_kind_of_png_can_be_brighter_than_white(seen, mode, depth):
    if mode == "P" and depth == 16:
        pytest.skip("a palette has eight bits at most")

    assert seen(png(colourful(mode), cicp(9, 16), depth=depth), "image/png") <= MOST


@pytest.mark.parametrize("curve", [*range(19), 99])
@pytest.mark.parametrize("primaries", [1, 9, 12])
def test_each_curve_that_a_png_can_name_is_known(seen, primaries, curve):
    assert seen(png(colourful(), cicp(primaries, curve)), "image/png") <= MOST


@pytest.mark.parametrize("primaries", [*range(13), 22, 99])
def test_each_set_of_primaries_that_a_png_can_name_is_known(seen, primaries):
    assert seen(png(colourful(), cicp(primaries, 13)), "image/png") <= MOST


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
@pytest.mark.parametrize("said", ["gAMA 1", "cHRM and gAMA, P3", "cICP linear", "iCCP after sRGB"])
def test_each_kind_of_png_looks_as_in_a_browser(seen, said, mode, depth):
    if mode == "P" and depth == 16:
        pytest.skip("a palette has eight bits at most")
    picture = colourful(mode)

    assert seen(png(picture, *SAID[said], depth=depth), "image/png") <= MOST


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("embedded", [LINEAR, P3_PROFILE], ids=["linear", "p3"])
def test_an_embedded_profile_is_followed_in_each_format(seen, image_format, mode, embedded):
    file = io.BytesIO()
    best = {"lossless": True} if image_format == "WEBP" else {"quality": 95, "subsampling": "4:4:4"}
    # A larger square of each, as an encoder blurs what is small.
    picture = colourful(mode).crop((216, 0, 472, 8)).resize((256, 64))
    picture.save(file, image_format, icc_profile=embedded, **best)

    assert seen(file.getvalue(), f"image/{image_format.lower()}") <= MOST


def print_profile() -> bytes:
    return bytes(load_vips().Operation.call("profile_load", "cmyk"))


@pytest.mark.parametrize(
    "embedded",
    [lambda: None, lambda: JUNK, lambda: P3_PROFILE, print_profile],
    ids=["none", "junk", "p3", "for print"],
)
@pytest.mark.parametrize("progressive", [False, True])
def test_a_photo_for_print_looks_as_in_a_browser(seen, embedded, progressive):
    picture = spectrum().convert("CMYK")
    picture.paste((30, 90, 160, 70), (64, 0, 96, 32))  # black ink too
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95, progressive=progressive, icc_profile=embedded())

    assert seen(file.getvalue(), "image/jpeg") <= MOST


def with_nclx(content: bytes, primaries: int, curve: int) -> bytes:
    before, kind, after = content.partition(b"colrnclx")
    assert kind
    return before + kind + struct.pack(">HH", primaries, curve) + after[4:]


def spectrum() -> Image.Image:
    """Areas large enough for an encoder that halves colours."""
    colours = ["#b04040", "#40a040", "#4050b0", "#408080", "#808040", "#805080", "#808080", "#333"]
    picture = Image.new("RGB", (64 * len(colours), 64))
    for number, colour in enumerate(colours):
        picture.paste(colour, (64 * number, 0, 64 * number + 64, 64))
    return picture


@pytest.mark.parametrize(
    ("primaries", "curve"),
    [
        (1, 13), (1, 1), (2, 2), (1, 8), (1, 4), (1, 5), (1, 7), (1, 17), (12, 13), (12, 1),
        (12, 2), (9, 13), (9, 14), (9, 1), (2, 8), (5, 6), (6, 6), (4, 4), (10, 13), (11, 13),
        (22, 13), (9, 16), (9, 18), (1, 16), (12, 18),
    ],
)  # fmt: skip
def test_an_avif_looks_as_in_a_browser_whatever_its_nclx_says(seen, primaries, curve):
    file = io.BytesIO()
    spectrum().save(file, "AVIF", quality=95, subsampling="4:4:4")

    assert seen(with_nclx(file.getvalue(), primaries, curve), "image/avif") <= MOST


def test_a_heic_in_display_p3_without_a_profile_keeps_its_colours(tmp_path):
    """As an AVIF's, which no test can show in Chromium."""
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(spectrum()).save(file, quality=95, chroma=444)
    content = file.getvalue()
    source = tmp_path / "incoming"
    source.write_bytes(with_nclx(content, 12, 13))
    p3 = ImageCms.ImageCmsProfile(io.BytesIO(P3_PROFILE))
    shown = ImageCms.profileToProfile(spectrum(), p3, ImageCms.createProfile("sRGB"))

    made = Image.open(images.make_safe(source, tmp_path, max_pixels=10**7).image)

    assert difference(made, shown) < 3 < difference(spectrum(), shown)


@pytest.mark.parametrize("change", ["cut", b"\0", b"\xff"])
def test_whatever_the_boxes_say_the_colours_are_some_or_none(tmp_path, change):
    file = io.BytesIO()
    spectrum().save(file, "AVIF", quality=50)
    content = with_nclx(file.getvalue(), 12, 13)
    source = tmp_path / "incoming"
    for place in range(0, 400, 7):
        source.write_bytes(
            content[:place] if change == "cut" else content[:place] + change + content[place + 1 :]
        )

        profile = heif.colour_profile(source, None)

        assert profile is None or profile[36:40] == b"acsp", place
