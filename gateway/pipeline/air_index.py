"""Air quality indices of a station: the European index of 2025, its forerunner of 2017, and the US AQI.

The European index is a level from 1 to 6 for each pollutant, by bands whose upper ends belong to them; that of the
station is the worst of these. It is no number from 0 to 100, and no judgement on compliance. A missing or negative
value has no level. A scheme carries its year: the same 18 ug/m3 of PM2.5 is level 2 by the old bands and 3 by the new.

Sources: ETC HE Report 2024/17 and airindex.eea.europa.eu (2025); European Environment Agency, European Air Quality
Index 2017 to 2024, and by the same bands the Romanian Order 1818/2020 (Monitorul Oficial 962 of 20 October 2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from gateway.block import F8
from gateway.pipeline.air_means import least_of, mean_of
from gateway.pipeline.air_units import EU, ugm3_to_ppb
from gateway.pipeline.air_us_aqi import PPB_OF_UNIT, TABLES, nowcast_pm, us_aqi, us_aqi_o3, us_aqi_so2
from gateway.pipeline.air_us_aqi import SOURCE as US_SOURCE

HOURS = 24  # what an hour's index looks back at, itself included
PARTICLES = ("pm2_5", "pm10")
STATIONS = ("traffic", "background", "specific")


class Level(NamedTuple):
    """What a level is called, in English and in Romanian, and its colour."""

    english: str
    romanian: str
    colour: str


LEVELS = (
    Level("Good", "Bun", "#50F0E6"),
    Level("Fair", "Acceptabil", "#50CCAA"),
    Level("Moderate", "Moderat", "#F0E641"),
    Level("Poor", "Rau", "#FF5050"),
    Level("Very poor", "Foarte rau", "#960032"),
    Level("Extremely poor", "Extrem de rau", "#7D2181"),
)


@dataclass(frozen=True, slots=True)
class Scheme:
    """A version of the European index: the upper ends of levels 1 to 5, ug/m3, and over how many hours a value goes."""

    version: str
    source: str
    bands: Mapping[str, tuple[float, float, float, float, float]]
    hours: Mapping[str, int]

    def sub_index(self, pollutant: str, value_ugm3: F8 | float) -> F8:
        """Return the level of values of this scheme's averaging time, 1 to 6; NaN where there is none."""
        x = np.asarray(value_ugm3, np.float64)
        level = 1.0 + np.searchsorted(self.bands[pollutant], x, side="left")
        return np.asarray(np.where(x >= 0, level, np.nan))

    def sub_indices(self, hourly: Mapping[str, F8]) -> dict[str, F8]:
        """Return the level of each pollutant at the last of its hourly means (oldest first, the last axis), ug/m3."""
        out = {}
        for pollutant in self.bands.keys() & hourly.keys():
            hours = self.hours[pollutant]
            mean = mean_of(np.asarray(hourly[pollutant], np.float64)[..., -hours:], least_of(hours))
            out[pollutant] = self.sub_index(pollutant, mean)
        return {pollutant: out[pollutant] for pollutant in self.bands if pollutant in out}


EAQI_2025 = Scheme(
    "2025",
    "ETC HE Report 2024/17, European Air Quality Index as revised in 2024/25: hourly values",
    MappingProxyType(
        {
            "pm2_5": (5.0, 15.0, 50.0, 90.0, 140.0),
            "pm10": (15.0, 45.0, 120.0, 195.0, 270.0),
            "no2": (10.0, 25.0, 60.0, 100.0, 150.0),
            "o3": (60.0, 100.0, 120.0, 160.0, 180.0),
            "so2": (20.0, 40.0, 125.0, 190.0, 275.0),
        }
    ),
    MappingProxyType({"pm2_5": 1, "pm10": 1, "no2": 1, "o3": 1, "so2": 1}),
)
EAQI_2017 = Scheme(
    "2017",
    "European Air Quality Index 2017 to 2024, Romanian Order 1818/2020: running 24-hour mean of particles",
    MappingProxyType(
        {
            "pm2_5": (10.0, 20.0, 25.0, 50.0, 75.0),
            "pm10": (20.0, 40.0, 50.0, 100.0, 150.0),
            "no2": (40.0, 90.0, 120.0, 230.0, 340.0),
            "o3": (50.0, 100.0, 130.0, 240.0, 380.0),
            "so2": (100.0, 200.0, 350.0, 500.0, 750.0),
        }
    ),
    MappingProxyType({"pm2_5": 24, "pm10": 24, "no2": 1, "o3": 1, "so2": 1}),
)
EAQI: Mapping[str, Scheme] = MappingProxyType({"eaqi_2025": EAQI_2025, "eaqi_2017": EAQI_2017})
US_AQI_2024 = "us_aqi_2024"
SCHEMES = (*EAQI, US_AQI_2024)
POLLUTANTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {name: tuple(scheme.bands) for name, scheme in EAQI.items()}
    | {US_AQI_2024: ("pm2_5", "pm10", "no2", "o3", "so2", "co")}
)


def worst(levels: Mapping[str, F8 | float]) -> F8:
    """Return the worst of the levels that there are, never a mean; NaN where there is none."""
    return np.asarray(np.fmax.reduce([np.asarray(one, np.float64) for one in levels.values()], initial=np.nan))


def station_index(levels: Mapping[str, F8 | float], station: str) -> F8:
    """Return the index that a station may publish; NaN without the least data that it needs.

    `traffic`: NO2, and PM10 or PM2.5; any other: also O3. `specific`: no rule, for the index of one pollutant.
    """
    there = {name: ~np.isnan(np.asarray(levels.get(name, np.nan), np.float64)) for name in (*PARTICLES, "no2", "o3")}
    enough = (there["pm2_5"] | there["pm10"]) & there["no2"]
    if station == "specific":
        enough = np.asarray(True)
    elif station != "traffic":
        enough &= there["o3"]
    return np.asarray(np.where(enough, worst(levels), np.nan))


def us_sub_indices(hourly: Mapping[str, F8]) -> dict[str, F8]:
    """Return the US index of each pollutant as of the last hour: particles by NowCast, gases by their running means.

    Gases in ug/m3 at the European reference are turned back into shares. EPA's hourly ozone uses a regression that
    depends on the site: here it is the larger of the 1-hour and the 8-hour index.
    """

    def of(table: str) -> F8:
        own = TABLES[table]
        ugm3 = np.asarray(hourly[own.pollutant], np.float64)
        mean = mean_of(ugm3[..., -own.hours :], least_of(own.hours))
        return np.asarray(ugm3_to_ppb(own.pollutant, mean, EU) / PPB_OF_UNIT[own.unit])

    out: dict[str, F8] = {}
    for pollutant in (one for one in POLLUTANTS[US_AQI_2024] if one in hourly):
        if pollutant in PARTICLES:
            out[pollutant] = us_aqi(f"{pollutant}_24h", nowcast_pm(hourly[pollutant]))
        elif pollutant == "o3":
            out[pollutant] = us_aqi_o3(of("o3_8h"), of("o3_1h"))
        elif pollutant == "so2":
            out[pollutant] = us_aqi_so2(of("so2_1h"), of("so2_24h"))
        else:
            table = "no2_1h" if pollutant == "no2" else "co_8h"
            out[pollutant] = us_aqi(table, of(table))
    return out


def sub_indices_of(hourly_means: Mapping[str, F8], scheme: str) -> dict[str, F8]:
    """Return the index of each pollutant as of the last hour, by the named scheme."""
    return us_sub_indices(hourly_means) if scheme == US_AQI_2024 else EAQI[scheme].sub_indices(hourly_means)


def index_of(hourly_means: Mapping[str, F8], scheme: str, station: str) -> F8:
    """Return the index of a station as of the last hour; NaN where it has none.

    `hourly_means`: for each pollutant its valid hourly means, ug/m3, oldest first along the last axis, NaN where
    missing; 24 of them, as far as they are known. The US AQI knows no least data of a station.
    """
    station = "specific" if scheme == US_AQI_2024 else station
    return station_index(sub_indices_of(hourly_means, scheme), station)


def source_of(scheme: str) -> str:
    """Say where the bands of a scheme come from."""
    return US_SOURCE if scheme == US_AQI_2024 else EAQI[scheme].source
