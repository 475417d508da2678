"""The parts of an answer that its connection has not taken yet."""

import os
import socket
from typing import IO, Protocol


class Piece(Protocol):
    """A part of an answer."""

    def send(self, sock: socket.socket, most: int) -> int:
        """Send up to so many bytes; how many were sent. Raises BlockingIOError if the connection
        takes none now."""

    @property
    def left(self) -> int:
        """Bytes that are still to be sent."""

    def close(self) -> None:
        """Release its resources: it is sent, or the connection is closed."""


class Bytes:
    """Bytes in memory: a page, or a header."""

    def __init__(self, data: bytes) -> None:
        self.data = memoryview(data)

    def send(self, sock: socket.socket, most: int) -> int:
        sent = socket.socket.send(sock, self.data[:most])
        self.data = self.data[sent:]
        return sent

    @property
    def left(self) -> int:
        return len(self.data)

    def close(self) -> None:
        pass


class FilePart:
    """Part of a file, which goes from the disk to the connection without passing through Python."""

    def __init__(self, file: IO[bytes], offset: int, count: int) -> None:
        self.descriptor = os.dup(file.fileno())  # the request closes its own
        self.offset = offset
        self.left = count

    def send(self, sock: socket.socket, most: int) -> int:
        sent = os.sendfile(sock.fileno(), self.descriptor, self.offset, min(most, self.left))
        self.offset += sent
        self.left -= sent
        if not sent:
            raise ConnectionAbortedError("the file is shorter than it was")
        return sent

    def close(self) -> None:
        os.close(self.descriptor)
