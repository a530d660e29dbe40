"""Passages in the reports of a radar: reports that one body can have made, with no longer gap between them, are one.

Which vehicle a report is of is decided when it comes, by the one before it (`radar_tracks.py`). A passage is over `gap`
after its last report, and that is the time of its row, whatever block the report came in. So no row has to wait, and a
street that falls silent ends its passages as time moves on. A passage that goes on for longer than `longest` is cut
there: a queue, or something that is no vehicle; each part is SUSPECT, reason STUCK.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from drivers.base import Channel, Kind
from gateway.block import F8, I8, U1, U2, Block, Flag, usable
from gateway.pipeline.passages import (
    HEADWAY,
    KM_H,
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
from gateway.pipeline.radar_tracks import Likeness, Tracks
from gateway.pipeline.stage import State, later
from gateway.pipeline.traffic import true_speed

NEVER = np.iinfo(np.int64).min
EVER = np.iinfo(np.int64).max
KINDS = {
    "t": np.int64, "v": np.float64, "flag": np.uint8, "reason": np.uint16,
    "echo": np.float64, "track": np.int64, "began": np.int64,
}  # fmt: skip


class Reports(NamedTuple):
    """Reports in the order of time: when, how fast along the road (+ comes closer), how good, and of which vehicle."""

    t: I8
    v: F8
    flag: U1
    reason: U2
    echo: F8  # logarithm of its strength; NaN: the part does not say
    track: I8  # the number of the vehicle
    began: I8  # when that was first reported

    def where(self, which: Mask | I8) -> Reports:
        """Return some of them, or put them in another order."""
        return Reports(
            self.t[which], self.v[which], self.flag[which], self.reason[which],
            self.echo[which], self.track[which], self.began[which],
        )  # fmt: skip

    def then(self, more: Reports) -> Reports:
        """Return these and those that came after them."""
        return Reports(
            np.concatenate([self.t, more.t]),
            np.concatenate([self.v, more.v]),
            np.concatenate([self.flag, more.flag]),
            np.concatenate([self.reason, more.reason]),
            np.concatenate([self.echo, more.echo]),
            np.concatenate([self.track, more.track]),
            np.concatenate([self.began, more.began]),
        )


class Found(NamedTuple):
    """Passages that are over: when each was, what is known of it, and how good that is."""

    t: I8
    v: F8  # [n, channels]
    flag: U1  # [n, channels]
    reason: U2  # [n, channels]


class Runs(NamedTuple):
    """Passages, or parts of long ones: those of the reports that wait, vehicle by vehicle."""

    rows: Segments  # which reports belong together
    ends: I8  # of each passage
    over: Mask  # which have ended
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
    step_m_s: float = 8 / KM_H
    echo_column: int = -1  # of the strength of the echo; -1: the part does not say
    echo_ratio: float = 10.0

    def channels(self) -> tuple[Channel, ...]:
        """Return what it adds."""
        ways = (replace(VEHICLES, name=f"vehicles_{way}") for way in ("approaching", "receding"))
        classes = (replace(VEHICLES, name=name) for name in class_names(self.classes_km_h))
        return (VEHICLES, *ways, Channel("vehicle_speed", "m/s", Kind.SPEED), HEADWAY, ON_TIME, *classes)

    def initial(self) -> State:
        """Nothing is passing; of each direction (approaching, receding): no passage before."""
        waiting = {name: np.empty(0, kind) for name, kind in KINDS.items()}
        return {**waiting, "following": np.zeros(1, np.int64), "fore": np.full(2, NEVER), "seen": np.array([NEVER])}

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        """Look for passages that are over when the block ends."""
        state, found = self._known(state), list[Found]()
        seen_ns = int(state["seen"][0])
        now_ns = max(block.until_ns, int(block.t[-1])) if len(block.t) else block.until_ns
        if len(block.t) and int(block.t[0]) < seen_ns:  # the clock went back
            state, found = self._settle(state, self._waiting(state), EVER)
            found = [one._replace(t=np.minimum(one.t, now_ns)) for one in found]
        else:
            now_ns = max(now_ns, seen_ns)  # a window that closes says less than is known
        state, reports = self._placed(state, self._reports(block))
        state, more = self._settle(state, reports, now_ns)
        return {**state, "seen": np.array([now_ns])}, self._told([*found, *more], block)

    def release(self, state: State, before_ns: int) -> tuple[State, Block]:
        """Give up what is over by a time that has passed without a further word of the part."""
        state = self._known(state)
        after, found = self._settle(state, self._waiting(state), before_ns - 1)
        return after, self._told(found, Block.empty(self.width, before_ns))

    def moved(self, state: State, by_ns: int) -> State:
        """Put what is passing, and what has passed, where it is on another time line."""
        state = self._known(state)
        fore, seen = (later(state[name], by_ns, NEVER) for name in ("fore", "seen"))
        return {**state, "t": state["t"] + by_ns, "began": state["began"] + by_ns, "fore": fore, "seen": seen}

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
        """Return the reports of a block that are fast enough, not yet of any vehicle."""
        v = true_speed(block.v[:, self.column], self.azimuth_deg, self.elevation_deg)
        echo = np.full(len(v), np.nan)
        if self.echo_column >= 0:
            strength = block.v[:, self.echo_column]
            heard = usable(block.flag[:, self.echo_column]) & (strength > 0)
            echo[heard] = np.log(strength[heard])
        nobody = np.zeros(len(v), np.int64)
        all_of = Reports(
            block.t, v, block.flag[:, self.column], block.reason[:, self.column], echo, nobody, nobody
        )  # fmt: skip
        return all_of.where(usable(all_of.flag) & (np.abs(v) >= max(self.min_speed_m_s, np.finfo(np.float64).tiny)))

    def _known(self, state: State) -> State:
        """Take on an earlier sort of state, whose reports were not yet of vehicles: they are told anew."""
        if "track" in state:
            return state
        unsaid, nobody = np.full(len(state["t"]), np.nan), np.zeros(len(state["t"]), np.int64)
        old = Reports(state["t"], state["v"], state["flag"], state["reason"], unsaid, nobody, nobody)
        fresh, waiting = self._placed(self.initial(), old)
        return {**fresh, **waiting._asdict(), "fore": state["fore"], "seen": state["seen"]}

    @staticmethod
    def _waiting(state: State) -> Reports:
        return Reports(*(state[name] for name in KINDS))

    def _placed(self, state: State, fresh: Reports) -> tuple[State, Reports]:
        """Tell which vehicles new reports are of; return them behind those that wait."""
        waiting = self._waiting(state)
        if not len(fresh.t):
            return state, waiting
        tracks = Tracks(Likeness(self.gap_ns, self.step_m_s, self.echo_ratio), int(state["following"][0]))
        for t, v, _, _, echo, number, began in zip(*(column.tolist() for column in waiting), strict=True):
            tracks.remember(number, t, v, echo, began)
        placed = [
            tracks.place(*one) for one in zip(fresh.t.tolist(), fresh.v.tolist(), fresh.echo.tolist(), strict=True)
        ]
        track, began_ns = np.array(placed, np.int64).T
        following = np.array([tracks.following], np.int64)
        return {**state, "following": following}, waiting.then(fresh._replace(track=track, began=began_ns))

    def _settle(self, state: State, reports: Reports, until_ns: int) -> tuple[State, list[Found]]:
        """Find the passages that are over by `until_ns`; the reports of the others go on waiting."""
        order = np.argsort(reports.track, kind="stable").astype(np.int64)
        own = reports.where(order)
        runs = self._runs(own, until_ns)
        counts = np.flatnonzero(runs.over & (runs.rows.counts >= self.min_reports))
        counts = counts[np.argsort(runs.ends[counts], kind="stable")]
        found, fore = [], state["fore"].copy()
        for way, mine in enumerate((own.v > 0, own.v < 0)):
            which = counts[mine[runs.rows.starts[counts]]]
            if len(which):
                fronts = own.t[runs.rows.starts[which]]
                found.append(self._found(own, runs, which, _since(np.append(fore[way], fronts[:-1]), fronts), way))
                fore[way] = fronts[-1]
        waits = np.zeros(len(order), np.bool_)
        waits[order] = np.repeat(~runs.over, runs.rows.counts)
        return {**state, **reports.where(waits)._asdict(), "fore": fore}, found

    def _runs(self, own: Reports, until_ns: int) -> Runs:
        """Cut the reports, which are in the order of the vehicles, into passages."""
        part = (own.t - own.began) // self.longest_ns
        other = np.diff(own.track, prepend=own.track[:1]) != 0
        rows = Segments.of(other | (np.diff(part, prepend=part[:1]) != 0))
        cut = part[rows.starts] > 0
        goes_on = np.append(~other[rows.starts][1:], False) if len(rows.starts) else cut
        ends = own.t[rows.last] + self.gap_ns
        return Runs(rows, ends, ends <= until_ns, cut | goes_on)

    def _found(self, own: Reports, runs: Runs, which: I8, headway_s: F8, way: int) -> Found:
        """Write the passages that count as rows."""
        rows, magnitude = runs.rows, np.abs(own.v)
        speed = (rows.max(magnitude) if self.statistic == "max" else rows.median(magnitude))[which]
        on_s = ((own.t[rows.last] - own.t[rows.starts]) / NS)[which]
        one = np.ones(len(speed))
        of_way = [one * (1 - way), one * way, speed * (1 - 2 * way)]
        v = np.column_stack([one, *of_way, headway_s, on_s, class_of(speed, self.classes_km_h)])
        flag, reason = doubt(*rows.verdict(own.flag, own.reason), runs.long)
        flags = np.repeat(flag[which][:, None], v.shape[1], axis=1)
        reasons = np.repeat(reason[which][:, None], v.shape[1], axis=1)
        unknown = np.isnan(v)
        flags[unknown], reasons[unknown] = Flag.ABSENT, 0
        return Found(runs.ends[which], v, flags, reasons)


def _since(before: I8, now: I8) -> F8:
    """Return the seconds since a moment before; NaN where there was none."""
    known = (before != NEVER) & (before <= now)
    seconds: F8 = np.where(known, (now - np.where(known, before, now)) / NS, np.nan)
    return seconds
