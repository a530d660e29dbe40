"""What comes late amends its window: the same as if it had come in time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_samples import START_NS, all_good, block, slots, spec, window

from drivers.base import Channel, Fault, Kind
from gateway.block import MISS_BASE, MOMENTS, REASONS, SLOT_COUNTS, Block, Flag, Reason, Slots, Windows
from gateway.pipeline.amend import amend, chosen
from gateway.pipeline.fields import Percentiles, columns
from gateway.pipeline.windows import NS, SensorSpec, add, close_all

MINUTE_NS = 60 * NS
LATE = REASONS.index(Reason.LATE)
EXACT = ("min", "max", "dur_s", "moving", "first_s", "last_s")
ASKED = Percentiles((1.0, 50.0, 99.0), (10.0, 90.0), (85.0,), least_speeds=1)

KIND = st.sampled_from([Kind.SCALAR, Kind.LEVEL, Kind.SPEED, Kind.COUNT, Kind.ANGLE])
FLAG = st.sampled_from([Flag.GOOD, Flag.NOT_EVALUATED, Flag.SUSPECT, Flag.FAIL, Flag.MISSING, Flag.ABSENT])
CODE = st.sampled_from([0, 0, 0, int(Fault.CHECK), int(Fault.DEVICE), MISS_BASE, MISS_BASE + 3])
AT_S = st.integers(0, 599).map(lambda tenth: tenth / 10)
ROWS = st.lists(st.tuples(AT_S, st.integers(-400, 900).map(lambda v: v / 10), FLAG, st.booleans()), max_size=80)
HAPPENED = st.lists(st.tuples(AT_S, CODE, st.booleans()), max_size=80)


def of_kind(kind: Kind, *, events: bool = False) -> SensorSpec:
    keep = kind in (Kind.SCALAR, Kind.LEVEL, Kind.SPEED)
    return SensorSpec("place", "air", (Channel("c0", "1", kind, resolution=0.1),), NS, events, keep=(keep,))


def read(rows: list[tuple[float, float, Flag, bool]]) -> Block:
    if not rows:
        return Block.empty(1, START_NS)
    at, values, flags, _ = (list(column) for column in zip(*sorted(rows, key=lambda row: row[0]), strict=True))
    return block(values, at, flags, dur_s=0.5)


def account(happened: list[tuple[float, int, bool]]) -> Slots:
    return slots([at for at, _, _ in happened], [code for _, code, _ in happened]) if happened else slots([])


def in_two(
    of: SensorSpec, rows: list[tuple[float, float, Flag, bool]], happened: list[tuple[float, int, bool]]
) -> tuple[Windows, Windows]:
    """Close a minute without what is late, and close again what came afterwards."""
    on_time, late = ([one for one in rows if one[-1] is late] for late in (False, True))
    told, told_late = ([one for one in happened if one[-1] is late] for late in (False, True))
    state = add(of.initial(), read(on_time), account(told), START_NS, START_NS)
    (state,), first = close_all([(of, state)], START_NS, 60)
    state = add(state, read(late), account(told_late), START_NS + MINUTE_NS, START_NS)
    (state,), second = close_all([(of, state)], START_NS, 60, late=True)
    assert second.late
    assert len(state["t"]) == len(state["slot_t"]) == 0
    return first, second


@given(KIND, ROWS, HAPPENED, st.booleans())
def test_any_part_of_a_minute_may_come_late(
    kind: Kind,
    rows: list[tuple[float, float, Flag, bool]],
    happened: list[tuple[float, int, bool]],
    events: bool,
) -> None:
    of = of_kind(kind, events=events)
    first, second = in_two(of, rows, happened)
    amended = amend(first, second, {"place"} if events else set())
    whole = window(of, read(rows), account(happened))
    assert amended.n_by_flag.tolist() == whole.n_by_flag.tolist()
    assert amended.slots[:, :5].tolist() == whole.slots[:, :5].tolist()
    assert amended.slots[0, 5] == sum(late for *_, late in happened)
    for name in ("rejected", "missed", "expected", "usable"):
        assert getattr(amended, name).tolist() == getattr(whole, name).tolist(), name
    assert (amended.codes, amended.seen) == (whole.codes, whole.seen)
    came_late = sum(late and flag != Flag.ABSENT for _, _, flag, late in rows)
    assert amended.reasons[0, LATE] == came_late
    for i, name in enumerate(MOMENTS):
        mine, its = amended.moments[0, i], whole.moments[0, i]
        size = {"mean": 90.0, "sum": 90.0 * 80, "m2": 90.0**2 * 80, "sin": 1.0, "cos": 1.0}.get(name, 0.0)
        assert mine == pytest.approx(its, rel=1e-12, abs=1e-12 * size, nan_ok=True), name
        assert name not in EXACT or np.array_equal(mine, its, equal_nan=True), name
    mine_, its_ = columns(amended, 0.75, ASKED), columns(whole, 0.75, ASKED)
    for name in [name for name in its_ if name[0] in "plv" and name[1:].isdigit()]:
        assert mine_[name] == its_[name], name


def test_the_property_sees_counts_that_are_only_added() -> None:
    """The control: a slot that was missing and is then valid is one slot, and so is one that is valid twice."""
    rows = [(0.5, 1.0, Flag.GOOD, False), (0.7, 2.0, Flag.GOOD, True), (1.5, 3.0, Flag.GOOD, True)]
    happened = [(0.5, 0, False), (1.5, MISS_BASE, False), (0.7, 0, True), (1.5, 0, True)]
    first, second = in_two(of_kind(Kind.SCALAR), rows, happened)
    whole = window(of_kind(Kind.SCALAR), read(rows), account(happened))
    added = first.slots + second.slots
    assert added[0, :4].tolist() != whole.slots[0, :4].tolist()
    assert (first.usable + second.usable).tolist() != whole.usable.tolist()
    amended = amend(first, second, set())
    assert dict(zip(SLOT_COUNTS, amended.slots[0].tolist(), strict=True)) == {
        "expected": 60, "valid": 2, "rejected": 0, "missing": 58, "extra": 1, "late": 2,
    }  # fmt: skip
    assert amended.missed.sum() == 0
    assert amended.usable.tolist() == [2]


def test_percentiles_need_all_samples() -> None:
    first, second = in_two(of_kind(Kind.SCALAR), [(1.0, 5.0, Flag.GOOD, False), (2.0, 9.0, Flag.GOOD, True)], [])
    amended = amend(first, second, set())
    assert columns(amended, 0.0, ASKED)["p50"] == [7.0]
    assert "p50" not in columns(replace(amended, samples=first.samples), 0.0, ASKED)


def test_what_is_too_late_is_counted_and_left_out() -> None:
    one, of = block([1.0, 2.0, 3.0], at_s=[10.0, 70.0, 130.0]), spec()
    state = add(of.initial(), one, all_good(one), START_NS + 2 * MINUTE_NS, START_NS + MINUTE_NS)
    (state,), second = close_all([(of, state)], START_NS + MINUTE_NS, 60, late=True)
    assert second.n_by_flag.sum() == second.slots[0, 5] == 1
    _, third = close_all([(of, state)], START_NS + 2 * MINUTE_NS, 60)
    assert third.n_by_flag.sum() == third.slots[0, 5] == 1  # the one that is too late is counted where it came
    assert third.reasons.sum() == 0


def test_windows_that_do_not_fit_are_refused() -> None:
    first, second = in_two(spec(), [(1.0, 5.0, Flag.GOOD, False), (2.0, 9.0, Flag.GOOD, True)], [])
    with pytest.raises(ValueError, match="single slots"):
        amend(replace(first, codes=(), seen=()), second, set())
    with pytest.raises(ValueError, match="other series"):
        amend(replace(first, sensors=("other",)), second, set())
    shorter = window(replace(spec(), slot_ns=2 * NS), block([5.0]))
    with pytest.raises(ValueError, match="single slots"):
        amend(shorter, second, set())


def test_some_sensors_are_chosen_with_all_that_is_said_of_them() -> None:
    a, b = spec(channels=2), replace(spec(Kind.LEVEL), sensor="mic", keep=(True,))
    one, two = block([[1.0, 2.0]]), block([60.0])
    states = [add(a.initial(), one, all_good(one), 0), add(b.initial(), two, all_good(two), 0)]
    _, both = close_all([(a, states[0]), (b, states[1])], START_NS, 60)
    mic = chosen(both, ["mic"])
    alone = window(b, two)
    for name in Windows.__dataclass_fields__:
        mine, its = getattr(mic, name), getattr(alone, name)
        assert mine.tobytes() == its.tobytes() if isinstance(mine, np.ndarray) else mine == its, name
    assert chosen(both, ["mic", "place"], Kind.LEVEL).series == mic.series
