"""Whether all of a request's body has arrived, counted while it arrives."""

import re
from collections.abc import Iterator

LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked[ \t]*\r\n", re.IGNORECASE)


def end_of_body(head: bytes, came: bytearray) -> Iterator[bool]:
    """Yields whether the whole body has arrived, each time it is asked; `came` begins with the
    head."""
    if CHUNKED.search(head):
        return chunked_end(came, len(head))
    length = LENGTH.search(head)
    return counted_end(came, len(head), int(length[1]) if length else 0)


def counted_end(came: bytearray, start: int, length: int) -> Iterator[bool]:
    """Yields whether so many bytes have arrived, each time it is asked."""
    while True:
        yield len(came) - start >= length


def chunked_end(came: bytearray, at: int) -> Iterator[bool]:
    """Yields whether a body in chunks has arrived, each time it is asked. A malformed one counts as
    arrived: its request is refused, without waiting for more."""
    while True:
        while (end := came.find(b"\r\n", at)) < 0:
            yield len(came) - at > 4096  # no chunk's size is so long
        size = re.match(rb"[0-9a-fA-F]{1,15}(?=[;\s]|\Z)", came[at:end])
        if not size:
            break
        at = end + 2
        if not int(size[0], 16):
            # Trailers, and an empty line.
            while not came.startswith(b"\r\n", at) and came.find(b"\r\n\r\n", at) < 0:
                yield False
            break
        at += int(size[0], 16) + 2
        while len(came) < at:
            yield False
    while True:
        yield True
