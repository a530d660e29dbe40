"""The forecast by numbers: what grows, where it stops growing, and what it costs card and modem."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
from hypothesis import given

from gateway.forecast import FREE_FLOOR_BYTES, MB, ROW_BYTES, Grower, Room, card_life_years, days_until_full, forecast
from gateway.last_day import NS, LastDay

T_NS = 1_767_225_600 * NS
MINUTE_NS = 60 * NS
GB = 1000 * MB


def a_day(**per_day: float) -> LastDay:
    """A last day in which counters grew at these rates."""
    day = LastDay()
    for i in range(61):
        day.count(T_NS + i * MINUTE_NS, i * MINUTE_NS, {name: n * i / 1440 for name, n in per_day.items()})
    return day


@pytest.mark.parametrize(
    ("room", "growers", "days"),
    [
        (100.0, [Grower(10.0)], 10.0),
        (100.0, [Grower(10.0), Grower(10.0)], 5.0),
        (100.0, [Grower(10.0), Grower(10.0, 20.0)], 8.0),  # 2 days of 20, then 6 of 10
        (100.0, [Grower(10.0, 30.0), Grower(5.0, 40.0)], math.inf),  # they stop before
        (100.0, [Grower(10.0, 0.0), Grower(4.0)], 25.0),
        (100.0, [Grower(0.0), Grower(-3.0)], math.inf),
        (100.0, [], math.inf),
        (0.0, [Grower(10.0)], 0.0),
        (-5.0, [], 0.0),
    ],
)
def test_days_until_full(room: float, growers: list[Grower], days: float) -> None:
    assert days_until_full(room, growers) == pytest.approx(days)


@given(st.floats(1.0, 1e9), st.lists(st.builds(Grower, st.floats(0.1, 1e6), st.floats(0.0, 1e9)), max_size=5))
def test_at_that_time_the_room_is_used_up_and_not_before(room: float, growers: list[Grower]) -> None:
    days = days_until_full(room, growers)

    def used(after: float) -> float:
        return sum(min(one.bytes_per_day * after, one.room_bytes) for one in growers)

    if math.isinf(days):
        assert used(1e12) <= room * (1 + 1e-9)
    else:
        assert used(days) == pytest.approx(room)


def test_a_pole_with_a_large_card() -> None:
    """2 MB of windows and 12 MB of raw log a day into 8 GB: the log stops at its 256 MB, the queue fills the rest."""
    day = a_day(payload_bytes=2 * MB, messages=1464, rawlog_bytes=12 * MB, card_bytes=62 * MB, modem_bytes=4.1 * MB)
    room = Room(8 * GB, rawlog_bytes=200 * MB, history=Grower(2 * MB, 60 * MB))
    found = forecast(day, room)
    queue = 2 * MB + 1464 * ROW_BYTES
    assert found.offline_days == pytest.approx((8 * GB - FREE_FLOOR_BYTES - 260 * MB) / queue, rel=0.001)
    assert found.offline_until == "free space"
    assert (found.card_mb_day, found.modem_mb_day, found.device_mb_day) == pytest.approx((62.0, 4.1, None))
    assert found.watched_h == 1.0


def test_the_outbox_may_be_full_before_the_card_is() -> None:
    day = a_day(payload_bytes=2 * MB, messages=0)
    found = forecast(day, Room(8 * GB, outbox_bytes=82 * MB))
    assert (found.offline_days, found.offline_until) == (41.0, "outbox")


def test_a_full_card_is_0_days() -> None:
    assert forecast(a_day(payload_bytes=2 * MB, messages=1), Room(50 * MB)).offline_days == 0.0


def test_a_gateway_that_makes_nothing_is_not_promised_eternity() -> None:
    assert forecast(a_day(payload_bytes=0.0, messages=0.0), Room(GB)).offline_days == 3650.0


def test_before_ten_minutes_nothing_is_foretold() -> None:
    found = forecast(LastDay(), Room(GB), 40.0, "datasheet")
    assert (found.offline_days, found.card_mb_day, found.modem_mb_day, found.card_life_years) == (None,) * 4


@pytest.mark.parametrize(
    ("endurance_tb", "mb_per_day", "years"), [(40.0, 62.0, 1766.4), (1.0, 2738.0, 1.0), (None, 62.0, None)]
)
def test_the_life_of_a_card(endurance_tb: float | None, mb_per_day: float, years: float | None) -> None:
    assert card_life_years(endurance_tb, mb_per_day * MB) == (years and pytest.approx(years, rel=0.001))
    assert card_life_years(endurance_tb, None) is None
    assert card_life_years(endurance_tb, 0.0) is None


def test_the_life_is_by_what_all_programs_write_where_that_is_known() -> None:
    own = forecast(a_day(card_bytes=62 * MB), Room(GB), 40.0, "datasheet")
    every = forecast(a_day(card_bytes=62 * MB, device_bytes=620 * MB), Room(GB), 40.0, "datasheet")
    assert own.card_life_years == pytest.approx(10 * (every.card_life_years or 0), rel=0.01)
    assert (every.card_endurance_tb, every.origin) == (40.0, "datasheet")
