"""Running totals: wraps, resets, readings passed over, and the same counts however they are cut."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_samples import block
from stage_laws import blocks, check_cuts, check_honest, check_restore, cut_place, cut_places, run

from gateway.block import Block, Flag, Reason
from gateway.pipeline.counters import Increments, delta_wrap, increase, increments
from gateway.pipeline.stage import State

TOTALS = (0.0, 1.0, 5.0, 17.0, 250.0, 255.0)
STAGES = [Increments((0,), (0.0,)), Increments((1, 0), (256.0, 0.0))]


@pytest.mark.parametrize(
    ("total", "modulus", "added"),
    [
        ([10, 25, 40, 3, 9], 0.0, [15, 15, 3, 6]),  # a drop is a reset, as in Prometheus
        ([250, 255, 4, 4], 256.0, [5, 5, 0]),  # a wrap
        ([250, 100, 110], 256.0, [106, 10]),
        ([200, 3, 9], 0.0, [3, 6]),
        ([130, 2], 256.0, [2]),  # 128 to go would be half of the register: a reset
        ([131, 2], 256.0, [127]),
        ([7], 0.0, []),
        ([], 0.0, []),
    ],
)
def test_what_is_added(total: list[float], modulus: float, added: list[float]) -> None:
    assert increments(np.array(total, np.float64), modulus).tolist() == added


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_registers_wrap(bits: int) -> None:
    assert float(delta_wrap(2.0**bits - 6.0, 10.0, 2.0**bits)) == 16.0


@given(st.lists(st.integers(0, 100), min_size=1, max_size=50), st.integers(0, 255))
def test_a_small_register_counts_what_a_large_one_counts(steps: list[int], start: int) -> None:
    """Steps below half of the register are never lost, wherever it wraps."""
    true = start + np.cumsum([0, *steps]).astype(np.float64)
    assert increase(true % 256.0, 256.0) == float(sum(steps)) == increase(true)


def test_the_first_reading_adds_nothing_that_is_known() -> None:
    _, out = run(STAGES[0], [block([100.0, 103.0]), block([110.0], at_s=[2.5])])
    assert [None if math.isnan(one) else one for one in out.v[:, 1]] == [None, 3.0, 7.0]
    assert out.flag[0, 1] == Flag.ABSENT


def test_a_reading_that_is_no_good_is_passed_over() -> None:
    one = block([5.0, math.nan, 999.0, 9.0], flag=[Flag.GOOD, Flag.MISSING, Flag.FAIL, Flag.GOOD])
    _, out = run(STAGES[0], [one])
    assert out.flag[:, 1].tolist() == [0, 0, 0, 1]
    assert out.v[3, 1] == 4.0


def test_a_doubtful_reading_makes_two_doubtful_counts() -> None:
    one = block([5.0, 7.0, 9.0, 12.0], flag=[Flag.GOOD, Flag.SUSPECT, Flag.GOOD, Flag.GOOD])
    reason = one.reason.copy()
    reason[1] = Reason.STEP
    _, out = run(STAGES[0], [Block(one.t, one.v, one.flag, reason, one.dur_s, one.until_ns)])
    assert out.flag[:, 1].tolist() == [0, 3, 3, 1]
    assert out.reason[:, 1].tolist() == [0, Reason.STEP, Reason.STEP, 0]


@pytest.mark.parametrize("stage", STAGES)
@given(one=blocks(2, values=TOTALS), cuts=cut_places)
def test_any_cut_gives_the_same(stage: Increments, one: Block, cuts: list[int]) -> None:
    check_cuts(stage, one, cuts)


@pytest.mark.parametrize("stage", STAGES)
@given(one=blocks(2, values=TOTALS), cut=cut_place)
def test_a_restart_gives_the_same(stage: Increments, one: Block, cut: int) -> None:
    check_restore(stage, one, cut)


@pytest.mark.parametrize("stage", STAGES)
@given(one=blocks(2, values=TOTALS))
def test_nothing_is_changed(stage: Increments, one: Block) -> None:
    check_honest(stage, one)


@dataclass(frozen=True, slots=True)
class Forgetful(Increments):
    """A wrong stage: the last reading of a block is forgotten."""

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        return self.initial(), Increments.step(self, self.initial(), block)[1]


def test_a_stage_that_forgets_is_caught() -> None:
    with pytest.raises(AssertionError):
        check_cuts(Forgetful((0,), (0.0,)), block([1.0, 2.0, 3.0]), [1])
