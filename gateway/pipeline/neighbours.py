"""Doubts that only several sensors together raise: compared by window, never by sample.

A doubt turns the good readings of a window suspect and counts them under its reason; the values stay. It is raised anew
whenever a window is made whole, so that what came late may also take it back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from drivers.base import Kind
from gateway.block import FLAGS, MOMENTS, REASONS, Flag, Reason, Windows
from gateway.pipeline.derive import At

MEAN, ENERGY = MOMENTS.index("mean"), MOMENTS.index("energy")
NEIGHBOUR, HUMIDITY = REASONS.index(Reason.NEIGHBOUR), REASONS.index(Reason.HUMIDITY)
GOOD, NOT_EVALUATED, SUSPECT = (FLAGS.index(flag) for flag in (Flag.GOOD, Flag.NOT_EVALUATED, Flag.SUSPECT))


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Channels that hang side by side and should agree.

    Each is compared with the median of the others; of two, both with the mean of the two, and both are doubted, because
    nobody knows which one is right. They agree if they differ by less than `tolerance`, or by less than `relative` of
    what they are compared with (strictly). Source: the rule of EPA's Fire and Smoke Map for the two channels of a
    PurpleAir: 5 ug/m3 or 70 % of their mean.
    """

    members: tuple[At, ...]
    tolerance: float
    relative: float


@dataclass(frozen=True, slots=True)
class TooHumid:
    """An optical particle counter is doubted where the mean of `partner` (%) is above a limit: it counts droplets."""

    of: At
    partner: At
    above: float


Doubt = Neighbours | TooHumid


def judge(windows: Windows, doubts: Sequence[Doubt]) -> Windows:
    """Return the window with every doubt that there is; a member that is not there, or has no value, says nothing."""
    if not doubts:
        return windows
    at = {At(sensor, channel): i for i, (_, sensor, channel, _) in enumerate(windows.series)}
    doubtful: dict[int, int] = {}
    for doubt in doubts:
        rows, reason = (
            (_disagreeing(windows, doubt, at), NEIGHBOUR)
            if isinstance(doubt, Neighbours)
            else (_too_humid(windows, doubt, at), HUMIDITY)
        )
        for row in rows:
            doubtful.setdefault(row, reason)
    own = {at[one] for doubt in doubts for one in _judged_by(doubt) if one in at}
    return _raised(windows, sorted(own), doubtful)


def agree(values: Sequence[float], tolerance: float, relative: float) -> list[bool]:
    """Tell which of several values agree with the others: see `Neighbours`. One alone agrees."""
    out = []
    for i, value in enumerate(values):
        others = [*values[:i], *values[i + 1 :]]
        if not others:
            return [True]
        reference = float(np.median(others)) if len(others) > 1 else (value + others[0]) / 2
        apart = abs(value - (reference if len(others) > 1 else others[0]))
        out.append(apart < tolerance or apart < relative * abs(reference))
    return out


def _judged_by(doubt: Doubt) -> tuple[At, ...]:
    return doubt.members if isinstance(doubt, Neighbours) else (doubt.of,)


def _value(windows: Windows, row: int) -> float:
    """Return the mean of a series, of levels the energetic one; NaN without a usable value."""
    if not windows.n_by_flag[row, : SUSPECT + 1].any():
        return np.nan
    if windows.kind[row] == Kind.LEVEL:
        return float(10 * np.log10(windows.moments[row, ENERGY]))
    return float(windows.moments[row, MEAN])


def _disagreeing(windows: Windows, doubt: Neighbours, at: Mapping[At, int]) -> list[int]:
    there = [at[one] for one in doubt.members if one in at]
    rows = [row for row in there if np.isfinite(_value(windows, row))]
    verdicts = agree([_value(windows, row) for row in rows], doubt.tolerance, doubt.relative)
    return [row for row, agrees in zip(rows, verdicts, strict=True) if not agrees]


def _too_humid(windows: Windows, doubt: TooHumid, at: Mapping[At, int]) -> list[int]:
    if doubt.of not in at or doubt.partner not in at:
        return []
    return [at[doubt.of]] if _value(windows, at[doubt.partner]) > doubt.above else []


def _raised(windows: Windows, own: Sequence[int], doubtful: Mapping[int, int]) -> Windows:
    """Take back the doubts of an earlier time from the rows `own`, and raise those of now: row -> reason."""
    counts, reasons = windows.n_by_flag.copy(), windows.reasons.copy()
    for row in own:
        before = int(reasons[row, [NEIGHBOUR, HUMIDITY]].sum())
        counts[row, SUSPECT] -= before
        counts[row, GOOD] += before
        reasons[row, [NEIGHBOUR, HUMIDITY]] = 0
        if row in doubtful:
            moved = int(counts[row, [GOOD, NOT_EVALUATED]].sum())
            counts[row, [GOOD, NOT_EVALUATED]] = 0
            counts[row, SUSPECT] += moved
            reasons[row, doubtful[row]] = moved
    return replace(windows, n_by_flag=counts, reasons=reasons)
