"""Uploads of many visitors, begun by a clock, however long the others take.

Photos and small files, by the forms, by tickets and by PUT. Python 3.8 and its standard library.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from client.visitor import PAGES, Connections, Refused, Visitor

T = TypeVar("T")

THREADS = 48
FILE_BYTES = 10 * 1024
DOORS = {"image": ("form", "ticket"), "file": ("form", "ticket", "PUT")}
BUSY = (502, 503, 504)  # what a router says while web restarts


@dataclass(frozen=True)
class Sent:
    """An upload that was answered with success."""

    visitor: Visitor
    kind: str
    door: str
    link: str
    digest: str
    seconds: float  # from its time by the clock to the answer


class Load:
    """So many uploads, `rate` a second, alternately a photo and a file.

    `ttl`: by kind, in seconds. `each`: how many a visitor uploads before somebody new comes, by
    default as many as images are kept. `patience`: for how long a client tries again where nobody
    answers, in seconds.
    """

    def __init__(
        self,
        page: str,
        photo: bytes,
        *,
        count: int,
        rate: float,
        ttl: dict[str, int],
        each: int = 3,
        patience: float = 0,
    ) -> None:
        self.page, self.photo, self.ttl = page, photo, ttl
        self.count, self.rate = count, rate
        self.each, self.patience = each, patience
        self.sent: list[Sent] = []
        self.failed: Counter[str] = Counter()
        self.retries = 0
        self.next = 0
        self.lock = threading.Lock()

    def run(self) -> Load:
        """This, once the last is answered."""
        self.start = time.monotonic()
        threads = [threading.Thread(target=self.work) for _ in range(min(THREADS, self.count))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.seconds = time.monotonic() - self.start
        return self

    def end(self) -> None:
        """Begin no more uploads."""
        self.count = self.next

    def after(self, share: float) -> float:
        """The seconds within which this share of the uploads was answered."""
        times = sorted(each.seconds for each in self.sent)
        return times[min(int(len(times) * share), len(times) - 1)]

    def work(self) -> None:
        """One thread: takes the next upload, and waits for its time."""
        connections, visitor, done = Connections(), Visitor(self.page), self.each
        while True:
            with self.lock:
                number, self.next = self.next, self.next + 1
            if number >= self.count:
                return
            due = self.start + number / self.rate
            time.sleep(max(0.0, due - time.monotonic()))
            if done == self.each:
                visitor, done = Visitor(self.page, connections), 0
            done += 1
            kind = ("image", "file")[number % 2]
            door = DOORS[kind][number // 2 % len(DOORS[kind])]
            content = unlike(self.photo) if kind == "image" else random_file()
            try:
                link = self.upload(visitor, kind, door, content)
            except (OSError, http.client.HTTPException, Refused) as error:
                self.failed[f"{kind} by {door}: {error}"] += 1
                continue
            digest = hashlib.sha256(content).hexdigest()
            self.sent.append(Sent(visitor, kind, door, link, digest, time.monotonic() - due))

    def upload(self, visitor: Visitor, kind: str, door: str, content: bytes) -> str:
        """Its link, where the door tells it."""
        name, ttl = ("photo.jpg" if kind == "image" else "file.bin"), self.ttl[kind]
        if door == "PUT":
            return self.insist(lambda: visitor.put(name, content, ttl))
        if door == "ticket":
            begun = self.insist(lambda: visitor.announce(kind, name, content, ttl))
            self.insist(lambda: visitor.send(begun["ticket"], name, content))
            return self.insist(lambda: visitor.complete(begun["id"]))
        self.insist(lambda: visitor.fill_in(kind, name, content, ttl))
        self.insist(lambda: visitor.get(PAGES[kind]))  # to which the answer leads
        return ""

    def insist(self, call: Callable[[], T]) -> T:
        """What the call returns, as soon as somebody answers."""
        until = time.monotonic() + self.patience
        while True:
            try:
                return call()
            except (OSError, http.client.HTTPException, Refused) as error:
                refused = isinstance(error, Refused) and error.status not in BUSY
                if refused or time.monotonic() > until:
                    raise
            self.retries += 1
            time.sleep(0.3)


def unlike(photo: bytes) -> bytes:
    """The photo as no other is: with a comment, right behind the two bytes that begin a JPEG."""
    comment = uuid.uuid4().bytes
    return photo[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + photo[2:]


def random_file() -> bytes:
    """A small file."""
    return os.urandom(FILE_BYTES)
