"""Sensirion SGP40 and SGP41, by their datasheets: raw signals of metal-oxide pixels, in ticks.

SGP40  260F RH T -> VOC (30 ms)
SGP41  2612 RH T -> VOC (conditioning, at most 10 s)   2619 RH T -> VOC NOx (50 ms)
both   280E self-test   3615 heater off   3682 serial number;  RH = w 100 / 65535, T = w 175 / 65535 - 45
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

from firmware_sim.device import Nack, Report, Values
from firmware_sim.devices.sensirion import Answer, SensirionI2c, said, words
from firmware_sim.street import Street

MEASURE_VOC, CONDITION, MEASURE, SELF_TEST, HEATER_OFF, SERIAL = 0x260F, 0x2612, 0x2619, 0x280E, 0x3615, 0x3682
PASSED = 0xD400
WARMING_S = 8.0  # e-folding time of the raw signals after the heater was switched on
COLD_TICKS = -3000.0
TICKS_PER_PCT = 12.0  # by which the signal is off when the host tells a wrong humidity; its size is not published


class Sgp40(SensirionI2c):
    """The heater is off after power-on, and on from the first measurement until it is switched off."""

    ADDRESSES: ClassVar[tuple[int, ...]] = (0x59,)
    EXECUTION_S = MappingProxyType({MEASURE_VOC: 0.03, SELF_TEST: 0.25})
    WORDS: ClassVar[Mapping[int, int]] = MappingProxyType({MEASURE_VOC: 1})

    def __init__(
        self, street: Street, report: Report, frames: Sequence[str] = (), serial: str = "0000045df2a1"
    ) -> None:
        super().__init__(street, report, frames)
        self._serial = bytes.fromhex(serial)
        if len(self._serial) != 6:
            raise ValueError(f"serial {serial!r} must be 6 bytes in hex")
        self._hot_since_s: float | None = None

    def _carry_out(self, command: int, arguments: bytes, t_s: float) -> Answer | None:
        if command in self.WORDS:
            rh, _t = words(arguments, 2)
            return self._measure(self.WORDS[command], rh * 100.0 / 0xFFFF, t_s)
        if arguments:
            raise Nack("takes no arguments")
        if command == SELF_TEST:
            self._hot_since_s = None
            return said(PASSED)
        if command == SERIAL:
            return said(*struct.unpack(">3H", self._serial))
        if command != HEATER_OFF:
            raise Nack(f"unknown command {command:04X}")
        self._hot_since_s = None
        return None

    def _measure(self, count: int, told_pct: float, t_s: float) -> Answer:
        if self._hot_since_s is None:
            self._hot_since_s = t_s
        cold = COLD_TICKS * math.exp((self._hot_since_s - t_s) / WARMING_S)
        damp = TICKS_PER_PCT * (told_pct - self._street.humidity_pct(t_s))
        true = (self._street.voc_ticks(t_s), self._street.nox_ticks(t_s))[:count]
        ticks = [min(max(round(x + cold + damp), 0), 0xFFFF) for x in true]
        values: Values = dict(zip(("voc_raw", "nox_raw"), map(float, ticks), strict=False))
        return self._measured(struct.pack(f">{count}H", *ticks), values)


class Sgp41(Sgp40):
    """A second pixel, for NOx, that is spoilt by conditioning it for too long."""

    EXECUTION_S = MappingProxyType({CONDITION: 0.05, MEASURE: 0.05, SELF_TEST: 0.32})
    WORDS: ClassVar[Mapping[int, int]] = MappingProxyType({CONDITION: 1, MEASURE: 2})
