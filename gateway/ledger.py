"""The ledger: sums that close. In every window of every sensor expected = valid + rejected + missing slots.

A slot is a scheduled poll, or one nominal period of a stream, or, for a part that speaks only when something happens,
one second in which it was alive. Quality flags are another, separate count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.base import Fault, Miss
from gateway.block import I8, MISS_BASE, U1

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


def settle(slot: I8, code: U1, expected: I8, *, events: bool = False) -> Account:
    """Settle one window: a slot is valid if a good frame fell in it, rejected if only bad ones did, else missing.

    `slot` [k] and `code` [k] say what happened in which slot (0 valid, a Fault, or MISS_BASE + reason); `expected` is
    the slots that the window was to hold. Of event parts every sign of life counts, so they have no extra frames.
    Of several verdicts on one slot the lowest number counts: the account does not depend on the order of arrival.
    """
    order = np.argsort(code, kind="stable")
    slot, code = slot[order], code[order]
    place, inside = places(slot, expected)
    good, bad, miss = (code == 0) & inside, (code > 0) & (code < MISS_BASE) & inside, (code >= MISS_BASE) & inside
    valid = np.zeros(len(expected), np.bool_)
    valid[place[good]] = True
    rejected = _first(place[bad], code[bad], len(expected))
    rejected[valid] = 0
    missed = _first(place[miss], code[miss], len(expected))
    missed[valid | (rejected > 0)] = 0
    n_valid, n_rejected = int(valid.sum()), int((rejected > 0).sum())
    return Account(
        len(expected),
        n_valid,
        n_rejected,
        len(expected) - n_valid - n_rejected,
        0 if events else int((code == 0).sum()) - n_valid,
        np.bincount(rejected[rejected > 0], minlength=FAULTS)[:FAULTS].astype(np.int64),
        np.bincount(missed[missed > 0] - MISS_BASE, minlength=len(MISSES))[: len(MISSES)].astype(np.int64),
    )


def places(slot: I8, expected: I8) -> tuple[I8, npt.NDArray[np.bool_]]:
    """Find each slot among the expected ones, which rise: its place [k], and whether it is there at all [k]."""
    if not len(expected):
        return np.zeros(len(slot), np.int64), np.zeros(len(slot), np.bool_)
    place = np.minimum(np.searchsorted(expected, slot), len(expected) - 1).astype(np.int64)
    return place, expected[place] == slot


def _first(place: I8, code: U1, n: int) -> npt.NDArray[np.int64]:
    """Return the first code said of each of n places, 0 where none was."""
    out = np.zeros(n, np.int64)
    out[place[::-1]] = code[::-1]
    return out
