"""The parts of an outage that are not the product's: a clock that is set, what the sensors say, and a line at last."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import struct
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from firmware_sim.checks import with_crcs
from gateway import wire
from gateway.bridge import Bridge
from gateway.bridge_service import terms
from gateway.clock import Clock
from gateway.config import Config
from gateway.dead_letters import DeadLetters
from gateway.deliveries import Delivery
from gateway.publish import Publisher
from gateway.record import Record, RecordKind, Tick, encode
from gateway.store.base import Store
from gateway.store.sqlite import SqliteStore

NS = 1_000_000_000
MINUTE = 60 * NS
START_NS = 1_767_225_600 * NS  # 2026-01-01T00:00:00Z
BOOTED_NS = START_NS - 7200 * NS
EVERY_S = 10
SENSORS = ("air-1", "air-2", "air-3")
SERIES = 8 * len(SENSORS)
BYTE_NS = NS * 8 // 46_000  # a line of 46 kbit/s: EDGE
LOST_RECEIPTS = 0.1


@dataclass(frozen=True, slots=True)
class SetClock(Clock):
    """A clock that stands still until somebody lets time pass; nobody sleeps by it."""

    epoch_ns: int | None = BOOTED_NS
    now_ns: list[int] = field(default_factory=lambda: [START_NS - BOOTED_NS])  # one number: monotonic time

    def mono_ns(self) -> int:
        """Return where it stands."""
        return self.now_ns[0]

    def real_s(self, seconds: float) -> float:
        """Return no time: whoever waits looks again at once."""
        return min(seconds, 0.0)

    def pass_(self, span_ns: int) -> None:
        """Let time pass."""
        self.now_ns[0] += span_ns


class Air:
    """What three SEN55 say, a frame each every ten seconds: words that wander."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._words = {name: [80, 120, 140, 160, 5000, 4400, 1000, 10] for name in SENSORS}

    def minute(self, start_ns: int) -> list[Record]:
        """Return the records of a minute, and the tick behind it; about one in a hundred is missing."""
        out = []
        for at_ns in range(start_ns, start_ns + MINUTE, EVERY_S * NS):
            for i, name in enumerate(SENSORS):
                words = self._words[name] = [max(1, w + self._dice.randint(-3, 3)) for w in self._words[name]]
                if self._dice.random() > 0.01:
                    mono_ns = at_ns - BOOTED_NS + (i + 1) * NS // 10
                    out.append(Record(RecordKind.FRAME, mono_ns, name, with_crcs(struct.pack(">8H", *words))))
        now_ns = start_ns + MINUTE - BOOTED_NS + 3 * NS
        links = [f"/dev/i2c-{i}" for i in range(1, 4)]
        return [*out, Record(RecordKind.TICK, now_ns, "", encode(Tick(now_ns, links)))]


class Watched(Executor):
    """An executor of which one can tell whether it has something to do."""

    def __init__(self, own: Executor) -> None:
        self._own = own
        self._jobs: set[Future[Any]] = set()

    @property
    def busy(self) -> bool:
        """Whether a job is not done yet."""
        self._jobs = {job for job in self._jobs if not job.done()}
        return bool(self._jobs)

    def submit(self, *words: Any, **more: Any) -> Future[Any]:
        """Hand it on."""
        job = self._own.submit(*words, **more)
        self._jobs.add(job)
        return job


class QuietBridge(Bridge):
    """The real bridge, but for its line: `said` is what it would publish."""

    def __init__(self, config: Config, store: Store, clock: Clock) -> None:
        self.said: list[bytes] = []
        super().__init__(terms(config), store, DeadLetters(config.bridge.data_dir / "dead-letters"), clock)

    def _make_client(self) -> Any:
        def publish(_topic: str, payload: bytes, **_more: Any) -> None:
            self.said.append(payload)

        def ack(*_words: Any) -> None:
            """Let the broker forget it."""

        return SimpleNamespace(ack=ack, publish=publish)


class Line:
    """A broker that is there, with a bridge behind it: what `deliver` takes is carried when `carry` is called."""

    def __init__(self, bridge: QuietBridge, clock: SetClock, dice: random.Random, byte_ns: int) -> None:
        self._bridge = bridge
        self._byte_ns = byte_ns
        self._clock = clock
        self._dice = dice
        self._waiting: list[Delivery] = []
        self._receipts: asyncio.Queue[Any] = asyncio.Queue()
        self.taken = self.bytes = self.lost_receipts = 0

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Line]:
        """Connect."""
        self._receipts = asyncio.Queue()
        yield self

    def peer(self) -> bytes:
        """Return no certificate."""
        return b""

    async def subscribe(self, *words: Any, **more: Any) -> None:
        """Take it."""

    async def publish(self, *words: Any, **more: Any) -> None:
        """Take it: only windows count here."""

    async def deliver(self, topic: str, payload: bytes, *_more: Any) -> int:
        """Take a payload, which takes its time, and acknowledge it."""
        self._clock.pass_(len(payload) * self._byte_ns)
        self.taken += 1
        self.bytes += len(payload)
        self._waiting.append(Delivery(0, self.taken, 1, topic, payload))
        await asyncio.sleep(0)
        return 0

    @property
    async def messages(self) -> AsyncIterator[Any]:
        """Yield the receipts that were not lost."""
        while True:
            yield await self._receipts.get()

    def carry(self) -> int:
        """Let the bridge do its work; return how many messages it had."""
        batch, self._waiting = self._waiting[:100], self._waiting[100:]
        if batch:
            self._bridge.carry(batch)
        for payload in self._bridge.said:
            if self._dice.random() < LOST_RECEIPTS:
                self.lost_receipts += 1
            else:
                self._receipts.put_nowait(SimpleNamespace(payload=payload))
        self._bridge.said.clear()
        return len(batch)


class LinePublisher(Publisher):
    """The real publisher on such a line."""

    line: Line

    def _client(self) -> Any:
        return self.line.opened()


class NotingStore(SqliteStore):
    """The embedded store; it notes when a base window came first, and may forget one: the control."""

    def __init__(self, path: Path, clock: Clock, swallowed_ns: int = 0) -> None:
        """Open it; of the windows that start at `swallowed_ns` it says yes and keeps nothing."""
        super().__init__(path)
        self._clock = clock
        self._swallowed_ns = swallowed_ns
        self.came_ns: dict[int, int] = {}

    def write(self, points: Sequence[wire.Point]) -> None:
        """Write points."""
        super().write([point for point in points if point.start_ns != self._swallowed_ns])
        now_ns = self._clock.utc_ns()
        for point in points:
            if ("period", "60s") in point.tags:
                self.came_ns.setdefault(point.start_ns, now_ns)


def in_short(fields: dict[str, float]) -> bytes:
    """Name fields by a few bytes, so that a week of points fits into memory."""
    return hashlib.blake2b(msgspec.json.encode(sorted(fields.items())), digest_size=8).digest()
