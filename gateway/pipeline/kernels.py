"""Kernels: the innermost passes over readings, elementwise and block by block, used live and in replay alike.

A block is 16 k values: what a kernel holds of it at once stays in the second-level cache of the processor.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gateway.block import F8, I8

Mask = npt.NDArray[np.bool_]

BLOCK = 1 << 14  # values
MAD_TO_SIGMA = 1.4826  # of a normal distribution: 1 / Phi^-1(3/4)


def outliers(x: F8, n_sigmas: float | F8, sigma_floor: float | F8, median: F8 | None = None) -> Mask:
    """Tell which of x [n] or [n, c] is an outlier among its three neighbours on either side, along the first axis.

    As `filters.hampel` with k = 3 defines it, decision for decision from `n_sigmas` 1 on, for the values that have
    these neighbours: [n - 6]. The medians of their windows are written to `median` where that is given. `n_sigmas`
    and `sigma_floor` may differ by channel [c].
    """
    out = np.empty((max(len(x) - 6, 0), *x.shape[1:]), np.bool_)
    at_once = max(min(BLOCK // max(x[:1].size, 1), len(out)), 1)
    room = np.empty((10, at_once + 4, *x.shape[1:]))
    for first in range(0, len(out), at_once):
        some = slice(first, min(first + at_once, len(out)))
        value = x[first + 3 : some.stop + 3]
        middle, spread = _centred(x[first : some.stop + 6], value, room[:, : len(value) + 4])
        spread *= MAD_TO_SIGMA
        np.maximum(spread, sigma_floor, out=spread)
        spread *= n_sigmas
        if median is not None:
            median[some] = middle
        away = np.subtract(value, middle, out=middle)
        np.greater(np.abs(away, out=away), spread, out=out[some])
    return out


def _centred(x: F8, value: F8, room: F8) -> tuple[F8, F8]:
    """Return the medians of the seven around each of n values, and those of the deviations from them, both in `room`.

    The three before and the three after are sorted once and serve as either side of two values; the two triples are
    merged, and the value in the middle stays apart. The deviations are those of the others and a zero: the own one is
    left out. Where that makes a difference, the value is no outlier of either. A NaN makes all of them NaN.
    """
    n, (one, two, three, rest) = len(value), room[:4]
    lowest, highest = np.minimum(x[:-2], x[1:-1], out=one), np.maximum(x[:-2], x[1:-1], out=three)
    np.minimum(highest, x[2:], out=rest)
    np.maximum(highest, x[2:], out=three)
    np.maximum(lowest, rest, out=two)
    np.minimum(lowest, rest, out=one)
    a1, a2, a3, b1, b2, b3 = one[:n], two[:n], three[:n], one[4:], two[4:], three[4:]
    p, q, r, s, t, u, v = room[3:, :n]
    first_high, last_low = np.maximum(a1, b1, out=p), np.minimum(a3, b3, out=q)
    third = np.minimum(np.maximum(a2, b1, out=r), np.maximum(a1, b2, out=s), out=r)
    np.minimum(third, last_low, out=third)
    fourth = np.maximum(np.minimum(a2, b3, out=s), np.minimum(a3, b2, out=t), out=s)
    np.maximum(fourth, first_high, out=fourth)
    middle = np.minimum(np.maximum(value, third, out=v), fourth, out=v)
    second = np.minimum(np.minimum(a2, b2, out=t), first_high, out=p)
    fifth = np.maximum(np.maximum(a2, b2, out=t), last_low, out=q)
    near = np.maximum(np.subtract(middle, second, out=p), np.subtract(fifth, middle, out=q), out=p)
    least, most = np.minimum(a1, b1, out=t), np.maximum(a3, b3, out=u)
    far = np.minimum(np.subtract(middle, least, out=t), np.subtract(most, middle, out=u), out=t)
    inner = np.subtract(fourth, third, out=s)
    return middle, np.maximum(inner, np.minimum(near, far, out=p), out=p)


def steady(x: F8, n: int, tolerance: float) -> I8:
    """Return the cells of x that a run of n + 1 values within the tolerance can hold: x[cell] to x[cell + h].

    Such a run holds two neighbours of every h-th value, h = (n + 1) // 2, and all between them: so most of a lively
    series is passed over by looking at one value in h. Of what looks alike only a few values in between are looked at,
    so a cell need not be flat. NaN are within any tolerance. n is at least 1.
    """
    h = (n + 1) // 2
    some = x[::h]
    cells: I8 = (~(np.abs(some[1:] - some[:-1]) >= tolerance)).nonzero()[0] * h
    for at in range(1, h, max(h // 4, 1)):
        if not len(cells):
            break
        cells = cells[~(np.abs(x[cells + at] - x[cells]) >= tolerance)]
    return cells


def stretches(cells: I8, n: int, rows: int) -> list[tuple[int, int]]:
    """Return where the runs of n + 1 of `rows` values lie that hold one of the cells: [first, end), joined."""
    if not len(cells):
        return []
    first, end = np.maximum(cells - n + (n + 1) // 2, 0), np.minimum(cells + n + 1, rows)
    gap = (first[1:] > end[:-1]).nonzero()[0]
    firsts, ends = first[np.concatenate([[0], gap + 1])], end[np.concatenate([gap, [len(end) - 1]])]
    return [(a, b) for a, b in zip(firsts.tolist(), ends.tolist(), strict=True) if b - a > n]
