"""Filters: the kernels against the definition read literally, and what they do at the ends, with NaN, and to time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_samples import NS, START_NS, block
from stage_laws import let_go, run, together

from gateway.block import Block, Flag
from gateway.pipeline import filters, rolling
from gateway.pipeline.centred import Centred, HampelFilter
from gateway.pipeline.filtered import EwmaFilter, MedianFilter
from gateway.pipeline.stage import Stage

NAN = math.nan
GOOD, SUSPECT, FAIL, MISSING, ABSENT = Flag.GOOD, Flag.SUSPECT, Flag.FAIL, Flag.MISSING, Flag.ABSENT
numbers = st.one_of(st.sampled_from([0.0, 1.0, 1.1, 2.0, 5.0, -7.0, 1e6]), st.just(NAN))
series = st.lists(numbers, max_size=40)


# -- kernels -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("w", sorted(rolling.NETWORKS))
def test_a_network_finds_the_median_of_anything(w: int) -> None:
    """By the 0-1 principle: comparators that sort all rows of zeros and ones sort everything."""
    rows = np.array(list(itertools.product([0.0, 1.0], repeat=w))).T
    assert np.array_equal(rolling.median_of(rows.copy()), np.median(rows, axis=0))


def test_a_network_that_lacks_a_comparator_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "NETWORKS", {5: rolling.NETWORKS[5][:-1]})
    with pytest.raises(AssertionError):
        test_a_network_finds_the_median_of_anything(5)


def hampel_by_definition(x: Sequence[float], k: int, n_sigmas: float, floor: float) -> list[bool]:
    out = [False] * len(x)
    for i in range(k, len(x) - k):
        window = x[i - k : i + k + 1]
        if not any(map(math.isnan, window)):
            middle = float(np.median(window))
            sigma = max(1.4826 * float(np.median([abs(value - middle) for value in window])), floor)
            out[i] = abs(x[i] - middle) > n_sigmas * sigma
    return out


@given(series, st.integers(1, 5), st.sampled_from([0.5, 3.0]), st.sampled_from([0.0, 0.1]))
def test_hampel_is_what_the_definition_says(x: list[float], k: int, n_sigmas: float, floor: float) -> None:
    assert filters.hampel(np.array(x), k, n_sigmas, floor).tolist() == hampel_by_definition(x, k, n_sigmas, floor)


def test_long_series_go_through_in_blocks_without_a_seam() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=2 * rolling.BLOCK + 17)
    windows = np.lib.stride_tricks.sliding_window_view(x, 7)
    middle = np.median(windows, axis=1)
    mad = np.median(np.abs(windows - middle[:, None]), axis=1)
    expected = np.abs(x[3:-3] - middle) > 3 * 1.4826 * mad
    assert np.array_equal(filters.hampel(x, 3)[3:-3], expected)
    flat = np.repeat(rng.integers(0, 3, 9000), rng.integers(1, 9, 9000))[: len(x)] + 0.0
    expected = np.ptp(np.lib.stride_tricks.sliding_window_view(flat, 6), axis=1) < 0.5
    assert np.array_equal(rolling.flat(flat, 5, 0.5)[5:], expected)


def test_columns_are_judged_one_by_one() -> None:
    x = np.array([[5.0, 5.0]] * 3 + [[9.0, 5.0]] + [[5.0, 5.0]] * 3)
    assert np.argwhere(filters.hampel(x, 3)).tolist() == [[3, 0]]


def test_replaced_values_do_not_enter_later_medians() -> None:
    filtered, outlier = filters.hampel_filter(np.array([1.0, 1, 9, 9, 1, 1, 1]), 1, 0.5, 0.1)
    assert filtered.tolist() == [1, 1, 9, 9, 1, 1, 1]
    assert not outlier.any()


def test_windows_may_end_where_the_series_does() -> None:
    x = np.array([9.0, 5, 5, 5, 5, 5, 9])
    assert filters.hampel_filter(x, 2)[0].tolist() == x.tolist()
    filtered, outlier = filters.hampel_truncated(x, 2)
    assert filtered.tolist() == [5.0] * 7
    assert np.flatnonzero(outlier).tolist() == [0, 6]


@given(series, st.integers(0, 8), st.sampled_from([0.0, 0.05, 0.2, 3.0]))
def test_flat_is_what_the_definition_says(x: list[float], n: int, tolerance: float) -> None:
    expected = []
    for i, value in enumerate(x):
        there = [one for one in x[max(i - n, 0) : i + 1] if not math.isnan(one)]
        expected.append(i >= n and not math.isnan(value) and max(there) - min(there) < tolerance)
    assert rolling.flat(np.array(x, np.float64), n, tolerance).tolist() == expected


@given(series, st.lists(st.sampled_from([1, 2, 30]), min_size=40, max_size=40), st.sampled_from([1, 5, 40]))
def test_trailing_windows_of_time(x: list[float], dt: list[int], period: int) -> None:
    t = np.cumsum(dt[: len(x)], dtype=np.int64)
    values = np.array(x, np.float64)
    start = rolling.starts(t, period)
    extent, deviation = rolling.trailing_extent(values, start), rolling.trailing_deviation(values, start)
    for i in range(len(x)):
        own = values[: i + 1][t[: i + 1] > t[i] - period]
        there = own[~np.isnan(own)]
        assert start[i] == i + 1 - len(own)
        if len(there):
            assert extent[i] == np.ptp(there)
            assert deviation[i] == pytest.approx(np.std(there), rel=1e-8, abs=1e-14)
        else:
            assert extent[i] == -math.inf
            assert math.isnan(deviation[i])


# -- medians and means -------------------------------------------------------------------------------------------


@given(series, st.integers(1, 6))
def test_running_median(x: list[float], n: int) -> None:
    out = filters.running_median(np.array(x, np.float64), n)
    expected = [NAN if i + 1 < n else float(np.median(x[i + 1 - n : i + 1])) for i in range(len(x))]
    np.testing.assert_array_equal(out, expected)


def test_an_even_median_filter_has_no_middle() -> None:
    with pytest.raises(ValueError, match="odd"):
        filters.median_filter(np.zeros(4), 4)


@given(series, st.sampled_from([1e-3, 0.25, 0.9, 1.0]))
def test_ewma_is_its_recursion(x: list[float], alpha: float) -> None:
    y, expected, age, weights, total = NAN, [], 0, 0.0, 0.0
    corrected = []
    for value in x:
        age += 1
        weights, total = weights * (1 - alpha), total * (1 - alpha)
        if not math.isnan(value):
            old = (1 - alpha) ** age
            y = value if math.isnan(y) else (old * y + alpha * value) / (old + alpha)
            weights, total, age = weights + 1, total + value, 0
        expected.append(y)
        corrected.append(NAN if math.isnan(y) else corrected[-1] if math.isnan(value) else total / weights)
    scale = 1e-9 * (1 + max((abs(value) for value in x if not math.isnan(value)), default=0))
    np.testing.assert_allclose(filters.ewma(np.array(x, np.float64), alpha), expected, atol=scale)
    np.testing.assert_allclose(filters.ewma_bias_corrected(np.array(x, np.float64), alpha), corrected, atol=scale)


def test_the_weight_of_a_value_is_that_of_its_time() -> None:
    assert filters.ewma_alpha(10, 60) == pytest.approx(1 - math.exp(-1 / 6))
    assert filters.ewma_alpha(1e-9, 60) == pytest.approx(1e-9 / 60)
    assert filters.ewma_alpha(math.inf, 60) == 1.0


# -- deadband ----------------------------------------------------------------------------------------------------


def reported(x: Sequence[float], band: float, heartbeat_s: float = 99.0, status: Sequence[int] | None = None) -> list:
    t = np.arange(len(x), dtype=np.int64) * NS
    states = None if status is None else np.array(status, np.int64)
    return np.flatnonzero(filters.deadband(np.array(x, np.float64), t, band, round(heartbeat_s * NS), states)).tolist()


def test_a_deadband_goes_by_the_last_value_that_was_reported() -> None:
    assert reported([0, 0.6, 1.0, 1.1, 1.6, 2.2], 1.0) == [0, 3, 5]
    assert reported([0, 0.9, 1.8, 2.7], 1.0) == [0, 2], "a slow drift is seen"


def test_a_heartbeat_tells_a_steady_value_from_a_dead_sensor() -> None:
    assert reported([5.0] * 10, 1.0, heartbeat_s=3) == [0, 3, 6, 9]
    assert reported([5.0] * 10, 1.0) == [0]


def test_a_change_of_status_is_always_reported() -> None:
    assert reported([5.0] * 5, 1.0, status=[1, 1, 3, 3, 1]) == [0, 2, 4]
    assert reported([5.0, NAN, NAN, 5.0], 1.0) == [0, 1, 3]


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 4.0]), max_size=60), st.sampled_from([0.0, 0.6, 1.0]))
def test_a_deadband_loses_no_more_than_its_band(x: list[float], band: float) -> None:
    at = reported(x, band, heartbeat_s=5)
    last = -1
    for i, value in enumerate(x):
        last = i if i in at else last
        assert abs(value - x[last]) <= band
        assert i - last < 5


def test_a_deadband_looks_far_ahead() -> None:
    assert reported([0.0] * 700 + [9.0] + [9.0] * 700, 1.0, heartbeat_s=1e6) == [0, 700]


# -- stages ------------------------------------------------------------------------------------------------------


def beside(stage: Stage, one: Block) -> tuple[list[float], list[int]]:
    state, out = run(stage, [one])
    out = together([out, *let_go(stage, state, np.iinfo(np.int64).max)[1]])
    assert out.v.shape[1] == one.v.shape[1] + 1
    return out.v[:, -1].tolist(), out.flag[:, -1].tolist()


def test_hampel_stands_beside_what_was_measured() -> None:
    stage = Centred((HampelFilter(0, 2, 3.0, 0.1),), 3 * NS // 2, 1)
    one = block([5.0, 5.0, 9.0, 5.0, 5.0, 7.0], flag=[GOOD, GOOD, SUSPECT, GOOD, GOOD, FAIL])
    assert beside(stage, one) == ([5, 5, 5, 5, 5, 7], [1, 1, 3, 1, 1, 4])


def test_a_running_median_is_not_due_before_it_is_full() -> None:
    values, flags = beside(MedianFilter(0, 3), block([5.0, 9.0, NAN, 6.0, 8.0], flag=[GOOD, GOOD, MISSING, GOOD, GOOD]))
    np.testing.assert_array_equal(values, [NAN, NAN, NAN, 6.0, 8.0])
    assert flags == [ABSENT, ABSENT, MISSING, GOOD, GOOD]


@given(
    st.lists(st.sampled_from([0.0, 1.0, 5.0, 1e4]), min_size=1, max_size=40),
    st.lists(st.sampled_from([0.0, 0.1, 1.0, 30.0, 5000.0]), min_size=40, max_size=40),
    st.sampled_from([0.5, 20.0]),
)
def test_ewma_follows_true_time(x: list[float], dt_s: list[float], tau_s: float) -> None:
    at_s = np.cumsum(dt_s[: len(x)])
    expected = [x[0]]
    for value, dt in zip(x[1:], dt_s[1:], strict=False):
        a = filters.ewma_alpha(dt, tau_s)
        expected.append(a * value + (1 - a) * expected[-1])
    values, _ = beside(EwmaFilter(0, tau_s), block(x, at_s.tolist(), flag=GOOD))
    np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-9)


def test_ewma_begins_anew_when_the_clock_was_set_back() -> None:
    stage = EwmaFilter(0, 10.0)
    state, _ = stage.step(stage.initial(), block([5.0, 5.0], [100, 101], flag=GOOD))
    _, out = stage.step(state, block([9.0], [3], flag=GOOD))
    assert out.v[0, 1] == 9.0
    assert out.t[0] == START_NS + 3 * NS
