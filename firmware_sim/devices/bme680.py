"""Bosch BME680 and BME688, by the datasheet BST-BME680-DS001 and BME68x_SensorAPI: registers over ADC words.

00..04, 8A..A0, E1..EE  calibration        D0  id 61   E0  reset   F0  variant: 0 BME680, 1 BME688
5A..63  heater resistance   64..6D  heater time   70, 71  gas control   72  hum   74  temp, press, mode   75  config
1D  new 7 gas-measuring 6 measuring 5      1F press[3] temp[3] hum[2]: 20, 20 and 16 bits
2A  gas[2] of the BME680      2C  gas[2] of the BME688: word 15:6, valid 5, stable 4, range 3:0
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import ClassVar

from firmware_sim.device import Nack, Playback, Report, Values
from firmware_sim.devices.bme280_adc import invert
from firmware_sim.devices.bme680_adc import HIGH, LOW, Compensation
from firmware_sim.street import Street

# a real chip's: github.com/pimoroni/bme680-python issue 11, as the registers hold it
CALIBRATION = "65670300418fedd658008e1c7fff2e1e000097f3b5f61e" + "40542a002d14789cb9654e9fe212" + "3000100000"
BLOCKS = ((0x8A, 23), (0xE1, 14), (0x00, 5))
CHIP_ID, RESET_WORD = 0x61, 0xB6
ID, RESET, VARIANT, FIELD = 0xD0, 0xE0, 0xF0, 0x1D
RES_HEAT, GAS_WAIT, CTRL_GAS_0, CTRL_GAS_1, CTRL_HUM, CTRL_MEAS = 0x5A, 0x64, 0x70, 0x71, 0x72, 0x74
WRITABLE = (*range(0x50, 0x6E), CTRL_GAS_0, CTRL_GAS_1, CTRL_HUM, CTRL_MEAS, 0x75)
FIELD_BYTES, GAS_AT = 17, {LOW: 13, HIGH: 15}
NO_DATA = bytes.fromhex("0000 800000 800000 8000 000000 0000 0000")
NEW_DATA, GAS_MEASURING, MEASURING = 0x80, 0x40, 0x20
GAS_VALID, HEAT_STABLE, HEAT_OFF = 0x20, 0x10, 0x08
RUN_GAS = {LOW: 0x10, HIGH: 0x20}
FORCED = 1
OVERSAMPLING = (0, 1, 2, 4, 8, 16, 16, 16)
CYCLE_S, SWITCHING_S, WAKE_S = 0.001963, 9 * 0.000477, 0.001  # bme68x_get_meas_dur
HOT_AFTER_S = 0.025
CLEAN_AIR_OHM, BURN_IN_S = 120_000.0, 120.0


class Bme680:
    """Asleep but for forced measurements; keeps the last one. Parallel and sequential modes are taken for sleep."""

    ADDRESSES: ClassVar[tuple[int, ...]] = (0x76, 0x77)

    def __init__(
        self,
        street: Street,
        report: Report,
        frames: Sequence[str] = (),
        calibration: str = CALIBRATION,
        variant: int = LOW,
    ) -> None:
        self._street, self._report, self._variant = street, report, variant
        self._frames = Playback(frames, FIELD_BYTES)
        self._nvm = bytes.fromhex(calibration)
        if len(self._nvm) != 42:
            raise ValueError(f"calibration has {len(self._nvm)} bytes, not 23 + 14 + 5")
        if variant not in (LOW, HIGH):
            raise ValueError(f"variant {variant} must be 0 (BME680) or 1 (BME688)")
        self._formula = Compensation(self._nvm)
        self._hot_since_s = math.inf
        self._last = (0, 0, 0)  # words of the converter
        self._reset()

    def write(self, data: bytes, t_s: float) -> None:
        """One byte sets the register to read from; pairs of register and value write."""
        self._advance(t_s)
        if len(data) > 1 and len(data) % 2:
            raise Nack("register without a value")
        for register, value in zip(data[::2], data[1::2], strict=False):
            self._put(register, value, t_s)
        if data:
            self._pointer = data[-2] if len(data) > 1 else data[0]

    def read(self, n: int, t_s: float) -> bytes:
        """Read on from the register pointer, which moves along."""
        self._advance(t_s)
        self._registers[FIELD] = self._status(t_s)
        first, end = self._pointer, self._pointer + n
        if self._served is not None and first <= FIELD + 2 and end >= FIELD + 10:
            gas_read = end >= FIELD + GAS_AT[self._variant] + 2
            self._report(t_s, {k: v for k, v in self._served.items() if gas_read or k != "gas_resistance"})
        said = bytes(self._registers[(first + i) % 256] for i in range(n))
        self._pointer = end % 256
        return said

    def _reset(self) -> None:
        self._registers = bytearray(256)
        at = 0
        for start, size in BLOCKS:
            self._registers[start : start + size] = self._nvm[at : at + size]
            at += size
        self._registers[ID], self._registers[VARIANT] = CHIP_ID, self._variant
        self._registers[FIELD : FIELD + FIELD_BYTES] = NO_DATA
        self._pointer = 0
        self._heats_s = self._done_s = math.inf  # when the heater starts, and when all is measured
        self._new = False
        self._served: Values | None = None

    def _put(self, register: int, value: int, t_s: float) -> None:
        if register == RESET and value == RESET_WORD:
            self._reset()
        elif register in WRITABLE:
            self._registers[register] = value
        if register == CTRL_MEAS and value & 0x03 == FORCED:
            cycles = sum(self._oversampling())
            self._heats_s = t_s + WAKE_S + CYCLE_S * cycles + SWITCHING_S
            self._done_s = self._heats_s + (self._wait_s() if self._runs_gas() else 0.0)
            self._new = False

    def _oversampling(self) -> tuple[int, int, int]:
        control = self._registers[CTRL_MEAS]
        return OVERSAMPLING[control >> 5], OVERSAMPLING[control >> 2 & 7], OVERSAMPLING[self._registers[CTRL_HUM] & 7]

    def _runs_gas(self) -> bool:
        return bool(self._registers[CTRL_GAS_1] & RUN_GAS[self._variant])

    def _step(self) -> int:
        return min(self._registers[CTRL_GAS_1] & 0x0F, 9)

    def _wait_s(self) -> float:
        code = self._registers[GAS_WAIT + self._step()]
        return float((code & 0x3F) * 4 ** (code >> 6)) / 1000.0

    def _status(self, t_s: float) -> int:
        busy = self._done_s < math.inf
        heating = GAS_MEASURING if busy and self._runs_gas() and t_s >= self._heats_s else 0
        return (NEW_DATA if self._new else 0) | heating | (MEASURING if busy else 0) | self._step()

    def _advance(self, t_s: float) -> None:
        if t_s >= self._done_s:
            self._latch(self._done_s)
            self._registers[CTRL_MEAS] &= 0xFC
            self._done_s, self._new = math.inf, True

    def _latch(self, t_s: float) -> None:
        if self._frames:
            self._registers[FIELD : FIELD + FIELD_BYTES], self._served = self._frames.pop(), {}
            return
        on, formula = self._oversampling(), self._formula
        last_t, last_p, last_h = self._last  # the air changes little
        adc_t = invert(formula.temperature_degc, self._street.temperature_degc(t_s), 20, last_t)
        degc = formula.temperature_degc(adc_t)
        adc_p = invert(lambda adc: -formula.pressure_pa(adc, degc), -self._street.pressure_pa(t_s), 20, last_p)
        adc_h = invert(lambda adc: formula.humidity_pct(adc, degc), self._street.humidity_pct(t_s), 16, last_h)
        self._last = adc_t, adc_p, adc_h
        gas, ohm = self._gas(t_s)
        self._served = {
            "temperature": degc if on[0] else None,
            "pressure": formula.pressure_pa(adc_p, degc) if on[0] and on[1] else None,
            "humidity": formula.humidity_pct(adc_h, degc) if on[0] and on[2] else None,
            "gas_resistance": ohm,
        }
        press, temp = adc_p if on[1] else 0x80000, adc_t if on[0] else 0x80000
        words = struct.pack(
            ">HBHBH", press >> 4, (press & 15) << 4, temp >> 4, (temp & 15) << 4, adc_h if on[2] else 0x8000
        )
        self._registers[FIELD + 2 : FIELD + FIELD_BYTES] = words + bytes(7)
        at = FIELD + GAS_AT[self._variant]
        self._registers[at : at + 2] = gas.to_bytes(2, "big")

    def _gas(self, t_s: float) -> tuple[int, float | None]:
        """The gas word with its flags; ohms only when the plate was hot and the result is valid."""
        if not self._runs_gas():
            return 0, None
        heated = self._registers[RES_HEAT + self._step()] and not self._registers[CTRL_GAS_0] & HEAT_OFF
        stable = bool(heated) and self._wait_s() >= HOT_AFTER_S
        self._hot_since_s = min(self._hot_since_s, t_s)
        drift = 1.0 - 0.4 * math.exp((self._hot_since_s - t_s) / BURN_IN_S)
        truth_ohm = CLEAN_AIR_OHM * drift * (100.0 / self._street.voc_index(t_s)) ** 0.8
        gas_range, adc = self._formula.gas_words(truth_ohm, self._variant)
        word = adc << 6 | GAS_VALID | (HEAT_STABLE if stable else 0) | gas_range
        return word, self._formula.gas_ohm(adc, gas_range, self._variant) if stable else None
