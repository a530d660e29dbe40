"""The job that all peers do, the rows they do it on, and the shape of their answer.

24 series at 1 Hz, each with its own phase and jitter; rows stand in the order of time, so series are interleaved. A
value is good if it lies in the range; if it is no outlier by Hampel among 3 neighbours on either side, which is asked
where all seven lie in the range; and if it is not the last of 61 values, as they came, within the tolerance. Good
values make UTC windows of 60 s.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SERIES = 24
NS = 1_000_000_000
PERIOD_S = 60
START_NS = 1_790_000_040 * NS  # on a minute
LO, HI = 0.0, 500.0
HAMPEL_K, N_SIGMAS, SIGMA_FLOOR = 3, 3.0, 0.1
MAD_TO_SIGMA = 1.4826
STUCK_N, TOLERANCE = 60, 0.05
PERCENTILES = (10.0, 50.0, 90.0)
BAD, SPIKES, STUCK_RUNS, STUCK_ROWS = 0.01, 0.005, 1e-5, 200  # runs per row, and rows of each


class Rows(NamedTuple):
    """Interleaved readings in the order of time."""

    t: npt.NDArray[np.int64]  # [n] UTC ns
    series: npt.NDArray[np.uint8]  # [n]
    v: npt.NDArray[np.float64]  # [n]


class Answer(NamedTuple):
    """A row for each series and window that holds a good value, by series and then time; std divides by n - 1."""

    series: npt.NDArray[np.int64]
    start_s: npt.NDArray[np.int64]
    n: npt.NDArray[np.int64]
    mean: npt.NDArray[np.float64]
    min: npt.NDArray[np.float64]
    max: npt.NDArray[np.float64]
    std: npt.NDArray[np.float64]
    p10: npt.NDArray[np.float64]
    p50: npt.NDArray[np.float64]
    p90: npt.NDArray[np.float64]

    def in_order(self) -> Answer:
        order = np.lexsort((self.start_s, self.series))
        return Answer(*(column[order] for column in self))


def make(rows: int, seed: int = 7) -> Rows:
    """Make the rows: a slow wave with noise, in steps of 0.1, with bad values, spikes and stuck stretches."""
    rng = np.random.default_rng(seed)
    each = -(-rows // SERIES)
    columns = [_series(rng, each, s) for s in range(SERIES)]
    t = np.concatenate([t for t, _ in columns])
    order = np.argsort(t, kind="stable")[:rows]
    series = np.repeat(np.arange(SERIES, dtype=np.uint8), each)
    return Rows(t[order], series[order], np.concatenate([v for _, v in columns])[order])


def _series(rng: np.random.Generator, n: int, s: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    seconds = np.arange(n, dtype=np.int64)
    jitter = rng.integers(0, NS // 20, n) + int(rng.integers(0, NS * 9 // 10))
    v = 20.0 + s + 8.0 * np.sin(seconds / 3600.0 + s) + rng.normal(0.0, 1.5, n)
    spiked = rng.random(n) < SPIKES
    v[spiked] += rng.uniform(30.0, 90.0, int(spiked.sum()))
    for first in np.flatnonzero(rng.random(n) < STUCK_RUNS):
        v[first : first + STUCK_ROWS] = v[first]
    v = np.round(np.maximum(v, 0.0), 1)
    v[rng.random(n) < BAD] = 999.9
    return START_NS + seconds * NS + jitter, v


def save(folder: Path, name: str, rows: Rows) -> None:
    for field, column in zip(Rows._fields, rows, strict=True):
        np.save(folder / f"{name}_{field}.npy", column)


def load(folder: Path, name: str) -> Rows:
    return Rows(*(np.load(folder / f"{name}_{field}.npy") for field in Rows._fields))


def split(rows: Rows) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """Return the rows as columns, one pair (t, v) for each series."""
    return [(rows.t[rows.series == s], rows.v[rows.series == s]) for s in range(SERIES)]
