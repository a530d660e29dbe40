"""Calibration and maintenance: the curves, what is in force when and for whom, and the laws of every stage."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_samples import START_NS, block
from stage_laws import blocks, check_cuts, check_honest, check_restore, cut_place, cut_places, to_be_caught

from gateway.block import Block, Flag, Reason
from gateway.pipeline.calibrate import (
    Calibrate,
    Compensation,
    Maintain,
    Version,
    compensated,
    linear,
    piecewise_linear,
    polynomial,
)
from gateway.pipeline.stage import State
from gateway.pipeline.windows import NS

TEN = START_NS + 10 * NS
TWENTY = START_NS + 20 * NS
DOUBLE = partial(linear, offset=1.0, gain=2.0)
STAGE = Calibrate(
    (0,),
    (
        (
            Version("A", DOUBLE, START_NS, TEN, compensations=(Compensation(1, 2.0, 0.5, 0.1),)),
            Version("A", partial(polynomial, coefficients=(0.0, 1.0, 0.5)), TEN, TWENTY, span=(1.0, 2.0)),
            Version("B", partial(linear, offset=100.0, gain=1.0), START_NS, TWENTY),
        ),
    ),
    "A",
)


def calibrated(stage: Calibrate, one: Block) -> Block:
    return stage.step(stage.initial(), one)[1]


def with_(*versions: Version, serial: str = "A") -> Calibrate:
    return Calibrate((0,), (versions,), serial)


# -- curves ------------------------------------------------------------------------------------------------------

CURVES = {
    "linear": (partial(linear, offset=-1.5, gain=1.2), [0.0, 10.0, -5.0], [-1.5, 10.5, -7.5]),
    "a polynomial, the constant first": (
        partial(polynomial, coefficients=(1.0, 2.0, 3.0)), [0.0, 1.0, 2.0, -1.0], [1.0, 6.0, 17.0, 2.0]
    ),
    "a polynomial of degree 0": (partial(polynomial, coefficients=(7.0,)), [0.0, 5.0], [7.0, 7.0]),
    "a table: on, between and beyond its points": (
        partial(piecewise_linear, xs=(0.0, 10.0, 20.0), ys=(0.0, 5.0, 25.0)),
        [0.0, 5.0, 10.0, 15.0, 20.0, -2.0, 22.0], [0.0, 2.5, 5.0, 15.0, 25.0, -1.0, 29.0],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CURVES, ids=str)
def test_curves(case: str) -> None:
    curve, x, y = CURVES[case]
    np.testing.assert_allclose(curve(np.array(x)), y, rtol=0, atol=1e-12)
    assert np.isnan(curve(np.array([math.nan]))).all() or case.endswith("0")


@given(st.lists(st.floats(-1e3, 1e3), min_size=1), st.lists(st.floats(-10, 10), min_size=2, max_size=5))
def test_a_polynomial_is_that_of_numpy(x: list[float], coefficients: list[float]) -> None:
    expected = np.polynomial.polynomial.polyval(np.array(x), coefficients)
    np.testing.assert_allclose(polynomial(np.array(x), tuple(coefficients)), expected, rtol=1e-9, atol=1e-6)


@given(st.lists(st.integers(-100, 100), min_size=2, max_size=6, unique=True), st.floats(-100, 100))
def test_a_table_is_that_of_numpy_between_its_ends(points: list[int], x: float) -> None:
    xs = tuple(map(float, sorted(points)))
    ys = tuple(float(point) for point in points)
    inside = min(max(x, xs[0]), xs[-1])
    assert piecewise_linear(np.array([inside]), xs, ys)[0] == pytest.approx(np.interp(inside, xs, ys), abs=1e-9)


def test_compensation_undoes_what_the_temperature_did() -> None:
    true, away = np.array([10.0, 20.0]), np.array([5.0, -8.0])
    measured = true * (1.0 + 0.02 * away) + 0.3 * away
    np.testing.assert_allclose(compensated(measured, away, 0.3, 0.02), true, rtol=1e-14)


# -- what is in force --------------------------------------------------------------------------------------------


def test_a_calibration_holds_from_its_first_moment_to_just_before_its_end() -> None:
    stage = with_(Version("A", DOUBLE, START_NS + 2 * NS, START_NS + 4 * NS))
    out = calibrated(stage, block([5.0] * 5, at_s=[1.999999999, 2.0, 3.0, 3.999999999, 4.0], flag=Flag.GOOD))
    assert out.v[:, 0].tolist() == [5.0, 11.0, 11.0, 11.0, 5.0]
    assert out.v[:, 1].tolist() == [5.0] * 5
    assert out.flag[:, 0].tolist() == [3, 1, 1, 1, 3]
    assert out.flag[:, 1].tolist() == [1] * 5
    assert out.reason[:, 0].tolist() == [Reason.UNCALIBRATED, 0, 0, 0, Reason.UNCALIBRATED]
    assert not out.reason[:, 1].any()


def test_the_next_version_takes_over_without_a_gap() -> None:
    first, then = Version("A", DOUBLE, until_ns=TEN), Version("A", partial(linear, offset=0.0, gain=3.0), TEN)
    out = calibrated(with_(first, then), block([1.0, 1.0, 1.0], at_s=[9.999999999, 10.0, 11.0]))
    assert out.v[:, 0].tolist() == [3.0, 3.0, 3.0]
    assert not out.reason.any()
    out = calibrated(with_(first, then), block([2.0, 2.0], at_s=[9.0, 11.0]))
    assert out.v[:, 0].tolist() == [5.0, 6.0]


@pytest.mark.parametrize("serial", ["B", "", "A2"])
def test_what_was_found_for_one_part_is_not_used_for_another(serial: str) -> None:
    out = calibrated(with_(Version("A", DOUBLE), serial=serial), block([5.0, 6.0]))
    assert out.v.tolist() == [[5.0, 5.0], [6.0, 6.0]]
    assert out.flag[:, 0].tolist() == [Flag.SUSPECT] * 2
    assert out.reason[:, 0].tolist() == [Reason.UNCALIBRATED] * 2
    assert out.flag[:, 1].tolist() == [Flag.NOT_EVALUATED] * 2


def test_letters_of_a_serial_number_may_be_large_or_small() -> None:
    assert calibrated(with_(Version("3e6D", DOUBLE), serial=" 3E6d"), block([1.0])).v[0, 0] == 3.0


def test_a_part_that_tells_its_number_outranks_the_site() -> None:
    stage = with_(Version("A", DOUBLE), serial="A")
    state, out = stage.step(stage.of_part(stage.initial(), "B"), block([1.0]))
    assert out.v[0, 0] == 1.0
    assert stage.step(stage.of_part(state, "a"), block([1.0]))[1].v[0, 0] == 3.0


def test_two_parts_may_be_calibrated_at_once_and_the_one_that_is_there_counts() -> None:
    versions = Version("A", DOUBLE), Version("B", partial(linear, offset=7.0, gain=1.0))
    assert calibrated(with_(*versions, serial="A"), block([1.0])).v[0, 0] == 3.0
    assert calibrated(with_(*versions, serial="B"), block([1.0])).v[0, 0] == 8.0


# -- values that are not simply good ---------------------------------------------------------------------------------


def test_nothing_is_made_of_nothing() -> None:
    one = block([math.nan, math.nan, 4.0, 4.0], flag=[Flag.MISSING, Flag.ABSENT, Flag.FAIL, Flag.SUSPECT])
    out = calibrated(with_(Version("A", DOUBLE)), one)
    assert np.isnan(out.v[:2]).all()
    assert out.v[2:, 0].tolist() == [9.0, 9.0]
    assert out.flag[:, 0].tolist() == [Flag.MISSING, Flag.ABSENT, Flag.FAIL, Flag.SUSPECT]
    assert calibrated(with_(), one).flag[:, 0].tolist() == [Flag.MISSING, Flag.ABSENT, Flag.FAIL, Flag.SUSPECT]
    assert calibrated(with_(), one).reason[:, 0].tolist() == [0, 0, 0, Reason.UNCALIBRATED]


def test_beyond_what_was_calibrated_the_value_is_there_and_suspect() -> None:
    table = partial(piecewise_linear, xs=(0.0, 10.0), ys=(0.0, 20.0))
    out = calibrated(with_(Version("A", table, span=(0.0, 10.0))), block([-1.0, 0.0, 10.0, 11.0]))
    assert out.v[:, 0].tolist() == [-2.0, 0.0, 20.0, 22.0]
    assert out.flag[:, 0].tolist() == [3, 2, 2, 3]


def test_without_its_temperature_a_value_is_calibrated_without_it_and_suspect() -> None:
    stage = with_(Version("A", DOUBLE, compensations=(Compensation(1, 20.0, offset=0.5),)))
    flags = [[2, 2], [2, Flag.MISSING], [2, Flag.FAIL], [2, Flag.SUSPECT]]
    values = block([[10.0, 24.0], [10.0, math.nan], [10.0, 99.0], [10.0, 18.0]])
    out = calibrated(stage, replace(values, flag=np.array(flags, np.uint8)))
    assert out.v[:, 0].tolist() == [17.0, 21.0, 21.0, 23.0]
    assert out.flag[:, 0].tolist() == [2, 3, 3, 2]
    assert out.v[:, 1].tolist()[::3] == [24.0, 18.0]
    assert out.v[:, 2].tolist() == [10.0] * 4


@pytest.mark.parametrize("x", [1e308, -1e308, 1e200])
def test_what_cannot_be_calibrated_is_missing_and_never_infinite(x: float) -> None:
    for version in (
        Version("A", partial(polynomial, coefficients=(0.0, 1.0, 1.0))),
        Version("A", partial(linear, offset=0.0, gain=1e300)),
        Version("A", DOUBLE, compensations=(Compensation(0, x + 10.0, gain=math.inf),)),
    ):
        out = calibrated(with_(version), block([x]))
        assert math.isnan(out.v[0, 0])
        assert out.flag[0, 0] == Flag.MISSING
        assert out.v[0, 1] == x


def test_an_empty_block_gets_its_columns() -> None:
    out = calibrated(STAGE, Block.empty(2, 7))
    assert (out.v.shape, out.until_ns) == ((0, 3), 7)


# -- maintenance -----------------------------------------------------------------------------------------------------


def test_what_is_said_during_maintenance_is_marked() -> None:
    stage = Maintain(((START_NS + 2 * NS, START_NS + 4 * NS, Flag.FAIL), (START_NS + 5 * NS, TEN, Flag.SUSPECT)))
    one = block([[1.0, math.nan]] * 6, at_s=[1.0, 2.0, 3.0, 4.0, 5.0, 10.0], flag=Flag.GOOD)
    one = replace(one, flag=np.array([[1, 0]] * 6, np.uint8))
    _, out = stage.step(stage.initial(), one)
    assert out.flag[:, 0].tolist() == [1, 4, 4, 1, 3, 1]
    assert (out.reason[:, 0] > 0).tolist() == [False, True, True, False, True, False]
    assert not out.flag[:, 1].any()
    assert not out.reason[:, 1].any()
    np.testing.assert_array_equal(out.v, one.v)


# -- laws ------------------------------------------------------------------------------------------------------------

MARKED = Maintain(((START_NS + 3 * NS, TEN, Flag.FAIL), (TWENTY, TWENTY + NS, Flag.SUSPECT)))


@pytest.mark.parametrize("stage", [STAGE, MARKED], ids=["calibrate", "maintain"])
@given(one=blocks(2), cuts=cut_places, cut=cut_place)
def test_any_cut_and_any_stop(stage: Calibrate | Maintain, one: Block, cuts: list[int], cut: int) -> None:
    check_cuts(stage, one, cuts)
    check_restore(stage, one, cut)


@given(one=blocks(2))
def test_maintenance_keeps_every_value(one: Block) -> None:
    check_honest(MARKED, one)


@given(one=blocks(2, values=(0.0, 1.0, 1.5, -2.0, 1e308)))
def test_what_was_measured_goes_out_as_well(one: Block) -> None:
    out = calibrated(STAGE, one)
    for name in ("v", "flag", "reason"):
        np.testing.assert_array_equal(getattr(out, name)[:, 2], getattr(one, name)[:, 0])
        np.testing.assert_array_equal(getattr(out, name)[:, 1], getattr(one, name)[:, 1])
    assert not np.isinf(out.v).any()
    gone = np.isnan(out.v)
    assert np.isin(out.flag[gone], (Flag.MISSING, Flag.ABSENT)).all()
    assert ((out.flag == Flag.ABSENT)[:, 0] == (one.flag == Flag.ABSENT)[:, 0]).all()


@dataclass(frozen=True, slots=True)
class Careless(Calibrate):
    """Takes the calibration that is in force at the end of a block for the whole of it."""

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        at = np.full(len(block.t), block.until_ns)
        state, out = Calibrate.step(self, state, replace(block, t=at))
        return state, replace(out, t=block.t)


def test_a_careless_stage_is_caught() -> None:
    @to_be_caught
    @given(one=blocks(2), cuts=cut_places)
    def law(one: Block, cuts: list[int]) -> None:
        check_cuts(Careless(STAGE.columns, STAGE.versions, STAGE.serial), one, cuts)

    with pytest.raises(AssertionError):
        law()
