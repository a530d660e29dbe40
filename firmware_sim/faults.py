"""What goes wrong between a part and its host: seeded, on a schedule, and written down with the truth.

A fault is put around a twin, which knows nothing of it. Each kind, and what the truth file says of it, stands in
docs/reference/simulator-faults.md.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from firmware_sim.device import NEVER_S

SILENT, UNPLUG, NACK, POWER_CYCLE = "silent", "unplug", "nack", "power_cycle"
CRC_FLIP, BIT_FLIP, BYTE_LOSS, GARBAGE, STUCK, LATE_REPLY = (
    "crc_flip", "bit_flip", "byte_loss", "garbage", "stuck", "late_reply",
)  # fmt: skip
KINDS = (SILENT, UNPLUG, NACK, POWER_CYCLE, STUCK, BIT_FLIP, CRC_FLIP, BYTE_LOSS, GARBAGE, LATE_REPLY)
DARK = (UNPLUG, POWER_CYCLE)  # the part has no power meanwhile
EVERYTHING = "*"
DELAY_S = 1.5

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
    delay_s: float = DELAY_S

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
        if self.kind == POWER_CYCLE or self.for_s is not None:
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
        if fault.kind == GARBAGE and fault.on == self.place and self.sort == "unit":
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
        whose = name if fault.on == EVERYTHING else fault.on  # the parts of one line or bus suffer together
        self._spans = fault.spans(_rng(seed, fault.number, f"when {whose}"), start_s)
        self._begin_s, self._end_s = next(self._spans)
        self._counted = (0, 0)

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
            if self.fault.lasting or self.kind == POWER_CYCLE:
                hits, lost = self.hits - self._counted[0], self.lost - self._counted[1]
                self._tell(at_s, "begin" if begins else "end", {} if begins else {"hits": hits, "lost": lost})
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


def objections(fault: Fault) -> Iterator[tuple[str, str, str]]:
    """Yield (key, what is wrong, hint) for whatever cannot be meant."""
    for key in ("for_s", "every_s", "mean_every_s", "delay_s"):
        value = getattr(fault, key)
        if value is not None and not 0.0 < value < math.inf:
            yield key, f"{value} is not a time", "write a number of seconds above 0"
    if not 0.0 <= fault.from_s < math.inf:
        yield "from_s", f"{fault.from_s} is not a time", "write seconds since the start, 0 or more"
    if fault.probability is not None and not 0.0 < fault.probability <= 1.0:
        yield "probability", f"{fault.probability} is not one", "write a number above 0, up to 1"
    if fault.every_s is not None and fault.mean_every_s is not None:
        yield "mean_every_s", "every_s is there already", "keep one of the two"
    if fault.every_s is not None and fault.for_s is not None and fault.for_s >= fault.every_s:
        yield "for_s", "is not shorter than every_s", "leave every_s out if the fault shall stay for ever"
    if fault.probability is not None and not fault.lasting:
        yield "probability", "one message at a time is struck already", "add for_s, or leave every_s out"
    if fault.probability is not None and fault.kind in DARK:
        yield "probability", f"{fault.kind} does not wait for messages", "use every_s or mean_every_s"
    if fault.kind == UNPLUG and not fault.lasting:
        yield "for_s", "is missing", "say for how long the plug is out"
    if fault.delay_s != DELAY_S and fault.kind != LATE_REPLY:
        yield "delay_s", f"means nothing to {fault.kind}", "it belongs to late_reply"


def _rng(seed: int, number: int, what: str) -> np.random.Generator:
    return np.random.default_rng([seed, number, zlib.crc32(what.encode())])
