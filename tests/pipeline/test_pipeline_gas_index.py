"""Gas indices: those of the published algorithm over days; what is doubtful teaches nothing; no restart is felt."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_samples import block, rows_of
from stage_laws import blocks, check_cuts, check_honest, check_restore, cut_place, cut_places, kept

from gateway.block import Block, Flag, Reason
from gateway.pipeline.gas_index import NOX, VOC, GasIndex, Parameters, Recursion
from gateway.pipeline.stage import State

NAN = math.nan


def walk(n: int, usual: int, episode: int, seed: int = 5) -> list[int]:
    """Ticks that wander about `usual`, with an episode of 50 minutes in every 20,000 samples."""
    x, level, ticks = seed, 0, []
    for i in range(n):
        x = (x * 1103515245 + 12345) % 2**31
        level += (x >> 16) % 21 - 10 - level // 400
        ticks.append(usual + level + (episode if i % 20000 > 17000 else 0))
    return ticks


TUNED = {
    "learning_time_offset_hours": 24.0, "learning_time_gain_hours": 6.0, "gating_max_duration_min": 30.0,
    "std_initial": 80.0, "gain_factor": 150.0,
}  # fmt: skip
# What sensirion-gas-index-algorithm 3.2.2 (the maker's own C) makes of these walks: (algorithm, s from sample to
# sample, episode, samples from one to the next, index of sample 1799 and so on); and what a wrong figure must upset.
REFERENCE = {
    "VOC, 48 h": (
        VOC, 1.0, -1500, 3600,
        ("104 112 101 52 48 497 154 49 165 44 496 80 101 110 132 61 498 156 90 52 171 495 94 53 46 104 107 495 165 158 "
        "67 80 90 96 169 96 126 81 499 108 73 127 78 99 141 56 120 99"),
        {"mean_tau_initial_s": 40.0},
    ),
    "NOx, 48 h": (
        NOX, 1.0, 2500, 3600,
        "1 1 1 1 1 10 1 1 1 1 11 1 1 1 1 1 9 1 1 1 1 12 1 1 1 1 1 11 1 1 1 1 1 1 1 1 1 1 10 1 1 1 1 1 2 1 1 1",
        {"mean_tau_initial_s": 2400.0},
    ),
    "VOC, 10 s": (
        VOC, 10.0, -1500, 900,
        ("74 165 131 81 133 166 131 61 103 46 138 143 62 110 52 68 77 495 497 361 284 59 84 89 92 94 72 70 70 84 93 90 "
        "133 97 80 73 52 110 58 124 491 388 283 42 66 60 54 66 94 77 77 83 121 75 65 157 127 129 151 87 66 65 494 433 "
        "327 67 72 72 79 91 83 49 74 56 67"),
        {"gate_at": 370.0},
    ),
    "VOC, tuned": (
        replace(VOC, index_offset=60.0, **TUNED), 1.0, -1500, 3600,
        "62 68 60 40 37 360 77 41 78 41 392 53 57 55 70 44 372 70 49 43 76 348 53 43",
        {"gate_at": 370.0},
    ),
    "NOx, tuned": (
        replace(NOX, index_offset=20.0, **TUNED), 1.0, 9000, 3600,
        "20 20 20 20 20 259 9 12 10 12 272 11 11 12 11 12 250 10 12 13 11 277 11 13",
        {"gate_at": 60.0},
    ),
}  # fmt: skip


def off_by(parameters: Parameters, interval_s: float, episode: int, stride: int, wanted: list[int]) -> float:
    """Return how far the index, not rounded, is from the whole numbers of the reference."""
    recursion = Recursion(parameters, interval_s)
    ticks = walk(1800 + stride * (len(wanted) - 1), 30000 if parameters.raw == VOC.raw else 16000, episode)
    index = [recursion.take(float(one)) for one in ticks]
    return max(abs(one - said) for one, said in zip(index[1799::stride], wanted, strict=True))


@pytest.mark.parametrize("name", REFERENCE)
def test_it_is_the_published_algorithm(name: str) -> None:
    parameters, interval_s, episode, stride, wanted, wrong = REFERENCE[name]
    numbers = [int(one) for one in wanted.split()]
    assert off_by(parameters, interval_s, episode, stride, numbers) < 1.0
    assert off_by(replace(parameters, **wrong), interval_s, episode, stride, numbers) > 1.0


def test_zero_for_46_samples_then_a_minute_to_settle() -> None:
    ticks = [30000 - (1500 if 150 <= i < 170 else 0) + (i % 7) * 10 for i in range(200)]
    voc = Recursion(VOC, 1.0)
    index = [math.floor(voc.take(float(one)) + 0.5) for one in ticks]
    assert index[:46] == [0] * 46
    said = {46: 1, 48: 1, 60: 43, 100: 93, 149: 100, 150: 119, 155: 201, 160: 264, 169: 334, 180: 196, 199: 91}
    assert {i: index[i] for i in said} == said


@given(
    st.sampled_from([VOC, NOX]), st.sampled_from([1.0, 10.0]),
    st.lists(st.one_of(st.floats(-1e300, 1e300), st.sampled_from([0.0, 65535.0, 30000.0])), max_size=150),
)  # fmt: skip
def test_whatever_the_ticks_it_is_zero_or_an_index(one: Parameters, interval_s: float, ticks: list[float]) -> None:
    recursion = Recursion(one, interval_s)
    index = [recursion.take(each) for each in ticks]
    silent = 46 if interval_s == 1.0 else 5
    assert all(each == 0.0 for each in index[:silent])
    assert all(0.5 <= each <= 500.0 for each in index[silent:])
    assert all(map(math.isfinite, recursion.memory()))


# -- the stage ---------------------------------------------------------------------------------------------------

STAGE = GasIndex(((0, VOC), (1, NOX)), 1.0)
QUICK = GasIndex(((1, NOX), (0, VOC)), 10.0)  # five samples of blackout, and the columns the other way round


def air(n: int, start_s: float = 0.0, flag: Flag = Flag.GOOD, reason: int = 0, every_s: float = 1.0) -> Block:
    """n samples of both channels, from a second on."""
    voc, nox = walk(n, 30000, -1500), walk(n, 16000, 2500, seed=11)
    at_s = [start_s + i * every_s + 0.3 for i in range(n)]
    return block(list(zip(voc, nox, strict=True)), at_s, [flag] * n, reason)


def flags(out: Block, column: int) -> list[tuple[int, int]]:
    return list(zip(out.flag[:, column].tolist(), out.reason[:, column].tolist(), strict=True))


def same(one: State, other: State) -> bool:
    return {name: array.tobytes() for name, array in one.items()} == {n: a.tobytes() for n, a in other.items()}


def test_blackout_is_missing_and_learning_is_suspect_and_both_say_why() -> None:
    n = 46 + round(5.7 * 3600) + 3
    _, out = STAGE.step(STAGE.initial(), air(n))
    dark, young, ready = (Flag.MISSING, Reason.WARM_UP), (Flag.SUSPECT, Reason.WARM_UP), (Flag.GOOD, 0)
    assert np.isnan(out.v[:46, 2:]).all()
    for column, learning_s in ((2, 1.45 * 3600), (3, 5.7 * 3600)):
        ends = 46 + round(learning_s)
        assert flags(out, column)[:46] == [dark] * 46
        assert flags(out, column)[46:ends] == [young] * (ends - 46)
        assert flags(out, column)[ends:] == [ready] * (n - ends)
    assert (out.v[46:, 2:] == np.rint(out.v[46:, 2:])).all()
    assert out.v[46:, 2:].min() == 1.0


def test_readings_that_are_not_evaluated_count_as_good_ones() -> None:
    whole = air(6000)
    _, good = STAGE.step(STAGE.initial(), whole)
    _, free = STAGE.step(STAGE.initial(), replace(whole, flag=np.full_like(whole.flag, Flag.NOT_EVALUATED)))
    assert good.v.tobytes() == free.v.tobytes()
    assert (good.flag[-1, 2], free.flag[-1, 2]) == (Flag.GOOD, Flag.NOT_EVALUATED)


# value, flag and reason of the ticks; flag and reason of the index
DOUBTFUL = [
    (NAN, Flag.MISSING, 0, Flag.MISSING, 0),
    (NAN, Flag.ABSENT, 0, Flag.ABSENT, 0),
    (0.0, Flag.SUSPECT, Reason.SATURATED, Flag.MISSING, Reason.SATURATED),
    (30000.0, Flag.SUSPECT, Reason.DEVICE, Flag.MISSING, Reason.DEVICE),
    (30000.0, Flag.SUSPECT, Reason.WARM_UP, Flag.MISSING, Reason.WARM_UP),
    (90000.0, Flag.FAIL, Reason.RANGE, Flag.MISSING, Reason.RANGE),
    (math.inf, Flag.GOOD, 0, Flag.MISSING, 0),
]


@pytest.mark.parametrize(("value", "flag", "reason", "index_flag", "index_reason"), DOUBTFUL)
def test_what_is_doubtful_gives_no_index_and_teaches_nothing(
    value: float, flag: Flag, reason: int, index_flag: Flag, index_reason: int
) -> None:
    state, _ = STAGE.step(STAGE.initial(), air(300))
    bad = block([[value, value]] * 20, [300.3 + i for i in range(20)], [flag] * 20, reason)
    after, out = STAGE.step(state, bad)
    assert np.isnan(out.v[:, 2:]).all()
    assert flags(out, 2) == flags(out, 3) == [(index_flag, index_reason)] * 20
    names = ("voc_index", "nox_index")
    assert same({name: after[name] for name in names}, {name: state[name] for name in names})


def test_a_part_that_warms_up_is_in_its_blackout() -> None:
    """So that the 45 s of the driver and those of the algorithm are the same, and not one after the other."""
    state, out = STAGE.step(STAGE.initial(), air(45, flag=Flag.SUSPECT, reason=Reason.WARM_UP))
    assert np.isnan(out.v[:, 2:]).all()
    _, out = STAGE.step(state, air(3, 45.0))
    np.testing.assert_array_equal(out.v[:2, 2], [NAN, 1.0])


@pytest.mark.parametrize(("pause_s", "forgotten"), [(600.0, False), (601.0, True), (-30.0, False), (86400.0, True)])
def test_after_a_long_pause_all_is_forgotten(pause_s: float, *, forgotten: bool) -> None:
    state, _ = STAGE.step(STAGE.initial(), air(300))
    _, out = STAGE.step(state, air(2, 299.0 + pause_s))
    assert np.isnan(out.v[:, 2]).all() == forgotten


def test_how_long_a_pause_may_be_is_an_argument() -> None:
    short = replace(STAGE, gap_s=30.0)
    state, _ = short.step(short.initial(), air(100))
    assert np.isnan(short.step(state, air(1, 140.0))[1].v[0, 2])


TICKS = (30000.0, 29000.0, 16000.0, 17000.0, 30500.0, 0.0, 64999.0, 65535.0)
gas = blocks(2, values=TICKS, steps_s=(10.0, 10.0, 10.0, 0.0, 30.0, 700.0))


@given(one=gas, cuts=cut_places, warm=st.integers(0, 40))
def test_any_cut_and_any_restart(one: Block, cuts: list[int], warm: int) -> None:
    check_cuts(QUICK, warmed(one, warm), cuts)


@given(one=gas, cut=cut_place, warm=st.integers(0, 40))
def test_stopped_and_restored(one: Block, cut: int, warm: int) -> None:
    check_restore(QUICK, warmed(one, warm), cut)


@given(one=gas, warm=st.integers(0, 40))
def test_the_ticks_stay_as_they_are(one: Block, warm: int) -> None:
    check_honest(QUICK, warmed(one, warm))


def warmed(one: Block, rows: int) -> Block:
    """Let the doubt about the first rows be that the part warms up."""
    reason = one.reason.copy()
    reason[:rows][one.flag[:rows] == Flag.SUSPECT] = Reason.WARM_UP
    return replace(one, reason=reason)


class Forgetful(GasIndex):
    """What saving two numbers, as the makers' own interface does, would leave: mean and deviation."""

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        after, out = GasIndex.step(self, state, block)
        for _, p in self.of:
            blank = np.array(Recursion(p, self.interval_s).memory())
            blank[[3, 4]] = after[p.name][[3, 4]]
            after[p.name] = blank
        return after, out


def test_the_laws_see_a_stage_that_forgets() -> None:
    with pytest.raises(AssertionError):
        check_cuts(Forgetful(QUICK.of, 10.0), air(40, every_s=10.0), [20])


def test_after_three_hours_a_restored_state_goes_on_bit_by_bit() -> None:
    whole = air(4 * 3600)
    straight, once = STAGE.step(STAGE.initial(), whole)
    state, before = STAGE.step(STAGE.initial(), rows_of(whole, 0, 3 * 3600))
    assert sum(array.nbytes for array in state.values()) < 250
    again, after = STAGE.step(kept(state), rows_of(whole, 3 * 3600, 4 * 3600))
    assert np.concatenate([before.v, after.v]).tobytes() == once.v.tobytes()
    assert np.concatenate([before.flag, after.flag]).tobytes() == once.flag.tobytes()
    assert same(straight, again)
