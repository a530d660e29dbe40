"""Means of hours and days, and the data that each needs; limits, thresholds and what exceeds them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pipeline.air_limits import (
    EU_2008,
    EU_2024,
    LAWS,
    alert_information,
    alerts,
    exceedances,
    exceeded,
    limit_value,
    pm10_daily_exceedance_2008,
)  # fmt: skip
from gateway.pipeline.air_means import (
    VALIDITY,
    YEAR_SHARE,
    daily_mean,
    day_valid,
    eight_hour_means,
    eight_hour_valid,
    hour_mean_min_samples,
    hour_valid,
    least_of,
    max_daily_eight_hours,
    mean_of,
    us_max_daily_eight_hours,
    without_codes,
)  # fmt: skip

NAN = math.nan


def test_missing_codes_go_before_any_mean() -> None:
    values = np.array([[1.0, -200.0, 3.0], [NAN, -999.0, 65535.0]])
    clean = without_codes(values, (-200, -999, 65535))
    np.testing.assert_array_equal(clean, [[1.0, NAN, 3.0], [NAN, NAN, NAN]])
    np.testing.assert_array_equal(mean_of(clean, 1), [2.0, NAN])
    assert mean_of(values[0], 1) == pytest.approx(-196 / 3)  # what comes of it otherwise
    assert values[0, 1] == -200.0


@pytest.mark.parametrize(("tell", "least"), [(hour_valid, 45), (eight_hour_valid, 6), (day_valid, 18)])
def test_three_quarters_make_a_mean(tell: object, least: int) -> None:
    assert tell(least)  # type: ignore[operator]
    assert not tell(least - 1)  # type: ignore[operator]
    assert tell(np.array([least - 1, least])).tolist() == [False, True]  # type: ignore[operator]


def test_the_rules_are_three_quarters() -> None:
    assert all(one.least == least_of(one.of) for one in VALIDITY.values())
    assert YEAR_SHARE["2008"] == 0.9


@pytest.mark.parametrize(
    ("period_s", "share", "n"), [(10, 0.75, 270), (1, 0.75, 2700), (60, 0.75, 45), (7, 0.75, 386), (10, 0.9, 324)]
)  # fmt: skip
def test_samples_of_an_hour(period_s: float, share: float, n: int) -> None:
    assert hour_mean_min_samples(period_s, share) == n


def test_eight_hours_end_with_the_hour() -> None:
    means = eight_hour_means(np.arange(10, dtype=np.float64))
    np.testing.assert_array_equal(means, [NAN] * 5 + [2.5, 3.0, 3.5, 4.5, 5.5])


@pytest.mark.parametrize(("hours", "least"), [(24, 18), (23, 18), (25, 19)])
def test_a_day_may_have_23_or_25_hours(hours: int, least: int) -> None:
    day = np.full(hours, NAN)
    day[:least] = 6.0
    assert daily_mean(day) == 6.0
    day[0] = NAN
    assert math.isnan(daily_mean(day))


def test_an_eight_hour_mean_belongs_to_the_day_on_which_it_ends() -> None:
    """A night of ozone from 17:00 to 1:00: its mean is the first of the next day."""
    evening, hours = np.zeros(7), np.zeros(24)
    evening[:] = hours[0] = 80.0
    assert max_daily_eight_hours(np.concatenate([evening, hours])) == 80.0
    late = np.zeros(24)
    late[17:] = 80.0  # seven hours of this day alone
    assert max_daily_eight_hours(np.concatenate([np.zeros(7), late])) == 70.0


@pytest.mark.parametrize(("missing", "means", "largest"), [(0, 24, 50.0), (3, 18, 50.0), (4, 17, NAN)])
def test_eighteen_running_means_make_a_daily_maximum(missing: int, means: int, largest: float) -> None:
    hours = np.full(31, 50.0)
    hours[14 : 14 + missing] = NAN
    assert np.isfinite(eight_hour_means(hours)[7:]).sum() == means
    np.testing.assert_equal(float(max_daily_eight_hours(hours)), largest)


def test_the_united_states_count_by_the_hour_in_which_a_mean_starts() -> None:
    day, after = np.zeros(24), np.full(7, 80.0)
    day[23] = 80.0  # 23:00 to 7:00 of the next day
    assert us_max_daily_eight_hours(np.concatenate([day, after])) == 80.0
    day = np.zeros(24)
    day[:8] = 80.0  # 0:00 to 8:00 starts before 7:00
    assert us_max_daily_eight_hours(np.concatenate([day, np.zeros(7)])) == 10.0
    assert max_daily_eight_hours(np.concatenate([np.zeros(7), day])) == 80.0


@given(st.lists(st.floats(0, 500) | st.just(NAN), min_size=31, max_size=31))
def test_a_daily_maximum_is_one_of_the_means_of_that_day(hourly: list[float]) -> None:
    hours = np.array(hourly)
    largest = max_daily_eight_hours(hours)
    means = eight_hour_means(hours)[7:]
    assert math.isnan(largest) == (np.isfinite(means).sum() < 18)
    assert math.isnan(largest) or largest == np.nanmax(means)
    np.testing.assert_array_equal(max_daily_eight_hours(np.stack([hours, hours])), [largest, largest])


# -- limits --------------------------------------------------------------------------------------------------------

# (law, pollutant, averaging, level, allowed)
LIMITS = [
    ("eu_2024", "pm2_5", "day", 25, 18), ("eu_2024", "pm2_5", "year", 10, None), ("eu_2024", "pm10", "day", 45, 18),
    ("eu_2024", "pm10", "year", 20, None), ("eu_2024", "no2", "hour", 200, 3), ("eu_2024", "no2", "day", 50, 18),
    ("eu_2024", "no2", "year", 20, None), ("eu_2024", "so2", "hour", 350, 3), ("eu_2024", "so2", "day", 50, 18),
    ("eu_2024", "so2", "year", 20, None), ("eu_2024", "co", "day", 4000, 18),
    ("eu_2024", "co", "max_daily_8h", 10000, None),
    ("eu_2024", "c6h6", "year", 3.4, None), ("eu_2024", "o3", "max_daily_8h", 120, 18),
    ("eu_2008", "pm10", "day", 50, 35), ("eu_2008", "pm10", "year", 40, None), ("eu_2008", "pm2_5", "year", 25, None),
    ("eu_2008", "no2", "hour", 200, 18), ("eu_2008", "no2", "year", 40, None), ("eu_2008", "so2", "hour", 350, 24),
    ("eu_2008", "so2", "day", 125, 3), ("eu_2008", "o3", "max_daily_8h", 120, 25),
]  # fmt: skip


@pytest.mark.parametrize(("law", "pollutant", "averaging", "level", "allowed"), LIMITS)
def test_limits(law: str, pollutant: str, averaging: str, level: float, allowed: int | None) -> None:
    limit = limit_value(pollutant, averaging, LAWS[law])
    assert limit is not None
    assert (limit.level_ugm3, limit.allowed) == (level, allowed)
    assert exceedances(np.array([level, np.nextafter(level, 1e9), NAN]), limit) == 1


def test_what_the_law_does_not_limit() -> None:
    assert limit_value("pm2_5", "day", EU_2008) is None
    assert limit_value("no2", "max_daily_8h", EU_2024) is None
    assert alert_information("co") is None


def test_exceeding_is_being_strictly_greater() -> None:
    assert exceeded(np.array([50.0, 50.4, 50.5, 51.0, NAN]), 50.0).tolist() == [False, True, True, True, False]
    rounded = exceeded(np.array([50.0, 50.4, 50.5, 51.0, NAN]), 50.0, decimals=0)
    assert rounded.tolist() == [False, False, True, True, False]
    assert pm10_daily_exceedance_2008(np.array([50.0, 51.0])).tolist() == [False, True]


# (law, pollutant, information, alert, in a row)
THRESHOLDS = [
    (EU_2024, "so2", 275, 350, 3), (EU_2024, "no2", 150, 200, 3), (EU_2024, "pm2_5", 50, 50, 1),
    (EU_2024, "pm10", 90, 90, 1), (EU_2024, "o3", 180, 240, 1), (EU_2008, "so2", None, 500, 3),
    (EU_2008, "no2", None, 400, 3), (EU_2008, "o3", 180, 240, 1),
]  # fmt: skip


@pytest.mark.parametrize(("law", "pollutant", "information", "alert", "n"), THRESHOLDS)
def test_thresholds(law: object, pollutant: str, information: float | None, alert: float, n: int) -> None:
    found = alert_information(pollutant, law)  # type: ignore[arg-type]
    assert found is not None
    assert (found.information_ugm3, found.alert_ugm3, found.in_a_row) == (information, alert, n)
    hours = np.array([alert + 1.0] * n + [alert] + [alert + 1.0] * (n + 1))
    expected = [False] * (n - 1) + [True] + [False] * n + [True, True]
    assert alerts(hours, found).tolist() == expected


def test_a_missing_hour_breaks_an_alert() -> None:
    found = alert_information("no2")
    assert found is not None
    assert alerts(np.array([300.0, 300.0, NAN, 300.0, 300.0]), found).any() == np.False_
