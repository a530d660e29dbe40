"""Tumbling windows: UTC-aligned, half-open [start, start + period); one kernel for live and replay.

Open windows keep their samples; statistics are computed once, at close, because regrouping a sum changes its last
bit. Longer periods come from closed base windows by `combine`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.base import Channel, Kind
from gateway.block import F8, FLAGS, I8, MOMENTS, NOTHING, REASONS, Block, Packed, Slots, Windows, usable
from gateway.ledger import FAULTS, MISSES, places, settle
from gateway.pipeline.samples import pack, together
from gateway.pipeline.stage import State
from gateway.pipeline.statistics import summarise

NS = 1_000_000_000


class DutyTimes(NamedTuple):
    """When a part that sleeps is expected to measure: the slots that start in [from_ns, to_ns) of each period."""

    period_ns: int
    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class SensorSpec:
    """What the windows must know of a sensor: `sensor` is its place; event parts speak only when something happens."""

    sensor: str
    domain: str
    channels: tuple[Channel, ...]
    slot_ns: int
    events: bool = False
    duty: DutyTimes | None = None
    keep: tuple[bool, ...] = ()  # of each channel: are its samples kept for percentiles; empty: of none
    eventful: tuple[bool, ...] = ()  # of each channel: its slots are those in which the part was alive; empty: `events`

    def series(self) -> tuple[tuple[str, str, str, str], ...]:
        """Name the series of this sensor: (domain, sensor, channel, unit)."""
        return tuple((self.domain, self.sensor, channel.name, channel.unit) for channel in self.channels)

    def initial(self) -> State:
        """Return the state with no window open."""
        c = len(self.channels)
        return {
            "t": np.empty(0, np.int64), "v": np.empty((0, c)), "flag": np.empty((0, c), np.uint8),
            "reason": np.empty((0, c), np.uint16), "dur_s": np.empty(0),
            "slot_t": np.empty(0, np.int64), "slot_code": np.empty(0, np.uint8), "late": np.zeros(1, np.int64),
        }  # fmt: skip


def expected_slots(spec: SensorSpec, start_ns: int, end_ns: int) -> I8:
    """Return the indices of the slots that a window of this sensor expects: slot k is [k, k + 1) * slot_ns."""
    k = np.arange(-(-start_ns // spec.slot_ns), -(-end_ns // spec.slot_ns), dtype=np.int64)
    if spec.duty is not None:
        phase = (k * spec.slot_ns) % spec.duty.period_ns
        k = k[(phase >= spec.duty.from_ns) & (phase < spec.duty.to_ns)]
    return k


def add(state: State, block: Block, slots: Slots, closed_ns: int) -> State:
    """Keep a block for the windows still open; what comes for a closed one is counted late."""
    fresh, fresh_slot = block.t >= closed_ns, slots.t >= closed_ns
    late = int(len(slots.t) - fresh_slot.sum())
    new = {
        "t": block.t[fresh], "v": block.v[fresh], "flag": block.flag[fresh], "reason": block.reason[fresh],
        "dur_s": block.dur_s[fresh], "slot_t": slots.t[fresh_slot], "slot_code": slots.code[fresh_slot],
    }  # fmt: skip
    after: State = {name: np.concatenate([state[name], part]) for name, part in new.items()}
    after["late"] = state["late"] + late
    return after


def close(spec: SensorSpec, state: State, start_ns: int, period_s: int) -> tuple[State, Windows]:
    """Close one window of one sensor; return the state without its samples, and the window."""
    end_ns = start_ns + period_s * NS
    expected = expected_slots(spec, start_ns, end_ns)
    rows = (state["t"] >= start_ns) & (state["t"] < end_ns)
    if spec.duty is not None:  # a part that wears out is not awake for its warm-up to be averaged
        rows &= places(state["t"] // spec.slot_ns, expected)[1]
    of_slots = (state["slot_t"] >= start_ns) & (state["slot_t"] < end_ns)
    after: State = {name: state[name][state["t"] >= end_ns] for name in ("t", "v", "flag", "reason", "dur_s")}
    after |= {name: state[name][state["slot_t"] >= end_ns] for name in ("slot_t", "slot_code")}
    after["late"] = np.zeros(1, np.int64)
    k = state["slot_t"][of_slots] // spec.slot_ns
    account = settle(k, state["slot_code"][of_slots], expected, events=spec.events)
    flag = state["flag"][rows]
    fit = usable(flag)
    n_by_flag = np.stack([(flag == level).sum(axis=0) for level in FLAGS], axis=1).astype(np.int64)
    place, inside = places(state["t"][rows] // spec.slot_ns, expected)
    seen = np.zeros((len(expected), len(spec.channels)), np.bool_)
    for c in range(len(spec.channels)):
        seen[place[fit[:, c] & inside], c] = True
    alive = np.array(spec.eventful or (spec.events,) * len(spec.channels))
    usable_slots = np.where(alive, account.valid, seen.sum(axis=0)).astype(np.int64)
    bits = np.array(REASONS, np.uint16)
    reasons = ((state["reason"][rows][:, :, None] & bits) != 0).sum(axis=0).astype(np.int64)
    moments, samples = _statistics(spec, state, rows, fit, start_ns)
    slots = np.array([[*account.sums(), account.extra, int(state["late"][0])]], np.int64)
    return after, Windows(
        period_s, start_ns, 0, spec.series(), tuple(channel.kind for channel in spec.channels), n_by_flag,
        np.full(len(spec.channels), len(expected), np.int64), usable_slots, moments, reasons,
        (spec.sensor,), slots, account.rejected_by[None, :], account.missing_by[None, :], samples,
    )  # fmt: skip


def _statistics(
    spec: SensorSpec, state: State, rows: npt.NDArray[np.bool_], fit: npt.NDArray[np.bool_], start_ns: int
) -> tuple[F8, tuple[Packed, ...]]:
    """Summarise the usable values of one window, channel by channel, and keep those that percentiles need."""
    of, row = np.nonzero(fit.T)  # series by series, in the order of time
    x = state["v"][rows].astype(np.float64).T[of, row]
    at_s = np.round((state["t"][rows] - start_ns) / NS, 3)[row]  # finer than ms is the noise of the clock's offset
    weight_s = state["dur_s"][rows].astype(np.float64)[row]
    counts = fit.sum(axis=0).astype(np.int64)
    moments = summarise(x, counts, [channel.kind for channel in spec.channels], weight_s, at_s)
    if not any(spec.keep):
        return moments, ()
    ends = np.cumsum(counts)
    return moments, tuple(
        pack(_as_counted(channel, x[end - n : end]), channel.resolution) if keep else NOTHING
        for channel, keep, n, end in zip(spec.channels, spec.keep, counts, ends, strict=True)
    )


def _as_counted(channel: Channel, x: F8) -> F8:
    """Percentiles of a speed are of its magnitude."""
    return np.abs(x) if channel.kind is Kind.SPEED else x


def join(parts: Sequence[Windows]) -> Windows:
    """Put the windows of several sensors for the same (period, start) into one."""
    first = parts[0]

    def stacked(name: str) -> I8:
        rows: I8 = np.concatenate([getattr(part, name) for part in parts])
        return rows

    return Windows(
        first.period_s,
        first.start_ns,
        first.rev,
        series=tuple(key for part in parts for key in part.series),
        kind=tuple(kind for part in parts for kind in part.kind),
        n_by_flag=stacked("n_by_flag"),
        expected=stacked("expected"),
        usable=stacked("usable"),
        moments=np.concatenate([part.moments for part in parts]),
        reasons=stacked("reasons"),
        sensors=tuple(name for part in parts for name in part.sensors),
        slots=stacked("slots"),
        rejected=stacked("rejected"),
        missed=stacked("missed"),
        samples=tuple(one for part in parts for one in _samples(part)) if any(part.samples for part in parts) else (),
    )


def _samples(windows: Windows) -> tuple[Packed, ...]:
    return windows.samples or (NOTHING,) * len(windows.series)


def combine(bases: Iterable[Windows], period_s: int, start_ns: int, nominal: Mapping[str, int]) -> Windows:
    """Make one longer window from closed base windows, in their order, exactly.

    `nominal` gives the slots that each sensor was expected to fill in the whole period, so that base windows which
    are not there (the gateway was off) count as missing.
    """
    parts = list(bases)
    kinds = {key: kind for part in parts for key, kind in zip(part.series, part.kind, strict=True)}
    series, sensors = tuple(kinds), tuple(dict.fromkeys(s for part in parts for s in part.sensors))
    k, s = len(series), len(sensors)
    n_by_flag, reasons = np.zeros((k, len(FLAGS)), np.int64), np.zeros((k, len(REASONS)), np.int64)
    usable, slots = np.zeros(k, np.int64), np.zeros((s, 6), np.int64)
    rejected, missed = np.zeros((s, FAULTS), np.int64), np.zeros((s, len(MISSES)), np.int64)
    moments = np.full((len(parts), k, len(MOMENTS)), np.nan)
    n = np.zeros((len(parts), k))
    at = {key: i for i, key in enumerate(series)}
    sensor_at = {name: i for i, name in enumerate(sensors)}
    for m, part in enumerate(parts):
        to = [at[key] for key in part.series]
        n_by_flag[to] += part.n_by_flag
        reasons[to] += part.reasons
        usable[to] += part.usable
        moments[m, to] = part.moments
        n[m, to] = part.n_by_flag[:, :3].sum(axis=1)
        to = [sensor_at[name] for name in part.sensors]
        slots[to] += part.slots
        rejected[to] += part.rejected
        missed[to] += part.missed
    for name, i in sensor_at.items():
        slots[i, 0] = max(nominal.get(name, 0), int(slots[i, 1] + slots[i, 2]), int(slots[i, 0]))
        slots[i, 3] = slots[i, 0] - slots[i, 1] - slots[i, 2]
    expected = np.array([slots[sensor_at[key[1]], 0] for key in series], np.int64)
    shift_s = np.array([(part.start_ns - start_ns) / NS for part in parts])
    return Windows(
        period_s, start_ns, 0, series, tuple(kinds.values()), n_by_flag, expected, usable,
        _combine_moments(moments, n, shift_s), reasons, sensors, slots, rejected, missed, _all_samples(parts, series),
    )  # fmt: skip


def _all_samples(parts: Sequence[Windows], series: tuple[tuple[str, str, str, str], ...]) -> tuple[Packed, ...]:
    """Put the kept samples of each series behind each other."""
    if not any(part.samples for part in parts):
        return ()
    by_series: dict[tuple[str, str, str, str], list[Packed]] = {key: [] for key in series}
    for part in parts:
        for key, packed in zip(part.series, _samples(part), strict=True):
            by_series[key].append(packed)
    return tuple(together(own) for own in by_series.values())


def _combine_moments(moments: F8, n: F8, shift_s: F8) -> F8:
    """Combine [m, k, 13] moments of m windows with n [m, k] values each into [k, 13]."""
    mean, m2, low, high, energy, total, dur_s, sin, cos, inverse, moving, first_s, last_s = np.moveaxis(moments, 2, 0)
    out = np.full(moments.shape[1:], np.nan)
    some = n.sum(axis=0) > 0
    all_n = np.where(some, n.sum(axis=0), 1.0)
    mean0 = np.where(n > 0, mean, 0.0)
    out[:, 0] = np.where(some, (n * mean0).sum(axis=0) / all_n, np.nan)
    off = np.where(n > 0, mean0 - out[:, 0], 0.0)
    out[:, 1] = np.where(some, (np.where(n > 0, m2, 0.0) + n * off**2).sum(axis=0), np.nan)
    out[:, 2] = np.where(some, np.where(n > 0, low, np.inf).min(axis=0), np.nan)
    out[:, 3] = np.where(some, np.where(n > 0, high, -np.inf).max(axis=0), np.nan)
    weight = np.where(np.isnan(energy), 0.0, dur_s)
    has = weight.sum(axis=0) > 0
    power = np.where(np.isnan(energy), 0.0, energy * np.nan_to_num(dur_s)).sum(axis=0)
    out[:, 4] = np.where(has, power / np.where(has, weight.sum(axis=0), 1.0), np.nan)
    out[:, 5] = np.nansum(total, axis=0)
    out[:, 6] = np.nansum(dur_s, axis=0)
    for column, of in ((7, sin), (8, cos)):
        known = np.where(np.isnan(of), 0.0, n)
        all_known = known.sum(axis=0)
        summed = (known * np.nan_to_num(of)).sum(axis=0)
        out[:, column] = np.where(all_known > 0, summed / np.where(all_known > 0, all_known, 1.0), np.nan)
    for column, of in ((9, inverse), (10, moving)):
        out[:, column] = np.where(np.isnan(of).all(axis=0), np.nan, np.nansum(of, axis=0))
    out[:, 11] = np.where(some, np.where(n > 0, first_s + shift_s[:, None], np.inf).min(axis=0), np.nan)
    out[:, 12] = np.where(some, np.where(n > 0, last_s + shift_s[:, None], -np.inf).max(axis=0), np.nan)
    return out
