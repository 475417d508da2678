"""The smoke flow: upload, thumbnail, share link, expiry; through the pages, as a browser without
scripts. Python 3.8 and its standard library."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable
from typing import Any

from client.visitor import Failed, Visitor


def picture(width: int, height: int) -> bytes:
    """A PNG with a colour gradient."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(
        b"\0" + bytes(v for x in range(width) for v in (x % 256, y % 256, (x + y) % 256))
        for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """What the condition returns once that is true; raises Failed, saying what."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failed(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)


def smoke(page: str, storage: str, *, verify: bool = False) -> str:
    """What went well, in a sentence; raises Failed."""
    visitor = Visitor(page, verify=verify)
    text = b"a few words"
    visitor.fill_in("image", "smoke.png", picture(640, 480), ttl=60)
    visitor.fill_in("file", "smoke.txt", text, ttl=60)
    start = time.monotonic()
    picture_url = wait_for(visitor.pictures, 20, "the image is shown")[0]
    shown = time.monotonic() - start
    if not picture_url.startswith(storage) or visitor.fetch(picture_url).status != 200:
        raise Failed("the thumbnail's address does not work")
    if visitor.fetch(visitor.links("/files/")[0]).body != text:
        raise Failed("the share link does not lead to the file's bytes")
    if visitor.fetch(visitor.links("/")[0]).status != 200:
        raise Failed("the image's share link does not work")

    short = Visitor(page, verify=verify)
    short.fill_in("file", "short.txt", text, ttl=5)
    link = short.links("/files/")[0]
    if short.fetch(link).status != 200:
        raise Failed("a link that lives for 5 s does not work")
    wait_for(lambda: not short.links("/files/"), 7, "what lives for 5 s is off the page")
    if short.fetch(link).status != 404:
        raise Failed("the link of what has expired still works")
    return f"an image was shown after {shown:.1f} s, links work, what lives for 5 s was gone then"
