"""The ledger: sums that close. In every window of every sensor expected = valid + rejected + missing slots.

A slot is a scheduled poll, or one nominal period of a stream, or, for a part that speaks only when something happens,
one second in which it was alive. Quality flags are another, separate count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

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
    """
    inside = np.isin(slot, expected)
    good = slot[(code == 0) & inside]
    valid = np.unique(good)
    bad = (code > 0) & (code < MISS_BASE) & inside & ~np.isin(slot, valid)
    rejected, first = np.unique(slot[bad], return_index=True)
    rejected_by = np.bincount(code[bad][first], minlength=FAULTS)[:FAULTS].astype(np.int64)
    miss = (code >= MISS_BASE) & inside & ~np.isin(slot, np.concatenate([valid, rejected]))
    _, first = np.unique(slot[miss], return_index=True)
    missing_by = np.bincount(code[miss][first] - MISS_BASE, minlength=len(MISSES))[: len(MISSES)].astype(np.int64)
    extra = 0 if events else len(good) - len(valid) + int(((code == 0) & ~inside).sum())
    missing = len(expected) - len(valid) - len(rejected)
    return Account(len(expected), len(valid), len(rejected), missing, extra, rejected_by, missing_by)
