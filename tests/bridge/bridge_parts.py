"""The bridge without a network: a client that notes what is asked of it, and a store that refuses as it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gateway import wire
from gateway.bridge import Bridge, Delivery, Terms
from gateway.clock import Clock
from gateway.dead_letters import DeadLetter, DeadLetters
from gateway.spool import Spool
from gateway.store.base import Key, Store, StoreError, Verdict

T_NS = 1_767_225_600 * 10**9
FAST = Clock(epoch_ns=T_NS, rate=1000.0)  # a second of waiting takes a millisecond
TERMS = Terms("broker.test", 1883, "bridge", "bridge", None, None, 60, 100, 1_000_000, 0.2, 60.0)


class NotingClient:
    """The part of paho's client that `carry` uses; `log` is shared with the store, so that the order can be told."""

    def __init__(self, log: list[tuple[Any, ...]]) -> None:
        self.log = log

    def ack(self, mid: int, qos: int) -> None:
        self.log.append(("ack", mid, qos))

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        assert qos == 1
        self.log.append(("receipt", topic, wire.unpack_receipt(payload)))


class PickyStore(Store):
    """A working store in memory: it gives the answers of `refusals` first, and never takes a poisoned sensor."""

    def __init__(self, log: list[tuple[Any, ...]]) -> None:
        self.log = log
        self.points: dict[Key, dict[str, float]] = {}
        self.refusals: list[StoreError] = []
        self.poisoned: set[str] = set()
        self.asked = threading.Event()

    def write(self, points: Sequence[wire.Point]) -> None:
        self.asked.set()
        if self.refusals:
            self.log.append(("refused", self.refusals[0].verdict))
            raise self.refusals.pop(0)
        if any(dict(point.tags)["sensor"] in self.poisoned for point in points):
            self.log.append(("refused", Verdict.SPLIT))
            raise StoreError(Verdict.SPLIT, "400 field type conflict")
        self.log.append(("stored", len(points)))
        for point in points:
            self.points[point.measurement, point.tags, point.start_ns] = point.fields

    def read(self, start_ns: int, end_ns: int, gateway: str = "") -> Iterator[wire.Point]:
        for (measurement, tags, at_ns), fields in self.points.items():
            if start_ns <= at_ns < end_ns and gateway in ("", dict(tags)["gateway"]):
                yield wire.Point(measurement, tags, at_ns, fields)

    def close(self) -> None:
        """Nothing to let go of."""


class QuietBridge(Bridge):
    """A bridge whose client only takes notes."""

    def __init__(self, folder: Path, terms: Terms = TERMS, clock: Clock = FAST, spool: Spool | None = None) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.store = PickyStore(self.log)
        super().__init__(terms, self.store, DeadLetters(folder / "dead-letters"), clock, spool)
        self._generation = 1  # as after the first connection

    def _make_client(self) -> Any:
        return NotingClient(self.log)

    def new_connection(self) -> None:
        """As when the broker came back."""
        self._generation += 1

    @property
    def acked(self) -> list[int]:
        return [mid for what, mid, *_ in self.log if what == "ack"]

    @property
    def receipts(self) -> list[tuple[str, wire.Receipt]]:
        return [(rest[0], rest[1]) for what, *rest in self.log if what == "receipt"]

    @property
    def letters(self) -> list[DeadLetter]:
        return [letter for _, letter in self._dead_letters.letters()]


def message(seq: int, gateway: str = "post-7", epoch: str = "e1", sensor: str | None = None) -> wire.WindowsMessage:
    """Make a message of one sensor; two points: a series and its ledger."""
    sensor = sensor or f"s{seq}"
    ledger = wire.Ledger([sensor], [60], [60], [0], [0], [0], [0])
    series = [("air", sensor, "pm2_5", "ug/m3")]
    return wire.WindowsMessage(1, "street", gateway, epoch, seq, 60, T_NS, series, {"mean": [float(seq)]}, 0, ledger)


def delivery(
    mid: int, content: wire.WindowsMessage | bytes, gateway: str = "post-7", leaf: str = "windows", generation: int = 1
) -> Delivery:
    """Deliver a message, or any bytes, on the topic of a gateway."""
    payload = content if isinstance(content, bytes) else wire.pack(content)
    return Delivery(generation, mid, 1, wire.topic(gateway, leaf), payload)


def batch(seqs: Iterable[int], **others: Any) -> list[Delivery]:
    return [delivery(100 + seq, message(seq, **others)) for seq in seqs]


def points_of(messages: Iterable[wire.WindowsMessage]) -> dict[Key, dict[str, float]]:
    """Return what a store should hold of some messages."""
    return {p[:3]: p.fields for message in messages for p in wire.points(message)}


def large(n: int) -> bytes:
    """Make JSON of exactly n bytes."""
    plain = msgspec.json.encode(message(1))
    return plain[:-1] + b" " * (n - len(plain)) + b"}"
