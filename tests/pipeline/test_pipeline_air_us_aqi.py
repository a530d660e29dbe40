"""The US AQI of 2024 and NowCast: both sides of each breakpoint, halves, gaps, and what has no index."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pipeline.air_us_aqi import (
    BANDS,
    TABLES,
    nowcast_pm,
    us_aqi,
    us_aqi_daily,
    us_aqi_multi,
    us_aqi_o3,
    us_aqi_so2,
)  # fmt: skip

NAN = math.nan
EDGES = [
    (name, i, upper, BANDS[table.first_band + i])
    for name, table in TABLES.items()
    for i, upper in enumerate(table.upper)
]


@pytest.mark.parametrize(("name", "i", "upper", "band"), EDGES)
def test_both_sides_of_each_breakpoint(name: str, i: int, upper: int, band: tuple[int, int]) -> None:
    table = TABLES[name]
    assert us_aqi(name, upper / table.steps) == band[1]
    assert us_aqi(name, (upper + 0.99) / table.steps) == band[1]  # truncated, never rounded
    lower = table.lowest if i == 0 else table.upper[i - 1] + 1
    assert us_aqi(name, lower / table.steps) == band[0]
    if i + 1 < len(table.upper):
        assert us_aqi(name, (upper + 1) / table.steps) == BANDS[table.first_band + i + 1][0]


def test_the_tables_are_those_that_are_published() -> None:
    assert [upper / 10 for upper in TABLES["pm2_5_24h"].upper] == [9.0, 35.4, 55.4, 125.4, 225.4, 325.4, 500.4]
    assert TABLES["pm10_24h"].upper == (54, 154, 254, 354, 424, 504, 604)
    assert TABLES["no2_1h"].upper == (53, 100, 360, 649, 1249, 1649, 2049)
    assert [len(table.upper) + table.first_band for table in TABLES.values()] == [7, 7, 5, 7, 7, 4, 7, 7]


# (table, concentration, index)
KNOWN = [
    ("pm2_5_24h", 5.0, 28), ("pm2_5_24h", 9.05, 50), ("pm2_5_24h", 35.92431999, 102), ("pm2_5_24h", 250.0, 325),
    ("pm10_24h", 54.9, 50), ("o3_8h", 0.07853333, 126), ("o3_8h", 0.08, 133), ("o3_8h", 0.072, 105),
    ("o3_1h", 0.162, 147),
    ("co_8h", 8.4, 90), ("co_8h", 1.1, 13), ("no2_1h", 53.7, 50), ("no2_1h", 500, 175), ("so2_1h", 40, 56),
    # none: below nothing, missing, and where another averaging time must tell
    ("pm2_5_24h", -0.1, NAN), ("pm2_5_24h", NAN, NAN), ("o3_1h", 0.1249, NAN), ("o3_8h", 0.201, NAN),
    ("so2_24h", 304.9, NAN),
    # beyond
    ("pm2_5_24h", 600.0, 500), ("pm10_24h", 605, 500), ("co_8h", 51.0, 500), ("o3_1h", 0.7, 500), ("so2_1h", 305, 200),
    ("so2_24h", 1005, 500), ("no2_1h", 1e30, 500), ("pm2_5_24h", math.inf, 500),
]  # fmt: skip


@pytest.mark.parametrize(("table", "concentration", "index"), KNOWN)
def test_known_indices(table: str, concentration: float, index: float) -> None:
    np.testing.assert_equal(float(us_aqi(table, concentration)), float(index))


def test_beyond_the_index_goes_on_with_the_last_slope() -> None:
    assert us_aqi("pm2_5_24h", 600.0, beyond=True) == 556
    assert us_aqi("pm2_5_24h", 500.4, beyond=True) == 500
    assert us_aqi("pm10_24h", 703.9, beyond=True) == 599
    assert us_aqi("so2_1h", 400, beyond=True) == 200  # there the 24-hour mean tells


@given(st.sampled_from(list(TABLES)), st.integers(0, 20_000))
def test_a_half_goes_up(name: str, steps: int) -> None:
    """As counted in fractions, where a half is a half."""
    table = TABLES[name]
    band = next((i for i, upper in enumerate(table.upper) if steps <= upper), None)
    if band is None or steps < table.lowest:
        return
    lo, hi = BANDS[table.first_band + band]
    bottom = table.lowest if band == 0 else table.upper[band - 1] + 1
    exact = Fraction(hi - lo, table.upper[band] - bottom) * (steps - bottom) + lo
    assert us_aqi(name, steps / table.steps) == math.floor(exact + Fraction(1, 2))


@given(st.sampled_from(["pm2_5_24h", "pm10_24h", "co_8h", "no2_1h"]), st.lists(st.floats(0, 3000), min_size=2))
def test_more_is_never_better(name: str, values: list[float]) -> None:
    assert (np.diff(us_aqi(name, np.sort(values))) >= 0).all()


def test_ozone_is_the_larger_of_two_indices() -> None:
    assert us_aqi_o3(0.078, 0.162) == 147
    assert us_aqi_o3(0.078, 0.1) == 126
    assert us_aqi_o3(0.078, NAN) == 126
    assert us_aqi_o3(0.25, 0.41) == 306
    assert math.isnan(us_aqi_o3(NAN, 0.1))


# (largest hour, mean of 24 hours, index)
SO2 = [
    (304, 400, 200),
    (305, 304.9, 200),
    (305, 305, 201),
    (900, 604, 300),
    (900, NAN, 200),
    (75, 10, 100),
    (NAN, 10, NAN),
]


@pytest.mark.parametrize(("hour", "day", "index"), SO2)
def test_sulphur_dioxide_goes_by_the_day_from_305_on(hour: float, day: float, index: float) -> None:
    np.testing.assert_equal(float(us_aqi_so2(hour, day)), float(index))


def test_the_largest_index_is_told_and_whose_it_is() -> None:
    assert us_aqi_multi({"o3_8h": 0.078, "pm2_5_24h": 35.9, "co_8h": 8.4}) == (126, "o3")
    assert us_aqi_multi({"o3_8h": 0.05, "o3_1h": 0.162, "pm2_5_24h": 35.9}) == (147, "o3")
    assert us_aqi_multi({"so2_1h": 400.0, "so2_24h": 310.0}) == (203, "so2")
    assert us_aqi_multi({"pm2_5_24h": NAN, "no2_1h": -1.0}) is None
    assert us_aqi_multi({"pm2_5_24h": 9.0, "pm10_24h": 54.0}) == (50, "pm2_5")


# (pollutant, hours of a day, index)
DAYS = [
    ("pm2_5", [4.0] * 23 + [60.0], 35),
    ("pm2_5", [4.0] * 18 + [NAN] * 6, 22),
    ("pm2_5", [4.0] * 17 + [NAN] * 7, NAN),
    ("pm10", [30.0] * 24, 28),
    ("no2", [10.0] * 23 + [500.0], 175),
    ("no2", [500.0] * 17 + [NAN] * 7, NAN),
    ("co", [0.0] * 16 + [8.4] * 8, 90),
    ("o3", [0.02] * 16 + [0.078] * 8, 126),
    ("o3", [0.02] * 23 + [0.162], 147),
    ("so2", [10.0] * 23 + [400.0], 200),
    ("so2", [320.0] * 24, 206),
]  # fmt: skip


@pytest.mark.parametrize(("pollutant", "hourly", "index"), DAYS)
def test_days(pollutant: str, hourly: list[float], index: float) -> None:
    np.testing.assert_equal(float(us_aqi_daily(pollutant, np.array(hourly))), float(index))
    two = us_aqi_daily(pollutant, np.array([hourly, hourly]))
    np.testing.assert_array_equal(two, [index, index])


# -- NowCast -------------------------------------------------------------------------------------------------------

WORKED = np.array([50, 80, 75, 90, 82, 53, 64, 74, 21, 10, 16, 13], np.float64)


def test_the_worked_example_of_the_epa() -> None:
    assert float(nowcast_pm(WORKED)) == pytest.approx(17.413919413919412, abs=1e-9)
    assert float(nowcast_pm(np.concatenate([[999.0] * 12, WORKED]))) == pytest.approx(17.413919413919412, abs=1e-9)


# (hours, oldest first; NowCast)
CASTS = [
    ([20.0, NAN, NAN, 10.0], NAN),
    ([20.0, NAN, 10.0], (10.0 + 0.25 * 20.0) / 1.25),  # the missing hour keeps its exponent
    ([20.0, 10.0, NAN], (0.5 * 10.0 + 0.25 * 20.0) / 0.75),
    ([NAN, NAN], NAN),
    ([7.0, 7.0], 7.0),
    ([0.0, 0.0, 0.0], 0.0),
    ([0.0, 8.0], 16.0 / 3),
    ([7.0], NAN),
    ([], NAN),
]  # fmt: skip


@pytest.mark.parametrize(("hourly", "cast"), CASTS)
def test_gaps_and_plain_air(hourly: list[float], cast: float) -> None:
    np.testing.assert_allclose(float(nowcast_pm(np.array(hourly))), cast, rtol=1e-12)


@given(st.lists(st.floats(0, 500) | st.just(NAN), min_size=3, max_size=12))
def test_a_nowcast_is_between_the_hours_that_it_is_made_of(hourly: list[float]) -> None:
    cast = float(nowcast_pm(np.array(hourly)))
    known = [one for one in hourly if one == one]
    if sum(one == one for one in hourly[-3:]) < 2:
        assert math.isnan(cast)
    else:
        assert min(known) - 1e-9 <= cast <= max(known) + 1e-9
