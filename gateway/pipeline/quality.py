"""Quality tests after QARTOD as stages: they flag, they never delete or repair.

Each adds a reason where it doubts a value, and leaves what is missing or was not due as it is. None of them compares
with the last good value, so none sticks: a real step is doubted where it happens and accepted at once behind it.
`qartod.py` has the tests as pure functions over whole series; where a stage differs, it says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gateway.block import F8, I8, U1, Block, Flag, Reason, usable
from gateway.pipeline.climatology import Member, climatology
from gateway.pipeline.marking import GOOD, mark_flags, marked
from gateway.pipeline.qartod import NO_TIME, NS, worse
from gateway.pipeline.rolling import flat
from gateway.pipeline.stage import State, later

__all__ = [
    "ClimatologyTest", "FlatLineTest", "RangeTest", "StepTest", "Steps", "flat", "gross_range", "mark_flags", "worse",
]  # fmt: skip


ABSENT, NOT_EVALUATED, MISSING = int(Flag.ABSENT), int(Flag.NOT_EVALUATED), int(Flag.MISSING)


def gross_range(v: F8, lo: F8 | float, hi: F8 | float, suspect_lo: F8 | float, suspect_hi: F8 | float) -> U1:
    """Flag values [n, c] or [n] outside the fail span FAIL, outside the suspect span SUSPECT; all ends are inclusive.

    NaN gives MISSING. Spans are per channel [c], or one for all. Source: QARTOD gross range test, as in ioos_qc.
    """
    flag = np.full(v.shape, Flag.GOOD, np.uint8)
    calm = (v >= np.maximum(lo, suspect_lo)) & (v <= np.minimum(hi, suspect_hi))
    if not calm.all():  # few are not, and only they are looked at more closely
        odd = (~calm).nonzero()
        x = v[odd]
        least, most = (limit[odd[-1]] if isinstance(limit, np.ndarray) else limit for limit in (lo, hi))
        flag[odd] = np.where((x < least) | (x > most), np.uint8(Flag.FAIL), np.uint8(Flag.SUSPECT))
        flag[np.isnan(v)] = Flag.MISSING
    return flag


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
        """Flag a block; what is there and was due is now good at least, or bad."""
        verdict = gross_range(block.v, self.lo, self.hi, self.suspect_lo, self.suspect_hi)
        if (verdict == GOOD).all():  # so it is nearly always
            flag = np.where(block.flag == NOT_EVALUATED, np.uint8(GOOD), block.flag)
            return state, block.judged(flag, block.reason)
        # Of two verdicts the higher number is the worse one, but for NOT_EVALUATED; what is not there is not good.
        flag = np.maximum(np.where(block.flag == NOT_EVALUATED, np.uint8(GOOD), block.flag), verdict)
        flag[block.flag == ABSENT] = ABSENT
        bad = (verdict > GOOD) & (verdict < MISSING)
        return state, block.judged(flag, block.reason | bad * np.uint16(Reason.RANGE))


@dataclass(frozen=True, slots=True)
class ClimatologyTest:
    """What is usual in a month or an hour (UTC), per channel; a value outside carries the reason RANGE."""

    members: tuple[tuple[Member, ...], ...]  # [c]

    def initial(self) -> State:
        """No memory is needed."""
        return {}

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        """Flag a block."""
        verdict = np.zeros(block.flag.shape, np.uint8)
        for c, members in enumerate(self.members):
            if members:
                verdict[:, c] = climatology(members, block.v[:, c], block.t)
        verdict[verdict == Flag.MISSING] = 0
        return state, marked(block, verdict, Reason.RANGE)


@dataclass(frozen=True, slots=True)
class FlatLineTest:
    """Flag a value SUSPECT (FAIL) when it and the n before it, missing ones passed over, stay within tolerance.

    `suspect_n` and `fail_n` are per channel [c]: the threshold in seconds divided by the nominal period; 0 switches
    the test off. It fires when max - min over those n + 1 values is below the tolerance (strictly, so a tolerance
    of 0 never fires). Source: QARTOD flat line test; ioos_qc counts n rows, also missing ones: here n values.
    """

    suspect_n: tuple[int, ...]
    fail_n: tuple[int, ...]
    tolerance: tuple[float, ...]

    def initial(self) -> State:
        """Remember nothing yet: one tail per channel."""
        return {f"tail{c}": np.empty(0) for c in range(len(self.suspect_n))}

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        """Flag a block, with the tails of the blocks before it."""
        verdict, after = np.zeros(block.flag.shape, np.uint8), dict(state)
        lively = self._lively(state, block.v)
        for c, (suspect_n, fail_n) in enumerate(zip(self.suspect_n, self.fail_n, strict=True)):
            name, keep = f"tail{c}", max(suspect_n, fail_n)
            if not keep:
                continue
            if lively[c]:
                after[name] = block.v[-1:, c].copy()
                continue
            rows = (~np.isnan(block.v[:, c])).nonzero()[0]
            if not len(rows):
                continue
            tail = state[name].astype(np.float64)
            series = np.concatenate([tail, block.v[rows, c]])
            for n, level in ((suspect_n, Flag.SUSPECT), (fail_n, Flag.FAIL)):
                if 0 < n < len(series):
                    stuck = rows[flat(series, n, self.tolerance[c])[len(tail) :]]
                    verdict[stuck, c] = np.maximum(verdict[stuck, c], level)
            after[name] = _flat_end(series[-keep:], self.tolerance[c])
        return after, marked(block, verdict, Reason.STUCK)

    def _lively(self, state: State, v: F8) -> list[bool]:
        """Tell which channels can't be flat, and end with a step: nothing before their last value is of use any more.

        A run of n + 1 values has all but those of the tail in this block, and so two neighbours of every h-th row.
        """
        longest = max((len(tail) for tail in state.values()), default=0)
        n = min((n for n in (*self.suspect_n, *self.fail_n) if n), default=0) - longest
        if len(v) < 2 or n < 2:
            return [False] * len(self.tolerance)
        some = v[:: (n + 1) // 2]
        steps = (np.abs(some[1:] - some[:-1]) >= self.tolerance).all(axis=0)
        lively: list[bool] = (steps & (np.abs(v[-1] - v[-2]) >= self.tolerance)).tolist()
        return lively


def _flat_end(series: F8, tolerance: float) -> F8:
    """Return the longest end of a series that stays within the tolerance: no run that reaches further back is flat.

    So the memory of a lively channel is a few values, and the long memory of a stuck one is all the same value.
    """
    back = series[::-1]
    steady = np.maximum.accumulate(back) - np.minimum.accumulate(back) < tolerance
    length = len(steady) if steady.all() else int(np.argmin(steady))
    return series[len(series) - length :]


class Steps(NamedTuple):
    """How a channel may go from one reading to the next; infinite: anyhow."""

    rate: float  # per second, above it SUSPECT
    rate_fail: float
    gap_ns: float  # since the reading before, above it SUSPECT
    gap_fail_ns: float


@dataclass(frozen=True, slots=True)
class StepTest:
    """Rate of change and gaps in time: flag a reading that does not follow on the one before, with the reason STEP.

    Rates are per second of true time, strictly above the threshold, and only between readings that are usable and at
    most `near_ns` apart; several readings of one moment have no rate. The first reading is not flagged. Source: QARTOD
    rate of change and gap tests, as in ioos_qc (which gives the first time of a series the flag of the second).
    """

    channels: tuple[Steps, ...]
    near_ns: int

    def initial(self) -> State:
        """Remember no reading."""
        c = len(self.channels)
        return {"t": np.full(c, NO_TIME), "x": np.full(c, np.nan)}

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        """Flag a block; the reading before its first is remembered per channel."""
        verdict = np.zeros(block.flag.shape, np.uint8)
        t_before, x_before = state["t"].copy(), state["x"].copy()
        for c, steps in enumerate(self.channels):
            rows = np.flatnonzero(block.flag[:, c] != Flag.ABSENT)
            if not len(rows):
                continue
            x = np.where(usable(block.flag[rows, c]), block.v[rows, c], np.nan)
            t = block.t[rows]
            verdict[rows, c] = self._verdict(
                steps, np.concatenate([t_before[c : c + 1], t]), np.concatenate([x_before[c : c + 1], x])
            )
            t_before[c], x_before[c] = t[-1], x[-1]
        return {"t": t_before, "x": x_before}, marked(block, verdict, Reason.STEP)

    def moved(self, state: State, by_ns: int) -> State:
        """Put the last readings where they are on another time line."""
        return {**state, "t": later(state["t"], by_ns, NO_TIME)}

    def _verdict(self, steps: Steps, t: I8, x: F8) -> U1:
        """Judge readings by the one before; the first of t, x is only that."""
        known = t[:-1] != NO_TIME
        dt = np.where(known, t[1:] - np.where(known, t[:-1], 0), 0)
        near = (dt > 0) & (dt <= self.near_ns)
        rate = np.abs(np.diff(x)) / np.where(near, dt / NS, np.inf)
        verdict = np.zeros(len(dt), np.uint8)
        verdict[(rate > steps.rate) | (dt > steps.gap_ns)] = Flag.SUSPECT
        verdict[(rate > steps.rate_fail) | (dt > steps.gap_fail_ns)] = Flag.FAIL
        return verdict
