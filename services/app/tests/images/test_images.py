"""What a stranger's image becomes before anybody sees it."""

import contextlib
import errno
import io
import json
import os
import struct
import subprocess
import sys
import textwrap
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pillow_heif
import pytest
from PIL import Image, ImageChops, ImageCms, ImageOps, ImageStat, PngImagePlugin, TiffImagePlugin

from support import APP
from uploads import images
from uploads.errors import ImageRejected, NotItsTurn
from uploads.images import memory
from uploads.images import picture as looking
from uploads.images import safe as asking
from uploads.images.vips import load_vips

pillow_heif.register_heif_opener()


LIMIT = 100_000_000
ORIENTATION = 0x0112
GPS = 0x8825
FORMATS = ["JPEG", "PNG", "GIF", "WEBP", "AVIF"]
HEIC = "HEIF"  # as pillow-heif calls it; it becomes a JPEG
HTML = b"<html><script>alert(document.cookie)</script></html>"

on_linux = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux's /proc"
)


class Made(NamedTuple):
    """A safe image and what is in its files."""

    safe: images.SafeImage
    image: bytes
    thumbnail: bytes


@pytest.fixture
def program(monkeypatch):
    """Run this code in the program apart before it answers: `program(code)`."""
    monkeypatch.setattr(asking, "decoder", asking.Decoder())

    def program(code: str) -> None:
        monkeypatch.setattr(asking, "RUN", f"exec({textwrap.dedent(code)!r}); decoder.main()")

    yield program
    asking.decoder.stop()


@pytest.fixture
def bands_of(program):
    """Turn pictures in bands of so many bytes."""

    def bands_of(size_bytes: int) -> None:
        program(f"from uploads.images import orientation; orientation.BAND_BYTES = {size_bytes}")

    return bands_of


@pytest.fixture
def make(tmp_path):
    """Make an image safe: `make(content)`."""

    def make(content: bytes, max_pixels: int = LIMIT) -> Made:
        source = tmp_path / "incoming"
        source.write_bytes(content)
        safe = images.make_safe(source, tmp_path, max_pixels=max_pixels)
        return Made(safe, safe.image.read_bytes(), safe.thumbnail.read_bytes())

    return make


def photo(mode="RGB", size=(333, 211)):
    """A picture in which no corner and no edge looks like another."""
    across = Image.linear_gradient("L").rotate(90).resize(size)
    down = Image.linear_gradient("L").resize(size)
    middle = Image.radial_gradient("L").resize(size)
    return Image.merge("RGB", (across, down, middle)).convert(mode)


def encode(picture, image_format, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, image_format, **options)
    return file.getvalue()


def decode(content: bytes):
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


def difference(one, other) -> float:
    """The mean difference a sample, 0 to 255."""
    assert one.size == other.size
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


def film(image_format, frames=4, **options) -> bytes:
    pictures = [photo(size=(60, 40)).rotate(10 * number) for number in range(frames)]
    return encode(pictures[0], image_format, save_all=True, append_images=pictures[1:], **options)


def frame_times(content: bytes) -> list[int]:
    """For how many milliseconds each frame is shown."""
    picture = Image.open(io.BytesIO(content))
    times = []
    for number in range(picture.n_frames):
        picture.seek(number)
        picture.load()
        times.append(picture.info["duration"])
    return times


def oriented(orientation, image_format, **options) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encode(photo(), image_format, exif=exif.tobytes(), **options)


def claiming(content: bytes, width: int, height: int) -> bytes:
    """An AVIF or HEIC whose header tells another size."""
    before, kind, after = content.partition(b"ispe\0\0\0\0")
    return before + kind + struct.pack(">II", width, height) + after[8:]


def phone_photo(**options) -> bytes:
    """A HEIC as an iPhone writes it: a grid of tiles, turned both by HEIF's means and by EXIF's."""
    content = oriented(6, HEIC, tile_size=128, quality=95, **options)
    assert b"grid" in content
    assert b"irot" in content
    return content


def png_of_size(width, height) -> bytes:
    """A grey PNG of this size, as it says; only its first row of pixels is there."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(width + 1))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


# --- Types ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("image_format", FORMATS)
def test_an_image_keeps_its_format_and_its_size(make, image_format):
    content = encode(photo(), image_format)

    made = make(content)

    assert made.safe.content_type == f"image/{image_format.lower()}" == images.sniff(content)
    assert (made.safe.width, made.safe.height) == (333, 211)
    assert decode(made.image).format == image_format
    assert decode(made.image).size == (333, 211)


@pytest.mark.parametrize("image_format", FORMATS)
def test_an_image_looks_as_before(make, image_format):
    content = encode(photo(), image_format)

    made = make(content)

    assert difference(decode(made.image).convert("RGB"), decode(content).convert("RGB")) < 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GIF",
        b"just text",
        HTML,
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script/></svg>',
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        b"%PDF-1.7\n",
        b"BM" + bytes(60),
        b"II*\0" + bytes(60),
        b"RIFF\0\0\0\0WAVEfmt ",
        b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41",  # an MP4
        b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
        b"\0\0\0\x10ftypmp42avifavif",  # the version is no brand, what follows is another box
        b"\0\0\0\x18ftypiso5\0\0\0\0\0avifavi",
        b"\0\0\0\x14skipavif\0\0\0\0avif",
    ],
)
def test_what_is_none_of_the_formats_is_refused_as_such(make, content):
    assert images.sniff(content) is None
    with pytest.raises(ImageRejected, match="not a JPEG, PNG, GIF, WebP, AVIF or HEIC"):
        make(content)


@pytest.mark.parametrize(
    ("brands", "content_type"),
    [
        (b"avif\0\0\0\0mif1miaf", "image/avif"),
        (b"avis\0\0\0\0msf1miaf", "image/avif"),
        (b"mif1\0\0\0\0miafavif", "image/avif"),
        (b"heic\0\0\0\0mif1", "image/heic"),
        (b"heix\0\0\0\0mif1", "image/heic"),
        (b"mif1\0\0\0\0mif1MiHEheic", "image/heic"),
    ],
)
def test_an_avif_and_a_heic_are_known_by_any_of_their_brands(brands, content_type):
    assert images.sniff(struct.pack(">I", len(brands) + 8) + b"ftyp" + brands) == content_type


def test_a_heic_becomes_a_jpeg(make):
    content = encode(photo(), HEIC, quality=95)

    made = make(content)

    assert images.sniff(content) == "image/heic"
    assert made.safe.content_type == "image/jpeg" == images.sniff(made.image)
    assert (made.safe.width, made.safe.height) == (333, 211)
    assert difference(decode(made.image), photo()) < 2
    assert difference(decode(made.thumbnail).resize((333, 211)), photo()) < 6


def test_of_several_pictures_in_a_heic_the_primary_one_is_made(make):
    file = pillow_heif.from_pillow(Image.new("RGB", (90, 60), "red"))
    file.add_from_pillow(photo())
    content = io.BytesIO()
    file.save(content, primary_index=1)

    made = make(content.getvalue(), max_pixels=333 * 211)

    assert decode(made.image).size == (333, 211)


@pytest.mark.parametrize(
    "start",
    [
        b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8 ",
        b"\0\0\0\x14ftypavif\0\0\0\0mif1", b"\0\0\0\x14ftypheic\0\0\0\0mif1",
    ],
)  # fmt: skip
@pytest.mark.parametrize("rest", [b"", HTML, bytes(100)])
def test_a_first_line_does_not_make_an_image(make, start, rest):
    with pytest.raises(ImageRejected, match="damaged"):
        make(start + rest)


def test_the_libraries_for_other_formats_are_locked():
    vips = load_vips()

    with pytest.raises(vips.Error, match="blocked"):
        vips.Image.svgload_buffer(b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')


def test_a_web_process_does_not_load_libvips():
    run("from uploads import images; import sys; assert 'pyvips' not in sys.modules")


# --- Upright -------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("rows", [32, 4096], ids=["in bands", "at once"])
def test_a_photo_of_each_orientation_is_upright(make, bands_of, orientation, rows):
    bands_of(333 * 3 * rows)
    content = oriented(orientation, "JPEG", quality=95)
    upright = ImageOps.exif_transpose(decode(content))

    made = make(content)

    assert (made.safe.width, made.safe.height) == upright.size
    assert difference(decode(made.image), upright) < 1.5
    assert difference(decode(made.thumbnail).resize(upright.size), upright) < 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_png_of_each_orientation_is_upright_to_the_pixel(make, bands_of, orientation):
    bands_of(333 * 3 * 48)
    content = oriented(orientation, "PNG")

    made = make(content)

    assert difference(decode(made.image), ImageOps.exif_transpose(decode(content))) == 0


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "I;16", "P"])
def test_a_turned_png_keeps_its_kind_of_pixels(make, bands_of, mode):
    bands_of(333 * 3 * 16)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    content = encode(photo("L" if mode == "I;16" else "RGB").convert(mode), "PNG", exif=exif)

    made = make(content)

    turned, expected = decode(made.image), ImageOps.exif_transpose(decode(content))
    assert difference(turned.convert("RGBA"), expected.convert("RGBA")) == 0
    assert turned.mode == ("RGB" if mode == "P" else mode)


def test_a_sideways_webp_is_upright(make):
    content = oriented(8, "WEBP", quality=95)

    made = make(content)

    assert (made.safe.width, made.safe.height) == (211, 333)
    assert difference(decode(made.image), ImageOps.exif_transpose(decode(content))) < 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["AVIF", HEIC])
def test_an_avif_and_a_heic_of_each_orientation_are_upright(make, image_format, orientation):
    upright = ImageOps.exif_transpose(decode(oriented(orientation, "PNG")))

    made = make(oriented(orientation, image_format, quality=95))

    assert (made.safe.width, made.safe.height) == upright.size
    assert difference(decode(made.image), upright) < 2
    assert difference(decode(made.thumbnail).resize(upright.size), upright) < 6


def test_a_phones_heic_is_turned_once(make):
    upright = ImageOps.exif_transpose(decode(oriented(6, "PNG")))

    assert difference(decode(make(phone_photo()).image), upright) < 2


def test_what_exif_alone_says_does_not_turn_an_avif(make):
    """HEIF has means of its own, and browsers know no others: ISO/IEC 23008-12, 7.2.3."""
    exif = Image.Exif()
    exif[0x0115] = 6  # becomes the orientation, which Pillow would translate
    content = encode(photo(), "AVIF", exif=exif, quality=95)
    other, turned = (struct.pack(">HHIH", tag, 3, 1, 6) for tag in (0x0115, ORIENTATION))
    assert content.count(other) == 1

    made = make(content.replace(other, turned))

    assert difference(decode(made.image), photo()) < 2


# --- Metadata ------------------------------------------------------------------------------------

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><secret/></x:xmpmeta>'
TRACES = [
    b"Exif\0\0", b"eXIf", b"EXIF",
    b"secret", b"adobe", b"xmpmeta", b"XMP ", b"iTXt", b"tEXt", b"zTXt", b"tIME",
    b"Photoshop", b"8BIM",
    b"ICC_PROFILE", b"iCCP", b"ICCP", b"acsp",
    b"Canon", struct.pack(">HH", GPS, 4), struct.pack("<HH", GPS, 4),
]  # fmt: skip


def telling_exif():
    """EXIF as a phone writes it: where, with what, and a comment."""
    exif = Image.Exif()
    exif[0x010F] = "Canon secret"
    degree = TiffImagePlugin.IFDRational
    exif.get_ifd(GPS).update(
        {
            1: "S",
            2: (degree(22), degree(54), degree(30)),
            3: "W",
            4: (degree(43), degree(10), degree(9)),
        }
    )
    return exif


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def telling(image_format) -> bytes:
    """An image that says a lot besides what it shows."""
    options = {"exif": telling_exif(), "icc_profile": srgb_profile(), "dpi": (301, 301)}
    if image_format == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", "secret")
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        return encode(photo(), "PNG", pnginfo=text, **options)
    if image_format == "GIF":
        return encode(photo(), "GIF", comment=b"secret")
    if image_format in {"WEBP", "AVIF", HEIC}:
        return encode(photo(), image_format, xmp=XMP, **options)
    content = encode(photo(), "JPEG", xmp=XMP, comment=b"secret", **options)
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0b\x1c\x02\x78\0\x06secret\0"
    return content[:2] + b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc + content[2:]


@pytest.mark.parametrize("image_format", [*FORMATS, HEIC])
def test_nothing_but_the_picture_is_left_of_an_image(make, image_format):
    content = telling(image_format)
    assert b"secret" in content

    made = make(content)

    for trace in TRACES:
        assert trace not in made.image
        assert trace not in made.thumbnail
    assert not decode(made.image).getexif()
    assert not decode(made.thumbnail).getexif()


def test_a_photo_says_nothing_in_its_segments(make):
    """Tables, frame and scan are all: no application segment (E0 to EF) and no comment (FE)."""
    content = make(telling("JPEG")).image

    markers, at = [], 2
    while content[at + 1] != 0xDA:
        markers.append(content[at + 1])
        at += 2 + struct.unpack(">H", content[at + 2 : at + 4])[0]

    assert set(markers) <= {0xC0, 0xC4, 0xDB}


def test_the_density_of_a_scan_is_forgotten(make):
    assert decode(make(telling("PNG")).image).info["dpi"] == pytest.approx((72, 72), abs=0.1)


@pytest.mark.parametrize("image_format", [*FORMATS, HEIC])
def test_what_follows_an_image_is_cut_off(make, image_format):
    """https://en.wikipedia.org/wiki/Polyglot_(computing): an image that is a page as well."""
    made = make(encode(photo(), image_format) + HTML)

    assert b"<" + b"script" not in made.image
    ends = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82", "GIF": b"\0;", HEIC: b"\xff\xd9"}
    if image_format == "AVIF":
        at = 0
        while at < len(made.image):
            at += struct.unpack(">I", made.image[at : at + 4])[0]
        assert at == len(made.image)
    elif image_format == "WEBP":
        assert len(made.image) == 8 + struct.unpack("<I", made.image[4:8])[0]
    else:
        assert made.image.endswith(ends[image_format])


# --- Colours -------------------------------------------------------------------------------------


def test_a_photo_in_display_p3_keeps_its_colours(make):
    p3 = load_vips().Operation.call("profile_load", "p3")
    red = Image.new("RGB", (32, 32), (200, 60, 60))
    shown = ImageCms.profileToProfile(
        red,
        ImageCms.ImageCmsProfile(io.BytesIO(p3)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    assert difference(red, shown) > 5

    made = make(encode(red, "PNG", icc_profile=p3))

    assert difference(decode(made.image), shown) <= 1


def test_a_photo_in_srgb_keeps_its_pixels(make):
    made = make(encode(photo(), "PNG", icc_profile=srgb_profile()))

    assert difference(decode(made.image), photo()) == 0


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("profile", ["p3", "cmyk", "none of all"])
def test_a_wrong_profile_does_no_harm(make, mode, profile):
    vips = load_vips()
    data = b"junk" * 99
    if profile != "none of all":
        data = vips.Operation.call("profile_load", profile)

    made = make(encode(photo("L").convert(mode), "PNG", icc_profile=data))

    assert decode(made.image).mode == mode


def test_a_photo_for_print_is_shown_in_srgb(make):
    made = make(encode(photo("CMYK"), "JPEG", quality=95))

    assert decode(made.image).mode == "RGB"
    assert difference(decode(made.image), photo()) < 2  # as bright as browsers show it


def test_a_grey_photo_stays_grey(make):
    content = encode(photo("L"), "JPEG", quality=95)

    made = make(content)

    assert decode(made.image).mode == "L"
    assert difference(decode(made.image), photo("L")) < 1


def test_sixteen_bits_stay_sixteen(make):
    deep = Image.new("I;16", (20, 10), 12_345)

    made = make(encode(deep, "PNG"))

    assert decode(made.image).getpixel((5, 5)) == 12_345
    assert decode(made.thumbnail).convert("L").getpixel((5, 5)) == pytest.approx(12_345 >> 8, abs=3)


@pytest.mark.parametrize("image_format", ["AVIF", HEIC])
def test_an_avif_and_a_heic_in_display_p3_keep_their_colours(make, image_format):
    p3 = load_vips().Operation.call("profile_load", "p3")
    red = Image.new("RGB", (64, 64), (200, 60, 60))
    shown = ImageCms.profileToProfile(
        red, ImageCms.ImageCmsProfile(io.BytesIO(p3)), ImageCms.createProfile("sRGB")
    )

    made = make(encode(red, image_format, icc_profile=p3, quality=95))

    assert difference(decode(made.image), shown) <= 4 < difference(red, shown)


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("image_format", ["AVIF", HEIC])
def test_a_deep_avif_and_heic_get_eight_bits(make, tmp_path, image_format, bits):
    if image_format == "AVIF":
        vips = load_vips()
        deep = vips.Image.new_from_array([[30_000]]).embed(0, 0, 64, 64, extend="copy")
        deep = deep.bandjoin([deep, deep]).cast("ushort").copy(interpretation="rgb16")
        content = deep.heifsave_buffer(compression="av1", bitdepth=bits)
    else:
        pixels = struct.pack("<H", 30_000) * 3 * 64 * 64
        monkey = pillow_heif.from_bytes("RGB;16", (64, 64), pixels)
        file = io.BytesIO()
        monkey.save(file, quality=95)
        content = file.getvalue()

    made = decode(make(content).image)

    assert made.getpixel((30, 30)) == pytest.approx([30_000 >> 8] * 3, abs=3)


@pytest.mark.parametrize("image_format", ["AVIF", HEIC])
def test_a_grey_avif_and_heic_look_as_before(make, image_format):
    made = make(encode(photo("L"), image_format, quality=95))

    assert difference(decode(made.image).convert("L"), photo("L")) < 2


def test_what_is_transparent_in_a_heic_is_white(make):
    glass = Image.new("RGBA", (80, 60), (0, 0, 0, 0))
    glass.paste((200, 20, 20, 255), (0, 0, 40, 60))

    shown = decode(make(encode(glass, HEIC, quality=95)).image)

    assert shown.getpixel((70, 30)) == pytest.approx((255, 255, 255), abs=3)
    assert shown.getpixel((10, 30)) == pytest.approx((200, 20, 20), abs=8)


@pytest.mark.parametrize("image_format", ["PNG", "GIF", "WEBP", "AVIF"])
def test_transparency_is_kept(make, image_format):
    glass = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
    glass.paste((200, 20, 20, 255), (0, 0, 20, 30))

    made = make(encode(glass, image_format))

    for content in (made.image, made.thumbnail):
        shown = decode(content).convert("RGBA")
        assert shown.getpixel((35, 15))[3] == 0
        assert shown.getpixel((5, 15)) == pytest.approx((200, 20, 20, 255), abs=8)


def test_a_transparent_colour_of_a_palette_is_kept(make):
    picture = Image.new("P", (40, 30), 0)
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.paste(1, (0, 0, 20, 30))

    shown = decode(make(encode(picture, "PNG", transparency=0)).image).convert("RGBA")

    assert shown.getpixel((35, 15))[3] == 0
    assert shown.getpixel((5, 15)) == (0, 255, 0, 255)


# --- Damage --------------------------------------------------------------------------------------


def run(code: str) -> str:
    """What the code prints in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(APP)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def intact(kind) -> bytes:
    return {
        "JPEG": lambda: encode(photo(), "JPEG"),
        "progressive JPEG": lambda: encode(photo(), "JPEG", progressive=True),
        "turned JPEG": lambda: oriented(6, "JPEG"),
        "PNG": lambda: encode(photo(), "PNG"),
        "GIF": lambda: encode(photo(), "GIF"),
        "animated GIF": lambda: film("GIF", duration=50),
        "WEBP": lambda: encode(photo(), "WEBP"),
        "animated WEBP": lambda: film("WEBP", duration=50),
        "AVIF": lambda: encode(photo(), "AVIF"),
        "HEIC": lambda: encode(photo(), HEIC),
        "phone's HEIC": phone_photo,
    }[kind]()


KINDS = ["JPEG", "progressive JPEG", "turned JPEG", "PNG"]
KINDS += ["GIF", "animated GIF", "WEBP", "animated WEBP", "AVIF", "HEIC", "phone's HEIC"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.02, 0.3, 0.5, 0.9, 0.98])
def test_a_truncated_image_is_refused(make, kind, part):
    content = intact(kind)

    with pytest.raises(ImageRejected, match="damaged or incomplete"):
        make(content[: int(len(content) * part)])


def test_a_photo_without_its_middle_is_refused(make):
    content = intact("JPEG")

    with pytest.raises(ImageRejected, match="damaged or incomplete"):
        make(content[: len(content) // 2] + content[len(content) * 3 // 4 :])


def test_a_png_with_one_wrong_byte_is_refused(make):
    content = bytearray(intact("PNG"))
    content[len(content) // 2] ^= 0xFF

    with pytest.raises(ImageRejected, match="damaged or incomplete"):
        make(bytes(content))


@pytest.mark.parametrize("image_format", ["AVIF", HEIC])
@pytest.mark.parametrize("size", [(64, 64), (9000, 9000)])
def test_an_avif_and_a_heic_of_another_size_than_they_say_are_refused(make, image_format, size):
    content = claiming(encode(photo(size=(640, 480)), image_format), *size)

    with pytest.raises(ImageRejected, match=r"damaged|too many pixels for"):
        make(content)


@pytest.mark.parametrize("image_format", ["AVIF", HEIC])
def test_what_the_decoder_lacks_is_refused(make, image_format):
    """An AVIF says that it is a HEIC, or the other way round."""
    brands = (b"avif", b"heic") if image_format == "AVIF" else (b"heic", b"avif")
    content = encode(photo(), image_format)

    with pytest.raises(ImageRejected, match="damaged or incomplete"):
        make(content[:32].replace(*brands) + content[32:])


@on_linux
@pytest.mark.parametrize("image_format", ["PNG", "AVIF", HEIC])
def test_a_full_disk_is_not_blamed_on_the_image(tmp_path, image_format):
    """Where no file may grow beyond 4 KiB, the error is not that the image is damaged."""
    source = tmp_path / "incoming"
    source.write_bytes(encode(Image.effect_noise((400, 300), 80).convert("RGB"), image_format))

    done = run(
        f"""
        import pathlib, resource
        from uploads import images
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        source = pathlib.Path({str(source)!r})
        try:
            images.make_safe(source, source.parent, max_pixels=10**8)
        except OSError as error:
            print(error.errno)
        """
    )

    assert int(done) == errno.EFBIG


# --- Sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (10_000, 1), (1, 10_000), (17, 16), (2, 3)])
@pytest.mark.parametrize("image_format", FORMATS)
def test_an_image_of_an_odd_size_is_kept(make, size, image_format):
    made = make(encode(photo(size=size), image_format))

    assert decode(made.image).size == size == (made.safe.width, made.safe.height)


@pytest.mark.parametrize("size", [(1, 1), (10_000, 1), (1, 10_000), (17, 16)])
def test_an_odd_size_can_be_turned(make, size):
    exif = Image.Exif()
    exif[ORIENTATION] = 6

    made = make(encode(photo(size=size), "PNG", exif=exif))

    assert decode(made.image).size == size[::-1]


def test_an_image_at_the_pixel_limit_is_taken(make):
    assert make(encode(photo(size=(40, 30)), "PNG"), max_pixels=1200).safe.width == 40


def test_an_image_one_pixel_over_the_limit_is_refused(make):
    with pytest.raises(ImageRejected, match="million pixels, counting all frames"):
        make(encode(photo(size=(40, 30)), "PNG"), max_pixels=1199)


@pytest.mark.parametrize("image_format", ["GIF", "WEBP"])
def test_every_frame_counts_toward_the_pixel_limit(make, image_format):
    content = film(image_format, frames=4, duration=50)

    assert make(content, max_pixels=4 * 60 * 40).safe.height == 40
    with pytest.raises(ImageRejected, match="counting all frames"):
        make(content, max_pixels=4 * 60 * 40 - 1)


def test_a_thumbnail_fits_its_box_and_keeps_the_shape(make):
    made = make(encode(photo(size=(1000, 500)), "JPEG"))

    assert decode(made.thumbnail).size == (320, 160)
    assert made.safe.thumbnail_content_type == images.sniff(made.thumbnail) == images.THUMBNAIL_TYPE


def test_a_small_image_is_not_enlarged_to_a_thumbnail(make):
    assert decode(make(encode(photo(size=(50, 20)), "PNG")).thumbnail).size == (50, 20)


# --- Animations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("image_format", ["GIF", "WEBP"])
def test_an_animation_stays_one(make, image_format):
    content = film(image_format, frames=4, duration=[100, 200, 300, 50], loop=3)

    made = make(content)

    assert frame_times(made.image) == [100, 200, 300, 50]
    assert decode(made.image).info["loop"] == 3
    assert (made.safe.width, made.safe.height) == (60, 40)


@pytest.mark.parametrize("image_format", ["GIF", "WEBP"])
def test_each_frame_of_an_animation_looks_as_before(make, image_format):
    content = film(image_format, frames=4, duration=50)

    before, after = Image.open(io.BytesIO(content)), Image.open(io.BytesIO(make(content).image))

    for number in range(4):
        before.seek(number)
        after.seek(number)
        assert difference(before.convert("RGB"), after.convert("RGB")) < 4


@pytest.mark.parametrize("image_format", ["GIF", "WEBP"])
def test_the_thumbnail_of_an_animation_is_its_first_frame(make, image_format):
    made = make(film(image_format, frames=4, duration=50))

    assert getattr(decode(made.thumbnail), "n_frames", 1) == 1
    assert difference(decode(made.thumbnail).convert("RGB"), photo(size=(60, 40))) < 6


# --- Memory --------------------------------------------------------------------------------------


@pytest.fixture
def peak(program, monkeypatch, tmp_path):
    """What came of a file, and the MiB that its processes took above an idle one."""
    program(
        """
        import resource
        work = decoder.work
        def measured(*arguments):
            answer = work(*arguments)
            return answer | {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
        decoder.work = measured
        """
    )
    peaks, understand = [], asking.understand

    def record(answer):
        peaks.append(json.loads(answer["said"])["peak"])
        return understand(answer)

    monkeypatch.setattr(asking, "understand", record)

    def peak(source: Path) -> tuple[str, float]:
        idle = tmp_path / "idle"
        idle.write_bytes(b"GIF89a")
        with pytest.raises(ImageRejected):
            images.make_safe(idle, tmp_path, max_pixels=LIMIT)
        try:
            result = images.make_safe(source, tmp_path, max_pixels=LIMIT).content_type
        except ImageRejected as error:
            result = str(error)
        return result, max(peaks) - peaks[0]

    return peak


@on_linux
def test_a_bomb_is_refused_before_it_takes_memory(tmp_path, peak):
    source = tmp_path / "incoming"
    source.write_bytes(png_of_size(30_000, 30_000))

    result, mib = peak(source)

    assert "million pixels, counting all frames" in result
    assert mib < 8


@on_linux
@pytest.mark.parametrize("image_format", ["AVIF", HEIC])
def test_an_avif_or_a_heic_that_claims_to_be_huge_is_refused_at_once(tmp_path, peak, image_format):
    source = tmp_path / "incoming"
    for size, sentence in [
        (30_000, "million pixels, counting all frames"),
        (9_000, "too many pixels for"),
    ]:
        source.write_bytes(claiming(encode(photo(size=(64, 64)), image_format), size, size))

        result, mib = peak(source)

        assert sentence in result
        assert mib < 8


@on_linux
@pytest.mark.parametrize(
    ("image_format", "mode", "options"),
    [
        ("GIF", "RGB", {}),
        ("WEBP", "RGB", {}),
        ("WEBP", "RGBA", {}),
        ("WEBP", "film", {}),
        ("PNG", "film", {}),
        ("AVIF", "RGB", {"subsampling": "4:4:4", "speed": 10}),
        ("AVIF", "RGBA", {"speed": 10}),
        (HEIC, "RGB", {"enc_params": {"preset": "ultrafast"}}),
        ("JPEG", "RGB", {"progressive": True, "subsampling": 0}),
        ("JPEG", "CMYK", {"progressive": True}),
    ],
)
def test_no_more_is_held_of_a_picture_than_was_counted(tmp_path, peak, image_format, mode, options):
    """Of a grainy one, and beside the file itself and what any picture takes."""
    size = (4000, 3000) if image_format == HEIC else (2400, 1600)
    if mode == "film":
        size, mode = (600, 400), "RGB"
        frames = [photo(size=size).rotate(9 * number) for number in range(40)]
        options = {"save_all": True, "append_images": frames}
    grain = Image.effect_noise(size, 16).convert("RGB")
    picture = ImageChops.overlay(photo(size=size), grain).convert(mode)
    if mode == "RGBA":
        picture.putalpha(photo("L", size))
    source = tmp_path / "incoming"
    picture.save(source, image_format, **options)
    counted = looking.look(source, tmp_path, max_pixels=LIMIT)

    most = (counted + 2 * source.stat().st_size) / 1024**2 + 24
    assert peak(source)[1] < most


def test_a_large_picture_is_made_alone_and_small_ones_together(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "PICTURES", tmp_path / "pictures")
    small, large = memory.SMALL_BYTES, memory.SMALL_BYTES + 1

    def fits(size_bytes):
        with contextlib.suppress(NotItsTurn), memory.memory_slot(size_bytes, patience=0):
            return True
        return False

    with memory.memory_slot(small, patience=0):
        assert fits(small)
        assert not fits(large)
    with memory.memory_slot(large, patience=0):
        assert not fits(small)
        assert not fits(large)
    assert fits(large)


def test_small_pictures_do_not_overtake_a_large_one_that_waits(tmp_path, monkeypatch):
    """Each small one leaves when the next has come, so the room is never empty by itself."""
    monkeypatch.setattr(memory, "PICTURES", tmp_path / "pictures")
    over, changed, came = threading.Event(), threading.Condition(), []

    def make_small_ones():
        while not over.is_set():
            with memory.memory_slot(memory.SMALL_BYTES, patience=60), changed:
                came.append(1)
                mine = len(came)
                changed.notify_all()
                changed.wait_for(lambda mine=mine: len(came) > mine or over.is_set(), timeout=0.5)

    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(make_small_ones) for _ in range(2)]
        try:
            for _ in range(3):
                before = len(came)
                with changed:
                    assert changed.wait_for(lambda before=before: len(came) > before + 5, 20)
                with memory.memory_slot(memory.LARGE_BYTES, patience=5):
                    before = len(came)
                    over.wait(0.1)
                    assert len(came) == before
        finally:
            over.set()
    for other in others:
        other.result()


@on_linux
def test_a_gif_of_one_huge_frame_is_refused_before_it_takes_memory(tmp_path, peak):
    """A frame is held whole, so this one would take 1.3 GiB, within the limit of pixels."""
    source = tmp_path / "incoming"
    Image.new("P", (10_000, 9_000)).save(source, "GIF")

    result, mib = peak(source)

    assert "too many pixels for a GIF" in result
    assert mib < 8


@on_linux
def test_a_sideways_photo_of_48_megapixels_takes_less_memory_than_its_pixels(tmp_path, peak):
    source = tmp_path / "incoming"
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    photo(size=(8000, 6000)).save(source, "JPEG", exif=exif)

    result, mib = peak(source)

    assert result == "image/jpeg"
    assert mib < 8000 * 6000 * 3 / 1024**2
