"""pandas: groupby.rolling for what slides, one groupby.agg for the windows; and once more with numpy in the middle.

No rolling function knows the deviations from the median of the window in the middle, so they are seven shifted columns
and the median across them. With numpy's median over an array in place of the frame's it is several times faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from bench.peers.task import (
    HAMPEL_K,
    HI,
    LO,
    MAD_TO_SIGMA,
    N_SIGMAS,
    NS,
    PERIOD_S,
    SIGMA_FLOOR,
    STUCK_N,
    TOLERANCE,
    Answer,
    Rows,
)


def prepare(rows: Rows) -> pd.DataFrame:
    return pd.DataFrame({"t": rows.t, "series": rows.series, "v": rows.v})


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values("series", kind="stable", ignore_index=True)


def run(frame: pd.DataFrame) -> Answer:
    return _judged(_sorted(frame), _spread)  # rolling by group is several times faster on sorted rows


def run_numpy(frame: pd.DataFrame) -> Answer:
    return _judged(_sorted(frame), _spread_numpy)


def _spread(x: pd.Series, middle: pd.Series) -> pd.Series:
    # Shifted across all series: at the ends of each `middle` is NaN.
    away = [(x.shift(j) - middle).abs() for j in range(-HAMPEL_K, HAMPEL_K + 1)]
    return pd.concat(away, axis=1).median(axis=1)


def _spread_numpy(x: pd.Series, middle: pd.Series) -> pd.Series:
    away = np.empty((2 * HAMPEL_K + 1, len(x)))
    for j in range(len(away)):
        away[j] = (x.shift(j - HAMPEL_K) - middle).abs()
    return pd.Series(np.median(away, axis=0))


def _judged(frame: pd.DataFrame, spread: Callable[[pd.Series, pd.Series], pd.Series]) -> Answer:
    v = frame["v"]
    inside = v.between(LO, HI)
    frame = frame.assign(x=v.where(inside))
    by_series = frame.groupby("series", sort=False)
    middle = by_series["x"].rolling(2 * HAMPEL_K + 1, center=True).median().reset_index(drop=True)
    sigma = (MAD_TO_SIGMA * spread(frame["x"], middle)).clip(lower=SIGMA_FLOOR)
    outlier = (v - middle).abs() > N_SIGMAS * sigma
    last = by_series["v"].rolling(STUCK_N + 1)
    stuck = (last.max() - last.min()).to_numpy() < TOLERANCE
    good = frame[inside & ~outlier & ~stuck]
    minute = good["t"] // (PERIOD_S * NS) * PERIOD_S
    windows = good.groupby(["series", minute])["v"]
    table = windows.agg(["count", "mean", "min", "max", "std"])
    ranks = windows.quantile([0.1, 0.5, 0.9]).to_numpy().reshape(-1, 3)
    return _answer(table, ranks)


def _answer(table: pd.DataFrame, ranks: Any) -> Answer:
    series, start = (table.index.get_level_values(i).to_numpy().astype(np.int64) for i in (0, 1))
    floats = (table[name].to_numpy() for name in ("mean", "min", "max", "std"))
    return Answer(series, start, table["count"].to_numpy(), *floats, *ranks.T)
