"""Who may hold a thread with a body that has not all come: half of the threads, the fastest first.

A connection gets a place once the loop has read its first 64 KiB, which a slow one brings late.
While nobody waits, a slow one keeps its place. When somebody does, the slowest is ended. A
connection that is faster than `patience.SLOWEST` is ended for nobody; nor is one for a slower
newcomer, nor for one whose address holds as many places already. Whoever gets no place reads so in
time.
"""

from collections import Counter
from dataclasses import dataclass

from s3tasks.web import patient_socket
from s3tasks.web.patient_socket import SLOWEST, PatientSocket
from uploads import patience

PATIENCE = 9.0  # seconds that a connection waits for a place; it reads within 10 that there is none


@dataclass
class Waiting:
    """A connection without a place."""

    sock: PatientSocket
    source: str
    since: float
    speed: float  # bytes a second of what it has brought


class Places:
    """Only the loop asks."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.held: dict[PatientSocket, str] = {}  # by whom
        self.waiting: list[Waiting] = []

    def wait(self, sock: PatientSocket, source: str, now: float) -> None:
        """The connection wants one."""
        speed = len(sock.ahead) / max(now - sock.began, 0.001)
        self.waiting.append(Waiting(sock, source, now, speed))

    def release(self, sock: PatientSocket) -> None:
        """The connection's request is over."""
        sock.has_place = False
        self.held.pop(sock, None)
        self.waiting = [each for each in self.waiting if each.sock is not sock]

    def admitted(self) -> list[PatientSocket]:
        """Those that have a place now and had none before."""
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
        """End as many as there are connections that wait and may take their places."""
        shares = Counter(self.held.values())
        # In a siege slow and fast are known sooner, or the queue would be longer than its patience.
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
        """Those that have waited long enough."""
        late = [each.sock for each in self.waiting if now - each.since >= PATIENCE]
        self.waiting = [each for each in self.waiting if each.sock not in late]
        return late
