"""Doubts that several sensors raise: who is doubted, by how much, and that it can be taken back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pipeline_samples import all_good, block

from drivers.base import Channel, Kind
from gateway.block import FLAGS, MOMENTS, REASONS, Flag, Reason, Windows
from gateway.pipeline.derive import At
from gateway.pipeline.neighbours import Neighbours, TooHumid, agree, judge
from gateway.pipeline.windows import NS, SensorSpec, add, close, join

GOOD, SUSPECT, FAIL = FLAGS.index(Flag.GOOD), FLAGS.index(Flag.SUSPECT), FLAGS.index(Flag.FAIL)
NEIGHBOUR, HUMIDITY = REASONS.index(Reason.NEIGHBOUR), REASONS.index(Reason.HUMIDITY)


def closed(
    name: str, values: list[float], flag: int = Flag.GOOD, kind: Kind = Kind.SCALAR, channel: str = "x"
) -> Windows:
    spec = SensorSpec(name, "air", (Channel(channel, "1", kind),), NS)
    one = block(values, flag=flag)
    return close(spec, add(spec.initial(), one, all_good(one), 0), int(one.t[0]) // (60 * NS) * 60 * NS, 60)[1]


def minute(**means: float) -> Windows:
    return join([closed(name, [mean] * 60) for name, mean in means.items()])


def group(*names: str, tolerance: float = 1.0, relative: float = 0.0) -> Neighbours:
    return Neighbours(tuple(At(name, "x") for name in names), tolerance, relative)


def doubted(windows: Windows, reason: int = NEIGHBOUR) -> list[str]:
    """Name the sensors whose readings are all suspect, for that reason; the others must be as they were."""
    out = []
    for (_, sensor, _, _), flags, reasons in zip(windows.series, windows.n_by_flag, windows.reasons, strict=True):
        if flags[SUSPECT]:
            assert (flags[GOOD], flags[SUSPECT], reasons[reason]) == (0, 60, 60)
            out.append(sensor)
    return out


@pytest.mark.parametrize(
    ("values", "tolerance", "relative", "expected"),
    [
        ([5.0, 9.0], 5.0, 0.7, [True, True]),  # |A-B| below 5 ug/m3
        ([1.0, 8.0], 5.0, 0.7, [False, False]),  # 7 ug/m3, and 156 % of the mean
        ([100.0, 140.0], 5.0, 0.7, [True, True]),  # 40 ug/m3, and 33 % of the mean
        ([1.0, 6.0], 5.0, 0.0, [False, False]),  # not below 5
        ([5.0, 5.0, 9.0], 1.0, 0.0, [False, False, False]),  # of three, the others' median lies in between
        ([5.0, 5.2, 5.4, 9.0], 1.0, 0.0, [True, True, True, False]),
        ([5.0, 5.2, 5.4, 9.0], 1.0, 0.8, [True, True, True, True]),
        ([5.0, 6.0, 5.0], 1.0, 0.0, [True, False, True]),
        ([5.0], 1.0, 0.0, [True]),
        ([], 1.0, 0.0, []),
    ],
)
def test_who_agrees(values: list[float], tolerance: float, relative: float, expected: list[bool]) -> None:
    assert agree(values, tolerance, relative) == expected


def test_one_of_four_is_doubted() -> None:
    windows = judge(minute(a=5.0, b=5.2, c=9.0, d=5.1), [group("a", "b", "c", "d")])
    assert doubted(windows) == ["c"]


def test_of_two_both_are() -> None:
    assert doubted(judge(minute(a=1.0, b=8.0, c=5.0), [group("a", "b")])) == ["a", "b"]


def test_values_stay_and_failed_readings_stay_failed() -> None:
    one = join([closed("a", [5.0] * 60, Flag.FAIL), closed("b", [5.0] * 60), closed("c", [50.0] * 60)])
    windows = judge(one, [group("a", "b", "c")])
    assert doubted(windows) == ["b", "c"], "who has no usable reading says nothing"
    assert windows.n_by_flag[0, FAIL] == 60
    np.testing.assert_array_equal(windows.moments, one.moments)


def test_who_is_not_there_says_nothing() -> None:
    assert doubted(judge(minute(a=1.0), [group("a", "b")])) == []
    assert doubted(judge(minute(a=1.0, b=1.1), [group("a", "b", "c")])) == []


def test_levels_are_compared_by_energy() -> None:
    one = join([closed("a", [40.0, 80.0] * 30, kind=Kind.LEVEL), closed("b", [77.0] * 60, kind=Kind.LEVEL)])
    assert doubted(judge(one, [group("a", "b")])) == []
    assert doubted(judge(replace(one, kind=(Kind.SCALAR, Kind.SCALAR)), [group("a", "b")])) == ["a", "b"]


def test_humid_air_casts_doubt_on_an_optical_part() -> None:
    doubt = TooHumid(At("pm", "x"), At("mast", "x"), 85.0)
    assert doubted(judge(minute(pm=5.0, mast=85.1), [doubt]), HUMIDITY) == ["pm"]
    assert doubted(judge(minute(pm=5.0, mast=85.0), [doubt]), HUMIDITY) == []
    assert doubted(judge(minute(pm=5.0), [doubt]), HUMIDITY) == []


def test_a_doubt_is_raised_once_and_taken_back() -> None:
    doubts = [group("a", "b"), TooHumid(At("a", "x"), At("b", "x"), 7.0)]
    once = judge(minute(a=1.0, b=8.0), doubts)
    twice = judge(once, doubts)
    np.testing.assert_array_equal(once.n_by_flag, twice.n_by_flag)
    np.testing.assert_array_equal(once.reasons, twice.reasons)
    moments = once.moments.copy()
    moments[1, MOMENTS.index("mean")] = 1.0  # what came late has changed it
    back = judge(replace(once, moments=moments), doubts)
    np.testing.assert_array_equal(back.n_by_flag, minute(a=1.0, b=8.0).n_by_flag)
    assert not back.reasons.any()


def test_without_doubts_nothing_is_touched() -> None:
    one = minute(a=1.0)
    assert judge(one, []) is one
