"""Sensirion SPS30, by its datasheet: one sensor, spoken to over a UART (SHDLC) or over I2C.

UART  7E 00 command length data.. sum 7E  ->  7E 00 command state length data.. sum 7E, stuffed
I2C   0010 start   0104 stop   0202 ready   0300 read   1001 sleep   1103 wake   5607 clean   D206 status
data  float32 or u16: PM1 PM2.5 PM4 PM10 in ug/m3, N0.5 N1 N2.5 N4 N10 in 1/cm3, typical size in um (u16: nm)
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import ClassVar

from firmware_sim.checks import SHDLC_FLAG, shdlc_content, shdlc_frame, with_crcs
from firmware_sim.device import NEVER_S, Nack, Playback, Report, Values
from firmware_sim.devices.sensirion import Answer, SensirionI2c, said, text, up_to, words
from firmware_sim.street import Counts, Street

CHANNELS = ("pm1_0", "pm2_5", "pm4_0", "pm10", "n0_5", "n1_0", "n2_5", "n4_0", "n10", "typical_size")
FLOATS, INTEGERS = 0x03, 0x05
SAMPLE_EVERY_S, CLEANING_S, RESET_S, WAKE_WITHIN_S = 1.0, 10.0, 0.1, 0.1
AUTO_CLEAN_S = 604_800
# at least so many particles per cm3: so long until the readings are true
START_UP_S = ((200.0, 8.0), (100.0, 16.0), (0.0, 30.0))
MIDDLES_UM = (0.39, 0.71, 1.58, 3.16, 6.3)  # of the classes between 0.3, 0.5, 1, 2.5, 4 and 10 um
PRODUCT_TYPE, FIRMWARE = "00080000", (2, 2)


class Sensor:
    """What lies behind both interfaces: idle, measuring or asleep; laser, fan and the clock of the cleaning."""

    def __init__(self, street: Street) -> None:
        self._street = street
        self.interval_s = AUTO_CLEAN_S
        self.reset()

    def reset(self) -> None:
        """Be as after power-on; the cleaning interval is kept."""
        self.start_s: float | None = None
        self.asleep, self.form, self._read = False, FLOATS, 0
        self._cleaning_from_s = -math.inf

    def start(self, form: int, t_s: float) -> None:
        """Switch laser and fan on."""
        self.start_s, self.form, self._read, self._cleaning_from_s = t_s, form, 0, -math.inf

    def clean(self, t_s: float) -> None:
        """Run the fan at full speed for 10 s."""
        self._cleaning_from_s = t_s

    def is_ready(self, t_s: float) -> bool:
        """Tell whether there is a sample that was not read yet."""
        return self._newest(t_s) > self._read

    def take(self, t_s: float) -> tuple[bytes, Values] | None:
        """The newest sample as bytes and as what they say; None before the first one."""
        self._read = newest = self._newest(t_s)
        if self.start_s is None or not newest:
            return None
        values = self._measure(self.start_s + newest * SAMPLE_EVERY_S)
        if self.form == FLOATS:
            data = struct.pack(">10f", *values)
            return data, dict(zip(CHANNELS, struct.unpack(">10f", data), strict=True))
        raw = [min(round(x), 0xFFFF) for x in (*values[:9], 1000.0 * values[9])]
        return struct.pack(">10H", *raw), dict(zip(CHANNELS, (*map(float, raw[:9]), raw[9] / 1000.0), strict=True))

    def _newest(self, t_s: float) -> int:
        """Number of the newest sample since the start; none is made while the fan is being cleaned."""
        if self.start_s is None:
            return 0
        since = math.floor((t_s - self.start_s) / self.interval_s) if self.interval_s else 0
        begun_s = (self._cleaning_from_s, self.start_s + since * self.interval_s if since else -math.inf)
        for from_s in begun_s:
            if from_s <= t_s < from_s + CLEANING_S:
                t_s = from_s
        return math.floor((t_s - self.start_s) / SAMPLE_EVERY_S)

    def _measure(self, t_s: float) -> list[float]:
        assert self.start_s is not None
        air, counts = self._street.particles(t_s), self._street.counts_per_cm3(t_s)
        needed_s = next(s for density, s in START_UP_S if counts.n0_3 >= density)
        share = min((t_s - self.start_s) / needed_s, 1.0)
        return [*(share * x for x in (*air, *up_to(counts))), typical_size_um(counts)]


class Sps30I2c(SensirionI2c):
    """With SEL at ground: at 0x69, where a SEN5x may also be."""

    ADDRESSES: ClassVar[tuple[int, ...]] = (0x69,)
    START, STOP, READY, READ, SLEEP, WAKE, CLEAN, INTERVAL = 0x10, 0x104, 0x202, 0x300, 0x1001, 0x1103, 0x5607, 0x8004
    TYPE, SERIAL, VERSION, STATUS, CLEAR, RESET = 0xD002, 0xD033, 0xD100, 0xD206, 0xD210, 0xD304
    EXECUTION_S = MappingProxyType(
        {START: 0.02, STOP: 0.02, SLEEP: 0.005, WAKE: 0.005, CLEAN: 0.005, INTERVAL: 0.005, CLEAR: 0.005}
        | {RESET: RESET_S}
    )

    def __init__(
        self, street: Street, report: Report, frames: Sequence[str] = (), serial: str = "6F1A2B3C4D5E6071"
    ) -> None:
        super().__init__(street, report, frames)
        self._serial = serial
        if len(serial.encode()) > 31:
            raise ValueError("serial must have at most 31 characters")
        self._sensor = Sensor(street)
        self._stirred_until_s = -math.inf

    def write(self, data: bytes, t_s: float) -> None:
        """Start a command; asleep, the first pulse on the bus opens the interface for 100 ms, and wakes nobody."""
        if self._sensor.asleep and t_s >= self._stirred_until_s:
            self._stirred_until_s = t_s + WAKE_WITHIN_S
            raise Nack("asleep")
        if self._sensor.asleep and data != self.WAKE.to_bytes(2, "big"):
            raise Nack("asleep")
        super().write(data, t_s)

    def _carry_out(self, command: int, arguments: bytes, t_s: float) -> Answer | None:
        sensor, measuring = self._sensor, self._sensor.start_s is not None
        allowed = {self.START: not measuring, self.SLEEP: not measuring, self.CLEAN: measuring, self.READ: measuring}
        if not allowed.get(command, True):
            raise Nack("not in this state")
        if command == self.START:
            (form,) = words(arguments, 1)
            if form >> 8 not in (FLOATS, INTEGERS):
                raise Nack("output format")
            sensor.start(form >> 8, t_s)
            return None
        if command == self.INTERVAL and arguments:
            high, low = words(arguments, 2)
            sensor.interval_s = high << 16 | low
            return None
        if arguments:
            raise Nack("takes no arguments")
        return self._tell(command, t_s) or self._change(command, t_s)

    def _tell(self, command: int, t_s: float) -> Answer | None:
        if command == self.READ:
            taken = self._sensor.take(t_s)
            if taken is None:
                raise Nack("no sample yet")
            return self._measured(*taken)
        if command == self.READY:
            return said(int(self._sensor.is_ready(t_s)))
        if command == self.INTERVAL:
            return said(self._sensor.interval_s >> 16, self._sensor.interval_s & 0xFFFF)
        answers = {self.TYPE: text(PRODUCT_TYPE, 8), self.SERIAL: text(self._serial), self.STATUS: said(0, 0)}
        return (answers | {self.VERSION: Answer(with_crcs(bytes(FIRMWARE)))}).get(command)

    def _change(self, command: int, t_s: float) -> Answer | None:
        if command == self.RESET:
            self._sensor.reset()
        elif command == self.STOP:
            self._sensor.start_s = None
        elif command == self.CLEAN:
            self._sensor.clean(t_s)
        elif command in (self.SLEEP, self.WAKE):
            self._sensor.asleep = command == self.SLEEP
            self._stirred_until_s = -math.inf
        elif command != self.CLEAR:
            raise Nack(f"unknown command {command:04X}")
        return None


OK, WRONG_LENGTH, UNKNOWN, BAD_PARAMETER, NOT_NOW = 0x00, 0x01, 0x02, 0x04, 0x43
MAX_BYTES = 2 * (3 + 255 + 1)  # of one frame, when all of them are stuffed
UART_VERSION = bytes([*FIRMWARE, 0, 7, 0, 2, 0])


class Sps30:
    """With SEL open: answers every good frame with a state, and nothing at all while it sleeps."""

    START, STOP, READ, SLEEP, WAKE, CLEAN, INTERVAL = 0x00, 0x01, 0x03, 0x10, 0x11, 0x56, 0x80
    INFORMATION, VERSION, STATUS, RESET = 0xD0, 0xD1, 0xD2, 0xD3

    def __init__(
        self, street: Street, report: Report, frames: Sequence[str] = (), serial: str = "6F1A2B3C4D5E6071"
    ) -> None:
        self._report, self._frames, self._serial = report, Playback(frames), serial
        if len(serial.encode()) > 31:
            raise ValueError("serial must have at most 31 characters")
        self._sensor = Sensor(street)
        self._buffer: bytes | None = None  # None: outside a frame
        self._deaf_until_s = self._stirred_until_s = -math.inf

    def receive(self, data: bytes, t_s: float) -> bytes:
        """Answer every whole frame; asleep, the first byte only opens the interface for 100 ms."""
        if t_s < self._deaf_until_s:
            return b""
        if self._sensor.asleep and t_s >= self._stirred_until_s:
            self._stirred_until_s = t_s + WAKE_WITHIN_S
            data, self._buffer = data[1:], None
        replies = b""
        for byte in data:
            if byte != SHDLC_FLAG:
                if self._buffer is not None:
                    self._buffer = self._buffer + bytes([byte]) if len(self._buffer) < MAX_BYTES else None
                continue
            stuffed, self._buffer = self._buffer, b""
            content = shdlc_content(stuffed) if stuffed else None
            if content is not None:
                self._buffer = None
                replies += self._hear(content, t_s)
        return replies

    def update(self, t_s: float) -> tuple[bytes, float]:
        """It never speaks by itself."""
        del t_s
        return b"", NEVER_S

    def _hear(self, content: bytes, t_s: float) -> bytes:
        if len(content) < 3 or content[0] != 0 or (self._sensor.asleep and content[1] != self.WAKE):
            return b""
        command, length, data = content[1], content[2], content[3:]
        if command == self.READ and len(data) == length == 0 and self._frames and self._sensor.start_s is not None:
            self._report(t_s, {})
            return self._frames.pop()
        state, reply = self._carry_out(command, data, t_s) if len(data) == length else (WRONG_LENGTH, b"")
        return shdlc_frame(bytes([0, command, state, len(reply)]) + reply)

    def _carry_out(self, command: int, data: bytes, t_s: float) -> tuple[int, bytes]:
        sensor, measuring = self._sensor, self._sensor.start_s is not None
        # bytes of data, and whether the command is for now
        rules = {
            self.START: ((2,), not measuring),
            self.STOP: ((0,), measuring),
            self.READ: ((0,), measuring),
            self.SLEEP: ((0,), not measuring),
            self.WAKE: ((0,), sensor.asleep),
            self.CLEAN: ((0,), measuring),
            self.INTERVAL: ((1, 5), True),
            self.INFORMATION: ((1,), True),
            self.VERSION: ((0,), True),
            self.STATUS: ((1,), True),
            self.RESET: ((0,), True),
        }
        lengths, is_time = rules.get(command, ((), True))
        if not lengths or len(data) not in lengths:
            return (WRONG_LENGTH if lengths else UNKNOWN), b""
        if not is_time:
            return NOT_NOW, b""
        if command == self.READ:
            return OK, self._take(t_s)
        if command in (self.INTERVAL, self.INFORMATION, self.STATUS, self.VERSION):
            return self._tell(command, data)
        if command == self.START:
            if data[0] != 1 or data[1] not in (FLOATS, INTEGERS):
                return BAD_PARAMETER, b""
            sensor.start(data[1], t_s)
        elif command == self.CLEAN:
            sensor.clean(t_s)
        elif command == self.RESET:
            sensor.reset()
            self._deaf_until_s = t_s + RESET_S
        else:
            sensor.start_s, sensor.asleep = None, command == self.SLEEP
            self._stirred_until_s = -math.inf
        return OK, b""

    def _take(self, t_s: float) -> bytes:
        """The newest sample once; nothing when it was read before."""
        taken = self._sensor.take(t_s) if self._sensor.is_ready(t_s) else None
        if taken is None:
            return b""
        self._report(t_s, taken[1])
        return taken[0]

    def _tell(self, command: int, data: bytes) -> tuple[int, bytes]:
        if command == self.VERSION:
            return OK, UART_VERSION
        if command == self.STATUS:
            return (OK, bytes(5)) if data[0] in (0, 1) else (BAD_PARAMETER, b"")
        if command == self.INFORMATION:
            texts = {0: PRODUCT_TYPE, 1: PRODUCT_TYPE, 3: self._serial}
            return (OK, texts[data[0]].encode() + b"\0") if data[0] in texts else (BAD_PARAMETER, b"")
        if data[0] != 0:
            return BAD_PARAMETER, b""
        if len(data) == 1:
            return OK, struct.pack(">I", self._sensor.interval_s)
        (self._sensor.interval_s,) = struct.unpack(">I", data[1:])
        return OK, b""


def typical_size_um(counts: Counts) -> float:
    """Mean diameter of what is counted, from the middles of the classes."""
    steps = up_to(counts)
    classes = [steps[0], *(b - a for a, b in pairwise(steps))]
    return sum(n * d for n, d in zip(classes, MIDDLES_UM, strict=True)) / max(steps[-1], 1e-9)
