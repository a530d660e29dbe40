"""The kinds of derived channels, one explicit line each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.pipeline.derivation import Derivation
from gateway.pipeline.derivations.cell import B4_CELL
from gateway.pipeline.derivations.gas import MASS_CONCENTRATION
from gateway.pipeline.derivations.index import AIR_INDEX
from gateway.pipeline.derivations.moist_air import ABSOLUTE_HUMIDITY, DEW_POINT
from gateway.pipeline.derivations.particles import PM_CORRECTION

DERIVATIONS: Mapping[str, Derivation] = MappingProxyType(
    {
        "b4_cell": B4_CELL,
        "mass_concentration": MASS_CONCENTRATION,
        "pm_correction": PM_CORRECTION,
        "dew_point": DEW_POINT,
        "absolute_humidity": ABSOLUTE_HUMIDITY,
        "air_index": AIR_INDEX,
    }
)
