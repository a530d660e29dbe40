"""Passages in the reports of a radar: reports of one direction with no longer gap between them are one vehicle.

A passage is over `gap` after its last report, and that is the time of its row, whatever block the report came in. So
no row has to wait, and a street that falls silent ends its passages as time moves on. A passage that goes on for
longer than `longest` is cut there: a queue, or something that is no vehicle; each part is SUSPECT, reason STUCK.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from drivers.base import Channel, Kind
from gateway.block import F8, I8, U1, U2, Block, Flag, usable
from gateway.pipeline.passages import (
    HEADWAY,
    NS,
    ON_TIME,
    VEHICLES,
    Mask,
    Segments,
    beside,
    class_names,
    class_of,
    doubt,
    with_rows,
)
from gateway.pipeline.stage import State, later
from gateway.pipeline.traffic import true_speed

NEVER = np.iinfo(np.int64).min
EVER = np.iinfo(np.int64).max


class Reports(NamedTuple):
    """Reports in the order of time: when, how fast along the road (+ comes closer), and how good."""

    t: I8
    v: F8
    flag: U1
    reason: U2

    def where(self, which: Mask) -> Reports:
        """Return some of them."""
        return Reports(self.t[which], self.v[which], self.flag[which], self.reason[which])

    def then(self, more: Reports) -> Reports:
        """Return these and those that came after them."""
        return Reports(
            np.concatenate([self.t, more.t]),
            np.concatenate([self.v, more.v]),
            np.concatenate([self.flag, more.flag]),
            np.concatenate([self.reason, more.reason]),
        )


class Found(NamedTuple):
    """Passages that are over: when each was, what is known of it, and how good that is."""

    t: I8
    v: F8  # [n, channels]
    flag: U1  # [n, channels]
    reason: U2  # [n, channels]


class Runs(NamedTuple):
    """Passages of one direction, in the order of time."""

    rows: Segments  # which reports belong together
    began: I8  # of each report: when its passage began, before it was cut
    ends: I8  # of each passage
    over: Mask  # which have ended: the first ones, and then none
    long: Mask  # which were cut


@dataclass(frozen=True, slots=True)
class RadarPassages:
    """Adds a row for each vehicle that has passed; see docs/reference/passages.md for the meaning of the numbers."""

    column: int  # of the speed
    width: int  # columns that come in
    gap_ns: int
    longest_ns: int
    min_reports: int
    min_speed_m_s: float
    statistic: str  # "median" or "max"
    azimuth_deg: float = 0.0
    elevation_deg: float = 0.0
    classes_km_h: tuple[int, ...] = ()

    def channels(self) -> tuple[Channel, ...]:
        """Return what it adds."""
        ways = (replace(VEHICLES, name=f"vehicles_{way}") for way in ("approaching", "receding"))
        classes = (replace(VEHICLES, name=name) for name in class_names(self.classes_km_h))
        return (VEHICLES, *ways, Channel("vehicle_speed", "m/s", Kind.SPEED), HEADWAY, ON_TIME, *classes)

    def initial(self) -> State:
        """Nothing is passing; of each direction (approaching, receding): no passage before."""
        none = {"t": np.int64, "v": np.float64, "flag": np.uint8, "reason": np.uint16}
        waiting = {name: np.empty(0, kind) for name, kind in none.items()}
        return {**waiting, "origin": np.zeros(2, np.int64), "fore": np.full(2, NEVER), "seen": np.array([NEVER])}

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        """Look for passages that are over when the block ends."""
        found: list[Found] = []
        seen_ns = int(state["seen"][0])
        now_ns = max(block.until_ns, int(block.t[-1])) if len(block.t) else block.until_ns
        if len(block.t) and int(block.t[0]) < seen_ns:  # the clock went back
            state, found = self._settle(state, self._waiting(state), EVER)
            found = [one._replace(t=np.minimum(one.t, now_ns)) for one in found]
        else:
            now_ns = max(now_ns, seen_ns)  # a window that closes says less than is known
        state, more = self._settle(state, self._waiting(state).then(self._reports(block)), now_ns)
        return {**state, "seen": np.array([now_ns])}, self._told([*found, *more], block)

    def release(self, state: State, before_ns: int) -> tuple[State, Block]:
        """Give up what is over by a time that has passed without a further word of the part."""
        after, found = self._settle(state, self._waiting(state), before_ns - 1)
        return after, self._told(found, Block.empty(self.width, before_ns))

    def moved(self, state: State, by_ns: int) -> State:
        """Put what is passing, and what has passed, where it is on another time line."""
        fore, seen = (later(state[name], by_ns, NEVER) for name in ("fore", "seen"))
        return {**state, "t": state["t"] + by_ns, "origin": state["origin"] + by_ns, "fore": fore, "seen": seen}

    def _told(self, found: list[Found], block: Block) -> Block:
        """Put the passages into the block, each into a row of its own; one time: the approaching vehicle first."""
        wide = beside(block, len(self.channels()))
        if not found:
            return wide
        t = np.concatenate([one.t for one in found])
        v = np.concatenate([one.v for one in found])
        flag = np.concatenate([one.flag for one in found])
        reason = np.concatenate([one.reason for one in found])
        return with_rows(wide, t, v, flag, reason)

    def _reports(self, block: Block) -> Reports:
        v = true_speed(block.v[:, self.column], self.azimuth_deg, self.elevation_deg)
        all_of = Reports(block.t, v, block.flag[:, self.column], block.reason[:, self.column])
        return all_of.where(usable(all_of.flag) & (np.abs(v) >= max(self.min_speed_m_s, np.finfo(np.float64).tiny)))

    @staticmethod
    def _waiting(state: State) -> Reports:
        return Reports(state["t"], state["v"], state["flag"], state["reason"])

    def _settle(self, state: State, all_of: Reports, until_ns: int) -> tuple[State, list[Found]]:
        """Find the passages that are over by `until_ns`; the reports of the others go on waiting."""
        found: list[Found] = []
        waits = np.zeros(len(all_of.t), np.bool_)
        origin, fore = np.zeros(2, np.int64), state["fore"].copy()
        for way, mine in enumerate((all_of.v > 0, all_of.v < 0)):
            own = all_of.where(mine)
            if not len(own.t):
                continue
            goes_on = bool(mine[: len(state["v"])].any())
            runs = self._runs(own.t, int(state["origin"][way]) if goes_on else int(own.t[0]), until_ns)
            counts = runs.over & (runs.rows.counts >= self.min_reports)
            if counts.any():
                fronts = own.t[runs.rows.starts][counts]
                found.append(self._found(own, runs, counts, _since(np.append(fore[way], fronts[:-1]), fronts), way))
                fore[way] = fronts[-1]
            if not runs.over.all():
                rest = int(runs.rows.starts[runs.over.sum()])
                origin[way] = runs.began[rest]
                waits[np.flatnonzero(mine)[rest:]] = True
        return {**state, **all_of.where(waits)._asdict(), "origin": origin, "fore": fore}, found

    def _runs(self, t: I8, first_ns: int, until_ns: int) -> Runs:
        """Cut the reports of one direction into passages; `first` is when the first of them began."""
        far = np.concatenate([[True], np.diff(t) >= self.gap_ns])
        groups = Segments.of(far)
        began = t[groups.starts]
        began[0] = first_ns
        began = np.repeat(began, groups.counts)
        part = (t - began) // self.longest_ns
        rows = Segments.of(far | (np.diff(part, prepend=part[:1]) != 0))
        goes_on = ~far[rows.starts]  # it was cut off from the one before
        goes_on[0] = part[0] > 0
        ends = t[rows.last] + self.gap_ns
        return Runs(rows, began, ends, ends <= until_ns, goes_on | np.append(goes_on[1:], False))

    def _found(self, own: Reports, runs: Runs, counts: Mask, headway_s: F8, way: int) -> Found:
        """Write the passages that count as rows."""
        rows, magnitude = runs.rows, np.abs(own.v)
        speed = (rows.max(magnitude) if self.statistic == "max" else rows.median(magnitude))[counts]
        on_s = ((own.t[rows.last] - own.t[rows.starts]) / NS)[counts]
        one = np.ones(len(speed))
        of_way = [one * (1 - way), one * way, speed * (1 - 2 * way)]
        v = np.column_stack([one, *of_way, headway_s, on_s, class_of(speed, self.classes_km_h)])
        flag, reason = doubt(*rows.verdict(own.flag, own.reason), runs.long)
        flags = np.repeat(flag[counts][:, None], v.shape[1], axis=1)
        reasons = np.repeat(reason[counts][:, None], v.shape[1], axis=1)
        unknown = np.isnan(v)
        flags[unknown], reasons[unknown] = Flag.ABSENT, 0
        return Found(runs.ends[counts], v, flags, reasons)


def _since(before: I8, now: I8) -> F8:
    """Return the seconds since a moment before; NaN where there was none."""
    known = (before != NEVER) & (before <= now)
    seconds: F8 = np.where(known, (now - np.where(known, before, now)) / NS, np.nan)
    return seconds
