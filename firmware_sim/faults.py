"""What goes wrong, with a part or around all of them: seeded, on a schedule, and written down with the truth.

A fault of a part is put around its twin, which knows nothing of it. Each kind, and what the truth file says of it,
stands in docs/reference/simulator-faults.md; what cannot be meant, in firmware_sim/fault_rules.py.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from firmware_sim.device import NEVER_S

SILENT, UNPLUG, NACK, POWER_CYCLE = "silent", "unplug", "nack", "power_cycle"
CRC_FLIP, BIT_FLIP, BYTE_LOSS, GARBAGE, STUCK, LATE_REPLY, FRAME_SPLIT, BABBLE = (
    "crc_flip", "bit_flip", "byte_loss", "garbage", "stuck", "late_reply", "frame_split", "babble",
)  # fmt: skip
DRIFT, SATURATION, WRONG_DEVICE = "drift", "saturation", "wrong_device"
DOWN, FULL, STEP, KILL = "down", "full", "step", "kill"
BY_HAND = (
    SILENT, UNPLUG, NACK, POWER_CYCLE, STUCK, BIT_FLIP, CRC_FLIP, BYTE_LOSS, GARBAGE, LATE_REPLY, FRAME_SPLIT, BABBLE,
)  # fmt: skip
KINDS = (*BY_HAND, DRIFT, SATURATION, WRONG_DEVICE)  # of parts; the last three are made with the part
BROKER, STORE, DISK, CLOCK, GATEWAY, BRIDGE = "broker", "store", "disk", "clock", "gateway", "bridge"
# what goes wrong outside the sensors, and with whom
OUTSIDE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {DOWN: (BROKER, STORE), FULL: (DISK,), STEP: (CLOCK,), KILL: (GATEWAY, BRIDGE, BROKER)}
)
DARK = (UNPLUG, POWER_CYCLE)  # the part has no power meanwhile
MOMENTARY = (POWER_CYCLE, KILL)  # without `for_s` over in a moment, and not for ever
UNASKED = (FRAME_SPLIT, BABBLE)  # only on a serial port: a part of a bus speaks when it is clocked, and not longer
BENT = (DRIFT, SATURATION)  # the quantity is wrong, and what is said of it is right
EVERYTHING = "*"
DELAYS_S: Final[Mapping[str, float]] = MappingProxyType({LATE_REPLY: 1.5, FRAME_SPLIT: 0.3})
TIMES: Final = ("from_s", "for_s", "every_s", "mean_every_s", "probability", "delay_s")
NUMBERS: Final = (*TIMES, "per_h", "by_s")
WORDS: Final = ("quantity", "device")

Witness = Callable[[float, str, Mapping[str, object]], None]
"""Told (t_s, kind, details) of whatever a fault does."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One [[fault]] table; times are seconds of the simulation since its start."""

    on: str
    kind: str
    number: int = 0  # its place in the file
    from_s: float = 0.0
    for_s: float | None = None
    every_s: float | None = None
    mean_every_s: float | None = None
    probability: float | None = None
    delay_s: float | None = None
    per_h: float | None = None  # of a drift, in the unit of its quantity
    by_s: float | None = None  # of a step of the clock
    quantity: str = ""  # that drifts or is saturated; a name of firmware_sim.holds
    device: str = ""  # the wrong one

    @property
    def pause_s(self) -> float:
        """How late a reply is, or the second half of a frame."""
        return DELAYS_S.get(self.kind, 0.0) if self.delay_s is None else self.delay_s

    @property
    def lasting(self) -> bool:
        """Whether it stays for a span of time, and not for a single message."""
        return self.for_s is not None or (self.every_s is None and self.mean_every_s is None)

    def spans(self, rng: np.random.Generator, start_s: float) -> Iterator[tuple[float, float]]:
        """Yield from when to when it is in force; begin == end stands for the one message that comes next."""
        begin_s, for_s = start_s + self.from_s, self.for_s or 0.0
        if self.mean_every_s is not None:
            while True:
                begin_s += float(rng.exponential(self.mean_every_s))
                yield begin_s, begin_s + for_s
                begin_s += for_s
        while self.every_s is not None:
            yield begin_s, begin_s + for_s
            begin_s += self.every_s
        if self.kind in MOMENTARY or self.for_s is not None:
            yield begin_s, begin_s + for_s
        else:
            yield begin_s, NEVER_S


@dataclass(frozen=True, slots=True)
class Target:
    """What a fault may be on: a part ("uart", "unit" of a line, "part" of a bus), a "line" or a "bus"."""

    name: str
    device: str
    sort: str
    place: str = ""  # the line or bus of a part
    first: bool = True  # on its line

    def suffers(self, fault: Fault) -> bool:
        """Tell whether a fault is on this target; whatever is on a line or bus is on its parts, but for the plug."""
        if fault.kind == UNPLUG:
            return fault.on == self.name or (fault.on == EVERYTHING and self.sort in ("uart", "line", "bus"))
        if self.sort in ("line", "bus") or (fault.kind == NACK and self.sort != "part"):
            return False
        if fault.kind in UNASKED and self.sort == "part":
            return False
        if fault.kind in (GARBAGE, BABBLE) and fault.on == self.place and self.sort == "unit":
            return self.first  # the wire is noisy once, not once for every unit
        return fault.on in (self.name, self.place, EVERYTHING)


class Trouble:
    """One fault on one part while the simulation runs: when it strikes, and how often it did."""

    def __init__(self, fault: Fault, seed: int, name: str, witness: Witness, start_s: float) -> None:
        self.fault, self.kind, self.name = fault, fault.kind, name
        self.hits = self.lost = self.begun = 0
        self.in_force = False
        self.coin = _rng(seed, fault.number, f"what {name}")
        self._witness = witness
        self.armed = False
        self.note: Callable[[float], Mapping[str, object]] = lambda _t_s: {}  # what to say at begin and end
        whose = name if fault.on == EVERYTHING else fault.on  # the parts of one line or bus suffer together
        self._spans = fault.spans(_rng(seed, fault.number, f"when {whose}"), start_s)
        self._begin_s, self._end_s = next(self._spans)
        self._counted = (0, 0)

    @property
    def since_s(self) -> float:
        """When it began, while it is in force."""
        return self._begin_s

    @property
    def next_s(self) -> float:
        """When it begins or ends next."""
        return self._end_s if self.in_force else self._begin_s

    def turn(self, t_s: float) -> Iterator[tuple[float, bool]]:
        """Begin and end as the time says; yield (when, whether it begins)."""
        while self.next_s <= t_s:
            at_s, begins = self.next_s, not self.in_force
            self.in_force = begins
            if begins:
                self.begun += 1
                self._counted = (self.hits, self.lost)
                self.armed = not self.fault.lasting
            if self.fault.lasting or self.kind in MOMENTARY or self.kind == STEP:
                hits, lost = self.hits - self._counted[0], self.lost - self._counted[1]
                counts = {} if begins else {"hits": hits, "lost": lost}
                self._tell(at_s, "begin" if begins else "end", {**counts, **self.note(at_s)})
            if not begins:
                self._begin_s, self._end_s = next(self._spans, (NEVER_S, NEVER_S))
            yield at_s, begins

    def lift(self, t_s: float) -> None:
        """Let it end at `t_s`, and never begin again."""
        self._spans, self.armed = iter(()), False
        if self.in_force:
            self._end_s = min(self._end_s, t_s)
        else:
            self._begin_s = self._end_s = NEVER_S

    def strikes(self) -> bool:
        """Decide about one message."""
        armed, self.armed = self.armed, False
        if self.fault.probability is not None:
            return (self.in_force or armed) and bool(self.coin.random() < self.fault.probability)
        return armed or (self.in_force and self.fault.lasting)

    def hit(self, t_s: float, lost: int, notes: Mapping[str, object] | None = None) -> None:
        """Count a message that was struck, and the measurements that were lost with it."""
        self.hits += 1
        self.lost += lost
        if notes or not self.fault.lasting or self.fault.probability is not None:
            self._tell(t_s, "hit", {"lost": lost, **(notes or {})})

    def total(self, t_s: float) -> None:
        """Say at the end what it did."""
        self._tell(t_s, "total", {"begun": self.begun, "hits": self.hits, "lost": self.lost})

    def _tell(self, t_s: float, event: str, notes: Mapping[str, object]) -> None:
        self._witness(t_s, self.kind, {"id": self.fault.number, "event": event, **notes})


def _rng(seed: int, number: int, what: str) -> np.random.Generator:
    return np.random.default_rng([seed, number, zlib.crc32(what.encode())])
