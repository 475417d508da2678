"""What Chromium shows of an image's bytes."""

import base64
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from PIL import Image, ImageChops, ImageStat
from playwright.sync_api import Page, Route, sync_playwright

# Each answers as PNG, whose samples are the canvas's own.
SHOW_STILL = """async ([type, content]) => {
    const image = new Image();
    image.src = `data:${type};base64,${content}`;
    try { await image.decode(); } catch { return null; }
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL("image/png");
}"""
SHOW_FILM = """async ([type, content]) => {
    const data = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
    const decoder = new ImageDecoder({type, data});
    await decoder.tracks.ready;
    await decoder.completed;
    const {frameCount, repetitionCount} = decoder.tracks.selectedTrack;
    const frames = [];
    for (let frameIndex = 0; frameIndex < frameCount; frameIndex++) {
        const {image} = await decoder.decode({frameIndex});
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [image.displayWidth, image.displayHeight];
        canvas.getContext("2d").drawImage(image, 0, 0);
        frames.push([canvas.toDataURL("image/png"), Math.round(image.duration / 1000)]);
        image.close();
    }
    return [frames, repetitionCount];
}"""
SECURE = "https://localhost/"  # without which Chromium has no ImageDecoder


class Frame(NamedTuple):
    picture: Image.Image
    milliseconds: int


class Film(NamedTuple):
    frames: list[Frame]
    repeats: float  # after the first time; infinity for ever


class Chromium:
    """A page that shows images and tells their pixels."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def still(self, content: bytes, content_type: str) -> Image.Image | None:
        """The image as RGBA, None where Chromium shows none."""
        shown = self.page.evaluate(SHOW_STILL, [content_type, base64.b64encode(content).decode()])
        return shown and decode(shown)

    def film(self, content: bytes, content_type: str) -> Film:
        """Each frame, for how long, and how often."""
        frames, repeats = self.page.evaluate(
            SHOW_FILM, [content_type, base64.b64encode(content).decode()]
        )
        return Film([Frame(decode(url), duration) for url, duration in frames], repeats)


def decode(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGBA")


@contextmanager
def open_chromium() -> Iterator[Chromium]:
    """Debian's Chromium or another that is installed; the test is skipped where there is none."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if not path:
        pytest.skip("no browser: chromium is not installed")

    def answer(route: Route) -> None:
        route.fulfill(body="<title>seen</title>", content_type="text/html")

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--force-color-profile=srgb"]
        browser = playwright.chromium.launch(executable_path=path, args=options)
        page = browser.new_page()
        page.route("**/*", answer)
        page.goto(SECURE)
        yield Chromium(page)
        browser.close()


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean difference a sample, 0 to 255, of what is seen on white and of what is opaque."""
    assert one.size == other.size
    pairs = [(on(colour, one), on(colour, other)) for colour in ("white", "black")]
    return max(mean for pair in pairs for mean in ImageStat.Stat(ImageChops.difference(*pair)).mean)


def on(colour: str, picture: Image.Image) -> Image.Image:
    ground = Image.new("RGBA", picture.size, colour)
    return Image.alpha_composite(ground, picture.convert("RGBA")).convert("RGB")
