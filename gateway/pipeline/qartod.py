"""The QARTOD tests as pure functions over whole series, as `ioos_qc.qartod` 3.0 defines them; flags out.

Missing values are NaN, missing times the lowest int64 (NaT), times int64 ns UTC. A missing value is flagged MISSING by
every test of values. Thresholds of None (or 0, for spikes) switch that level off. The gateway's own stages are in
`quality.py`; they never wait for a whole series, and differ where their docstrings say so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from gateway.block import F8, I8, U1, Flag
from gateway.pipeline.kernels import BLOCK
from gateway.pipeline.rolling import flat, starts, trailing_count, trailing_deviation, trailing_extent

NS = 1_000_000_000
NO_TIME = np.iinfo(np.int64).min
Span = tuple[float, float]


def _good(x: npt.NDArray[np.float64] | I8) -> U1:
    return np.full(len(x), Flag.GOOD, np.uint8)


def gross_range(x: F8, fail_span: Span, suspect_span: Span | None = None) -> U1:
    """Flag values outside the fail span FAIL, outside the suspect span SUSPECT; all four ends belong to the spans.

    Raises ValueError when the suspect span reaches outside the fail span.
    """
    flag = _good(x)
    lo, hi = sorted(fail_span)
    low, high = sorted(suspect_span or fail_span)
    if low < lo or high > hi:
        raise ValueError(f"suspect span {suspect_span} reaches outside fail span {fail_span}")
    odd = (~((x >= low) & (x <= high))).nonzero()[0]
    y = x[odd]
    flag[odd] = np.where((y < lo) | (y > hi), np.uint8(Flag.FAIL), np.uint8(Flag.SUSPECT))
    flag[odd[np.isnan(y)]] = Flag.MISSING
    return flag


def spike_height(x: F8, method: Literal["average", "differential"]) -> F8:
    """Return how far each value of x [n] or [n, c] stands out from its two neighbours; NaN where one is missing.

    average: |x[i] - (x[i-1] + x[i+1]) / 2|, which the neighbours of a great spike share. differential: the smaller one
    of the two steps, if they go in opposite directions, else 0. The first and the last value have none.
    """
    out = np.full(x.shape, np.nan)
    if len(x) < 3:
        return out
    before, here, after = x[:-2], x[1:-1], x[2:]
    if method == "average":
        out[1:-1] = np.abs(here - (before + after) / 2)
    elif method == "differential":
        step = x[1:] - x[:-1]
        size = np.abs(step)
        height = np.minimum(size[:-1], size[1:], out=out[1:-1])
        height *= step[:-1] * step[1:] < 0
    else:
        raise ValueError(f"there is no method {method!r}: average, differential")
    return out


def spike(
    x: F8,
    suspect: float | None = None,
    fail: float | None = None,
    method: Literal["average", "differential"] = "average",
) -> U1:
    """Flag values that stand out from both neighbours by more than a threshold (strictly); see `spike_height`.

    The first and last value, and those beside a missing one, are NOT_EVALUATED.
    """
    flag = np.empty(len(x), np.uint8)
    for first in range(0, len(x), BLOCK):
        low = max(first - 1, 0)
        part = _spike(x[low : first + BLOCK + 1], suspect, fail, method)
        flag[first : first + BLOCK] = part[first - low : first - low + BLOCK]
    return flag


def _spike(x: F8, suspect: float | None, fail: float | None, method: Literal["average", "differential"]) -> U1:
    """Flag one block; its first and last value are judged with the next one."""
    gone = ~np.isfinite(x)
    height = spike_height(np.where(gone, np.nan, x) if gone.any() else x, method)
    flag = _good(x)
    for threshold, level in ((suspect, Flag.SUSPECT), (fail, Flag.FAIL)):
        if threshold:
            np.maximum(flag, (height > threshold).view(np.uint8) * np.uint8(level), out=flag)
    if gone.any() or len(x) < 3:
        flag[np.isnan(height)] = Flag.NOT_EVALUATED
        flag[gone] = Flag.MISSING
    else:
        flag[[0, -1]] = Flag.NOT_EVALUATED
    return flag


def rate_of_change(x: F8, t: I8, threshold: float, fail: float | None = None) -> U1:
    """Flag values that differ from the one before by more than a threshold per second (strictly).

    The first value is good, and so is one behind a missing value: across a gap there is no rate.
    """
    flag = _good(x)
    rate = np.zeros(len(x))
    with np.errstate(invalid="ignore", divide="ignore"):
        rate[1:] = np.abs(np.diff(x)) / (np.diff(t) / NS)
    flag[rate > threshold] = Flag.SUSPECT
    if fail is not None:
        flag[rate > fail] = Flag.FAIL
    flag[~np.isfinite(x)] = Flag.MISSING
    return flag


def _interval_s(t: I8) -> float:
    """Return the median step of time; in whole seconds, rounded down, as the rule has it, unless it is below one."""
    median_s = float(np.median(np.diff(t))) / NS
    return float(int(median_s)) if median_s >= 1 else median_s


def flat_line(x: F8, t: I8, suspect_s: float, fail_s: float, tolerance: float = 0.0) -> U1:
    """Flag values that, with the n rows before them, stay within the tolerance: max - min < tolerance (strictly).

    n = int(threshold / median step of time). A tolerance of 0 never fires. Fewer than three values, and the first n,
    are good. Missing values do not break a run: what is left of the n + 1 rows is looked at.
    """
    flag = _good(x)
    if len(x) < 3:
        return flag
    interval_s = _interval_s(t)
    gone = ~np.isfinite(x)
    y = np.where(gone, np.nan, x) if gone.any() else x
    for threshold_s, level in ((suspect_s, Flag.SUSPECT), (fail_s, Flag.FAIL)):
        if interval_s > 0:
            flag[flat(y, int(int(threshold_s) / interval_s), tolerance)] = level
    flag[gone] = Flag.MISSING
    return flag


def attenuated_signal(
    x: F8,
    t: I8,
    suspect: float,
    fail: float,
    *,
    check: Literal["std", "range"] = "std",
    period_s: float | None = None,
    min_obs: int | None = None,
    min_period_s: float | None = None,
) -> U1:
    """Flag values where the signal has become too quiet: standard deviation (divisor n) or range below a threshold.

    Over the whole series, or with `period_s` over the trailing window (t - period, t]. Windows with fewer values than
    `min_obs` (or than `min_period_s` holds at the median step; default 1) are NOT_EVALUATED, and with `range` also
    those with a missing value.
    """
    y = np.where(np.isfinite(x), x, np.nan)
    if check not in ("std", "range"):
        raise ValueError(f"there is no check {check!r}: std, range")
    if period_s:
        start = starts(t, round(period_s * NS))
        least = 1 if min_period_s is None else int(min_period_s / _interval_s(t))
        count = trailing_count(y, start)
        quiet = trailing_deviation(y, start) if check == "std" else trailing_extent(y, start)
        quiet[count < max(1, least if min_obs is None else min_obs)] = np.nan
        if check == "range":
            quiet[count < np.arange(len(y)) - start + 1] = np.nan
    else:
        there = y[~np.isnan(y)]
        one = np.nan if not len(there) else np.std(there) if check == "std" else np.ptp(there)
        quiet = np.full(len(y), one)
    flag = np.full(len(y), Flag.NOT_EVALUATED, np.uint8)
    flag[quiet >= suspect] = Flag.GOOD
    flag[quiet < suspect] = Flag.SUSPECT
    flag[quiet < fail] = Flag.FAIL
    flag[np.isnan(y)] = Flag.MISSING
    return flag


# -- of times, of lines and of flags -----------------------------------------------------------------------------


def time_gap(t: I8, fail_h: float = 2.0) -> U1:
    """Flag times that follow on the one before after more than `fail_h` hours FAIL; the first is as the second.

    A missing time is MISSING, and the one behind it NOT_EVALUATED.
    """
    there = t != NO_TIME
    flag = np.where(there, Flag.GOOD, Flag.MISSING).astype(np.uint8)
    if len(t) < 2:
        return flag
    both = there[1:] & there[:-1]
    later = np.where(both, t[1:] - np.where(there[:-1], t[:-1], 0), 0)
    flag[1:][both & (later > int(fail_h * 3600) * NS)] = Flag.FAIL
    flag[1:][there[1:] & ~there[:-1]] = Flag.NOT_EVALUATED
    flag[0] = Flag.NOT_EVALUATED if there[0] and not there[1] else flag[1]
    return flag


def data_reception(t: I8, from_ns: int, fail_h: float = 6.0) -> U1:
    """Flag times that lie more than `fail_h` hours before `from_ns` FAIL; what is newer than that is good."""
    flag = np.where(t == NO_TIME, Flag.MISSING, Flag.GOOD).astype(np.uint8)
    flag[(t != NO_TIME) & (t < from_ns - int(fail_h * 3600) * NS)] = Flag.FAIL
    return flag


def percentile_range(x: F8, low: float = 5.0, high: float = 95.0, pad: float = 0.0) -> U1:
    """Flag values below the low or above the high percentile (linear) of the series, by more than `pad`, SUSPECT.

    It flags the lowest and the highest value of any series: no test for a gateway.
    """
    flag = _good(x)
    there = ~np.isnan(x)
    if there.any():
        lo, hi = np.percentile(x[there], [low, high])
        flag[(x < lo - pad) | (x > hi + pad)] = Flag.SUSPECT
    flag[~there] = Flag.MISSING
    return flag


def syntax(lines: Sequence[str], n: float, unit: str = "char", delimiter: str | None = None) -> U1:
    """Flag lines that do not have n characters (or hex bytes, or parts between delimiters) FAIL."""
    unit = unit.strip().lower()
    if unit not in ("char", "byte"):
        raise ValueError(f"a line is counted in char or byte, not in {unit!r}")
    out = _good(np.empty(len(lines)))
    for i, line in enumerate(lines):
        odd = unit == "byte" and len(line) % 2 != 0
        length = len(line.split(delimiter)) if delimiter else len(line) / (2 if unit == "byte" else 1)
        out[i] = Flag.FAIL if odd or length != n else Flag.GOOD
    return out


def worse(a: U1, b: U1) -> U1:
    """Combine two verdicts by the precedence 9, 2, 1, 3, 4 (low to high); of two equal ones the first stays."""
    return np.where(RANK[a] >= RANK[b], a, b).astype(np.uint8)


RANK = np.zeros(10, np.uint8)
RANK[[Flag.NOT_EVALUATED, Flag.GOOD, Flag.SUSPECT, Flag.FAIL]] = (1, 2, 3, 4)
RANK.setflags(write=False)


def aggregate(verdicts: Sequence[U1]) -> U1:
    """Combine the verdicts of several tests on the same values: the worst of 3 and 4, else 1, else 2, else 9.

    Raises ValueError when they differ in length.
    """
    if len({verdict.shape for verdict in verdicts}) != 1:
        raise ValueError("verdicts differ in length")
    out = np.full(len(verdicts[0]), Flag.MISSING, np.uint8)
    for verdict in verdicts:
        out = worse(out, verdict)
    return out


def flag_counts(flag: U1) -> dict[int, int]:
    """Count flags, in their order; those that do not occur are left out."""
    return dict(sorted(Counter(flag.tolist()).items()))
