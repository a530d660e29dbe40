"""The core against its peers: the same job on the same rows, each in a process of its own, in one run.

Figures are CPU seconds (all threads of the process) and peak memory above what the rows take, medians of some rounds in
which every way has its turn. The answers are compared with ours, to 1e-9 relative, before any ratio is made.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench import live
from bench.peers import by_lamppost, task

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".venv" / "peers" / "bin" / "python"  # pandas and the others stay out of the gateway's own environment
ROWS, ROUNDS = 10_000_000, 3
QUICK_ROWS, QUICK_ROUNDS = 1_000_000, 1
RELATIVE, STD_ABSOLUTE = 1e-9, 1e-12  # the standard deviation of equal values is rounding, not a figure
WAYS = ("rows", "columns", "clean", "tests", "plain", "pandas", "pandas-numpy", "polars", "duckdb", "ioos-qc")


class Line(NamedTuple):
    """A ratio of two ways that is held against a target; 0 is none."""

    name: str
    ours: str
    peer: str
    target: float
    of: str = "cpu_s"


LINES = (
    Line("pandas, rows", "rows", "pandas", 25.0),
    Line("pandas, columns", "columns", "pandas", 45.0),
    Line("pandas+numpy, rows", "rows", "pandas-numpy", 0.0),
    Line("pandas+numpy, columns", "columns", "pandas-numpy", 0.0),
    Line("polars, rows", "rows", "polars", 8.0),
    Line("plain Python, rows", "rows", "plain", 25.0),
    Line("DuckDB, windows only", "clean", "duckdb", 2.5),
    Line("ioos-qc, tests only", "tests", "ioos-qc", 50.0),
    Line("memory of pandas", "rows", "pandas", 15.0, "extra_mb"),
)
LIVE_TARGETS = {"1 Hz": 0.2, "10 Hz": 0.3, "100 Hz": 1.5}  # CPU seconds for an hour of 24 series


def measure(*, quick: bool = False) -> dict[str, Any]:
    """Run all ways in turn, compare their answers, and print and return what they took."""
    rows, rounds = (QUICK_ROWS, QUICK_ROUNDS) if quick else (ROWS, ROUNDS)
    with tempfile.TemporaryDirectory(prefix="lamppost-bench-", dir=memory()) as name:
        folder = Path(name)
        made = task.make(rows)
        task.save(folder, "rows", made)
        task.save(folder, "clean", by_lamppost.cleaned(made))
        del made
        took = _rounds(folder, rounds)
        check(folder)
    ways = {way: _median(of) for way, of in took.items()}
    ratios = {line.name: round(ways[line.peer][line.of] / ways[line.ours][line.of], 2) for line in LINES}
    alive = live.measure()
    figures = {
        "rows": rows,
        "rounds": rounds,
        "load": Path("/proc/loadavg").read_text().split()[0],
        "processor": _processor(),
        "versions": {way: took[way][0]["version"] for way in took},
        "ways": ways,
        "ratios": ratios,
        "live_cpu_s_per_hour": alive,
        "met": {line.name: ratios[line.name] >= line.target for line in LINES if line.target}
        | {f"live {hz}": alive[live.KERNELS][hz] <= most for hz, most in LIVE_TARGETS.items()},
    }
    print(table(figures))
    return figures


def memory() -> Path | None:
    """Return a place for the rows that is no disk, if there is room for them."""
    shm = Path("/dev/shm")
    if not shm.is_dir():
        return None
    room = os.statvfs(shm)
    return shm if room.f_bavail * room.f_frsize > 1 << 30 else None


def _rounds(folder: Path, rounds: int) -> dict[str, list[dict[str, Any]]]:
    took: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    python = str(PEERS if PEERS.exists() else sys.executable)
    for _ in range(rounds):
        for way in WAYS:
            command = [python, "-m", "bench.peers", way, str(folder)]
            out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            took[way].append(json.loads(out.stdout))
            print(f"{way:22} {took[way][-1]['cpu_s']:8.2f} s {took[way][-1]['extra_mb']:7.0f} MB", flush=True)
    return took


def _median(of: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    cpu_s = statistics.median(one["cpu_s"] for one in of)
    extra_mb = statistics.median(one["extra_mb"] for one in of)
    rate = round(of[0]["rows"] / cpu_s / 1e6, 3)
    return {"cpu_s": round(cpu_s, 4), "million_rows_per_cpu_s": rate, "extra_mb": round(extra_mb, 1)}


def check(folder: Path) -> None:
    """Compare the answers; raise AssertionError where one differs from ours."""
    ours = _answer(folder, "rows")
    for way in WAYS:
        if way in ("tests", "ioos-qc"):
            continue
        for field, mine, theirs in zip(task.Answer._fields, ours, _answer(folder, way), strict=True):
            least = STD_ABSOLUTE if field == "std" else 0.0
            np.testing.assert_allclose(
                theirs, mine, rtol=RELATIVE, atol=least, equal_nan=True, err_msg=f"{way}: {field}"
            )
    mine, theirs = (np.load(folder / f"answer_{way}.npz")["flags"] for way in ("tests", "ioos-qc"))
    np.testing.assert_array_equal(theirs, mine, err_msg="ioos-qc: flags")


def _answer(folder: Path, way: str) -> task.Answer:
    with np.load(folder / f"answer_{way}.npz") as kept:
        return task.Answer(**{field: kept[field] for field in task.Answer._fields})


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def table(figures: Mapping[str, Any]) -> str:
    """Write the figures down for a narrow screen."""
    out = [f"{'times less than':22}{'ours':>7}{'target':>8}"]
    out += [_row(line.name, figures["ratios"][line.name], line.target, more=True) for line in LINES]
    out.append(f"{'live, CPU s/h, 24 series':22}")
    for hz, most in LIVE_TARGETS.items():
        out.append(_row(hz, figures["live_cpu_s_per_hour"][live.KERNELS][hz], most, more=False))
    return "\n".join(out)


def _row(name: str, value: float, target: float, *, more: bool) -> str:
    if not target:
        return f"{name:22}{value:7.1f}{'':>8}"
    met = value >= target if more else value <= target
    return f"{name:22}{value:7.{1 if more else 2}f}{target:8.1f} {'pass' if met else 'FAIL'}"
