"""Gases as a share of the air (ppb) and as mass (ug/m3): ideal gas at a named reference, never at the weather's.

    ug/m3 = ppb * M / Vm,   Vm = R * T / P

Source: R from CODATA 2018; molar masses from the NIST Chemistry WebBook.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from gateway.block import F8

R_J_MOL_K = 8.314462618
MOLAR_MASS_G_MOL: Mapping[str, float] = MappingProxyType(
    {
        "no2": 46.0055,
        "no": 30.0061,
        "o3": 47.9982,
        "so2": 64.064,
        "co": 28.0101,
        "h2s": 34.081,
        "nh3": 17.0305,
        "hcho": 30.026,
        "c6h6": 78.1118,
    }
)


class Reference(NamedTuple):
    """A state of the air to which a mass refers, and who says so."""

    name: str
    temperature_k: float
    pressure_kpa: float
    source: str


# The directive says 293 K and 101.3 kPa; the factors in use (NO2 1.9125) are those of 20 Cel and one atmosphere,
# which are 0.03 % lower.
EU = Reference("EU", 293.15, 101.325, "Directive 2008/50/EC Annex VI: gases at 293 K and 101.3 kPa")
US = Reference("US", 298.15, 101.325, "40 CFR 50.3: 25 Cel and 760 mm of mercury")
REFERENCES: Mapping[str, Reference] = MappingProxyType({one.name: one for one in (EU, US)})


def molar_volume_l(at: Reference = EU) -> float:
    """Return the volume of a mole of air, litres."""
    return R_J_MOL_K * at.temperature_k / at.pressure_kpa


def ugm3_per_ppb(gas: str, at: Reference = EU) -> float:
    """Return what a ppb of a gas weighs, ug/m3; raise KeyError for a gas that is not tabulated."""
    return MOLAR_MASS_G_MOL[gas] / molar_volume_l(at)


def ppb_to_ugm3(gas: str, ppb: F8 | float, at: Reference = EU) -> F8 | float:
    """Return the mass of a gas, ug/m3, from its share, ppb."""
    return ppb * ugm3_per_ppb(gas, at)


def ugm3_to_ppb(gas: str, ugm3: F8 | float, at: Reference = EU) -> F8 | float:
    """Return the share of a gas, ppb, from its mass, ug/m3; `at` is the reference to which that mass was brought."""
    return ugm3 / ugm3_per_ppb(gas, at)
