"""Vehicles of a radar: which reports are one of them, what is known of it, and in which row it stands."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_samples import START_NS, block, slots
from stage_laws import (
    assert_same,
    blocks,
    check_cuts,
    check_restore,
    cut_place,
    cut_places,
    pieces,
    run,
    to_be_caught,
    together,
)

from drivers.base import Channel, Kind
from gateway.block import Block, Flag, Reason
from gateway.pipeline.fields import columns
from gateway.pipeline.passages_radar import RadarPassages
from gateway.pipeline.stage import State
from gateway.pipeline.windows import NS, SensorSpec, add, close

RADAR = RadarPassages(0, 1, NS // 2, 20 * NS, 2, 8 / 3.6, "median", classes_km_h=(30, 50))
NAMES = [channel.name for channel in RADAR.channels()]
Row = dict[str, float]


def passages(one: Block, stage: RadarPassages = RADAR) -> list[Row]:
    """Return each passage: its time from START_NS, and its channels."""
    _, out = stage.step(stage.initial(), one)
    return rows_of(out, one.v.shape[1])


def rows_of(out: Block, width: int = 1) -> list[Row]:
    own = np.flatnonzero(~np.isnan(out.v[:, width]))
    assert np.isnan(out.v[own, :width]).all()
    assert not out.flag[own, :width].any()
    return [
        {"t": (int(out.t[i]) - START_NS) / NS, **dict(zip(NAMES, out.v[i, width:].tolist(), strict=False))} for i in own
    ]


def seen(speeds: Sequence[float], at_s: Sequence[float], until_s: float = 1000.0) -> Block:
    return replace(block(speeds, at_s), until_ns=START_NS + round(until_s * NS))


# -- one vehicle or two ----------------------------------------------------------------------------------------------

# (speeds, times, until; times of the passages)
GROUPS = {
    "reports close together are one vehicle": ([10.0] * 4, [1.0, 1.4, 1.8, 2.2], 99.0, [2.7]),
    "a gap makes two": ([10.0] * 4, [1.0, 1.4, 1.9, 2.2], 99.0, [1.9, 2.7]),
    "just below the gap": ([10.0] * 3, [1.0, 1.499999999, 1.9], 99.0, [2.4]),
    "one report is none": ([10.0] * 3, [1.0, 3.0, 3.1], 99.0, [3.6]),
    "each direction for itself": ([10.0, -9.0, 10.0, -9.0], [1.0, 1.1, 1.2, 1.3], 99.0, [1.7, 1.8]),
    "at one time": ([10.0, -9.0, 11.0, -8.0], [1.0, 1.0, 1.0, 1.0], 99.0, [1.5, 1.5]),
    "a step of speed is another vehicle": ([10.0, 10.0, 13.0, 13.0], [1.0, 1.2, 1.4, 1.6], 99.0, [1.7, 2.1]),
    "hard braking is not": ([14.0, 12.0, 10.0, 8.0], [1.0, 1.2, 1.4, 1.6], 99.0, [2.1]),
    "one wrong speed does not end a passage": ([10.0, 10.0, 25.0, 10.0, 10.0], [1.0, 1.2, 1.4, 1.6, 1.8], 99.0, [2.3]),
    "two by turns": ([10.0, 15.0, 10.0, 15.0], [1.0, 1.2, 1.4, 1.6], 99.0, [1.9, 2.1]),
    "two in each report": ([10.0, 15.0, 10.0, 15.0], [1.0, 1.0, 1.2, 1.2], 99.0, [1.7, 1.7]),
    "one body of two speeds": ([10.0, 11.0, 10.0, 11.0], [1.0, 1.0, 1.2, 1.2], 99.0, [1.7]),
    "too slow to be one": ([2.2, 2.2, 0.0, -0.1], [1.0, 1.1, 1.2, 1.3], 99.0, []),
    "still there": ([10.0, 10.0], [1.0, 1.2], 1.6999, []),
    "gone at this moment": ([10.0, 10.0], [1.0, 1.2], 1.7, [1.7]),
    "nothing at all": ([], [], 99.0, []),
}  # fmt: skip


@pytest.mark.parametrize("case", GROUPS, ids=str)
def test_groups(case: str) -> None:
    speeds, at_s, until_s, expected = GROUPS[case]
    assert [row["t"] for row in passages(seen(speeds, at_s, until_s))] == pytest.approx(expected)


@pytest.mark.parametrize("flag", [Flag.FAIL, Flag.MISSING, Flag.ABSENT])
def test_reports_that_are_not_used_make_no_vehicle(flag: Flag) -> None:
    one = block([10.0] * 3, [1.0, 1.2, 1.4], flag=[1, int(flag), 1])
    (row,) = passages(replace(one, until_ns=START_NS + 9 * NS))
    assert row["on_time"] == pytest.approx(0.4)
    assert passages(replace(one, flag=np.full((3, 1), flag, np.uint8), until_ns=START_NS + 9 * NS)) == []


# -- how strong its echo is -------------------------------------------------------------------------------------------

# (speeds, echoes; vehicles); a report every 0.2 s
ECHOES = {
    "it comes closer": ([10.0] * 5, [100.0, 150.0, 250.0, 700.0, 2400.0], 1),
    "it has passed, and another one comes": ([10.0] * 5, [600.0, 900.0, 2400.0, 160.0, 200.0], 2),
    "it goes away": ([-10.0] * 5, [2400.0, 700.0, 250.0, 150.0, 100.0], 1),
    "it goes away, and another one comes": ([-10.0] * 5, [400.0, 160.0, 100.0, 2400.0, 900.0], 2),
    "it fades for a moment": ([10.0] * 5, [600.0, 700.0, 50.0, 800.0, 900.0], 1),
    "it leaves the beam little by little": ([10.0] * 5, [2400.0, 900.0, 350.0, 150.0, 60.0], 1),
    "the part does not say": ([10.0] * 5, [600.0, math.nan, 2400.0, math.nan, 100.0], 1),
    "no strength at all": ([10.0] * 5, [600.0, 0.0, 0.0, -1.0, 600.0], 1),
    "two peaks of one body": ([10.0, 10.4, 10.0, 10.4], [600.0, 30.0, 700.0, 35.0], 1),
}  # fmt: skip
LOUD = replace(RADAR, width=2, echo_column=1)


def heard(speeds: Sequence[float], echoes: Sequence[float], at_s: Sequence[float] = ()) -> Block:
    one = block(speeds, at_s or [1.0 + 0.2 * i for i in range(len(speeds))])
    flag = np.where(np.isnan(echoes), np.uint8(Flag.MISSING), np.uint8(Flag.GOOD))
    v = np.column_stack([one.v, np.array(echoes)])
    flags = np.column_stack([one.flag, flag])
    return Block(one.t, v, flags, np.zeros(v.shape, np.uint16), one.dur_s, START_NS + 1000 * NS)


@pytest.mark.parametrize("case", ECHOES, ids=str)
def test_the_strength_of_the_echo(case: str) -> None:
    speeds, echoes, vehicles = ECHOES[case]
    at_s = [1.0, 1.0, 1.2, 1.2] if "peaks" in case else ()
    assert len(passages(heard(speeds, echoes, at_s), LOUD)) == vehicles


def test_without_its_echo_who_follows_at_the_same_speed_is_not_told_apart() -> None:
    speeds, echoes, _ = ECHOES["it has passed, and another one comes"]
    assert len(passages(heard(speeds, echoes), replace(LOUD, echo_column=-1))) == 1


def platoon(dice: random.Random, vehicles: int) -> Block:
    """Vehicles of one speed, 2 s behind each other, whose echoes fade (Swerling 1); the nearest is told, 7 a second."""
    at_s = [k / 7 for k in range(7 * (2 * vehicles + 6))]
    pass_s = [6.0 + 2.0 * k for k in range(vehicles)]
    ahead = [min((12.0 * (p - t) for p in pass_s if 5.0 <= 12.0 * (p - t) <= 40.0), default=0.0) for t in at_s]
    told = [(t, dice.expovariate(1.0) ** 0.5 * 60_000.0 / m**2) for t, m in zip(at_s, ahead, strict=True) if m]
    return heard([12.0] * len(told), [echo for _, echo in told], [t for t, _ in told])


def test_a_platoon_whose_echoes_fade_is_counted() -> None:
    """Echoes that fade at the wrong moment hide some of 200 vehicles; without echoes all of them are one."""
    one = platoon(random.Random(1), 200)
    assert len(passages(one, LOUD)) == pytest.approx(200, rel=0.1)
    assert len(passages(one, replace(LOUD, echo_column=-1, longest_ns=10_000 * NS))) == 1


# -- what is known of a vehicle --------------------------------------------------------------------------------------


def test_a_passage_has_its_numbers() -> None:
    first, second, third = passages(seen(
        [10.0, 12.0, 11.0, -15.0, -14.0, 7.0, 7.5, 8.0, 9.0], [1.0, 1.2, 1.4, 2.0, 2.1, 4.0, 4.1, 4.2, 4.3]
    ))  # fmt: skip
    assert math.isnan(first.pop("headway"))
    assert first == pytest.approx({
        "t": 1.9, "vehicles": 1, "vehicles_approaching": 1, "vehicles_receding": 0, "vehicle_speed": 11.0,
        "on_time": 0.4, "vehicles_below_30_km_h": 0, "vehicles_30_50_km_h": 1, "vehicles_from_50_km_h": 0,
    })  # fmt: skip
    assert math.isnan(second["headway"])
    assert (second["vehicles_approaching"], second["vehicles_receding"]) == (0, 1)
    assert second["vehicle_speed"] == -14.5
    assert second["vehicles_from_50_km_h"] == 1
    assert third["headway"] == pytest.approx(3.0)  # front to front
    assert third["vehicle_speed"] == 7.75
    assert third["vehicles_below_30_km_h"] == 1


def test_the_greatest_speed_may_be_asked_for() -> None:
    (row,) = passages(seen([-10.0, -12.0, -11.0], [1.0, 1.2, 1.4]), replace(RADAR, statistic="max"))
    assert row["vehicle_speed"] == -12.0


# (azimuth, elevation, true speed, what a radar shows of it); cosine tables of rdforum.org and the JUGS manual
ANGLES = [
    (45.0, 0.0, 42.426406871192846, 30.0), (20.0, 0.0, 55.0, 51.683), (0.0, 30.0, 20.0, 17.3205),
    (20.0, 30.0, 10.0, 8.138),
]  # fmt: skip


@pytest.mark.parametrize(("azimuth", "elevation", "true", "shown"), ANGLES)
def test_the_angle_of_the_beam_is_taken_out(azimuth: float, elevation: float, true: float, shown: float) -> None:
    stage = replace(RADAR, azimuth_deg=azimuth, elevation_deg=elevation)
    (row,) = passages(seen([-shown] * 3, [1.0, 1.1, 1.2]), stage)
    assert row["vehicle_speed"] == pytest.approx(-true, rel=1e-4)


@pytest.mark.parametrize(("km_h", "which"), [(29.9, 0), (30.0, 1), (49.9, 1), (50.0, 2), (99.0, 2)])
def test_classes_begin_with_their_lower_bound(km_h: float, which: int) -> None:
    (row,) = passages(seen([km_h / 3.6 + 1e-12] * 2, [1.0, 1.1]))
    assert [row[name] for name in NAMES[-3:]] == [float(i == which) for i in range(3)]
    assert [channel.name for channel in replace(RADAR, classes_km_h=()).channels()] == NAMES[:-3]


def test_a_queue_is_cut_and_doubted() -> None:
    stage = replace(RADAR, longest_ns=2 * NS)
    one = seen([10.0] * 12, [1.0 + 0.4 * i for i in range(12)])  # 1.0 to 5.4
    _, out = stage.step(stage.initial(), one)
    rows = rows_of(out)
    assert [row["t"] for row in rows] == pytest.approx([1.0 + 1.6 + 0.5, 3.0 + 1.6 + 0.5, 5.0 + 0.4 + 0.5])
    own = ~np.isnan(out.v[:, 1])
    assert out.flag[own, 1].tolist() == [Flag.SUSPECT] * 3
    assert out.reason[own, 1].tolist() == [Reason.STUCK] * 3


def test_a_passage_is_as_good_as_most_of_its_reports() -> None:
    flags = [1, 1, 3, 3, 3, 1, 2, 2, 3, 2]
    at_s = [1.0, 1.1, 1.2, 3.0, 3.1, 3.2, 5.0, 5.1, 7.0, 7.1]
    one = block([10.0] * 10, at_s, flag=flags)
    reason = np.where(one.flag == 3, np.uint16(Reason.SATURATED), np.uint16(0))
    _, out = RADAR.step(RADAR.initial(), replace(one, reason=reason, until_ns=START_NS + 99 * NS))
    own = ~np.isnan(out.v[:, 1])
    assert out.flag[own, 1].tolist() == [1, 3, 2, 2]
    assert out.reason[own, 1].tolist() == [0, Reason.SATURATED, 0, 0]
    assert out.flag[own, NAMES.index("headway") + 1].tolist() == [0, 3, 2, 2]


# -- in which row, and in which window -------------------------------------------------------------------------------


def test_a_vehicle_that_goes_after_the_last_word_of_the_radar_is_let_go_when_the_window_closes() -> None:
    state, out = RADAR.step(RADAR.initial(), seen([10.0, 10.0], [58.0, 58.2], 58.3))
    assert rows_of(out) == []
    state, early = RADAR.release(state, START_NS + round(58.7 * NS))
    assert rows_of(early) == []
    state, out = RADAR.release(state, START_NS + 60 * NS)
    assert [row["t"] for row in rows_of(out)] == pytest.approx([58.7])
    assert rows_of(RADAR.release(state, START_NS + 99 * NS)[1]) == []


def test_a_clock_that_goes_back_loses_no_vehicle_and_makes_none() -> None:
    state, first = RADAR.step(RADAR.initial(), seen([10.0, 10.0], [50.0, 50.2], 50.3))
    state, second = RADAR.step(state, seen([10.0, 10.0], [20.0, 20.2], 20.3))
    _, third = RADAR.step(state, seen([], [], 21.0))
    assert [len(rows_of(out)) for out in (first, second, third)] == [0, 1, 1]
    assert rows_of(second)[0]["t"] <= 20.3
    assert math.isnan(rows_of(third)[0]["headway"])


def test_an_empty_street_is_a_good_zero_and_a_dead_radar_is_not() -> None:
    channels = (Channel("speed", "m/s", Kind.SPEED), *RADAR.channels())
    spec = SensorSpec("radar", "traffic", channels, NS, events=True, eventful=(True,) * len(channels))
    _, nobody = RADAR.step(RADAR.initial(), Block.empty(1, START_NS + 60 * NS))
    for alive, flag, observed in ((np.arange(60) + 0.5, 1.0, 60.0), ([], 9.0, 0.0)):
        _, window = close(spec, add(spec.initial(), nobody, slots(alive), 0), START_NS, 60)
        said = columns(window, 0.75)
        i = [name for _, _, name, _ in window.series].index("vehicles")
        assert (said["sum"][i], said["observed_s"][i], said["flag"][i], said["n"][i]) == (0.0, observed, flag, 0.0)
        assert said["flag"][i + 4] == flag


def test_vehicles_are_summed_by_window() -> None:
    one = seen([10.0] * 6, [1.0, 1.1, 30.0, 30.1, 59.0, 59.6], 70.0)  # the last one is a single report, twice
    two = seen([10.0] * 4, [20.0, 20.2, 59.4, 59.7], 70.0)  # the second is over at 60.2
    for given_, sums in ((one, [2.0, 0.0]), (two, [1.0, 1.0])):
        channels = (Channel("speed", "m/s", Kind.SPEED), *RADAR.channels())
        spec = SensorSpec("radar", "traffic", channels, NS, events=True, eventful=(True,) * len(channels))
        _, out = RADAR.step(RADAR.initial(), given_)
        state = add(spec.initial(), out, slots(np.arange(120) + 0.5), 0)
        found = []
        for start_s in (0, 60):
            state, window = close(spec, state, START_NS + start_s * NS, 60)
            found.append(columns(window, 0.75)["sum"][1])
        assert found == sums


# -- laws ------------------------------------------------------------------------------------------------------------

SPEEDS = (10.0, 10.0, 10.0, 11.0, 12.5, -9.0, -9.0, 2.0, 0.0, 130.0)  # of the second column: echoes
STEPS_S = (0.1, 0.1, 0.1, 0.2, 0.0, 0.5, 0.49, 1.0, 3.0, 25.0)
QUICK = replace(RADAR, width=2, longest_ns=NS, azimuth_deg=10.0, echo_column=1)
streets = blocks(2, values=SPEEDS, steps_s=STEPS_S)
busy = blocks(2, values=(10.0, 11.0), steps_s=(0.1, 0.2, 0.6), flags=(Flag.GOOD,))


@given(one=streets, cuts=cut_places, cut=cut_place)
def test_any_cut_and_any_stop(one: Block, cuts: list[int], cut: int) -> None:
    check_cuts(QUICK, one, cuts)
    check_restore(QUICK, one, cut)


@given(one=streets)
def test_every_reading_goes_out_as_it_came(one: Block) -> None:
    _, out = QUICK.step(QUICK.initial(), one)
    own = np.isnan(out.v[:, 2])
    for name in ("t", "dur_s"):
        np.testing.assert_array_equal(getattr(out, name)[own], getattr(one, name))
    for name in ("v", "flag", "reason"):
        np.testing.assert_array_equal(getattr(out, name)[own][:, :2], getattr(one, name))
        assert getattr(out, name)[~own][:, 2:].shape[1] == len(QUICK.channels())
    gone = np.isnan(out.v)
    assert np.isin(out.flag[gone], (Flag.MISSING, Flag.ABSENT)).all()
    assert not out.reason[np.isnan(out.v) & (out.flag == Flag.ABSENT)].any()


@given(one=streets, cuts=cut_places, close_at=st.lists(st.integers(0, 60), max_size=4))
def test_windows_that_close_in_between_change_nothing(one: Block, cuts: list[int], close_at: list[int]) -> None:
    """What is let go early is what would have come anyway."""
    _, whole = run(QUICK, [one])
    state, outs = QUICK.initial(), []
    for i, part in enumerate(pieces(one, cuts, late=True)):
        state, out = QUICK.step(state, part)
        outs.append(out)
        if i in close_at:  # as the core does: a window ends before what the latest block has said
            before_ns = part.until_ns - (i % 3) * NS // 4
            state, out = QUICK.step(state, Block.empty(2, before_ns))
            state, freed = QUICK.release(state, before_ns)
            outs += [out, freed]
    assert_same(whole, replace(together(outs), until_ns=whole.until_ns))


Report = tuple[int, float, float]  # t, speed, echo (0: none)


def may_follow(report: Report, last: Report, stage: RadarPassages) -> float | None:
    """Say how unlike two reports are, if they can be of one vehicle."""
    (t, v, echo), (before, was, loud) = report, last
    known = echo > 0 and loud > 0 and t != before
    grown = (echo / loud if v > 0 else loud / echo) if known else 1.0
    if t - before >= stage.gap_ns or v * was < 0 or abs(v - was) > stage.step_m_s or grown < 1 / stage.echo_ratio:
        return None
    return abs(v - was) / stage.step_m_s + abs(math.log(grown)) / math.log(stage.echo_ratio)


def one_by_one(one: Block, stage: RadarPassages) -> list[tuple[int, float, float]]:
    """Count as one would by hand: (time, speed, on time) of each passage."""
    vehicles: list[list[Report]] = []
    rows = zip(one.t.tolist(), one.v.tolist(), one.flag.tolist(), strict=True)
    for t, (v, echo), (flag, echo_flag) in rows:
        if flag not in (1, 2, 3) or abs(v) < stage.min_speed_m_s:
            continue
        report = (t, v, echo if echo_flag in (1, 2, 3) else 0.0)
        lasts = [[r for r in reports if r[0] == reports[-1][0]][0] for reports in vehicles]  # noqa: RUF015
        likes = [may_follow(report, last, stage) for last in lasts]
        best = min((like for like in likes if like is not None), default=None)
        if best is None:
            vehicles.append([report])
        else:
            vehicles[likes.index(best)].append(report)
    found = [
        (reports[-1][0] + stage.gap_ns, float(np.median([v for _, v, _ in reports])), reports[-1][0] - reports[0][0])
        for reports in vehicles
        if len(reports) >= stage.min_reports and reports[-1][0] + stage.gap_ns <= one.until_ns
    ]
    ordered = sorted(found, key=lambda row: (row[0], row[1] < 0))
    return [(t, speed, on / NS) for t, speed, on in ordered]


@given(one=blocks(2, values=SPEEDS, steps_s=STEPS_S))
def test_it_counts_as_one_would_by_hand(one: Block) -> None:
    stage = replace(LOUD, longest_ns=10_000 * NS)
    found = [(START_NS + round(row["t"] * NS), row["vehicle_speed"], row["on_time"]) for row in rows_of_two(one, stage)]
    expected = one_by_one(one, stage)
    assert [row[1:] for row in found] == [row[1:] for row in expected]
    assert all(abs(a[0] - b[0]) < 1000 for a, b in zip(found, expected, strict=True))


def rows_of_two(one: Block, stage: RadarPassages) -> list[Row]:
    _, out = stage.step(stage.initial(), one)
    return rows_of(out, 2)


EARLIER = ("t", "v", "flag", "reason", "fore", "seen")


@given(one=streets, cut=cut_place)
def test_a_state_that_knew_no_vehicles_is_taken_on(one: Block, cut: int) -> None:
    """Its reports are not lost: with the speeds alone to go by, what follows is what would have come."""
    stage = replace(QUICK, echo_column=-1, longest_ns=1000 * NS)
    first, rest = pieces(one, [cut], late=False)
    state, _ = stage.step(stage.initial(), first)
    earlier = {name: state[name] for name in EARLIER} | {"origin": np.zeros(2, np.int64)}
    (_, straight), (_, taken) = stage.step(state, rest), stage.step(earlier, rest)
    assert_same(straight, taken)
    for name in ("release", "moved"):
        getattr(stage, name)(earlier, START_NS)


@dataclass(frozen=True, slots=True)
class Forgetful(RadarPassages):
    """Ends every passage with its block."""

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        state, out = RadarPassages.step(self, state, replace(block, until_ns=block.until_ns + 10 * NS))
        return {**state, "seen": np.array([block.until_ns])}, replace(out, until_ns=block.until_ns)


def test_a_forgetful_stage_is_caught() -> None:
    stage = Forgetful(**{name: getattr(QUICK, name) for name in QUICK.__dataclass_fields__})

    @to_be_caught
    @given(one=busy, cuts=cut_places)
    def law(one: Block, cuts: list[int]) -> None:
        check_cuts(stage, one, cuts)

    with pytest.raises((AssertionError, ValueError)):
        law()
