"""Sound levels: a real day, sums by hand, the standard's tables, and what an arithmetic mean would get wrong."""

from __future__ import annotations

import gzip
import math
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.block import F8, I8
from gateway.pipeline import noise
from gateway.pipeline.periods import noise_day

NS = 1_000_000_000
DATA = Path(__file__).parents[1] / "data" / "laeq_1s_montreal_2025-03-22.csv.gz"
DAY = date(2025, 3, 22)
levels = st.lists(st.floats(20.0, 130.0), min_size=1, max_size=50)


@pytest.fixture(scope="module")
def street() -> tuple[I8, F8]:
    """A day of LAeq,1s: ns of the wall's clock, as if it were UTC, and dB (tests/data/README.md)."""
    rows = [line.split(",") for line in gzip.decompress(DATA.read_bytes()).decode().splitlines()[1:]]
    rows = [row for row in rows if row[0].startswith(DAY.isoformat())]
    t = [int(datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp()) * NS for when, _ in rows]
    return np.array(t, np.int64), np.array([float(level) for _, level in rows])


# -- a real day --------------------------------------------------------------------------------------------------


def test_the_levels_of_a_real_day(street: tuple[I8, F8]) -> None:
    """What noisemonitor (valerianF/noisemonitor, Apache-2.0) gives for its own recording."""
    t, level = street
    assert len(t) == 86_400
    day = noise.day_levels(t, level, 1.0, noise_day(DAY, "UTC"))
    assert day.leq == pytest.approx(49.737, abs=0.01)
    assert day.lday == pytest.approx(49.661, abs=0.01)
    assert day.levening == pytest.approx(53.020, abs=0.01)
    assert day.lnight == pytest.approx(46.376, abs=0.01)
    assert day.lden == pytest.approx(54.721, abs=0.01)
    assert day.capture == (1.0, 1.0, 1.0)


def test_the_same_day_from_its_minutes(street: tuple[I8, F8]) -> None:
    """Energies may be averaged again: 1440 windows give the day that 86,400 readings give."""
    t, level = street
    minutes = np.array([noise.leq(minute) for minute in level.reshape(1440, 60)])
    whole, again = (
        noise.day_levels(at, of, dur_s, noise_day(DAY, "UTC"))
        for at, of, dur_s in ((t, level, 1.0), (t[::60], minutes, 60.0))
    )
    assert np.allclose(whole[:5], again[:5], atol=1e-9)


def test_an_arithmetic_mean_would_be_wrong_on_a_real_day(street: tuple[I8, F8]) -> None:
    _, level = street
    assert noise.leq(level) - float(level.mean()) > 2.0


def test_exceeded_levels_fall_with_their_percent(street: tuple[I8, F8]) -> None:
    found = noise.exceeded(street[1])
    assert list(found) == ["L1", "L5", "L10", "L50", "L90", "L95", "L99"]
    assert list(found.values()) == sorted(found.values(), reverse=True)
    share = float((street[1] > found["L10"]).mean())
    assert share == pytest.approx(0.10, abs=0.01)


# -- energies ----------------------------------------------------------------------------------------------------


@given(levels)
def test_leq_lies_between_the_mean_and_the_largest(some: list[float]) -> None:
    x = np.array(some)
    assert float(x.mean()) - 1e-9 <= noise.leq(x) <= float(x.max()) + 1e-9


@given(levels, st.floats(0.1, 3600.0))
def test_exposure_is_the_level_and_the_time(some: list[float], dur_s: float) -> None:
    x = np.array(some)
    assert noise.sel(x, dur_s) == pytest.approx(noise.leq(x, dur_s) + 10.0 * math.log10(len(x) * dur_s), abs=1e-9)


@given(levels, st.integers(0, 49))
def test_parts_of_different_length_make_the_whole(some: list[float], cut: int) -> None:
    x = np.array(some)
    first, rest = x[: cut % len(x)], x[cut % len(x) :]
    parts = np.array([noise.leq(part) for part in (first, rest) if len(part)])
    weights = np.array([float(len(part)) for part in (first, rest) if len(part)])
    assert noise.leq(parts, weights) == pytest.approx(noise.leq(x), abs=1e-9)


def test_two_alike_are_three_decibels_more() -> None:
    assert noise.db_sum(np.array([60.0, 60.0])) == pytest.approx(63.0103, abs=1e-4)
    assert noise.db_sum(np.array([60.0, 30.0])) == pytest.approx(60.0043, abs=1e-4)


def test_what_is_not_known_has_no_time() -> None:
    assert noise.leq(np.array([60.0, np.nan, 70.0])) == noise.leq(np.array([60.0, 70.0]))
    assert math.isnan(noise.leq(np.array([np.nan])))
    assert math.isnan(noise.leq(np.array([])))
    assert math.isnan(noise.sel(np.array([])))
    assert math.isnan(noise.db_sum(np.array([])))
    assert all(math.isnan(one) for one in noise.exceeded(np.array([np.nan])).values())


# -- weightings --------------------------------------------------------------------------------------------------


def test_the_curve_is_the_table_of_the_standard() -> None:
    at = np.array([noise.third_octave_hz(nominal) for nominal in noise.A_WEIGHTING_DB])
    assert np.allclose(noise.a_weighting_db(at), list(noise.A_WEIGHTING_DB.values()), atol=0.051)
    assert noise.third_octave_hz(31.5) == pytest.approx(31.6228, abs=1e-4)
    assert float(noise.a_weighting_db(1000.0)) == 0.0


@pytest.mark.parametrize(("weighting", "burst_s", "db"), [("F", 0.2, -1.0), ("F", 0.05, -4.8), ("S", 0.2, -7.4)])
def test_bursts_of_the_standard(weighting: str, burst_s: float, db: float) -> None:
    assert noise.toneburst_response_db(burst_s, noise.TIME_CONSTANT_S[weighting]) == pytest.approx(db, abs=0.1)


@pytest.mark.parametrize("weighting", ["F", "S"])
def test_a_detector_falls_as_the_standard_says(weighting: str) -> None:
    tau = noise.TIME_CONSTANT_S[weighting]
    falling = noise.time_weighted(np.full(1000, -np.inf), 0.01, tau, before_db=94.0)
    assert 94.0 - falling[99] == pytest.approx(noise.decay_db_per_s(tau), abs=1e-9)


def test_a_steady_level_is_what_the_detector_shows() -> None:
    """A pole at the wrong place would show 1.7 times the energy here."""
    assert noise.time_weighted(np.full(4000, 70.0), 0.01, 1.0)[-1] == pytest.approx(70.0, abs=1e-6)


@given(st.lists(st.floats(0.0, 120.0), min_size=1, max_size=300), st.sampled_from([0.001, 0.05, 0.5, 3.0]))
def test_the_detector_is_the_recursion(some: list[float], dt_s: float) -> None:
    kept, state, decay = [], 0.0, math.exp(-dt_s / 0.125)
    for one in some:
        state = decay * state + (1.0 - decay) * 10.0 ** (one / 10.0)
        kept.append(10.0 * math.log10(state))
    assert np.allclose(noise.time_weighted(np.array(some), dt_s, 0.125), kept, atol=1e-6)


def test_the_largest_fast_level_is_above_the_largest_second() -> None:
    """Why LAFmax is not made of LAeq,1s: a clap of 50 ms."""
    clap = np.full(100, 50.0)
    clap[40:45] = 90.0
    fast = noise.time_weighted(np.repeat(clap, 10), 0.001, 0.125, before_db=50.0)
    assert float(fast.max()) > noise.leq(clap) + 5.0


# -- day, evening, night -----------------------------------------------------------------------------------------


def test_a_constant_level() -> None:
    assert noise.lden(60.0, 60.0, 60.0) == pytest.approx(66.395, abs=1e-3)
    assert math.isnan(noise.lden(60.0, math.nan, 60.0))


def test_a_state_may_choose_other_hours() -> None:
    short = noise.DayParts(day_h=6, evening_h=20, night_h=22)
    assert short.hours == (14, 2, 8)
    by_hand = 10 * math.log10((14 * 10**6.5 + 2 * 10**6.5 + 8 * 10**6.5) / 24)
    assert noise.lden(65.0, 60.0, 55.0, short) == pytest.approx(by_hand)
    for wrong in ({"day_h": 19, "evening_h": 7}, {"day_h": 0, "night_h": 24}):
        with pytest.raises(ValueError, match="in this order"):
            noise.DayParts(**wrong)


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 7), (date(2026, 10, 25), 9), (date(2026, 11, 23), 8)])
def test_the_night_of_a_clock_change_is_averaged_over_its_real_time(day: date, hours: int) -> None:
    """Loud from local midnight to 01:00, once; the weight of the night stays 8."""
    spans = noise_day(day, "Europe/Bucharest")
    start, end = spans[2][0][0], spans[2][-1][1]
    t = np.arange(start, end, 60 * NS)
    level = np.where(t < start + 3600 * NS, 70.0, 40.0)
    found = noise.day_levels(t, level, 60.0, spans)
    night = 10 * math.log10((10**7 + (hours - 1) * 10**4) / hours)
    assert found.lnight == pytest.approx(night, abs=1e-9)
    assert found.capture == (1.0, 1.0, 1.0)
    assert found.lden == pytest.approx(noise.lden(found.lday, found.levening, found.lnight), abs=1e-12)


def test_a_date_that_a_zone_skipped_has_no_level() -> None:
    skipped = noise_day(date(2011, 12, 30), "Pacific/Apia")
    found = noise.day_levels(np.arange(3) * NS, np.full(3, 60.0), 1.0, skipped)
    assert math.isnan(found.lden)
    assert all(math.isnan(share) for share in found.capture)


def test_a_half_observed_day_says_so() -> None:
    spans = noise_day(DAY, "UTC")
    t = np.arange(spans[0][0][0], spans[0][0][0] + 6 * 3600 * NS, NS)
    found = noise.day_levels(t, np.full(len(t), 55.0), 1.0, spans)
    assert found.lday == pytest.approx(55.0)
    assert math.isnan(found.levening)
    assert math.isnan(found.lden)
    assert found.capture == (0.5, 0.0, 0.0)
