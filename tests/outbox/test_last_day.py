"""The last day: rates over what was watched, delays to five percent, and both over a restart."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from gateway.last_day import HOUR_NS, NS, LastDay

T_NS = 1_767_225_600 * NS
MINUTE_NS = 60 * NS


def watched(minutes: int, per_minute: float, *, start_ns: int = T_NS, day: LastDay | None = None) -> LastDay:
    day = day or LastDay()
    for i in range(minutes + 1):
        day.count(start_ns + i * MINUTE_NS, i * MINUTE_NS, {"bytes": i * per_minute})
    return day


def test_a_rate_is_by_what_was_watched() -> None:
    assert watched(10, 1000.0).per_day("bytes") == pytest.approx(1000.0 * 1440)
    assert watched(3000, 1000.0).per_day("bytes") == pytest.approx(1000.0 * 1440)


def test_too_little_gives_no_rate() -> None:
    assert watched(9, 1000.0).per_day("bytes") is None
    assert watched(60, 1000.0).per_day("others") is None
    assert LastDay().per_day("bytes") is None


def test_what_was_yesterday_is_forgotten() -> None:
    day = watched(24 * 60, 9000.0)
    assert watched(25 * 60, 10.0, start_ns=T_NS + 24 * HOUR_NS, day=day).per_day("bytes") == pytest.approx(10.0 * 1440)
    assert day.watched_s <= 24 * 3600


def test_a_restart_costs_nothing_and_counts_nothing_twice() -> None:
    before = watched(60, 1000.0)
    after = LastDay(before.save())
    assert after.per_day("bytes") == before.per_day("bytes")
    watched(60, 1000.0, start_ns=T_NS + 2 * HOUR_NS, day=after)  # off for an hour, and the counters began at 0 again
    assert after.per_day("bytes") == pytest.approx(1000.0 * 1440)
    assert after.watched_s == 7200


@pytest.mark.parametrize("saved", ["", "{", "[]", "null", '{"a": 1}', '{"5": {"watched_s": "long"}}', "\x00"])
def test_whatever_was_saved_it_begins(saved: str) -> None:
    assert watched(20, 10.0, day=LastDay(saved)).per_day("bytes") == pytest.approx(14_400.0)


def test_a_clock_that_was_put_right_leaves_no_hours_of_the_wrong_time() -> None:
    day = watched(60, 9000.0, start_ns=0)
    assert watched(60, 10.0, day=day).per_day("bytes") == pytest.approx(14_400.0)
    ahead = watched(60, 9000.0, start_ns=T_NS + 1000 * HOUR_NS)
    assert watched(60, 10.0, day=ahead).per_day("bytes") == pytest.approx(14_400.0)


def test_a_counter_that_was_set_back_does_not_make_the_rate_negative() -> None:
    day = watched(30, 1000.0)
    day.count(T_NS + 31 * MINUTE_NS, 31 * MINUTE_NS, {"bytes": 0.0})
    assert 0.0 < (day.per_day("bytes") or 0.0) < 1_440_000.0


@given(st.lists(st.floats(0.05, 1e6), min_size=1, max_size=300))
def test_delays_are_right_to_five_percent(delays: list[float]) -> None:
    day = LastDay()
    day.delivered(T_NS, delays)
    found = LastDay(day.save()).delay()
    assert found is not None
    assert found.n == len(delays)
    assert found.longest_s == max(delays)
    ordered = np.sort(delays)
    for share, value in ((0.5, found.median_s), (0.95, found.p95_s)):
        true = ordered[max(0, int(np.ceil(len(delays) * share)) - 1)]
        assert value == pytest.approx(true, rel=0.05)


def test_nothing_delivered_has_no_delay_and_a_window_ahead_of_its_end_has_the_least() -> None:
    day = LastDay()
    assert day.delay() is None
    day.delivered(T_NS, [-3.0])
    found = day.delay()
    assert found is not None
    assert found.median_s <= 0.011


def test_it_stays_small() -> None:
    day = LastDay()
    rng = np.random.default_rng(1)
    for hour in range(100):
        day.count(T_NS + hour * HOUR_NS, hour * HOUR_NS, dict.fromkeys("abcdef", hour * 1e9))
        day.delivered(T_NS + hour * HOUR_NS, rng.lognormal(1.0, 1.0, 360).tolist())
    assert len(day.save()) < 16_000
