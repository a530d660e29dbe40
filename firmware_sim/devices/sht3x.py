"""Sensirion SHT30, SHT31 and SHT35, by their datasheet and Linux drivers/hwmon/sht3x.c.

24xx single shot   2Cxx the same with clock stretching   20xx..27xx periodic, 2B32 fast   E000 fetch   3093 stop
F32D status: 15 alert pending, 13 heater, 11 RH alert, 10 T alert, 4 reset, 1 last command failed
reply: u16 T, CRC, u16 RH, CRC;  T = -45 + 175 w / 65535,  RH = 100 w / 65535
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Final

from firmware_sim.device import Nack, Report
from firmware_sim.devices.sensirion import Answer, SensirionI2c, fraction, of_fraction, said
from firmware_sim.street import Street

FETCH, STOP, RESET, STATUS, CLEAR_STATUS = 0xE000, 0x3093, 0x30A2, 0xF32D, 0x3041
HEATER_ON, HEATER_OFF, SERIAL, SERIAL_STRETCHED = 0x306D, 0x3066, 0x3682, 0x3780
SINGLE_S: Final[Mapping[int, float]] = MappingProxyType({0x2400: 0.015, 0x240B: 0.006, 0x2416: 0.004})
STRETCHED = (0x2C06, 0x2C0D, 0x2C10)  # the bus waits for the part, which here is not seen
PERIOD_S: Final[Mapping[int, float]] = MappingProxyType(
    dict.fromkeys((0x2032, 0x2024, 0x202F), 2.0)
    | dict.fromkeys((0x2130, 0x2126, 0x212D), 1.0)
    | dict.fromkeys((0x2236, 0x2220, 0x222B), 0.5)
    | dict.fromkeys((0x2334, 0x2322, 0x2329), 0.25)
    | dict.fromkeys((0x2737, 0x2721, 0x272A), 0.1)
    | {0x2B32: 0.25}
)
HEATING, FAILED = 0x2000, 0x0002
AFTER_RESET = 0x8010
CLEARED = 0x8C10  # the bits that 3041 clears
HEATER_DEGC, HEATER_DRIER = 3.0, 0.84


class Sht3x(SensirionI2c):
    """Idle after power-on; a periodic measurement goes on when the host is gone, and then refuses single shots."""

    ADDRESSES: ClassVar[tuple[int, ...]] = (0x44, 0x45)
    COMMAND_S = 0.0
    EXECUTION_S = MappingProxyType({**SINGLE_S, RESET: 0.0015, STOP: 0.001})

    def __init__(self, street: Street, report: Report, frames: Sequence[str] = (), serial: str = "0f0d2c1e") -> None:
        super().__init__(street, report, frames, 6)
        self._serial = bytes.fromhex(serial)
        if len(self._serial) != 4:
            raise ValueError(f"serial {serial!r} must be 4 bytes in hex")
        self._reset()

    def _reset(self) -> None:
        self._status = AFTER_RESET
        self._period_s = self._start_s = 0.0
        self._fetched = 0

    def _carry_out(self, command: int, arguments: bytes, t_s: float) -> Answer | None:
        if command == STATUS:
            return said(self._status)
        single = command in SINGLE_S or command in STRETCHED
        known = single or command in PERIOD_S or command in (FETCH, STOP, RESET, CLEAR_STATUS, HEATER_ON, HEATER_OFF)
        known |= command in (SERIAL, SERIAL_STRETCHED)
        idle_only = single or command in PERIOD_S or command in (RESET, SERIAL, SERIAL_STRETCHED)
        if arguments or not known or (idle_only and self._period_s):
            self._status |= FAILED
            raise Nack(f"command {command:04X} is unknown, or not for now")
        self._status &= ~FAILED
        if single:
            return self._measure(t_s)
        if command == FETCH:
            return self._fetch(t_s)
        if command in (SERIAL, SERIAL_STRETCHED):
            return said(*struct.unpack(">2H", self._serial))
        self._set(command, t_s)
        return None

    def _set(self, command: int, t_s: float) -> None:
        if command in PERIOD_S:
            self._period_s, self._start_s, self._fetched = PERIOD_S[command], t_s, 0
        elif command == STOP:
            self._period_s = 0.0
        elif command == RESET:
            self._reset()
        elif command == CLEAR_STATUS:
            self._status &= ~CLEARED
        else:
            self._status = self._status & ~HEATING | (HEATING if command == HEATER_ON else 0)

    def _fetch(self, t_s: float) -> Answer | None:
        """Give the newest sample once; without one the read is not acknowledged."""
        newest = int((t_s - self._start_s) / self._period_s) if self._period_s else 0
        if newest <= self._fetched:
            return None
        self._fetched = newest
        return self._measure(self._start_s + newest * self._period_s)

    def _measure(self, t_s: float) -> Answer:
        heating = bool(self._status & HEATING)
        t = fraction(self._street.temperature_degc(t_s) + HEATER_DEGC * heating, -45.0, 175.0)
        rh = fraction(self._street.humidity_pct(t_s) * (HEATER_DRIER if heating else 1.0), 0.0, 100.0)
        values = {"temperature": of_fraction(t, -45.0, 175.0), "humidity": of_fraction(rh, 0.0, 100.0)}
        return self._measured(struct.pack(">2H", t, rh), values)
