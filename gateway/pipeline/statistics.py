"""Statistics of windows: one kernel over many series and windows at once, used live and in replay alike.

Samples stand series by series (window by window) in one flat array; `counts` says how many belong to each segment.
A segment's result depends on its own samples alone, bit for bit, whatever stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from drivers.base import Kind
from gateway.block import F8, I8, MOMENTS, U1

PADDED = 1 << 16  # samples sorted at once: half a megabyte stays in the cache of the processor
STANDING_M_S = 1e-3  # slower than this nothing drives, and 1/v would outweigh all other speeds
COLUMN = {name: i for i, name in enumerate(MOMENTS)}
OWN = (Kind.LEVEL, Kind.ANGLE, Kind.SPEED)  # kinds with statistics of their own
CODES: Mapping[str, int] = MappingProxyType({kind: OWN.index(kind) + 1 if kind in OWN else 0 for kind in Kind})


def summarise(
    x: F8,
    counts: I8,
    kinds: Sequence[str] | str,
    weight_s: F8,
    at_s: F8 | None = None,
    extremes: tuple[F8, F8] | None = None,
) -> F8:
    """Summarise the usable samples x [n] of k segments, in the order of MOMENTS: f8[k, m], NaN where nothing is.

    `weight_s` [n] is the time that each sample stands for, `at_s` [n] when it was taken, from the window's start.
    The statistics of a SPEED are of its magnitude. LEVEL: `energy` is the mean of 10^(L/10), weighted by duration.
    ANGLE: `sin` and `cos` are means over the unit circle. SPEED: `inverse` is the sum of 1/v over the `moving` ones.
    `extremes` are least and greatest of each segment [k] where they are known, as percentiles 0 and 100.
    """
    out = np.full((len(counts), len(MOMENTS)), np.nan)
    out[:, [COLUMN["sum"], COLUMN["dur_s"]]] = 0.0
    some = np.flatnonzero(counts)
    if not len(some):
        return out
    n = counts[some]
    starts = np.cumsum(n) - n
    code = _codes(kinds, len(counts))[some]
    speed = code == CODES[Kind.SPEED]
    if speed.any():
        x = np.where(np.repeat(speed, n), np.abs(x), x)
    total = np.add.reduceat(x, starts)
    mean = total / n
    off = x - np.repeat(mean, n)
    off *= off
    columns = {
        "mean": mean,
        "m2": np.add.reduceat(off, starts),
        "min": np.minimum.reduceat(x, starts) if extremes is None else extremes[0][some],
        "max": np.maximum.reduceat(x, starts) if extremes is None else extremes[1][some],
        "sum": total,
        "dur_s": np.add.reduceat(weight_s, starts),
    }
    if at_s is not None:
        columns |= {"first_s": np.minimum.reduceat(at_s, starts), "last_s": np.maximum.reduceat(at_s, starts)}
    for name, values in columns.items():
        out[some, COLUMN[name]] = values
    if code.any():
        _of_kind(out, some, code, x, n, weight_s)
    return out


def _codes(kinds: Sequence[str] | str, k: int) -> U1:
    """Return the kind of each of k segments as a number."""
    if isinstance(kinds, str):
        return np.full(k, CODES[kinds], np.uint8)
    return np.fromiter(map(CODES.__getitem__, kinds), np.uint8, k)


def _of_kind(out: F8, some: I8, code: U1, x: F8, n: I8, weight_s: F8) -> None:
    """Fill in what only levels, angles and speeds have."""
    for which in OWN:
        of = code == CODES[which]
        if not of.any():
            continue
        mine = slice(None) if of.all() else np.repeat(of, n)
        y, w, m = x[mine], weight_s[mine], n[of]
        starts = np.cumsum(m) - m
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
    if not len(x):
        return out
    share = np.array(p, np.float64) / 100.0
    ends = np.cumsum(counts)
    width = max(int(counts.max()), 1)
    if 2 * len(x) >= width * len(counts):  # about one size: as they stand
        at_once = max(PADDED // width, 1)
        for a in range(0, len(counts), at_once):
            own = counts[a : a + at_once]
            end = int(ends[a + len(own) - 1])
            out[a : a + len(own)] = _sorted_percentiles(x[end - int(own.sum()) : end], own, share)
        return out
    by_size = np.argsort(counts, kind="stable")
    at = int(np.searchsorted(counts, 0, side="right", sorter=by_size))
    while at < len(by_size):
        width = int(counts[by_size[at]])
        most = width + max(width // 8, 4)
        last = int(np.searchsorted(counts, most, side="right", sorter=by_size))
        rows = by_size[at : min(last, at + max(1, PADDED // most))]
        parts = [x[end - n : end] for n, end in zip(counts[rows].tolist(), ends[rows].tolist(), strict=True)]
        out[rows] = _sorted_percentiles(np.concatenate(parts), counts[rows], share)
        at += len(rows)
    return out


def _sorted_percentiles(x: F8, counts: I8, share: F8) -> F8:
    """Sort segments of about one size side by side, padded at the end, and read the ranks off."""
    width = max(int(counts.max()), 1)
    if len(x) == width * len(counts):
        rows = x.reshape(-1, width).copy()
    else:
        rows = np.full((len(counts), width), np.inf)
        rows[np.arange(width, dtype=np.int32) < counts.astype(np.int32)[:, None]] = x
    rows.sort(axis=1)
    if not counts.all():
        rows[counts == 0] = np.nan
    top = np.maximum(counts - 1, 0)[:, None]
    rank = top * share
    low = rank.astype(np.int64)
    high = np.minimum(low + 1, top)
    flat, first = rows.ravel(), np.arange(0, rows.size, width)[:, None]
    below = flat[first + low]
    found: F8 = below + (flat[first + high] - below) * (rank - low)
    return found


def ranks(n: int, p: Sequence[float]) -> I8:
    """Return the ranks trunc(n * p / 100) of n values, counted here from 0 and never below it."""
    return np.maximum(np.trunc(n * np.array(p, np.float64) / 100.0).astype(np.int64), 1) - 1


def rank_percentile(x: F8, p: float) -> float:
    """Return the value at rank trunc(n * p / 100), counted from 1 and never interpolated; NaN where there is none.

    So v85 is found in traffic engineering: of 125 speeds the 106th. Source: TxDOT, Procedures for Establishing Speed
    Zones.
    """
    return float(np.sort(x)[ranks(len(x), [p])[0]]) if len(x) else float("nan")
