"""Moist air from temperature and relative humidity: dew point and absolute humidity.

    es = 611.2 Pa * exp(17.62 t / (243.12 + t))       saturation over water, t in Cel
    dew point = 243.12 g / (17.62 - g),  g = ln(RH / 100) + 17.62 t / (243.12 + t)
    absolute humidity = RH / 100 * es / (Rv T)

Source: Magnus formula with the constants of WMO-No. 8 (Guide to Instruments and Methods of Observation), Volume I,
chapter 4, annex 4.B, -45 to 60 Cel, here without the factor for pressure (0.4 % at most); Rv = 461.5 J/(kg K).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from gateway.block import F8

MAGNUS_A = 17.62
MAGNUS_B_DEGC = 243.12
MAGNUS_PA = 611.2
RV_J_KG_K = 461.5
ZERO_DEGC_K = 273.15
SOURCE = "WMO-No. 8, Volume I, annex 4.B: Magnus formula over water"
CONSTANTS: Mapping[str, float] = MappingProxyType(
    {"magnus_a": MAGNUS_A, "magnus_b_Cel": MAGNUS_B_DEGC, "magnus_Pa": MAGNUS_PA, "rv_J_kg_K": RV_J_KG_K}
)


def saturation_pressure_pa(temperature_degc: F8 | float) -> F8:
    """Return the pressure of vapour at which air over water is saturated, Pa."""
    t = np.asarray(temperature_degc, np.float64)
    return np.asarray(MAGNUS_PA * np.exp(MAGNUS_A * t / (MAGNUS_B_DEGC + t)))


def dew_point(temperature_degc: F8 | float, humidity_pct: F8 | float) -> F8:
    """Return the temperature to which air must cool to be saturated, Cel; NaN for air without any water."""
    t, rh = np.asarray(temperature_degc, np.float64), np.asarray(humidity_pct, np.float64)
    g = np.log(np.where(rh > 0, rh, np.nan) / 100.0) + MAGNUS_A * t / (MAGNUS_B_DEGC + t)
    return np.asarray(MAGNUS_B_DEGC * g / (MAGNUS_A - g))


def absolute_humidity(temperature_degc: F8 | float, humidity_pct: F8 | float) -> F8:
    """Return the mass of water vapour in the air, g/m3; NaN below 0 %."""
    t, rh = np.asarray(temperature_degc, np.float64), np.asarray(humidity_pct, np.float64)
    vapour_pa = np.where(rh >= 0, rh, np.nan) / 100.0 * saturation_pressure_pa(t)
    return np.asarray(1e3 * vapour_pa / (RV_J_KG_K * (t + ZERO_DEGC_K)))
