"""The QARTOD tests as pure functions: edges, ends and times; what they say of real data stands in tests/science."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pipeline import qartod
from gateway.pipeline.climatology import PERIODS, Member, climatology
from gateway.pipeline.qartod import NO_TIME, NS

NAN = math.nan
EMPTY, NO_T = np.empty(0), np.empty(0, np.int64)


def t(*seconds: float) -> np.ndarray:
    return np.array([NO_TIME if math.isnan(s) else round(s * NS) for s in seconds], np.int64)


def test_nothing_in_nothing_out() -> None:
    assert not len(qartod.gross_range(EMPTY, (0, 1)))
    assert not len(qartod.spike(EMPTY, 1.0))
    assert not len(qartod.rate_of_change(EMPTY, NO_T, 1.0))
    assert not len(qartod.flat_line(EMPTY, NO_T, 1, 2, 0.1))
    assert not len(qartod.attenuated_signal(EMPTY, NO_T, 1.0, 0.5))
    assert not len(qartod.attenuated_signal(EMPTY, NO_T, 1.0, 0.5, period_s=10.0))
    assert not len(climatology([], EMPTY, NO_T))
    assert not len(qartod.time_gap(NO_T))
    assert not len(qartod.data_reception(NO_T, 0))
    assert not len(qartod.percentile_range(EMPTY))
    assert not len(qartod.syntax([], 3))


def test_only_missing_values_are_missing() -> None:
    x, at = np.full(4, NAN), t(0, 1, 2, 3)
    for flag in (
        qartod.gross_range(x, (0, 1)), qartod.spike(x, 1.0), qartod.rate_of_change(x, at, 1.0),
        qartod.flat_line(x, at, 1, 2, 0.1), qartod.attenuated_signal(x, at, 1.0, 0.5),
        qartod.attenuated_signal(x, at, 1.0, 0.5, period_s=10.0, check="range"),
        climatology([Member("month", (1, 12), (0.0, 1.0))], x, at), qartod.percentile_range(x),
    ):  # fmt: skip
        assert flag.tolist() == [9] * 4


def test_spans_may_be_given_either_way_round_but_not_cross() -> None:
    assert qartod.gross_range(np.array([1.0, 5.0]), (4, 0)).tolist() == [1, 4]
    with pytest.raises(ValueError, match="outside"):
        qartod.gross_range(EMPTY, (0, 4), (1, 5))


def test_what_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="average, differential"):
        qartod.spike(np.zeros(3), 1.0, method="mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="std, range"):
        qartod.attenuated_signal(np.zeros(3), t(0, 1, 2), 1.0, 0.5, check="var")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="char or byte"):
        qartod.syntax(["a"], 1, "word")
    with pytest.raises(ValueError, match="length"):
        qartod.aggregate([np.zeros(2, np.uint8), np.zeros(3, np.uint8)])


def test_thresholds_are_exceeded_strictly() -> None:
    assert qartod.spike(np.array([0.0, 1.0, 0.0]), 1.0, method="differential").tolist() == [2, 1, 2]
    assert qartod.rate_of_change(np.array([0.0, 1.0]), t(0, 1), 1.0).tolist() == [1, 1]
    assert qartod.flat_line(np.zeros(4), t(0, 1, 2, 3), 1, 2, 0.0).tolist() == [1] * 4
    assert qartod.attenuated_signal(np.array([0.0, 1.0]), t(0, 1), 0.5, 0.1).tolist() == [1, 1]


def test_a_window_counts_what_is_there() -> None:
    x, at = np.array([0.0, NAN, 0.0, 9.0, 0.0]), t(0, 1, 2, 3, 4)
    by_range = qartod.attenuated_signal(x, at, 1.0, 0.5, check="range", period_s=2.0)
    assert by_range.tolist() == [4, 9, 2, 1, 1], "beside a missing value no range is known"
    assert qartod.attenuated_signal(x, at, 1.0, 0.5, period_s=2.0, min_obs=2).tolist() == [2, 9, 2, 1, 1]
    assert qartod.attenuated_signal(x, at, 1.0, 0.5, period_s=3.0, min_period_s=3.0).tolist() == [2, 9, 2, 2, 1]


def test_times_that_are_missing() -> None:
    assert qartod.time_gap(t(0, NAN, 1, 2, 9000), 1.0).tolist() == [2, 9, 2, 1, 4]
    assert qartod.time_gap(t(0, 9000, 9001), 1.0).tolist() == [4, 4, 1]
    assert qartod.time_gap(t(5)).tolist() == [1]
    assert qartod.data_reception(t(0, NAN, 9000, 99999), 9000 * NS, 1.0).tolist() == [4, 9, 1, 1]


def test_a_later_member_overrules_an_earlier_one() -> None:
    all_year, spring = Member("month", (1, 12), (0.0, 10.0), (-5.0, 20.0)), Member("month", (3, 5), (0.0, 30.0))
    x, at = (
        np.array([25.0, 25.0, 15.0]),
        np.array(["2026-01-01", "2026-04-01", "2026-06-01"], "M8[ns]").astype(np.int64),
    )
    assert climatology([all_year, spring], x, at).tolist() == [4, 1, 3]
    assert climatology([spring], x, at).tolist() == [2, 1, 2]


def test_depths() -> None:
    deep = Member("month", (1, 12), (0.0, 1.0), depth=(10.0, 20.0))
    x, at = np.array([5.0, 5.0, 5.0]), t(0, 1, 2)
    assert climatology([deep], x, at, np.array([15.0, 25.0, NAN])).tolist() == [3, 2, 2]
    assert climatology([deep], x, at).tolist() == [2, 2, 2]


@given(st.integers(0, 4_000_000_000))
def test_times_read_as_the_calendar_has_them(seconds: int) -> None:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    own = {
        "year": at.year, "quarter": (at.month - 1) // 3 + 1, "month": at.month, "week": at.isocalendar().week,
        "weekofyear": at.isocalendar().week, "dayofyear": at.timetuple().tm_yday, "dayofweek": at.weekday(),
        "day": at.day, "hour": at.hour, "minute": at.minute,
    }  # fmt: skip
    assert {name: int(read(np.array([seconds * NS]))[0]) for name, read in PERIODS.items()} == own


def test_flags_are_counted_in_their_order() -> None:
    assert qartod.flag_counts(np.array([4, 1, 1, 9], np.uint8)) == {1: 2, 4: 1, 9: 1}
