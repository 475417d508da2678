"""An AVIF and a HEIC are known by their brands, wherever in the list those stand."""

import io
import struct
from itertools import product
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image, ImageChops, ImageStat

from support import PICTURES
from uploads import images
from uploads.errors import ImageRejected

pillow_heif.register_heif_opener()

OTHERS = [b"mif1", b"miaf", b"MiHB", b"MiHA", b"MiHE", b"MiPr", b"MA1A", b"MA1B", b"tmap", b"iso8"]
OTHERS += [b"unif", b"1pic", b"jpeg"]


def ftyp(major: bytes, *listed: bytes) -> bytes:
    body = b"ftyp" + major + bytes(4) + b"".join(listed)
    return struct.pack(">I", len(body) + 4) + body


def long_ftyp(major: bytes, *listed: bytes) -> bytes:
    """One whose length stands in eight bytes."""
    body = major + bytes(4) + b"".join(listed)
    return struct.pack(">I4sQ", 1, b"ftyp", len(body) + 16) + body


def photo() -> Image.Image:
    return Image.linear_gradient("L").resize((64, 48)).convert("RGB")


def encode(image_format: str) -> bytes:
    file = io.BytesIO()
    photo().save(file, image_format, quality=90)
    return file.getvalue()


def rebranded(content: bytes, head: bytes) -> bytes:
    """The picture behind another list of brands; where its bytes lie moves along."""
    old = struct.unpack(">I", content[:4])[0]
    rest = bytearray(content[old:])
    at = rest.index(b"iloc") + 4
    version, has_base = rest[at], rest[at + 5] >> 4 == 4
    count, at = struct.unpack_from(">H", rest, at + 6)[0], at + 8
    for _ in range(count):
        in_file = not version or rest[at + 3] & 15 == 0  # counted from the file's beginning
        at += 6 if version else 4
        places = [at] if has_base else []
        at += 4 if has_base else 0
        extents, at = struct.unpack_from(">H", rest, at)[0], at + 2
        places += [] if has_base else range(at, at + 8 * extents, 8)
        at += 8 * extents
        for place in places if in_file else []:
            where = struct.unpack_from(">I", rest, place)[0]
            struct.pack_into(">I", rest, place, where + len(head) - old)
    return head + bytes(rest)


def made_safe(content: bytes, folder: Path) -> images.SafeImage:
    source = folder / "incoming"
    source.write_bytes(content)
    return images.make_safe(source, folder, max_pixels=10**6)


def mean_difference(path: Path) -> float:

    with Image.open(path) as shown:
        return max(ImageStat.Stat(ImageChops.difference(shown.convert("RGB"), photo())).mean)


def test_a_heic_with_many_brands_is_taken(tmp_path):
    safe = made_safe((PICTURES / "h_many_brands.heic").read_bytes(), tmp_path)

    assert safe.content_type == "image/jpeg"
    assert (safe.width, safe.height) == (370, 250)


@pytest.mark.parametrize(
    ("brand", "content_type"),
    [
        (b"avif", "image/avif"),
        (b"avis", "image/avif"),
        (b"heic", "image/heic"),
        (b"heix", "image/heic"),
        (b"heim", "image/heic"),
        (b"heis", "image/heic"),
    ],
)
def test_a_brand_is_found_at_any_place(brand, content_type):
    places = (0, 1, 5, 12, 13, 40, 1000)
    for make_head, major, place in product((ftyp, long_ftyp), (b"mif1", b"msf1", b"miaf"), places):
        listed = (OTHERS * 100)[:place]

        head = make_head(major, *listed, brand, *OTHERS) + bytes(100)

        found = images.sniff(head[: images.HEAD_BYTES])
        assert found == content_type, (make_head.__name__, major, place)


@pytest.mark.parametrize("place", [0, 5, 13, 40])
@pytest.mark.parametrize(
    ("image_format", "brand", "content_type"),
    [("AVIF", b"avif", "image/avif"), ("HEIF", b"heic", "image/jpeg")],
)
@pytest.mark.parametrize("major", [b"mif1", b"miaf"])
def test_what_names_its_brand_late_is_made_safe(
    tmp_path, place, image_format, brand, content_type, major
):
    head = ftyp(major, *(OTHERS * 4)[:place], brand)

    safe = made_safe(rebranded(encode(image_format), head), tmp_path)

    assert safe.content_type == content_type
    assert mean_difference(safe.image) < 3


@pytest.mark.parametrize(
    ("listed", "content_type"),
    [
        ((b"heic", b"mif1", b"avif"), "image/heic"),
        ((b"avif", b"mif1", b"heic"), "image/avif"),
        ((b"mif1", b"heic", b"avif"), "image/heic"),
        ((b"mif1", b"avif", b"heic"), "image/avif"),
    ],
)
def test_the_first_of_two_brands_counts(listed, content_type):
    assert images.sniff(ftyp(*listed)) == content_type


@pytest.mark.parametrize(
    "head",
    [
        ftyp(b"mif1", b"mif1", b"miaf"),  # it does not say how its pixels are encoded
        ftyp(b"isom", b"iso2", b"avc1", b"mp41"),
        ftyp(b"mif1") + b"heicheic",  # in the next box
        b"\0\0\0\x08ftyp" + b"heic" * 9,
        b"\0\0\0\x14ftypmif1heicmif1",  # a version, not a brand
        b"\0\0\0\x15ftypmif1\0\0\0\0\0heic",  # between two places
        struct.pack(">I4sQ", 1, b"ftyp", 16) + b"mif1\0\0\0\0heic",
        b"\0\0\0\x01ftyp",
        b"\xff\xff\xff\xffftyp",
    ],
)
def test_what_names_no_brand_of_ours_is_refused(tmp_path, head):
    assert images.sniff(head) is None
    with pytest.raises(ImageRejected, match="not a JPEG"):
        made_safe(head, tmp_path)
