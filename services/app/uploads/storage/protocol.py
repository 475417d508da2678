"""The interface of storage, for the domain."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Literal, Protocol

from django.utils.translation import gettext_lazy

DELETE_MAX = 1000  # keys; what one DeleteObjects takes
# A key as ours are. A listing may show any other: 1,024 bytes, control characters, what XML can't
# carry: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
PLAIN = re.compile(r"[A-Za-z0-9/_.-]+")
NO_ANSWER = gettext_lazy("Storage is not responding at the moment. Please try again in a minute.")
# In place of an id: whatever was begun under the key. S3 draws the id when it begins, so nobody can
# write it down before.
ANY_PARTS = "any"
Method = Literal["GET", "HEAD"]


@dataclass(frozen=True)
class StoredObject:
    """What storage knows of one object."""

    key: str
    size_bytes: int
    modified_at: datetime
    etag: str = ""  # differs where the bytes do; of a listing not known


@dataclass(frozen=True)
class Ticket:
    """Where and how a client sends the bytes of one upload: a form, whose last field is `file`."""

    method: Literal["POST"]
    url: str  # the local disk's is a path of the app
    fields: dict[str, str]


@dataclass(frozen=True)
class Parts:
    """An object that arrives in parts, and is not there until they are joined."""

    key: str
    multipart_id: str
    begun_at: datetime


class Storage(Protocol):
    """What the domain asks of storage. Every method may raise StorageUnavailable."""

    def prepare(self) -> None:
        """Make what the app itself can make: a local folder. A bucket is its owner's to make."""

    def put(self, key: str, content: IO[bytes], *, content_type: str) -> None:
        """Store the content under the key, whole or not at all. One request."""

    def ticket(self, key: str, *, size_bytes: int, content_type: str, seconds: int) -> Ticket:
        """What lets a client store exactly so many bytes under the key. No request."""

    def begin_parts(self, key: str, *, content_type: str) -> str:
        """The id of a new multipart upload: the object will come in parts."""

    def put_part(
        self, key: str, multipart_id: str, number: int, content: bytes, *, at: int | None = None
    ) -> str:
        """Store one part, numbered from 1; what `join_parts` wants to know of it. `at`: its first
        byte's place, where the part may have been stored before, and takes its own place then."""

    def join_parts(self, key: str, multipart_id: str, parts: list[str]) -> None:
        """Make the object of its parts, in their order."""

    def abort_parts(self, key: str, multipart_id: str) -> None:
        """Drop the parts; also where that was done before, or they were joined. ANY_PARTS: whatever
        was begun under the key."""

    def list_parts(self) -> Iterator[list[Parts]]:
        """What has been begun in parts and is neither joined nor aborted, in pages."""

    def head(self, key: str) -> StoredObject | None:
        """The object, or None where the key is not there."""

    def copy(self, source: str, target: str, *, etag: str, content_type: str) -> bool:
        """Store under the target what lies under the source, without fetching it; whether that
        was there, with this etag. One request, which takes as long as storage's disks do."""

    def exists_quickly(self, key: str) -> bool:
        """Whether the key is there, asked once and for at most a second."""

    def read(self, key: str, count: int | None = None, *, start: int = 0) -> bytes | None:
        """The object's first `count` bytes (all of them: None) from `start` on, or None where it is
        not there."""

    def fetch(self, key: str, target: Path) -> bool:
        """Write the object to the file; whether it was there."""

    def delete(self, keys: list[str]) -> dict[str, str]:
        """Delete up to DELETE_MAX keys, whatever they are called; the errors, by key, of those that
        stay. One request, and one more for each key that is not PLAIN."""

    def pages(self, prefix: str, after: str = "") -> Iterator[list[StoredObject]]:
        """The objects under `prefix/` in the order of their keys' bytes, in pages: those that come
        after the key `after`."""

    def seconds_ahead(self) -> float:
        """How many seconds this machine's clock is ahead of storage's, to about a second."""

    def check_bucket(self) -> None:
        """Return where the bucket itself answers."""

    def url(
        self,
        key: str,
        *,
        seconds: int,
        method: Method = "GET",
        content_type: str,
        download_as: str | None,
    ) -> str:
        """A signed address for `seconds`; shown inline, or downloaded under the name given."""
