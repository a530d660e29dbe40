"""Acquisition: what the owners of links have in common, and the way their records take to the batch.

`polling.py` owns buses and request/response ports, a thread each; `streaming.py` reads ports that speak by themselves.
Nobody here waits for anything but its own device.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

from drivers.base import Driver, Inputs, OptionValue
from gateway.clock import Clock
from gateway.pipeline.spec import DutyTimes
from gateway.record import Record, RecordKind
from gateway.supervise import LinkHealth, SensorHealth

NS = 1_000_000_000
MAX_BACKLOG = 100_000  # records between two batches; beyond it the process is stuck and losing is counted


class Keeps(Protocol):
    """What keeps records until the raw log has them; see gateway.in_hand."""

    def add(self, record: Record) -> None:
        """Keep a record."""

    def turn(self) -> None:
        """All that was added is a batch now."""


class Recorder:
    """Where owners put records and the batch takes them; safe between threads."""

    def __init__(self, in_hand: Keeps | None = None) -> None:
        self._records: deque[Record] = deque()
        self._in_hand = in_hand
        self._lock = Lock()
        self.dropped = 0

    def put(self, kind: RecordKind, mono_ns: int, source: str, data: bytes) -> None:
        """Add a record."""
        if len(self._records) >= MAX_BACKLOG:
            self.dropped += 1
            return
        record = Record(kind, mono_ns, source, data)
        with self._lock:
            self._records.append(record)
            if self._in_hand is not None:
                self._in_hand.add(record)

    def drain(self) -> list[Record]:
        """Take all records that are there, in the order of their stamps."""
        with self._lock:
            records = [self._records.popleft() for _ in range(len(self._records))]
            if self._in_hand is not None:
                self._in_hand.turn()
        return sorted(records, key=lambda record: record.mono_ns)


@dataclass(slots=True)
class Timeline:
    """What acquisition must know of time: the clock, and the offset in force that puts slots on the UTC grid."""

    clock: Clock
    offset_ns: int = 0

    def next_ns(self, period_ns: int) -> int:
        """Return the next border between periods that lie on UTC, UTC ns."""
        return (self.clock.mono_ns() + self.offset_ns) // period_ns * period_ns + period_ns


def no_inputs() -> Inputs:
    """Tell nothing: the scripts of a part fall back to its defaults."""
    return {}


@dataclass(frozen=True, slots=True)
class Device:
    """A sensor as its owner sees it; `inputs` says what it is to be told now."""

    name: str
    driver: Driver
    options: dict[str, OptionValue]
    address: int  # on an I2C bus, or on a shared serial line
    slot_ns: int
    duty: DutyTimes | None = None
    inputs: Callable[[], Inputs] = no_inputs
    health: SensorHealth = field(kw_only=True)


class Owner:
    """What the gateway knows of the owner of a link."""

    health: LinkHealth

    def floor_ns(self) -> int | None:
        """Return the stamp of a record that is still being made, if any: a TICK must not promise beyond it."""
        return None
