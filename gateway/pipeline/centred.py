"""Steps that look at a row between its neighbours, before and behind: they hold the last rows back until they can.

A row is let go when its neighbours are there, when a later row or `until_ns` shows that none will come in time, or
when `release` says that its window closes now. A row whose neighbours are not all there is passed on as it came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from gateway.block import F8, I8, Block, Flag, Reason, usable
from gateway.pipeline.filters import hampel, hampel_filter
from gateway.pipeline.marking import marked
from gateway.pipeline.qartod import spike_height
from gateway.pipeline.stage import State

Mask = npt.NDArray[np.bool_]
ROWS = ("t", "v", "flag", "reason", "dur_s")


class Surroundings(NamedTuple):
    """The rows at hand: those to be judged (first to last) and what stands around them."""

    x: F8  # [n, c] usable values, NaN where there is none
    apart: I8  # rows behind which a gap begins, rising
    first: int
    last: int

    def around(self, k: int) -> F8:
        """Return the rows from k before the first to k behind the last [m, c]; NaN where there is no row."""
        lo, hi = self.first - k, self.last + k
        if lo >= 0 and hi <= len(self.x):
            return self.x[lo:hi]
        ends = np.full((max(-lo, 0) + max(hi - len(self.x), 0), self.x.shape[1]), np.nan)
        return np.concatenate([ends[: max(-lo, 0)], self.x[max(lo, 0) : hi], ends[max(-lo, 0) :]])

    def whole(self, k: int) -> Mask:
        """Tell which rows to be judged have k neighbours on either side, without a gap."""
        out = np.zeros(self.last - self.first, np.bool_)
        lo, hi = max(self.first, k), min(self.last, len(self.x) - k)
        if hi > lo:
            out[lo - self.first : hi - self.first] = True
        for row in self.apart.tolist():
            out[max(row + 1 - k - self.first, 0) : max(row + 1 + k - self.first, 0)] = False
        return out


class Kernel(Protocol):
    """What is done with each row between its neighbours."""

    @property
    def k(self) -> int:
        """How many neighbours on either side are looked at."""
        ...

    def __call__(self, block: Block, near: Surroundings) -> Block:
        """Judge the rows `near.first` to `near.last`: `block` holds them."""
        ...


@dataclass(frozen=True, slots=True)
class Centred:
    """Apply kernels to rows between their neighbours; rows further apart than `near_ns` are no neighbours."""

    kernels: tuple[Kernel, ...]
    near_ns: int
    channels: int  # of the rows that come in

    def initial(self) -> State:
        """Remember nothing yet: no rows, and none of them done."""
        c = self.channels
        return {
            "t": np.empty(0, np.int64), "v": np.empty((0, c)), "flag": np.empty((0, c), np.uint8),
            "reason": np.empty((0, c), np.uint16), "dur_s": np.empty(0), "done": np.zeros(1, np.int64),
        }  # fmt: skip

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        """Judge what has all its neighbours, or will never have them; hold back the rest."""
        rows: State = {name: np.concatenate([state[name], getattr(block, name)]) for name in ROWS}
        t, done = rows["t"], int(state["done"][0])
        apart = self._apart(t)
        decided = max(len(t) - max(kernel.k for kernel in self.kernels), int(apart[-1]) + 1 if len(apart) else 0, done)
        if len(t) and block.until_ns - int(t[-1]) > self.near_ns:
            decided = len(t)
        return self._let_go(rows, done, decided, block.until_ns, apart)

    def release(self, state: State, before_ns: int) -> tuple[State, Block]:
        """Let go every row before a time, also those whose neighbours are not there yet."""
        done = int(state["done"][0])
        decided = done + int(np.searchsorted(state["t"][done:], before_ns))
        return self._let_go(state, done, decided, before_ns, self._apart(state["t"]))

    def moved(self, state: State, by_ns: int) -> State:
        """Put the rows where they are on another time line."""
        return {**state, "t": state["t"] + by_ns}

    def _apart(self, t: I8) -> I8:
        """Return the rows behind which a gap begins; a clock that was set back is one."""
        step = t[1:] - t[:-1]
        return ((step > self.near_ns) | (step < 0)).nonzero()[0]

    def _let_go(self, rows: State, done: int, decided: int, until_ns: int, apart: I8) -> tuple[State, Block]:
        all_t = rows["t"]
        back = np.flatnonzero(np.diff(all_t[done:decided]) < 0)
        if len(back):  # one block cannot run backwards: what is behind comes with the next
            decided = done + int(back[0]) + 1
        if decided < len(all_t):
            until_ns = min(until_ns, int(all_t[decided]))
        t, v, flag, reason, dur_s = (rows[name][done:decided] for name in ROWS)
        block = Block(t, v, flag, reason, dur_s, until_ns)
        fit = usable(rows["flag"])
        x = rows["v"] if fit.all() else np.where(fit, rows["v"], np.nan)
        near = Surroundings(x, apart, done, decided)
        for kernel in self.kernels:
            block = kernel(block, near)
        first = max(decided - max(kernel.k for kernel in self.kernels), 0)
        after: State = {name: rows[name][first:] for name in ROWS}
        after["done"] = np.array([decided - first], np.int64)
        return after, block


@dataclass(frozen=True, slots=True)
class Spike:
    """The QARTOD spike test: SUSPECT or FAIL for a value that stands out from both neighbours, strictly.

    Thresholds are per channel [c]; 0 switches a level off. `average` per channel takes the distance from the mean of
    the neighbours, which the neighbours of a great spike share; else the smaller of two steps in opposite directions.
    A neighbour that is missing or failed, or too far off, leaves the value as it came. Source: as in ioos_qc.
    """

    suspect: tuple[float, ...]
    fail: tuple[float, ...]
    average: tuple[bool, ...]

    @property
    def k(self) -> int:
        """One neighbour on either side."""
        return 1

    def __call__(self, block: Block, near: Surroundings) -> Block:
        """Judge the rows."""
        if not len(block.t):
            return block
        verdict = np.zeros(block.flag.shape, np.uint8)
        whole, x = near.whole(1), near.around(1)
        for c, (suspect, fail, average) in enumerate(zip(self.suspect, self.fail, self.average, strict=True)):
            if suspect or fail:
                height = spike_height(x[:, c], "average" if average else "differential")[1:-1]
                for threshold, level in ((suspect, Flag.SUSPECT), (fail, Flag.FAIL)):
                    if threshold:
                        verdict[whole & (height > threshold), c] = level
        return marked(block, verdict, Reason.SPIKE)


@dataclass(frozen=True, slots=True)
class HampelTest:
    """SUSPECT for a value that `filters.hampel` calls an outlier, between its k neighbours on either side.

    Per channel [c]: k (0 is off), how many sigmas, and the floor of sigma.
    """

    ks: tuple[int, ...]
    sigmas: tuple[float, ...]
    floors: tuple[float, ...]

    @property
    def k(self) -> int:
        """The widest of its windows."""
        return max(self.ks)

    def __call__(self, block: Block, near: Surroundings) -> Block:
        """Judge the rows."""
        if not len(block.t):
            return block
        verdict = np.zeros(block.flag.shape, np.uint8)
        for k in {*self.ks} - {0}:  # channels of one k go through at once
            own = [c for c, one in enumerate(self.ks) if one == k]
            x = near.around(k) if len(own) == len(self.ks) else near.around(k)[:, own]
            sigmas, floors = (np.array([of[c] for c in own]) for of in (self.sigmas, self.floors))
            outlier = hampel(x, k, sigmas, floors)[k:-k] & near.whole(k)[:, None]
            verdict[:, own] = outlier * np.uint8(Flag.SUSPECT)
        return marked(block, verdict, Reason.SPIKE)


@dataclass(frozen=True, slots=True)
class HampelFilter:
    """Put beside channel `of` what the Hampel filter makes of it: the median in place of an outlier.

    A value without all its neighbours, and one that is not usable, stands there as it came; flags and reasons are
    those of the channel itself.
    """

    of: int
    half: int
    sigmas: float
    floor: float

    @property
    def k(self) -> int:
        """Neighbours on either side."""
        return self.half

    def __call__(self, block: Block, near: Surroundings) -> Block:
        """Filter the rows."""
        filtered, outlier = hampel_filter(near.around(self.k)[:, self.of], self.k, self.sigmas, self.floor)
        inner = slice(self.k, len(filtered) - self.k)
        replaced = near.whole(self.k) & outlier[inner]
        v = np.where(replaced, filtered[inner], block.v[:, self.of])
        own = slice(self.of, self.of + 1)
        return block.beside(v[:, None], block.flag[:, own], block.reason[:, own])
