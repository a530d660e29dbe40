"""The attenuated signal test of QARTOD as a stage: a signal that has become too quiet for where the sensor hangs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gateway.block import F8, I8, U1, Block, Flag, Reason, usable
from gateway.pipeline.marking import marked
from gateway.pipeline.qartod import NO_TIME
from gateway.pipeline.stage import State

PANES = 16  # of a window
AT_ONCE = 4096  # values, so that a table of panes by values stays small
N, MEAN, M2, LOW, HIGH = range(5)  # of values together
NONE = np.array([0.0, 0.0, 0.0, np.inf, -np.inf])
SUM, SQUARES, FIRST = 1, 2, 5  # of the pane that is filling: sums about its first value, in place of MEAN and M2
EMPTY = np.array([0.0, 0.0, 0.0, np.inf, -np.inf, 0.0])


class Quiet(NamedTuple):
    """When a channel is too quiet; a period of 0 switches the test off."""

    period_ns: int
    suspect: float  # below it, strictly
    fail: float
    spread: bool  # judge max - min, else the standard deviation (divisor n)
    least: int  # with fewer values in the window it is not judged


@dataclass(frozen=True, slots=True)
class AttenuatedTest:
    """SUSPECT or FAIL, with the reason STUCK, where a trailing window has too small a deviation or extent.

    A window ends with the value that is judged and begins at a sixteenth of its period on UTC: it is between 15/16 and
    16/16 of the period long, so that sixteen sums stand for all values of an hour. Failed and missing values do not
    count. Source: QARTOD attenuated signal test; ioos_qc's windows begin exactly one period before.
    """

    channels: tuple[Quiet, ...]

    def initial(self) -> State:
        """Remember no window: per channel the numbers of the full panes and what they hold, and the one filling."""
        c = len(self.channels)
        return {
            "number": np.full((c, PANES), NO_TIME), "full": np.tile(NONE, (c, PANES - 1, 1)),
            "filling": np.tile(EMPTY, (c, 1)),
        }  # fmt: skip

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        """Flag a block."""
        after = {name: array.copy() for name, array in state.items()}
        verdict = np.zeros(block.flag.shape, np.uint8)
        for c, quiet in enumerate(self.channels):
            rows = np.flatnonzero(usable(block.flag[:, c])) if quiet.period_ns else np.empty(0, np.intp)
            pane = block.t[rows] // max(quiet.period_ns // PANES, 1)
            for first in range(0, len(rows), AT_ONCE):
                some = slice(first, first + AT_ONCE)
                verdict[rows[some], c] = _judge(quiet, after, c, pane[some], block.v[rows[some], c])
        return after, marked(block, verdict, Reason.STUCK)


def _judge(quiet: Quiet, state: State, c: int, pane: I8, x: F8) -> U1:
    """Judge values and the number of the pane that each is in; replaces the state of the channel."""
    numbers, full, filling = state["number"][c], state["full"][c], state["filling"][c]
    if numbers[-1] > pane[0]:  # the clock was set back
        numbers, full, filling = np.full(PANES, NO_TIME), np.tile(NONE, (PANES - 1, 1)), EMPTY
    starts = np.flatnonzero(np.diff(pane, prepend=NO_TIME))
    new = pane[starts]
    begun = np.tile(EMPTY, (len(starts), 1))
    begun[:, FIRST] = x[starts]
    if numbers[-1] == new[0]:
        begun[0] = filling
        numbers = numbers[:-1]
    else:
        full = np.concatenate([full, _together(filling[:, None]).T])
    sums = _running(begun, starts, x)
    here = _together(sums)
    numbers = np.concatenate([numbers, new])
    lasts = np.append(starts[1:], len(x)) - 1
    known = np.concatenate([full, here[:, lasts].T])
    state["number"][c], state["filling"][c] = numbers[-PANES:], sums[:, -1]
    state["full"][c] = known[-PANES:-1]
    before = _windows(numbers, known, new)
    counts = np.diff(np.append(starts, len(x)))
    return _verdict(quiet, np.repeat(before, counts, axis=1), here)


def _running(begun: F8, starts: I8, x: F8) -> F8:
    """Return what a pane holds after each value: f8[6, n], where panes of f8[p, 6] had begun before.

    Sums run from one value to the next, so that they are the same wherever a block was cut.
    """
    counts = np.diff(np.append(starts, len(x)))
    of, place = np.repeat(np.arange(len(starts)), counts), np.arange(len(x)) - np.repeat(starts, counts) + 1
    y = x - begun[of, FIRST]
    out = np.empty((6, len(x)))
    for row, values, run in (
        (SUM, y, np.add), (SQUARES, y * y, np.add), (LOW, x, np.minimum), (HIGH, x, np.maximum),
    ):  # fmt: skip
        table = np.zeros((len(starts), int(counts.max()) + 1))
        table[:, 0] = begun[:, row]
        table[of, place] = values
        out[row] = run.accumulate(table, axis=1)[of, place]
    out[N], out[FIRST] = begun[of, N] + place, begun[of, FIRST]
    return out


def _together(sums: F8) -> F8:
    """Turn sums about a first value into N, MEAN, M2, LOW, HIGH: f8[5, n]."""
    n = np.maximum(sums[N], 1.0)
    mean = sums[FIRST] + sums[SUM] / n
    return np.stack([sums[N], mean, np.maximum(sums[SQUARES] - sums[SUM] ** 2 / n, 0.0), sums[LOW], sums[HIGH]])


def _windows(numbers: I8, known: F8, new: I8) -> F8:
    """Put together the fifteen panes before each of the panes `new`: f8[5, p]; one that is not known holds nothing."""
    wanted = new[:, None] - np.arange(PANES - 1, 0, -1)
    at = np.minimum(np.searchsorted(numbers, wanted), len(numbers) - 1)
    panes = np.where((numbers[at] == wanted)[:, :, None], known[at], NONE)
    n, mean, m2 = panes[:, :, N], panes[:, :, MEAN], panes[:, :, M2]
    total = _sum(n)
    middle = _sum(n * mean) / np.maximum(total, 1.0)
    apart = _sum(n * (mean - middle[:, None]) ** 2)
    return np.stack([total, middle, _sum(m2) + apart, panes[:, :, LOW].min(axis=1), panes[:, :, HIGH].max(axis=1)])


def _sum(values: F8) -> F8:
    """Sum rows from left to right: the last bit does not depend on how many rows there are."""
    total: F8 = np.cumsum(values, axis=1)[:, -1]
    return total


def _verdict(quiet: Quiet, before: F8, here: F8) -> U1:
    """Judge each value by the full panes of its window and what was there of the one that is filling."""
    n = before[N] + here[N]
    if quiet.spread:
        size = np.maximum(here[HIGH], before[HIGH]) - np.minimum(here[LOW], before[LOW])
    else:
        apart = (here[MEAN] - before[MEAN]) ** 2 * before[N] * here[N] / n
        size = np.sqrt((before[M2] + here[M2] + apart) / n)
    verdict = np.where(size < quiet.fail, Flag.FAIL, np.where(size < quiet.suspect, Flag.SUSPECT, 0)).astype(np.uint8)
    verdict[n < quiet.least] = 0
    return verdict
