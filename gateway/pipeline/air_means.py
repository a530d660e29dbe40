"""Means of air over hours and days, each with the data that it needs to be one.

Hourly means stand in arrays along the last axis, oldest first, one for every hour, NaN where the hour is missing or not
valid. A mean without enough of them is NaN. Nothing is rounded here: a rule that wants figures rounded says so itself.

Source: Directive 2008/50/EC Annex VII A.2 and Annex XI; of the United States 40 CFR 50 Appendix U.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.block import F8

SHARE = 0.75  # of what a mean is made of must be there
SAME = 1e-9  # what a product of decimal fractions may be off


class Validity(NamedTuple):
    """How much of what it is made of a mean must have: `least` of `of`, and who says so."""

    least: int
    of: int
    unit: str
    source: str


ANNEX = "Directive 2008/50/EC Annex VII A.2, Annex XI: 75 %"
VALIDITY: Mapping[str, Validity] = MappingProxyType(
    {
        "hour": Validity(45, 60, "min", ANNEX),
        "eight_hours": Validity(6, 8, "h", ANNEX),
        "max_daily_eight_hours": Validity(18, 24, "running means", ANNEX),
        "day": Validity(18, 24, "h", ANNEX),
    }
)
# Shares of a year: what of the hours or days of a year must be there for its mean to count.
YEAR_SHARE: Mapping[str, float] = MappingProxyType(
    {
        "2008": 0.90,  # Directive 2008/50/EC Annex I and XI: capture, without calibration and maintenance
        "2024": 0.85,  # Directive (EU) 2024/2881 Annex V: coverage of fixed measurements
        "2024_indicative_year": 0.13,  # the same: indicative measurements, annual means
        "2024_indicative_short": 0.50,  # the same: indicative measurements, hours and days
    }
)


def without_codes(values: F8, codes: Iterable[float]) -> F8:
    """Return the values with every missing code (-200, -999, 65535 ...) as NaN: before any mean, never after."""
    x = np.asarray(values, np.float64)
    return np.where(np.isin(x, list(codes)), np.nan, x)


def least_of(n: float, share: float = SHARE) -> int:
    """Return how many of `n` make at least that share: a whole number, rounded up."""
    return math.ceil(n * share - SAME)


def hour_mean_min_samples(period_s: float, min_fraction: float = SHARE) -> int:
    """Return how many samples, one every `period_s`, an hour must have to have a mean."""
    return least_of(3600.0 / period_s, min_fraction)


def hour_valid(valid_minutes: F8 | float) -> npt.NDArray[np.bool_]:
    """Tell whether minutes with data make an hour: 45 of 60."""
    return np.asarray(np.asarray(valid_minutes) >= VALIDITY["hour"].least)


def eight_hour_valid(valid_hours: F8 | float) -> npt.NDArray[np.bool_]:
    """Tell whether hours with data make an 8-hour mean: 6 of 8."""
    return np.asarray(np.asarray(valid_hours) >= VALIDITY["eight_hours"].least)


def day_valid(valid_hours: F8 | float) -> npt.NDArray[np.bool_]:
    """Tell whether hours with data make a day: 18 of 24."""
    return np.asarray(np.asarray(valid_hours) >= VALIDITY["day"].least)


def mean_of(values: F8, least: int) -> F8:
    """Return the mean of what is there along the last axis; NaN where that is fewer than `least`, or nothing."""
    x = np.asarray(values, np.float64)
    there = ~np.isnan(x)
    n = there.sum(axis=-1)
    total = np.where(there, x, 0.0).sum(axis=-1)
    return np.asarray(np.where(n >= max(least, 1), total / np.maximum(n, 1), np.nan))


def running_mean(hourly: F8, hours: int, least: int) -> F8:
    """Return for each hour the mean of the `hours` hours that end with it; those before the first are missing."""
    x = np.asarray(hourly, np.float64)
    before = np.full((*x.shape[:-1], hours - 1), np.nan)
    whole = np.concatenate([before, x], axis=-1)
    return mean_of(np.lib.stride_tricks.sliding_window_view(whole, hours, axis=-1), least)


def eight_hour_means(hourly: F8) -> F8:
    """Return for each hour the mean of the 8 hours that end with it; 6 of them must be there."""
    return running_mean(hourly, 8, VALIDITY["eight_hours"].least)


def daily_mean(hourly: F8) -> F8:
    """Return the mean of the hours of one day; three quarters must be there: 18 of 24, 18 of 23, 19 of 25."""
    x = np.asarray(hourly, np.float64)
    return mean_of(x, least_of(x.shape[-1]))


def max_daily_eight_hours(hourly: F8) -> F8:
    """Return the largest 8-hour mean of a day; a mean belongs to the day on which it ends.

    `hourly` is the last 7 hours of the day before and then those of the day: the first mean is that of 17:00 to 01:00,
    the last that of 16:00 to 24:00. Three quarters of them must be there: 18 of 24.
    """
    means = eight_hour_means(hourly)[..., 7:]
    return _largest(means, least_of(means.shape[-1]))


def us_max_daily_eight_hours(hourly: F8) -> F8:
    """Return the largest 8-hour mean of a day as the United States count: by the hour in which a mean starts.

    `hourly` is the 24 hours of the day and the first 7 of the next: 17 means, from 7:00 to 15:00 on; 13 must be there.
    """
    means = eight_hour_means(hourly)[..., 7:][..., 7:24]
    return _largest(means, least_of(means.shape[-1]))


def _largest(means: F8, least: int) -> F8:
    there = ~np.isnan(means)
    largest = np.where(there, means, -np.inf).max(axis=-1, initial=-np.inf)
    return np.asarray(np.where(there.sum(axis=-1) >= max(least, 1), largest, np.nan))
