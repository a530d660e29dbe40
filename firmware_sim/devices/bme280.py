"""Bosch BME280, by its datasheet BST-BME280-DS002: a register file whose ADC words come from the true air.

88..A1, E1..E7 calibration   D0 id 60   E0 reset   F2 ctrl_hum   F3 status   F4 ctrl_meas   F5 config
F7..FE  press[3] temp[3] hum[2]: 20, 20 and 16 bits, most significant byte first
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import ClassVar

from firmware_sim.device import Nack, Playback, Report, Values
from firmware_sim.devices.bme280_adc import Compensation, invert
from firmware_sim.street import Street

# T1..P9 are those of the worked example in the BMP280 datasheet, chapter 3.12; H1..H6 are typical of a BME280
CALIBRATION = "706b436718fc7d8e43d6d00b270b8c00f9ff8c3cf8c67017004b" + "6a01001329031e"
ID, RESET, CTRL_HUM, STATUS, CTRL_MEAS, CONFIG, DATA = 0xD0, 0xE0, 0xF2, 0xF3, 0xF4, 0xF5, 0xF7
CHIP_ID, RESET_WORD, MEASURING = 0x60, 0xB6, 0x08
NO_DATA = bytes.fromhex("8000008000008000")
SLEEP, NORMAL = 0, 3
OVERSAMPLING = (0, 1, 2, 4, 8, 16, 16, 16)
STANDBY_S = (0.0005, 0.0625, 0.125, 0.25, 0.5, 1.0, 0.010, 0.020)


class Bme280:
    """Asleep after power-on; keeps the last measurement while it sleeps."""

    ADDRESSES: ClassVar[tuple[int, ...]] = (0x76, 0x77)

    def __init__(
        self, street: Street, report: Report, frames: Sequence[str] = (), calibration: str = CALIBRATION
    ) -> None:
        self._street, self._report = street, report
        self._frames = Playback(frames, 8)
        self._nvm = bytes.fromhex(calibration)
        if len(self._nvm) != 33:
            raise ValueError(f"calibration has {len(self._nvm)} bytes, not 26 + 7")
        self._formula = Compensation(self._nvm)
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
        self._registers[STATUS] = MEASURING if self._done_s > t_s and self._begun_s <= t_s else 0
        if self._pointer == DATA and self._served is not None:
            self._report(t_s, self._served)
        said = bytes(self._registers[self._pointer : self._pointer + n])
        while len(said) < n:  # behind the last register comes the first
            said += bytes(self._registers[: n - len(said)])
        self._pointer = (self._pointer + n) % 256
        return said

    def _reset(self) -> None:
        self._registers = bytearray(256)
        self._registers[0x88:0xA2] = self._nvm[:26]
        self._registers[0xE1:0xE8] = self._nvm[26:]
        self._registers[ID] = CHIP_ID
        self._registers[DATA : DATA + 8] = NO_DATA
        self._pointer = self._humidity_code = 0
        self._begun_s = self._done_s = math.inf
        self._served: Values | None = None

    def _put(self, register: int, value: int, t_s: float) -> None:
        if register == RESET and value == RESET_WORD:
            self._reset()
        elif register == CTRL_HUM:
            self._registers[CTRL_HUM] = value & 0x07
        elif register == CONFIG:
            self._registers[CONFIG] = value & 0xFD
        elif register == CTRL_MEAS:
            self._registers[CTRL_MEAS] = value
            self._humidity_code = self._registers[CTRL_HUM]  # takes effect only now
            self._begun_s = math.inf if value & 0x03 == SLEEP else t_s
            self._done_s = self._begun_s + self._measuring_s()

    def _measuring_s(self) -> float:
        """The longest time that a measurement may take (datasheet 9.1)."""
        temperature, pressure, humidity = self._oversampling()
        return (1.25 + 2.3 * temperature + (2.3 * pressure + 0.575) + (2.3 * humidity + 0.575)) / 1000.0

    def _oversampling(self) -> tuple[int, int, int]:
        control = self._registers[CTRL_MEAS]
        return OVERSAMPLING[control >> 5], OVERSAMPLING[control >> 2 & 0x07], OVERSAMPLING[self._humidity_code]

    def _advance(self, t_s: float) -> None:
        """Finish the measurement that is due, and in normal mode those that would have followed it."""
        if t_s < self._done_s:
            return
        if self._registers[CTRL_MEAS] & 0x03 == NORMAL:
            cycle_s = self._measuring_s() + STANDBY_S[self._registers[CONFIG] >> 5]
            missed = math.floor((t_s - self._done_s) / cycle_s)
            self._latch(self._done_s + missed * cycle_s)
            self._begun_s = self._done_s + (missed + 1) * cycle_s - self._measuring_s()
            self._done_s = self._begun_s + self._measuring_s()
        else:
            self._latch(self._done_s)
            self._registers[CTRL_MEAS] &= 0xFC
            self._begun_s = self._done_s = math.inf

    def _latch(self, t_s: float) -> None:
        if self._frames:
            self._registers[DATA : DATA + 8], self._served = self._frames.pop(), {}
            return
        temperature_on, pressure_on, humidity_on = self._oversampling()
        formula = self._formula
        last_t, last_p, last_h = self._last  # the air changes little
        adc_t = invert(formula.temperature_degc, self._street.temperature_degc(t_s), 20, last_t)
        t_fine = formula.t_fine(adc_t)
        adc_p = invert(lambda adc: -formula.pressure_pa(adc, t_fine), -self._street.pressure_pa(t_s), 20, last_p)
        adc_h = invert(lambda adc: formula.humidity_pct(adc, t_fine), self._street.humidity_pct(t_s), 16, last_h)
        self._last = adc_t, adc_p, adc_h
        self._served = {
            "temperature": formula.temperature_degc(adc_t) if temperature_on else None,
            "pressure": formula.pressure_pa(adc_p, t_fine) if temperature_on and pressure_on else None,
            "humidity": formula.humidity_pct(adc_h, t_fine) if temperature_on and humidity_on else None,
        }
        press = adc_p if pressure_on else 0x80000
        temp = adc_t if temperature_on else 0x80000
        hum = adc_h if humidity_on else 0x8000
        self._registers[DATA : DATA + 8] = struct.pack(
            ">HBHBH", press >> 4, (press & 15) << 4, temp >> 4, (temp & 15) << 4, hum
        )
