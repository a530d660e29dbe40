"""Every stage of quality and every filter keeps the laws of stages; and the laws catch a stage that does not."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_samples import NS, block
from stage_laws import (
    blocks,
    check_cuts,
    check_honest,
    check_release,
    check_restore,
    cut_place,
    cut_places,
    to_be_caught,
)

from gateway.block import Block, Flag
from gateway.pipeline.attenuated import AttenuatedTest, Quiet
from gateway.pipeline.centred import Centred, HampelFilter, HampelTest, Spike
from gateway.pipeline.climatology import Member
from gateway.pipeline.filtered import EwmaFilter, MedianFilter
from gateway.pipeline.quality import ClimatologyTest, FlatLineTest, RangeTest, Steps, StepTest
from gateway.pipeline.stage import Stage, State

NEAR_NS = 3 * NS // 2
INF = math.inf
SPIKE = Spike((0.05, 1.0), (1.0, 0.0), (False, True))
HAMPEL = HampelTest((1, 2), (3.0, 2.0), (0.01, 0.0))
STAGES: dict[str, Stage] = {
    "range": RangeTest(np.zeros(2), np.full(2, 3.0), np.full(2, 1.0), np.full(2, 1.5)),
    "climatology": ClimatologyTest(((Member("hour", (0, 5), (1.0, 2.0), (-1.0, 5.0)),), ())),
    "flat line": FlatLineTest((2, 3), (5, 0), (0.05, 1.0)),
    "step": StepTest((Steps(0.5, 4.0, 2e9, INF), Steps(INF, 1.0, INF, 5e9)), NEAR_NS),
    "attenuated": AttenuatedTest((Quiet(20 * NS, 0.3, 0.05, False, 2), Quiet(32 * NS, 2.0, 1.0, True, 3))),
    "spike": Centred((SPIKE,), NEAR_NS, 2),
    "hampel": Centred((HAMPEL,), NEAR_NS, 2),
    "spike and hampel": Centred((SPIKE, HAMPEL), NEAR_NS, 2),
    "hampel filter": Centred((HampelFilter(1, 2, 3.0, 0.01),), NEAR_NS, 2),
    "median filter": MedianFilter(1, 3),
    "ewma filter": EwmaFilter(0, 2.5),
}


@pytest.mark.parametrize("name", STAGES)
@given(one=blocks(2), cuts=cut_places)
def test_the_output_does_not_depend_on_how_the_input_is_cut(name: str, one: Block, cuts: list[int]) -> None:
    check_cuts(STAGES[name], one, cuts)


@pytest.mark.parametrize("name", STAGES)
@given(one=blocks(2), cut=cut_place)
def test_a_restart_goes_on_where_it_was(name: str, one: Block, cut: int) -> None:
    check_restore(STAGES[name], one, cut)


@pytest.mark.parametrize("name", STAGES)
@given(one=blocks(2))
def test_it_flags_and_never_repairs(name: str, one: Block) -> None:
    check_honest(STAGES[name], one)


@pytest.mark.parametrize("name", ["spike", "hampel", "spike and hampel", "hampel filter"])
@given(one=blocks(2), cuts=cut_places, at=st.integers(0, 40))
def test_what_a_closing_window_gets_does_not_depend_on_the_cuts(
    name: str, one: Block, cuts: list[int], at: int
) -> None:
    check_release(STAGES[name], one, cuts, at)


# -- negative controls: each of these is wrong in one way, and one of the laws must see it ------------------------


@dataclass(frozen=True)
class ForgetsItsTail(FlatLineTest):
    """As the flat line test, but each block is the first one."""

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        return super().step(self.initial(), block)


@dataclass(frozen=True)
class LosesHeldRows(Centred):
    """As any centred step, but what was held back is forgotten."""

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        after, out = super().step(state, block)
        return after | {
            name: after[name][: int(after["done"][0])] for name in ("t", "v", "flag", "reason", "dur_s")
        }, out


@dataclass(frozen=True)
class CountsBlocks(RangeTest):
    """It knows how many blocks there were: a state that depends on the cuts."""

    def initial(self) -> State:
        return {"n": np.zeros(1)}

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        return {"n": state["n"] + 1}, super().step({}, block)[1]


@dataclass(frozen=True)
class KeepsItToItself(FlatLineTest):
    """What it remembers stands beside its state, and is not saved."""

    own: dict[str, State] = field(default_factory=dict)

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        self.own["state"], out = super().step(self.own.get("state", self.initial()), block)
        return state, out


@dataclass(frozen=True)
class Softens(RangeTest):
    """It takes a verdict back."""

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        return state, replace(block, flag=np.where(block.flag == Flag.SUSPECT, Flag.GOOD, block.flag).astype(np.uint8))


@dataclass(frozen=True)
class Repairs(RangeTest):
    """It puts another value in the place of a bad one."""

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        return state, replace(block, v=np.clip(block.v, 0.0, 2.0))


@to_be_caught
@given(one=blocks(1), cuts=cut_places)
def cut(stage: Stage, one: Block, cuts: list[int]) -> None:
    check_cuts(stage, one, cuts)


@to_be_caught
@given(one=blocks(1))
def honest(stage: Stage, one: Block) -> None:
    check_honest(stage, one)


SPANS = (np.zeros(1), np.full(1, 3.0), np.zeros(1), np.full(1, 3.0))
WRONG = {
    "forgets its tail": (cut, ForgetsItsTail((2,), (0,), (0.5,))),
    "loses what it held back": (cut, LosesHeldRows((Spike((0.05,), (0.0,), (False,)),), NEAR_NS, 1)),
    "counts blocks": (cut, CountsBlocks(*SPANS)),
    "softens": (honest, Softens(*SPANS)),
    "repairs": (honest, Repairs(*SPANS)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_stage_is_caught(name: str) -> None:
    law, stage = WRONG[name]
    with pytest.raises(AssertionError):
        law(stage)


@pytest.mark.parametrize("kind", [ForgetsItsTail, KeepsItToItself])
def test_a_restart_that_forgets_is_caught(kind: type[FlatLineTest]) -> None:
    with pytest.raises(AssertionError):
        check_restore(kind((2,), (0,), (0.5,)), block([5.0] * 6, flag=Flag.GOOD), 3)
