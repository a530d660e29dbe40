"""Noise events: from when to when a level was above a threshold, and how loud, long and strong each was.

Readings above the threshold belong to one event as long as no pause between them is longer than the gap allowed. An
event begins with its first loud reading and ends with its last; the quiet readings between them are part of it, those
after it are not. It is known to be over once the gap has passed, and then it is told: in the row of that moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from drivers.base import Channel, Kind
from gateway.block import F8, I8, U1, U2, Block, Flag, usable
from gateway.pipeline.noise import energy, level
from gateway.pipeline.stage import State

NS = 1_000_000_000
JITTER = 0.5  # of a reading: one that comes a little late leaves no pause
LOUDEST_DB = 200.0  # above 194 dB the pressure of the air would fall below 0: that is no sound

CHANNELS = (
    Channel("exceedances", "{exceedances}", Kind.COUNT, lo=0.0),
    Channel("exceedance_duration", "s", lo=0.0),
    Channel("exceedance_leq", "dB", Kind.LEVEL),
    Channel("exceedance_max", "dB", Kind.LEVEL),
    Channel("exceedance_sel", "dB", Kind.LEVEL),
)


class Exceedance(NamedTuple):
    """One event: [start, end), its equivalent and largest level, and its sound exposure level."""

    start_ns: int
    end_ns: int
    leq_db: float
    max_db: float
    sel_db: float

    @property
    def duration_s(self) -> float:
        """How long it was, its quiet moments included."""
        return (self.end_ns - self.start_ns) / NS


class Going(NamedTuple):
    """An event that may go on: as it stands at its last loud reading, and sums with the quiet ones since.

    Sums grow reading by reading, so that they are the same, bit for bit, however the readings come.
    """

    start_ns: int
    end_ns: int
    limit_ns: int  # a loud reading later than this begins another event
    flag: int  # the worst of its loud readings
    reason: int
    max_db: float
    exposure: float  # sum of t 10^(L/10)
    seconds: float
    exposure_since: float
    seconds_since: float

    def told(self) -> Exceedance:
        """Say what it was."""
        leq = level(self.exposure / self.seconds) if self.seconds > 0.0 else float("nan")
        return Exceedance(self.start_ns, self.end_ns, leq, self.max_db, level(self.exposure))


class Readings(NamedTuple):
    """Levels, and what of them counts: exposures and seconds are 0 where a level is not known."""

    t: I8
    end: I8
    level_db: F8  # -inf where it is not known
    exposure: F8
    seconds: F8
    flag: U1
    reason: U2

    @classmethod
    def of(cls, t: I8, level_db: F8, dur_s: F8, flag: U1, reason: U2) -> Readings:
        """Take what is usable of some readings."""
        fit = usable(flag) & (level_db < LOUDEST_DB)
        known = np.where(fit, level_db, -np.inf)
        seconds = np.where(fit, dur_s, 0.0)
        end = t + np.rint(dur_s * NS).astype(np.int64)
        return cls(t, end, known, seconds * energy(known), seconds, flag, reason)


@dataclass(frozen=True, slots=True)
class Exceedances:
    """Add what is said of events above `threshold_db` (strictly) in one channel of levels: CHANNELS.

    Events shorter than `min_s` are not told; a pause up to `gap_s` does not end one. A reading that is not usable is no
    loud one, and nothing is known of its time. Each event counts once, in the row in which it is known to be over; its
    flag is the worst of its loud readings'.
    """

    column: int
    threshold_db: float
    min_s: float
    gap_s: float

    def initial(self) -> State:
        """No event is going on."""
        return {"whole": np.empty(0, np.int64), "sums": np.empty(0)}

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        """Take a block; tell the events that are over."""
        shape = (len(block.t), len(CHANNELS))
        v, flag, reason = np.full(shape, np.nan), np.full(shape, Flag.ABSENT, np.uint8), np.zeros(shape, np.uint16)
        c = self.column
        readings = Readings.of(block.t, block.v[:, c], block.dur_s, block.flag[:, c], block.reason[:, c])
        over, going = self.follow(_going(state), readings)
        for row, event in over:
            said = event.told()
            if said.duration_s >= self.min_s and event.seconds > 0.0:
                v[row] = (1.0, said.duration_s, said.leq_db, said.max_db, said.sel_db)
                flag[row], reason[row] = event.flag, event.reason
        return _state(going), block.beside(v, flag, reason)

    def moved(self, state: State, by_ns: int) -> State:
        """Put the event that is going on where it is on another time line: its start, its end, and its limit."""
        return {**state, "whole": np.concatenate([state["whole"][:3] + by_ns, state["whole"][3:]])}

    def follow(self, going: Going | None, readings: Readings) -> tuple[list[tuple[int, Going]], Going | None]:
        """Return the events that are over, each with the row that shows it, and the one that may go on."""
        n, over = len(readings.t), []
        loud = np.flatnonzero(readings.level_db > self.threshold_db)
        if going is not None and not (len(loud) and readings.t[loud[0]] <= going.limit_ns):
            row = int(np.searchsorted(readings.t, going.limit_ns, side="right"))
            if row < n:
                over.append((row, going))
                going = None
            else:
                going = _since(going, readings, 0)
        for run in self._runs(loud, readings):
            event = self._grown(going, readings, run)
            row = int(np.searchsorted(readings.t, event.limit_ns, side="right"))
            if row < n:
                over.append((row, event))
            going = None if row < n else _since(event, readings, int(run[-1]) + 1)
        return over, going

    def _limit(self, readings: Readings, rows: I8) -> I8:
        slack_s = self.gap_s + JITTER * readings.seconds[rows]
        return readings.end[rows] + np.rint(slack_s * NS).astype(np.int64)

    def _runs(self, loud: I8, readings: Readings) -> list[I8]:
        """Put the loud rows of each event together."""
        breaks = np.flatnonzero(readings.t[loud[1:]] > self._limit(readings, loud[:-1]))
        return np.split(loud, breaks + 1) if len(loud) else []

    def _grown(self, going: Going | None, readings: Readings, loud: I8) -> Going:
        """Return an event with the readings up to its last loud one; a new one begins with its first."""
        last = int(loud[-1])
        flags = readings.flag[loud].tolist()
        reason, largest = int(np.bitwise_or.reduce(readings.reason[loud])), float(readings.level_db[loud].max())
        if going is None:
            first, start, before = int(loud[0]), int(readings.t[loud[0]]), (0.0, 0.0)
        else:
            first, start, before = 0, going.start_ns, (going.exposure_since, going.seconds_since)
            flags.append(going.flag)
            reason, largest = reason | going.reason, max(largest, going.max_db)
        exposure, seconds = _sums(before, readings, first, last + 1)
        worst = next(int(one) for one in (Flag.SUSPECT, Flag.GOOD, Flag.NOT_EVALUATED) if one in flags)
        limit = int(self._limit(readings, loud[-1:])[0])
        return Going(
            start, int(readings.end[last]), limit, worst, reason, largest, exposure, seconds, exposure, seconds
        )  # fmt: skip


def exceedances(
    t: I8, level_db: F8, dur_s: F8, threshold_db: float, min_s: float = 0.0, gap_s: float = 0.0
) -> list[Exceedance]:
    """Return the events in a series of levels that stand for `dur_s` from `t` (ns) on; NaN is not known."""
    stage = Exceedances(0, threshold_db, min_s, gap_s)
    none = np.zeros(len(t), np.uint16)
    over, going = stage.follow(None, Readings.of(t, level_db, dur_s, np.full(len(t), Flag.GOOD, np.uint8), none))
    found = [event.told() for _, event in over] + ([going.told()] if going is not None else [])
    return [one for one in found if one.duration_s >= min_s]


def _sums(before: tuple[float, float], readings: Readings, first: int, end: int) -> tuple[float, float]:
    """Add readings [first, end) one after the other: `cumsum` does not regroup, as `sum` would."""
    exposure, seconds = (
        float(np.cumsum(np.concatenate([[start], of[first:end]]))[-1])
        for start, of in zip(before, (readings.exposure, readings.seconds), strict=True)
    )
    return exposure, seconds


def _since(event: Going, readings: Readings, first: int) -> Going:
    """Return an event with the quiet readings from a row on."""
    since = _sums((event.exposure_since, event.seconds_since), readings, first, len(readings.t))
    return event._replace(exposure_since=since[0], seconds_since=since[1])


def _going(state: State) -> Going | None:
    if not len(state["whole"]):
        return None
    start, end, limit, flag, reason = state["whole"].tolist()
    return Going(start, end, limit, flag, reason, *state["sums"].tolist())


def _state(going: Going | None) -> State:
    whole, sums = (going[:5], going[5:]) if going is not None else ((), ())
    return {"whole": np.array(whole, np.int64), "sums": np.array(sums, np.float64)}
