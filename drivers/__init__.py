"""What the hardware says: `DRIVERS` maps a name to a Driver, one explicit line per sensor."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from drivers.air.sds011.driver import DRIVER as SDS011
from drivers.air.sen55.driver import DRIVER as SEN55
from drivers.base import Driver
from drivers.noise.nsrt_mk4.driver import DRIVER as NSRT_MK4
from drivers.traffic.ops243.driver import DRIVER as OPS243
from drivers.weather.bme280.driver import DRIVER as BME280

DRIVERS: Mapping[str, Driver] = MappingProxyType(
    {
        "sds011": SDS011,
        "sen55": SEN55,
        "nsrt_mk4": NSRT_MK4,
        "ops243": OPS243,
        "bme280": BME280,
    }
)


def find(name: str) -> Driver:
    """Find a driver by its name or by a model it knows, whatever the case and punctuation; raise KeyError with a hint.

    The models of a driver are the last words of the comma-separated parts of `Driver.model`.
    """
    known = {_plain(model): driver for driver in DRIVERS.values() for model in models(driver)}
    if _plain(name) in known:
        return known[_plain(name)]
    close = difflib.get_close_matches(_plain(name), known, n=1)
    hint = f"did you mean {known[close[0]].name!r}?" if close else f"There are: {', '.join(DRIVERS)}."
    raise KeyError(f"no driver {name!r}; {hint}")


def models(driver: Driver) -> tuple[str, ...]:
    """Every name that a driver answers to, its own first."""
    return driver.name, *(part.split()[-1] for part in driver.model.split(",") if part.strip())


def _plain(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign.isalnum())
