"""Running totals: what was added between two readings, across a wrap of the register and a reset of the part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.block import F8, Block, Flag, usable
from gateway.pipeline.quality import worse
from gateway.pipeline.stage import State


def delta_wrap(before: F8 | float, after: F8 | float, modulus: float) -> F8:
    """Return what was added to a register that starts again at 0 after modulus - 1: (after - before) mod modulus.

    For a register of b bits the modulus is 2^b.
    """
    return np.mod(np.asarray(after, np.float64) - before, modulus)


def increments(total: F8, modulus: float = 0.0) -> F8:
    """Return what was added from each reading of a running total to the next: n readings give n - 1.

    A drop is a reset, and the new total counts from 0; as Prometheus' increase() has it. With a `modulus` a drop is a
    wrap when less than half of the modulus was added by it, and else a reset (the half: RFC 1982, serial numbers).
    """
    before, after = total[:-1], total[1:]
    added = after - before
    dropped = added < 0
    out = np.where(dropped, after, added)
    if modulus > 0.0:
        wrapped = delta_wrap(before, after, modulus)
        out = np.where(dropped & (wrapped < modulus / 2.0), wrapped, out)
    return out


def increase(total: F8, modulus: float = 0.0) -> float:
    """Return what was added over all readings that are not NaN; 0 of fewer than two."""
    return float(increments(total[~np.isnan(total)], modulus).sum())


@dataclass(frozen=True, slots=True)
class Increments:
    """Add a channel of what was added since the last usable reading, for each of some channels of running totals.

    `columns` are their places and `modulus` that of each, 0 for a register that never wraps. A reading that is not
    usable is passed over, and what was added meanwhile is in the next one; the first reading of all adds nothing that
    is known. The flag is the worse of the two readings'.
    """

    columns: tuple[int, ...]
    modulus: tuple[float, ...]

    def initial(self) -> State:
        """Remember no reading."""
        k = len(self.columns)
        return {"total": np.full(k, np.nan), "flag": np.zeros(k, np.uint8), "reason": np.zeros(k, np.uint16)}

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        """Add the increments of a block."""
        shape = (len(block.t), len(self.columns))
        v, flag, reason = np.full(shape, np.nan), np.zeros(shape, np.uint8), np.zeros(shape, np.uint16)
        after = {name: part.copy() for name, part in state.items()}
        for k, (column, modulus) in enumerate(zip(self.columns, self.modulus, strict=True)):
            rows = np.flatnonzero(usable(block.flag[:, column]) & ~np.isnan(block.v[:, column]))
            known = slice(k, k + int(not np.isnan(state["total"][k])))
            total = np.concatenate([state["total"][known], block.v[rows, column]])
            flags = np.concatenate([state["flag"][known], block.flag[rows, column]])
            reasons = np.concatenate([state["reason"][known], block.reason[rows, column]])
            to = rows[k + 1 - known.stop :]
            v[to, k] = increments(total, modulus)
            flag[to, k], reason[to, k] = worse(flags[:-1], flags[1:]), reasons[:-1] | reasons[1:]
            if len(rows):
                after["total"][k], after["flag"][k], after["reason"][k] = total[-1], flags[-1], reasons[-1]
        flag[np.isnan(v)] = Flag.ABSENT
        return after, block.beside(v, flag, reason)
