"""Texas Instruments ADS1115 (SBAS444) behind two Alphasense sensor boards: NO2-B43F on AIN0/1, OX-B431 on AIN2/3.

pointer[1]                  00 conversion  01 config  02 low, 03 high threshold; a read goes on from the pointer
pointer[1] value[2]         writes a register, most significant byte first
config  OS 15 | MUX 14:12 | PGA 11:9 | MODE 8 | DR 7:5 | comparator 4:0

Each board gives the volts of a working and of an auxiliary electrode, as Alphasense AAN 803-05 describes them:
WE = WE zero + nT * warmth + sensitivity * ppb, AE = AE zero + warmth, and warmth grows with the temperature.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Final, NamedTuple

from firmware_sim.device import Nack, Playback, Report
from firmware_sim.street import Street

CONVERSION, CONFIG, LOW, HIGH = range(4)
DEFAULTS: Final[Mapping[int, int]] = MappingProxyType({CONVERSION: 0, CONFIG: 0x8583, LOW: 0x8000, HIGH: 0x7FFF})
FULL_SCALE_V = (6.144, 4.096, 2.048, 1.024, 0.512, 0.256, 0.256, 0.256)
RATES_HZ = (8, 16, 32, 64, 128, 250, 475, 860)
INPUTS = ((0, 1), (0, 3), (1, 3), (2, 3), (0, None), (1, None), (2, None), (3, None))  # (plus, minus); None: ground
START, SINGLE_SHOT = 0x8000, 0x0100
RESET_CALL = b"\x06"
WAKE_S = 25e-6
CHANNELS = ("v0", "v1", "v2", "v3")
TABLE_DEGC = (-30.0, 10.0)  # first temperature and step of the factors below


class Electrodes(NamedTuple):
    """One cell on its board: zeros of the electrodes in mV, mV per ppb, and nT of AAN 803-05."""

    we_zero_mv: float
    ae_zero_mv: float
    mv_per_ppb: float
    factors: tuple[float, ...]


NO2_CELL = Electrodes(225.0, 230.0, 0.309, (1.3, 1.3, 1.3, 1.3, 1.0, 0.6, 0.4, 0.2, -1.5))
OX_CELL = Electrodes(246.0, 251.0, 0.362, (0.9, 0.9, 1.0, 1.3, 1.5, 1.7, 2.0, 2.5, 3.7))
OX_MV_PER_PPB_NO2 = 0.338  # an OX cell feels NO2 as well


class Ads1115:
    """Powers down after a single conversion; in continuous mode a change waits for the conversion under way."""

    ADDRESSES: ClassVar[tuple[int, ...]] = (0x48, 0x49, 0x4A, 0x4B)

    def __init__(self, street: Street, report: Report, frames: Sequence[str] = ()) -> None:
        self._street, self._report = street, report
        self._frames = Playback(frames, 2)
        self._told: dict[str, float] = {}
        self._reset()

    def write(self, data: bytes, t_s: float) -> None:
        """Set the pointer, and with two more bytes the register that it points to."""
        self._advance(t_s)
        if len(data) not in (0, 1, 3):
            raise Nack("a register has two bytes")
        if data:
            self._pointer = data[0] & 0x03
        if len(data) == 3 and self._pointer != CONVERSION:
            value = int.from_bytes(data[1:], "big")
            if self._pointer == CONFIG:
                self._configure(value, t_s)
            else:
                self._registers[self._pointer] = value

    def read(self, n: int, t_s: float) -> bytes:
        """Read the register of the pointer; a longer read gives it again."""
        self._advance(t_s)
        value = self._registers[self._pointer]
        if self._pointer == CONFIG:
            value = value & ~START | (0 if self._done_s < math.inf else START)
        if self._pointer == CONVERSION and self._measured is not None:
            self._tell(t_s)
        return (value.to_bytes(2, "big") * math.ceil(n / 2))[:n]

    def general_call(self, data: bytes, t_s: float) -> None:  # noqa: ARG002 - it acts at once
        """Reset, as after power-on."""
        if data != RESET_CALL:
            raise Nack("only the reset is known")
        self._reset()

    def _reset(self) -> None:
        self._registers = dict(DEFAULTS)
        self._pointer = CONVERSION
        self._running, self._done_s = DEFAULTS[CONFIG], math.inf  # what is converted, and when it will be there
        self._measured: Mapping[str, float] | None = None

    def _configure(self, value: int, t_s: float) -> None:
        self._registers[CONFIG] = value
        if self._done_s < math.inf:
            return  # taken over when the conversion under way is done
        if not value & SINGLE_SHOT or value & START:
            self._running, self._done_s = value, t_s + WAKE_S + _period_s(value)

    def _advance(self, t_s: float) -> None:
        while self._done_s <= t_s:
            self._convert(self._done_s)
            self._running = self._registers[CONFIG]
            if self._running & SINGLE_SHOT:
                self._done_s = math.inf
                break
            period_s = _period_s(self._running)
            missed = max(math.floor((t_s - self._done_s) / period_s) - 1, 0)
            self._done_s += period_s * (missed + 1)

    def _convert(self, t_s: float) -> None:
        if self._frames:
            self._registers[CONVERSION], self._measured = int.from_bytes(self._frames.pop(), "big"), {}
            return
        full_scale_v = FULL_SCALE_V[self._running >> 9 & 0x07]
        plus, minus = INPUTS[self._running >> 12 & 0x07]
        volts = self._volts(plus, t_s) - (0.0 if minus is None else self._volts(minus, t_s))
        steps = min(max(round(volts / full_scale_v * 32768.0), -32768), 32767)
        self._registers[CONVERSION] = steps & 0xFFFF
        self._measured = {CHANNELS[plus]: steps * full_scale_v / 32768.0} if minus is None else None

    def _tell(self, t_s: float) -> None:
        """Report all four inputs together, for a host reads them one after the other."""
        assert self._measured is not None
        if not self._measured:
            self._report(t_s, {})
        elif self._measured.keys() & self._told.keys():
            self._report(t_s, self._told)
            self._told = {}
        self._told |= self._measured
        if len(self._told) == len(CHANNELS):
            self._report(t_s, self._told)
            self._told = {}
        self._measured = None

    def _volts(self, pin: int, t_s: float) -> float:
        degc = self._street.temperature_degc(t_s)
        cell = OX_CELL if pin >= 2 else NO2_CELL
        warmth_mv = 2.0 * math.exp((degc - 20.0) / 25.0)
        if pin % 2:
            return (cell.ae_zero_mv + warmth_mv) / 1000.0
        gas_mv = cell.mv_per_ppb * (self._street.o3_ppb(t_s) if pin >= 2 else self._street.no2_ppb(t_s))
        if pin >= 2:
            gas_mv += OX_MV_PER_PPB_NO2 * self._street.no2_ppb(t_s)
        return (cell.we_zero_mv + _factor(cell.factors, degc) * warmth_mv + gas_mv) / 1000.0


def _period_s(config: int) -> float:
    return 1.0 / RATES_HZ[config >> 5 & 0x07]


def _factor(factors: tuple[float, ...], degc: float) -> float:
    """nT between the temperatures of its table."""
    place = min(max((degc - TABLE_DEGC[0]) / TABLE_DEGC[1], 0.0), len(factors) - 1.0)
    low = min(int(place), len(factors) - 2)
    return factors[low] + (factors[low + 1] - factors[low]) * (place - low)
