"""The fields of the data model: which apply to which quantity, and the flag of a window."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_samples import START_NS, block, slots, spec, window

from drivers.base import Channel, Kind
from gateway.block import Block, Flag, Reason
from gateway.core import revised
from gateway.pipeline.fields import Percentiles, columns, window_flags
from gateway.pipeline.windows import SensorSpec, combine, join

GOOD, UNEVALUATED, SUSPECT, FAIL, MISSING = Flag.GOOD, Flag.NOT_EVALUATED, Flag.SUSPECT, Flag.FAIL, Flag.MISSING

# flags of ten values in ten slots -> flag of the window; at least 75 % must be usable
FLAG_TABLE = {
    "all good": ([GOOD] * 10, 1),
    "nothing evaluated": ([UNEVALUATED] * 10, 2),
    "one evaluated is enough": ([GOOD] + [UNEVALUATED] * 9, 1),
    "half suspect is still good": ([SUSPECT] * 5 + [GOOD] * 5, 1),
    "mostly suspect": ([SUSPECT] * 6 + [GOOD] * 4, 3),
    "capture just enough": ([FAIL] * 2 + [GOOD] * 8, 1),
    "capture too low": ([FAIL] * 3 + [GOOD] * 7, 3),
    "capture too low, nothing evaluated": ([MISSING] * 3 + [UNEVALUATED] * 7, 3),
    "suspect counts among the usable": ([FAIL] * 1 + [SUSPECT] * 5 + [GOOD] * 4, 3),
    "all failed": ([FAIL] * 10, 9),
    "all missing": ([MISSING] * 10, 9),
    "failed and missing": ([FAIL] * 5 + [MISSING] * 5, 9),
}


@pytest.mark.parametrize("case", FLAG_TABLE, ids=str)
def test_the_flag_of_a_window_with(case: str) -> None:
    flags, expected = FLAG_TABLE[case]
    values = [math.nan if flag == MISSING else 1.0 for flag in flags]
    closed = window(spec(), block(values, flag=flags), period_s=10)
    assert window_flags(closed, 0.75).tolist() == [expected]


def test_silence_is_missing() -> None:
    assert window_flags(window(spec(), Block.empty(1, START_NS)), 0.75).tolist() == [9]


@pytest.mark.parametrize(("seconds", "flag"), [(60, 1), (45, 1), (44, 3), (0, 9)])
def test_an_event_part_without_events_is_as_good_as_it_was_alive(seconds: int, flag: int) -> None:
    of = spec(Kind.COUNT, events=True)
    closed = window(of, Block.empty(1, START_NS), slots([second + 0.5 for second in range(seconds)]))
    fields = columns(closed, 0.75)
    assert fields["flag"] == [flag]
    assert fields["n"] == [0.0]
    assert fields["sum"] == [0.0]
    assert fields["observed_s"] == [float(seconds)]
    assert fields["capture"] == [seconds / 60]
    assert not {"mean", "leq", "min", "max", "std"} & set(fields)


@pytest.mark.parametrize(
    ("unit", "seconds", "flow"), [("{vehicles}", 60, 180.0), ("{vehicles}", 45, 240.0), ("s", 60, None)]
)
def test_flow_is_by_the_time_observed(unit: str, seconds: int, flow: float | None) -> None:
    of = replace(spec(Kind.COUNT, events=True), channels=(Channel("vehicles", unit, Kind.COUNT),))
    fields = columns(window(of, block([1.0, 1.0, 1.0]), slots([second + 0.5 for second in range(seconds)])), 0.75)
    assert (fields["sum"], fields["observed_s"]) == ([3.0], [float(seconds)])
    assert fields.get("flow", [None]) == [flow]


def test_no_flow_where_nothing_was_observed() -> None:
    of = replace(spec(Kind.COUNT, events=True), channels=(Channel("vehicles", "{vehicles}", Kind.COUNT),))
    assert "flow" not in columns(window(of, Block.empty(1, START_NS), slots([])), 0.75)


def test_each_quantity_has_its_own_fields() -> None:
    level = window(replace(spec(Kind.LEVEL), sensor="n", domain="noise"), block([60.0, 70.0, 80.0], flag=GOOD))
    count = window(replace(spec(Kind.COUNT, events=True), sensor="r"), block([1.0, 1.0]))
    speed = window(replace(spec(Kind.SPEED, events=True), sensor="s"), block([-10.0, 12.0]))
    scalar = window(spec(), block([1.0, 2.0, 4.5], flag=[GOOD, GOOD, SUSPECT]))
    fields = columns(join([scalar, level, count, speed]), 0.0)
    has = {name: [value is not None for value in column] for name, column in fields.items()}
    assert has == {
        "mean": [True, False, False, True],
        "leq": [False, True, False, False],
        "energy": [False, True, False, False],
        "min": [True, True, False, True],
        "max": [True, True, False, True],
        "std": [True, True, False, True],
        "se": [True, False, False, True],
        "sel": [False, True, False, False],
        "space_mean": [False, False, False, True],
        "sum": [False, False, True, False],
        "observed_s": [False, False, True, False],
        **dict.fromkeys(("first_s", "last_s", "n", "expected", "capture", "flag", "n_suspect", "n_fail"), [True] * 4),
    }
    assert fields["sel"][1] == pytest.approx(75.68 + 10 * math.log10(3), abs=0.005)
    assert fields["space_mean"][3] == pytest.approx(2 / (1 / 10 + 1 / 12))
    assert (fields["first_s"][0], fields["last_s"][0]) == (0.5, 2.5)
    assert fields["leq"][1] == pytest.approx(75.68, abs=0.005)
    assert (fields["mean"][0], fields["mean"][3]) == (2.5, 11.0)
    assert fields["n_suspect"] == [1.0, 0.0, 0.0, 0.0]
    assert all(isinstance(value, float) for column in fields.values() for value in column if value is not None)


def test_one_value_has_no_standard_deviation() -> None:
    assert "std" not in columns(window(spec(), block([3.0])), 0.75)
    assert columns(window(spec(), block([3.0, 5.0])), 0.75)["std"] == [math.sqrt(2.0)]


def test_a_silent_series_has_counts_and_nothing_else() -> None:
    fields = columns(window(spec(), Block.empty(1, START_NS)), 0.75)
    assert fields == {
        "n": [0.0], "expected": [60.0], "capture": [0.0], "flag": [9.0], "n_suspect": [0.0], "n_fail": [0.0],
    }  # fmt: skip


def test_reasons_are_written_when_there_are_any_and_as_zero_by_a_revision() -> None:
    one = block([[1.0, 1.0], [2.0, 2.0]])
    one.reason[0, 0] = Reason.STUCK
    closed = window(spec(channels=2), one)
    assert columns(closed, 0.75)["r_stuck"] == [1.0, None]
    assert columns(revised(closed, 1), 0.75)["r_stuck"] == [1.0, 0.0]
    assert not any(name.startswith("r_") and name != "r_stuck" for name in columns(closed, 0.75))


def test_a_revision_takes_back_reasons_that_are_gone() -> None:
    clean = revised(window(spec(), block([1.0])), 2)
    fields = columns(clean, 0.75)
    assert {name: fields[name] for name in fields if name.startswith("r_")} == {
        f"r_{str(reason.name).lower()}": [0.0] for reason in Reason
    }


def test_directions_are_averaged_on_the_circle() -> None:
    fields = columns(window(spec(Kind.ANGLE), block([350.0, 10.0, 30.0])), 0.0)
    assert fields["mean"][0] == pytest.approx(10.0)
    assert fields["resultant"][0] == pytest.approx((1 + 2 * math.cos(math.radians(20))) / 3)
    assert not {"min", "max", "std", "se"} & set(fields)
    opposite = columns(window(spec(Kind.ANGLE), block([0.0, 180.0])), 0.0)
    assert "mean" not in opposite, "two opposite directions have no mean"
    assert opposite["resultant"][0] == pytest.approx(0.0, abs=1e-12)


def kept(kind: Kind) -> SensorSpec:
    return replace(spec(kind, events=kind is Kind.SPEED), keep=(True,))


def test_percentiles_are_named_as_the_field_names_them() -> None:
    asked = Percentiles(scalar=(10.0, 50.0, 90.0), level=(10.0, 90.0), speed=(85.0,), least_speeds=4)
    scalar = window(kept(Kind.SCALAR), block([1.0, 2.0, 3.0, 4.0, 5.0]))
    level = window(replace(kept(Kind.LEVEL), sensor="n"), block([40.0, 50.0, 60.0, 70.0, 80.0]))
    speed = window(replace(kept(Kind.SPEED), sensor="s"), block([-10.0, 12.0, 14.0, -20.0, 11.0]))
    fields = columns(join([scalar, level, speed]), 0.0, asked)
    assert {name for name in fields if name[0] in "plv" and name[1:].isdigit()} == {
        "p10",
        "p50",
        "p90",
        "l10",
        "l90",
        "v85",
    }
    assert (fields["p10"][0], fields["p50"][0], fields["p90"][0]) == pytest.approx((1.4, 3.0, 4.6))
    assert (fields["l10"][1], fields["l90"][1]) == pytest.approx((76.0, 44.0)), "L10 is exceeded 10 % of the time"
    assert fields["v85"][2] == 14.0, "rank 4 of 5, never interpolated, whatever the direction"


def test_too_few_speeds_have_no_v85() -> None:
    speed = window(kept(Kind.SPEED), block([10.0] * 19))
    assert "v85" not in columns(speed, 0.0, Percentiles(speed=(85.0,), least_speeds=20))


@given(st.lists(st.lists(st.floats(-1e6, 1e6), max_size=30), min_size=1, max_size=6))
def test_percentiles_of_an_hour_are_those_of_its_samples(minutes: list[list[float]]) -> None:
    asked = Percentiles(scalar=(0.0, 10.0, 50.0, 99.0, 100.0))
    parts = [
        window(
            kept(Kind.SCALAR),
            block(values, [i * 60 + k for k in range(len(values))]) if values else Block.empty(1, START_NS),
            start_s=i * 60,
        )
        for i, values in enumerate(minutes)
    ]
    hour = combine(parts, 360, START_NS, {"place": 360})
    fields = columns(hour, 0.0, asked)
    everything = [value for values in minutes for value in values]
    for p in asked.scalar:
        found = fields.get(f"p{p:g}", [None])[0]
        if everything:
            assert found == pytest.approx(np.percentile(everything, p), rel=1e-9, abs=1e-9)
        else:
            assert found is None
