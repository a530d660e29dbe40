"""Sensirion SEN63C, SEN65, SEN66 and SEN68, by their datasheet and Zephyr's drivers/sensor/sensirion/sen6x.

0021 start   0104 stop   0202 ready   0316 number concentrations   5607 fan cleaning   D206 status   D304 reset
SEN63C 0471   SEN65 0446   SEN66 0300   SEN68 0467: u16 PM1 PM2.5 PM4 PM10 (x 10), i16 RH (x 100), T (x 200), then of
i16 VOC, NOx (x 10), u16 CO2 (i16 on the SEN63C), u16 HCHO (x 10) what the part has; unknown FFFF / 7FFF
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Final, NamedTuple

from firmware_sim.checks import with_crcs
from firmware_sim.device import Nack, Report
from firmware_sim.devices.sensirion import Answer, SensirionI2c, said, text, up_to, words
from firmware_sim.street import Street

START, STOP, READY, NUMBERS, CLEAN, HEAT = 0x0021, 0x0104, 0x0202, 0x0316, 0x5607, 0x6765
NAME, SERIAL, VERSION, STATUS, READ_AND_CLEAR, RESET, FORCE_CO2 = 0xD014, 0xD033, 0xD100, 0xD206, 0xD210, 0xD304, 0x6707
VOC_TUNING, NOX_TUNING, VOC_STATE, SELF_CALIBRATION, PRESSURE, ALTITUDE = 0x60D0, 0x60E1, 0x6181, 0x6711, 0x6720, 0x6736
T_OFFSET, T_ACCELERATION = 0x60B2, 0x6100
GAS_PARAMETERS: Final[Mapping[int, tuple[int, ...]]] = MappingProxyType(
    {VOC_TUNING: (100, 12, 12, 180, 50, 230), NOX_TUNING: (1, 12, 12, 720, 50, 230), VOC_STATE: (0, 0, 0, 0)}
)
CO2_PARAMETERS: Final[Mapping[int, tuple[int, ...]]] = MappingProxyType(
    {SELF_CALIBRATION: (1,), PRESSURE: (1013,), ALTITUDE: (0,)}
)
WRITE_ONLY: Final[Mapping[int, int]] = MappingProxyType({T_OFFSET: 4, T_ACCELERATION: 4})
IDLE_ONLY = (START, RESET, CLEAN, HEAT, FORCE_CO2, T_ACCELERATION, VOC_TUNING, NOX_TUNING, SELF_CALIBRATION, ALTITUDE)
VERSION_BYTES = bytes([4, 0, 0, 4, 0, 1, 0, 0])
SAMPLE_EVERY_S, CLEANING_S = 1.0, 10.0
NOX_UNKNOWN_S, CO2_UNKNOWN_S, HCHO_UNKNOWN_S, CONDITIONING_S = 10.0, 5.0, 60.0, 24.0
CO2_1_ERROR = 1 << 12


class Field(NamedTuple):
    """How one value is written: `code` of struct, and by what it is multiplied."""

    channel: str
    code: str
    scale: int

    @property
    def unknown(self) -> int:
        """What says that the value is not known: the most that fits."""
        return 0x7FFF if self.code == "h" else 0xFFFF


AIR: Final = (
    *(Field(name, "H", 10) for name in ("pm1_0", "pm2_5", "pm4_0", "pm10")),
    Field("humidity", "h", 100),
    Field("temperature", "h", 200),
)
GAS: Final = (Field("voc_index", "h", 10), Field("nox_index", "h", 10))
RAW_AIR: Final = (Field("humidity", "h", 100), Field("temperature", "h", 200))
RAW_GAS: Final = (Field("voc_raw", "H", 1), Field("nox_raw", "H", 1))
COUNTS: Final = tuple(Field(name, "H", 10) for name in ("n0_5", "n1_0", "n2_5", "n4_0", "n10"))


class Sen6x(SensirionI2c):
    """Idle after power-on; goes on measuring when the host is gone, and then refuses to start again."""

    ADDRESSES: ClassVar[tuple[int, ...]] = (0x6B,)
    EXECUTION_S = MappingProxyType({START: 0.05, STOP: 1.4, RESET: 1.2, HEAT: 1.3, FORCE_CO2: 0.5})
    COMMAND_S = 0.02
    NAME: ClassVar[str]
    READ: ClassVar[int]
    RAW: ClassVar[int]
    FIELDS: ClassVar[tuple[Field, ...]]
    RAW_FIELDS: ClassVar[tuple[Field, ...]]
    CO2_AFTER_S: ClassVar[float] = CO2_UNKNOWN_S

    def __init__(
        self, street: Street, report: Report, frames: Sequence[str] = (), serial: str = "5A4D881D480ACDC3"
    ) -> None:
        super().__init__(street, report, frames, 3 * len(self.FIELDS))
        self._serial = serial
        if len(serial.encode()) > 31:
            raise ValueError("serial must have at most 31 characters")
        self._asked: set[int] = set()
        self._reset()

    def _reset(self) -> None:
        channels = {field.channel for field in self.FIELDS}
        self._parameters = dict(GAS_PARAMETERS) if "voc_index" in channels else {}
        self._parameters |= CO2_PARAMETERS if "co2" in channels else {}
        self._status = 0
        self._start_s: float | None = None
        self._conditioned_s = self._cleaned_s = -math.inf
        self._sample = self._read = 0
        self._looks: set[int] = set()

    def _carry_out(self, command: int, arguments: bytes, t_s: float) -> Answer | None:
        measures = command in (STOP, READY, NUMBERS, self.READ, self.RAW)
        if measures if self._start_s is None else command in IDLE_ONLY:
            raise Nack("not in this state")
        if command in self._parameters:
            return self._parameter(command, arguments)
        if command in WRITE_ONLY:
            words(arguments, WRITE_ONLY[command])
            return None
        if command == FORCE_CO2 and PRESSURE in self._parameters:
            words(arguments, 1)
            return said(0x8000)
        if arguments:
            raise Nack("takes no arguments")
        if command in (self.READ, self.RAW, NUMBERS):
            return self._look(command, t_s)
        if command == READY:
            return said(int(self._newest(t_s) > self._read))
        told = self._tell(command)
        if told is None:
            self._change(command, t_s)
        return told

    def _parameter(self, command: int, arguments: bytes) -> Answer | None:
        if not arguments:
            return said(*self._parameters[command])
        self._parameters[command] = words(arguments, len(self._parameters[command]))
        return None

    def _tell(self, command: int) -> Answer | None:
        if command in (STATUS, READ_AND_CLEAR):
            status = self._status
            self._status = 0 if command == READ_AND_CLEAR else status
            return said(status >> 16, status & 0xFFFF)
        if command == VERSION:
            return Answer(with_crcs(VERSION_BYTES))
        return {NAME: text(self.NAME), SERIAL: text(self._serial)}.get(command)

    def _change(self, command: int, t_s: float) -> None:
        if command == START:
            if t_s < self._cleaned_s:
                raise Nack("the fan is being cleaned")
            if t_s < self._conditioned_s:
                self._status |= CO2_1_ERROR
            if self.CO2_AFTER_S >= CONDITIONING_S:
                self._conditioned_s = t_s + CONDITIONING_S
            self._start_s, self._sample, self._read, self._looks = t_s, 0, 0, set()
        elif command == STOP:
            self._start_s = None
        elif command == RESET:
            self._reset()
        elif command == CLEAN:
            self._cleaned_s = t_s + CLEANING_S
        elif command != HEAT:
            raise Nack(f"unknown command {command:04X}")

    def _newest(self, t_s: float) -> int:
        return 0 if self._start_s is None else math.floor((t_s - self._start_s) / SAMPLE_EVERY_S)

    def _look(self, command: int, t_s: float) -> Answer:
        """What is asked for one after the other is of one sample; the truth is told with the measured values."""
        newest = self._newest(t_s)
        if command in self._looks or newest > self._sample + 1:
            self._looks = set()
        self._sample = self._sample if self._looks else newest
        self._looks.add(command)
        self._asked.add(command)
        fields = {self.READ: self.FIELDS, self.RAW: self.RAW_FIELDS, NUMBERS: COUNTS}[command]
        data, values = self._encode(fields)
        if command != self.READ:
            return Answer(with_crcs(data))
        self._read = self._sample
        if self.RAW in self._asked:
            values |= self._encode(RAW_GAS)[1] if RAW_GAS[0] in self.RAW_FIELDS else {}
        if NUMBERS in self._asked:
            values |= self._encode(COUNTS)[1]
        return self._measured(data, values)

    def _encode(self, fields: Sequence[Field]) -> tuple[bytes, dict[str, float | None]]:
        """Write the values of the present sample; return the words, and what they say."""
        data, values = b"", dict[str, float | None]()
        known = self._known() if self._sample else {}
        for field in fields:
            value = known.get(field.channel)
            word = field.unknown if value is None else min(round(value * field.scale), field.unknown - 1)
            data += struct.pack(f">{field.code}", word)
            values[field.channel] = None if value is None else word / field.scale
        return data, values

    def _known(self) -> dict[str, float]:
        """All that the part knows by the time of the present sample."""
        assert self._start_s is not None
        after_s = self._sample * SAMPLE_EVERY_S
        street, at_s = self._street, self._start_s + after_s
        known = {
            **street.particles(at_s)._asdict(),
            **dict(zip((field.channel for field in COUNTS), up_to(street.counts_per_cm3(at_s)), strict=True)),
            "humidity": street.humidity_pct(at_s),
            "temperature": street.temperature_degc(at_s),
            "voc_index": street.voc_index(at_s),
            "voc_raw": street.voc_ticks(at_s),
            "nox_raw": street.nox_ticks(at_s),
        }
        if after_s > NOX_UNKNOWN_S:
            known["nox_index"] = street.nox_index(at_s)
        if after_s > self.CO2_AFTER_S and not self._status & CO2_1_ERROR:
            known["co2"] = street.co2_ppm(at_s)
        if after_s > HCHO_UNKNOWN_S:
            known["hcho"] = street.hcho_ppb(at_s)
        return known


class Sen66(Sen6x):
    """Particles, climate, gas indices and CO2."""

    NAME, READ, RAW = "SEN66", 0x0300, 0x0405
    FIELDS = (*AIR, *GAS, Field("co2", "H", 1))
    RAW_FIELDS = (*RAW_AIR, *RAW_GAS, Field("co2", "H", 1))


class Sen63c(Sen6x):
    """Particles, climate and CO2; its CO2 sensor is conditioned for 24 s, and suffers when that is cut short."""

    NAME, READ, RAW = "SEN63C", 0x0471, 0x0492
    FIELDS = (*AIR, Field("co2", "h", 1))
    RAW_FIELDS = RAW_AIR
    CO2_AFTER_S = CONDITIONING_S


class Sen65(Sen6x):
    """Particles, climate and gas indices."""

    NAME, READ, RAW = "SEN65", 0x0446, 0x0455
    FIELDS = (*AIR, *GAS)
    RAW_FIELDS = (*RAW_AIR, *RAW_GAS)


class Sen68(Sen6x):
    """Particles, climate, gas indices and formaldehyde."""

    NAME, READ, RAW = "SEN68", 0x0467, 0x0455
    FIELDS = (*AIR, *GAS, Field("hcho", "H", 10))
    RAW_FIELDS = (*RAW_AIR, *RAW_GAS)
