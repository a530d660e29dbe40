"""Cells by AAN 803-05: the factors between the temperatures of the table, and the four algorithms."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pipeline.cells import ALGORITHMS, AT_DEGC, CELLS, Zeros, corrected_mv, factor

# A cell on its board in 25 Cel air: WE 300 mV, AE 240 mV, electronic zeros 225 and 230 mV, sensor zeros 6 and 4 mV.
ZEROS = Zeros(225.0, 230.0, 6.0, 4.0)
WORKED = [
    ("NO2-B43F", 1, 75.0 - 0.5 * 10.0),
    ("NO2-B43F", 2, 75.0 - 0.85 * 1.5 * 10.0),
    ("NO2-B43F", 3, 75.0 - 2.0 - 0.7 * 10.0),
    ("NO2-B43F", 4, 75.0 - 6.0 - 0.25),
    ("OX-B431", 1, 75.0 - 1.85 * 10.0),
    ("CO-B4", 1, 75.0 - 3.25 * 10.0),
    ("CO-B4", 4, 75.0 - 6.0 + 25.0),
]


@pytest.mark.parametrize(("cell", "algorithm", "gas_mv"), WORKED)
def test_worked_by_hand(cell: str, algorithm: int, gas_mv: float) -> None:
    assert corrected_mv(cell, algorithm, 300.0, 240.0, 25.0, ZEROS) == pytest.approx(gas_mv, rel=1e-12)


def test_the_published_example_of_a_nitrogen_dioxide_cell() -> None:
    gas_mv = corrected_mv("NO2-B43F", 1, 300.0, 240.0, 25.0, Zeros(225.0, 230.0))
    assert factor("NO2-B43F", 1, 25.0) == pytest.approx(0.5)
    assert gas_mv / 0.309 == pytest.approx(226.537, abs=0.001)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_factors_at_and_between_the_temperatures_of_the_table(cell: str, algorithm: int) -> None:
    table = CELLS[cell].factors[algorithm - 1]
    assert len(table) == len(AT_DEGC)
    for at, value in zip(AT_DEGC, table, strict=True):
        assert factor(cell, algorithm, at) == value
    for (at, value), (_, after) in pairwise(zip(AT_DEGC, table, strict=True)):
        assert factor(cell, algorithm, at + 5.0) == pytest.approx((value + after) / 2)
    assert factor(cell, algorithm, -60.0) == table[0]
    assert factor(cell, algorithm, 80.0) == table[-1]


@pytest.mark.parametrize("cell", CELLS)
def test_at_20_degrees_the_zeros_are_those_of_the_certificate(cell: str) -> None:
    assert (factor(cell, 2, 20.0), factor(cell, 3, 20.0)) == (1.0, 1.0)


@given(
    st.sampled_from(list(CELLS)), st.sampled_from(ALGORITHMS),
    st.lists(st.tuples(st.floats(0, 2000), st.floats(0, 2000)), min_size=1, max_size=30), st.floats(-30, 50),
)  # fmt: skip
def test_it_is_linear_so_the_mean_of_a_window_is_enough(
    cell: str, algorithm: int, volts: list[tuple[float, float]], at: float
) -> None:
    one_by_one = [corrected_mv(cell, algorithm, we, ae, at, ZEROS) for we, ae in volts]
    we, ae = (sum(column) / len(volts) for column in zip(*volts, strict=True))
    at_once = corrected_mv(cell, algorithm, we, ae, at, ZEROS)
    assert at_once == pytest.approx(sum(one_by_one) / len(one_by_one), rel=1e-9, abs=1e-6)


def test_what_is_not_known_gives_nothing() -> None:
    assert math.isnan(corrected_mv("CO-B4", 1, math.nan, 240.0, 25.0, ZEROS))
    assert math.isnan(corrected_mv("CO-B4", 1, 300.0, 240.0, math.nan, ZEROS))
