"""polars, lazy: rolling expressions over each series, one group_by for the windows."""

from __future__ import annotations

import numpy as np
import polars as pl

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

W = 2 * HAMPEL_K + 1


def prepare(rows: Rows) -> pl.DataFrame:
    return pl.DataFrame({"t": rows.t, "series": rows.series, "v": rows.v})


def run(frame: pl.DataFrame) -> Answer:
    v, x, middle = pl.col("v"), pl.col("x"), pl.col("middle")
    # No `over` for the shifts: at the ends of a series `middle` is null.
    away = [(x.shift(j - HAMPEL_K) - middle).abs() for j in range(W)]
    sigma = (pl.concat_arr(away).arr.median() * MAD_TO_SIGMA).clip(lower_bound=SIGMA_FLOOR)
    extent = v.rolling_max(STUCK_N + 1) - v.rolling_min(STUCK_N + 1)
    table = (
        frame.lazy()
        .sort("series", maintain_order=True)
        .with_columns(pl.when(v.is_between(LO, HI)).then(v).alias("x"))
        .with_columns(
            x.rolling_median(W, center=True).over("series").alias("middle"),
            (extent < TOLERANCE).over("series").fill_null(value=False).alias("stuck"),
        )
        .with_columns(((x - middle).abs() > N_SIGMAS * sigma).fill_null(value=False).alias("outlier"))
        .filter(x.is_not_null() & ~pl.col("outlier") & ~pl.col("stuck"))
        .group_by("series", (pl.col("t") // (PERIOD_S * NS) * PERIOD_S).alias("start_s"))
        .agg(
            v.len().alias("n"), v.mean().alias("mean"), v.min().alias("min"), v.max().alias("max"),
            v.std().alias("std"), *(v.quantile(p / 100, "linear").alias(f"p{p}") for p in (10, 50, 90)),
        )
        .sort("series", "start_s")
        .collect()
    )  # fmt: skip
    ints = [table[name].to_numpy().astype(np.int64) for name in ("series", "start_s", "n")]
    return Answer(*ints, *(_floats(table[name]) for name in Answer._fields[3:]))  # type: ignore[call-arg]


def _floats(column: pl.Series) -> np.ndarray:
    return column.fill_null(float("nan")).to_numpy()
