"""Longer windows from base windows: which there are, when they end, and when they are valid.

Three sorts: tumbling ones on UTC, running ones that begin anew at every step, and local ones between two hours of the
wall. They are made hour by hour, so that a day takes no more memory than an hour, and so that valid hours can be
counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np

from drivers.base import Kind
from gateway.block import F8, MOMENTS, Windows
from gateway.pipeline.amend import chosen
from gateway.pipeline.noise import END, DayParts, lden, level
from gateway.pipeline.periods import local_date, local_span
from gateway.pipeline.windows import NS, combine

HOUR_NS = 3600 * NS
ENERGY = MOMENTS.index("energy")
DEN = "den"
LOCAL = ("day", "evening", "night", "local_day", DEN)

Between = Callable[[int, int], Iterable[Windows]]  # the base windows that start in [start_ns, end_ns), in order
Nominal = Callable[[int, int], Mapping[str, int]]  # how many slots each sensor was to fill from a start for so many s


class Period(Protocol):
    """A sort of longer window; `name` tells it from all others."""

    @property
    def name(self) -> str:
        """Name it, as the tag `period` does."""
        ...

    def starts(self, t_ns: int) -> list[int]:
        """Return the starts of its windows that a moment is in."""
        ...

    def end(self, start_ns: int) -> int | None:
        """Return the end of the window that starts there; None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Tumbling:
    """Windows on UTC, one behind the other."""

    period_s: int

    @property
    def name(self) -> str:
        """Name it by its length."""
        return f"{self.period_s}s"

    def starts(self, t_ns: int) -> list[int]:
        """Return the start of the one window."""
        return [t_ns - t_ns % (self.period_s * NS)]

    def end(self, start_ns: int) -> int | None:
        """Return the end."""
        return start_ns + self.period_s * NS


@dataclass(frozen=True, slots=True)
class Running:
    """Windows on UTC that begin every `step_s` and so lie over each other: running means."""

    period_s: int
    step_s: int

    @property
    def name(self) -> str:
        """Name it by its hours: `8h`."""
        return f"{self.period_s / 3600:g}h"

    def starts(self, t_ns: int) -> list[int]:
        """Return the starts of all windows, the earliest first."""
        step_ns = self.step_s * NS
        last = t_ns - t_ns % step_ns
        return [*range(last - (self.period_s // self.step_s - 1) * step_ns, last + 1, step_ns)]

    def end(self, start_ns: int) -> int | None:
        """Return the end."""
        return start_ns + self.period_s * NS


@dataclass(frozen=True, slots=True)
class Local:
    """Windows from one hour of the wall to another in an IANA zone; hours from 24 on are of the next day.

    A night is 7 or 9 h long, and a day 23 or 25 h, when the clock changes.
    """

    name: str
    zone: str
    from_h: int
    to_h: int

    def starts(self, t_ns: int) -> list[int]:
        """Return the start of the window, if the moment is in one."""
        day = local_date(t_ns, self.zone)
        spans = [local_span(one, self.zone, self.from_h, self.to_h) for one in (day - timedelta(days=1), day)]
        return [start for start, end in spans if start <= t_ns < end]

    def end(self, start_ns: int) -> int | None:
        """Return the end; None when no such window starts there, for the hours or the zone were others."""
        start, end = local_span(local_date(start_ns, self.zone), self.zone, self.from_h, self.to_h)
        return end if start == start_ns else None


def local(name: str, zone: str, parts: DayParts = END) -> Local:
    """Return one of LOCAL.

    `day`, `evening` and `night` are those of Directive 2002/49/EC, Annex I; `den` is all three behind each other, from
    the begin of a day to that of the next; `local_day` goes from midnight to midnight.
    """
    hours = {
        "day": (parts.day_h, parts.evening_h), "evening": (parts.evening_h, parts.night_h),
        "night": (parts.night_h, 24 + parts.day_h), "local_day": (0, 24), DEN: (parts.day_h, 24 + parts.day_h),
    }  # fmt: skip
    return Local(name, zone, *hours[name])


class Validity(NamedTuple):
    """What share of its slots, or of its hours, a window must have; `hour` is the share that makes an hour valid."""

    min_capture: float = 0.75
    by_hours: bool = False
    hour: float = 0.75


def longer(
    period: Period, start_ns: int, between: Between, nominal: Nominal, validity: Validity, parts: DayParts = END
) -> Windows | None:
    """Make one longer window from its base windows; None where there are none. Its `rev` is the sum of theirs."""
    end_ns = period.end(start_ns)
    if end_ns is None:
        return None
    inner = _inner(period, start_ns, parts)
    borders = sorted({*range(start_ns, end_ns, HOUR_NS), *inner, end_ns})  # no hour reaches over the parts of a day
    hours, rev = [], 0
    for first, last in pairwise(borders):
        bases = list(between(first, last))
        if period.name == DEN:
            bases = [of_levels for one in bases if (of_levels := _sound(one)).series]
        rev += sum(base.rev for base in bases)
        if bases:
            length_s = (last - first) // NS
            hours.append(combine(bases, length_s, first, nominal(first, length_s)))
    if not hours:
        return None
    length_s = (end_ns - start_ns) // NS
    whole = hours[0] if len(borders) == 2 else combine(hours, length_s, start_ns, nominal(start_ns, length_s))
    whole = replace(whole, rev=rev, period="" if isinstance(period, Tumbling) else period.name)
    if validity.by_hours:
        whole = _by_hours(whole, hours, (end_ns - start_ns) / HOUR_NS, validity.hour)
    return whole if not inner else _with_lden(whole, hours, [start_ns, *inner, end_ns], nominal, parts)


def _sound(windows: Windows) -> Windows:
    """Return what windows say of levels, and of the sensors that have some."""
    keys = zip(windows.series, windows.kind, strict=True)
    return chosen(windows, {key[1] for key, kind in keys if kind == Kind.LEVEL}, Kind.LEVEL)


def _inner(period: Period, start_ns: int, parts: DayParts) -> list[int]:
    """Return when evening and night of a window of `den` begin; of others nothing."""
    if not isinstance(period, Local) or period.name != DEN:
        return []
    day = local_date(start_ns, period.zone)
    return [local_span(day, period.zone, hour, 24)[0] for hour in (parts.evening_h, parts.night_h)]


def _of(windows: Windows, whole: Windows, values: F8) -> F8:
    """Return [k] values of some windows as the series of the whole stand; 0 where it has no such series."""
    at = {key: i for i, key in enumerate(windows.series)}
    return np.array([values[at[key]] if key in at else 0.0 for key in whole.series])


def _by_hours(whole: Windows, hours: Sequence[Windows], n: float, share: float) -> Windows:
    """Hold the number of valid hours, of `n`, against the threshold, instead of the number of slots."""
    valid = np.zeros(len(whole.series))
    for hour in hours:
        valid += _of(hour, whole, (hour.usable >= share * np.maximum(hour.expected, 1)).astype(np.float64))
    return replace(whole, share=valid / n, extras=(*whole.extras, ("valid_hours", valid)))


def _with_lden(
    whole: Windows, hours: Sequence[Windows], borders: Sequence[int], nominal: Nominal, parts: DayParts
) -> Windows:
    """Add the day-evening-night level of this one day; the part with the lowest capture decides on its validity."""
    levels, shares = [], []
    for first, last in pairwise(borders):
        some = [hour for hour in hours if first <= hour.start_ns < last]
        energy = share = np.zeros(len(whole.series))
        if some:
            length_s = (last - first) // NS
            part = combine(some, length_s, first, nominal(first, length_s))
            energy = np.nan_to_num(_of(part, whole, part.moments[:, ENERGY]))
            share = _of(part, whole, part.usable / np.maximum(part.expected, 1))
        levels.append([level(value) for value in energy.tolist()])
        shares.append(share)
    days = np.array([lden(*three, parts) for three in zip(levels[0], levels[1], levels[2], strict=True)])
    return replace(whole, share=np.min(shares, axis=0), extras=(*whole.extras, ("lden", days)))
