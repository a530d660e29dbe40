"""Sensirion SCD40 and SCD41, by their datasheet.

21B1 start, 5 s   21AC start, 30 s   3F86 stop   E4B8 data ready   EC05 read   219D 2196 single shots (SCD41)
EC05 reply: u16 CO2 in ppm, u16 T = -45 + 175 w / 65535, u16 RH = 100 w / 65535; the buffer is then empty
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Final

from firmware_sim.device import Nack, Report, Values
from firmware_sim.devices.sensirion import Answer, SensirionI2c, fraction, of_fraction, said, words
from firmware_sim.street import Street

START, START_LOW_POWER, STOP, READY, READ = 0x21B1, 0x21AC, 0x3F86, 0xE4B8, 0xEC05
SHOT, SHOT_RHT, SLEEP, WAKE = 0x219D, 0x2196, 0x36E0, 0x36F6
PRESSURE, RECALIBRATE, PERSIST, FACTORY, REINIT = 0xE000, 0x362F, 0x3615, 0x3632, 0x3646
SELF_TEST, SERIAL, VARIANT = 0x3639, 0x3682, 0x202F
PERIOD_S: Final[Mapping[int, float]] = MappingProxyType({START: 5.0, START_LOW_POWER: 30.0})
EVEN_WHILE_MEASURING = (STOP, READY, READ, PRESSURE)
T_OFFSET = 0x241D
# command that sets: command that gets, and what the factory stored
PARAMETERS: Final[Mapping[int, tuple[int, int]]] = MappingProxyType(
    {
        T_OFFSET: (0x2318, fraction(4.0, 0.0, 175.0)),
        0x2427: (0x2322, 0),  # altitude, m
        PRESSURE: (PRESSURE, 1013),  # hPa; never stored
        0x2416: (0x2313, 1),  # automatic self-calibration
        0x243A: (0x233F, 400),  # its target, ppm
        0x2445: (0x2340, 44),  # its initial period, h
        0x244E: (0x234B, 156),  # its standard period, h
    }
)
GETTERS: Final[Mapping[int, int]] = MappingProxyType({getter: setter for setter, (getter, _) in PARAMETERS.items()})
FACTORY_SETTINGS: Final[Mapping[int, int]] = MappingProxyType({key: stored for key, (_, stored) in PARAMETERS.items()})
VARIANTS: Final[Mapping[str, int]] = MappingProxyType({"scd40": 0x0440, "scd41": 0x1440})
NOT_READY_WORD, READY_WORD = 0x8000, 0x8006
SELF_HEATING_DEGC = 4.0  # of a usual design: what the stored offset takes off again
SETTLED_S = 180.0  # of measurement before a forced recalibration is possible
FAILED = 0xFFFF


class Scd4x(SensirionI2c):
    """Idle after power-on; goes on measuring when the host is gone, and then takes only four commands."""

    ADDRESSES: ClassVar[tuple[int, ...]] = (0x62,)
    EXECUTION_S = MappingProxyType(
        {STOP: 0.5, SHOT: 5.0, SHOT_RHT: 0.05, RECALIBRATE: 0.4, PERSIST: 0.8, FACTORY: 1.2, REINIT: 0.03}
        | {SELF_TEST: 10.0, START: 0.0, START_LOW_POWER: 0.0}  # table 9 names no execution time for the two starts
    )

    def __init__(
        self,
        street: Street,
        report: Report,
        frames: Sequence[str] = (),
        variant: str = "scd41",
        serial: str = "f8969f073bbe",
    ) -> None:
        super().__init__(street, report, frames, 9)
        self._serial = bytes.fromhex(serial)
        if variant not in VARIANTS or len(self._serial) != 6:
            raise ValueError("variant must be scd40 or scd41, and serial 6 bytes in hex")
        self._variant = variant
        self._memory = dict(FACTORY_SETTINGS)
        self._settings = dict(FACTORY_SETTINGS)
        self._correction_ppm = 0
        self._asleep = False
        self._start_s: float | None = None
        self._period_s, self._read, self._ran_s = 5.0, 0, 0.0
        self._shot: Answer | None = None

    def write(self, data: bytes, t_s: float) -> None:
        """Start a command; asleep the part hears only the wake-up, and acknowledges not even that."""
        if self._asleep and int.from_bytes(data, "big") == WAKE:
            self._asleep, self._busy_until_s = False, t_s + 0.03
            raise Nack("woken up")
        if self._asleep:
            raise Nack("asleep")
        super().write(data, t_s)

    def _carry_out(self, command: int, arguments: bytes, t_s: float) -> Answer | None:
        if self._start_s is not None and command not in EVEN_WHILE_MEASURING:
            raise Nack("measuring")
        if command in PARAMETERS and (arguments or command != PRESSURE):
            (self._settings[command],) = words(arguments, 1)
            return None
        if command == RECALIBRATE:
            return self._recalibrate(words(arguments, 1)[0], t_s)
        if arguments:
            raise Nack("takes no arguments")
        if command in GETTERS:
            return said(self._settings[GETTERS[command]])
        if command == READY:
            return said(READY_WORD if self._shot or self._newest(t_s) > self._read else NOT_READY_WORD)
        if command == READ:
            return self._take(t_s)
        constants = {
            SERIAL: struct.unpack(">3H", self._serial),
            VARIANT: (VARIANTS[self._variant],),
            SELF_TEST: (0,),
        }
        if command in constants:
            return said(*constants[command])
        self._change(command, t_s)
        return None

    def _change(self, command: int, t_s: float) -> None:
        if command in PERIOD_S:
            self._start_s, self._period_s, self._read, self._shot = t_s, PERIOD_S[command], 0, None
        elif command == STOP:
            self._ran_s = t_s - self._start_s if self._start_s is not None else self._ran_s
            self._start_s, self._shot = None, None
        elif command in (SHOT, SHOT_RHT) and self._variant == "scd41":
            self._shot = self._sample(t_s + self.EXECUTION_S[command], with_co2=command == SHOT)
        elif command == PERSIST:
            self._memory = self._settings | {PRESSURE: FACTORY_SETTINGS[PRESSURE]}
        elif command in (REINIT, FACTORY):
            if command == FACTORY:
                self._memory, self._correction_ppm = dict(FACTORY_SETTINGS), 0
            self._settings, self._shot, self._ran_s = dict(self._memory), None, 0.0
        elif command == SLEEP:
            self._asleep = True
        elif command != WAKE:
            raise Nack(f"unknown command {command:04X}")

    def _newest(self, t_s: float) -> int:
        return 0 if self._start_s is None else math.floor((t_s - self._start_s) / self._period_s)

    def _take(self, t_s: float) -> Answer | None:
        """Give the newest sample once; without one the read is not acknowledged."""
        shot, self._shot = self._shot, None
        newest = self._newest(t_s)
        if shot or self._start_s is None or newest <= self._read:
            return shot
        self._read = newest
        return self._sample(self._start_s + newest * self._period_s)

    def _sample(self, t_s: float, with_co2: bool = True) -> Answer:
        offset_degc = of_fraction(self._settings[T_OFFSET], 0.0, 175.0)
        t = fraction(self._street.temperature_degc(t_s) + SELF_HEATING_DEGC - offset_degc, -45.0, 175.0)
        rh = fraction(self._street.humidity_pct(t_s), 0.0, 100.0)
        co2 = min(max(round(self._street.co2_ppm(t_s)) + self._correction_ppm, 0), 40_000) if with_co2 else 0
        values: Values = {
            "co2": float(co2) if with_co2 else None,
            "temperature": of_fraction(t, -45.0, 175.0),
            "humidity": of_fraction(rh, 0.0, 100.0),
        }
        return self._measured(struct.pack(">3H", co2, t, rh), values)

    def _recalibrate(self, target_ppm: int, t_s: float) -> Answer:
        if self._ran_s < SETTLED_S:
            return said(FAILED)
        step = target_ppm - round(self._street.co2_ppm(t_s)) - self._correction_ppm
        self._correction_ppm += step
        return said(0x8000 + step)
