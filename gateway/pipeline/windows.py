"""Tumbling windows: UTC-aligned, half-open [start, start + period); one kernel for live and replay.

Open windows keep their samples; statistics are computed once, at close, because regrouping a sum changes its last
bit. Longer periods come from closed base windows by `combine`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.block import FLAGS, I8, MOMENTS, NOTHING, REASONS, Block, Flag, Packed, Reason, Slots, Windows, usable
from gateway.ledger import FAULTS, MISSES, places
from gateway.pipeline.closing import Cut, close_cuts
from gateway.pipeline.moments import combine_moments
from gateway.pipeline.samples import together
from gateway.pipeline.spec import DutyTimes, SensorSpec, expected_slots, expects, watched
from gateway.pipeline.stage import State

__all__ = [
    "NS", "DutyTimes", "SensorSpec", "add", "close", "close_all", "combine", "doubted", "expected_slots", "expects",
    "join", "joined",
]  # fmt: skip
NS = 1_000_000_000
ROWS = ("t", "v", "flag", "reason", "dur_s")
HAPPENED = ("slot_t", "slot_code")


# -- open --------------------------------------------------------------------------------------------------------


def add(state: State, block: Block, slots: Slots, closed_ns: int, amend_ns: int | None = None) -> State:
    """Keep a block for the windows still open, all that end behind `closed_ns`.

    What comes for a closed one is late. From `amend_ns` on it is kept, with the reason LATE, and its window can be
    amended; what is older than that is only counted. Nothing is copied: `joined` puts the pieces together.
    """
    amend_ns = closed_ns if amend_ns is None else min(amend_ns, closed_ns)
    after = dict(state)
    piece = int(state["pieces"][0]) if "pieces" in state else 0
    after["pieces"] = np.array([piece + 1])
    if len(block.t):
        rows: dict[str, npt.NDArray[Any]] = {name: getattr(block, name) for name in ROWS}
        if int(block.t[0]) < closed_ns:
            late = (block.t < closed_ns)[:, None] & (block.flag != Flag.ABSENT)
            rows["reason"] = block.reason | np.where(late, np.uint16(Reason.LATE), np.uint16(0))
            rows = {name: own[block.t >= amend_ns] for name, own in rows.items()}
        after |= {f"{name}+{piece}": own for name, own in rows.items()}
    if len(slots.t):
        fresh = slots.t >= amend_ns
        late_n = len(fresh) - int(fresh.sum())
        after[f"slot_t+{piece}"] = slots.t[fresh] if late_n else slots.t
        after[f"slot_code+{piece}"] = slots.code[fresh] if late_n else slots.code
        if late_n:
            after["late"] = state["late"] + late_n
    return after


def joined(state: State) -> State:
    """Return the state in one piece."""
    if "pieces" not in state:
        return state
    parts: dict[str, list[npt.NDArray[Any]]] = {name: [state[name]] for name in (*ROWS, *HAPPENED)}
    for key, piece in state.items():  # a dict keeps the order in which the pieces came
        name, plus, _ = key.partition("+")
        if plus:
            parts[name].append(piece)
    return {"late": state["late"]} | {
        name: np.concatenate(some) if len(some) > 1 else some[0] for name, some in parts.items()
    }


def doubted(state: State, reason: Reason) -> State:
    """Give every open sample a reason, and doubt those that were good or not judged."""
    after = joined(state)
    flag, there = after["flag"], after["flag"] != Flag.ABSENT
    after["reason"] = after["reason"] | np.where(there, np.uint16(reason), np.uint16(0))
    trusted = (flag == Flag.GOOD) | (flag == Flag.NOT_EVALUATED)
    after["flag"] = np.where(trusted, Flag.SUSPECT, flag).astype(np.uint8)
    return after


# -- close -------------------------------------------------------------------------------------------------------


def close(spec: SensorSpec, state: State, start_ns: int, period_s: int) -> tuple[State, Windows]:
    """Close one window of one sensor; return the state without its samples, and the window."""
    (after,), windows = close_all([(spec, state)], start_ns, period_s)
    return after, windows


def close_all(
    sensors: Sequence[tuple[SensorSpec, State]], start_ns: int, period_s: int, *, late: bool = False
) -> tuple[list[State], Windows]:
    """Close one window of all sensors; return the states without its samples, and the window.

    `late` says that the window was closed before, and that what is open for it came afterwards.
    """
    end_ns = start_ns + period_s * NS
    cuts, states, late_n = [], [], []
    for spec, state in sensors:
        cut, after, n = _cut(spec, joined(state), start_ns, end_ns, late=late)
        cuts.append(cut)
        states.append(after)
        late_n.append(n)
    closed = close_cuts(cuts, start_ns)
    specs = [spec for spec, _ in sensors]
    return states, Windows(
        period_s,
        start_ns,
        0,
        series=tuple(key for spec in specs for key in spec.series()),
        kind=tuple(channel.kind for spec in specs for channel in spec.channels),
        n_by_flag=closed.n_by_flag,
        expected=closed.expected,
        usable=closed.usable,
        moments=closed.moments,
        reasons=closed.reasons,
        sensors=tuple(spec.sensor for spec in specs),
        slots=np.column_stack([closed.slots, np.array(late_n, np.int64)]),
        rejected=closed.rejected,
        missed=closed.missed,
        samples=closed.samples if any(any(spec.keep) for spec in specs) else (),
        codes=closed.codes,
        seen=closed.seen,
        late=late,
    )


def _cut(spec: SensorSpec, state: State, start_ns: int, end_ns: int, *, late: bool) -> tuple[Cut, State, int]:
    """Cut what one sensor has in one window out of its state; return it, the rest, and what came late."""
    t, slot_t = state["t"], state["slot_t"]
    if len(t) > 1 and bool((t[1:] < t[:-1]).any()):
        order = np.argsort(t, kind="stable")
        state = state | {name: state[name][order] for name in ROWS}
        t = state["t"]
    first, last = (int(i) for i in np.searchsorted(t, [start_ns, end_ns]))
    after: State = {name: state[name][last:] for name in ROWS}
    mine = (slot_t >= start_ns) & (slot_t < end_ns)
    after |= {name: state[name][slot_t >= end_ns] for name in HAPPENED}
    expected = expected_slots(spec, start_ns, end_ns)
    rows: Any = slice(first, last)
    row_slot = t[rows] // spec.slot_ns
    if spec.duty is not None:  # a part that wears out is not awake for its warm-up to be averaged
        awake = places(row_slot, expected)[1]
        rows, row_slot = np.arange(first, last)[awake], row_slot[awake]
    cut = Cut(
        spec.channels,
        spec.keep,
        np.array(spec.eventful or (spec.events,) * len(spec.channels)),
        spec.events,
        expected,
        t[rows],
        state["v"][rows],
        state["flag"][rows],
        usable(state["flag"][rows]),
        state["reason"][rows],
        state["dur_s"][rows],
        row_slot,
        slot_t[mine] // spec.slot_ns,
        state["slot_code"][mine],
        watched(spec, expected),
    )
    after["late"] = state["late"] if late else np.zeros(1, np.int64)
    return cut, after, int(mine.sum()) if late else int(state["late"][0])


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
        codes=tuple(one for part in parts for one in part.codes or (b"",) * len(part.sensors)),
        seen=tuple(one for part in parts for one in part.seen or (b"",) * len(part.series)),
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
        combine_moments(moments, n, shift_s), reasons, sensors, slots, rejected, missed, _all_samples(parts, series),
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
