"""Damaged pictures of each format: refused, or made safe, and never anything else.

Seeded, so that a failure can be repeated: its picture is in the message. FUZZ multiplies how many.
"""

import base64
import io
import os
import random
import struct
import zlib

import pillow_heif
import pytest
from PIL import Image

from support import PICTURES
from support.samples import picture
from uploads import images
from uploads.errors import ImageRejected
from uploads.images import safe as asking

pillow_heif.register_heif_opener()

COUNT = 50 * int(os.environ.get("FUZZ", "1"))  # of each format
SEED = 20261127


@pytest.fixture
def make(tmp_path):
    """What is stored of content."""

    def make(content: bytes) -> bytes:
        source = tmp_path / "incoming"
        source.write_bytes(content)
        safe = images.make_safe(source, tmp_path, max_pixels=4_000_000, max_bytes=10**6)
        stored = safe.image.read_bytes()
        assert images.sniff(stored) == safe.content_type
        shown = Image.open(io.BytesIO(stored))
        shown.load()
        assert shown.size == (safe.width, safe.height)
        assert images.sniff(safe.thumbnail.read_bytes()) == images.THUMBNAIL_TYPE
        return stored

    return make


def colourful(size=(96, 64)) -> Image.Image:
    down, across = Image.linear_gradient("L").resize(size), Image.radial_gradient("L").resize(size)
    return Image.merge("RGB", (down, across, Image.effect_noise(size, 50)))


def encode(image_format, still=None, **options) -> bytes:
    file = io.BytesIO()
    (still or colourful()).save(file, image_format, **options)
    return file.getvalue()


def film(image_format) -> bytes:
    stills = [colourful().rotate(20 * number) for number in range(3)]
    return encode(
        image_format, stills[0], save_all=True, append_images=stills[1:], duration=50, loop=0
    )


EXIF = Image.Exif()
EXIF[0x0112], EXIF[0x010F] = 6, "maker"
SEEDS = {
    "JPEG": lambda: [encode("JPEG", exif=EXIF), encode("JPEG", progressive=True, comment=b"hello")],
    "PNG": lambda: [encode("PNG"), encode("PNG", colourful().quantize(16)), film("PNG")],
    "GIF": lambda: [encode("GIF", comment=b"hello"), film("GIF")],
    "WebP": lambda: [encode("WEBP", exif=EXIF), encode("WEBP", lossless=True), film("WEBP")],
    "AVIF": lambda: [encode("AVIF", speed=9), (PICTURES / "poison-min.avif").read_bytes()],
    "HEIC": lambda: [encode("HEIF", quality=40)],
}


def damage(content: bytes, dice: random.Random) -> bytes:
    """The content with one to four places spoilt, mostly where headers are."""
    spoilt = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        end = min(len(spoilt), dice.choice([64, 400, len(spoilt)]))
        at = dice.randrange(max(end, 1))
        match dice.randrange(7):
            case 0:
                spoilt[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                spoilt[at : at + 4] = dice.choice([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"])
            case 2:
                del spoilt[at : at + dice.randint(1, 40)]
            case 3:
                spoilt[at:at] = spoilt[at : at + dice.randint(1, 200)]
            case 4:
                spoilt[at:at] = dice.randbytes(dice.randint(1, 20))
            case 5:
                spoilt[at : at + 2] = b"\xf4\xc3"  # no UTF-8
            case 6 if len(spoilt) > 100:
                del spoilt[dice.randrange(50, len(spoilt)) :]
    return bytes(spoilt)


def with_right_checksums(content: bytes) -> bytes:
    """A PNG whose damage its library comes to see."""
    fixed, at = content[:8], 8
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4])
        body = content[at + 4 : at + 8 + length]
        fixed += content[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return fixed


@pytest.mark.parametrize("image_format", SEEDS)
def test_a_damaged_picture_is_refused_or_made_safe_and_hurts_no_other(make, image_format):
    dice, seeds = random.Random(f"{SEED} {image_format}"), SEEDS[image_format]()
    make(picture())
    program, made = asking.decoder.process, 0
    for number in range(COUNT):
        content = damage(dice.choice(seeds), dice)
        if image_format == "PNG" and number % 2:
            content = with_right_checksums(content)
        try:
            make(content)
            made += 1
        except ImageRejected:
            pass
        except Exception as error:  # noqa: BLE001  whatever it is, the picture is shown
            shown = base64.b64encode(content).decode()
            pytest.fail(f"number {number}: {error!r} of {shown[:4000]}")
        if number % 25 == 24:
            assert make(picture(image_format="JPEG"))
    assert program is asking.decoder.process
    assert made < COUNT


# --- What no library may quote ---

NO_UTF8 = b"cr\xe8me \xf4\xff\xfe\x80"


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_with(*chunks: bytes) -> bytes:
    content = encode("PNG")
    return content[:33] + b"".join(chunks) + content[33:]


def jpeg_with(marker: int, data: bytes) -> bytes:
    content = encode("JPEG")
    segment = bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data
    return content[:2] + segment + content[2:]


def webp_with(name: bytes, data: bytes) -> bytes:
    content = encode("WEBP", exif=EXIF)
    padded = data + b"\0" * (len(data) % 2)
    body = content[8:] + name + struct.pack("<I", len(data)) + padded
    return b"RIFF" + struct.pack("<I", len(body)) + body


def heif_with(image_format: str, old: bytes, new: bytes) -> bytes:
    content = encode(image_format)
    assert old in content
    return content.replace(old, new)


PROFILE = b"\0\0\2\x0c" + NO_UTF8.ljust(124, b"\xf4")
QUOTED = {
    "JPEG: a comment": lambda: jpeg_with(0xFE, NO_UTF8),
    "JPEG: EXIF": lambda: jpeg_with(0xE1, b"Exif\0\0II*\0\x08\0\0\0" + NO_UTF8 * 9),
    "JPEG: a maker's name": lambda: encode("JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x0f\0\2"
                                          b"\0\0\0\x0a\0\0\0\x1a\0\0\0\0" + NO_UTF8),
    "JPEG: XMP": lambda: jpeg_with(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x>" + NO_UTF8),
    "JPEG: a profile": lambda: jpeg_with(0xE2, b"ICC_PROFILE\0\1\1" + PROFILE),
    "JPEG: IPTC": lambda: jpeg_with(0xED, b"Photoshop 3.0\0" + NO_UTF8),
    "JPEG: an unknown segment": lambda: jpeg_with(0xEB, NO_UTF8),
    "PNG: a text": lambda: png_with(chunk(b"tEXt", b"Comment\0" + NO_UTF8)),
    "PNG: a text's name": lambda: png_with(chunk(b"tEXt", NO_UTF8 + b"\0x")),
    "PNG: a long text's name": lambda: png_with(chunk(b"tEXt", NO_UTF8 * 20 + b"\0x")),
    "PNG: a packed text": lambda: png_with(chunk(b"zTXt", b"a\0\0" + NO_UTF8)),
    "PNG: an international text": lambda: png_with(
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0" + NO_UTF8 + b"\0" + NO_UTF8 + b"\0" + NO_UTF8)
    ),
    "PNG: a profile's name": lambda: png_with(
        chunk(b"iCCP", NO_UTF8 + b"\0\0" + zlib.compress(PROFILE))
    ),
    "PNG: a profile": lambda: png_with(chunk(b"iCCP", b"x\0\0" + zlib.compress(PROFILE))),
    "PNG: EXIF": lambda: png_with(chunk(b"eXIf", b"II*\0" + NO_UTF8)),
    "PNG: a palette's name": lambda: png_with(chunk(b"sPLT", NO_UTF8 + b"\0\x08" + NO_UTF8)),
    "PNG: a chunk that must be known": lambda: png_with(chunk(b"\xc3\xa9\xf4\xff", b"x")),
    "GIF: a comment": lambda: encode("GIF", comment=NO_UTF8 * 9),
    "GIF: an application": lambda: encode("GIF")[:-1] + b"!\xff\x0b" + NO_UTF8.ljust(11)[:11]
    + b"\0;",
    "WebP: EXIF": lambda: webp_with(b"EXIF", NO_UTF8),
    "WebP: XMP": lambda: webp_with(b"XMP ", NO_UTF8),
    "WebP: a profile": lambda: webp_with(b"ICCP", PROFILE),
    "WebP: a chunk's name": lambda: webp_with(b"\xf4\xff\xc3\x80", NO_UTF8),
    "AVIF: poison": (PICTURES / "poison-min.avif").read_bytes,
    "AVIF: a box's name": lambda: heif_with("AVIF", b"ispe", b"\xf4\xff\xc3\x80"),
    "AVIF: a brand": lambda: heif_with("AVIF", b"mif1", b"\xf4\xff\xc3\x80"),
    "AVIF: a reference's name": lambda: heif_with("AVIF", b"pitm", b"\xf4\xff\xc3\x80"),
    "AVIF: a codec's name": lambda: heif_with("AVIF", b"av01", b"\xf4\xff\xc3\x80"),
    "AVIF: a profile's kind": lambda: heif_with("AVIF", b"nclx", b"\xf4\xff\xc3\x80"),
    "HEIC: a box's name": lambda: heif_with("HEIF", b"ispe", b"\xf4\xff\xc3\x80"),
    "HEIC: a codec's name": lambda: heif_with("HEIF", b"hvc1", b"\xf4\xff\xc3\x80"),
    "HEIC: a property's name": lambda: heif_with("HEIF", b"hvcC", b"\xf4\xff\xc3\x80"),
}  # fmt: skip


@pytest.mark.parametrize("name", QUOTED)
def test_a_name_that_is_no_utf_8_hurts_no_other_picture(make, name):
    """libheif quotes it in its message, and pyvips failed at that for ever after."""
    program = make(picture()) and asking.decoder.process
    try:
        stored = make(QUOTED[name]())
    except ImageRejected as rejected:
        assert str(rejected) in asking.REASONS  # noqa: PT017
    else:
        assert NO_UTF8 not in stored
    for image_format in ("JPEG", "PNG", "GIF", "WEBP", "AVIF"):
        assert make(picture(image_format=image_format))
    assert program is asking.decoder.process
