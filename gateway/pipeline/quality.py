"""Quality tests after QARTOD: they flag, they never delete or repair."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gateway.block import F8, U1, U2, Block, Flag, Reason
from gateway.pipeline.stage import State


def gross_range(v: F8, lo: F8, hi: F8, suspect_lo: F8, suspect_hi: F8) -> U1:
    """Flag values [n, c] outside the fail span FAIL, outside the suspect span SUSPECT; all ends are inclusive.

    NaN gives MISSING. Spans are per channel [c]. Source: QARTOD gross range test, as in ioos_qc.
    """
    flag = np.full(v.shape, Flag.GOOD, np.uint8)
    with np.errstate(invalid="ignore"):
        flag[(v < suspect_lo) | (v > suspect_hi)] = Flag.SUSPECT
        flag[(v < lo) | (v > hi)] = Flag.FAIL
    flag[np.isnan(v)] = Flag.MISSING
    return flag


def worse(a: U1, b: U1) -> U1:
    """Combine two verdicts by the precedence 9, 2, 1, 3, 4 (low to high), as ioos_qc's qartod_compare does."""
    rank = np.zeros(10, np.uint8)
    rank[[Flag.MISSING, Flag.NOT_EVALUATED, Flag.GOOD, Flag.SUSPECT, Flag.FAIL]] = (0, 1, 2, 3, 4)
    return np.where(rank[a] >= rank[b], a, b).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class RangeTest:
    """Gross range per channel; a value outside carries the reason RANGE."""

    lo: F8  # [c]
    hi: F8
    suspect_lo: F8
    suspect_hi: F8

    def initial(self) -> State:
        """No memory is needed."""
        return {}

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        """Flag a block."""
        verdict = gross_range(block.v, self.lo, self.hi, self.suspect_lo, self.suspect_hi)
        bad = (verdict == Flag.SUSPECT) | (verdict == Flag.FAIL)
        reason = block.reason | np.where(bad, np.uint16(Reason.RANGE), np.uint16(0))
        flag = np.where(verdict == Flag.MISSING, verdict, worse(block.flag, verdict))  # what is not there is not good
        return state, replace(block, flag=flag, reason=reason)


@dataclass(frozen=True, slots=True)
class FlatLineTest:
    """Flag a value SUSPECT (FAIL) when it and the n before it, missing ones passed over, stay within tolerance.

    `suspect_n` and `fail_n` are per channel [c]: the threshold in seconds divided by the nominal period; 0 switches
    the test off. It fires when max - min over those n + 1 values is below the tolerance (strictly, so a tolerance
    of 0 never fires). Source: QARTOD flat line test, as in ioos_qc.
    """

    suspect_n: tuple[int, ...]
    fail_n: tuple[int, ...]
    tolerance: tuple[float, ...]

    def initial(self) -> State:
        """Remember nothing yet: one tail per channel."""
        return {f"tail{c}": np.empty(0) for c in range(len(self.suspect_n))}

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        """Flag a block, with the tails of the blocks before it."""
        flag, reason, after = block.flag.copy(), block.reason.copy(), dict(state)
        for c, (suspect_n, fail_n) in enumerate(zip(self.suspect_n, self.fail_n, strict=True)):
            keep = max(suspect_n, fail_n)
            if not keep:
                continue
            rows = np.flatnonzero(~np.isnan(block.v[:, c]))
            if not len(rows):
                continue
            tail = state[f"tail{c}"].astype(np.float64)
            series = np.concatenate([tail, block.v[rows, c]])
            for n, level in ((suspect_n, Flag.SUSPECT), (fail_n, Flag.FAIL)):
                stuck = rows[_flat(series, n, self.tolerance[c])[len(tail) :]]
                if not len(stuck):
                    continue
                flag[stuck, c] = worse(flag[stuck, c], np.full(len(stuck), level, np.uint8))
                reason[stuck, c] |= np.uint16(Reason.STUCK)
            after[f"tail{c}"] = _flat_end(series[-keep:], self.tolerance[c])
        return after, replace(block, flag=flag, reason=reason)


def _flat(series: F8, n: int, tolerance: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Tell for each value whether it and the n before it stay within the tolerance."""
    out = np.zeros(len(series), np.bool_)
    if n > 0 and len(series) > n:
        runs = np.lib.stride_tricks.sliding_window_view(series, n + 1)
        out[n:] = runs.max(axis=1) - runs.min(axis=1) < tolerance
    return out


def _flat_end(series: F8, tolerance: float) -> F8:
    """Return the longest end of a series that stays within the tolerance: no run that reaches further back is flat.

    So the memory of a lively channel is a few values, and the long memory of a stuck one is all the same value.
    """
    back = series[::-1]
    steady = np.maximum.accumulate(back) - np.minimum.accumulate(back) < tolerance
    length = len(steady) if steady.all() else int(np.argmin(steady))
    return series[len(series) - length :]


def mark_flags(mark: U1) -> tuple[U1, U2]:
    """Turn the driver's marks (OK, MISSING, SATURATED, WARM_UP, NOT_STABLE) into flags and reasons."""
    flags = np.array([Flag.NOT_EVALUATED, Flag.MISSING, Flag.SUSPECT, Flag.SUSPECT, Flag.SUSPECT], np.uint8)
    reasons = np.array([0, 0, Reason.SATURATED, Reason.WARM_UP, Reason.DEVICE], np.uint16)
    return flags[mark], reasons[mark]
