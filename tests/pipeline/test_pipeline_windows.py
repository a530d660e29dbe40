"""Windows: half-open, one statistic per kind of quantity, only usable values, and slots that are accounted for."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
from pipeline_samples import NONE, START_NS, all_good, block, rows_of, slots, spec, window

from drivers.base import Fault, Kind
from gateway.block import FLAGS, MISS_BASE, MOMENTS, REASONS, Block, Flag, Reason, Slots, Windows
from gateway.pipeline.windows import NS, DutyTimes, SensorSpec, add, close, expected_slots, join

NAN = math.nan
PER_FLAG = [4.0, 7.0, 1.0, 100.0, NAN]  # good, not evaluated, suspect, fail, missing


def moment(windows: Windows, name: str, series: int = 0) -> float:
    return float(windows.moments[series, MOMENTS.index(name)])


def leq(windows: Windows) -> float:
    return 10 * math.log10(moment(windows, "energy"))


# -- borders -----------------------------------------------------------------------------------------------------


def test_a_window_takes_its_start_and_leaves_its_end() -> None:
    edge = block([1.0, 2.0, 4.0, 8.0], at_s=[0.0, 59.999999999, 60.0, 119.999999999])
    first, second = window(spec(), edge), window(spec(), edge, start_s=60)
    assert (moment(first, "sum"), moment(second, "sum")) == (3.0, 12.0)
    assert first.start_ns == START_NS
    assert second.start_ns == START_NS + 60 * NS


def test_closing_takes_the_samples_out_of_the_state() -> None:
    one = block([1.0, 2.0], at_s=[59.5, 60.5])
    state = add(spec().initial(), one, all_good(one), 0)
    after, _ = close(spec(), state, START_NS, 60)
    assert after["t"].tolist() == after["slot_t"].tolist() == [START_NS + 60_500_000_000]
    assert len(after["v"]) == len(after["flag"]) == len(after["reason"]) == len(after["dur_s"]) == 1


@pytest.mark.parametrize("cuts", [[], [1], [20, 40], list(range(60))], ids=len)
def test_windows_are_bit_equal_for_any_cut_of_the_blocks(cuts: list[int]) -> None:
    values = np.random.default_rng(7).normal(60.0, 7.0, 60)
    whole = block(values)
    state, of = spec(Kind.LEVEL).initial(), spec(Kind.LEVEL)
    for first, last in zip([0, *cuts], [*cuts, 60], strict=True):
        part = rows_of(whole, first, last)
        state = add(state, part, all_good(part), 0)
    cut = close(of, state, START_NS, 60)[1]
    assert cut.moments.tobytes() == window(of, whole).moments.tobytes()


# -- one statistic per kind --------------------------------------------------------------------------------------


def test_levels_are_averaged_by_energy() -> None:
    closed = window(spec(Kind.LEVEL), block([60.0, 70.0, 80.0]))
    assert leq(closed) == pytest.approx(75.68, abs=0.005)  # the arithmetic mean would be 70
    assert moment(closed, "energy") == pytest.approx((1e6 + 1e7 + 1e8) / 3, rel=1e-12)


def test_levels_are_weighted_by_the_time_they_stand_for() -> None:
    closed = window(spec(Kind.LEVEL), block([60.0, 80.0], dur_s=[9.0, 1.0]))
    assert leq(closed) == pytest.approx(10 * math.log10((9 * 1e6 + 1e8) / 10), abs=1e-12)


@pytest.mark.parametrize("kind", [Kind.SCALAR, Kind.SPEED, Kind.COUNT])
def test_only_levels_have_energy(kind: Kind) -> None:
    assert math.isnan(moment(window(spec(kind), block([60.0, 70.0])), "energy"))


def test_a_speed_counts_by_its_magnitude() -> None:
    closed = window(spec(Kind.SPEED), block([-10.0, 14.0, -12.0]))
    assert [moment(closed, name) for name in ("mean", "min", "max", "sum")] == [12.0, 10.0, 14.0, 36.0]


def test_a_scalar_keeps_its_sign() -> None:
    closed = window(spec(), block([-10.0, 14.0, -12.0]))
    assert [moment(closed, name) for name in ("mean", "min", "max")] == [-8.0 / 3, -12.0, 14.0]


def test_counts_are_summed_and_none_is_zero() -> None:
    of = spec(Kind.COUNT, events=True)
    assert moment(window(of, block([1.0, 3.0, 1.0])), "sum") == 5.0
    assert moment(window(of, Block.empty(1, START_NS)), "sum") == 0.0


def test_m2_is_what_the_standard_deviation_comes_from() -> None:
    values = [3.0, 4.5, 9.0, 2.25]
    m2 = moment(window(spec(), block(values)), "m2")
    assert math.sqrt(m2 / 3) == pytest.approx(statistics.stdev(values), rel=1e-12)


def test_without_values_there_is_no_statistic() -> None:
    closed = window(spec(), Block.empty(1, START_NS))
    assert all(math.isnan(moment(closed, name)) for name in ("mean", "m2", "min", "max", "energy"))
    assert moment(closed, "sum") == moment(closed, "dur_s") == 0.0


# -- flags -------------------------------------------------------------------------------------------------------


def test_failed_and_missing_values_are_counted_but_not_averaged() -> None:
    closed = window(spec(), block(PER_FLAG, flag=list(FLAGS)))
    assert closed.n_by_flag[0].tolist() == [1, 1, 1, 1, 1]
    assert moment(closed, "mean") == 4.0
    assert moment(closed, "max") == 7.0
    assert moment(closed, "dur_s") == 3.0
    assert closed.usable[0] == 3


def test_channels_are_judged_apart() -> None:
    of = spec(channels=2)
    one = block([[1.0, 1.0], [3.0, 5.0]])
    one.flag[1, 0] = Flag.FAIL
    closed = window(of, one)
    assert closed.moments[:, 0].tolist() == [1.0, 3.0]
    assert closed.usable.tolist() == [1, 2]
    assert closed.series == (("air", "place", "c0", "1"), ("air", "place", "c1", "1"))


def test_reasons_are_counted_bit_by_bit() -> None:
    one = block([1.0, 2.0, 3.0])
    one.reason[:, 0] = [Reason.RANGE | Reason.CLOCK, Reason.CLOCK, 0]
    counts = dict(zip(REASONS, window(spec(), one).reasons[0].tolist(), strict=True))
    assert {reason: n for reason, n in counts.items() if n} == {Reason.RANGE: 1, Reason.CLOCK: 2}


# -- slots -------------------------------------------------------------------------------------------------------


def test_slots_expected_are_those_that_start_inside() -> None:
    assert expected_slots(spec(slot_s=1), START_NS, START_NS + 60 * NS).size == 60
    assert expected_slots(spec(slot_s=150), START_NS, START_NS + 3600 * NS).size == 24
    seven = [expected_slots(spec(slot_s=7), START_NS + m * 60 * NS, START_NS + (m + 1) * 60 * NS) for m in range(7)]
    assert sum(len(part) for part in seven) == 60  # no slot twice, none left out
    assert np.unique(np.concatenate(seven)).size == 60


def test_capture_counts_slots_not_values() -> None:
    twice = block([1.0, 2.0, 3.0], at_s=[0.1, 0.9, 1.5])  # two readings in the first second
    closed = window(spec(), twice, period_s=4)
    assert (closed.usable[0], closed.expected[0], closed.n_by_flag[0].sum()) == (2, 4, 3)
    assert closed.slots[0].tolist() == [4, 2, 0, 2, 1, 0]


def test_a_valid_slot_without_a_usable_value_is_not_captured() -> None:
    closed = window(spec(), block([500.0, 1.0], flag=[Flag.FAIL, Flag.GOOD]), period_s=2)
    assert closed.slots[0, 1] == 2
    assert closed.usable[0] == 1


def test_an_event_part_that_is_alive_fills_its_slots() -> None:
    of = spec(Kind.COUNT, events=True)
    heard = slots(np.arange(57) + 0.2)  # answers to the liveness query; one reading among them
    closed = window(of, block([1.0]), heard)
    assert closed.slots[0].tolist() == [60, 57, 0, 3, 0, 0]
    assert closed.usable[0] == 57


def test_verdicts_and_misses_are_counted_by_reason() -> None:
    happened = slots([0.5, 1.5, 2.5, 3.5], [0, Fault.CHECK, MISS_BASE, MISS_BASE + 4])
    closed = window(spec(), block([1.0]), happened, period_s=6)
    assert closed.slots[0].tolist() == [6, 1, 1, 4, 0, 0]
    assert closed.rejected[0, Fault.CHECK] == 1
    assert closed.missed[0].tolist() == [1, 0, 0, 0, 1, 0, 0]


def test_a_windows_whose_sums_do_not_close_cannot_be_made() -> None:
    closed = window(spec(), block([1.0]))
    wrong = closed.slots.copy()
    wrong[0, 3] += 1
    with pytest.raises(ValueError, match="ledger does not close"):
        replace(closed, slots=wrong)


def test_what_comes_for_a_closed_window_is_late() -> None:
    one = block([1.0, 2.0, 3.0], at_s=[58.0, 59.9, 60.0])
    state = add(spec().initial(), one, all_good(one), START_NS + 60 * NS)
    state = add(state, Block.empty(1, START_NS), slots([59.0], int(Fault.CHECK)), START_NS + 60 * NS)
    after, closed = close(spec(), state, START_NS + 60 * NS, 60)
    assert closed.slots[0].tolist() == [60, 1, 0, 59, 0, 3]
    assert moment(closed, "sum") == 3.0
    assert close(spec(), after, START_NS + 120 * NS, 60)[1].slots[0, 5] == 0  # counted once


# -- duty --------------------------------------------------------------------------------------------------------

DUTY = DutyTimes(300 * NS, 30 * NS, 90 * NS)  # of every 5 minutes: wake at 0, warm up 30 s, measure 60 s


def duty_spec() -> SensorSpec:
    return replace(spec(), duty=DUTY)


@pytest.mark.parametrize(("minute", "n"), [(0, 30), (1, 30), (2, 0), (3, 0), (4, 0), (5, 30)])
def test_a_sleeping_part_is_expected_only_while_it_measures(minute: int, n: int) -> None:
    start = START_NS + minute * 60 * NS
    assert expected_slots(duty_spec(), start, start + 60 * NS).size == n


def test_of_a_part_on_duty_only_its_turn_counts() -> None:
    warm = block([900.0] * 30 + [10.0] * 30, flag=[Flag.SUSPECT] * 30 + [Flag.GOOD] * 30)
    closed = window(duty_spec(), warm)
    assert moment(closed, "mean") == 10.0
    assert closed.n_by_flag[0].tolist() == [30, 0, 0, 0, 0]
    assert closed.slots[0].tolist() == [30, 30, 0, 0, 30, 0]  # what the laser said while it warmed up is extra


# -- several sensors ---------------------------------------------------------------------------------------------


def test_sensors_of_a_period_are_joined_row_by_row() -> None:
    a = window(spec(channels=2), block([[1.0, 2.0]]))
    b = window(replace(spec(Kind.LEVEL), sensor="other", domain="noise"), block([60.0]))
    both = join([a, b])
    assert [key[:2] for key in both.series] == [("air", "place"), ("air", "place"), ("noise", "other")]
    assert both.kind == (Kind.SCALAR, Kind.SCALAR, Kind.LEVEL)
    assert both.moments.tobytes() == a.moments.tobytes() + b.moments.tobytes()
    assert both.slots.tolist() == [*a.slots.tolist(), *b.slots.tolist()]
    assert both.sensors == ("place", "other")


def test_a_block_may_not_run_backwards_or_be_ragged() -> None:
    with pytest.raises(ValueError, match="backwards"):
        block([1.0, 2.0], at_s=[1.0, 0.5])
    one = block([1.0, 2.0])
    with pytest.raises(ValueError, match="length"):
        Block(one.t[:1], one.v, one.flag, one.reason, one.dur_s, 0)
    with pytest.raises(ValueError, match="shape"):
        Block(one.t, one.v, one.flag[:1], one.reason, one.dur_s, 0)


def test_a_silent_sensor_has_a_window_all_the_same() -> None:
    closed = window(spec(channels=2), Block.empty(2, START_NS), Slots(NONE, NONE.astype(np.uint8)))
    assert closed.slots[0].tolist() == [60, 0, 0, 60, 0, 0]
    assert closed.usable.tolist() == [0, 0]
