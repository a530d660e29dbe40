"""Passages in the distances of a lidar that looks across a lane: what comes nearer than the background is a vehicle.

    baseline   of the empty lane: learnt as a median, then followed slowly, once a second and only while it is quiet
    trigger    baseline - max(sigma * s, depth), for some samples in a row: something has come
    re-arm     back above a smaller part of that distance, for a while: it has gone, and counts once

Between the two levels nothing changes (hysteresis), and a missing distance says nothing. What stays for longer than
`longest` counts once, SUSPECT with the reason STUCK, and becomes the new background. Method after jbeale1/tf02pro.

Thresholds hold for a whole second of UTC, so the samples of a second are looked at together, and only the moments at
which something comes or goes one by one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from drivers.base import Channel
from gateway.block import F8, I8, U1, U2, Block, Flag, Reason, usable
from gateway.pipeline.passages import HEADWAY, NS, ON_TIME, VEHICLES, Mask
from gateway.pipeline.stage import State

NEVER = int(np.iinfo(np.int64).min)
LEAST = 3  # samples of a quiet second from which the baseline follows
LEAST_LEARNT = 10
SIGMA_OF_MAD = 1.4826  # the standard deviation of normal noise, from its median absolute deviation
NO_SAMPLES = np.empty(0)


@dataclass(slots=True)
class Beam:
    """What is known of the beam between two samples; a baseline of NaN is being learnt."""

    second: int = NEVER
    calm: list[F8] = field(default_factory=list)  # samples of this second, while it is quiet
    stirred: bool = False  # it was not
    learnt: list[F8] = field(default_factory=list)
    learnt_from: int = NEVER
    base: float = math.nan
    variance: float = math.nan
    run: int = 0  # samples below the trigger in a row, while nothing is there
    run_from: int = NEVER
    start: int = NEVER  # since when something is there
    back: int = NEVER  # since when it seems to have gone
    below: int = 0  # samples of it below the trigger
    fore: int = NEVER  # when the one before came
    seen: int = NEVER

    @classmethod
    def of(cls, state: State) -> Beam:
        """Take it from a state."""
        second, stirred, learnt_from, run, run_from, start, back, below, fore, seen = state["beam"].tolist()
        base, variance = state["base"].tolist()
        return cls(
            second, [state["calm"]], bool(stirred), [state["learnt"]], learnt_from, base, variance,
            run, run_from, start, back, below, fore, seen,
        )  # fmt: skip

    def state(self) -> State:
        """Write it down."""
        numbers = (
            self.second, int(self.stirred), self.learnt_from, self.run, self.run_from, self.start, self.back,
            self.below, self.fore, self.seen,
        )  # fmt: skip
        return {
            "beam": np.array(numbers, np.int64), "base": np.array([self.base, self.variance]),
            "calm": np.concatenate([NO_SAMPLES, *self.calm]), "learnt": np.concatenate([NO_SAMPLES, *self.learnt]),
        }  # fmt: skip

    @property
    def learning(self) -> bool:
        """Tell whether the baseline is not known."""
        return math.isnan(self.base)

    def stir(self) -> None:
        """Note that this second says nothing of the background."""
        self.stirred, self.calm = True, []

    def forget(self) -> None:
        """Learn the background anew."""
        self.base = self.variance = math.nan
        self.learnt, self.learnt_from = [], NEVER
        self.rest()

    def rest(self) -> None:
        """Note that nothing is there."""
        self.start = self.back = self.run_from = NEVER
        self.run = self.below = 0


@dataclass(frozen=True, slots=True)
class LidarPassages:
    """Counts vehicles in rows of distances; see docs/reference/passages.md for the meaning of the numbers."""

    column: int  # of the distance, m
    trigger_samples: int
    min_samples: int
    sigma: float
    depth_m: float
    rearm_share: float
    rearm_ns: int
    longest_ns: int
    learn_ns: int
    follow_s: float
    open_m: float = math.nan  # what a missing distance stands for; NaN: for nothing

    def channels(self) -> tuple[Channel, ...]:
        """Return what it adds: counts that are 0 in every row that could see, and the headway."""
        return (VEHICLES, ON_TIME, HEADWAY)

    def initial(self) -> State:
        """Nothing is known of the background."""
        return Beam().state()

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        """Count the vehicles that have gone by in a block; each in the row that shows that it has gone."""
        beam = Beam.of(state)
        x, flag, reason = self._samples(block)
        rows = np.flatnonzero(~np.isnan(x))
        told = _Told.nothing(len(block.t))
        if len(rows) and int(block.t[rows[0]]) < beam.seen:  # the clock went back
            beam.rest()
        second = block.t[rows] // NS
        for part in np.split(rows, np.flatnonzero(np.diff(second)) + 1) if len(rows) else []:
            t = block.t[part]
            if int(t[0]) // NS != beam.second:
                self._end_second(beam, int(t[0]))
            watched = self._walk(beam, t, x[part], part, told)
            told.watched(part[:watched], flag, reason)
            beam.seen = int(t[-1])
        return beam.state(), block.beside(*told.columns())

    def moved(self, state: State, by_ns: int) -> State:
        """Put what is known of the beam where it is on another time line."""
        beam = Beam.of(state)
        for name in ("learnt_from", "run_from", "start", "back", "fore", "seen"):
            if getattr(beam, name) != NEVER:
                setattr(beam, name, getattr(beam, name) + by_ns)
        beam.second = NEVER if beam.second == NEVER or beam.seen == NEVER else beam.seen // NS
        return beam.state()

    def _samples(self, block: Block) -> tuple[F8, U1, U2]:
        """Return the distances that can be used, NaN for the others, and how good they are."""
        flag, reason = block.flag[:, self.column], block.reason[:, self.column]
        x = np.where(usable(flag), block.v[:, self.column], np.nan)
        if math.isnan(self.open_m):
            return x, flag, reason
        silent = flag == Flag.MISSING
        good = np.where(silent, np.uint8(Flag.GOOD), flag)
        return np.where(silent, self.open_m, x), good, np.where(silent, np.uint16(0), reason)

    def _end_second(self, beam: Beam, now_ns: int) -> None:
        """Learn from the second that is over, and begin the one of `now`."""
        calm, beam.second = np.concatenate([NO_SAMPLES, *beam.calm]), now_ns // NS
        quiet, beam.calm, beam.stirred = not beam.stirred and len(calm) >= LEAST, [], False
        if beam.learning:
            learnt = np.concatenate([NO_SAMPLES, *beam.learnt])
            if len(learnt) >= LEAST_LEARNT and now_ns - beam.learnt_from >= self.learn_ns:
                beam.base = float(np.median(learnt))
                beam.variance = float(SIGMA_OF_MAD * np.median(np.abs(learnt - beam.base))) ** 2
                beam.learnt, beam.learnt_from = [], NEVER
        elif quiet:
            level = float(np.median(calm))
            if level > beam.base + self.depth_m:  # what was the background has gone
                beam.forget()
                return
            share = -math.expm1(-1.0 / self.follow_s)
            beam.base += share * (level - beam.base)
            beam.variance += share * (float(np.mean((calm - calm.mean()) ** 2)) - beam.variance)

    def _walk(self, beam: Beam, t: I8, x: F8, rows: I8, told: _Told) -> int:
        """Go through samples of one second, from one change to the next; return how many could be watched."""
        i, depth = 0, 0.0 if beam.learning else max(self.sigma * math.sqrt(beam.variance), self.depth_m)
        trigger, rearm = beam.base - depth, beam.base - self.rearm_share * depth
        while i < len(x) and not beam.learning:
            if beam.start == NEVER:
                i += self._await(beam, t[i:], x[i:], trigger)
                continue
            gone = self._follow(beam, t[i:], x[i:], trigger, rearm)
            if gone is None:
                return len(x)
            i += gone
            left = beam.back if beam.back != NEVER and int(t[i]) - beam.back >= self.rearm_ns else NEVER
            if beam.below >= self.min_samples:
                told.one(int(rows[i]), beam, int(t[i]) if left == NEVER else left, long=left == NEVER)
                beam.fore = beam.start
            beam.rest() if left != NEVER else beam.forget()
            i += 1
        if beam.learning and i < len(x):
            beam.learnt_from = beam.learnt_from if beam.learnt_from != NEVER else int(t[i])
            beam.learnt.append(x[i:])
        return i

    def _await(self, beam: Beam, t: I8, x: F8, trigger: float) -> int:
        """Wait for something to come; return how many samples that took."""
        below = x < trigger
        if not below.any():
            beam.run, beam.run_from = 0, NEVER
            if not beam.stirred:
                beam.calm.append(x)
            return len(x)
        beam.stir()
        place = np.arange(len(x))
        length = place - np.maximum.accumulate(np.where(below, -1, place))
        length[: _until(~below)] += beam.run  # the run that was going on
        enough = np.flatnonzero(length >= self.trigger_samples)
        last = int(enough[0]) if len(enough) else len(x) - 1
        beam.run_from = _begin(t, last, int(length[last]), beam.run_from)
        beam.run = int(length[last])
        if len(enough):
            beam.start, beam.below, beam.run, beam.run_from = beam.run_from, beam.run, 0, NEVER
        return last + 1

    def _follow(self, beam: Beam, t: I8, x: F8, trigger: float, rearm: float) -> int | None:
        """Wait for it to go, or to have been there for too long; return the sample that shows it."""
        beam.stir()
        inside = x >= rearm
        place = np.arange(len(x))
        first = np.maximum.accumulate(np.where(inside, -1, place)) + 1  # of the samples inside without a break
        since = t[np.minimum(first, len(t) - 1)]
        if beam.back != NEVER:
            since = np.where(first == 0, beam.back, since)
        over = (inside & (t - since >= self.rearm_ns)) | (t - beam.start >= self.longest_ns)
        p = _until(over)
        last = min(p, len(x) - 1)
        beam.back = int(since[last]) if inside[last] else NEVER
        beam.below += int((x[: last + 1] < trigger).sum())
        return p if p < len(x) else None


def _until(which: Mask) -> int:
    """Return the place of the first that is true; the length if none is."""
    return int(np.argmax(which)) if which.any() else len(which)


def _begin(t: I8, last: int, length: int, before: int) -> int:
    """Return when a run of some length that ends at a sample began; `before` if that was earlier than all samples."""
    if not length:
        return NEVER
    return int(t[last - length + 1]) if length <= last + 1 else before


@dataclass(frozen=True, slots=True)
class _Told:
    """The columns that are being filled."""

    v: F8
    flag: U1
    reason: U2

    @classmethod
    def nothing(cls, rows: int) -> _Told:
        return cls(np.full((rows, 3), np.nan), np.zeros((rows, 3), np.uint8), np.zeros((rows, 3), np.uint16))

    def one(self, row: int, beam: Beam, gone_ns: int, *, long: bool) -> None:
        """Say that a vehicle has gone."""
        self.v[row, :2] = 1.0, (gone_ns - beam.start) / NS
        if beam.fore != NEVER and beam.fore <= beam.start:
            self.v[row, 2] = (beam.start - beam.fore) / NS
        if long:
            self.flag[row], self.reason[row] = Flag.SUSPECT, Reason.STUCK

    def watched(self, rows: I8, flag: U1, reason: U2) -> None:
        """Say that nothing else has in these rows, and that all of it is as good as they are."""
        nobody = rows[np.isnan(self.v[rows, 0])]
        self.v[nobody, :2] = 0.0
        known = ~np.isnan(self.v[rows])
        self.flag[rows] = np.where(known, np.maximum(self.flag[rows], flag[rows, None]), np.uint8(Flag.ABSENT))
        self.reason[rows] = np.where(known, self.reason[rows] | reason[rows, None], np.uint16(0))

    def columns(self) -> tuple[F8, U1, U2]:
        return self.v, self.flag, self.reason
