"""Filters as stages that look back only: a running median and an exponentially weighted mean, beside the channel.

The rows beside have the flags and reasons of the channel itself. Values that failed do not enter a filter, and stand
there as they came; where nothing was said, nothing stands. (The Hampel filter looks ahead: see `centred.py`.)
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.block import F8, I8, Block, Flag, usable
from gateway.pipeline.filters import running_median
from gateway.pipeline.qartod import NO_TIME, NS
from gateway.pipeline.stage import State, later

Rows = npt.NDArray[np.intp]
CELL = 16  # time constants: e^16 is a factor with which no digit is lost


def _beside(block: Block, of: int, rows: Rows, filtered: F8) -> Block:
    """Put what was filtered beside a channel; a NaN among it was not due yet."""
    v, flag, reason = block.v[:, of].copy(), block.flag[:, of].copy(), block.reason[:, of].copy()
    v[rows] = filtered
    early = rows[np.isnan(filtered)]
    flag[early], reason[early] = Flag.ABSENT, 0
    return block.beside(v[:, None], flag[:, None], reason[:, None])


@dataclass(frozen=True, slots=True)
class MedianFilter:
    """The median of the last n usable values; it is not due before there are n."""

    of: int
    n: int

    def initial(self) -> State:
        """Remember nothing yet."""
        return {"tail": np.empty(0)}

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        """Filter a block, with the last values before it."""
        rows = np.flatnonzero(usable(block.flag[:, self.of]))
        series = np.concatenate([state["tail"], block.v[rows, self.of]])
        medians = running_median(series, self.n)[len(series) - len(rows) :] if len(rows) else np.empty(0)
        return {"tail": series[max(len(series) - self.n + 1, 0) :]}, _beside(block, self.of, rows, medians)


@dataclass(frozen=True, slots=True)
class EwmaFilter:
    """The exponentially weighted mean with the time constant tau_s, in true time; it begins with the first value.

    y = a * x + (1 - a) * y with a = 1 - exp(-dt / tau), dt since the usable value before: after a long gap the new
    value stands alone. Of several values of one moment the first counts.
    """

    of: int
    tau_s: float

    def initial(self) -> State:
        """Remember nothing yet: last time, last y, and the sum that runs through a cell of time."""
        return {"t": np.array([NO_TIME]), "y": np.full(1, np.nan), "z": np.zeros(1)}

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        """Filter a block.

        With E = exp(t / tau), y * E is a plain sum, z: no loop over values, and the same from any cut on. E is counted
        from the start of cells of time on UTC, so that it stays small.
        """
        rows = np.flatnonzero(usable(block.flag[:, self.of]))
        if not len(rows):
            return state, _beside(block, self.of, rows, np.empty(0))
        t, x = block.t[rows], block.v[rows, self.of]
        cell_ns = max(round(CELL * self.tau_s * NS), 1)
        cell = t // cell_ns
        edges = [0, *(np.flatnonzero(np.diff(cell)) + 1).tolist(), len(rows)]
        y = np.empty(len(rows))
        t_before, y_before, z = int(state["t"][0]), float(state["y"][0]), float(state["z"][0])
        for first, last in itertools.pairwise(edges):
            start_ns = int(cell[first]) * cell_ns
            fresh = t_before == NO_TIME or t_before > t[first]
            if fresh:
                z = 0.0
            elif t_before < start_ns:
                z = float(y_before * np.exp((t_before - start_ns) / NS / self.tau_s))
            own = t[first:last]
            grown = np.exp((own - start_ns) / NS / self.tau_s)
            weight = self._weights(own, own[0] if fresh else t_before)
            weight[0] = 1.0 if fresh else weight[0]
            sums = np.cumsum(np.concatenate([[z], grown * weight * x[first:last]]))[1:]
            y[first:last] = sums / grown
            t_before, y_before, z = int(own[-1]), float(y[last - 1]), float(sums[-1])
        after: State = {"t": np.array([t_before]), "y": np.array([y_before]), "z": np.array([z])}
        return after, _beside(block, self.of, rows, y)

    def moved(self, state: State, by_ns: int) -> State:
        """Put the last value where it is on another time line."""
        cell_ns = max(round(CELL * self.tau_s * NS), 1)
        before, after = int(state["t"][0]), later(state["t"], by_ns, NO_TIME)
        shift_ns = before % cell_ns - int(after[0]) % cell_ns if before != NO_TIME else 0
        return {**state, "t": after, "z": state["z"] * np.exp(-shift_ns / NS / self.tau_s)}

    def _weights(self, t: I8, t_before: int) -> F8:
        """Return the weight of each value after the one before it."""
        weights: F8 = -np.expm1(np.diff(t, prepend=t_before) / -NS / self.tau_s)
        return weights
