"""DuckDB: the windows alone, in SQL, of rows that are already clean."""

from __future__ import annotations

import duckdb
import numpy as np

from bench.peers.task import NS, PERIOD_S, Answer, Rows

QUERY = f"""
    SELECT series, t // {PERIOD_S * NS} * {PERIOD_S} AS start_s, count(*) AS n, avg(v) AS mean, min(v) AS min,
        max(v) AS max, stddev_samp(v) AS std, quantile_cont(v, [0.1, 0.5, 0.9]) AS p
    FROM clean GROUP BY ALL
"""
SPREAD = f"SELECT * EXCLUDE p, p[1] AS p10, p[2] AS p50, p[3] AS p90 FROM ({QUERY}) ORDER BY series, start_s"


def prepare(rows: Rows) -> duckdb.DuckDBPyConnection:
    db = duckdb.connect()
    columns = {"t": rows.t, "series": rows.series, "v": rows.v}
    db.execute("CREATE TABLE clean AS SELECT * FROM columns")
    del columns
    return db


def run(db: duckdb.DuckDBPyConnection) -> Answer:
    table = db.execute(SPREAD).fetchnumpy()
    ints = [np.asarray(table[name], np.int64) for name in ("series", "start_s", "n")]
    return Answer(*ints, *(np.ma.filled(table[name], np.nan) for name in Answer._fields[3:]))  # type: ignore[call-arg]
