"""The US Air Quality Index of 2024, and the NowCast by which it is told every hour.

A concentration is truncated to the precision of its table, then the index is interpolated and rounded half up:
I = (Ihi - Ilo) / (BPhi - BPlo) * (C - BPlo) + Ilo. It is done in whole steps of the table: no fraction of the binary
system decides which way a half goes. Ozone is the larger of its 8-hour and 1-hour index; sulphur dioxide above 304 ppb
goes by the 24-hour mean. Missing or negative concentrations have no index.

Source: US EPA, EPA-454/B-24-002 (May 2024), and 40 CFR 58 Appendix G as of 6 May 2024.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from gateway.block import F8
from gateway.pipeline.air_means import SAME, daily_mean, eight_hour_means, least_of

SOURCE = "US EPA EPA-454/B-24-002 (May 2024), 40 CFR 58 Appendix G"
BANDS = ((0, 50), (51, 100), (101, 150), (151, 200), (201, 300), (301, 400), (401, 500))
LABELS = (
    "Good", "Moderate", "Unhealthy for Sensitive Groups", "Unhealthy", "Very Unhealthy", "Hazardous", "Hazardous",
)  # fmt: skip
BEYOND = 500  # no higher index is told, unless "beyond the AQI" is asked for
SO2_FIXED = 200  # of a day whose 1-hour maximum is 305 ppb or more and whose 24-hour mean is not
LARGEST = 1e12  # steps; keeps absurd concentrations within whole numbers


class Table(NamedTuple):
    """The breakpoints of one pollutant over one averaging time, in whole steps of its precision.

    `upper` ends the bands from `first_band` on; below `lowest` there is no index. `above`: the index beyond the last
    band (None: another averaging time must tell).
    """

    pollutant: str
    hours: int
    unit: str
    steps: int  # in one unit
    upper: tuple[int, ...]
    first_band: int = 0
    lowest: int = 0
    above: int | None = BEYOND


TABLES: Mapping[str, Table] = MappingProxyType(
    {
        "pm2_5_24h": Table("pm2_5", 24, "ug/m3", 10, (90, 354, 554, 1254, 2254, 3254, 5004)),
        "pm10_24h": Table("pm10", 24, "ug/m3", 1, (54, 154, 254, 354, 424, 504, 604)),
        "o3_8h": Table("o3", 8, "[ppm]", 1000, (54, 70, 85, 105, 200), above=None),
        "o3_1h": Table("o3", 1, "[ppm]", 1000, (164, 204, 404, 504, 604), first_band=2, lowest=125),
        "co_8h": Table("co", 8, "[ppm]", 10, (44, 94, 124, 154, 304, 404, 504)),
        "so2_1h": Table("so2", 1, "[ppb]", 1, (35, 75, 185, 304), above=SO2_FIXED),
        "so2_24h": Table("so2", 24, "[ppb]", 1, (604, 804, 1004), first_band=4, lowest=305),
        "no2_1h": Table("no2", 1, "[ppb]", 1, (53, 100, 360, 649, 1249, 1649, 2049)),
    }
)
PPB_OF_UNIT: Mapping[str, float] = MappingProxyType({"[ppm]": 1000.0, "[ppb]": 1.0})
SO2_24H_FROM_PPB = TABLES["so2_24h"].lowest


def us_aqi(table: str, concentration: F8 | float, *, beyond: bool = False) -> F8:
    """Return the index of concentrations in the unit of their table; NaN where there is none.

    Above the last band it is 500; `beyond` goes on with the slope of that band ("beyond the AQI").
    """
    own = TABLES[table]
    x = np.asarray(concentration, np.float64)
    there = x >= 0
    c = np.floor(np.minimum(np.where(there, x, 0.0) * own.steps, LARGEST) + SAME * own.steps).astype(np.int64)
    upper = np.array(own.upper, np.int64)
    lower = np.concatenate([[own.lowest], upper[:-1] + 1])
    bands = np.array(BANDS[own.first_band : own.first_band + len(upper)], np.int64)
    i = np.minimum(np.searchsorted(upper, c, side="left"), len(upper) - 1)
    rise, run = bands[i, 1] - bands[i, 0], upper[i] - lower[i]
    index = (bands[i, 0] + (2 * rise * (c - lower[i]) + run) // (2 * run)).astype(np.float64)
    off = c > upper[-1]
    if own.above is None:
        index = np.where(off, np.nan, index)
    elif own.above != BEYOND or not beyond:
        index = np.where(off, float(own.above), index)
    return np.asarray(np.where(there & (c >= own.lowest), index, np.nan))


def us_aqi_o3(eight_hours_ppm: F8 | float, hour_ppm: F8 | float) -> F8:
    """Return the index of ozone: the larger of both, where there are both."""
    return np.fmax(us_aqi("o3_8h", eight_hours_ppm), us_aqi("o3_1h", hour_ppm))


def us_aqi_so2(hour_ppb: F8 | float, day_ppb: F8 | float) -> F8:
    """Return the index of sulphur dioxide from its largest hour and the mean of 24 hours.

    From 305 ppb in an hour on the 24-hour mean tells; while that is below 305 ppb, or missing, it is 200.
    """
    by_hour, by_day = us_aqi("so2_1h", hour_ppb), us_aqi("so2_24h", day_ppb)
    high = np.floor(np.asarray(hour_ppb, np.float64) + SAME) >= SO2_24H_FROM_PPB
    return np.asarray(np.where(high & ~np.isnan(by_day), by_day, by_hour))


def nowcast_pm(hourly: F8) -> F8:
    """Return the NowCast of particles from the last 12 hours, oldest first, along the last axis; not truncated.

    w = 1 - (max - min) / max, at least 0.5; NowCast = sum(w^i c_i) / sum(w^i), i hours ago. A missing hour is passed
    over and keeps its exponent. Of the latest three hours two must be there, else NaN.
    Source: US EPA, AirNow: the NowCast for PM2.5 and PM10.
    """
    c = np.asarray(hourly, np.float64)[..., -12:][..., ::-1]
    there = ~np.isnan(c)
    largest = np.where(there, c, -np.inf).max(axis=-1, initial=-np.inf)
    least = np.where(there, c, np.inf).min(axis=-1, initial=np.inf)
    some = there.any(axis=-1) & (largest > 0)
    ratio = np.where(some, least, 1.0) / np.where(some, largest, 1.0)
    w = np.clip(ratio, 0.5, 1.0)[..., None] ** np.arange(c.shape[-1])
    total = np.where(there, w * np.where(there, c, 0.0), 0.0).sum(axis=-1)
    weight = np.where(there, w, 0.0).sum(axis=-1)
    enough = there[..., :3].sum(axis=-1) >= 2
    return np.asarray(np.where(enough, total / np.where(enough, weight, 1.0), np.nan))


def us_aqi_daily(pollutant: str, hourly: F8) -> F8:
    """Return the index of a day from its 24 hourly means in the unit of the table; NaN with fewer than 18 of them.

    Particles go by the mean, nitrogen dioxide by the largest hour, carbon monoxide by the largest 8-hour mean, ozone
    by both of these, sulphur dioxide by the largest hour and the mean. 8-hour means are those that end in these hours.
    """
    x = np.asarray(hourly, np.float64)
    enough = (~np.isnan(x)).sum(axis=-1) >= least_of(x.shape[-1])
    if pollutant in ("pm2_5", "pm10"):
        return us_aqi(f"{pollutant}_24h", daily_mean(x))
    hour, eight = _largest(x), _largest(eight_hour_means(x))
    if pollutant == "no2":
        index = us_aqi("no2_1h", hour)
    elif pollutant == "co":
        index = us_aqi("co_8h", eight)
    elif pollutant == "o3":
        index = us_aqi_o3(eight, hour)
    else:
        index = us_aqi_so2(hour, daily_mean(x))
    return np.asarray(np.where(enough, index, np.nan))


def _largest(x: F8) -> F8:
    there = ~np.isnan(x)
    return np.asarray(np.where(there.any(axis=-1), np.where(there, x, -np.inf).max(axis=-1), np.nan))


class Told(NamedTuple):
    """An index and the pollutant that makes it."""

    aqi: int
    principal: str


def us_aqi_multi(concentrations: Mapping[str, float]) -> Told | None:
    """Return the largest index of several concentrations, by table, and whose it is; None where there is none.

    Of equal ones the first in the order of TABLES is named.
    """
    nothing = float("nan")
    found: dict[str, float] = {}
    for name, table in TABLES.items():
        if name in concentrations and table.pollutant != "so2":
            index = us_aqi(name, concentrations[name])
            found[table.pollutant] = float(np.fmax(found.get(table.pollutant, nothing), index))
    hour, day = concentrations.get("so2_1h", nothing), concentrations.get("so2_24h", nothing)
    found["so2"] = float(us_aqi("so2_24h", day) if np.isnan(hour) else us_aqi_so2(hour, day))
    known = {pollutant: index for pollutant, index in found.items() if not np.isnan(index)}
    if not known:
        return None
    principal = max(known, key=lambda pollutant: known[pollutant])
    return Told(int(known[principal]), principal)
