"""A bus, its parts and a clock that jumps: an hour of polling in a second, every exchange at its time.

Time passes while somebody waits or a byte is on the wire, and never otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drivers.base import Channel, Chore, Command, Decoded, Driver, Duty, I2c, Input, Miss, Poll, Script, Uart
from drivers.link.base import LinkError, transfer
from drivers.script import Reply, Step
from gateway.acquire import NS, Device, Recorder, Timeline
from gateway.pipeline.windows import DutyTimes
from gateway.polling import BusOwner
from gateway.record import Record, RecordKind
from gateway.supervise import LinkHealth, SensorHealth
from gateway.talk import Way

START_NS = 1_000 * NS
BYTE_S = 9 / 100_000  # at 100 kHz
CALL_S = 0.0003  # of the kernel, per transfer
HANG_S = 1.0  # the time-out of the kernel for a bus that is held


class VirtualClock:
    """Stands still unless somebody waits."""

    def __init__(self) -> None:
        self.now_ns = START_NS
        self.end_ns = 1 << 62
        self.at_end: Callable[[], None] = lambda: None

    def mono_ns(self) -> int:
        return self.now_ns

    def utc_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += max(0, round(seconds * NS))
        if self.now_ns >= self.end_ns:
            self.at_end()

    def real_s(self, seconds: float) -> float:
        self.sleep(seconds)
        return 0.0


@dataclass
class Part:
    """An I2C part: a write starts a conversion, a read before its end is not acknowledged."""

    takes_s: float = 0.0
    state: str = "well"  # well | dead | hung | gone: the whole bus with it
    said: list[tuple[int, bytes]] = field(default_factory=list)
    reads: int = 0
    not_ready: int = 0  # of the next reads
    _ready_ns: int = 0

    def exchange(self, tx: bytes, rx: int, clock: VirtualClock) -> Reply:
        self.said.append((clock.now_ns, tx))
        if self.state == "gone":
            raise LinkError("bus: no such device", "plug it in")
        if self.state == "hung":
            clock.sleep(HANG_S)
            return Miss.TIMEOUT
        if self.state == "dead":
            return Miss.NACK
        clock.sleep((len(tx) + rx + 1) * BYTE_S)
        if tx:
            self._ready_ns = clock.now_ns + round(self.takes_s * NS)
        if not rx:
            return b""
        if self.not_ready or clock.now_ns < self._ready_ns:
            self.not_ready = max(0, self.not_ready - 1)
            return Miss.NACK
        self.reads += 1
        return bytes(rx)

    def times(self, tx: bytes) -> list[int]:
        """Return when a command was said."""
        return [at for at, said in self.said if said == tx]


class VirtualBus:
    """Carries one exchange at a time; on a `line` nobody else is heard before a step is over, as on RS-485."""

    def __init__(self, parts: Mapping[int, Part], clock: VirtualClock) -> None:
        self._parts, self._clock = parts, clock
        self.busy_ns = 0
        self.talks: list[int] = []  # addresses, in the order of the steps

    def transfer(self, address: int, step: Step) -> Reply:
        self.talks.append(address)
        return transfer(self._exchange, self._clock.sleep, address, step)

    def close(self) -> None:
        """Nothing to close."""

    def _exchange(self, address: int, tx: bytes, rx: int) -> Reply:
        start_ns = self._clock.now_ns
        self._clock.sleep(CALL_S)
        reply = self._parts[address].exchange(tx, rx, self._clock)
        self.busy_ns += self._clock.now_ns - start_ns
        return reply


class Notebook(Recorder):
    """A recorder that also notes when each record was put."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock
        self.put_ns: list[int] = []
        self.all: list[Record] = []

    def put(self, kind: RecordKind, mono_ns: int, source: str, data: bytes) -> None:
        self.put_ns.append(self._clock.now_ns)
        self.all.append(Record(kind, mono_ns, source, data))

    def of(self, source: str, *kinds: RecordKind) -> list[Record]:
        return [one for one in self.all if one.source == source and one.kind in kinds]

    def frames(self, source: str) -> list[Record]:
        return self.of(source, RecordKind.FRAME)

    def misses(self, source: str) -> dict[str, int]:
        out: dict[str, int] = {}
        for one in self.of(source, RecordKind.MISS):
            out[one.data.decode()] = out.get(one.data.decode(), 0) + 1
        return out

    def slots(self, source: str, slot_ns: int = NS) -> list[int]:
        return [one.mono_ns // slot_ns for one in self.of(source, RecordKind.FRAME, RecordKind.MISS)]

    def late_s(self, source: str) -> float:
        """Return by how much the latest frame came after its slot was due."""
        pairs = zip(self.all, self.put_ns, strict=True)
        return max(
            (put - one.mono_ns) / NS for one, put in pairs if one.source == source and one.kind == RecordKind.FRAME
        )


def _decode(frames: Sequence[bytes], context: bytes, options: Any) -> Decoded:
    n = len(frames)
    return Decoded(np.zeros((n, 1)), np.zeros((n, 1), np.uint8), np.arange(n, dtype=np.int32), np.zeros(n, np.uint8))


MEASURE = b"\x24\x00"


def part_driver(
    wait_s: float = 0.0,
    *,
    setup: Script = (),
    chores: tuple[Chore, ...] = (),
    duty: Duty | None = None,
    inputs: tuple[Input, ...] = (),
    shutdown: Script = (),
    script: Script | None = None,
    line: bool = False,
) -> Driver:
    """Declare a part that is asked, converts for a while and is read."""
    own = script or (Command("measure", MEASURE, rx=6, wait_s=wait_s),)
    bus = Uart((9600,), shared=True) if line else I2c((0x10,))
    channel = Channel("temperature", "Cel")
    return Driver(
        "part", "weather", "part", Poll(own), (channel,), "none", _decode, bus, setup, chores, duty, inputs,
        shutdown=shutdown,
    )  # fmt: skip


@dataclass
class Rig:
    """One bus with named parts, and the owner that polls them."""

    clock: VirtualClock
    bus: VirtualBus
    notes: Notebook
    owner: BusOwner
    parts: dict[str, Part]
    health: dict[str, SensorHealth]

    def run(self, seconds: float) -> Rig:
        """Poll for so long, in no time."""
        self.clock.end_ns = START_NS + round(seconds * NS)
        self.clock.at_end = self.owner.stop
        self.owner.start()
        assert self.owner.join(60)
        if self.owner.failed is not None:
            raise self.owner.failed
        return self


def rig(
    members: Mapping[str, tuple[Part, Driver]],
    way: Way = Way.APART,
    slot_s: float = 1.0,
    duty: DutyTimes | None = None,
    inputs: Callable[[int], Mapping[str, float]] = lambda now_ns: {},
) -> Rig:
    """Put parts on a bus, one address after the other."""
    clock = VirtualClock()
    link = LinkHealth("bus")
    health = {name: SensorHealth(name, link) for name in members}
    devices = [
        Device(
            name,
            driver,
            driver.defaults(),
            i,
            round(slot_s * NS),
            duty,
            lambda: inputs(clock.mono_ns()),
            health=health[name],
        )
        for i, (name, (_, driver)) in enumerate(members.items())
    ]
    parts = {name: part for name, (part, _) in members.items()}
    bus = VirtualBus(dict(enumerate(parts.values())), clock)
    notes = Notebook(clock)
    owner = BusOwner(link, lambda: bus, devices, notes, Timeline(clock), 60.0, way)
    return Rig(clock, bus, notes, owner, parts, health)
