"""How long a running stack takes to answer, at each of its doors.

    python -m benchmarks.pages [ADDRESS]

One visitor with three images and three files, one connection, one request at a time. It uploads
some twenty times, which is less than UPLOAD_RATE allows in a minute.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

from client.visitor import Answer, Refused, Visitor

READS, UPLOADS = 200, 8
FILE = b"x" * 10_000
TTL = 300  # seconds


def milliseconds(request: Callable[[], object], count: int) -> list[float]:
    """How long each of so many requests takes, in order; raises Refused where one fails."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        request()
        took.append((time.perf_counter() - began) * 1000)
    return sorted(took)


def send(visitor: Visitor) -> None:
    """A ticket, the bytes to storage, and complete."""
    begun = visitor.announce("file", "a.bin", FILE, TTL)
    visitor.send(begun["ticket"], "a.bin", FILE)
    visitor.complete(begun["id"])


def open_page(visitor: Visitor, path: str) -> Answer:
    """A page, or where a link leads to."""
    answer = visitor.ask("GET", visitor.page + path)
    if answer.status >= 400:
        raise Refused(f"GET {path}", answer.status)
    return answer


def picture() -> bytes:
    """A photo of 640 by 480, about 60 kB."""
    import pyvips

    noise = pyvips.Image.gaussnoise(640, 480, sigma=12, mean=128)
    photo = noise.bandjoin([noise + 10, noise - 10]).cast("uchar").copy(interpretation="srgb")
    return bytes(photo.jpegsave_buffer(Q=80))


def main(page: str) -> None:
    visitor, photo = Visitor(page), picture()
    uploads: dict[str, Callable[[], object]] = {
        "upload an image by the form": lambda: visitor.fill_in("image", "a.jpg", photo, TTL),
        "upload a file by the form": lambda: visitor.fill_in("file", "a.bin", FILE, TTL),
        "upload a file by ticket": lambda: send(visitor),
        "upload a file by curl -T": lambda: Visitor(page).put("a.bin", FILE, TTL),
    }
    visitor.get("/")
    print(f"{'milliseconds':28} {'median':>7} {'95 %':>7}")
    for name, request in uploads.items():
        report(name, milliseconds(request, UPLOADS))
    time.sleep(2)  # the worker has made the images safe
    link = json.loads(open_page(visitor, "/api/uploads").body)[0]["link"]
    for name, path in {
        "My Images": "/",
        "My Files": "/files/",
        "the list of the API": "/api/uploads",
        "a share link's redirect": link.removeprefix(page),
        "a static file": "/static/pages/page.js",
        "/healthz": "/healthz",
    }.items():
        report(name, milliseconds(lambda path=path: open_page(visitor, path), READS))


def report(name: str, took: list[float]) -> None:
    print(f"{name:28} {statistics.median(took):7.1f} {took[int(len(took) * 0.95) - 1]:7.1f}")


if __name__ == "__main__":
    main((sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000").rstrip("/"))
