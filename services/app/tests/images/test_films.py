"""Animations move as they do in Chromium: each frame, for how long, and how often."""

import struct

import pytest
from PIL import Image

from support import PICTURES
from support.gifs import frame, gif
from support.pngs import Animation, chunk
from support.seen import Film, difference, open_chromium
from uploads import images
from uploads.errors import ImageRejected

SIZE = (64, 48)
LIMIT = 10**7
MOST = 1  # of 255, the mean difference a sample
RED = (255, 0, 0)


@pytest.fixture(scope="module")
def chromium():
    with open_chromium() as chromium:
        yield chromium


@pytest.fixture
def made(tmp_path):
    def made(content: bytes, max_pixels: int = LIMIT) -> images.SafeImage:
        source = tmp_path / "incoming"
        source.write_bytes(content)
        return images.make_safe(source, tmp_path, max_pixels=max_pixels)

    return made


@pytest.fixture
def films(chromium, made):
    """Before and after it was made safe."""

    def films(content: bytes, content_type: str) -> tuple[Film, Film]:
        safe = made(content)
        before = chromium.film(content, content_type)
        return before, chromium.film(safe.image.read_bytes(), safe.content_type)

    return films


def at_each_moment(film: Film) -> list[Image.Image]:
    """What is shown every ten milliseconds: an encoder may make one frame of two alike."""
    shown = [each.picture for each in film.frames for _ in range(max(each.milliseconds, 10) // 10)]
    return shown or [film.frames[0].picture]


def assert_same(before: Film, after: Film, most: float) -> None:
    if len(before.frames) > 1:
        assert after.repeats == before.repeats
        lengths = [sum(each.milliseconds for each in film.frames) for film in (before, after)]
        assert lengths[0] == pytest.approx(lengths[1], abs=len(before.frames))
    for one, other in zip(at_each_moment(before), at_each_moment(after), strict=False):
        assert difference(one, other) <= most


def card(number: int, size=SIZE, mode="RGB") -> Image.Image:
    """A picture in a colour of its own, with a mark in a place of its own."""
    colour = [(180, 70, 60), (70, 160, 70), (60, 80, 170), (170, 160, 60)][number % 4]
    picture = Image.new("RGB", size, colour)
    edge = min(size) // 3
    picture.paste((230, 230, 230), (edge // 2 * number % edge, 0, edge, edge))
    if mode in {"RGBA", "LA"}:
        picture = picture.convert(mode)
        picture.putalpha(Image.linear_gradient("L").resize(size))
    return picture.convert(mode) if mode != "P" else picture.quantize(16)


def cards(count=4, mode="RGB", **told) -> Animation:
    animation = Animation(SIZE, mode)
    for number in range(count):
        animation.add(card(number, mode=mode), **told)
    return animation


def glass(number: int, size=(24, 24)) -> Image.Image:
    picture = card(number, size).convert("RGBA")
    picture.putalpha(Image.radial_gradient("L").resize(size))
    return picture


# --- Animated PNGs -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["p_apng.png", "p_apng_default_apart.png"])
def test_an_animated_png_stays_animated(films, made, name):
    content = (PICTURES / name).read_bytes()

    before, after = films(content, "image/png")

    assert made(content).content_type == "image/webp"
    assert [each.milliseconds for each in after.frames] == [200] * len(before.frames)
    assert_same(before, after, most=MOST)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_default_picture_that_is_no_frame_is_never_shown(made, count):
    animation = cards(count)
    animation.default = Image.new("RGB", SIZE, RED)

    safe = made(animation.play())

    for path in (safe.image, safe.thumbnail):
        with Image.open(path) as shown:
            for number in range(getattr(shown, "n_frames", 1)):
                shown.seek(number)
                red, green, _ = shown.convert("RGB").getpixel((40, 40))
                assert (red, green) != pytest.approx(RED[:2], abs=40)


def test_the_thumbnail_of_an_animated_png_is_its_first_frame(made):
    with Image.open(made(cards().play()).thumbnail) as thumbnail:
        assert getattr(thumbnail, "n_frames", 1) == 1
        assert difference(thumbnail, card(0)) < 6


@pytest.mark.parametrize("plays", [0, 1, 2, 3, 1000, 65_535])
def test_an_animated_png_is_played_as_often(films, plays):
    before, after = films(cards().play(plays), "image/png")

    assert after.repeats == before.repeats


@pytest.mark.parametrize(
    ("delay", "milliseconds"),
    [
        ((1, 10), 100),
        ((1, 60), 17),
        ((7, 0), 70),
        ((0, 1), 100),
        ((1, 100), 100),
        ((65_535, 1), 2**24 - 1),
    ],
)
def test_each_frame_of_an_animated_png_is_shown_as_long(films, delay, milliseconds):
    """What is no longer than ten milliseconds is shown for a hundred, as in browsers."""
    _, after = films(cards(delay=delay).play(), "image/png")

    assert [each.milliseconds for each in after.frames] == [milliseconds] * 4


@pytest.mark.parametrize("is_over", [0, 1])
@pytest.mark.parametrize("then", [0, 1, 2])
@pytest.mark.parametrize("first_then", [0, 1, 2])
def test_frames_are_put_together_as_in_a_browser(films, first_then, then, is_over):
    animation = Animation(SIZE, "RGBA").add(card(0).convert("RGBA"), then=first_then)
    for number, place in enumerate([(0, 0), (40, 24), (20, 10), (7, 24)], 1):
        animation.add(glass(number), *place, then=then, is_over=is_over)

    assert_same(*films(animation.play(), "image/png"), most=MOST)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
def test_an_animated_png_of_each_kind_of_pixels_looks_the_same(films, mode):
    animation = Animation(SIZE, mode).add(card(0, mode=mode))
    if mode == "P":  # all frames have the first one's palette
        animation.add(animation.frames[0][0].transpose(Image.Transpose.ROTATE_180))
    else:
        animation.add(card(1, mode=mode)).add(card(2, (20, 20), mode), 30, 20)

    assert_same(*films(animation.play(), "image/png"), most=MOST)


def test_a_palettes_transparent_colours_stay_so_in_each_frame(films):
    first = card(0, mode="P")
    animation = Animation(SIZE, "P").add(first, then=1)
    animation.add(first.crop((0, 0, 30, 30)), 20, 10, is_over=1)
    content = animation.play()
    trns = chunk(b"tRNS", bytes([0, 128]))
    at = content.index(b"fcTL") - 4
    content = content[:at] + trns + content[at:]

    assert_same(*films(content, "image/png"), most=MOST)


def test_an_animated_png_follows_its_colours(films):
    animation = Animation(SIZE, "RGB", chunk(b"gAMA", struct.pack(">I", 100_000)))
    animation.add(card(0)).add(card(1))

    before, after = films(animation.play(), "image/png")

    assert difference(before.frames[0].picture, card(0)) > 20
    assert_same(before, after, most=MOST)


def test_many_see_through_frames_darken_nothing(films):
    animation = Animation(SIZE, "RGBA").add(card(0).convert("RGBA"))
    nothing = Image.new("RGBA", SIZE)
    for number in range(100):
        nothing.putpixel((number % 60, number % 40), (255, 255, 255, 255))
        animation.add(nothing.copy(), is_over=1, delay=(1, 50))

    before, after = films(animation.play(), "image/png")

    assert difference(before.frames[-1].picture, after.frames[-1].picture) <= MOST


@pytest.mark.parametrize("count", [5, 2**31 - 1])
def test_fewer_frames_than_were_said_are_shown(films, count):
    assert_same(*films(cards().play(count=count), "image/png"), most=MOST)


def test_more_frames_than_were_said_are_not_shown(films):
    before, after = films(cards().play(count=2), "image/png")

    assert len(before.frames) == 2
    assert_same(before, after, most=MOST)


@pytest.mark.parametrize(("count", "plays"), [(0, 0), (2**31, 0), (4, 2**31), (1, 0)])
def test_what_browsers_show_as_a_still_is_one(chromium, made, count, plays):
    content = cards().play(plays, count=count)

    safe = made(content)

    assert safe.content_type == "image/png"
    before = chromium.still(content, "image/png")
    assert difference(before, chromium.still(safe.image.read_bytes(), "image/png")) == 0


def without(content: bytes, kind: bytes, number: int) -> bytes:
    return replaced(content, kind, number, lambda data: None)


def replaced(content: bytes, kind: bytes, number: int, change) -> bytes:
    """With other data in the chunk of this kind and number."""
    at = -1
    for _ in range(number + 1):
        at = content.index(kind, at + 1)
    length = struct.unpack(">I", content[at - 4 : at])[0]
    data = change(content[at + 4 : at + 4 + length])
    return (
        content[: at - 4]
        + (b"" if data is None else chunk(kind, data))
        + content[at + 8 + length :]
    )


def told(**values) -> bytes:
    usual = {"number": 3, "width": 20, "height": 20, "left": 4, "top": 4}
    usual |= {"delay": 1, "parts": 10, "then": 0, "is_over": 0}
    return struct.pack(">5I2H2B", *(usual | values).values())


WRONG = {
    "a number": told(number=9),
    "a number twice": told(number=1),
    "no width": told(width=0),
    "no height": told(height=0),
    "over the right edge": told(left=60),
    "over the lower edge": told(top=2**32 - 1),
    "huge": told(width=2**31 - 1, height=2**31 - 1),
    "larger than its pixels": told(width=60),
    "an unknown end": told(then=3),
    "an unknown way": told(is_over=2),
    "cut": told()[:20],
    "empty": b"",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_animated_png_that_makes_no_sense_is_refused(made, wrong):
    content = Animation(SIZE).add(card(0)).add(card(1)).add(card(2, (20, 20)), 4, 4).play()
    assert made(content)

    with pytest.raises(ImageRejected, match="damaged"):
        made(replaced(content, b"fcTL", 2, lambda _: WRONG[wrong]))


@pytest.mark.parametrize("kind", [b"fcTL", b"fdAT"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_an_animated_png_without_one_of_its_chunks_is_refused(made, kind, number):
    with pytest.raises(ImageRejected, match="damaged"):
        made(without(cards().play(), kind, number))


@pytest.mark.parametrize("part", [0.5, 0.8, 0.95])
def test_a_cut_animated_png_is_refused(made, part):
    content = cards().play()

    with pytest.raises(ImageRejected, match="damaged"):
        made(content[: int(len(content) * part)])


def test_a_default_picture_of_which_all_frames_are_missing_is_not_shown(made):
    animation = cards(1)
    animation.default = Image.new("RGB", SIZE, RED)
    content = without(without(animation.play(), b"fcTL", 0), b"fdAT", 0)

    with pytest.raises(ImageRejected, match="damaged"):
        made(content)


def test_a_frame_with_one_wrong_checksum_is_shown(films):
    content = replaced(cards().play(), b"fdAT", 1, lambda data: data[:-4] + b"xxxx")

    assert_same(*films(content, "image/png"), most=MOST)


def test_every_frame_of_an_animated_png_counts_toward_the_pixel_limit(made):
    content = cards(4).play()

    assert made(content, max_pixels=4 * 64 * 48).height == 48
    with pytest.raises(ImageRejected, match="counting all frames"):
        made(content, max_pixels=4 * 64 * 48 - 1)


def test_an_animated_png_of_too_many_frames_is_refused(made):
    animation = Animation((1, 1))
    for _ in range(4001):
        animation.add(Image.new("RGB", (1, 1)))

    with pytest.raises(ImageRejected, match="frames"):
        made(animation.play())


# --- GIFs ----------------------------------------------------------------------------------------

SMALL = (24, 16)
GIFS = {
    "a small frame": gif(SIZE, frame(5, SMALL, 5, 5), background=77, repeats=None),
    "a small frame, no transparency said": gif(SIZE, frame(5, SMALL)[8:], repeats=None),
    "a small frame, background 0": gif(SIZE, frame(5, SMALL, 5, 5), repeats=None),
    "a small frame with its own palette": gif(
        SIZE, frame(5, SMALL, 5, 5, own_palette=True), has_palette=False, repeats=None
    ),
    "a small frame, partly transparent": gif(SIZE, frame(5, SMALL, 5, 5, transparent=14)),
    "a narrow frame": gif(SIZE, frame(5, (63, 48))),
    "a low frame": gif(SIZE, frame(5, (64, 47))),
    "over the edge": gif(SIZE, frame(5, SMALL, 50, 40)),
    "small frames": gif(SIZE, frame(5, SMALL, 5, 5, then=1), frame(50, SMALL, 15, 15, then=1)),
    "small frames, not for ever": gif(SIZE, frame(5, SMALL, 5), frame(50, SMALL, 15), repeats=2),
    "small frames, once": gif(SIZE, frame(5, SMALL, 5), frame(50, SMALL, 15), repeats=None),
    "small frames of other delays": gif(
        SIZE, frame(5, SMALL, 5, delay=3), frame(50, SMALL, 15, delay=250)
    ),
    "a full frame first": gif(SIZE, frame(5, SIZE, then=1), frame(50, SMALL, 15, 15, then=1)),
    "all cleared": gif(
        SIZE, frame(5, SIZE, then=2), frame(50, SMALL, 9, 9, then=2), frame(90, (9, 9), 1, 1),
        background=77,
    ),
    "one cleared": gif(
        SIZE, frame(5, SIZE, then=1), frame(50, SMALL, 9, 9, then=2), frame(90, (9, 9), 1, 1)
    ),
    "cleared, another partly transparent": gif(
        SIZE, frame(5, SIZE, then=2), frame(50, SMALL, 9, 9, then=2, transparent=59),
        frame(90, (9, 9), 1, 1),
    ),
    "restored": gif(
        SIZE, frame(5, SIZE, then=1), frame(50, SMALL, 9, 9, then=3), frame(90, (9, 9), 1, 1)
    ),
    "small, restored": gif(
        SIZE, frame(5, SMALL, 5, 5, then=3), frame(50, SMALL, 9, 9, then=3), frame(90, (9, 9), 1, 1)
    ),
    "reserved ends": gif(
        SIZE, frame(5, SIZE, then=5), frame(50, SMALL, 9, 9, then=4), frame(90, (9, 9), then=7)
    ),
    "a screen's size": gif((640, 480), frame(5, SMALL), repeats=None),
    "a screen's size, partly transparent": gif((800, 600), frame(5, SMALL, 9, 9, transparent=14)),
    "a screen's size, all drawn": gif((640, 480), frame(5, (640, 480)), repeats=None),
    "wider than any screen": gif((2100, 20), frame(5, (40, 10), 3, 3), frame(9, (10, 10))),
    "no size": gif((0, 0), frame(5, SMALL, 3, 3), frame(9, (10, 10))),
    "no width": gif((0, 20), frame(5, SMALL), frame(9, (10, 10), then=2), frame(9, (2, 2))),
    "wider than the canvas": gif((20, 40), frame(5, (40, 10)), repeats=None),
    "the second larger than the canvas": gif((20, 15), frame(5, (20, 15)), frame(9, SIZE)),
    "the second over the edge": gif((20, 15), frame(5, (9, 9)), frame(9, (10, 10), 15, 10)),
    "the second beside the canvas": gif((20, 15), frame(5, (9, 9)), frame(9, (10, 10), 20, 15)),
    "larger than the canvas": gif((20, 15), frame(5, SIZE), repeats=None),
}  # fmt: skip


@pytest.mark.parametrize("kind", GIFS)
def test_a_gif_looks_as_in_a_browser(films, kind):
    before, after = films(GIFS[kind], "image/gif")

    assert_same(before, after, most=2)


def test_a_gif_is_transparent_where_nothing_was_drawn(made):
    safe = made(GIFS["a small frame"])

    for path in (safe.image, safe.thumbnail):
        with Image.open(path) as image:
            shown = image.convert("RGBA")
        assert shown.getpixel((60, 40))[3] == 0
        assert shown.getpixel((20, 8))[3] == 255


@pytest.mark.parametrize("place", [*range(0, 30, 3), *range(781, 860, 8)])
@pytest.mark.parametrize("byte", [0, 0x2C, 0xFF])
def test_whatever_a_gif_says_it_is_refused_or_made_safe(made, place, byte):
    content = bytearray(GIFS["all cleared"])
    content[place] = byte

    try:
        safe = made(bytes(content))
    except ImageRejected:
        return
    with Image.open(safe.image) as shown:
        shown.load()
