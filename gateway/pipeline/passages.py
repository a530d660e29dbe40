"""Passages: what makes one vehicle of many readings, and the channels that a passage has.

A passage is counted once, when it is over and not before: a vehicle that stands in a window's border belongs to the
window in which it was seen to have gone. `passages_radar.py` and `passages_lidar.py` find them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from drivers.base import Channel, Kind
from gateway.block import F8, I8, U1, U2, Block, Flag, Reason

Mask = npt.NDArray[np.bool_]
NS = 1_000_000_000
KM_H = 3.6  # for 1 m/s
VEHICLES = Channel("vehicles", "{vehicles}", Kind.COUNT, lo=0.0)
ON_TIME = Channel("on_time", "s", Kind.COUNT, lo=0.0)  # summed: over `observed_s` it is the occupancy
HEADWAY = Channel("headway", "s", lo=0.0)  # front to front, of one direction


def class_names(bounds_km_h: tuple[int, ...]) -> tuple[str, ...]:
    """Name the classes between bounds that rise: below the first, from one to the next, from the last on."""
    if not bounds_km_h:
        return ()
    between = (f"vehicles_{lo}_{hi}_km_h" for lo, hi in itertools.pairwise(bounds_km_h))
    return (f"vehicles_below_{bounds_km_h[0]}_km_h", *between, f"vehicles_from_{bounds_km_h[-1]}_km_h")


def class_of(speed_m_s: F8, bounds_km_h: tuple[int, ...]) -> F8:
    """Tell the class of each speed as counts [n, classes]: 1 in its own, 0 in the others; [lo, hi) in km/h."""
    place = np.searchsorted(np.array(bounds_km_h, np.float64), np.abs(speed_m_s) * KM_H, side="right")
    counts: F8 = (place[:, None] == np.arange(len(bounds_km_h) + 1)).astype(np.float64)
    return counts if bounds_km_h else counts[:, :0]


@dataclass(frozen=True, slots=True)
class Segments:
    """Rows that belong together, run by run: where each run begins, and how many rows it has (at least one)."""

    starts: I8
    counts: I8

    @classmethod
    def of(cls, changes: Mask) -> Segments:
        """Cut before each row that changes; the first row always begins a run."""
        cuts = changes.copy()
        cuts[:1] = True
        starts = np.flatnonzero(cuts).astype(np.int64)
        return cls(starts, np.diff(np.append(starts, len(changes))).astype(np.int64))

    @property
    def last(self) -> I8:
        """Return the last row of each run."""
        return self.starts + self.counts - 1

    def median(self, x: F8) -> F8:
        """Return the median of each run; of an even number the mean of the two in the middle."""
        of = np.repeat(np.arange(len(self.counts)), self.counts)
        ranked = x[np.lexsort((x, of))]
        low, high = self.starts + (self.counts - 1) // 2, self.starts + self.counts // 2
        middle: F8 = (ranked[low] + ranked[high]) / 2.0
        return middle

    def max(self, x: F8) -> F8:
        """Return the greatest value of each run."""
        greatest: F8 = np.maximum.reduceat(x, self.starts) if len(self.starts) else np.empty(0)
        return greatest

    def verdict(self, flag: U1, reason: U2) -> tuple[U1, U2]:
        """Judge each run by its rows: SUSPECT if most are, with their reasons; else GOOD if any is."""
        if not len(self.starts):
            return np.empty(0, np.uint8), np.empty(0, np.uint16)
        doubtful = flag == Flag.SUSPECT
        most = 2 * np.add.reduceat(doubtful.astype(np.int64), self.starts) > self.counts
        good = np.logical_or.reduceat(flag == Flag.GOOD, self.starts)
        out = np.where(most, Flag.SUSPECT, np.where(good, Flag.GOOD, Flag.NOT_EVALUATED)).astype(np.uint8)
        reasons = np.bitwise_or.reduceat(np.where(doubtful, reason, np.uint16(0)), self.starts)
        return out, np.where(most, reasons, np.uint16(0)).astype(np.uint16)


def beside(block: Block, channels: int) -> Block:
    """Return the block with channels that nothing is said of: a passage has a row of its own."""
    shape = (len(block.t), channels)
    return block.beside(np.full(shape, np.nan), np.zeros(shape, np.uint8), np.zeros(shape, np.uint16))


def with_rows(block: Block, t: I8, v: F8, flag: U1, reason: U2) -> Block:
    """Put rows of passages into a block whose last columns are theirs; of what stands at one time they come first."""
    blank = (len(t), block.v.shape[1] - v.shape[1])
    order = np.argsort(np.concatenate([t, block.t]), kind="stable")
    return Block(
        np.concatenate([t, block.t])[order],
        np.concatenate([np.hstack([np.full(blank, np.nan), v]), block.v])[order],
        np.concatenate([np.hstack([np.zeros(blank, np.uint8), flag]), block.flag])[order],
        np.concatenate([np.hstack([np.zeros(blank, np.uint16), reason]), block.reason])[order],
        np.concatenate([np.zeros(len(t)), block.dur_s])[order],
        block.until_ns,
    )


def doubt(flag: U1, reason: U2, why: Mask) -> tuple[U1, U2]:
    """Make some passages SUSPECT: they took longer than a vehicle does."""
    suspect = np.where(why, np.uint8(Flag.SUSPECT), flag)
    return suspect, np.where(why, reason | np.uint16(Reason.STUCK), reason).astype(np.uint16)
