"""Sensirion SCD30, by its Interface Description V1.0 of May 2020 and Linux drivers/iio/chemical/scd30_core.c.

0010 pressure: start   0104 stop   4600 interval   0202 ready   0300 read   5306 self-calibration   5204 recalibration
5403 temperature offset   5102 altitude   D100 firmware   D304 reset;   0300 reply: float CO2, T, RH, a CRC per 2 bytes
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Final

from firmware_sim.checks import with_crcs
from firmware_sim.device import Nack, Report, Values
from firmware_sim.devices.sensirion import Answer, SensirionI2c, said, text, words
from firmware_sim.street import Street

START, STOP, READY, READ, FIRMWARE, SERIAL, RESET = 0x0010, 0x0104, 0x0202, 0x0300, 0xD100, 0xD033, 0xD304
INTERVAL, T_OFFSET = 0x4600, 0x5403
# factory setting, least and most
PARAMETERS: Final[Mapping[int, tuple[int, int, int]]] = MappingProxyType(
    {
        INTERVAL: (2, 2, 1800),  # s
        0x5306: (0, 0, 1),  # automatic self-calibration
        0x5204: (400, 400, 2000),  # forced recalibration, ppm
        T_OFFSET: (0, 0, 0xFFFF),  # 0.01 degC
        0x5102: (0, 0, 0xFFFF),  # altitude, m
    }
)
PRESSURES_MBAR = range(700, 1401)  # 0 switches the compensation off
FIRMWARE_WORD = 0x0342
BOOT_S = 2.0
CHANNELS = ("co2", "temperature", "humidity")
EMPTY = b"\xff" * 12  # what an empty buffer reads: github.com/Sensirion/embedded-scd/issues/43


class Scd30(SensirionI2c):
    """Remembers its settings, and whether it measured, through a reset; no repeated start, 3 ms before a read."""

    ADDRESSES: ClassVar[tuple[int, ...]] = (0x61,)
    EXECUTION_S = MappingProxyType({RESET: BOOT_S})
    COMMAND_S = 0.003

    def __init__(self, street: Street, report: Report, frames: Sequence[str] = (), serial: str = "215051R") -> None:
        super().__init__(street, report, frames, 18)
        self._serial = serial
        if len(serial.encode()) > 32:
            raise ValueError("serial must have at most 32 characters")
        self._settings = {command: factory for command, (factory, _, _) in PARAMETERS.items()}
        self._start_s: float | None = None
        self._read, self._just_booted = 0, False

    def _carry_out(self, command: int, arguments: bytes, t_s: float) -> Answer | None:
        if command == START:
            (pressure_mbar,) = words(arguments, 1)
            if pressure_mbar and pressure_mbar not in PRESSURES_MBAR:
                raise Nack("pressure")
            if self._start_s is None:  # while it measures, this only tells it the pressure
                self._start_s, self._read = t_s, 0
            return None
        if command in PARAMETERS:
            return self._parameter(command, arguments, t_s)
        if arguments:
            raise Nack("takes no arguments")
        if command == READY:
            return said(int(self._newest(t_s) > self._read))
        if command == READ:
            return self._take(t_s)
        if command == FIRMWARE:
            return said(FIRMWARE_WORD)
        if command == SERIAL:
            return text(self._serial)
        if command == STOP:
            self._start_s = None
        elif command == RESET:
            self._restart(t_s + BOOT_S)
            self._just_booted = True
        else:
            raise Nack(f"unknown command {command:04X}")
        return None

    def _parameter(self, command: int, arguments: bytes, t_s: float) -> Answer | None:
        if not arguments:
            return said(self._settings[command])
        (value,) = words(arguments, 1)
        _, least, most = PARAMETERS[command]
        if not least <= value <= most:
            raise Nack("out of range")
        if command == INTERVAL and value != self._settings[INTERVAL]:
            self._restart(t_s)
        self._settings[command] = value
        return None

    def _restart(self, t_s: float) -> None:
        self._start_s, self._read = None if self._start_s is None else t_s, 0

    def _newest(self, t_s: float) -> int:
        return 0 if self._start_s is None else math.floor((t_s - self._start_s) / self._settings[INTERVAL])

    def _take(self, t_s: float) -> Answer:
        """Give the newest sample once, and FF after that; the first one after a reset has no CO2 yet."""
        newest = self._newest(t_s)
        if self._start_s is None or newest <= self._read:
            return Answer(with_crcs(EMPTY), dict.fromkeys(CHANNELS))
        self._read = newest
        at_s = self._start_s + newest * self._settings[INTERVAL]
        street, blank = self._street, self._just_booted and newest == 1
        self._just_booted &= blank
        degc = street.temperature_degc(at_s) - self._settings[T_OFFSET] / 100
        data = struct.pack(">3f", 0.0 if blank else street.co2_ppm(at_s), degc, street.humidity_pct(at_s))
        values: Values = dict(zip(CHANNELS, struct.unpack(">3f", data), strict=True))
        return self._measured(data, {**values, "co2": None} if blank else values)
