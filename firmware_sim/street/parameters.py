"""Every number of a street in one place, with its unit and where it comes from; `[street]` of a scenario sets them.

[HBEFA] Handbook Emission Factors for Road Transport 4.2, urban, warm, fleet of 2020, rounded.
[CNOSSOS] Directive (EU) 2015/996, road traffic noise: the differences between classes at 50 km/h, rounded.
[usual] an order of magnitude that is usual for a street of a European town; nobody measured it here.
[C] chosen, so that a day of the street has something to measure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Final, NamedTuple

CAR, VAN, LORRY, BUS, MOTORCYCLE = "car", "van", "lorry", "bus", "motorcycle"


class VehicleClass(NamedTuple):
    """What differs between classes; emissions are relative to a car."""

    length_m: float  # [usual] overall, mean
    length_spread_m: float
    speed: float  # [usual] relative to a car
    louder_db: float  # [CNOSSOS] at the same speed
    nox: float  # [HBEFA]
    primary_no2: float  # [HBEFA] share of NO2 in NOx at the tail pipe
    pm: float  # [HBEFA] exhaust and tyres
    co: float  # [HBEFA]
    co2: float  # [HBEFA]


CLASSES: Final[Mapping[str, VehicleClass]] = MappingProxyType(
    {
        CAR: VehicleClass(4.4, 0.3, 1.0, 0.0, 1.0, 0.25, 1.0, 1.0, 1.0),
        VAN: VehicleClass(5.6, 0.5, 0.97, 1.5, 2.0, 0.30, 2.0, 0.6, 1.3),
        LORRY: VehicleClass(9.5, 1.5, 0.88, 7.0, 6.0, 0.12, 4.0, 1.5, 4.0),
        BUS: VehicleClass(12.0, 0.3, 0.82, 6.0, 7.0, 0.12, 4.0, 1.5, 5.0),
        MOTORCYCLE: VehicleClass(2.1, 0.1, 1.06, 4.0, 0.5, 0.05, 1.0, 5.0, 0.5),
    }
)
NAMES: Final = tuple(CLASSES)


@dataclass(frozen=True, slots=True)
class StreetParameters:
    """A busy two-way street of a town in the west of Romania, in a mild autumn."""

    # -- time -------------------------------------------------------------------------------------------------------
    utc_offset_h: float = 2.0  # h: local time of people; EET, and no summer time on this street

    # -- traffic ----------------------------------------------------------------------------------------------------
    quiet_per_h: float = 300.0  # vehicles/h, both directions, in the dead of night [C]
    busy_per_h: float = 800.0  # vehicles/h in the busiest hour of a weekday [C]
    weekend: float = 0.7  # 1: how busy a weekend is, relative to a weekday [usual]
    towards_share: float = 0.5  # 1: that come towards the radar, in the near lane; 1.0 is a one-way street [C]
    van_share: float = 0.10  # 1, of all vehicles [usual]; cars are what is left
    lorry_share: float = 0.04  # 1 [usual]
    bus_share: float = 0.03  # 1 [usual]
    motorcycle_share: float = 0.03  # 1 [usual]
    speed_m_s: float = 11.5  # m/s: mean of cars; 41 km/h where 50 are allowed [usual]
    speed_spread_m_s: float = 2.5  # m/s: standard deviation of one class [usual]
    gap_s: float = 0.6  # s: least time between two vehicles of one lane, from tail to front [usual]
    light_cycle_s: float = 60.0  # s: cycle of the traffic light before the street [usual]
    green_share: float = 0.4  # 1: green, of the cycle [usual]
    platoon_share: float = 0.0  # 1: of the vehicles that come in the platoon of the green; 0: there is no light

    # -- sound ------------------------------------------------------------------------------------------------------
    background_db: float = 47.0  # dB(A): the town, in the dead of night [C]
    bustle_db: float = 6.0  # dB: by which the town is louder in its busiest hour [C]
    passby_db: float = 62.0  # dB(A) at the lamp post: a car at `speed_m_s`, 6 m away [C]
    passby_spread_db: float = 2.5  # dB [usual]
    passby_slope_db: float = 25.0  # dB for each tenfold speed [CNOSSOS: rolling noise, 30 log v, engines less]
    trams_per_h: float = 0.0  # 1/h by day [C]
    tram_db: float = 78.0  # dB(A) at its nearest [usual]
    sirens_per_day: float = 0.0  # 1/d [C]
    siren_db: float = 95.0  # dB(A) at its nearest [usual: 110 dB at 3 m]
    construction_db: float = 0.0  # dB(A): hammering on weekdays from 8 to 17 h local; 0: there is none
    firework_db: float = 88.0  # dB(A): a bang at strength 1 [usual]

    # -- weather ----------------------------------------------------------------------------------------------------
    mean_degc: float = 13.0  # degC [C]
    day_swing_k: float = 5.0  # K: half of what lies between night and afternoon [usual]
    season_swing_k: float = 0.0  # K: half of what lies between January and July; 0: `mean_degc` all year
    mean_humidity_pct: float = 62.0  # %RH at `mean_degc` [C]
    pressure_pa: float = 100_900.0  # Pa: station pressure [Timisoara, 90 m above the sea]
    wind_m_s: float = 2.5  # m/s: median [usual]
    wind_towards_post: float = 0.5  # 1: how much denser a plume is with the wind from the road [C]

    # -- air --------------------------------------------------------------------------------------------------------
    pm2_5_ug_m3: float = 8.0  # ug/m3, dry: median of the background [C]
    dust_ug_m3: float = 5.0  # ug/m3: PM10 - PM2.5, median [C]
    wood_smoke_ug_m3: float = 6.0  # ug/m3 of PM2.5 on evenings of December to February [C]
    kappa: float = 0.3  # 1: hygroscopicity of urban aerosol [Crilley 2018: 0.3 to 0.4 in Europe]
    density_g_cm3: float = 1.65  # g/cm3 [the usual assumption of optical counters for urban dust]
    no2_ppb: float = 4.0  # ppb: median of the background [C]
    o3_ppb: float = 36.0  # ppb: mean of the background [C]
    o3_swing_ppb: float = 12.0  # ppb: half of what lies between night and afternoon [C]
    photolysis_ppb: float = 15.0  # ppb: J(NO2)/k(NO+O3) at noon, the photostationary ratio [usual: 10 to 20]
    co2_ppm: float = 418.0  # ppm [Mauna Loa, 2022]
    co_ppm: float = 0.15  # ppm [usual]
    hcho_ppb: float = 3.0  # ppb [usual]
    plume_s: float = 15.0  # s after the pass, when the exhaust of a vehicle is densest at the lamp post [C]
    plume_nox_ppb: float = 2.0  # ppb at that moment, of a car, in a wind of `wind_m_s` [C]
    plume_pm_ug_m3: float = 0.08  # ug/m3, likewise [C]
    plume_co_ppm: float = 0.03  # ppm, likewise [C]
    plume_co2_ppm: float = 1.2  # ppm, likewise [C]
    firework_ug_m3: float = 250.0  # ug/m3 of PM2.5 at strength 1 [usual: 1st of January in European towns]
    dust_episode_ug_m3: float = 80.0  # ug/m3 of coarse dust at strength 1 [usual: Saharan dust]


LIMITS: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "utc_offset_h": (-14.0, 14.0),
        "mean_degc": (-40.0, 50.0),
        "speed_m_s": (5.0, 25.0),
        "light_cycle_s": (20.0, 300.0),
        "green_share": (0.05, 1.0),
        "wind_m_s": (0.2, 20.0),
        "pressure_pa": (30_000.0, 110_000.0),
        "plume_s": (2.0, 60.0),
        "density_g_cm3": (0.5, 5.0),
        "mean_humidity_pct": (0.0, 100.0),
    }
)
SHARES: Final = (
    "van_share", "lorry_share", "bus_share", "motorcycle_share", "towards_share", "platoon_share", "wind_towards_post",
)  # fmt: skip


def objections(parameters: StreetParameters) -> list[tuple[str, str, str]]:
    """List (key, what is wrong, hint) for whatever cannot be a street."""
    found = []
    for field in fields(parameters):
        value = getattr(parameters, field.name)
        lo, hi = LIMITS.get(field.name, (0.0, 1.0 if field.name in SHARES else 1e6))
        if not lo <= value <= hi:
            found.append((field.name, f"{value} is out of range", f"use {lo:g} to {hi:g}"))
    if parameters.quiet_per_h > parameters.busy_per_h:
        found.append(("quiet_per_h", "is more than busy_per_h", "the busiest hour has the most vehicles"))
    if sum(getattr(parameters, name) for name in SHARES[:4]) > 1.0:
        found.append(("van_share", "the shares of the classes are more than 1 together", "cars are what is left"))
    return found
