"""Archives: whatever the cut, what the definitions say, read plainly, and what the live stages and windows say."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.peers import by_lamppost, by_plain, task
from drivers.base import Channel, Kind
from gateway.block import F8, FLAGS, I8, MOMENTS, REASONS, Block, Flag, Reason, Slots
from gateway.pipeline import archive, kernels
from gateway.pipeline.archive import Series, Summary, judge, of_columns, of_rows
from gateway.pipeline.centred import Centred, HampelTest
from gateway.pipeline.quality import FlatLineTest, RangeTest
from gateway.pipeline.stage import passed
from gateway.pipeline.windows import NS, SensorSpec, add, close

START_NS = 1_790_000_040 * NS
P = (10.0, 50.0, 90.0)
TESTS = Series(
    lo=-5.0, hi=8.0, suspect_lo=-2.0, suspect_hi=5.0,
    neighbours=3, near_s=2.0, sigma_floor=0.1, stuck_n=4, tolerance=0.05,
)  # fmt: skip
FEW = (1.0, 1.0, 1.0, 1.1, 1.3, 2.0, 5.5, 7.0, 9.0, -3.0, math.nan)
STEPS_S = (1.0, 1.0, 1.0, 1.0, 0.0, 0.4, 3.0, 70.0)
columns = st.lists(st.tuples(st.sampled_from(FEW), st.sampled_from(STEPS_S)), max_size=60)


def column(drawn: list[tuple[float, float]]) -> tuple[I8, F8]:
    t = START_NS + np.round(np.cumsum([step for _, step in drawn]) * NS).astype(np.int64)
    return t, np.array([value for value, _ in drawn], np.float64)


def plain_flags(one: Series, t: I8, v: F8) -> list[Flag]:
    """Judge value by value, as the definitions read."""
    fails = [not one.lo <= x <= one.hi for x in v.tolist()]
    out = []
    for i, x in enumerate(v.tolist()):
        if math.isnan(x):
            out.append(Flag.MISSING)
            continue
        flag = Flag.GOOD if one.suspect_lo <= x <= one.suspect_hi else Flag.SUSPECT
        flag = Flag.FAIL if fails[i] else flag
        own = range(i - one.neighbours, i + one.neighbours + 1)
        if one.neighbours and own[0] >= 0 and own[-1] < len(v) and not any(fails[j] for j in own):
            near = all(t[j + 1] - t[j] <= one.near_s * NS for j in own[:-1])
            middle = np.median(v[own])
            sigma = max(1.4826 * np.median(np.abs(v[own] - middle)), one.sigma_floor)
            if near and abs(x - middle) > one.n_sigmas * sigma:
                flag = max(flag, one.outlier)
        if one.stuck_n and i >= one.stuck_n:
            run = v[i - one.stuck_n : i + 1]
            if np.nanmax(run) - np.nanmin(run) < one.tolerance:
                flag = max(flag, one.stuck)
        out.append(flag)
    return out


@given(columns)
def test_verdicts_are_those_of_the_definitions(drawn: list[tuple[float, float]]) -> None:
    t, v = column(drawn)
    flag, reason = judge(TESTS, t, v)
    assert flag.tolist() == plain_flags(TESTS, t, v)
    assert ((reason != 0) == ((flag == Flag.SUSPECT) | (flag == Flag.FAIL))).all()


@given(columns, st.integers(0, 60), st.integers(0, 60))
def test_a_part_is_judged_as_in_the_whole(drawn: list[tuple[float, float]], a: int, b: int) -> None:
    t, v = column(drawn)
    first, end = sorted((min(a, len(v)), min(b, len(v))))
    whole, part = judge(TESTS, t, v), judge(TESTS, t, v, first, end)
    assert part[0].tolist() == whole[0][first:end].tolist()
    assert part[1].tolist() == whole[1][first:end].tolist()


def windows(summary: Summary) -> Iterator[dict[str, Any]]:
    for i in range(len(summary.series)):
        yield {name: getattr(summary, name)[i] for name in Summary._fields}


@given(columns)
def test_windows_are_summarised_by_their_usable_values(drawn: list[tuple[float, float]]) -> None:
    t, v = column([(1.0, 1.0), *drawn])
    flag = np.array(plain_flags(TESTS, t, v))
    seen = 0
    for window in windows(of_columns([TESTS], [(t, v)], 60, P)):
        rows = (t >= window["start_ns"]) & (t < window["start_ns"] + 60 * NS)
        own = v[rows & (flag != Flag.FAIL) & (flag != Flag.MISSING)]
        seen += int(rows.sum())
        assert window["start_ns"] % (60 * NS) == 0
        assert window["n_by_flag"].tolist() == [int((flag[rows] == level).sum()) for level in FLAGS]
        moments = dict(zip(MOMENTS, window["moments"], strict=True))
        if not len(own):
            assert math.isnan(moments["mean"])
            continue
        assert moments["mean"] == pytest.approx(own.mean(), rel=1e-12)
        assert (moments["min"], moments["max"], moments["dur_s"]) == (own.min(), own.max(), len(own))
        at_s = (t[rows & (flag != Flag.FAIL) & (flag != Flag.MISSING)] - window["start_ns"]) / NS
        assert (moments["first_s"], moments["last_s"]) == pytest.approx((at_s[0], at_s[-1]), abs=5e-4)
        assert window["percentiles"] == pytest.approx(np.percentile(own, P), rel=1e-12)
    assert seen == len(t)


def interleaved(drawn: list[list[tuple[float, float]]]) -> tuple[tuple[I8, Any, F8], list[tuple[I8, F8]]]:
    own = [column(one) for one in drawn]
    t = np.concatenate([t for t, _ in own])
    order = np.argsort(t, kind="stable")
    number = np.repeat(np.arange(len(own)), [len(one) for one in drawn]).astype(np.uint8)
    return (t[order], number[order], np.concatenate([v for _, v in own])[order]), own


@pytest.fixture(scope="module")
def _small() -> Iterator[None]:
    """Make every seam occur in a few rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "APART", 5)
        patch.setattr(archive, "HELD", 11)
        patch.setattr(archive, "PIECE", 3)
        yield


def assert_same(one: Summary, other: Summary) -> None:
    for name in Summary._fields:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.usefixtures("_small")
@given(st.lists(columns, min_size=1, max_size=3), st.lists(st.integers(0, 180), max_size=4))
def test_rows_in_any_chunks_give_what_columns_give(drawn: list[list[tuple[float, float]]], cuts: list[int]) -> None:
    rows, own = interleaved([[(1.0, 1.0), *one] for one in drawn])
    places = [0, *sorted(min(cut, len(rows[0])) for cut in cuts), len(rows[0])]
    chunks = [tuple(part[a:b] for part in rows) for a, b in itertools.pairwise(places)]
    series = [TESTS] * len(own)
    assert_same(of_rows(series, chunks, 60, P), of_columns(series, own, 60, P))  # type: ignore[arg-type]


@pytest.mark.usefixtures("_small")
def test_a_seam_that_forgets_the_neighbours_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above."""
    rng = np.random.default_rng(1)
    t = START_NS + np.arange(600, dtype=np.int64) * NS
    v = np.where(rng.random(600) < 0.2, 3.0, np.round(rng.normal(1.0, 0.1, 600), 1))
    chunks = [(t, np.zeros(600, np.uint8), v)]
    whole = of_columns([TESTS], [(t, v)], 60, P)
    assert_same(of_rows([TESTS], chunks, 60, P), whole)
    take = archive._take

    def forgetful(number: int, one: Series, rows: Any, period_ns: int, p: Any) -> Any:
        parts, rest = take(number, one, rows, period_ns, p)
        return parts, archive._Rows([rest.t[0][rest.done :]], [rest.v[0][rest.done :]], 0)

    monkeypatch.setattr(archive, "_take", forgetful)
    with pytest.raises(AssertionError, match=r"moments|n_by_flag|reasons"):
        assert_same(of_rows([TESTS], chunks, 60, P), whole)


def test_time_that_runs_backwards_and_series_that_are_none_are_refused() -> None:
    t = START_NS + np.array([0, 2, 1]) * NS
    with pytest.raises(ValueError, match="backwards"):
        of_columns([TESTS], [(t, np.ones(3))], 60)
    with pytest.raises(ValueError, match="backwards"):
        of_rows([TESTS], [(t, np.zeros(3, np.uint8), np.ones(3))], 60)
    with pytest.raises(ValueError, match="no series 1"):
        of_rows([TESTS], [(np.sort(t), np.array([0, 1, 0], np.uint8), np.ones(3))], 60)


@pytest.mark.parametrize("kind", [Kind.SCALAR, Kind.LEVEL, Kind.ANGLE, Kind.SPEED])
def test_live_stages_and_windows_give_the_same_bits(kind: Kind) -> None:
    rng = np.random.default_rng(2)
    n = 900
    t = START_NS + np.arange(n, dtype=np.int64) * NS
    v = np.round(rng.normal(2.0, 1.0, n), 1)
    v[rng.random(n) < 0.03] = 9.0
    v[100:140] = 1.0
    one = Series(kind, lo=-5.0, hi=8.0, neighbours=3, near_s=1.5, sigma_floor=0.1, stuck_n=10, tolerance=0.05)
    lo, hi = np.array([one.lo]), np.array([one.hi])
    stages = (
        RangeTest(lo, hi, lo, hi),
        FlatLineTest((one.stuck_n,), (0,), (one.tolerance,)),
        Centred((HampelTest((3,), (one.n_sigmas,), (one.sigma_floor,)),), NS * 3 // 2, 1),
    )
    fresh = np.full((n, 1), Flag.NOT_EVALUATED, np.uint8)
    block = Block(t, v[:, None], fresh, np.zeros((n, 1), np.uint16), np.ones(n), int(t[-1]) + 100 * NS)
    live = passed(stages, [stage.initial() for stage in stages], block)
    flag, reason = judge(one, t, v)
    assert live.flag[:, 0].tolist() == flag.tolist()
    assert live.reason[:, 0].tolist() == reason.tolist()
    assert {Reason.RANGE, Reason.SPIKE, Reason.STUCK} <= {Reason(int(bits)) for bits in reason.tolist()}
    spec = SensorSpec("a", "air", (Channel("c", "1", kind),), NS)
    state = add(spec.initial(), live, Slots(t, np.zeros(n, np.uint8)), 0)
    summary = of_columns([one], [(t, v)], 60)
    for window in windows(summary):
        state, closed = close(spec, state, int(window["start_ns"]), 60)
        np.testing.assert_array_equal(closed.moments[0], window["moments"])
        assert closed.n_by_flag[0].tolist() == window["n_by_flag"].tolist()
        assert closed.reasons[0].tolist() == window["reasons"].tolist()
    assert summary.reasons.shape[1] == len(REASONS)


@given(
    st.lists(st.sampled_from((0.0, 0.1, 0.2, 1.0, -1.0, 7.0, 7.3, math.nan)), min_size=7, max_size=40),
    st.sampled_from((1.0, 3.0)),
    st.sampled_from((0.0, 0.1, 0.5)),
)
def test_the_kernel_of_outliers_is_the_definition(values: list[float], sigmas: float, floor: float) -> None:
    x = np.array(values)
    runs = np.lib.stride_tricks.sliding_window_view(x, 7)
    middle = np.median(runs, axis=1)
    sigma = np.maximum(1.4826 * np.median(np.abs(runs - middle[:, None]), axis=1), floor)
    median = np.empty(len(x) - 6)
    found = kernels.outliers(x, sigmas, floor, median)
    assert found.tolist() == (np.abs(x[3:-3] - middle) > sigmas * sigma).tolist()
    np.testing.assert_array_equal(median, middle)
    both = kernels.outliers(np.stack([x, x[::-1]], axis=1), np.array([sigmas, sigmas]), np.array([floor, floor]))
    assert both[:, 0].tolist() == found.tolist() == both[::-1, 1].tolist()


def test_the_job_of_the_bench_is_done_as_plain_python_does_it() -> None:
    rows = task.make(40_000)
    ours = by_lamppost.run(rows)
    for answer in (
        by_lamppost.run_columns(by_lamppost.prepare_columns(rows)),
        by_lamppost.run_clean(by_lamppost.cleaned(rows)),
        by_plain.run(by_plain.prepare(rows)),
    ):
        for field, mine, theirs in zip(task.Answer._fields, ours, answer, strict=True):
            np.testing.assert_allclose(theirs, mine, rtol=1e-9, atol=1e-12 if field == "std" else 0.0, err_msg=field)
