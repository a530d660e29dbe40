"""Kernels: what the innermost functions take for a value, on a long column and on a minute of 1 Hz."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from gateway.pipeline.filters import hampel
from gateway.pipeline.quality import gross_range
from gateway.pipeline.rolling import flat
from gateway.pipeline.statistics import percentiles, summarise

LONG, MINUTE = 1 << 20, 60
REPEATS, LEAST_S = 7, 0.02


def measure() -> dict[str, float]:
    """Return ns per value on a column of a million, and us per call on a column of a minute; the least of some."""
    out = {}
    for name, n in (("ns_per_value", LONG), ("us_per_minute", MINUTE)):
        scale = 1e9 / LONG if n == LONG else 1e6
        out |= {f"{kernel}_{name}": round(_least(run) * scale, 2) for kernel, run in _kernels(n).items()}
    return out


def _kernels(n: int) -> dict[str, Callable[[], object]]:
    x = np.round(np.random.default_rng(1).normal(20.0, 1.5, n), 1)
    counts = np.full(max(n // 60, 1), 60)
    y, weight_s = x[: counts.sum()], np.ones(int(counts.sum()))
    return {
        "range": lambda: gross_range(x, 0.0, 500.0, 0.0, 500.0),
        "hampel": lambda: hampel(x, 3, 3.0, 0.1),
        "flat": lambda: flat(x, 60, 0.05),
        "summarise": lambda: summarise(y, counts, "scalar", weight_s),
        "percentiles": lambda: percentiles(y, counts, (10.0, 50.0, 90.0)),
    }


def _least(run: Callable[[], object]) -> float:
    """Return the seconds of one call: the least is what it takes where nobody else is at work."""
    times = []
    for _ in range(REPEATS):
        calls, start = 0, time.process_time()
        while time.process_time() - start < LEAST_S:
            run()
            calls += 1
        times.append((time.process_time() - start) / calls)
    return min(times)
