"""The kernel of statistics: each segment by itself, whatever stands beside it; samples packed and unpacked exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Kind
from gateway.block import MOMENTS, Packed
from gateway.pipeline.samples import pack, together, unpack
from gateway.pipeline.statistics import percentiles, rank_percentile, summarise

KINDS = st.sampled_from(list(Kind))
VALUES = st.lists(st.floats(-150, 150, allow_subnormal=False), max_size=300)
SEGMENTS = st.lists(st.tuples(KINDS, VALUES), min_size=1, max_size=8)


def alone(kind: Kind, values: list[float]) -> np.ndarray:
    x = np.array(values, np.float64)
    return summarise(x, np.array([len(x)]), [kind], np.ones(len(x)), np.arange(len(x), dtype=np.float64))


@given(SEGMENTS)
def test_a_segment_does_not_feel_its_neighbours(segments: list[tuple[Kind, list[float]]]) -> None:
    x = np.array([value for _, values in segments for value in values], np.float64)
    counts = np.array([len(values) for _, values in segments])
    at_s = np.concatenate([np.arange(n, dtype=np.float64) for n in counts])
    together_ = summarise(x, counts, [kind for kind, _ in segments], np.ones(len(x)), at_s)
    for row, (kind, values) in zip(together_, segments, strict=True):
        assert row.tobytes() == alone(kind, values)[0].tobytes()
    table = percentiles(x, counts, (5, 50, 95))
    for row, (_, values) in zip(table, segments, strict=True):
        own = percentiles(np.array(values), np.array([len(values)]), (5, 50, 95))
        assert row.tobytes() == own[0].tobytes()


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=200), st.lists(st.floats(0, 100), min_size=1, max_size=5))
def test_percentiles_are_numpys_linear_ones(values: list[float], p: list[float]) -> None:
    found = percentiles(np.array(values), np.array([len(values)]), p)[0]
    np.testing.assert_allclose(found, np.percentile(values, p), rtol=1e-12, atol=1e-6)


def test_statistics_by_hand() -> None:
    row = dict(zip(MOMENTS, alone(Kind.SPEED, [-10.0, 20.0, 0.0])[0], strict=True))
    assert (row["mean"], row["min"], row["max"], row["sum"]) == (10.0, 0.0, 20.0, 30.0)
    assert (row["inverse"], row["moving"]) == (pytest.approx(0.15), 2.0)
    row = dict(zip(MOMENTS, alone(Kind.LEVEL, [60.0, 70.0, 80.0])[0], strict=True))
    assert 10 * math.log10(row["energy"]) == pytest.approx(75.6820, abs=1e-4)
    assert (row["first_s"], row["last_s"]) == (0.0, 2.0)


def test_the_106th_of_125_is_v85() -> None:
    speeds = np.arange(1.0, 126.0)
    assert rank_percentile(np.random.default_rng(1).permutation(speeds), 85.0) == 106.0
    assert math.isnan(rank_percentile(np.empty(0), 85.0))


@given(
    st.one_of(
        st.lists(st.integers(-40_000, 40_000).map(lambda k: k / 10), max_size=50),
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=50),
        st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=50),
    )
)
def test_samples_come_back_bit_for_bit(values: list[float]) -> None:
    x = np.array(values, np.float64)
    packed = pack(x, 0.1)
    assert unpack(packed).tobytes() == x.tobytes()
    assert (
        unpack(together([packed, pack(x[::-1].copy()), Packed(0, "<f4", b"")])).tobytes()
        == np.concatenate([x, x[::-1]]).tobytes()
    )


def test_a_minute_of_a_usual_part_takes_two_bytes_a_sample() -> None:
    tenths = np.round(np.random.default_rng(2).gamma(2.0, 10.0, 60), 1)
    assert len(pack(tenths, 0.1).data) == 120
    assert pack(tenths, 0.1).step == 10
