"""Who may hold a thread with a body that has not all come: half of the threads, the fastest first.

A line gets a place once the loop has read its first 64 KiB, which a slow one brings late. While
nobody waits, a slow one keeps its place. When somebody does, the slowest is ended. A line that is
faster than SLOWEST_LINE is ended for nobody; nor is one for a slower newcomer, nor for one whose
address holds as many places already. Whoever gets no place is told so in time.
"""

from collections import Counter
from dataclasses import dataclass

from s3tasks.web import lines
from s3tasks.web.lines import SLOWEST, Line

PATIENCE = 9.0  # seconds that a line waits for a place; it reads within 10 that there is none
SLOWEST_LINE = 64 * 1024  # bytes a second, as a pending row is waited for


@dataclass
class Waiting:
    """A line without a place."""

    line: Line
    source: str
    since: float
    speed: float  # bytes a second of what it has brought


class Places:
    """Only the loop asks."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.held: dict[Line, str] = {}  # by whom
        self.waiting: list[Waiting] = []

    def wait(self, line: Line, source: str, now: float) -> None:
        """The line wants one."""
        speed = len(line.ahead) / max(now - line.began, 0.001)
        self.waiting.append(Waiting(line, source, now, speed))

    def release(self, line: Line) -> None:
        """The line's request is over."""
        line.has_place = False
        self.held.pop(line, None)
        self.waiting = [each for each in self.waiting if each.line is not line]

    def admitted(self) -> list[Line]:
        """Those that have a place now and had none before."""
        new = []
        while self.waiting and len(self.held) < self.count:
            shares = Counter(self.held.values())
            first = min(
                self.waiting,
                key=lambda each: (shares[each.source], each.speed < SLOWEST_LINE, each.since),
            )
            self.waiting.remove(first)
            self.held[first.line] = first.source
            first.line.has_place = True
            new.append(first.line)
        return new

    def end_slow_ones(self, now: float) -> None:
        """End as many as there are lines that wait and may take their places."""
        shares = Counter(self.held.values())
        # In a siege they are told apart sooner, or the queue would be longer than its patience.
        window = lines.WINDOW / (3 if len(self.waiting) > self.count else 1)
        ending = sum(1 for line in self.held if line.verdict)
        for each in self.waiting[ending:]:
            slow = [
                (-shares[source], speed, line)
                for line, source in self.held.items()
                if not line.verdict
                and (speed := line.speed(now, window)) is not None
                and speed < min(SLOWEST_LINE, each.speed)
                and (source == each.source or shares[source] > shares[each.source])
            ]
            if slow:
                min(slow, key=lambda found: found[:2])[2].end(SLOWEST)

    def given_up(self, now: float) -> list[Line]:
        """Those that have waited long enough."""
        late = [each.line for each in self.waiting if now - each.since >= PATIENCE]
        self.waiting = [each for each in self.waiting if each.line not in late]
        return late
