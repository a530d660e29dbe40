"""Sensirion SEN55, by its datasheet: commands of 16 bits, words of 16 bits with a CRC behind each.

03C4 reply: u16 PM1.0 PM2.5 PM4 PM10 (x 10), i16 RH (x 100), T (x 200), VOC, NOx (x 10); unknown FFFF / 7FFF
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Final

from firmware_sim.checks import with_crcs, without_crcs
from firmware_sim.device import Nack, Playback, Report, Values
from firmware_sim.street import Street

START, START_GAS, STOP, READY, READ, CLEAN = 0x0021, 0x0037, 0x0104, 0x0202, 0x03C4, 0x5607
NAME, SERIAL, VERSION, STATUS, CLEAR_STATUS, RESET = 0xD014, 0xD033, 0xD100, 0xD206, 0xD210, 0xD304
EXECUTION_S: Final[Mapping[int, float]] = MappingProxyType({START: 0.05, START_GAS: 0.05, STOP: 0.16, RESET: 0.1})
COMMAND_S = 0.02  # of every other command
# stored words of the tuning commands: temperature offset, warm start, VOC and NOx tuning, RHT mode, VOC state, cleaning
PARAMETERS: Final[Mapping[int, tuple[int, ...]]] = MappingProxyType(
    {
        0x60B2: (0, 0, 0),
        0x60C6: (0,),
        0x60D0: (100, 12, 12, 180, 50, 230),
        0x60E1: (1, 12, 12, 720, 50, 230),
        0x60F7: (0,),
        0x6181: (0, 0, 0, 0),
        0x8004: (0x0009, 0x3A80),  # 604800 s
    }
)
SAMPLE_EVERY_S, NOX_WARM_UP_S, CLEANING_S = 1.0, 10.0, 10.0
CLEANING_BIT = 1 << 19
VERSION_BYTES = bytes([2, 0, 0, 4, 0, 1, 0, 0])  # firmware 2.0, not debug, hardware 4.0, protocol 1.0
U16_UNKNOWN, I16_UNKNOWN = 0xFFFF, 0x7FFF
CHANNELS = ("pm1_0", "pm2_5", "pm4_0", "pm10", "humidity", "temperature", "voc_index", "nox_index")
SCALES = (10, 10, 10, 10, 100, 200, 10, 10)


class Sen55:
    """Idle after power-on; does not acknowledge while a command is being carried out."""

    ADDRESSES: ClassVar[tuple[int, ...]] = (0x69,)

    def __init__(
        self, street: Street, report: Report, frames: Sequence[str] = (), serial: str = "3E6D881D480ACDC3"
    ) -> None:
        self._street, self._report, self._serial = street, report, serial.encode()
        if len(self._serial) > 31:
            raise ValueError("serial must have at most 31 characters")
        self._frames = Playback(frames, 24)
        self._parameters = dict(PARAMETERS)
        self._busy_until_s = self._cleaning_until_s = -math.inf
        self._reply: bytes | None = None
        self._served: Values | None = None
        self._start_s: float | None = None
        self._gas_only, self._read_sample = False, 0
        self._cleaning_from_s = -math.inf

    def write(self, data: bytes, t_s: float) -> None:
        """Start a command; its reply can be read once its execution time has passed."""
        if t_s < self._busy_until_s:
            raise Nack("busy")
        if not data:
            return
        arguments = without_crcs(data[2:])
        if len(data) < 2 or arguments is None:
            raise Nack("length or CRC")
        command = int.from_bytes(data[:2], "big")
        self._reply, self._served = None, None
        words = self._carry_out(command, arguments, t_s)
        if words is not None:
            self._reply = with_crcs(words)
        if command == READ and self._frames:
            self._reply, self._served = self._frames.pop(), {}
        self._busy_until_s = t_s + EXECUTION_S.get(command, COMMAND_S)

    def read(self, n: int, t_s: float) -> bytes:
        """Return the reply once; bytes behind its end read as FF."""
        if t_s < self._busy_until_s or self._reply is None:
            raise Nack("nothing to read")
        if self._served is not None:
            self._report(t_s, self._served)
        reply, self._reply, self._served = self._reply, None, None
        return reply[:n].ljust(n, b"\xff")

    def _carry_out(self, command: int, arguments: bytes, t_s: float) -> bytes | None:
        if command in self._parameters:
            return self._parameter(command, arguments)
        if arguments:
            raise Nack("takes no arguments")
        constants = {NAME: b"SEN55".ljust(32, b"\0"), SERIAL: self._serial.ljust(32, b"\0"), VERSION: VERSION_BYTES}
        if command in constants:
            return constants[command]
        if command in (STATUS, CLEAR_STATUS):  # cleaning is a state of the present, so clearing leaves it
            return (CLEANING_BIT if t_s < self._cleaning_until_s else 0).to_bytes(4, "big")
        if command == READY:
            return bytes([0, int(self._sample(t_s) > self._read_sample)])
        if command == READ:
            return self._measure(t_s)
        if command in (START, START_GAS):
            self._start_s, self._gas_only, self._read_sample = t_s, command == START_GAS, 0
        elif command in (STOP, RESET):
            self._stop()
            self._parameters = dict(PARAMETERS) if command == RESET else self._parameters
        elif command != CLEAN:
            raise Nack(f"unknown command {command:04X}")
        elif self._start_s is not None:
            self._cleaning_from_s, self._cleaning_until_s = t_s, t_s + CLEANING_S
        return None

    def _stop(self) -> None:
        self._start_s, self._gas_only, self._read_sample = None, False, 0
        self._cleaning_from_s = self._cleaning_until_s = -math.inf

    def _parameter(self, command: int, arguments: bytes) -> bytes | None:
        if not arguments:
            return struct.pack(f">{len(self._parameters[command])}H", *self._parameters[command])
        if len(arguments) != 2 * len(self._parameters[command]):
            raise Nack("wrong number of arguments")
        self._parameters[command] = struct.unpack(f">{len(arguments) // 2}H", arguments)
        return None

    def _sample(self, t_s: float) -> int:
        """Number of the newest sample since the start; none is made while the fan is being cleaned."""
        if self._start_s is None:
            return 0
        if t_s < self._cleaning_until_s:
            t_s = self._cleaning_from_s
        return int((t_s - self._start_s) / SAMPLE_EVERY_S)

    def _measure(self, t_s: float) -> bytes:
        self._read_sample = sample = self._sample(t_s)
        values: list[float | None] = [None] * len(CHANNELS)
        if self._start_s is not None and sample:
            at_s = self._start_s + sample * SAMPLE_EVERY_S
            air, street = self._street.particles(at_s), self._street
            values = [*air, street.humidity_pct(at_s), street.temperature_degc(at_s), street.voc_index(at_s)]
            values.append(street.nox_index(at_s) if at_s - self._start_s > NOX_WARM_UP_S else None)
            if self._gas_only:
                values[:4] = [None] * 4
        raw = [None if x is None else round(x * scale) for x, scale in zip(values, SCALES, strict=True)]
        self._served = {
            name: None if x is None else x / scale for name, x, scale in zip(CHANNELS, raw, SCALES, strict=True)
        }
        pm = [U16_UNKNOWN if x is None else min(x, U16_UNKNOWN - 1) for x in raw[:4]]
        gas = [I16_UNKNOWN if x is None else x for x in raw[4:]]
        return struct.pack(">4H4h", *pm, *gas)
