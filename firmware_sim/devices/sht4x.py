"""Sensirion SHT40, SHT41 and SHT45, by their datasheet: commands of one byte.

FD F6 E0 measure   39 32 2F 24 1E 15 heat, then measure   89 serial number   94 reset
reply: u16 T, CRC, u16 RH, CRC;  T = -45 + 175 w / 65535,  RH = -6 + 125 w / 65535: may leave 0..100
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Final

from firmware_sim.device import Nack, Report
from firmware_sim.devices.sensirion import Answer, SensirionI2c, fraction, of_fraction, said
from firmware_sim.street import Street

SERIAL, RESET = 0x89, 0x94
MEASURE_S: Final[Mapping[int, float]] = MappingProxyType({0xFD: 0.0083, 0xF6: 0.0045, 0xE0: 0.0016})
HEAT_S: Final[Mapping[int, float]] = MappingProxyType(
    {0x39: 1.1, 0x32: 0.11, 0x2F: 1.1, 0x24: 0.11, 0x1E: 1.1, 0x15: 0.11}
)
# of 200, 110 and 20 mW at the end of a long pulse; a short one gets less far
HOTTER_DEGC: Final[Mapping[int, float]] = MappingProxyType(
    {0x39: 60.0, 0x32: 20.0, 0x2F: 35.0, 0x24: 12.0, 0x1E: 8.0, 0x15: 3.0}
)
DRIER_PER_DEGC = 0.06  # of the relative humidity, as the saturation pressure grows


class Sht4x(SensirionI2c):
    """Asleep between measurements; nothing but the heater has a state."""

    ADDRESSES: ClassVar[tuple[int, ...]] = (0x44, 0x45, 0x46)
    COMMAND_BYTES = 1
    COMMAND_S = 0.0
    EXECUTION_S = MappingProxyType({**MEASURE_S, **HEAT_S, RESET: 0.001})

    def __init__(self, street: Street, report: Report, frames: Sequence[str] = (), serial: str = "0f0d2c1e") -> None:
        super().__init__(street, report, frames, 6)
        self._serial = bytes.fromhex(serial)
        if len(self._serial) != 4:
            raise ValueError(f"serial {serial!r} must be 4 bytes in hex")

    def _carry_out(self, command: int, arguments: bytes, t_s: float) -> Answer | None:
        if arguments:
            raise Nack("takes no arguments")
        if command == SERIAL:
            return said(*(int.from_bytes(self._serial[i : i + 2], "big") for i in (0, 2)))
        if command in MEASURE_S or command in HEAT_S:
            return self._measure(HOTTER_DEGC.get(command, 0.0), t_s)
        if command != RESET:
            raise Nack(f"unknown command {command:02X}")
        return None

    def _measure(self, hotter_degc: float, t_s: float) -> Answer:
        humidity_pct = self._street.humidity_pct(t_s) * (1.0 - DRIER_PER_DEGC) ** hotter_degc
        t = fraction(self._street.temperature_degc(t_s) + hotter_degc, -45.0, 175.0)
        rh = fraction(humidity_pct, -6.0, 125.0)
        values = {
            "temperature": of_fraction(t, -45.0, 175.0),
            "humidity": min(max(of_fraction(rh, -6.0, 125.0), 0.0), 100.0),
        }
        return self._measured(t.to_bytes(2, "big") + rh.to_bytes(2, "big"), values)
