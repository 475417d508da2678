"""How long a running stack takes to answer, at each of its doors.

    python benchmarks/pages.py [ADDRESS]

One visitor with three images and three files, one connection, one request at a time. It uploads
some twenty times, which is less than UPLOAD_RATE allows in a minute.
"""

import statistics
import sys
import time
from collections.abc import Callable

import requests

READS, UPLOADS = 200, 8
FILE = b"x" * 10_000


def milliseconds(request: Callable[[], requests.Response], count: int) -> list[float]:
    """How long each of so many requests takes; raises HTTPError for an answer of 400 or more."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        request().raise_for_status()
        took.append((time.perf_counter() - began) * 1000)
    return sorted(took)


class Visitor:
    """A browser's session."""

    def __init__(self, page: str) -> None:
        self.page, self.session = page, requests.Session()
        self.session.get(page, timeout=30).raise_for_status()

    def get(self, path: str) -> requests.Response:
        """A page, or where a link leads to."""
        return self.session.get(self.page + path, allow_redirects=False, timeout=30)

    def submit(self, path: str, field: str, name: str, content: bytes) -> requests.Response:
        """A form, up to the redirect."""
        return self.session.post(
            self.page + path,
            data={"csrfmiddlewaretoken": self.session.cookies["csrftoken"], "ttl": "300"},
            files={field: (name, content)},
            headers={"Referer": self.page + path},
            allow_redirects=False,
            timeout=30,
        )

    def put(self) -> requests.Response:
        """As `curl -T` does it."""
        return requests.put(f"{self.page}/a.bin", FILE, headers={"Ttl": "300"}, timeout=30)

    def send(self) -> requests.Response:
        """A ticket, the bytes to storage, and complete."""
        api = f"{self.page}/api/uploads"
        headers = {"X-CSRFToken": self.session.cookies["csrftoken"], "Referer": self.page}
        claim = {
            "kind": "file",
            "filename": "a.bin",
            "size": len(FILE),
            "content_type": "",
            "ttl": 300,
        }
        begun = self.session.post(api, json=claim, headers=headers, timeout=30)
        begun.raise_for_status()
        ticket = begun.json()["ticket"]
        requests.post(
            ticket["url"], data=ticket["fields"], files={"file": FILE}, timeout=30
        ).raise_for_status()
        complete = f"{api}/{begun.json()['id']}/complete"
        return self.session.post(complete, headers=headers, timeout=30)


def picture() -> bytes:
    """A photo of 640 by 480, about 60 kB."""
    import pyvips

    noise = pyvips.Image.gaussnoise(640, 480, sigma=12, mean=128)
    photo = noise.bandjoin([noise + 10, noise - 10]).cast("uchar").copy(interpretation="srgb")
    return bytes(photo.jpegsave_buffer(Q=80))


def main(page: str) -> None:
    visitor, photo = Visitor(page), picture()
    rows = {
        "upload an image by the form": (
            lambda: visitor.submit("/", "image", "a.jpg", photo),
            UPLOADS,
        ),
        "upload a file by the form": (
            lambda: visitor.submit("/files/", "file", "a.bin", FILE),
            UPLOADS,
        ),
        "upload a file by ticket": (visitor.send, UPLOADS),
        "upload a file by curl -T": (visitor.put, UPLOADS),
    }
    print(f"{'milliseconds':28} {'median':>7} {'95 %':>7}")
    for name, (request, count) in rows.items():
        report(name, milliseconds(request, count))
    time.sleep(2)  # the worker has made the images safe
    link = visitor.session.get(f"{page}/api/uploads", timeout=30).json()[0]["link"]
    for name, path in {
        "My Images": "/",
        "My Files": "/files/",
        "the list of the API": "/api/uploads",
        "a share link's redirect": link.removeprefix(page),
        "a static file": "/static/pages/page.js",
        "/healthz": "/healthz",
    }.items():
        report(name, milliseconds(lambda path=path: visitor.get(path), READS))


def report(name: str, took: list[float]) -> None:
    print(f"{name:28} {statistics.median(took):7.1f} {took[int(len(took) * 0.95) - 1]:7.1f}")


if __name__ == "__main__":
    main((sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000").rstrip("/"))
