"""Gas indices: raw ticks of a metal-oxide gas sensor, told against what the same part saw lately.

    ticks -> gas = gain * (ticks - mean) / spread -> S-curve to 0..500 -> adaptive low-pass -> index
                                  ^------- mean and deviation, learned slowly, held while gas is about -------'

100 is the usual air of the last day for VOC, 1 for NOx. Each sample depends on the one before, through three
non-linear steps: there is nothing to vectorise, so one loop goes over the few new samples of a batch, in floats.

Source: Sensirion AG, gas-index-algorithm 3.2.x (github.com/Sensirion/gas-index-algorithm, BSD 3-clause): structure and
figures. Written anew as exponentially weighted mean and variance, without the scaling of its fixed-point ancestor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gateway.block import Block, Flag, Reason
from gateway.pipeline.stage import State

BLACKOUT_S = 45.0  # the heated oxide settles: samples count, and say nothing
TICKS_SPAN = 32767.0  # above `ticks_from`: what lies beyond is taken for its end
NO_TICKS = 65000.0  # 0, and from here on: no measurement; the last one counts again
TOP = 500.0
FLOOR = 0.5
STEEP = 50.0  # beyond it an S-curve has reached its end
INIT_PER_S = 0.01  # steepness of the change from fast to slow learning
GATE_PER_POINT = 0.09
GATE_INITIAL = 510.0  # above the top: while young, learning goes on whatever the index
GATE_RELEASE = 0.3  # minutes of credit for each minute without gas
DEVIATION_TAU_INITIAL_S = 2500.0
FAST_S, SLOW_S, PER_POINT = 20.0, 500.0, -0.2  # low-pass: time constants, and how a difference shortens them
INTERVALS_S = (1.0, 10.0)  # for which the algorithm is tested by its makers
ABSENT, GOOD, NOT_EVALUATED, SUSPECT, MISSING = map(
    int, (Flag.ABSENT, Flag.GOOD, Flag.NOT_EVALUATED, Flag.SUSPECT, Flag.MISSING)
)  # an enum's name is looked up in a microsecond, a fifth of what a sample costs
WARM_UP = int(Reason.WARM_UP)
GAP_S = 600.0  # "should not be used after interruptions of more than 10 minutes": what was learned is stale


@dataclass(frozen=True, slots=True)
class Parameters:
    """One algorithm: the first six are meant to be tuned, in Sensirion's names; the rest is the part's nature."""

    name: str  # the channel that it makes
    raw: str  # the channel that it is made of
    index_offset: float  # what usual air is called
    gating_max_duration_min: float  # so long may an episode stop the learning; 0: not at all
    usual: float  # `index_offset` that the S-curve was made for
    ticks_from: float
    mean_tau_initial_s: float
    mean_init_s: float  # from fast to slow learning of the mean
    deviation_init_s: float  # and of the deviation: the initial learning phase ends here
    gate_at: float  # index above which nothing is learned
    curve_at: float
    curve_per_unit: float
    spread_fixed: float  # ticks, added to the deviation; negative: more gas gives fewer ticks
    spread_learned: float  # part of the deviation in the spread
    learning_time_offset_hours: float = 12.0
    learning_time_gain_hours: float = 12.0
    std_initial: float = 50.0
    gain_factor: float = 230.0


VOC = Parameters(
    "voc_index", "voc_raw", index_offset=100.0, gating_max_duration_min=180.0, usual=100.0, ticks_from=20000.0,
    mean_tau_initial_s=20.0, mean_init_s=0.75 * 3600, deviation_init_s=1.45 * 3600, gate_at=340.0,
    curve_at=213.0, curve_per_unit=-0.0065, spread_fixed=-220.0, spread_learned=-1.0,
)  # fmt: skip
NOX = Parameters(
    "nox_index", "nox_raw", index_offset=1.0, gating_max_duration_min=720.0, usual=1.0, ticks_from=10000.0,
    mean_tau_initial_s=1200.0, mean_init_s=4.75 * 3600, deviation_init_s=5.70 * 3600, gate_at=30.0,
    curve_at=614.0, curve_per_unit=-0.0101, spread_fixed=2000.0, spread_learned=0.0,
)  # fmt: skip
ALGORITHMS = (VOC, NOX)


class Recursion:
    """One algorithm on its way: what it remembers is in `MEMORY`, and nowhere else."""

    MEMORY = (
        "uptime_s", "ticks", "index", "mean", "deviation", "learned_s", "gate_s", "gating_min", "fast", "slow", "smooth"
    )  # fmt: skip
    __slots__ = (*MEMORY, "_fast", "_interval_s", "_mean_fast", "_mean_slow", "_p", "_slow", "_std_fast", "_std_slow")

    def __init__(self, parameters: Parameters, interval_s: float, memory: Sequence[float] | None = None) -> None:
        """Go on from a memory, or begin without one."""
        p, dt = parameters, interval_s
        self._p, self._interval_s = p, dt
        self._fast, self._slow = dt / (FAST_S + dt), dt / (SLOW_S + dt)
        self._mean_fast = dt / (p.mean_tau_initial_s + dt)
        self._mean_slow = dt / (p.learning_time_offset_hours * 3600.0 + dt)
        self._std_fast = dt / (DEVIATION_TAU_INITIAL_S + dt)
        self._std_slow = dt / (p.learning_time_gain_hours * 3600.0 + dt)
        self.begin(fresh(p) if memory is None else memory)

    def begin(self, memory: Sequence[float]) -> None:
        """Remember what is said here, and nothing else."""
        (
            self.uptime_s, self.ticks, self.index, self.mean, self.deviation, self.learned_s, self.gate_s,
            self.gating_min, self.fast, self.slow, self.smooth,
        ) = memory  # fmt: skip

    def memory(self) -> list[float]:
        """Return all that it remembers."""
        return [getattr(self, name) for name in self.MEMORY]

    @property
    def silent(self) -> bool:
        """Tell whether the blackout still lasts."""
        return self.uptime_s <= BLACKOUT_S

    @property
    def learning(self) -> bool:
        """Tell whether the initial learning phase still lasts."""
        return not self.learned_s >= self._p.deviation_init_s

    def take(self, ticks: float) -> float:
        """Take one sample; return the index, 0.5..500 and not rounded, or 0 during the blackout."""
        if self.uptime_s <= BLACKOUT_S:
            self.uptime_s += self._interval_s
            return 0.0
        if 0.0 < ticks < NO_TICKS:
            self.ticks = min(max(ticks - self._p.ticks_from, 1.0), TICKS_SPAN)
        self.index = max(self._smoothed(self._scaled()), FLOOR)
        if self.ticks > 0.0:
            self._learn()
        return self.index

    def _scaled(self) -> float:
        """Bring the ticks onto the S-curve; its upper part is stretched so that usual air is `index_offset`."""
        p = self._p
        if p.spread_learned == 0.0 and self.learned_s < 0.0:  # nothing learned, and nothing else to compare with
            return p.index_offset
        spread = p.spread_fixed + p.spread_learned * self.deviation
        gas = p.gain_factor * (self.ticks - self.mean) / spread
        x = p.curve_per_unit * (gas - p.curve_at)
        if x < -STEEP:
            return TOP
        if x > STEEP:
            return 0.0
        share = 1.0 / (1.0 + math.exp(x))
        if gas < 0.0:
            return p.index_offset / p.usual * TOP * share
        shift = TOP / (TOP - 1.0) * (1.0 - p.index_offset) if p.usual == 1.0 else (TOP - 5.0 * p.index_offset) / 4.0
        return (TOP + shift) * share - shift

    def _smoothed(self, index: float) -> float:
        """Smooth slowly what hardly changes, and fast what does."""
        if self.smooth < 0.0:
            self.fast = self.slow = self.smooth = index
        self.fast += self._fast * (index - self.fast)
        self.slow += self._slow * (index - self.slow)
        tau_s = (SLOW_S - FAST_S) * math.exp(PER_POINT * abs(self.fast - self.slow)) + FAST_S
        self.smooth += self._interval_s / (self._interval_s + tau_s) * (index - self.smooth)
        return self.smooth

    def _learn(self) -> None:
        """Move mean and deviation towards the sample: fast at first, then slowly, and not while the gate is shut."""
        if self.learned_s < 0.0:
            self.mean, self.learned_s = self.ticks, 0.0
            return
        p, dt = self._p, self._interval_s
        self.learned_s += dt
        self.gate_s += dt
        young = _falling(INIT_PER_S * (self.learned_s - p.mean_init_s))
        settling = _falling(INIT_PER_S * (self.learned_s - p.deviation_init_s)) - young
        mean_gate = self._gate(p.mean_init_s)
        mean_rate = mean_gate * (self._mean_slow + (self._mean_fast - self._mean_slow) * young)
        rate = self._gate(p.deviation_init_s) * (self._std_slow + (self._std_fast - self._std_slow) * settling)
        self.gating_min = max(
            self.gating_min + dt / 60.0 * ((1.0 - mean_gate) * (1.0 + GATE_RELEASE) - GATE_RELEASE), 0.0
        )
        if self.gating_min > p.gating_max_duration_min:
            self.gate_s = 0.0
        off = self.ticks - self.mean
        self.deviation = math.sqrt((1.0 - rate) * (self.deviation * self.deviation + rate * off * off))
        self.mean += mean_rate * off

    def _gate(self, init_s: float) -> float:
        """Return how far the gate is open: 1 in usual air, 0 in an episode; a young one is hardly ever shut."""
        at = self._p.gate_at + (GATE_INITIAL - self._p.gate_at) * _falling(INIT_PER_S * (self.gate_s - init_s))
        return _falling(GATE_PER_POINT * (self.index - at))


def _falling(x: float) -> float:
    """The S-curve 1 / (1 + e^x)."""
    if x > STEEP:
        return 0.0
    return 1.0 if x < -STEEP else 1.0 / (1.0 + math.exp(x))


def fresh(parameters: Parameters) -> list[float]:
    """Return the memory of an algorithm that has seen nothing; -1 stands for "not yet"."""
    return [0.0, 0.0, 0.0, 0.0, parameters.std_initial, -1.0, 0.0, 0.0, 0.0, 0.0, -1.0]


class Ticks(NamedTuple):
    """One channel of a block, row by row; lists, for a loop goes over them."""

    v: list[float]
    flag: list[int]
    reason: list[int]


@dataclass(frozen=True, slots=True)
class GasIndex:
    """Add the index of each raw column `of` (column, algorithm) as a further column, in the order of `of`.

    A sample counts if its flag is good or not evaluated; while the part warms up it only shortens the blackout. Any
    other gives no index (MISSING, with the reasons of the ticks) and changes nothing. The index is the whole number
    of the algorithm; it is MISSING with WARM_UP in the blackout, where the algorithm says 0, and SUSPECT with
    WARM_UP while it learns. After more than `gap_s` without a sample everything begins anew.
    `interval_s`: the time from sample to sample.
    """

    of: tuple[tuple[int, Parameters], ...]
    interval_s: float
    gap_s: float = GAP_S

    def initial(self) -> State:
        """Remember nothing yet: of each algorithm its memory, and when its last sample was taken."""
        memory = {p.name: np.array(fresh(p)) for _, p in self.of}
        return memory | {f"{p.name}_t": np.empty(0, np.int64) for _, p in self.of}

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        """Add the indices of a block."""
        after, made = dict(state), []
        for column, p in self.of:
            ticks = Ticks(*(one[:, column].tolist() for one in (block.v, block.flag, block.reason)))
            made.append(self._follow(after, p, block.t.tolist(), ticks))
        v, flag, reason = zip(*made, strict=True)
        return after, block.beside(np.array(v).T, np.array(flag, np.uint8).T, np.array(reason, np.uint16).T)

    def moved(self, state: State, by_ns: int) -> State:
        """Put the last samples where they are on another time line."""
        return {**state, **{f"{p.name}_t": state[f"{p.name}_t"] + by_ns for _, p in self.of}}

    def _follow(self, state: State, p: Parameters, t: list[int], ticks: Ticks) -> Ticks:
        """Take the samples of one channel in their order; return its index, and put the new memory into `state`."""
        recursion = Recursion(p, self.interval_s, state[p.name].tolist())
        last_ns, gap_ns = next(iter(state[f"{p.name}_t"].tolist()), math.inf), self.gap_s * 1e9
        made = Ticks([], [], [])
        for t_ns, value, flag, reason in zip(t, *ticks, strict=True):
            index, verdict, why = math.nan, ABSENT if flag == ABSENT else MISSING, reason
            fit, warming = flag in (GOOD, NOT_EVALUATED), flag == SUSPECT and reason & WARM_UP
            if (fit or warming) and math.isfinite(value):
                if t_ns - last_ns > gap_ns:
                    recursion.begin(fresh(p))
                last_ns = t_ns
                if fit or recursion.silent:
                    index, verdict = math.floor(recursion.take(value) + 0.5), flag
                    if not index:  # the algorithm's word for "none yet": no number to be averaged
                        index, verdict, why = math.nan, MISSING, reason | WARM_UP
                    elif recursion.learning:
                        verdict, why = SUSPECT, reason | WARM_UP
            made.v.append(index)
            made.flag.append(verdict)
            made.reason.append(why)
        if last_ns < math.inf:
            state[p.name], state[f"{p.name}_t"] = np.array(recursion.memory()), np.array([last_ns], np.int64)
        return made
