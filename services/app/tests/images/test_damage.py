"""What every viewer overlooks in a file is overlooked; of what is lost nothing is made up."""

import io
import random
import re
import struct
import zlib
from contextlib import suppress

import pytest
from PIL import Image

from support import PICTURES
from support.pngs import SIGNATURE, chunk, header, palette, png, rows
from support.seen import difference, open_chromium
from uploads import images
from uploads.errors import ImageRejected

SIZE = (333, 211)
DAMAGED = "damaged or incomplete"


@pytest.fixture(scope="module")
def chromium():
    with open_chromium() as chromium:
        yield chromium


@pytest.fixture
def made(tmp_path):
    def made(content: bytes) -> Image.Image:
        source = tmp_path / "incoming"
        source.write_bytes(content)
        safe = images.make_safe(source, tmp_path, max_pixels=10**7)
        with Image.open(safe.image) as picture:
            return picture.convert("RGBA")

    return made


def photo(mode="RGB") -> Image.Image:
    across = Image.linear_gradient("L").rotate(90).resize(SIZE)
    down = Image.linear_gradient("L").resize(SIZE)
    middle = Image.radial_gradient("L").resize(SIZE)
    picture = Image.merge("RGB", (across, down, middle))
    return picture.quantize(64) if mode == "P" else picture.convert(mode)


def jpeg(mode="RGB", **options) -> bytes:
    file = io.BytesIO()
    photo(mode).save(file, "JPEG", quality=85, **options)
    return file.getvalue()


# --- JPEGs that are whole ------------------------------------------------------------------------

BASE = jpeg()
PROGRESSIVE = jpeg(progressive=True)
GREY = jpeg("L")
RESTARTING = jpeg(restart_marker_blocks=5)
RESTARTING_ROWS = jpeg(restart_marker_rows=1)
RESTARTING_GREY = jpeg("L", restart_marker_blocks=7)
RESTARTING_PROGRESSIVE = jpeg(progressive=True, restart_marker_blocks=9)
SOF, PROGRESSIVE_SOF, DHT, SOS, EOI = (
    b"\xff\xc0",
    b"\xff\xc2",
    b"\xff\xc4",
    b"\xff\xda",
    b"\xff\xd9",
)


def places(content: bytes, marker: bytes) -> list[int]:
    return [match.start() for match in re.finditer(re.escape(marker), content)]


def restarts(content: bytes) -> list[int]:
    """Where its restart markers are."""
    return [match.start() for match in re.finditer(rb"\xff[\xd0-\xd7]", content)]


def before(content: bytes, marker: bytes, stray: bytes, number=0) -> bytes:
    at = places(content, marker)[number]
    return content[:at] + stray + content[at:]


def renumbered(content: bytes, number: int, by: int) -> bytes:
    """With one restart marker that counts wrong."""
    at = restarts(content)[number] + 1
    return content[:at] + bytes([0xD0 + (content[at] + by) % 8]) + content[at + 1 :]


def with_coefficients(content: bytes, said: bytes) -> bytes:
    """With these as the three last bytes of the scan's header."""
    at = places(content, SOS)[0]
    end = at + 2 + int.from_bytes(content[at + 2 : at + 4])
    return content[: end - 3] + said + content[end:]


def with_adobe(transform: int) -> bytes:
    """With Adobe's segment in the place of JFIF's."""
    told = b"Adobe\0\x64\0\0\0\0" + bytes([transform])
    return BASE[:2] + b"\xff\xee" + struct.pack(">H", len(told) + 2) + told + BASE[20:]


OVERLOOKED = {
    **{f"the scan says {said}": (BASE, with_coefficients(BASE, bytes.fromhex(said)))
       for said in ("000000", "3f0000", "003f01", "010233", "ffffff")},
    "the scan says 0, grey": (GREY, with_coefficients(GREY, bytes(3))),
    "the scan says 0, restarting": (RESTARTING, with_coefficients(RESTARTING, bytes(3))),
    **{f"JFIF {version}.1": (BASE, BASE.replace(b"JFIF\0\1", b"JFIF\0" + bytes([version])))
       for version in (0, 2, 3, 255)},
    **{f"Adobe's transform {number}": (BASE, with_adobe(number)) for number in (1, 2, 7)},
    "stray bytes before a table": (BASE, before(BASE, b"\xff\xdb", bytes(18), 1)),
    "stray bytes before the frame": (BASE, before(BASE, SOF, b"\x01\x02\x03")),
    "very many": (BASE, before(BASE, SOF, bytes(100_000))),
    "stray bytes before Huffman's": (BASE, before(BASE, DHT, b"\xff\0\xff\0\x55")),
    "stray bytes before the scan": (BASE, before(BASE, SOS, b"a")),
    "a stray restart marker": (BASE, before(BASE, DHT, b"x\xff\xd3")),
    "stray bytes in two places": (BASE, before(before(BASE, SOS, b"abc"), DHT, b"de")),
    "filled up before a marker": (BASE, before(BASE, DHT, b"\xff" * 9)),
    "stray bytes before the end": (BASE, before(BASE, EOI, bytes(18), -1)),
    "other bytes before the end": (BASE, before(BASE, EOI, b"\x12\x34\x56", -1)),
    "behind the end": (BASE, BASE + b"stray" * 99),
    "progressive, before the frame": (PROGRESSIVE, before(PROGRESSIVE, PROGRESSIVE_SOF, bytes(5))),
    "progressive, before another scan": (PROGRESSIVE, before(PROGRESSIVE, SOS, bytes(7), 2)),
    "progressive, before a scan's table": (PROGRESSIVE, before(PROGRESSIVE, DHT, bytes(3), 3)),
    "progressive, before the end": (PROGRESSIVE, before(PROGRESSIVE, EOI, bytes(9), -1)),
    **{f"a restart marker {by} off": (RESTARTING, renumbered(RESTARTING, 10, by))
       for by in range(1, 8)},
    "the first restart marker": (RESTARTING, renumbered(RESTARTING, 0, 4)),
    "the last restart marker": (RESTARTING, renumbered(RESTARTING, -1, 3)),
    "two restart markers": (RESTARTING, renumbered(renumbered(RESTARTING, 3, 3), 30, 5)),
    "two that are exchanged": (RESTARTING, renumbered(renumbered(RESTARTING, 3, 1), 4, 7)),
    "a row's restart marker": (RESTARTING_ROWS, renumbered(RESTARTING_ROWS, 5, 4)),
    "a grey one's": (RESTARTING_GREY, renumbered(RESTARTING_GREY, 5, 4)),
    "a progressive one's": (RESTARTING_PROGRESSIVE, renumbered(RESTARTING_PROGRESSIVE, 40, 4)),
    "counted from 1": (
        RESTARTING,
        re.sub(rb"\xff([\xd0-\xd7])", lambda m: bytes([255, 0xD0 + (m[1][0] + 1) % 8]), RESTARTING),
    ),
    "stray bytes before a restart marker": (
        RESTARTING,
        RESTARTING[: restarts(RESTARTING)[5]] + bytes(3) + RESTARTING[restarts(RESTARTING)[5] :],
    ),
    "all at once": (
        RESTARTING,
        before(
            with_coefficients(renumbered(RESTARTING, 9, 4), bytes(3)), SOF, b"stray"
        ).replace(b"JFIF\0\1", b"JFIF\0\2"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", OVERLOOKED)
def test_a_jpeg_that_every_viewer_shows_is_the_same_picture(made, kind):
    intact, odd = OVERLOOKED[kind]

    assert difference(made(odd), made(intact)) == 0


INPUTS = {
    "j_sos_params_0_0.jpg": "image/jpeg",
    "j_18_bytes_between_segments.jpg": "image/jpeg",
    "p_bad_adler.png": "image/png",
}


@pytest.mark.parametrize("name", INPUTS)
def test_what_a_browser_shows_whole_looks_the_same(made, chromium, name):
    content = (PICTURES / name).read_bytes()

    shown = chromium.still(content, INPUTS[name])

    assert difference(made(content), shown) <= 2


# --- JPEGs of which something is lost ------------------------------------------------------------


def without(content: bytes, start: float, end: float) -> bytes:
    return content[: int(start * len(content))] + content[int(end * len(content)) :]


def zeroed(content: bytes, start: float, end: float) -> bytes:
    first, last = int(start * len(content)), int(end * len(content))
    return content[:first] + bytes(last - first) + content[last:]


def lost(content: bytes, first: int, last: int, offset=0) -> bytes:
    """Without what is between two restart markers, or as far behind each of them."""
    at = restarts(content)
    return content[: at[first] + offset] + content[at[last] + offset :]


SCANS, MARKS = places(PROGRESSIVE, SOS), restarts(RESTARTING)
KINDS = {"sequential": BASE, "progressive": PROGRESSIVE, "restarting": RESTARTING}
KINDS |= {"progressive and restarting": RESTARTING_PROGRESSIVE}
LOST = {
    f"{kind} {what}": lose(content)
    for kind, content in KINDS.items()
    for what, lose in {
        "cut at a third": lambda content: content[: len(content) // 3],
        "cut at its half": lambda content: content[: len(content) // 2],
        "cut at its last tenth": lambda content: content[: len(content) * 9 // 10],
        "cut at a third, with an end": lambda content: content[: len(content) // 3] + EOI,
        "cut at its half, with an end": lambda content: content[: len(content) // 2] + EOI,
        "cut at its end, with one": lambda content: content[: len(content) * 9 // 10] + EOI,
        "without an end": lambda content: content[:-2],
        "without its middle": lambda content: without(content, 0.5, 0.6),
        "with a zeroed middle": lambda content: zeroed(content, 0.5, 0.7),
    }.items()
}
LOST |= {
    "a zeroed half": zeroed(BASE, 0.5, 0.999),
    "cut at a restart marker": RESTARTING[: MARKS[20]] + EOI,
    "cut within an interval": RESTARTING[: MARKS[20] + 5] + EOI,
    "without an interval": lost(RESTARTING, 10, 11),
    "without eight intervals, so that the rest counts right": lost(RESTARTING, 10, 18),
    "without what is between two intervals": lost(RESTARTING, 10, 11, 5),
    "with an empty interval": RESTARTING[: MARKS[10] + 2] + RESTARTING[MARKS[11] :],
    "without a row": lost(RESTARTING_ROWS, 3, 4),
    "without eight rows": lost(RESTARTING_ROWS, 1, 9),
    "without a scan": PROGRESSIVE[: SCANS[2]] + PROGRESSIVE[SCANS[3] :],
    "with too much left over": before(PROGRESSIVE, EOI, bytes(range(1, 200)), -1),
    "cut within a stray header": before(BASE, SOF, b"stray")[: len(BASE) // 2],
    "a scan of 0 that is cut": with_coefficients(BASE, bytes(3))[: len(BASE) // 2] + EOI,
    "misnumbered and cut": renumbered(RESTARTING, 5, 4)[: len(RESTARTING) // 2] + EOI,
    "misnumbered and without an interval": lost(renumbered(RESTARTING, 5, 4), 20, 21),
}  # fmt: skip


@pytest.mark.parametrize("kind", LOST)
def test_a_jpeg_of_which_something_is_lost_is_refused(made, kind):
    with pytest.raises(ImageRejected, match=DAMAGED):
        made(LOST[kind])


# --- PNGs ----------------------------------------------------------------------------------------

STREAM = zlib.compress(rows(photo()))
TEXT = chunk(b"tEXt", b"a\0b")


def of_stream(stream: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    pixels = chunk(b"IDAT", stream)
    return SIGNATURE + header(photo()) + before + pixels + after + chunk(b"IEND")


def wrong(content: bytes) -> bytes:
    """A chunk with a wrong checksum."""
    return content[:-1] + bytes([content[-1] ^ 0xFF])


def in_pieces(stream: bytes, *lengths: int) -> bytes:
    pieces = []
    for length in lengths:
        pieces.append(chunk(b"IDAT", stream[:length]))
        stream = stream[length:]
    return SIGNATURE + header(photo()) + b"".join(pieces) + chunk(b"IDAT", stream) + chunk(b"IEND")


WHOLE = {
    "a wrong checksum of the stream": of_stream(STREAM[:-4] + b"abcd"),
    "none": of_stream(STREAM[:-4]),
    "half of one": of_stream(STREAM[:-2]),
    "a wrong one, in pieces": in_pieces(STREAM[:-4] + b"abcd", 100, 0, 1000, len(STREAM) - 1102),
    "a wrong one of pixels that are interlaced": None,
    "a wrong checksum of the pixels' chunk": of_stream(STREAM)[:-16] + bytes(4) + chunk(b"IEND"),
    "none of the last chunk": of_stream(STREAM)[:-16],
    "of a text": of_stream(STREAM, wrong(TEXT)),
    "of a text behind": of_stream(STREAM, b"", wrong(TEXT)),
    "of a gamma": of_stream(STREAM, wrong(chunk(b"gAMA", struct.pack(">I", 100_000)))),
    "of what is transparent": of_stream(STREAM, wrong(chunk(b"tRNS", bytes(6)))),
    "of the end": of_stream(STREAM)[:-1] + b"\0",
    "no end": of_stream(STREAM)[:-12],
    "half an end": of_stream(STREAM)[:-6],
    "bytes behind the end": of_stream(STREAM) + b"stray" * 50,
    "bytes behind the stream": of_stream(STREAM + b"stray" * 9),
    "a wrong checksum and bytes behind": of_stream(STREAM[:-4] + b"abcd" + b"stray" * 9),
    "more rows than there are": of_stream(zlib.compress(rows(photo()) + bytes(1000))),
    "a small window said": of_stream(b"\x08\x1d" + STREAM[2:]),
}  # fmt: skip


def interlaced_png() -> bytes:
    """By libvips, as Pillow writes none; its stream's checksum is wrong."""
    import pyvips

    picture = photo()
    pixels = pyvips.Image.new_from_memory(picture.tobytes(), *picture.size, 3, "uchar")
    content = bytes(pixels.pngsave_buffer(interlace=True, keep="none"))
    at, stream = 8, b""
    while at < len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        stream += content[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    start = SIGNATURE + chunk(b"IHDR", content[16:29])
    return start + chunk(b"IDAT", stream[:-4] + b"abcd") + chunk(b"IEND")


@pytest.mark.parametrize("kind", WHOLE)
def test_a_png_that_browsers_show_is_the_same_picture(made, kind):
    assert difference(made(WHOLE[kind] or interlaced_png()), photo()) == 0


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA"])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_wrong_checksum_is_overlooked_in_each_kind_of_png(made, mode, depth):
    if mode == "P" and depth == 16:
        pytest.skip("a palette has eight bits at most")
    picture = photo(mode)
    pixels = zlib.compress(rows(picture, depth))
    content = SIGNATURE + header(picture, depth) + palette(picture)
    content += chunk(b"IDAT", pixels[:-4] + b"abcd") + chunk(b"IEND")

    assert difference(made(content), made(png(picture, depth=depth))) == 0


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


INCOMPLETE = {
    "a row short": of_stream(zlib.compress(rows(photo())[:-1000])),
    "a byte short": of_stream(zlib.compress(rows(photo())[:-1])),
    "a stream that is cut": of_stream(STREAM[:-50]),
    "a stream that does not end": of_stream(STREAM[:-5]),
    "another byte": flipped(of_stream(STREAM), 1500),
    "another byte, its chunk's checksum right": of_stream(flipped(STREAM, len(STREAM) // 2)),
    "both checksums": wrong(of_stream(STREAM[:-4] + b"abcd")[:-12]) + chunk(b"IEND"),
    "cut within the stream's checksum": of_stream(STREAM)[:-18],
    "cut": of_stream(STREAM)[:-100],
    "of a header": SIGNATURE + wrong(header(photo())) + chunk(b"IDAT", STREAM) + chunk(b"IEND"),
    "stray bytes between chunks": of_stream(STREAM, bytes(18)),
    "an endless chunk": of_stream(STREAM, b"\xff\xff\xff\xfftEXt"),
    "no pixels": SIGNATURE + header(photo()) + chunk(b"IEND"),
    "a bomb": of_stream(zlib.compress(bytes(50_000_000))[:-4] + b"abcd")[:-20],
}


@pytest.mark.parametrize("kind", INCOMPLETE)
def test_a_png_of_which_something_is_lost_is_refused(made, kind):
    with pytest.raises(ImageRejected, match=DAMAGED):
        made(INCOMPLETE[kind])


def test_a_palette_with_a_wrong_checksum_is_refused(made):
    picture = photo("P")
    content = png(picture)
    content = content.replace(palette(picture), wrong(palette(picture)))

    with pytest.raises(ImageRejected, match=DAMAGED):
        made(content)


# --- Whatever comes ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", ["JPEG", "progressive JPEG", "restarting JPEG", "PNG"])
def test_a_mutated_file_is_refused_or_a_picture_of_its_size(made, kind, seed):
    content = bytearray(
        {
            "JPEG": BASE,
            "progressive JPEG": PROGRESSIVE,
            "restarting JPEG": RESTARTING,
            "PNG": of_stream(STREAM),
        }[kind]
    )
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(2, len(content) if seed % 2 else 400)
        new = bytes(chance.choices([0, 1, 0xD0, 0xD9, 0xDA, 0xFF, 0x42], k=chance.randint(0, 3)))
        content[at : at + chance.randint(0, 3)] = new

    with suppress(ImageRejected):
        assert min(made(bytes(content)).size) > 0
