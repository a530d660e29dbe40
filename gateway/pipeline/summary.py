"""What a report says of some values: how much of the data is there, their spread, percentiles, means by period."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from gateway.block import F8, I8
from gateway.pipeline.periods import tumbling_start

# The methods that reports name: nine of Hyndman and Fan (1996) and four older ones, as numpy calls them.
Method = Literal[
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull",
    "linear", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest",
]  # fmt: skip


class Spread(NamedTuple):
    """Standard deviation of the values (n), of what they are a sample of (n - 1), and of their mean; NaN if too few."""

    std_ddof0: float
    std_ddof1: float
    sem: float


class Means(NamedTuple):
    """Means of the periods that have a value: their starts, means, and how many values are in each."""

    start: I8
    mean: F8
    n: I8


def data_capture(valid: int, expected: int) -> float:
    """Return the share of the expected values that are there and valid, at most 1; NaN when none was expected."""
    return min(valid / expected, 1.0) if expected > 0 else float("nan")


def spread(values: F8) -> Spread:
    """Return the spread of the values that are not NaN.

    sem = s / sqrt(n) with s by n - 1: too small where values depend on their neighbours in time.
    """
    x = values[~np.isnan(values)]
    n = len(x)
    whole = float(x.std()) if n else float("nan")
    sample = float(x.std(ddof=1)) if n > 1 else float("nan")
    return Spread(whole, sample, sample / float(np.sqrt(n)) if n > 1 else float("nan"))


def percentile(values: F8, p: float, method: Method = "linear") -> float:
    """Return the p-th percentile (0 to 100) of the values that are not NaN; NaN of none. Name the method with it."""
    x = values[~np.isnan(values)]
    return float(np.percentile(x, p, method=method)) if len(x) else float("nan")


def means(t: I8, values: F8, period: int) -> Means:
    """Return the mean of the values that are not NaN in each tumbling period that has one.

    The mean of these means is not the mean of the values where the periods do not have equally many.
    """
    fit = ~np.isnan(values)
    start, place = np.unique(tumbling_start(t[fit], period), return_inverse=True)
    n = np.bincount(place, minlength=len(start)).astype(np.int64)
    return Means(start, np.bincount(place, values[fit], minlength=len(start)) / np.maximum(n, 1), n)
