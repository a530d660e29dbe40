"""The climatology test of QARTOD: what is usual at that time of the year, the week or the day."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from gateway.block import F8, I8, U1, Flag
from gateway.pipeline.qartod import NO_TIME, NS, Span


def _days(t: I8) -> I8:
    return t // (86_400 * NS)


def _within(unit: str) -> Callable[[I8], I8]:
    """Return which day of its month or year a day is, from 1."""
    return lambda t: _days(t) - _days(t).astype("M8[D]").astype(f"M8[{unit}]").astype("M8[D]").astype(np.int64) + 1


def _week(t: I8) -> I8:
    """Return the ISO week: that of the Thursday of the same week."""
    thursday = _days(t) - (_days(t) + 3) % 7 + 3
    return (_within("Y")(thursday * 86_400 * NS) - 1) // 7 + 1


def _month(t: I8) -> I8:
    return _days(t).astype("M8[D]").astype("M8[M]").astype(np.int64) % 12 + 1


# How a time reads in the units of a climatology; days of the week count from Monday, 0
PERIODS: Mapping[str, Callable[[I8], I8]] = MappingProxyType({
    "year": lambda t: _days(t).astype("M8[D]").astype("M8[Y]").astype(np.int64) + 1970,
    "quarter": lambda t: (_month(t) - 1) // 3 + 1,
    "month": _month,
    "week": _week,
    "weekofyear": _week,
    "dayofyear": _within("Y"),
    "dayofweek": lambda t: (_days(t) + 3) % 7,
    "day": _within("M"),
    "hour": lambda t: t // (3_600 * NS) % 24,
    "minute": lambda t: t // (60 * NS) % 60,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Member:
    """What is usual at a time: `between` in units of `period`, or in UTC ns where that is empty; all ends included."""

    period: str
    between: tuple[int, int]
    suspect: Span
    fail: Span | None = None
    depth: Span | None = None


def climatology(members: Sequence[Member], x: F8, t: I8, z: F8 | None = None) -> U1:
    """Flag values outside what is usual at that time SUSPECT, outside the member's fail span FAIL.

    NOT_EVALUATED where no member speaks of the time; a later member overrules an earlier one. A member with a depth
    speaks only of values whose depth `z` is known.
    """
    flag = np.full(len(x), Flag.NOT_EVALUATED, np.uint8)
    flag[~np.isfinite(x)] = Flag.MISSING
    for one in members:
        at = PERIODS[one.period](t) if one.period else t
        lo, hi = sorted(one.between)
        meant = (at >= lo) & (at <= hi) & (t != NO_TIME) & ~np.isnan(x)
        if one.depth is not None:
            top, bottom = sorted(one.depth)
            meant &= np.zeros(len(x), np.bool_) if z is None else (z >= top) & (z <= bottom)
        low, high = sorted(one.suspect)
        bad = np.zeros(len(x), np.bool_)
        if one.fail is not None:
            bad = (x < min(one.fail)) | (x > max(one.fail))
        odd = (x < low) | (x > high)
        flag[meant] = np.where(bad, Flag.FAIL, np.where(odd, Flag.SUSPECT, Flag.GOOD))[meant]
    return flag
