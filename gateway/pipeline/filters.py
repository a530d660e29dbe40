"""Filters: the well-known ones as pure functions, with what happens at the ends of a series said for each.

None of them is applied to what is published as measured: a filtered value stands in a channel of its own.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from gateway.block import F8, I8
from gateway.pipeline.kernels import outliers
from gateway.pipeline.rolling import centred_median, trailing_median

Mask = npt.NDArray[np.bool_]

MAD_TO_SIGMA = 1.4826  # of a normal distribution: 1 / Phi^-1(3/4)
TINY = 1e-18  # what decays below it no longer changes a double


def hampel(x: F8, k: int, n_sigmas: float | F8 = 3.0, sigma_floor: float | F8 = 0.0) -> Mask:
    """Tell which values of x [n] or [n, c] are outliers among their k neighbours on either side.

    `n_sigmas` and `sigma_floor` may differ by channel [c].
    With m the median of x[i-k..i+k] and s = 1.4826 * median(|x - m|): |x[i] - m| > n_sigmas * max(s, sigma_floor).
    Strictly greater. Medians are of the values as given, never of replaced ones. The first and last k values, and those
    with a NaN in their window, are no outliers. A floor of 0 makes any deviation among equal values an outlier: use the
    resolution of the sensor. Source: Davies and Gather 1993; the definition of MATLAB's and pracma's `hampel`.
    """
    if k == 3 and len(x) > 2 * k and np.min(n_sigmas) >= 1:
        ends = np.zeros((k, *x.shape[1:]), np.bool_)
        return np.concatenate([ends, outliers(x, n_sigmas, sigma_floor), ends])
    if x.ndim == 2:
        sigmas, floors = (np.broadcast_to(of, x.shape[1]).tolist() for of in (n_sigmas, sigma_floor))
        columns = zip(np.ascontiguousarray(x.T), sigmas, floors, strict=True)
        return np.stack([hampel(column, k, sigma, floor) for column, sigma, floor in columns], axis=1)
    out = np.zeros(len(x), np.bool_)
    if k > 0 and len(x) > 2 * k:
        out[k:-k] = _outliers(np.ascontiguousarray(x), k, float(n_sigmas), float(sigma_floor))[0]
    return out


def hampel_filter(x: F8, k: int, n_sigmas: float = 3.0, sigma_floor: float = 0.0) -> tuple[F8, Mask]:
    """Return x [n] with the outliers that `hampel` finds replaced by the median of their window, and which they are."""
    filtered, outlier = x.copy(), np.zeros(len(x), np.bool_)
    if k > 0 and len(x) > 2 * k:
        inner, middle = _outliers(np.ascontiguousarray(x), k, n_sigmas, sigma_floor)
        outlier[k:-k] = inner
        np.copyto(filtered[k:-k], middle, where=inner)
    return filtered, outlier


def _outliers(x: F8, k: int, n_sigmas: float, sigma_floor: float) -> tuple[Mask, F8]:
    """Judge the values that have k neighbours on either side; return also the medians."""
    if k == 3 and n_sigmas >= 1:
        median = np.empty(len(x) - 2 * k)
        return outliers(x, n_sigmas, sigma_floor, median), median
    with np.errstate(invalid="ignore"):
        middle, spread = centred_median(x, k)
        np.multiply(spread, MAD_TO_SIGMA, out=spread)
        np.maximum(spread, sigma_floor, out=spread)
        np.multiply(spread, n_sigmas, out=spread)
        off = np.subtract(x[k : len(x) - k], middle)
        np.abs(off, out=off)
        return off > spread, middle


def hampel_truncated(x: F8, k: int, n_sigmas: float = 3.0, sigma_floor: float = 0.0) -> tuple[F8, Mask]:
    """As `hampel_filter`, but the windows of the first and last k values end where the series does (MATLAB)."""
    filtered, outlier = hampel_filter(x, k, n_sigmas, sigma_floor)
    ends = {*range(min(k, len(x))), *range(max(len(x) - k, 0), len(x))}
    for i in sorted(ends):
        window = x[max(i - k, 0) : i + k + 1]
        middle = float(np.median(window))
        sigma = max(MAD_TO_SIGMA * float(np.median(np.abs(window - middle))), sigma_floor)
        if abs(x[i] - middle) > n_sigmas * sigma:
            filtered[i], outlier[i] = middle, True
    return filtered, outlier


def median_filter(x: F8, n: int) -> F8:
    """Return the median of n values around each one, n odd; beyond the ends stand zeros, as in scipy's `medfilt`."""
    if n < 1 or n % 2 == 0:
        raise ValueError(f"a window of {n} has no middle: use an odd number")
    return trailing_median(np.pad(x, n // 2), n)


def running_median(x: F8, n: int) -> F8:
    """Return the median of each value and the n - 1 before it; NaN until there are n, and with a NaN among them."""
    out = np.full(len(x), np.nan)
    if n % 2:
        out[n - 1 :] = trailing_median(x, n)
    elif len(x) >= n:
        out[n - 1 :] = np.median(np.lib.stride_tricks.sliding_window_view(x, n), axis=1)
    return out


def ewma_alpha(dt_s: float, tau_s: float) -> float:
    """Return the weight of a new value after dt_s, of a first-order low-pass with the time constant tau_s.

    a = 1 - exp(-dt / tau): exact for a value that holds between samples; to be taken anew for every dt.
    """
    return -math.expm1(-dt_s / tau_s)


def ewma(x: F8, alpha: float) -> F8:
    """Return y[i] = alpha * x[i] + (1 - alpha) * y[i-1], begun with the first value there is.

    A NaN keeps the last y, and the weight of what stands before fades on: after m steps it is (1 - alpha)^m against
    alpha for the new value. Source: pandas `ewm(alpha, adjust=False).mean()`.
    """
    there = np.flatnonzero(~np.isnan(x))
    out = np.full(len(x), np.nan)
    if not len(there):
        return out
    old = (1 - alpha) ** np.diff(there, prepend=there[0]).astype(np.float64)
    weight = alpha / (old + alpha)
    weight[0] = 1.0
    return _held(out, there, _recursive(1 - weight, weight * x[there]))


def ewma_bias_corrected(x: F8, alpha: float) -> F8:
    """Return the mean of all values so far with the weights (1 - alpha)^age, age in rows: pandas `adjust=True`."""
    there = np.flatnonzero(~np.isnan(x))
    out = np.full(len(x), np.nan)
    if not len(there):
        return out
    fade = (1 - alpha) ** np.diff(there, prepend=there[0]).astype(np.float64)
    fade[0] = 0.0
    return _held(out, there, _recursive(fade, x[there]) / _recursive(fade, np.ones(len(there))))


def _held(out: F8, there: I8, y: F8) -> F8:
    """Put y at the rows where values are, and hold it until the next one."""
    steps = np.diff(np.append(there, len(out)))
    out[there[0] :] = np.repeat(y, steps)
    return out


def _recursive(fade: F8, gain: F8) -> F8:
    """Return y[i] = fade[i] * y[i-1] + gain[i], y[-1] = 0, by doubling: as many passes as it takes to fade away."""
    fade, y, step = fade.copy(), gain.copy(), 1
    while step < len(y) and float(np.abs(fade[step:]).max()) > TINY:
        y[step:] += fade[step:] * y[:-step]
        fade[step:] *= fade[:-step].copy()
        step *= 2
    return y


def deadband(x: F8, t: I8, band: float, heartbeat_ns: int, status: I8 | None = None) -> Mask:
    """Tell which of the values x [n] at t [n] to report: those further than `band` from the last one reported.

    Reported are also the first, every change of `status` (a flag, say), and one after `heartbeat_ns` without a report:
    silence is no value. Strictly greater. What is reported so is good to look at; no mean may be made of it.
    Source: OPC UA Part 4, 7.22.2 (absolute deadband against the last reported value).
    """
    out = np.zeros(len(x), np.bool_)
    changed = np.zeros(len(x), np.bool_) if status is None else np.diff(status, prepend=status[:1]) != 0
    changed |= np.diff(np.isnan(x).astype(np.int8), prepend=0) != 0
    i, n = 0, len(x)
    while i < n:  # from report to report, not from value to value
        out[i] = True
        j = i + 1
        while j < n:
            ahead = slice(j, min(j + 256, n))
            due = (np.abs(x[ahead] - x[i]) > band) | changed[ahead] | (t[ahead] - t[i] >= heartbeat_ns)
            if due.any():
                j += int(due.argmax())
                break
            j = ahead.stop
        i = j
    return out
