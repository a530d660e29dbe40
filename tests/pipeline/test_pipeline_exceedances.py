"""Noise events: one passing lorry is one event, however its readings are cut; a negative control is caught."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_samples import START_NS, block
from stage_laws import blocks, check_cuts, check_honest, check_restore, cut_place, cut_places, run

from gateway.block import Block, Flag, Reason
from gateway.pipeline.exceedances import CHANNELS, Exceedances, exceedances
from gateway.pipeline.noise import leq, sel
from gateway.pipeline.stage import State
from gateway.pipeline.windows import NS

LEVELS = (55.0, 64.9, 65.0, 65.1, 70.0, 82.5)
STAGES = [Exceedances(0, 65.0, 0.0, 0.0), Exceedances(0, 65.0, 2.0, 3.0), Exceedances(1, 65.0, 0.0, 50.0)]
NAMES = [channel.name for channel in CHANNELS]
LORRY = [50.0, 60.0, 68.0, 75.0, 71.0, 60.0, 67.0, 58.0, 50.0, 50.0, 50.0, 50.0]


def told(out: Block, own: int = 1) -> list[tuple[int, ...]]:
    """Return the rows in which something is told, with the values rounded."""
    rows = np.flatnonzero(~np.isnan(out.v[:, own]))
    return [(int(row), *(round(one, 6) for one in out.v[row, own:])) for row in rows]


def events(levels: Sequence[float], **keys: float) -> list[tuple[float, float]]:
    t = START_NS + np.arange(len(levels)) * NS
    found = exceedances(t, np.array(levels), np.ones(len(levels)), 65.0, **keys)
    return [((one.start_ns - START_NS) / NS, one.duration_s) for one in found]


# -- what an event is --------------------------------------------------------------------------------------------


def test_a_pause_within_the_gap_is_part_of_the_event() -> None:
    assert events(LORRY, gap_s=0.0) == [(2.0, 3.0), (6.0, 1.0)]
    assert events(LORRY, gap_s=1.0) == [(2.0, 5.0)]
    assert events(LORRY, gap_s=10.0) == [(2.0, 5.0)]  # the quiet end is not


def test_a_level_at_the_threshold_is_not_above_it() -> None:
    assert events([65.0, 65.0, 65.1, 65.0]) == [(2.0, 1.0)]


def test_short_events_are_not_told() -> None:
    assert events(LORRY, gap_s=0.0, min_s=2.0) == [(2.0, 3.0)]
    assert events(LORRY, gap_s=0.0, min_s=3.0) == [(2.0, 3.0)]
    assert events(LORRY, gap_s=0.0, min_s=3.1) == []


def test_an_event_that_still_goes_on_is_in_the_series_as_far_as_it_is_known() -> None:
    assert events([50.0, 70.0, 70.0]) == [(1.0, 2.0)]


def test_levels_that_are_not_known_make_no_event_and_have_no_time() -> None:
    assert events([math.nan] * 5) == []
    assert events([]) == []
    t = START_NS + np.arange(4) * NS
    one = exceedances(t, np.array([70.0, math.nan, 80.0, 50.0]), np.ones(4), 65.0, gap_s=5.0)[0]
    assert one.leq_db == pytest.approx(leq(np.array([70.0, 80.0])))
    assert one.duration_s == 3.0


def test_the_levels_of_an_event_are_those_of_its_readings() -> None:
    t = START_NS + np.arange(len(LORRY)) * NS
    one = exceedances(t, np.array(LORRY), np.ones(len(LORRY)), 65.0, gap_s=1.0)[0]
    inside = np.array(LORRY[2:7])
    assert one.leq_db == pytest.approx(leq(inside), abs=1e-9)
    assert one.sel_db == pytest.approx(sel(inside), abs=1e-9)
    assert one.max_db == 75.0


# -- the stage ---------------------------------------------------------------------------------------------------


def test_an_event_is_told_once_when_the_gap_has_passed() -> None:
    _, out = Exceedances(0, 65.0, 0.0, 2.0).step(Exceedances(0, 65.0, 0.0, 2.0).initial(), block(LORRY))
    rows = told(out)
    assert [row[0] for row in rows] == [10]  # the last loud one ends at 7.5 s; the row at 10.5 s is past 9.5 and jitter
    assert rows[0][1:] == (
        1.0, 5.0, round(leq(np.array(LORRY[2:7])), 6), 75.0, round(sel(np.array(LORRY[2:7])), 6)
    )  # fmt: skip
    others = np.delete(out.flag[:, 1:], 10, axis=0)
    assert (others == Flag.ABSENT).all()
    assert (out.flag[10, 1:] == Flag.NOT_EVALUATED).all()


def test_what_comes_back_after_a_silence_closes_the_event() -> None:
    stage = Exceedances(0, 65.0, 0.0, 10.0)
    _, out = run(stage, [block([70.0, 71.0]), block([50.0], at_s=[3600.5])])
    assert [row[:3] for row in told(out)] == [(2, 1.0, 2.0)]


def test_the_worst_loud_reading_makes_the_flag() -> None:
    stage = Exceedances(0, 65.0, 0.0, 0.0)
    one = block([70.0, 71.0, 50.0, 50.0], flag=[Flag.GOOD, Flag.SUSPECT, Flag.GOOD, Flag.GOOD], reason=Reason.STEP)
    _, out = stage.step(stage.initial(), one)
    row = told(out)[0][0]
    assert (out.flag[row, 1:] == Flag.SUSPECT).all()
    assert (out.reason[row, 1:] == Reason.STEP).all()


def test_failed_readings_are_not_loud() -> None:
    stage = Exceedances(0, 65.0, 0.0, 0.0)
    assert told(stage.step(stage.initial(), block([90.0, 50.0, 50.0], flag=[Flag.FAIL, Flag.GOOD, Flag.GOOD]))[1]) == []


@given(st.lists(st.sampled_from(LEVELS), max_size=60), st.integers(0, 4), st.integers(0, 4))
def test_the_stage_tells_the_events_of_the_whole_series(levels: list[float], gap_s: int, min_s: int) -> None:
    stage = Exceedances(0, 65.0, float(min_s), float(gap_s))
    _, out = stage.step(stage.initial(), block([*levels, *[50.0] * 7]))
    by_hand = by_definition(levels, gap_s, min_s)
    assert [row[1:3] for row in told(out)] == [(1.0, float(duration)) for _, duration in by_hand]
    assert events([*levels, *[50.0] * 7], gap_s=float(gap_s), min_s=float(min_s)) == by_hand


def by_definition(levels: Sequence[float], gap_s: int, min_s: int) -> list[tuple[int, int]]:
    """Find (start, duration) of events second by second, as a person would."""
    loud = [second for second, one in enumerate(levels) if one > 65.0]
    found: list[list[int]] = []
    for second in loud:
        if found and second - found[-1][1] <= gap_s:
            found[-1][1] = second + 1
        else:
            found.append([second, second + 1])
    return [(first, end - first) for first, end in found if end - first >= min_s]


def test_the_sum_of_exposures_is_the_level_of_a_day_of_events() -> None:
    """What is told by events can be put together again: their exposures add up to the energy of the loud time."""
    rng = np.random.default_rng(5)
    levels = np.where(rng.random(3600) < 0.05, 70.0 + 15.0 * rng.random(3600), 50.0)
    t = START_NS + np.arange(3600) * NS
    found = exceedances(t, levels, np.ones(3600), 65.0)
    total = 10.0 * np.log10(sum(10.0 ** (one.sel_db / 10.0) for one in found))
    assert total == pytest.approx(sel(levels[levels > 65.0]), abs=1e-9)


@pytest.mark.parametrize("stage", STAGES)
@given(one=blocks(2, values=LEVELS), cuts=cut_places)
def test_any_cut_gives_the_same(stage: Exceedances, one: Block, cuts: list[int]) -> None:
    check_cuts(stage, one, cuts)


@pytest.mark.parametrize("stage", STAGES)
@given(one=blocks(2, values=LEVELS), cut=cut_place)
def test_a_restart_gives_the_same(stage: Exceedances, one: Block, cut: int) -> None:
    check_restore(stage, one, cut)


@pytest.mark.parametrize("stage", STAGES)
@given(one=blocks(2, values=(*LEVELS, 1e300, -1e300)))
def test_nothing_is_changed_and_nothing_infinite_told(stage: Exceedances, one: Block) -> None:
    check_honest(stage, one)


@dataclass(frozen=True, slots=True)
class Forgetful(Exceedances):
    """A wrong stage: what goes on at the end of a block is forgotten."""

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        _, out = Exceedances.step(self, self.initial(), block)
        return self.initial(), out


def test_a_stage_that_forgets_is_caught() -> None:
    one = block([*LORRY, *LORRY])
    check_cuts(Exceedances(0, 65.0, 0.0, 2.0), one, [4])
    with pytest.raises(AssertionError):
        check_cuts(Forgetful(0, 65.0, 0.0, 2.0), one, [4])
