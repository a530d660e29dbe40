"""Which period a moment belongs to: tumbling windows, the watermark, and local days, evenings and nights.

UTC is counted in whole numbers from the epoch. Local periods come from the IANA zone whose name is given; their ends
are UTC, so that a day of 23 or 25 h and a night of 7 or 9 h need no further rule.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from gateway.block import I8
from gateway.pipeline.noise import END, DayParts

NS = 1_000_000_000
Span = tuple[int, int]


def tumbling_start(t: I8 | int, period: int) -> I8:
    """Return the start of the window [k * period, (k + 1) * period) that each moment is in: floor, also before 1970."""
    return np.asarray(t) // period * period


# -- watermark -----------------------------------------------------------------------------------------------------


class Assigned(NamedTuple):
    """Where each event went: the start of its window, and whether that window had fired before it came."""

    start: I8
    late: np.ndarray[tuple[int], np.dtype[np.bool_]]


def watermarks(event_t: I8, max_out_of_orderness: int) -> I8:
    """Return the watermark after each event, in the order of arrival: the largest time so far less the bound."""
    return np.maximum.accumulate(np.asarray(event_t)) - max_out_of_orderness


def fire_time(window_end: int, max_out_of_orderness: int) -> int:
    """Return the time of the event that fires a window: the watermark reaches its end."""
    return window_end + max_out_of_orderness


def assign(event_t: I8, period: int, max_out_of_orderness: int) -> Assigned:
    """Put events, in the order of arrival, into tumbling windows by their own time.

    An event is late when the watermark had reached the end of its window before it came; it still belongs there, and
    makes a revision. Nothing is dropped.
    """
    t = np.asarray(event_t)
    start = tumbling_start(t, period)
    late = np.zeros(len(t), np.bool_)
    late[1:] = watermarks(t, max_out_of_orderness)[:-1] >= start[1:] + period
    return Assigned(start, late)


# -- local time ----------------------------------------------------------------------------------------------------


def instants(local: datetime, zone: str) -> tuple[int, ...]:
    """Return the UTC ns at which a clock on the wall shows `local`: one, two in the hour that comes twice, or none."""
    found: set[int] = set()
    for fold in (0, 1):
        there = local.replace(tzinfo=_zone(zone), fold=fold)
        utc = there.astimezone(UTC)
        if utc.astimezone(_zone(zone)).replace(tzinfo=None, fold=0) == local.replace(tzinfo=None, fold=0):
            found.add(_ns(utc))
    return tuple(sorted(found))


def first_instant(local: datetime, zone: str) -> int:
    """Return the first UTC ns at which the wall shows `local` or, where that is skipped, something later."""
    shown = instants(local, zone)
    return shown[0] if shown else _after_gap(local, zone)


def utc_offset_s(t_ns: int, zone: str) -> int:
    """Return by how many seconds the wall is ahead of UTC at a moment."""
    offset = datetime.fromtimestamp(t_ns // NS, _zone(zone)).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def local_date(t_ns: int, zone: str) -> date:
    """Return the date on the wall at a moment."""
    return datetime.fromtimestamp(t_ns // NS, _zone(zone)).date()


def day_bounds(day: date, zone: str) -> Span:
    """Return the UTC ns [start, end) of a local day: 23, 24 or 25 h."""
    return local_span(day, zone, 0, 24)


def night_bounds(day: date, zone: str, parts: DayParts = END) -> Span:
    """Return the UTC ns [start, end) of the night that begins on a local day: 23 h to 7 h, of 7, 8 or 9 h."""
    return local_span(day, zone, parts.night_h, 24 + parts.day_h)


def local_span(day: date, zone: str, from_h: int, to_h: int) -> Span:
    """Return the UTC ns [start, end) between two hours of the wall; hours from 24 on are of the next day."""
    return _at_hour(day, zone, from_h), _at_hour(day, zone, to_h)


def noise_day(
    day: date, zone: str, parts: DayParts = END, *, from_midnight: bool = True
) -> tuple[tuple[Span, ...], ...]:
    """Return the UTC ns that make up day, evening and night of a local day: ((span ...), (span ...), (span ...)).

    From midnight the night has two pieces, before and after the day: the calendar day, as daily values are published.
    Otherwise the night is the one that follows the evening: the 24 h of Directive 2002/49/EC, Annex I.
    """
    morning = local_span(day, zone, parts.day_h, parts.evening_h)
    evening = local_span(day, zone, parts.evening_h, parts.night_h)
    if not from_midnight:
        return (morning,), (evening,), (night_bounds(day, zone, parts),)
    pieces = local_span(day, zone, 0, parts.day_h), local_span(day, zone, parts.night_h, 24)
    return (morning,), (evening,), pieces


def _at_hour(day: date, zone: str, hour: int) -> int:
    return first_instant(datetime.combine(day + timedelta(days=hour // 24), time(hour % 24)), zone)


def _after_gap(local: datetime, zone: str) -> int:
    """Find the end of the gap that a local time was skipped in: before it the wall shows less, after it more."""
    low, high = (_ns(local.replace(tzinfo=_zone(zone), fold=fold).astimezone(UTC)) // NS for fold in (1, 0))
    wanted = local.replace(tzinfo=None, fold=0)
    while low < high:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, _zone(zone)).replace(tzinfo=None, fold=0) < wanted:
            low = middle + 1
        else:
            high = middle
    return low * NS


@lru_cache(maxsize=8)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _ns(utc: datetime) -> int:
    whole = utc.replace(microsecond=0)
    return int(whole.timestamp()) * NS + utc.microsecond * 1000
