"""What the law says of air: limit and target values, information and alert thresholds, as tables with their sources.

All levels in ug/m3, gases at 293 K and 101.3 kPa (`air_units.EU`), particles as they are. A level is exceeded by what
is strictly greater. Rounding to the precision of the limit first is guidance for reports, not part of the law: it is
off unless `decimals` asks for it. What low-cost parts measure is indicative: compliance is judged elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.block import F8
from gateway.pipeline.air_means import SAME

Averaging = Literal["hour", "day", "max_daily_8h", "year"]


class Limit(NamedTuple):
    """A level that must not be exceeded more often than `allowed` times a year; None: not at all."""

    pollutant: str
    averaging: Averaging
    level_ugm3: float
    allowed: int | None
    kind: str = "limit"  # or "target"


class Threshold(NamedTuple):
    """Levels at which the public is informed and alerted; alert counts when exceeded in so many periods in a row."""

    pollutant: str
    averaging: Averaging
    information_ugm3: float | None
    alert_ugm3: float
    in_a_row: int


class Law(NamedTuple):
    """The tables of one directive, and since or until when they bind."""

    source: str
    binds: str
    limits: tuple[Limit, ...]
    thresholds: tuple[Threshold, ...]


EU_2008 = Law(
    "Directive 2008/50/EC Annexes VII, XI, XII and XIV; kept by Directive (EU) 2024/2881 Annex I Table 2",
    "until 2030",
    (
        Limit("pm10", "day", 50.0, 35),
        Limit("pm10", "year", 40.0, None),
        Limit("pm2_5", "year", 25.0, None),
        Limit("no2", "hour", 200.0, 18),
        Limit("no2", "year", 40.0, None),
        Limit("so2", "hour", 350.0, 24),
        Limit("so2", "day", 125.0, 3),
        Limit("co", "max_daily_8h", 10_000.0, None),
        Limit("c6h6", "year", 5.0, None),
        Limit("o3", "max_daily_8h", 120.0, 25, "target"),  # days, mean of three years
    ),
    (
        Threshold("so2", "hour", None, 500.0, 3),
        Threshold("no2", "hour", None, 400.0, 3),
        Threshold("o3", "hour", 180.0, 240.0, 1),
    ),
)
EU_2024 = Law(
    "Directive (EU) 2024/2881 Annex I Tables 1 and 2, Section 4",
    "limits from 1 January 2030; thresholds with the transposition, due on 11 December 2026",
    (
        Limit("pm2_5", "day", 25.0, 18),
        Limit("pm2_5", "year", 10.0, None),
        Limit("pm10", "day", 45.0, 18),
        Limit("pm10", "year", 20.0, None),
        Limit("no2", "hour", 200.0, 3),
        Limit("no2", "day", 50.0, 18),
        Limit("no2", "year", 20.0, None),
        Limit("so2", "hour", 350.0, 3),
        Limit("so2", "day", 50.0, 18),
        Limit("so2", "year", 20.0, None),
        Limit("co", "day", 4_000.0, 18),
        Limit("co", "max_daily_8h", 10_000.0, None),
        Limit("c6h6", "year", 3.4, None),
        Limit("o3", "max_daily_8h", 120.0, 18, "target"),  # days, mean of three years
    ),
    (
        Threshold("so2", "hour", 275.0, 350.0, 3),
        Threshold("no2", "hour", 150.0, 200.0, 3),
        Threshold("pm2_5", "day", 50.0, 50.0, 1),
        Threshold("pm10", "day", 90.0, 90.0, 1),
        Threshold("o3", "hour", 180.0, 240.0, 1),
    ),
)
LAWS: Mapping[str, Law] = MappingProxyType({"eu_2008": EU_2008, "eu_2024": EU_2024})


def limit_value(pollutant: str, averaging: str, law: Law) -> Limit | None:
    """Return what a law says of a pollutant over an averaging time, or None where it says nothing."""
    return next((one for one in law.limits if (one.pollutant, one.averaging) == (pollutant, averaging)), None)


def alert_information(pollutant: str, law: Law = EU_2024) -> Threshold | None:
    """Return the levels at which the public is informed and alerted, or None where there are none."""
    return next((one for one in law.thresholds if one.pollutant == pollutant), None)


def exceeded(values: F8 | float, level: float, decimals: int | None = None) -> npt.NDArray[np.bool_]:
    """Tell which values are strictly greater than a level; what is missing exceeds nothing.

    With `decimals` values are first rounded half up to so many, as guidance for reports wants it.
    """
    x = np.asarray(values, np.float64)
    if decimals is not None:
        x = np.floor(x * 10.0**decimals + 0.5 + SAME) / 10.0**decimals
    return np.asarray(x > level)


def pm10_daily_exceedance_2008(daily_mean: F8 | float) -> npt.NDArray[np.bool_]:
    """Tell whether a day counts against the 35 that Directive 2008/50/EC allows for PM10."""
    return exceeded(daily_mean, 50.0)


def exceedances(means: F8, limit: Limit, decimals: int | None = None) -> int:
    """Count how often means of the limit's own averaging time were above it."""
    return int(exceeded(means, limit.level_ugm3, decimals).sum())


def alerts(means: F8, threshold: Threshold) -> npt.NDArray[np.bool_]:
    """Tell at the end of which periods an alert holds: so many in a row were above the level, none of them missing."""
    above = exceeded(means, threshold.alert_ugm3)
    n = threshold.in_a_row
    padded = np.concatenate([np.zeros(n - 1, np.bool_), above])
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, n).all(axis=-1))
