"""The ledger: sums that close. In every window of every sensor expected = valid + rejected + missing slots.

A slot is a scheduled poll, or one nominal period of a stream, or, for a part that speaks only when something happens,
one second in which it was alive. Quality flags are another, separate count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.base import Fault, Miss
from gateway.block import I8, MISS_BASE, U1, UNHEARD

FAULTS = len(Fault)
MISSES = tuple(Miss)


class Account(NamedTuple):
    """The slots of one sensor in one window."""

    expected: int
    valid: int
    rejected: int
    missing: int
    extra: int  # good frames beyond the first of a slot, or outside the slots that were expected
    rejected_by: I8  # [FAULTS] by the driver's verdict
    missing_by: I8  # [MISSES] by the reason of the miss; what said nothing at all is not in it

    def sums(self) -> tuple[int, int, int, int]:
        """Return expected, valid, rejected, missing."""
        return self.expected, self.valid, self.rejected, self.missing


class Tally(NamedTuple):
    """The slots of s sensors in one window, counted."""

    sums: I8  # [s, 4] expected, valid, rejected, missing
    rejected_by: I8  # [s, FAULTS]
    missing_by: I8  # [s, MISSES]


def settle(slot: I8, code: U1, expected: I8, *, events: bool = False) -> Account:
    """Settle one window: a slot is valid if a good frame fell in it, rejected if only bad ones did, else missing.

    `slot` [k] and `code` [k] say what happened in which slot (0 valid, a Fault, or MISS_BASE + reason); `expected` is
    the slots that the window was to hold. Of event parts every sign of life counts, so they have no extra frames.
    Of several verdicts on one slot the lowest number counts: the account does not depend on the order of arrival.
    """
    codes = settled(slot, code, expected)
    sums, rejected_by, missing_by = tally(codes, np.array([len(codes)]))
    extra = 0 if events else int((code == 0).sum() - sums[0, 1])
    n, valid, rejected, missing = sums[0].tolist()
    return Account(n, valid, rejected, missing, extra, rejected_by[0], missing_by[0])


def settled(slot: I8, code: U1, expected: I8) -> U1:
    """Return what became of each expected slot [n]: the lowest code said of it, UNHEARD where none was."""
    out = np.full(len(expected), UNHEARD, np.uint8)
    place, inside = places(slot, expected)
    if code.any():
        worst_first = np.argsort(code, kind="stable")[::-1]
        place, inside, code = place[worst_first], inside[worst_first], code[worst_first]
    out[place[inside]] = code[inside]  # of several the last one stays
    return out


def tally(codes: U1, counts: I8) -> Tally:
    """Count what became of the slots of several sensors; `counts` says how many of `codes` belong to each."""
    s = len(counts)
    table = np.bincount(np.repeat(np.arange(s) * 256, counts) + codes, minlength=256 * s).reshape(s, 256)
    valid, rejected = table[:, 0], table[:, 1:MISS_BASE].sum(axis=1)
    sums = np.stack([counts, valid, rejected, counts - valid - rejected], axis=1).astype(np.int64)
    by_fault = np.zeros((s, FAULTS), np.int64)
    by_fault[:, 1:] = table[:, 1:FAULTS]
    return Tally(sums, by_fault, table[:, MISS_BASE : MISS_BASE + len(MISSES)].astype(np.int64))


def places(slot: I8, expected: I8) -> tuple[I8, npt.NDArray[np.bool_]]:
    """Find each slot among the expected ones, which rise: its place [k], and whether it is there at all [k]."""
    n = len(expected)
    if not n:
        return np.zeros(len(slot), np.int64), np.zeros(len(slot), np.bool_)
    if int(expected[-1] - expected[0]) == n - 1:  # without a gap, as of all parts that do not sleep
        place = slot - expected[0]
        inside = (place >= 0) & (place < n)
        return (place if inside.all() else np.where(inside, place, 0)), inside
    place = np.minimum(np.searchsorted(expected, slot), n - 1).astype(np.int64)
    return place, expected[place] == slot
