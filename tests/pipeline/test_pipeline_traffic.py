"""Traffic measures: the two means, the rank of v85, flows of what was observed, and a trigger that trembles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pipeline import traffic

speeds = st.lists(st.floats(0.5, 60.0), min_size=1, max_size=50)


@given(speeds)
def test_the_time_mean_is_never_below_the_space_mean(some: list[float]) -> None:
    v = np.array(some)
    assert traffic.time_mean_speed(v) >= traffic.space_mean_speed(v) - 1e-9
    assert traffic.space_mean_speed(-v) == traffic.space_mean_speed(v)  # the sign is the direction


def test_what_stands_is_not_in_the_harmonic_mean() -> None:
    assert traffic.space_mean_speed(np.array([10.0, 0.0, 20.0, math.nan])) == pytest.approx(13.3333, abs=1e-4)
    assert traffic.time_mean_speed(np.array([10.0, 0.0, 20.0, math.nan])) == 10.0
    assert math.isnan(traffic.space_mean_speed(np.array([0.0])))
    assert math.isnan(traffic.time_mean_speed(np.array([])))


def test_v85_is_the_speed_of_a_vehicle() -> None:
    """125 vehicles: the 106th (TxDOT); numpy's linear percentile lies between two of them."""
    v = np.arange(125, dtype=np.float64)
    assert traffic.percentile_rank(125, 85.0) == 106
    assert traffic.v85(v[::-1].copy()) == 105.0 != float(np.percentile(v, 85.0))
    assert math.isnan(traffic.v85(v[:99], least=100))
    assert math.isnan(traffic.v85(np.array([])))


@given(speeds)
def test_v85_is_at_or_above_85_percent_or_one_vehicle_below(some: list[float]) -> None:
    v = np.array(some)
    at_or_below = int((v <= traffic.v85(v)).sum())
    assert at_or_below >= max(math.trunc(len(v) * 0.85), 1)


@given(st.floats(0.0, 70.0), st.floats(-80.0, 80.0), st.floats(-60.0, 60.0))
def test_the_cosine_goes_there_and_back(v: float, azimuth: float, elevation: float) -> None:
    shown = traffic.displayed_speed(v, azimuth, elevation)
    assert shown <= v + 1e-9
    assert float(traffic.true_speed(shown, azimuth, elevation)) == pytest.approx(v, abs=1e-9)


def test_a_beam_across_the_road_sees_no_speed() -> None:
    assert math.isnan(float(traffic.true_speed(0.0, 90.0)))
    assert traffic.true_speed(np.array([10.0, math.nan]), 60.0)[0] == pytest.approx(20.0)


def test_the_shift_of_a_k_band_radar() -> None:
    assert traffic.doppler_shift_hz(24.125e9, 1.0 / 3.6) == pytest.approx(44.7, abs=0.05)


def test_a_flow_is_made_of_what_was_observed() -> None:
    """Of an hour 2620 s were observed, and 90 cars counted: 90, 2620 and 123.66 are three numbers."""
    one = traffic.flow(90.0, 2620.0, 3600.0)
    assert (one.counted, one.observed_s) == (90.0, 2620.0)
    assert one.estimate == one.per_hour == pytest.approx(123.664, abs=1e-3)
    assert traffic.flow(12.0, 30.0, 60.0).per_hour == 1440.0
    assert traffic.flow(12.0, 30.0, 60.0).estimate == 24.0
    assert math.isnan(traffic.flow(0.0, 0.0, 60.0).per_hour)


def test_headway_density_and_occupancy() -> None:
    assert traffic.headways_s(np.array([0.0, 2.0, 5.0])).tolist() == [2.0, 3.0]
    assert len(traffic.headways_s(np.array([1.0]))) == 0
    assert math.isnan(traffic.mean_headway_s(0.0))
    assert math.isnan(traffic.density(100.0, 0.0))
    assert traffic.occupancy([], 30.0) == 0.0
    assert math.isnan(traffic.occupancy([], 0.0))


def test_one_vehicle_counts_once() -> None:
    x = np.array([10.0, 6.0, 4.0, 6.0, 4.0, 6.0, 10.0, 3.0, 10.0])
    assert traffic.hysteresis_count(x, 5.0, 8.0) == 2
    assert traffic.hysteresis_count(x, 5.0, 5.0) == 3  # what a single threshold makes of it


@given(st.lists(st.sampled_from([2.0, 5.0, 6.0, 8.0, 9.0, math.nan]), max_size=40), st.booleans(), st.integers(0, 40))
def test_the_trigger_is_the_state_machine_and_may_be_cut(some: list[float], on: bool, cut: int) -> None:
    by_hand, state = [], on
    for one in some:
        state = True if one < 5.0 else False if one > 8.0 else state
        by_hand.append(state)
    x = np.array(some, np.float64)
    found = traffic.hysteresis(x, 5.0, 8.0, on=on)
    assert found.tolist() == by_hand
    first = traffic.hysteresis(x[:cut], 5.0, 8.0, on=on)
    rest = traffic.hysteresis(x[cut:], 5.0, 8.0, on=bool(first[-1]) if len(first) else on)
    assert np.concatenate([first, rest]).tolist() == by_hand
    assert int(traffic.rises(found, on=on).sum()) == traffic.hysteresis_count(x, 5.0, 8.0, on=on)


def test_classes_of_speed() -> None:
    v = np.array([0.0, 9.99, 10.0, -35.0, 70.0, 130.0, math.nan])
    assert traffic.speed_classes(v).tolist() == [2, 1, 0, 1, 0, 0, 0, 2]
    assert traffic.speed_classes(v, (30.0, 50.0)).tolist() == [1, 2]
    assert traffic.speed_classes(np.array([])).sum() == 0
