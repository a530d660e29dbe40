"""The commit: bytes to storage and time for one closed minute of five sensors, against a row per series."""

from __future__ import annotations

import os
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from gateway.commit import Committer, Terms
from gateway.core import Core
from gateway.health import written_bytes
from gateway.outbox import Outbox, SavedState
from gateway.pipeline.fields import columns
from gateway.pipeline.windows import NS

N = 60


def measure() -> dict[str, float]:
    """Commit an hour of minutes durably; the peer writes the same fields as one row per series."""
    with tempfile.TemporaryDirectory(prefix="lamppost-bench-", dir=Path.cwd()) as folder:
        windows = _minute()
        outbox = Outbox(Path(folder) / "gateway.db")
        committer = Committer(outbox, Terms("bench", "bench", (), 0.75, 35.0))
        core = Core({}, 60, 2.0)
        state = SavedState("", 1, 0, os.urandom(6000))
        times, before = [], written_bytes()
        for i in range(N):
            start = time.perf_counter()
            committer.write([_at(windows, i)], state, i * 60 * NS, core)
            times.append(time.perf_counter() - start)
        ours = written_bytes() - before
        before = written_bytes()
        _rows(Path(folder) / "rows.db", windows)
        rows = written_bytes() - before
        outbox.close()
    return {
        "kb_per_commit": round(ours / N / 1e3, 1),
        "ms_per_commit": round(statistics.median(times) * 1e3, 2),
        "kb_per_minute_row_per_series": round(rows / N / 1e3, 1),
        "ratio": round(rows / ours, 2),
    }


def _minute() -> object:
    from bench.sample import minute

    return minute()


def _at(windows: object, i: int) -> object:
    from dataclasses import replace

    return replace(windows, start_ns=i * 60 * NS)  # type: ignore[type-var]


def _rows(path: Path, windows: object) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE point (start_ns INTEGER, series TEXT, fields TEXT, sent INTEGER DEFAULT 0)")
    fields = columns(windows, 0.75)  # type: ignore[arg-type]
    for i in range(N):
        for k, series in enumerate(windows.series):  # type: ignore[attr-defined]
            row = str({name: column[k] for name, column in fields.items()})
            db.execute("INSERT INTO point (start_ns, series, fields) VALUES (?, ?, ?)", (i, "|".join(series), row))
    db.close()
