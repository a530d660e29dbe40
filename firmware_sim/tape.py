"""What a capture says, part by part, and the parts that say it again.

A question is answered by what the next like it got; a host that asks slower skips answers, one that asks faster hears
the last one again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar, Final

import msgspec

from firmware_sim.device import NEVER_S, Nack
from firmware_sim.truth import Timeline
from gateway.capture import Capture, Exchange, Part
from gateway.clock import NS
from gateway.record import Record, RecordKind

PATIENCE_S = 2.0  # after the first port was opened, for the others
SETTLE_S = 0.1  # a host that opens a port throws away what waits there
SLACK_S = 1.0
LONGEST_QUESTION = 4096
RECORDED: Final = (RecordKind.CHUNK, RecordKind.EXCHANGE)


class Start:
    """The moment at which the capture begins, once it has come; on the clock of the replay, UTC in seconds."""

    def __init__(self, timeline: Timeline, wanted: int) -> None:
        self.at_s: float | None = None
        self.begun = asyncio.Event()
        self._timeline, self._wanted, self._opened = timeline, wanted, set[str]()

    def opened(self, name: str) -> None:
        """Note that the host has opened a port, or asked there."""
        if self.begun.is_set() or name in self._opened:
            return
        self._opened.add(name)
        clock, loop = self._timeline.clock, asyncio.get_running_loop()
        wait_s = SETTLE_S if len(self._opened) >= self._wanted else PATIENCE_S
        if len(self._opened) in (1, self._wanted):
            loop.call_later(clock.real_s(wait_s) if wait_s == PATIENCE_S else wait_s, self._begin)

    def _begin(self) -> None:
        if not self.begun.is_set():
            self.at_s = self._timeline.now_s()
            self.begun.set()

    def since(self, t_s: float) -> float:
        """Return how far into the capture a moment is."""
        return t_s - self.at_s if self.at_s is not None else 0.0


class Book:
    """All answers that were given to one question, in order."""

    def __init__(self) -> None:
        self._at_s: list[float] = []
        self._answers: list[Exchange] = []
        self._next = 0

    def add(self, at_s: float, exchange: Exchange) -> None:
        """Add the next."""
        self._at_s.append(at_s)
        self._answers.append(exchange)

    def answer(self, t_s: float) -> Exchange:
        """Return the answer for a moment of the capture: the next one, unless the host is far ahead or behind."""
        last = len(self._answers) - 1
        at = min(self._next, last)
        while at < last and self._at_s[at + 1] < t_s - self._slack_s(at):
            at += 1
        if at and self._at_s[at] > t_s + self._slack_s(at - 1):
            return self._answers[at - 1]
        self._next = at + 1
        return self._answers[at]

    def _slack_s(self, at: int) -> float:
        later = min(at + 1, len(self._at_s) - 1)
        return max(1.5 * (self._at_s[later] - self._at_s[at]), SLACK_S)


class Speaker:
    """A part that speaks by itself; it does not listen."""

    def __init__(self, said: Sequence[tuple[float, bytes]], start: Start) -> None:
        self._said, self._start, self._next = said, start, 0

    def receive(self, data: bytes, t_s: float) -> bytes:  # noqa: ARG002 - what it said then is what it says now
        """Take no notice."""
        return b""

    def update(self, t_s: float) -> tuple[bytes, float]:
        """Say what was said until then."""
        if self._start.at_s is None:
            return b"", NEVER_S
        said, now_s = b"", self._start.since(t_s)
        while self._next < len(self._said) and self._said[self._next][0] <= now_s:
            said += self._said[self._next][1]
            self._next += 1
        left = self._next < len(self._said)
        return said, self._start.at_s + self._said[self._next][0] if left else NEVER_S


class Answerer:
    """A part, or all units of a line, that is asked."""

    def __init__(self, name: str, exchanges: Sequence[tuple[float, Exchange]], start: Start) -> None:
        self._name, self._start = name, start
        self._books: dict[bytes, Book] = {}
        for at_s, exchange in exchanges:
            self._books.setdefault(exchange.tx, Book()).add(at_s, exchange)
        self._heard = b""
        self._due: list[tuple[float, bytes]] = []

    def receive(self, data: bytes, t_s: float) -> bytes:
        """Look for a question that was asked before, and answer when it was answered then."""
        self._start.opened(self._name)
        self._heard = (self._heard + data)[-LONGEST_QUESTION:]
        found = max((tx for tx in self._books if tx and self._heard.endswith(tx)), key=len, default=None)
        if found is not None:
            self._heard = b""
            told = self._books[found].answer(self._start.since(t_s))
            if told.reply:
                self._due.append((t_s + told.took_ns / NS, told.reply))
        return b""

    def update(self, t_s: float) -> tuple[bytes, float]:
        """Say the answers that are due."""
        said = b"".join(reply for due_s, reply in self._due if due_s <= t_s)
        self._due = [one for one in self._due if one[0] > t_s]
        return said, min((due_s for due_s, _reply in self._due), default=NEVER_S)


class Chip:
    """A part on a bus: the same write gets the same answers."""

    ADDRESSES: ClassVar[tuple[int, ...]] = ()

    def __init__(self, name: str, exchanges: Sequence[tuple[float, Exchange]], start: Start) -> None:
        self._name, self._start = name, start
        self._books: dict[tuple[bytes, int], Book] = {}
        self._asked = asked = b""
        for at_s, exchange in exchanges:
            asked = exchange.tx or asked
            self._books.setdefault((asked, exchange.rx), Book()).add(at_s, exchange)

    def write(self, data: bytes, t_s: float) -> None:
        """Take a write; where it was refused then, it is refused now."""
        self._start.opened(self._name)
        if not data:
            return
        self._asked = data
        book = self._books.get((data, 0))
        if book is not None and book.answer(self._start.since(t_s)).reply is None:
            raise Nack("was refused")
        if not any(asked == data for asked, _n in self._books):
            raise Nack("was never asked")

    def read(self, n: int, t_s: float) -> bytes:
        """Answer what was written last."""
        book = self._books.get((self._asked, n))
        reply = None if book is None else book.answer(self._start.since(t_s)).reply
        if reply is None:
            raise Nack("gave no answer")
        return reply[:n].ljust(n, b"\xff")


class Tape:
    """A capture, sorted by who said it; times in seconds since it began."""

    def __init__(self, capture: Capture) -> None:
        self.parts = capture.header.parts
        self.said: dict[str, list[tuple[float, bytes]]] = {}
        self.asked: dict[str, list[tuple[float, Exchange]]] = {}
        self.end_s = 0.0
        begin_ns = capture.header.begin_ns
        for record in sorted(capture.records, key=lambda record: record.mono_ns):
            self._take(record, (record.mono_ns - begin_ns) / NS)

    def _take(self, record: Record, at_s: float) -> None:
        if record.kind not in RECORDED:
            return
        self.end_s = at_s
        if record.kind is RecordKind.CHUNK:
            self.said.setdefault(record.source, []).append((at_s, record.data))
        else:
            exchange = msgspec.msgpack.decode(record.data, type=Exchange)
            self.asked.setdefault(record.source, []).append((at_s, exchange))

    def links(self) -> dict[str, list[Part]]:
        """Return the parts by their link."""
        by_link: dict[str, list[Part]] = {}
        for part in self.parts:
            by_link.setdefault(part.link, []).append(part)
        return by_link
