"""Longer windows from base windows: the same as if they had been computed from all samples at once."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_samples import START_NS, all_good, block, slots, spec, window

from drivers.base import Fault, Kind
from gateway.block import MISS_BASE, MOMENTS, Block, Flag, Slots, Windows
from gateway.pipeline.fields import columns
from gateway.pipeline.windows import NS, SensorSpec, add, close, combine, join

BASE_S, LONG_S = 10, 60
NOMINAL = {"place": LONG_S}


def bases(of: SensorSpec, one: Block, happened: Slots) -> list[Windows]:
    state, out = add(of.initial(), one, happened, 0), []
    for start in range(0, LONG_S, BASE_S):
        state, closed = close(of, state, START_NS + start * NS, BASE_S)
        out.append(closed)
    return out


KINDS = st.sampled_from([Kind.SCALAR, Kind.LEVEL, Kind.COUNT, Kind.SPEED])
VALUES = {
    Kind.SCALAR: st.floats(-1e3, 1e3),
    Kind.LEVEL: st.floats(20.0, 120.0),
    Kind.COUNT: st.integers(1, 5).map(float),
    Kind.SPEED: st.floats(-40.0, 40.0),
}
ROW_FLAGS = st.sampled_from([Flag.GOOD, Flag.GOOD, Flag.NOT_EVALUATED, Flag.SUSPECT, Flag.FAIL])
CODES = st.sampled_from([0, 0, 0, int(Fault.CHECK), MISS_BASE])


@st.composite
def hours(draw: st.DrawFn) -> tuple[SensorSpec, Block, Slots]:
    kind = draw(KINDS)
    rows = draw(
        st.lists(st.tuples(st.floats(0, 59.99), VALUES[kind], ROW_FLAGS, st.sampled_from([0.5, 1.0])), max_size=60)
    )
    rows.sort(key=lambda row: row[0])
    at, values, flags, dur = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [])
    happened = draw(st.lists(st.tuples(st.floats(0, 59.99), CODES), max_size=60))
    account = slots([t for t, _ in happened], [code for _, code in happened]) if happened else slots([])
    return spec(kind), block(values, at, flags, dur_s=dur) if rows else Block.empty(1, START_NS), account


@given(hours())
def test_combined_is_computed_from_all_samples(hour: tuple[SensorSpec, Block, Slots]) -> None:
    of, one, happened = hour
    combined = combine(bases(of, one, happened), LONG_S, START_NS, NOMINAL)
    whole = window(of, one, happened, period_s=LONG_S)
    np.testing.assert_array_equal(combined.n_by_flag, whole.n_by_flag)
    np.testing.assert_array_equal(combined.slots, whole.slots)
    np.testing.assert_array_equal(combined.rejected, whole.rejected)
    np.testing.assert_array_equal(combined.missed, whole.missed)
    np.testing.assert_array_equal(combined.usable, whole.usable)
    np.testing.assert_array_equal(combined.expected, whole.expected)
    np.testing.assert_array_equal(combined.reasons, whole.reasons)
    usable = np.abs(one.v[one.flag <= Flag.SUSPECT])
    scale = float(usable.max()) if usable.size else 1.0
    for name, a, b in zip(MOMENTS, combined.moments[0], whole.moments[0], strict=True):
        # a mean near 0 and a small M2 are differences of large numbers: relative to what went in
        size = {"mean": scale, "sum": scale * 60, "m2": scale**2 * 60, "sin": 1.0, "cos": 1.0}.get(name, 0.0)
        assert a == pytest.approx(b, rel=1e-12, abs=1e-12 * size, nan_ok=True), name


def test_the_example_of_levels_over_windows() -> None:
    parts = [window(spec(Kind.LEVEL), block([level])) for level in (60.0, 70.0, 80.0)]
    parts = [replace(part, start_ns=START_NS + i * 60 * NS) for i, part in enumerate(parts)]
    fields = columns(combine(parts, 180, START_NS, {"place": 180}), 0.0)
    assert fields["leq"][0] == pytest.approx(75.68, abs=0.005)


def test_an_hour_is_not_the_mean_of_its_means() -> None:
    few, many = block([10.0], at_s=[0.5]), block([20.0] * 9, at_s=[10.5 + i for i in range(9)])
    parts = [window(spec(), few, period_s=10), window(spec(), many, start_s=10, period_s=10)]
    combined = combine(parts, 20, START_NS, {"place": 20})
    assert columns(combined, 0.0)["mean"] == [19.0]
    assert columns(combined, 0.0)["min"] == [10.0]


def test_base_windows_that_are_not_there_count_as_missing() -> None:
    one = block([1.0] * 60)
    parts = bases(spec(), one, all_good(one))
    combined = combine([parts[0], parts[4]], LONG_S, START_NS, NOMINAL)
    assert combined.slots[0].tolist() == [60, 20, 0, 40, 0, 0]
    assert columns(combined, 0.75)["capture"] == [20 / 60]
    assert columns(combined, 0.75)["flag"] == [3.0]


def test_what_is_not_nominal_any_more_keeps_its_own_count() -> None:
    one = block([1.0] * 60)
    combined = combine(bases(spec(), one, all_good(one))[:2], LONG_S, START_NS, {})  # the sensor was taken out since
    assert combined.slots[0].tolist() == [20, 20, 0, 0, 0, 0]


def test_sensors_that_come_and_go_keep_their_rows_apart() -> None:
    def other(sensor: str) -> SensorSpec:
        return replace(spec(), sensor=sensor)

    one = block([2.0] * 60)
    a, b, c = (bases(other(name), one, all_good(one)) for name in "abc")
    parts = [join([a[0], b[0]]), join([b[1], c[1]]), c[2]]
    combined = combine(parts, 30, START_NS, dict.fromkeys("abc", 30))
    assert combined.sensors == ("a", "b", "c")
    assert combined.slots[:, 1].tolist() == [10, 20, 20]
    assert combined.slots[:, 3].tolist() == [20, 10, 10]
    assert combined.n_by_flag[:, 1].tolist() == [10, 20, 20]
    assert combined.moments[:, 0].tolist() == [2.0, 2.0, 2.0]


def test_windows_without_values_leave_no_trace_in_the_statistics() -> None:
    empty = window(spec(Kind.LEVEL), Block.empty(1, START_NS), period_s=10)
    heard = window(spec(Kind.LEVEL), block([65.0], at_s=[10.5]), start_s=10, period_s=10)
    combined = combine([empty, heard], 20, START_NS, {"place": 20})
    fields = columns(combined, 0.0)
    assert fields["leq"][0] == pytest.approx(65.0, abs=1e-12)
    assert (fields["min"], fields["max"], fields["n"]) == ([65.0], [65.0], [1.0])
    silent = columns(combine([empty, empty], 20, START_NS, {"place": 20}), 0.0)
    assert "leq" not in silent
    assert silent["flag"] == [9.0]
    assert math.isnan(combine([empty, empty], 20, START_NS, {"place": 20}).moments[0, 0])
