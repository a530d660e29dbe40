"""Statistics of a longer span from those of its parts, without the samples."""

from __future__ import annotations

import numpy as np

from gateway.block import F8


def combine_moments(moments: F8, n: F8, shift_s: F8) -> F8:
    """Combine moments [m, k, 13] of m windows, with n [m, k] usable values each, into [k, 13].

    `shift_s` [m] is when each of them starts, from the start of the whole. Extremes and times come out as from all
    samples at once; what is summed (mean, m2, sum, energy, sin, cos, inverse) within 1e-12 of it.
    """
    mean, m2, low, high, energy, total, dur_s, sin, cos, inverse, moving, first_s, last_s = np.moveaxis(moments, 2, 0)
    out = np.full(moments.shape[1:], np.nan)
    some = n.sum(axis=0) > 0
    all_n = np.where(some, n.sum(axis=0), 1.0)
    mean0 = np.where(n > 0, mean, 0.0)
    out[:, 0] = np.where(some, (n * mean0).sum(axis=0) / all_n, np.nan)
    off = np.where(n > 0, mean0 - out[:, 0], 0.0)
    out[:, 1] = np.where(some, (np.where(n > 0, m2, 0.0) + n * off**2).sum(axis=0), np.nan)
    out[:, 2] = np.where(some, np.where(n > 0, low, np.inf).min(axis=0), np.nan)
    out[:, 3] = np.where(some, np.where(n > 0, high, -np.inf).max(axis=0), np.nan)
    weight = np.where(np.isnan(energy), 0.0, dur_s)
    has = weight.sum(axis=0) > 0
    power = np.where(np.isnan(energy), 0.0, energy * np.nan_to_num(dur_s)).sum(axis=0)
    out[:, 4] = np.where(has, power / np.where(has, weight.sum(axis=0), 1.0), np.nan)
    out[:, 5] = np.nansum(total, axis=0)
    out[:, 6] = np.nansum(dur_s, axis=0)
    for column, of in ((7, sin), (8, cos)):
        known = np.where(np.isnan(of), 0.0, n)
        all_known = known.sum(axis=0)
        summed = (known * np.nan_to_num(of)).sum(axis=0)
        out[:, column] = np.where(all_known > 0, summed / np.where(all_known > 0, all_known, 1.0), np.nan)
    for column, of in ((9, inverse), (10, moving)):
        out[:, column] = np.where(np.isnan(of).all(axis=0), np.nan, np.nansum(of, axis=0))
    out[:, 11] = np.where(some, np.where(n > 0, first_s + shift_s[:, None], np.inf).min(axis=0), np.nan)
    out[:, 12] = np.where(some, np.where(n > 0, last_s + shift_s[:, None], -np.inf).max(axis=0), np.nan)
    return out
