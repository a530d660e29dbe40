"""The tests of quality as stages: what they flag and why, at the ends, across gaps, and behind a real step."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_samples import NS, START_NS, block
from stage_laws import let_go, run, together

from gateway.block import Block, Flag, Reason
from gateway.pipeline import qartod
from gateway.pipeline.attenuated import AttenuatedTest, Quiet
from gateway.pipeline.centred import Centred, HampelTest, Kernel, Spike
from gateway.pipeline.climatology import Member
from gateway.pipeline.quality import ClimatologyTest, FlatLineTest, RangeTest, Steps, StepTest
from gateway.pipeline.stage import Stage, passed

NAN, INF, EVER = math.nan, math.inf, np.iinfo(np.int64).max
NEAR_NS = 3 * NS // 2
GOOD, SUSPECT, FAIL, MISSING = Flag.GOOD, Flag.SUSPECT, Flag.FAIL, Flag.MISSING


def readings(values: Sequence[float], at_s: Sequence[float] | None = None) -> Block:
    """Make rows that the range test has seen: good where there is a value, MISSING where there is none."""
    return block(values, at_s, flag=[MISSING if math.isnan(value) else GOOD for value in values])


def judged(stage: Stage, one: Block) -> Block:
    state, out = run(stage, [one])
    return together([out, *let_go(stage, state, EVER)[1]])


def flags(stage: Stage, values: Sequence[float], at_s: Sequence[float] | None = None) -> list[int]:
    return judged(stage, readings(values, at_s)).flag[:, 0].tolist()


def centred(*kernels: Kernel) -> Centred:
    return Centred(kernels, NEAR_NS, 1)


def spike(suspect: float, fail: float = 0.0, *, average: bool = False) -> Centred:
    return centred(Spike((suspect,), (fail,), (average,)))


def hampel(k: int, sigmas: float = 3.0, floor: float = 0.1) -> Centred:
    return centred(HampelTest((k,), (sigmas,), (floor,)))


def steps(rate: float = INF, rate_fail: float = INF, gap_s: float = INF, gap_fail_s: float = INF) -> StepTest:
    return StepTest((Steps(rate, rate_fail, gap_s * NS, gap_fail_s * NS),), NEAR_NS)


# -- spike and Hampel --------------------------------------------------------------------------------------------


def test_a_spike_is_flagged_and_its_neighbours_are_not() -> None:
    assert flags(spike(25, 50), [10, 12, 999.99, 13, 15, 50, 9, 9]) == [1, 1, 4, 1, 1, 3, 1, 1]
    assert flags(spike(25, 50, average=True), [10, 12, 999.99, 13, 15, 40, 9, 9]) == [1, 4, 4, 4, 1, 3, 1, 1]


def test_the_reason_is_given() -> None:
    out = judged(spike(1), readings([5, 9, 5]))
    assert out.reason[:, 0].tolist() == [0, Reason.SPIKE, 0]
    assert judged(hampel(2), readings([5, 5, 9, 5, 5])).reason[:, 0].tolist() == [0, 0, Reason.SPIKE, 0, 0]


def test_the_last_row_waits_for_its_neighbour() -> None:
    stage = spike(1)
    state, out = stage.step(stage.initial(), readings([5, 5, 9]))
    assert out.t.tolist() == readings([5, 5]).t.tolist()
    assert out.until_ns == START_NS + 2 * NS + NS // 2  # the held row: not all before it is said
    _, out = stage.step(state, readings([5], [3.5]))
    assert out.flag[:, 0].tolist() == [3]


def test_it_does_not_wait_when_time_has_passed_its_neighbour_by() -> None:
    stage = spike(1)
    state, _ = stage.step(stage.initial(), readings([5, 5, 9]))
    state, out = stage.step(state, Block.empty(1, START_NS + 4 * NS))  # exactly 1.5 s: it may still come
    assert not len(out.t)
    state, out = stage.step(state, Block.empty(1, START_NS + 4 * NS + 1))
    assert (out.t.tolist(), out.flag[:, 0].tolist(), out.until_ns) == (
        [START_NS + 5 * NS // 2],
        [1],
        START_NS + 4 * NS + 1,
    )
    assert not len(stage.release(state, EVER)[1].t)


def test_a_window_that_closes_gets_its_last_row_as_the_other_tests_left_it() -> None:
    stage = spike(1)
    state, _ = stage.step(stage.initial(), readings([5, 9], [58.5, 59.5]))
    state, out = stage.release(state, START_NS + 60 * NS)
    assert out.flag[:, 0].tolist() == [1]
    _, out = stage.step(state, readings([5, 5], [60.5, 61.5]))
    assert out.flag[:, 0].tolist() == [1], "its neighbour is judged as ever"


def test_a_window_that_closes_leaves_the_rows_of_the_next_one() -> None:
    stage = hampel(3)
    state, _ = stage.step(stage.initial(), readings([5.0] * 4, [58.5, 59.5, 60.5, 61.5]))
    state, out = stage.release(state, START_NS + 60 * NS)
    assert out.t.tolist() == [START_NS + 59 * NS + NS // 2]
    assert out.until_ns == START_NS + 60 * NS
    assert len(stage.release(state, EVER)[1].t) == 2


@pytest.mark.parametrize("gap", [[5, NAN, 9, 5], [5, 9, NAN, 5]])
def test_beside_a_missing_value_nothing_is_said(gap: list[float]) -> None:
    assert 3 not in flags(spike(1), gap)


def test_across_a_gap_in_time_nothing_is_said() -> None:
    assert flags(spike(1), [5, 9, 5], [0.5, 1.5, 2.5]) == [1, 3, 1]
    assert flags(spike(1), [5, 9, 5], [0.5, 2.001, 3]) == [1, 1, 1]
    assert flags(spike(1), [5, 9, 5], [0.5, 1.5, 9]) == [1, 1, 1]


def test_what_has_failed_already_is_no_neighbour() -> None:
    one = block([5, 999, 5, 9, 5], flag=[GOOD, FAIL, GOOD, GOOD, GOOD])
    assert judged(spike(1, average=True), one).flag[:, 0].tolist() == [1, 4, 1, 3, 1]


def test_a_floor_keeps_the_last_digit_from_being_an_outlier() -> None:
    assert flags(hampel(2, floor=0.0), [5, 5, 5, 5.2, 5, 5, 5]) == [1, 1, 1, 3, 1, 1, 1]
    assert flags(hampel(2, floor=0.1), [5, 5, 5, 5.2, 5, 5, 5]) == [1] * 7


def test_channels_have_windows_of_their_own() -> None:
    stage = Centred((HampelTest((1, 3), (3.0, 3.0), (0.1, 0.1)),), NEAR_NS, 2)
    one = block([[5.0, 5.0]] * 3 + [[9.0, 9.0]] + [[5.0, 5.0]] * 3, flag=GOOD)
    assert judged(stage, one).flag.tolist() == [[1, 1]] * 3 + [[3, 3]] + [[1, 1]] * 3
    late = block([[5.0, 5.0], [9.0, 9.0], [5.0, 5.0]], flag=GOOD)
    assert judged(stage, late).flag.tolist() == [[1, 1], [3, 1], [1, 1]], "three on either side are not there"


@given(st.lists(st.one_of(st.sampled_from([1.0, 2.0, 4.0, 9.0]), st.just(NAN)), min_size=3, max_size=30), st.booleans())
def test_on_regular_readings_spike_says_what_the_whole_series_test_says(values: list[float], average: bool) -> None:
    expected = qartod.spike(np.array(values), 1.5, 3.0, "average" if average else "differential")
    expected[expected == Flag.NOT_EVALUATED] = GOOD  # as the range test left it
    assert flags(spike(1.5, 3.0, average=average), values) == expected.tolist()


# -- rate of change and gaps -------------------------------------------------------------------------------------


def test_a_rate_is_per_second_of_true_time() -> None:
    assert flags(steps(1.0, 3.0), [5, 6, 8, 12, 12], [0, 1, 2, 3, 4]) == [1, 1, 3, 4, 1]
    assert flags(steps(1.0), [5, 6, 7], [0, 0.5, 1.5]) == [1, 3, 1]


def test_a_rate_needs_a_neighbour_in_time() -> None:
    assert flags(steps(1.0), [5, 50, 5, 50], [0, 1.5, 3.001, 3.001]) == [1, 3, 1, 1]
    assert flags(steps(1.0), [5, NAN, 50]) == [1, 9, 1]


def test_the_first_reading_behind_a_gap_is_flagged_if_a_site_wants_it() -> None:
    out = judged(steps(gap_s=2, gap_fail_s=10), readings([5, 5, 5, 5], [0, 2, 4.1, 20]))
    assert out.flag[:, 0].tolist() == [1, 1, 3, 4]
    assert out.reason[:, 0].tolist() == [0, 0, Reason.STEP, Reason.STEP]


@given(st.lists(st.one_of(st.sampled_from([1.0, 2.0, 4.0, 9.0]), st.just(NAN)), min_size=1, max_size=30))
def test_on_regular_readings_rate_says_what_the_whole_series_test_says(values: list[float]) -> None:
    t = np.arange(len(values), dtype=np.int64) * NS
    assert flags(steps(1.5, 3.0), values) == qartod.rate_of_change(np.array(values), t, 1.5, 3.0).tolist()


# -- attenuated signal -------------------------------------------------------------------------------------------


def attenuated(suspect: float, fail: float = 0.0, period_s: float = 16, least: int = 2, *, spread: bool) -> Stage:
    return AttenuatedTest((Quiet(round(period_s * NS), suspect, fail, spread, least),))


@pytest.mark.parametrize("spread", [True, False])
def test_a_signal_that_goes_quiet_is_flagged(spread: bool) -> None:
    values = [5.0, 9.0] * 10 + [5.0, 5.1] * 20
    out = flags(attenuated(0.5, 0.01, spread=spread), values)
    assert set(out[:35]) == {1}
    assert set(out[-20:]) == {3}
    assert set(flags(attenuated(9.0, 0.2, spread=spread), [5.0, 5.1] * 20)[2:]) == {4}


def test_it_is_not_judged_by_few_readings() -> None:
    assert flags(attenuated(1.0, least=4, spread=True), [5.0] * 6) == [1, 1, 1, 3, 3, 3]
    assert flags(attenuated(1.0, least=4, spread=True), [5.0] * 4, [0, 100, 200, 300]) == [1] * 4


def test_what_failed_or_is_missing_keeps_no_signal_alive() -> None:
    one = block([5.0, 900.0, NAN] * 8, flag=[GOOD, FAIL, MISSING] * 8)
    out = judged(attenuated(1.0, spread=True), one)
    assert out.flag[6:, 0].tolist() == [3, 4, 9] * 6
    assert out.reason[6:, 0].tolist() == [Reason.STUCK, 0, 0] * 6


@given(
    st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=1, max_size=60),
    st.lists(st.sampled_from([0.3, 1.0, 2.0, 40.0]), min_size=60, max_size=60),
    st.booleans(),
)
def test_a_window_is_what_it_is_said_to_be(values: list[float], dt_s: list[float], spread: bool) -> None:
    """By the definition, read literally: from a sixteenth of the period on, at most one period long."""
    pane_ns = 2 * NS
    t = START_NS + np.round(np.cumsum(dt_s[: len(values)]) * NS).astype(np.int64)
    x = np.array(values)
    expected = []
    for i in range(len(x)):
        own = x[: i + 1][t[: i + 1] >= (t[i] // pane_ns - 15) * pane_ns]
        size = np.ptp(own) if spread else np.std(own)
        expected.append(1 if len(own) < 3 or size >= 0.9 else 3)
    stage = attenuated(0.9, period_s=32, least=3, spread=spread)
    assert flags(stage, values, ((t - START_NS) / NS).tolist()) == expected


# -- climatology, and rows in which nothing was due --------------------------------------------------------------


def test_what_is_usual_depends_on_the_hour() -> None:
    stage = ClimatologyTest(
        ((Member("hour", (0, 5), (-5.0, 5.0), (-20.0, 20.0)), Member("hour", (6, 23), (0.0, 9.0))),)
    )
    out = judged(stage, readings([7, 7, 30, NAN]))
    assert out.flag[:, 0].tolist() == [3, 3, 4, 9]
    assert out.reason[:, 0].tolist() == [Reason.RANGE, Reason.RANGE, Reason.RANGE, 0]
    assert flags(stage, [7, 7], [5 * 3600 + 3599, 6 * 3600]) == [3, 1]


def test_where_nothing_was_due_nothing_is_judged() -> None:
    one = block([NAN, 99.0], flag=[Flag.ABSENT, GOOD])
    _, out = RangeTest(*(np.array([end]) for end in (0.0, 10.0, 0.0, 10.0))).step({}, one)
    assert out.flag[:, 0].tolist() == [Flag.ABSENT, FAIL]


# -- a real step -------------------------------------------------------------------------------------------------

RELATIVE: dict[str, tuple[Stage, int]] = {  # and after how many rows a real step must be accepted
    "spike": (spike(1.0, 2.0), 0),
    "spike by the average": (spike(1.0, 2.0, average=True), 1),
    "hampel of 5": (hampel(2), 2),
    "hampel of 7": (hampel(3), 3),
    "rate of change": (steps(1.0, 2.0), 1),
}


@pytest.mark.parametrize("name", RELATIVE)
@given(
    before=st.lists(st.sampled_from([5.0, 5.1]), min_size=8, max_size=20),
    after=st.lists(st.sampled_from([0.0, 0.1]), min_size=8, max_size=20),
    step=st.sampled_from([-40.0, -2.0, 3.0, 500.0]),
)
def test_a_real_step_is_accepted(name: str, before: list[float], after: list[float], step: float) -> None:
    stage, rows = RELATIVE[name]
    out = flags(stage, before + [5.0 + step + value for value in after])
    assert set(out[: len(before) - rows]) == {GOOD}
    assert set(out[len(before) + rows :]) == {GOOD}, "a real step must not stick"


def test_a_test_that_compares_with_the_last_good_value_would_stick() -> None:
    """The negative control: this is what the stages do not do."""
    last, out = 5.0, []
    for value in [5.0] * 5 + [50.0] * 20:
        out.append(GOOD if abs(value - last) <= 1 else SUSPECT)
        last = value if out[-1] == GOOD else last
    assert set(out[5:]) == {SUSPECT}


# -- several stages ----------------------------------------------------------------------------------------------


def test_what_one_stage_lets_go_passes_those_behind_it() -> None:
    line = [spike(1.0), FlatLineTest((2,), (0,), (0.5,)), hampel(2), hampel(3)]
    states = [stage.initial() for stage in line]
    early = passed(line, states, readings([5.0] * 6))
    late = passed(line, states, Block.empty(1, START_NS + 4 * NS), START_NS + 4 * NS)
    rest = passed(line, states, Block.empty(1, START_NS + 99 * NS))
    assert [len(one.t) for one in (early, late, rest)] == [0, 4, 2]
    assert together([early, late, rest]).flag[:, 0].tolist() == [1, 1, 3, 3, 3, 3]


def test_a_clock_that_is_set_back_loses_no_row() -> None:
    line = [spike(1.0), hampel(2), attenuated(0.1, spread=False), steps(1.0)]
    states = [stage.initial() for stage in line]
    outs = [passed(line, states, readings([5.0, 6.0, 5.0], [100, 101, 102]))]
    outs.append(passed(line, states, readings([5.0, 9.0, 5.0], [3, 4, 5])))
    outs.append(passed(line, states, readings([5.0], [6])))
    outs += [passed(line, states, Block.empty(1, START_NS + 999 * NS), EVER) for _ in range(3)]
    seen = sorted(
        (int(t - START_NS) // NS, int(flag)) for out in outs for t, flag in zip(out.t, out.flag[:, 0], strict=True)
    )
    assert [t for t, _ in seen] == [3, 4, 5, 6, 100, 101, 102]
    assert dict(seen)[4] == SUSPECT
