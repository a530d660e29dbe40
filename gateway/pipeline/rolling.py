"""Rolling windows: medians, extents and deviations of every window of a series, without a loop over readings.

Medians of 3, 5 and 7 go through a sorting network of elementwise minima and maxima, block by block so that the passes
stay in the processor's cache; on whole years that is ten times faster than sorting each window.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from gateway.block import F8, I8
from gateway.pipeline.kernels import BLOCK, Mask, steady, stretches

# Comparators (low, high) after which the middle element is the median. Source: N. Devillard, Fast median search (1998).
NETWORKS = MappingProxyType({
    3: ((0, 1), (1, 2), (0, 1)),
    5: ((0, 1), (3, 4), (0, 3), (1, 4), (1, 2), (2, 3), (1, 2)),
    7: (
        (0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6), (2, 3), (3, 6), (4, 5), (1, 4), (1, 3), (3, 4),
    ),
})  # fmt: skip


def median_of(rows: F8) -> F8:
    """Return the median of each column of rows [w, m], w odd; overwrites `rows`. A NaN in a column gives NaN."""
    w = len(rows)
    network = NETWORKS.get(w)
    middle: F8
    if network is None:
        middle = np.median(rows, axis=0)
        return middle
    lanes, spare = list(rows), np.empty_like(rows[0])
    for low, high in network:
        np.minimum(lanes[low], lanes[high], out=spare)
        np.maximum(lanes[low], lanes[high], out=lanes[high])
        lanes[low], spare = spare, lanes[low]
    middle = lanes[w // 2]
    return middle


def centred_median(x: F8, k: int) -> tuple[F8, F8]:
    """Return the median of the windows i-k..i+k of x [n], and the median absolute deviation from it.

    Both are [n - 2k], for the rows that have k neighbours on either side; NaN where a NaN stands in the window.
    """
    w, n = 2 * k + 1, max(len(x) - 2 * k, 0)
    middle, spread = np.empty(n), np.empty(n)
    rows = np.empty((w, min(n, BLOCK)))
    for first in range(0, n, BLOCK):
        m = min(BLOCK, n - first)
        some = rows[:, :m]
        for j in range(w):
            some[j] = x[first + j : first + j + m]
        centre = middle[first : first + m]
        centre[:] = median_of(some)
        for j in range(w):
            np.subtract(x[first + j : first + j + m], centre, out=some[j])
        np.abs(some, out=some)
        spread[first : first + m] = median_of(some)
    return middle, spread


def trailing_median(x: F8, n: int) -> F8:
    """Return the median of each value of x and the n - 1 before it, n odd: [len(x) - n + 1]."""
    m = max(len(x) - n + 1, 0)
    out = np.empty(m)
    for first in range(0, m, BLOCK):
        size = min(BLOCK, m - first)
        out[first : first + size] = median_of(np.stack([x[first + j : first + j + size] for j in range(n)]))
    return out


def sliding(x: F8, w: int, take: np.ufunc) -> F8:
    """Return the minimum or maximum (`take`) of each window of w values: [len(x) - w + 1]. Doubling: log2(w) passes."""
    out, width = x, 1
    while width < w:
        step = min(width, w - width)
        out = take(out[:-step], out[step:])
        width += step
    return out


def starts(t: I8, period_ns: int) -> I8:
    """Return for each row the first row of the trailing window (t - period, t]: rows that are younger than that."""
    return np.searchsorted(t, t - period_ns, side="right").astype(np.int64)


def trailing_extreme(x: F8, start: I8, take: np.ufunc) -> F8:
    """Return the minimum or maximum (`take`) of x over rows start[i]..i, for windows of any length."""
    n = len(x)
    last = np.arange(n)
    length = last - start + 1
    level = np.frexp(length.astype(np.float64))[1] - 1  # two overlapping windows of 2**level rows cover a window
    out, table = np.empty(n), x
    for power in range(int(level.max(initial=-1)) + 1):
        rows = np.flatnonzero(level == power)
        out[rows] = take(table[start[rows]], table[rows - (1 << power) + 1])
        if len(table) > 1 << power:
            table = take(table[: -(1 << power)], table[1 << power :])
    return out


def trailing_extent(x: F8, start: I8) -> F8:
    """Return max - min of x over rows start[i]..i, NaN passed over; -inf where a window holds nothing else."""
    gone = np.isnan(x)
    high = trailing_extreme(np.where(gone, -np.inf, x), start, np.maximum)
    low = trailing_extreme(np.where(gone, np.inf, x), start, np.minimum)
    return high - low


def trailing_deviation(x: F8, start: I8) -> F8:
    """Return the standard deviation (divisor n) of x over rows start[i]..i, NaN passed over; NaN for none at all.

    A window is put together from stretches of 1, 2, 4 ... rows, so what stands outside it leaves no trace.
    """
    there = ~np.isnan(x)
    stretch = np.stack([there.astype(np.float64), np.where(there, x, 0.0), np.zeros(len(x))])
    window = np.zeros((3, len(x)))
    at, length = start.copy(), np.arange(len(x)) - start + 1
    for power in range(int(length.max(initial=0)).bit_length()):
        rows = np.flatnonzero(length >> power & 1)
        window[:, rows] = _merged(window[:, rows], stretch[:, at[rows]])
        at[rows] += 1 << power
        if stretch.shape[1] > 1 << power:
            stretch = _merged(stretch[:, : -(1 << power)], stretch[:, 1 << power :])
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation: F8 = np.sqrt(window[2] / window[0])
    return deviation


def _merged(a: F8, b: F8) -> F8:
    """Put two sets of values together: f8[3, n], their number, mean and sum of squares about it."""
    n = a[0] + b[0]
    share = b[0] / np.maximum(n, 1.0)
    apart = b[1] - a[1]
    return np.stack([n, a[1] + apart * share, a[2] + b[2] + apart * apart * a[0] * share])


def trailing_count(x: F8, start: I8) -> I8:
    """Return how many values of x over rows start[i]..i are there."""
    total = np.concatenate([[0], np.cumsum(~np.isnan(x))])
    counts: I8 = (total[1:] - total[start]).astype(np.int64)
    return counts


def flat(x: F8, n: int, tolerance: float) -> Mask:
    """Tell for each value of x whether it and the n rows before it stay within the tolerance: max - min < tolerance.

    NaN are passed over: they neither break a run nor are flat themselves. The first n values are never flat. The time
    taken grows with the length of x, and hardly with n; of a lively series hardly a value is looked at.
    """
    out = np.zeros(len(x), np.bool_)
    if n < 1 or len(x) <= n:
        return ~np.isnan(x) & (tolerance > 0.0) if n == 0 else out
    cells = steady(x, n, tolerance)
    h = (n + 1) // 2
    if len(cells) * (n - h + 1) * (n + 1) <= max(len(x), BLOCK):  # few: one by one
        ends = (cells[:, None] + np.arange(h, n + 1)).ravel()
        ends = ends[(ends >= n) & (ends < len(x))]
        runs = x[ends[:, None] - np.arange(n + 1)]
        extent = np.fmax.reduce(runs, axis=1) - np.fmin.reduce(runs, axis=1)
        out[ends[(extent < tolerance) & ~np.isnan(runs[:, 0])]] = True
        return out
    size = max(BLOCK, 4 * n)
    for start, end in stretches(cells, n, len(x)):
        for first in range(start + n, end, size):
            rows = x[first - n : min(first + size, end)]
            gone = np.isnan(rows)
            high, low = (np.where(gone, limit, rows) for limit in (-np.inf, np.inf)) if gone.any() else (rows, rows)
            extent = sliding(high, n + 1, np.maximum) - sliding(low, n + 1, np.minimum)
            out[first : first + len(extent)] = (extent < tolerance) & ~gone[n:]
    return out
