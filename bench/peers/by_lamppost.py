"""Ours: `gateway.pipeline.archive` on interleaved rows, on columns, and on rows that are already clean."""

from __future__ import annotations

import numpy as np

from bench.peers.task import (
    HAMPEL_K,
    HI,
    LO,
    N_SIGMAS,
    NS,
    PERCENTILES,
    PERIOD_S,
    SERIES,
    SIGMA_FLOOR,
    STUCK_N,
    TOLERANCE,
    Answer,
    Rows,
    split,
)
from gateway.block import MOMENTS, Flag
from gateway.pipeline import archive
from gateway.pipeline.archive import Series, Summary, of_columns, of_rows

TESTS = Series(
    lo=LO, hi=HI, neighbours=HAMPEL_K, n_sigmas=N_SIGMAS, sigma_floor=SIGMA_FLOOR, outlier=Flag.FAIL,
    stuck_n=STUCK_N, tolerance=TOLERANCE, stuck=Flag.FAIL,
)  # fmt: skip
MEAN, M2, MIN, MAX = (MOMENTS.index(name) for name in ("mean", "m2", "min", "max"))


def prepare(rows: Rows) -> Rows:
    return rows


def prepare_columns(rows: Rows) -> list[tuple[np.ndarray, np.ndarray]]:
    return split(rows)


def run(rows: Rows) -> Answer:
    return _answer(of_rows([TESTS] * SERIES, [rows], PERIOD_S, PERCENTILES))


def run_clean(rows: Rows) -> Answer:
    return _answer(of_rows([Series()] * SERIES, [rows], PERIOD_S, PERCENTILES))


def run_columns(columns: list[tuple[np.ndarray, np.ndarray]]) -> Answer:
    return _answer(of_columns([TESTS] * SERIES, columns, PERIOD_S, PERCENTILES))


def cleaned(rows: Rows) -> Rows:
    """Return the rows that pass the tests, in their order."""
    good = np.empty(len(rows.t), np.bool_)
    for s, (t, v) in enumerate(split(rows)):
        good[rows.series == s] = archive.judge(TESTS, t, v)[0] == Flag.GOOD
    return Rows(*(column[good] for column in rows))


def _answer(summary: Summary) -> Answer:
    n = (summary.n_by_flag[:, 0] + summary.n_by_flag[:, 1] + summary.n_by_flag[:, 2]).astype(np.int64)
    mean, m2, low, high = (summary.moments[:, column] for column in (MEAN, M2, MIN, MAX))
    with np.errstate(divide="ignore", invalid="ignore"):
        std = np.sqrt(m2 / (n - 1))
    ints = (summary.series.astype(np.int64), summary.start_ns // NS, n)
    answer = Answer(*ints, mean, low, high, std, *summary.percentiles.T)
    some = n > 0
    return answer if some.all() else Answer(*(column[some] for column in answer))
