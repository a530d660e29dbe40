"""Periods: floors before 1970 too, the watermark, and local days and nights on the days when the clock changes."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pipeline import periods
from gateway.pipeline.noise import DayParts

NS = 1_000_000_000
BUCHAREST = "Europe/Bucharest"
SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)
ZONES = (BUCHAREST, "UTC", "America/Montreal", "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Cairo", "Pacific/Apia")
days = st.dates(date(1995, 1, 1), date(2035, 12, 31))


def hours(span: tuple[int, int]) -> float:
    return (span[1] - span[0]) / NS / 3600


def utc(t_ns: int) -> str:
    return datetime.fromtimestamp(t_ns // NS, UTC).isoformat()


# -- windows on UTC ----------------------------------------------------------------------------------------------


@given(st.integers(-(2**40), 2**40), st.integers(1, 100_000))
def test_a_moment_lies_in_its_window(t: int, period: int) -> None:
    start = int(periods.tumbling_start(t, period))
    assert start <= t < start + period
    assert start % period == 0


@given(st.lists(st.integers(-50, 200), min_size=1, max_size=40), st.integers(1, 20), st.integers(0, 20))
def test_an_event_is_late_when_its_window_had_fired(event_t: list[int], period: int, bound: int) -> None:
    found = periods.assign(np.array(event_t), period, bound)
    for i, t in enumerate(event_t):
        fired = periods.fire_time(int(found.start[i]) + period, bound)
        assert found.late[i] == any(earlier >= fired for earlier in event_t[:i])
        assert found.start[i] == t // period * period


# -- local time --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "start", "length_h"),
    [
        (SPRING, "2026-03-28T22:00:00+00:00", 23.0),
        (AUTUMN, "2026-10-24T21:00:00+00:00", 25.0),
        (date(2026, 7, 1), "2026-06-30T21:00:00+00:00", 24.0),
    ],
)
def test_days_of_bucharest(day: date, start: str, length_h: float) -> None:
    span = periods.day_bounds(day, BUCHAREST)
    assert (utc(span[0]), hours(span)) == (start, length_h)


@pytest.mark.parametrize(
    ("day", "length_h"), [(date(2026, 3, 28), 7.0), (date(2026, 10, 24), 9.0), (date(2026, 1, 1), 8.0)]
)
def test_nights_of_bucharest(day: date, length_h: float) -> None:
    assert hours(periods.night_bounds(day, BUCHAREST)) == length_h


@given(days, st.sampled_from(ZONES))
def test_days_follow_each_other_without_gap(day: date, zone: str) -> None:
    start, end = periods.day_bounds(day, zone)
    assert start <= end == periods.day_bounds(day + timedelta(days=1), zone)[0]
    if start < end:  # Apia had no 30 December 2011
        assert periods.local_date(start, zone) == day == periods.local_date(end - 1, zone)


@given(days, st.sampled_from(ZONES), st.booleans())
def test_day_evening_and_night_make_a_whole(day: date, zone: str, from_midnight: bool) -> None:
    parts = periods.noise_day(day, zone, from_midnight=from_midnight)
    pieces = sorted(span for part in parts for span in part)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(pieces))
    first = 0 if from_midnight else 7
    assert (pieces[0][0], pieces[-1][1]) == periods.local_span(day, zone, first, first + 24)


def test_parts_of_other_hours() -> None:
    one = DayParts(day_h=6, evening_h=18, night_h=22)
    morning, evening, night = periods.noise_day(AUTUMN, BUCHAREST, one)
    assert [hours(span) for span in (*morning, *evening, *night)] == [12.0, 4.0, 7.0, 2.0]
    late = periods.noise_day(AUTUMN, BUCHAREST, DayParts(day_h=6, evening_h=20, night_h=24))
    assert [hours(span) for span in late[2]] == [7.0, 0.0]


def test_an_hour_that_comes_twice_and_one_that_never_comes() -> None:
    twice = periods.instants(datetime(2026, 10, 25, 3, 30), BUCHAREST)  # noqa: DTZ001 - the wall has no zone
    assert [utc(t) for t in twice] == ["2026-10-25T00:30:00+00:00", "2026-10-25T01:30:00+00:00"]
    never = datetime(2026, 3, 29, 3, 30)  # noqa: DTZ001
    assert periods.instants(never, BUCHAREST) == ()
    assert utc(periods.first_instant(never, BUCHAREST)) == "2026-03-29T01:00:00+00:00"  # 04:00 on the wall


def test_a_day_may_begin_at_one() -> None:
    """In Cairo the clock goes from 24:00 to 01:00."""
    start, _ = periods.day_bounds(date(2026, 4, 24), "Africa/Cairo")
    assert utc(start) == "2026-04-23T22:00:00+00:00"
    assert hours(periods.day_bounds(date(2026, 4, 24), "Africa/Cairo")) == 23.0


@given(st.integers(900_000_000, 2_000_000_000), st.sampled_from(ZONES))
def test_a_moment_is_among_those_that_its_clock_shows(t: int, zone: str) -> None:
    shown = datetime.fromtimestamp(t, UTC) + timedelta(seconds=periods.utc_offset_s(t * NS, zone))
    assert t * NS in periods.instants(shown.replace(tzinfo=None), zone)
