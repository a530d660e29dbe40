"""Quality tests: ends included, worst verdict wins, and the same flags for any cut of the input."""

from __future__ import annotations

import itertools
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_samples import block, rows_of

from drivers.base import Mark
from gateway.block import Block, Flag, Reason
from gateway.pipeline.quality import FlatLineTest, RangeTest, gross_range, mark_flags, worse
from gateway.pipeline.stage import Stage, State
from gateway.state import _arrays, _plain

NAN = math.nan
# Spans fail 0..100, suspect 10..90: the example of the QARTOD manual's shape, ends included as in ioos_qc.
RANGE_TABLE = [
    (-0.001, 4), (0.0, 3), (9.999, 3), (10.0, 1), (50.0, 1), (90.0, 1), (90.001, 3), (100.0, 3), (100.001, 4),
    (math.inf, 4), (-math.inf, 4), (NAN, 9),
]  # fmt: skip


def span_test(lo: float = 0.0, hi: float = 100.0, suspect_lo: float = 10.0, suspect_hi: float = 90.0) -> RangeTest:
    return RangeTest(*(np.array([end]) for end in (lo, hi, suspect_lo, suspect_hi)))


@pytest.mark.parametrize(("value", "flag"), RANGE_TABLE)
def test_gross_range_includes_its_ends(value: float, flag: int) -> None:
    ends = (np.array([end]) for end in (0.0, 100.0, 10.0, 90.0))
    assert gross_range(np.array([[value]]), *ends)[0, 0] == flag


@pytest.mark.parametrize(("value", "flag"), RANGE_TABLE)
def test_the_stage_says_the_same_and_why(value: float, flag: int) -> None:
    _, out = span_test().step({}, block([value]))
    assert out.flag[0, 0] == flag
    assert out.reason[0, 0] == (Reason.RANGE if flag in (3, 4) else 0)


def test_spans_are_per_channel() -> None:
    test = RangeTest(np.array([0.0, -5.0]), np.array([1.0, 5.0]), np.array([0.0, -5.0]), np.array([1.0, 5.0]))
    _, out = test.step({}, block([[2.0, 2.0], [-1.0, -1.0], [1.0, 6.0]]))
    assert out.flag.tolist() == [[4, 1], [4, 1], [1, 4]]


def test_precedence_is_9_2_1_3_4() -> None:
    order = [9, 2, 1, 3, 4]
    for low, a in enumerate(order):
        for high, b in enumerate(order):
            verdict = worse(np.array([a], np.uint8), np.array([b], np.uint8))
            assert verdict[0] == order[max(low, high)], (a, b)


def test_a_value_that_is_not_there_is_missing_whatever_was_said_before() -> None:
    one = block([NAN] * 4, flag=[Flag.NOT_EVALUATED, Flag.SUSPECT, Flag.GOOD, Flag.MISSING])
    _, out = span_test().step({}, one)
    assert out.flag[:, 0].tolist() == [9, 9, 9, 9]


def test_an_earlier_verdict_is_never_softened() -> None:
    one = block([50.0, 50.0, 200.0], flag=[Flag.FAIL, Flag.SUSPECT, Flag.SUSPECT], reason=Reason.DEVICE)
    _, out = span_test().step({}, one)
    assert out.flag[:, 0].tolist() == [4, 3, 4]
    assert out.reason[:, 0].tolist() == [Reason.DEVICE, Reason.DEVICE, Reason.DEVICE | Reason.RANGE]


def test_marks_of_the_device_become_flags_with_a_reason() -> None:
    flags, reasons = mark_flags(np.array([list(Mark)], np.uint8))
    assert dict(zip(Mark, flags[0].tolist(), strict=True)) == {
        Mark.OK: 2, Mark.MISSING: 9, Mark.SATURATED: 3, Mark.WARM_UP: 3, Mark.NOT_STABLE: 3,
    }  # fmt: skip
    assert dict(zip(Mark, reasons[0].tolist(), strict=True)) == {
        Mark.OK: 0, Mark.MISSING: 0, Mark.SATURATED: Reason.SATURATED, Mark.WARM_UP: Reason.WARM_UP,
        Mark.NOT_STABLE: Reason.DEVICE,
    }  # fmt: skip


# -- flat line ---------------------------------------------------------------------------------------------------


def flat_oracle(values: list[float], n: int, tolerance: float) -> list[bool]:
    """The definition, read literally: the value and the n before it, missing ones passed over, span < tolerance."""
    seen: list[float] = []
    out = []
    for value in values:
        if math.isnan(value):
            out.append(False)
            continue
        seen.append(value)
        last = seen[-(n + 1) :]
        out.append(n > 0 and len(last) == n + 1 and max(last) - min(last) < tolerance)
    return out


def flat_flags(test: FlatLineTest, values: list[float]) -> list[int]:
    good = [Flag.MISSING if math.isnan(value) else Flag.GOOD for value in values]
    _, out = test.step(test.initial(), block(values, flag=good))
    return out.flag[:, 0].tolist()


def test_a_stuck_value_is_suspect_then_failed() -> None:
    test = FlatLineTest((2,), (4,), (0.1,))
    assert flat_flags(test, [5.0] * 7) == [1, 1, 3, 3, 4, 4, 4]
    assert flat_flags(test, [5.0, 5.0, 5.0, 9.0, 9.0, 9.0]) == [1, 1, 3, 1, 1, 3]


def test_missing_samples_do_not_break_the_run() -> None:
    assert flat_flags(FlatLineTest((2,), (0,), (0.1,)), [5.0, NAN, 5.0, NAN, NAN, 5.0]) == [1, 9, 1, 9, 9, 3]


def test_the_span_must_be_below_the_tolerance() -> None:
    assert flat_flags(FlatLineTest((1,), (0,), (0.5,)), [1.0, 1.5, 1.25]) == [1, 1, 3]


def test_a_tolerance_of_zero_never_fires() -> None:
    assert flat_flags(FlatLineTest((2,), (3,), (0.0,)), [5.0] * 9) == [1] * 9


def test_a_threshold_of_zero_is_off() -> None:
    assert flat_flags(FlatLineTest((0,), (0,), (10.0,)), [5.0] * 9) == [1] * 9


few = st.one_of(st.sampled_from([1.0, 1.04, 1.1, 2.0]), st.just(NAN))


@given(st.lists(few, max_size=40), st.integers(0, 5), st.integers(0, 8), st.sampled_from([0.0, 0.05, 0.2, 1.5]))
def test_flat_line_is_what_the_definition_says(values: list[float], n3: int, n4: int, tolerance: float) -> None:
    suspect, fail = flat_oracle(values, n3, tolerance), flat_oracle(values, n4, tolerance)
    expected = [
        9 if math.isnan(value) else 4 if bad else 3 if odd else 1
        for value, odd, bad in zip(values, suspect, fail, strict=True)
    ]
    assert flat_flags(FlatLineTest((n3,), (n4,), (tolerance,)), values) == expected


# -- any cut, and save and restore -------------------------------------------------------------------------------


def kept(state: State) -> State:
    """Take a state to the disk and back, as the core does."""
    return _arrays(msgspec.msgpack.decode(msgspec.msgpack.encode(_plain(state))))


def in_pieces(stage: Stage, whole: Block, cuts: list[int], *, save: bool) -> list[bytes]:
    state, flags, reasons = stage.initial(), [], []
    edges = [0, *sorted(cuts), len(whole.t)]
    for first, last in itertools.pairwise(edges):
        state, out = stage.step(kept(state) if save else state, rows_of(whole, first, last))
        flags.append(out.flag)
        reasons.append(out.reason)
    state = kept(state) if save else state
    tails = [state[name].astype(np.float64).tobytes() for name in sorted(state)]
    return [np.concatenate(flags).tobytes(), np.concatenate(reasons).tobytes(), *tails]


STAGES = {
    "range": RangeTest(np.zeros(2), np.full(2, 3.0), np.full(2, 1.0), np.full(2, 1.5)),
    "flat line": FlatLineTest((2, 3), (5, 0), (0.05, 1.0)),
}


@pytest.mark.parametrize("name", STAGES)
@given(rows=st.lists(st.tuples(few, few), min_size=1, max_size=40), data=st.data())
def test_the_output_does_not_depend_on_how_the_input_is_cut(name: str, rows: list[tuple], data) -> None:
    whole = block(rows)
    cuts = data.draw(st.lists(st.integers(0, len(rows)), max_size=8))
    once = in_pieces(STAGES[name], whole, [], save=False)
    assert in_pieces(STAGES[name], whole, cuts, save=False) == once
    assert in_pieces(STAGES[name], whole, cuts, save=True) == once
