"""The smoke flow: upload, thumbnail, share link, expiry; through the pages, as a browser without
scripts. Python 3.8 and its standard library."""

from __future__ import annotations

import html
import http.cookiejar
import re
import ssl
import struct
import time
import urllib.error
import urllib.request
import uuid
import zlib
from collections.abc import Callable
from typing import Any


class Failed(Exception):
    """What did not go as it must."""


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


class Visitor:
    """A browser without scripts; it takes any certificate, as a router's may be self-signed."""

    def __init__(self, page: str, *, verify: bool = False) -> None:
        self.page, self.token = page, ""
        trusting = ssl.create_default_context()
        if not verify:
            trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=trusting),
            urllib.request.HTTPCookieProcessor(self.cookies),
        )

    def ask(self, url: str, **options: Any) -> tuple[int, bytes]:
        """The status and body of an answer, whatever the status."""
        request = urllib.request.Request(url, **options)  # noqa: S310  our own addresses
        try:
            with self.opener.open(request, timeout=40) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def answers(self, path: str) -> bool:
        """Whether there is an answer of 200."""
        try:
            return self.ask(self.page + path)[0] == 200
        except OSError:
            return False

    def get(self, path: str) -> str:
        """A page."""
        status, body = self.ask(self.page + path)
        text = body.decode()
        if status != 200:
            raise Failed(f"GET {path} answers {status}")
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', text)
        self.token = found.group(1) if found else self.token
        return text

    def upload(self, path: str, field: str, name: str, content: bytes, ttl: int) -> None:
        """Fill in a page's form and submit it."""
        if not self.token:
            self.get(path)
        boundary = uuid.uuid4().hex
        parts = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
            for key, value in (("csrfmiddlewaretoken", self.token), ("ttl", ttl))
        )
        head = (
            f"{parts}--{boundary}\r\nContent-Disposition: form-data;"
            f' name="{field}"; filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        )
        body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Referer": self.page + path,
        }
        status, _ = self.ask(self.page + path, data=body, headers=headers)
        if status != 200:
            raise Failed(f"an upload to {path} is answered with {status}")

    def links(self, path: str) -> list[str]:
        """The share links on a page."""
        return re.findall(rf"{self.page}/[if]/[\w-]{{22}}", self.get(path))

    def pictures(self, storage: str) -> list[str]:
        """The addresses of the pictures on My Images."""
        found = re.findall(r'<img[^>]+src="([^"]+)"', self.get("/"))
        return [html.unescape(each) for each in found if each.startswith(storage)]


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """What the condition returns once that is true; raises Failed, saying what."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failed(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.2)


def smoke(page: str, storage: str, *, verify: bool = False) -> str:
    """What went well, in a sentence; raises Failed."""
    visitor = Visitor(page, verify=verify)
    text = b"a few words"
    visitor.upload("/", "image", "smoke.png", picture(640, 480), ttl=60)
    visitor.upload("/files/", "file", "smoke.txt", text, ttl=60)
    start = time.monotonic()
    pictures = wait_for(lambda: visitor.pictures(storage), 20, "the image is shown")
    shown = time.monotonic() - start
    if visitor.ask(pictures[0])[0] != 200:
        raise Failed("the thumbnail's address does not work")
    link = visitor.links("/files/")[0]
    if visitor.ask(link) != (200, text):
        raise Failed("the share link does not lead to the file's bytes")
    if visitor.ask(visitor.links("/")[0])[0] != 200:
        raise Failed("the image's share link does not work")

    short = Visitor(page, verify=verify)
    short.upload("/files/", "file", "short.txt", text, ttl=5)
    link = short.links("/files/")[0]
    if short.ask(link)[0] != 200:
        raise Failed("a link that lives for 5 s does not work")
    wait_for(lambda: not short.links("/files/"), 7, "what lives for 5 s is off the page")
    if short.ask(link)[0] != 404:
        raise Failed("the link of what has expired still works")
    return f"an image was shown after {shown:.1f} s, links work, what lives for 5 s was gone then"
