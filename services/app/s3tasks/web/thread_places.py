"""Which connections may hold a thread while their bodies arrive: as many as half of the threads,
the fastest first.

A connection can get a place once the loop has read its first 64 KiB, which takes a slow one longer.
While no other connection waits, a slow one keeps its place; when one does, the slowest is closed.
Three rules limit that: a connection faster than `patience.SLOWEST` is never closed, a connection is
not closed for a slower newcomer, and not for one whose address holds as many places already. A
connection that gets no place is answered before the client gives up.
"""

from collections import Counter
from dataclasses import dataclass

from s3tasks.web import patient_socket
from s3tasks.web.patient_socket import SLOWEST, PatientSocket
from uploads import patience

PATIENCE = 9.0  # seconds to wait for a place; within 10 the client must have an answer


@dataclass
class Waiting:
    """A connection without a place."""

    sock: PatientSocket
    source: str
    since: float
    speed: float  # bytes a second, so far


class Places:
    """The places and the queue for them. Only the loop calls this, so it needs no lock."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.held: dict[PatientSocket, str] = {}  # the source that holds it
        self.waiting: list[Waiting] = []

    def wait(self, sock: PatientSocket, source: str, now: float) -> None:
        """Put the connection into the queue."""
        speed = len(sock.ahead) / max(now - sock.began, 0.001)
        self.waiting.append(Waiting(sock, source, now, speed))

    def release(self, sock: PatientSocket) -> None:
        """The connection's request is over."""
        sock.has_place = False
        self.held.pop(sock, None)
        self.waiting = [each for each in self.waiting if each.sock is not sock]

    def admitted(self) -> list[PatientSocket]:
        """The connections that have just got a place."""
        new = []
        while self.waiting and len(self.held) < self.count:
            shares = Counter(self.held.values())
            first = min(
                self.waiting,
                key=lambda each: (shares[each.source], each.speed < patience.SLOWEST, each.since),
            )
            self.waiting.remove(first)
            self.held[first.sock] = first.source
            first.sock.has_place = True
            new.append(first.sock)
        return new

    def end_slow_ones(self, now: float) -> None:
        """Close as many slow connections as there are waiting ones that may take their places."""
        shares = Counter(self.held.values())
        # When very many wait, speeds are measured over a shorter time, or the queue would outlast
        # PATIENCE.
        window = patient_socket.WINDOW / (3 if len(self.waiting) > self.count else 1)
        ending = sum(1 for sock in self.held if sock.verdict)
        for each in self.waiting[ending:]:
            slow = [
                (-shares[source], speed, sock)
                for sock, source in self.held.items()
                if not sock.verdict
                and (speed := sock.speed(now, window)) is not None
                and speed < min(patience.SLOWEST, each.speed)
                and (source == each.source or shares[source] > shares[each.source])
            ]
            if slow:
                min(slow, key=lambda found: found[:2])[2].end(SLOWEST)

    def given_up(self, now: float) -> list[PatientSocket]:
        """The connections that have waited too long."""
        late = [each.sock for each in self.waiting if now - each.since >= PATIENCE]
        self.waiting = [each for each in self.waiting if each.sock not in late]
        return late
