"""Kernels: range, flat line and windows over columns, against the same rules in plain Python, in one run."""

from __future__ import annotations

import statistics
import time
from collections import deque

import numpy as np

from drivers.base import Channel
from gateway.block import Block, Slots
from gateway.pipeline.quality import FlatLineTest, RangeTest
from gateway.pipeline.windows import NS, SensorSpec, add, close

ROWS = 36_000  # ten hours at 1 Hz
STUCK_N = 60
REPEATS = 5


def measure() -> dict[str, float]:
    """Return rows per second of both, and their ratio, for one channel in 60 s blocks."""
    v = np.random.default_rng(1).normal(20.0, 3.0, ROWS)
    ours = statistics.median(_time(_columns, v) for _ in range(REPEATS))
    plain = statistics.median(_time(_plain, v) for _ in range(REPEATS))
    return {
        "numpy_rows_per_s": round(ROWS / ours),
        "plain_python_rows_per_s": round(ROWS / plain),
        "ratio": round(plain / ours, 2),
        "numpy_us_per_60_row_block": round(ours / (ROWS / 60) * 1e6, 1),
    }


def _time(run: object, v: np.ndarray) -> float:
    start = time.perf_counter()
    run(v)  # type: ignore[operator]
    return time.perf_counter() - start


def _columns(v: np.ndarray) -> list[float]:
    spec = SensorSpec("bench", "air", tuple(Channel(f"c{i}", "1") for i in range(8)), NS)
    lo, hi = np.full(8, 0.0), np.full(8, 100.0)
    stages = (RangeTest(lo, hi, lo, hi), FlatLineTest((STUCK_N,) * 8, (0,) * 8, (0.01,) * 8))
    states = [stage.initial() for stage in stages]
    windows = spec.initial()
    out = []
    for i in range(0, ROWS // 8, 60):
        t = np.arange(i, i + 60, dtype=np.int64) * NS
        values = np.ascontiguousarray(np.repeat(v[i : i + 60, None], 8, axis=1))
        ones = np.ones((60, 8), np.uint8)
        block = Block(t, values, ones, ones.astype(np.uint16) * 0, np.ones(60), int(t[-1]))
        for k, stage in enumerate(stages):
            states[k], block = stage.step(states[k], block)
        windows = add(windows, block, Slots(t, np.zeros(60, np.uint8)), 0)
        windows, closed = close(spec, windows, int(t[0]), 60)
        out.append(float(closed.moments[0, 0]))
    return out


def _plain(v: np.ndarray) -> list[float]:
    """The same rules, value by value: eight channels, range, flat line, mean, deviation, extremes."""
    out = []
    tails: list[deque[float]] = [deque(maxlen=STUCK_N + 1) for _ in range(8)]
    values = v.tolist()
    for i in range(0, ROWS // 8, 60):
        for tail in tails:
            window = []
            for x in values[i : i + 60]:
                good = 0.0 <= x <= 100.0
                tail.append(x)
                stuck = len(tail) > STUCK_N and max(tail) - min(tail) < 0.01
                if good and not stuck:
                    window.append(x)
            mean = sum(window) / len(window)
            m2 = sum((x - mean) ** 2 for x in window)
            out.append((mean, m2, min(window), max(window))[0])
    return out
