"""One device per file, from the datasheet alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from firmware_sim.device import I2cDevice, UartDevice
from firmware_sim.devices.bme280 import Bme280
from firmware_sim.devices.nsrt_mk4 import NsrtMk4
from firmware_sim.devices.ops243 import Ops243
from firmware_sim.devices.sds011 import Sds011
from firmware_sim.devices.sen55 import Sen55

UART_TWINS: Final[Mapping[str, Callable[..., UartDevice]]] = MappingProxyType(
    {"sds011": Sds011, "nsrt_mk4": NsrtMk4, "ops243": Ops243}
)
I2C_TWINS: Final[Mapping[str, Callable[..., I2cDevice]]] = MappingProxyType({"sen55": Sen55, "bme280": Bme280})
I2C_ADDRESSES: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {"sen55": Sen55.ADDRESSES, "bme280": Bme280.ADDRESSES}
)
