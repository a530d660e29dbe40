"""Directions on the circle, and what reports say of a few values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pipeline import summary, wind

angles = st.lists(st.floats(0.0, 359.9), min_size=1, max_size=30)


def test_north_lies_between_350_and_10() -> None:
    mean = wind.circular_mean_deg(np.array([350.0, 10.0]))
    assert min(mean, 360.0 - mean) == pytest.approx(0.0, abs=1e-9)
    assert math.isnan(wind.circular_mean_deg(np.array([0.0, 180.0])))
    assert math.isnan(wind.circular_mean_deg(np.array([0.0, 120.0, 240.0])))
    assert math.isnan(wind.circular_mean_deg(np.array([math.nan])))
    assert wind.circular_mean_deg(np.array([math.nan, 90.0])) == pytest.approx(90.0)


@given(angles, st.floats(-720.0, 720.0))
def test_turning_all_turns_the_mean(some: list[float], turn: float) -> None:
    mean, length = wind.resultant(np.array(some))
    turned, same = wind.resultant(np.array(some) + turn)
    assert same == pytest.approx(length, abs=1e-9)
    if length > 1e-3:
        assert math.cos(math.radians(mean + turn - turned)) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("angle", "sector"), [(0.0, 0), (11.24, 0), (11.25, 1), (348.74, 15), (348.75, 0), (180.0, 8)])
def test_sectors(angle: float, sector: int) -> None:
    assert wind.sector_of(np.array([angle]))[0] == sector


@given(st.integers(0, 15))
def test_a_sector_is_its_own_mean(sector: int) -> None:
    mean = wind.circular_mean_sector(np.array([float(sector)]))
    assert min(abs(mean - sector), 16.0 - abs(mean - sector)) == pytest.approx(0.0, abs=1e-9)


def test_the_wind_of_a_calm_and_of_two_winds_against_each_other() -> None:
    calm = wind.vector_mean_wind(np.array([0.0, 0.0]), np.array([10.0, 20.0]))
    assert (calm.resultant_speed, calm.scalar_speed) == (0.0, 0.0)
    assert math.isnan(calm.direction_deg)
    against = wind.vector_mean_wind(np.array([2.0, 2.0, math.nan]), np.array([0.0, 180.0, 5.0]))
    assert against.resultant_speed == pytest.approx(0.0, abs=1e-9)
    assert against.scalar_speed == 2.0
    assert all(math.isnan(one) for one in wind.vector_mean_wind(np.array([]), np.array([])))


def test_what_reports_say() -> None:
    x = np.array([2.0, math.nan, 4.0])
    assert summary.spread(x) == pytest.approx((1.0, math.sqrt(2.0), 1.0))
    assert math.isnan(summary.spread(x[:1]).sem)
    assert all(math.isnan(one) for one in summary.spread(x[:0]))
    assert summary.data_capture(361, 360) == 1.0
    assert math.isnan(summary.data_capture(0, 0))
    assert summary.percentile(x, 50.0) == 3.0
    assert summary.percentile(x, 50.0, "lower") == 2.0
    assert math.isnan(summary.percentile(x[:0], 50.0))


def test_means_of_hours_are_not_weighted_by_what_is_in_them() -> None:
    found = summary.means(np.array([0, 10, 20, 3600, 7300]), np.array([1.0, 2.0, 3.0, 6.0, math.nan]), 3600)
    assert (found.start.tolist(), found.mean.tolist(), found.n.tolist()) == ([0, 3600], [2.0, 6.0], [3, 1])
    assert found.mean.mean() == 4.0 != 3.0
