"""How much a picture may be, take and become: the same few limits for all formats."""

import io
import struct
import zlib

import pillow_heif
import pytest
from PIL import Image, ImageDraw

from support import PICTURES
from uploads import images
from uploads.errors import ImageRejected
from uploads.images import memory
from uploads.images import safe as asking

pillow_heif.register_heif_opener()

PIXELS = 100_000_000


@pytest.fixture
def make(tmp_path):
    """Make content safe: `make(content)` gives what is stored."""

    def make(content: bytes, **options) -> tuple[images.SafeImage, bytes]:
        source = tmp_path / "incoming"
        source.write_bytes(content)
        safe = images.make_safe(source, tmp_path, **{"max_pixels": PIXELS, **options})
        return safe, safe.image.read_bytes()

    return make


@pytest.fixture
def used(monkeypatch):
    """The CPU seconds of each process that a picture had."""
    seconds, understand = [], asking.understand

    def record(answer):
        seconds.append(answer["cpu_seconds"])
        return understand(answer)

    monkeypatch.setattr(asking, "understand", record)
    return seconds


# Of each pass the first column and row, and how far it is to the next ones.
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2)]  # fmt: skip


def png(width, height, depth=8, kind=2, interlaced=False) -> bytes:
    """A black one, which takes next to no bytes."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    left = sum(
        len(range(top, height, down)) * (1 + (columns * samples * depth + 7) // 8)
        for x, top, across, down in passes
        if (columns := len(range(x, width, across)))
    )
    packer, packed = zlib.compressobj(1), b""
    while left > 0:
        packed += packer.compress(bytes(min(left, 2**20)))
        left -= 2**20
    packed += packer.flush()
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)),
            chunk(b"PLTE", bytes(6)) if kind == 3 else b"",
            chunk(b"IDAT", packed),
            chunk(b"IEND", b""),
        ]
    )


def gif(frames, size=(1, 1), frame_size=(1, 1)) -> bytes:
    frame = b"," + struct.pack("<HHHH", 0, 0, *frame_size) + b"\0\2\2L\1\0"
    head = b"GIF89a" + struct.pack("<HH", *size) + b"\x80\0\0" + bytes(6)
    return head + frame * frames + b";"


def webp(frames) -> bytes:
    """An animated one, of so many equal frames of 16 by 16."""
    two = encode(
        Image.new("RGB", (16, 16), "red"),
        "WEBP",
        save_all=True,
        append_images=[Image.new("RGB", (16, 16), "blue")],
        duration=50,
    )
    at = two.index(b"ANMF")
    frame = two[at : at + 8 + int.from_bytes(two[at + 4 : at + 8], "little")]
    body = two[8:at] + frame * frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


def encode(picture, image_format, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, image_format, **options)
    return file.getvalue()


def avif_claiming(width, height) -> bytes:
    before, kind, after = encode(Image.new("RGB", (64, 64)), "AVIF").partition(b"ispe\0\0\0\0")
    return before + kind + struct.pack(">II", width, height) + after[8:]


# --- Sides and frames ---


@pytest.mark.parametrize("size", [(memory.MAX_SIDE, 1), (1, memory.MAX_SIDE)])
def test_a_picture_at_the_longest_side_is_taken(make, size):
    assert (make(png(*size))[0].width, make(png(*size))[0].height) == size


WIDE = {
    "a side over": lambda: png(memory.MAX_SIDE + 1, 1),
    "a side over, upright": lambda: png(1, memory.MAX_SIDE + 1),
    "a side over, interlaced": lambda: png(memory.MAX_SIDE + 1, 2, interlaced=True),
    "a side over, of one bit": lambda: png(memory.MAX_SIDE + 1, 1, depth=1, kind=0),
    "734 MB of memory": (PICTURES / "w_1000000x20_8_2.png").read_bytes,
    "7.6 GB of memory": lambda: png(100_000_000, 1, depth=1, kind=0),
    "8.5 s of CPU": lambda: png(1, 10_000_000),
    "an AVIF": lambda: avif_claiming(memory.MAX_SIDE + 1, 10),
    "an AVIF, upright": lambda: avif_claiming(10, memory.MAX_SIDE + 1),
}


@pytest.mark.parametrize("name", WIDE)
def test_a_picture_with_a_longer_side_is_refused_by_its_header(make, used, name):
    with pytest.raises(ImageRejected, match="wider or taller than 65,535 pixels"):
        make(WIDE[name]())

    assert sum(used) < 0.5


@pytest.mark.parametrize("film", [gif, webp])
def test_a_film_at_the_most_frames_is_taken(make, film):
    make(film(4_000))


FILMS = {
    "a frame over": lambda: gif(4_001),
    "a minute of CPU": lambda: gif(800_000),
    "a frame over, as WebP": lambda: webp(4_001),
    "many, as WebP": lambda: webp(100_000),
    "many, on a large canvas": lambda: gif(100_000, size=(5_000, 5_000)),
}


@pytest.mark.parametrize("name", FILMS)
def test_a_film_of_more_frames_is_refused_in_no_time(make, used, name):
    with pytest.raises(ImageRejected, match=r"4,000 frames|million pixels"):
        make(FILMS[name]())

    assert sum(used) < 1


# --- Memory ---

HEAVY = {
    "wide": lambda: png(memory.MAX_SIDE, 900),
    "wide and deep": lambda: png(30_000, 900, depth=16, kind=6),
    "high": lambda: png(900, memory.MAX_SIDE // 2),
    "interlaced": lambda: png(5_000, 4_000, interlaced=True),
    "interlaced and deep": lambda: png(4_000, 3_000, depth=16, interlaced=True),
    "GIF of a large canvas": lambda: gif(1, size=(3_600, 3_500), frame_size=(3_600, 3_500)),
}


@pytest.mark.parametrize("name", HEAVY)
def test_a_picture_takes_no_more_memory_than_it_may_or_is_refused_by_its_header(
    make, used, monkeypatch, name
):
    """And what was counted holds, or it would have been ended in the middle."""
    try:
        make(HEAVY[name]())
    except ImageRejected as rejected:
        assert "too many pixels" in str(rejected)  # noqa: PT017
        assert sum(used) < 1


def test_a_picture_that_takes_more_than_counted_is_ended(make, monkeypatch):
    monkeypatch.setattr(asking, "most_bytes", lambda held: 24 * 1024**2)

    with pytest.raises(ImageRejected, match="time or memory"):
        make(png(30_000, 2_000))


# --- Bytes ---


def noise(size, sigma=60, mode="RGB"):
    return Image.effect_noise(size, sigma).convert(mode)


def text(size, mode="RGB"):
    """A page of words, sharp and of few colours."""
    page = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(page)
    for top in range(0, size[1], 12):
        for left in range(0, size[0], 90):
            draw.text((left, top), f"{left * top % 9973} {left ^ top}", fill="navy")
    return page.convert(mode)


def glass(size):
    picture = noise(size, mode="RGBA")
    picture.putalpha(noise(size, 90, "L"))
    return picture


def tight(image_format, **options) -> bytes:
    return encode(noise((1_200, 1_000), 30), image_format, **options)


TIGHT = {
    "JPEG": lambda: tight("JPEG", quality=8),
    "WebP": lambda: tight("WEBP", quality=1),
    "AVIF": lambda: tight("AVIF", quality=15, speed=9),
    "HEIC": lambda: tight("HEIF", quality=20),
    "GIF": lambda: encode(
        text((400, 300)).quantize(8), "GIF", save_all=True,
        append_images=[text((400, 300)).rotate(n, fillcolor="white").quantize(8) for n in range(9)],
    ),
    "PNG of a palette": lambda: encode(text((2_400, 1_800)).quantize(4), "PNG", optimize=True),
    "PNG of a bit": lambda: encode(text((4_000, 3_000), "1"), "PNG", optimize=True),
    "PNG of noise in a palette": lambda: encode(noise((1_500, 1_500)).quantize(16), "PNG"),
    "PNG of noise, large": lambda: encode(noise((3_000, 2_500)).quantize(8), "PNG"),
}  # fmt: skip


@pytest.mark.parametrize("name", TIGHT)
def test_what_is_stored_has_at_most_twice_the_bytes_that_came(make, monkeypatch, name):
    monkeypatch.setattr(asking, "SMALL_RESULT", 0)
    content = TIGHT[name]()

    try:
        safe, stored = make(content)
    except ImageRejected as rejected:
        pytest.fail(str(rejected))

    assert 0 < len(stored) <= 2 * len(content)
    assert images.sniff(stored) == safe.content_type
    shown = Image.open(io.BytesIO(stored))
    shown.load()
    assert shown.size == Image.open(io.BytesIO(content)).size == (safe.width, safe.height)


def test_a_scan_in_black_and_white_stays_one(make):
    content = encode(text((4_000, 3_000), "1"), "PNG")

    safe, stored = make(content)

    shown = Image.open(io.BytesIO(stored))
    assert (safe.content_type, shown.mode) == ("image/png", "1")
    assert shown.tobytes() == Image.open(io.BytesIO(content)).tobytes()


def test_few_bits_of_grey_that_a_profile_changes_are_kept_as_eight(make):
    profile = asking_profile()
    content = encode(text((300, 200), "L").quantize(4).convert("L"), "PNG", icc_profile=profile)

    assert make(content)[0].content_type == "image/png"


def asking_profile() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_what_would_be_larger_than_an_upload_may_be_becomes_smaller(make):
    """In another format, where it is not transparent."""
    content = encode(noise((1_000, 1_000)), "PNG")

    safe, stored = make(content, max_bytes=500_000)

    assert len(stored) <= 500_000 < len(content)
    assert safe.content_type in {"image/webp", "image/jpeg"}


def test_what_can_not_be_made_smaller_is_refused_with_its_sentence(make):
    content = encode(glass((3_000, 2_000)), "PNG")

    with pytest.raises(ImageRejected, match="too much space"):
        make(content, max_bytes=1_000_000)


def test_a_bomb_of_bytes_stops_where_it_is_too_large(make, used):
    """86.7 MB of 2.2 were stored; now not even the disk sees more than the limit."""
    content = encode(noise((5_000, 4_000), 40).quantize(16, dither=0), "PNG")

    _, stored = make(content, max_bytes=20 * 1024**2)

    assert len(stored) <= 2 * len(content)


@pytest.mark.parametrize(
    "content",
    [
        encode(Image.new("P", (64, 64)), "PNG"),
        encode(text((800, 600)).quantize(4).resize((6_400, 4_800), 0), "PNG", optimize=True),
        png(9_000, 9_000, depth=1, kind=0),
    ],
    ids=["a dot", "a drawing enlarged", "nothing at all, large"],
)
def test_a_picture_of_few_bytes_may_become_one_of_some_more(make, content):
    safe, stored = make(content)

    assert safe.content_type == "image/png"
    assert len(stored) < 256 * 1024
