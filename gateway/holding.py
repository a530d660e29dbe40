"""Readings that wait for the clock: they stay in the raw log, and are read from there when their time is known.

A CLOCK record without an epoch begins a hold, the next one of the same boot ends it and holds for what waited. Live and
when the log is read again, what waited comes behind the record that ended its waiting: the windows are the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from gateway.rawread import Lost, Position
from gateway.record import NO_EPOCH, ClockRecord, Record, RecordKind

log = logging.getLogger(__name__)
Batch = tuple[Position, Sequence[Record]]  # the position is that behind the records


class Hold(NamedTuple):
    """Where in the raw log readings wait, and what the clock said when that began."""

    start: Position
    boot_id: str
    offset_ns: int
    since_ns: int  # monotonic


def between(batches: Iterator[Batch], start: Position, end: Position) -> Iterator[Batch]:
    """Return the batches that stand between two positions."""
    for after, records in batches:
        if after > start:
            yield after, records
        if after >= end:
            return


class Replay:
    """The batches of a raw log in the order in which they are to be fed; `hold` is what still waits at its end.

    `read` reads the log from `start` on, and counts what is missed in what it is given.
    """

    def __init__(self, read: Callable[[Lost], Iterator[Batch]], start: Position) -> None:
        self._read = read
        self._before = start
        self.hold: Hold | None = None

    def batches(self, lost: Lost) -> Iterator[Batch]:
        """Yield them; from the position behind each of them another reading goes on as this one does."""
        for after, records in self._read(lost):
            clock = _clock_in(records)
            if clock is not None and clock[1].epoch == NO_EPOCH:
                self._begin(*clock)
            elif clock is not None and self.hold is not None:
                yield from self._end(*clock, after)
            elif self.hold is None:
                yield after, records
            self._before = after

    def _begin(self, record: Record, clock: ClockRecord) -> None:
        if self.hold is None or self.hold.boot_id != clock.boot_id:
            since_ns = record.mono_ns if clock.since_ns is None else clock.since_ns
            self.hold = Hold(self._before, clock.boot_id, clock.offset_ns, since_ns)

    def _end(self, record: Record, clock: ClockRecord, after: Position) -> Iterator[Batch]:
        hold, self.hold = self.hold, None
        assert hold is not None
        if hold.boot_id != clock.boot_id:  # only where the log could not be written
            log.warning("what waited for a clock in another boot never got one; it stays in the raw log")
            hold = hold._replace(start=self._before)
        yield hold.start, [record]
        yield from between(self._read(Lost()), hold.start, after)


def _clock_in(records: Sequence[Record]) -> tuple[Record, ClockRecord] | None:
    """Find the last CLOCK record of a batch; they are few, and stand in batches of their own."""
    last = next((record for record in reversed(records) if record.kind is RecordKind.CLOCK), None)
    return None if last is None else (last, msgspec.msgpack.decode(last.data, type=ClockRecord))
