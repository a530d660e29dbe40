"""Particle mass of optical counters, corrected for humidity and for how such counters see smoke.

An optical counter sees droplets: in humid air particles have drunk water, and weigh more than the dry ones that a
reference weighs. All formulas take and give ug/m3 and % relative humidity, as the box itself measures it.

    barkjohn_2021       0.524 x - 0.0862 RH + 5.75                           x: CF=1, 24-h means of a PMS5003
    epa_fire_smoke_map  the same up to 30, steeper from 50, quadratic and without RH from 260; blended between
                                                                             x: CF=atm, of a PMS5003
    kappa_koehler       PM / (1 + (kappa / 1.65) / (1 / aw - 1))             aw = RH / 100

Sources: Barkjohn et al. 2021, Atmos. Meas. Tech. 14, 4617; US EPA, AirNow Fire and Smoke Map, equation of October 2021
as in public implementations; Crilley et al. 2018, Atmos. Meas. Tech. 11, 709; Di Antonio et al. 2018, Sensors 18, 2790.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.block import F8

SLOPE, PER_RH, OFFSET = 0.524, -0.0862, 5.75  # of Barkjohn 2021, and below 30 ug/m3 of the map
STEEP = 0.786  # CF=atm is two thirds of CF=1 in thick air: 0.524 * 3 / 2
SMOKE = (2.966, 0.69, 8.84e-4)  # of 1, x and x squared, from the last joint on
JOINTS_UGM3 = (30.0, 50.0, 210.0, 260.0)
DENSITY = 1.65  # g/cm3 of dry particles
CAP_PCT = 95.0  # the growth of a drop has no limit towards 100 %
AGREE_UGM3, AGREE_SHARE = 5.0, 0.70


class Dry(NamedTuple):
    """Particles without their water: how much heavier they were, and what they weigh, ug/m3."""

    growth: F8
    pm_dry: F8


def barkjohn_2021(pm2_5_cf1: F8 | float, humidity_pct: F8 | float) -> F8:
    """Return the US-wide correction of a Plantower PMS5003; below 0 where humid air is clean, and left so."""
    return np.asarray(SLOPE * np.asarray(pm2_5_cf1) + PER_RH * np.asarray(humidity_pct) + OFFSET)


def epa_fire_smoke_map(pm2_5_atm: F8 | float, humidity_pct: F8 | float) -> F8:
    """Return the correction of the Fire and Smoke Map: continuous, with joints at 30, 50, 210 and 260 ug/m3.

    From 260 on humidity does not matter, so that a value without it is known there too.
    """
    x, rh = np.broadcast_arrays(np.asarray(pm2_5_atm, np.float64), np.asarray(humidity_pct, np.float64))
    first, second, third, last = JOINTS_UGM3
    steep = np.clip((x - first) / (second - first), 0.0, 1.0)  # x / 20 - 1.5
    smoke = np.clip((x - third) / (last - third), 0.0, 1.0)  # x / 50 - 4.2
    clear = ((1.0 - steep) * SLOPE + steep * STEEP) * x + PER_RH * rh + OFFSET
    thick = SMOKE[0] + SMOKE[1] * x + SMOKE[2] * x**2
    return np.asarray(np.where(smoke >= 1.0, thick, (1.0 - smoke) * clear + smoke * thick))


def growth(humidity_pct: F8 | float, kappa: float, cap_pct: float = CAP_PCT) -> F8:
    """Return by how much the mass of particles has grown in humid air, 1 or more; beyond the cap as at the cap."""
    aw = np.clip(np.asarray(humidity_pct, np.float64), 0.0, cap_pct) / 100.0
    return np.asarray(1.0 + kappa / DENSITY * aw / (1.0 - aw))


def kappa_koehler(pm: F8 | float, humidity_pct: F8 | float, kappa: float, cap_pct: float = CAP_PCT) -> Dry:
    """Return the dry mass of particles of hygroscopicity `kappa` (Europe: 0.3 to 0.4; it depends on the place)."""
    by = growth(humidity_pct, kappa, cap_pct)
    return Dry(by, np.asarray(pm / by))


def purpleair_channels_agree(a: F8 | float, b: F8 | float) -> npt.NDArray[np.bool_]:
    """Tell whether two counters in one box say the same: less than 5 ug/m3 apart, or less than 70 % of their mean.

    A missing one agrees with nothing. Source: data cleaning of the US EPA for the Fire and Smoke Map.
    """
    apart = np.abs(np.asarray(a, np.float64) - b)
    middle = (np.asarray(a, np.float64) + b) / 2.0
    return np.asarray((apart < AGREE_UGM3) | (apart < AGREE_SHARE * middle))
