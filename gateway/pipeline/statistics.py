"""Statistics of windows: one kernel over many series and windows at once, used live and in replay alike.

Samples stand series by series (window by window) in one flat array; `counts` says how many belong to each segment.
A segment's result depends on its own samples alone, bit for bit, whatever stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from drivers.base import Kind
from gateway.block import F8, I8, MOMENTS

PADDED = 1 << 18  # samples sorted at once: 2 MB stay in the cache of the processor
STANDING_M_S = 1e-3  # slower than this nothing drives, and 1/v would outweigh all other speeds
COLUMN = {name: i for i, name in enumerate(MOMENTS)}


def summarise(x: F8, counts: I8, kinds: Sequence[str], weight_s: F8, at_s: F8) -> F8:
    """Summarise the usable samples x [n] of k segments, in the order of MOMENTS: f8[k, m], NaN where nothing is.

    `weight_s` [n] is the time that each sample stands for, `at_s` [n] when it was taken, from the window's start.
    The statistics of a SPEED are of its magnitude. LEVEL: `energy` is the mean of 10^(L/10), weighted by duration.
    ANGLE: `sin` and `cos` are means over the unit circle. SPEED: `inverse` is the sum of 1/v over the `moving` ones.
    """
    out = np.full((len(counts), len(MOMENTS)), np.nan)
    out[:, [COLUMN["sum"], COLUMN["dur_s"]]] = 0.0
    some = np.flatnonzero(counts)
    if not len(some):
        return out
    n = counts[some]
    starts = np.concatenate([[0], np.cumsum(n)[:-1]])
    kind = np.array([str(kinds[i]) for i in some.tolist()])
    magnitude = np.repeat(kind == Kind.SPEED, n)
    x = np.where(magnitude, np.abs(x), x)
    total = np.add.reduceat(x, starts)
    mean = total / n
    columns = {
        "mean": mean,
        "m2": np.add.reduceat((x - np.repeat(mean, n)) ** 2, starts),
        "min": np.minimum.reduceat(x, starts),
        "max": np.maximum.reduceat(x, starts),
        "sum": total,
        "dur_s": np.add.reduceat(weight_s, starts),
        "first_s": np.minimum.reduceat(at_s, starts),
        "last_s": np.maximum.reduceat(at_s, starts),
    }
    for name, values in columns.items():
        out[some, COLUMN[name]] = values
    _of_kind(out, some, kind, x, n, weight_s)
    return out


def _of_kind(out: F8, some: I8, kind: npt.NDArray[np.str_], x: F8, n: I8, weight_s: F8) -> None:
    """Fill in what only levels, angles and speeds have."""
    for which in (Kind.LEVEL, Kind.ANGLE, Kind.SPEED):
        of = kind == which
        if not of.any():
            continue
        mine = np.repeat(of, n)
        y, w, m = x[mine], weight_s[mine], n[of]
        starts = np.concatenate([[0], np.cumsum(m)[:-1]])
        if which is Kind.LEVEL:
            weights = np.add.reduceat(w, starts)
            out[some[of], COLUMN["energy"]] = np.add.reduceat(w * 10.0 ** (y / 10.0), starts) / weights
        elif which is Kind.ANGLE:
            out[some[of], COLUMN["sin"]] = np.add.reduceat(np.sin(np.radians(y)), starts) / m
            out[some[of], COLUMN["cos"]] = np.add.reduceat(np.cos(np.radians(y)), starts) / m
        else:
            moving = y > STANDING_M_S
            slowness = np.divide(1.0, y, out=np.zeros_like(y), where=moving)
            out[some[of], COLUMN["inverse"]] = np.add.reduceat(slowness, starts)
            out[some[of], COLUMN["moving"]] = np.add.reduceat(moving.astype(np.float64), starts)


def percentiles(x: F8, counts: I8, p: Sequence[float]) -> F8:
    """Return percentiles p (0 to 100) of k segments: f8[k, len(p)], NaN for an empty one.

    Method: linear interpolation between the order statistics at rank (n - 1) * p / 100 (Hyndman and Fan type 7).
    """
    out = np.full((len(counts), len(p)), np.nan)
    share = np.array(p, np.float64) / 100.0
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    by_size = np.argsort(counts, kind="stable")
    by_size = by_size[counts[by_size] > 0]
    at = 0
    while at < len(by_size):
        width = int(counts[by_size[at]])
        last = int(np.searchsorted(counts[by_size], width + max(width // 8, 4), side="right"))
        rows = by_size[at : min(last, at + max(1, PADDED // (width + max(width // 8, 4))))]
        out[rows] = _sorted_percentiles(x, starts[rows], counts[rows], share)
        at += len(rows)
    return out


def _sorted_percentiles(x: F8, starts: I8, counts: I8, share: F8) -> F8:
    """Sort some segments of about one size side by side, padded at the end, and read the ranks off."""
    width = int(counts.max())
    place = starts[:, None] + np.arange(width)
    inside = np.arange(width) < counts[:, None]
    rows = np.where(inside, x[np.minimum(place, len(x) - 1)], np.inf)
    rows.sort(axis=1)
    rank = (counts[:, None] - 1) * share
    low = np.floor(rank).astype(np.int64)
    high = np.minimum(low + 1, counts[:, None] - 1)
    below, above = np.take_along_axis(rows, low, axis=1), np.take_along_axis(rows, high, axis=1)
    found: F8 = below + (above - below) * (rank - low)
    return found


def rank_percentile(x: F8, p: float) -> float:
    """Return the value at rank trunc(n * p / 100), counted from 1 and never interpolated; NaN where there is none.

    So v85 is found in traffic engineering: of 125 speeds the 106th. Source: TxDOT, Procedures for Establishing Speed
    Zones.
    """
    rank = int(len(x) * p / 100.0)
    return float(np.sort(x)[max(rank, 1) - 1]) if len(x) else float("nan")
