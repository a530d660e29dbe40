"""Block and Windows: the columnar shapes between the rooms; invariants are checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, IntFlag
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

I8 = npt.NDArray[np.int64]
F8 = npt.NDArray[np.float64]
U1 = npt.NDArray[np.uint8]
U2 = npt.NDArray[np.uint16]
I4 = npt.NDArray[np.int32]


class Flag(IntEnum):
    """QARTOD flags (IODE L34): the scheme is named `QARTOD` wherever flags are published."""

    ABSENT = 0  # nothing was due in this row: no reading, and counted nowhere; never published
    GOOD = 1
    NOT_EVALUATED = 2
    SUSPECT = 3
    FAIL = 4
    MISSING = 9


FLAGS = (Flag.GOOD, Flag.NOT_EVALUATED, Flag.SUSPECT, Flag.FAIL, Flag.MISSING)
SCHEME = "QARTOD"
LEAST_USABLE, MOST_USABLE = int(Flag.GOOD), int(Flag.SUSPECT)  # plain numbers: numpy is slow over those of an enum


def usable(flag: U1) -> npt.NDArray[np.bool_]:
    """Tell which values enter statistics: flags 1 to 3, never 4, 9 or what was not due."""
    return (flag >= LEAST_USABLE) & (flag <= MOST_USABLE)


class Reason(IntFlag):
    """Why a value is not simply good; a bit each, published as counts `r_<name>`. The bits never change."""

    RANGE = 1
    STEP = 2
    SPIKE = 4
    STUCK = 8
    WARM_UP = 16
    DEVICE = 32
    HUMIDITY = 64
    CLOCK = 128
    LATE = 256
    NEIGHBOUR = 512
    MAINTENANCE = 1024
    UNCALIBRATED = 2048
    SATURATED = 4096


REASONS = tuple(Reason)


@dataclass(frozen=True, slots=True)
class Block:
    """Readings of one sensor: n rows, c channels; all rows before `until_ns` are here, even if there are none."""

    t: I8  # [n] UTC ns, not decreasing
    v: F8  # [n, c] in the channel's unit; NaN where nothing was said
    flag: U1  # [n, c] Flag
    reason: U2  # [n, c] Reason bits
    dur_s: F8  # [n] time that a row stands for
    until_ns: int

    def __post_init__(self) -> None:
        """Refuse rows that do not belong together or run backwards."""
        n = len(self.t)
        if self.v.shape != self.flag.shape or self.v.shape != self.reason.shape:
            raise ValueError("Block: v, flag and reason differ in shape")
        if self.v.shape[0] != n or len(self.dur_s) != n:
            raise ValueError("Block: t and v differ in length")
        if n > 1 and bool((self.t[1:] < self.t[:-1]).any()):
            raise ValueError("Block: time runs backwards")

    def judged(self, flag: U1, reason: U2) -> Block:
        """Return the same rows under other flags and reasons."""
        return Block(self.t, self.v, flag, reason, self.dur_s, self.until_ns)

    def beside(self, v: F8, flag: U1, reason: U2) -> Block:
        """Return the block with further channels [n, k] behind its own."""
        return replace(
            self,
            v=np.concatenate([self.v, v], axis=1),
            flag=np.concatenate([self.flag, flag], axis=1),
            reason=np.concatenate([self.reason, reason], axis=1),
        )

    @classmethod
    def empty(cls, channels: int, until_ns: int) -> Block:
        """Return a block that only moves time."""
        shape = (0, channels)
        return cls(
            np.empty(0, np.int64), np.empty(shape), np.empty(shape, np.uint8), np.empty(shape, np.uint16),
            np.empty(0), until_ns,
        )  # fmt: skip


# What became of a slot: below MISS_BASE a frame came, with the driver's verdict (Fault) as the number, 0 valid;
MISS_BASE = 16  # codes from here on: a scheduled poll that gave nothing, by reason
UNHEARD = 255  # of a settled slot: nothing was said of it


@dataclass(frozen=True, slots=True)
class Slots:
    """What acquisition says of a sensor's slots: when, and how each went; several may speak of one slot."""

    t: I8  # [k] UTC ns
    code: U1  # [k] 0 valid, 1..15 Fault, MISS_BASE + index of the reason


# m2: sum of squares about the mean; energy: mean of 10^(L/10); sin, cos: means of angles; inverse: sum of 1/v over the
# `moving` speeds above 0; first_s, last_s: seconds from the start of the window
MOMENTS = (
    "mean", "m2", "min", "max", "energy", "sum", "dur_s", "sin", "cos", "inverse", "moving", "first_s", "last_s",
)  # fmt: skip
SLOT_COUNTS = ("expected", "valid", "rejected", "missing", "extra", "late")


class Packed(NamedTuple):
    """Samples kept small: whole multiples of 1/`step`, or the values themselves where `step` is 0."""

    step: int
    kind: str  # numpy's name of the type in `data`
    data: bytes


NOTHING = Packed(0, "<f4", b"")


@dataclass(frozen=True, slots=True)
class Windows:
    """All series of the gateway for one (period, start): k series of s sensors."""

    period_s: int
    start_ns: int
    rev: int
    series: tuple[tuple[str, str, str, str], ...]  # (domain, sensor, channel, unit)
    kind: tuple[str, ...]  # Kind of each series
    n_by_flag: I8  # [k, 5], in the order of FLAGS
    expected: I8  # [k] slots
    usable: I8  # [k] slots with at least one usable value
    moments: F8  # [k, 13], in the order of MOMENTS; NaN where there is none
    reasons: I8  # [k, 13], in the order of REASONS
    sensors: tuple[str, ...]
    slots: I8  # [s, 6], in the order of SLOT_COUNTS
    rejected: I8  # [s, 8] by Fault
    missed: I8  # [s, 7] by reason of a miss, of the slots that are missing; the rest said nothing
    samples: tuple[Packed, ...] = ()  # k of them, or none at all: usable values, where percentiles are asked for
    codes: tuple[bytes, ...] = ()  # s, or none: what became of each expected slot, as in Slots, UNHEARD if nothing did
    seen: tuple[bytes, ...] = ()  # k, or none: a bit per expected slot, set where it has a usable value
    period: str = ""  # the name of a period that is not a fixed number of seconds on UTC
    late: bool = False  # it holds only what came after the window was closed, to be put together with what is known
    share: F8 | None = None  # [k] what is held against the threshold of capture, where that is not usable / expected
    extras: tuple[tuple[str, F8], ...] = ()  # fields that only this period has: name, [k] values

    def __post_init__(self) -> None:
        """Refuse sums that do not close: expected = valid + rejected + missing in every row."""
        expected, valid, rejected, missing = (self.slots[:, i] for i in range(4))
        if not bool((expected == valid + rejected + missing).all()):
            raise ValueError("Windows: the ledger does not close")
        if len(self.series) != len(self.moments) or len(self.sensors) != len(self.slots):
            raise ValueError("Windows: rows and names differ in number")
        if self.samples and len(self.samples) != len(self.series):
            raise ValueError("Windows: samples and series differ in number")
