"""`python -m bench.peers WAY FOLDER`: do the job one way, in this process; print what it took, keep the answer.

The rows are made ready in the form that the peer likes best before the clock starts. CPU is that of all threads of the
process; memory is the peak of the resident set above what it was when the clock started.
"""

from __future__ import annotations

import gc
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from bench.peers import task

ENOUGH_S = 2.5  # of CPU: what takes less is done again, up to five times, and the median counts


class Way(NamedTuple):
    module: str
    run: str = "run"
    rows: str = "rows"  # or clean
    prepare: str = "prepare"
    version_of: str = ""


WAYS: Mapping[str, Way] = MappingProxyType(
    {
        "rows": Way("by_lamppost", version_of="numpy"),
        "columns": Way("by_lamppost", "run_columns", prepare="prepare_columns", version_of="numpy"),
        "clean": Way("by_lamppost", "run_clean", "clean", version_of="numpy"),
        "tests": Way("by_tests", "ours", prepare="prepare_columns", version_of="numpy"),
        "plain": Way("by_plain"),
        "pandas": Way("by_pandas", version_of="pandas"),
        "pandas-numpy": Way("by_pandas", "run_numpy", version_of="pandas"),
        "polars": Way("by_polars", version_of="polars"),
        "duckdb": Way("by_duckdb", rows="clean", version_of="duckdb"),
        "ioos-qc": Way("by_tests", "ioos", prepare="prepare_columns", version_of="ioos_qc"),
    }
)


def main(name: str, folder: Path) -> None:
    way = WAYS[name]
    module = importlib.import_module(f"bench.peers.{way.module}")
    run: Callable[[Any], Any] = getattr(module, way.run)
    rows = task.load(folder, way.rows)
    n = len(rows.t)
    ready = getattr(module, way.prepare)(rows)
    del rows
    gc.collect()
    before_kb = _from_now_on()
    answer, took = None, list[float]()
    while not took or (sum(took) < ENOUGH_S and len(took) < 5):
        answer = None
        start = time.process_time()
        answer = run(ready)
        took.append(time.process_time() - start)
    extra_mb = (_status_kb("VmHWM") - before_kb) / 1e3
    version = importlib.import_module(way.version_of).__version__ if way.version_of else sys.version.split()[0]
    _keep(folder / f"answer_{name}.npz", answer)
    print(json.dumps({"cpu_s": statistics.median(took), "extra_mb": extra_mb, "rows": n, "version": version}))


def _keep(path: Path, answer: Any) -> None:
    if isinstance(answer, task.Answer):
        np.savez(path, **answer._asdict())
    else:
        np.savez(path, flags=answer)


def _from_now_on() -> int:
    """Forget the peak so far, and return what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status_kb("VmRSS")


def _status_kb(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
