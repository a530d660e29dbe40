"""Honeywell HPMA115S0 (standard) and HPMA115C0 (compact), by datasheet 32322550, tables 4 to 7.

command  68 length cmd data.. sum     01 start   02 stop   04 read   08 nn, 10 coefficient   20 stop, 40 start auto
reply    40 length cmd data.. sum     or A5 A5, or 96 96
auto     42 4D 00 1C word[2] x 13, sum[2], once a second: S0 PM2.5 and PM10 behind a gap; C0 PM1 PM2.5 PM4 PM10
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import ClassVar

from firmware_sim.checks import negated_sum, plantower_sum
from firmware_sim.device import NEVER_S, Playback, Report, Values
from firmware_sim.street import Street

START, STOP, READ, SET_COEFFICIENT, COEFFICIENT, STOP_AUTO, AUTO = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40
ACK, NACK = b"\xa5\xa5", b"\x96\x96"
HEAD, REPLY_HEAD, AUTO_HEAD = 0x68, 0x40, b"\x42\x4d\x00\x1c"
MAX_LENGTH = 2  # bytes from the command to the last byte of data
STALE_S = 1.0  # half a command older than this is forgotten
AUTO_EVERY_S, RESPONSE_S, BACKLOG_S = 1.0, 6.0, 2.0
AUTO_WORDS, VERSION_AT, VERSION = 13, 12, 0x5100  # the last word as captured: forum.arduino.cc/t/471975
MOST_UG_M3 = 1000


class Hpma115s0:
    """Measures and sends by itself after power-on; keeps both when the host goes away."""

    CHANNELS: ClassVar[tuple[str, ...]] = ("pm2_5", "pm10")
    READ_SPARE: ClassVar[int] = 0  # words behind the values in the reply to a read
    AUTO_FIRST: ClassVar[int] = 1  # word of the auto frame where the values begin

    def __init__(self, street: Street, report: Report, frames: Sequence[str] = ()) -> None:
        self._street, self._report, self._frames = street, report, Playback(frames)
        self._measuring, self._auto, self._coefficient = True, True, 100
        self._started_s = -math.inf
        self._due_s: float | None = None
        self._buffer, self._heard_s = b"", -math.inf

    def receive(self, data: bytes, t_s: float) -> bytes:
        """Answer every whole command; one with a wrong check sum or a wrong value gets 96 96."""
        if t_s - self._heard_s > STALE_S:
            self._buffer = b""
        self._heard_s = t_s
        self._buffer += data
        replies = b""
        while (start := self._buffer.find(HEAD)) >= 0:
            self._buffer = self._buffer[start:]
            if len(self._buffer) < 2:
                return replies
            size = self._buffer[1] + 3
            if not 0 < self._buffer[1] <= MAX_LENGTH:
                self._buffer = self._buffer[1:]
            elif len(self._buffer) < size:
                return replies
            else:
                command, self._buffer = self._buffer[:size], self._buffer[size:]
                good = negated_sum(command[:-1]) == command[-1]
                replies += self._obey(command[2], command[3:-1], t_s) if good else NACK
        self._buffer = b""
        return replies

    def update(self, t_s: float) -> tuple[bytes, float]:
        """One frame a second while it measures and is to send by itself."""
        if not (self._auto and self._measuring):
            self._due_s = None
            return b"", NEVER_S
        if self._due_s is None:
            self._due_s = t_s + AUTO_EVERY_S
        said = b""
        while self._due_s <= t_s:
            if t_s - self._due_s < BACKLOG_S:
                said += self._say(self._due_s, by_itself=True)
            self._due_s += AUTO_EVERY_S
        return said, self._due_s

    def _obey(self, command: int, data: bytes, t_s: float) -> bytes:
        if len(data) != (command == SET_COEFFICIENT):
            return NACK
        if command == READ:
            return self._say(t_s, by_itself=False) if self._measuring else NACK
        if command == COEFFICIENT:
            return self.reply(COEFFICIENT, bytes([self._coefficient]))
        if command == SET_COEFFICIENT:
            if not 30 <= data[0] <= 200:
                return NACK
            self._coefficient = data[0]
        elif command in (START, STOP):
            if command == START and not self._measuring:
                self._started_s = t_s
            self._measuring = command == START
        elif command in (AUTO, STOP_AUTO):
            self._auto = command == AUTO
        else:
            return NACK
        return ACK

    def _say(self, t_s: float, by_itself: bool) -> bytes:
        """One measurement, reported; it takes 6 s after the start until it is true."""
        if self._frames:
            self._report(t_s, {})
            return self._frames.pop()
        share = min((t_s - self._started_s) / RESPONSE_S, 1.0) * self._coefficient / 100.0
        air = self._street.particles(t_s)._asdict()
        values = [min(round(share * air[name]), MOST_UG_M3) for name in self.CHANNELS]
        told: Values = dict(zip(self.CHANNELS, map(float, values), strict=True))
        self._report(t_s, told)
        return self.auto(values) if by_itself else self.reply(READ, self.words(values))

    @classmethod
    def words(cls, values: Sequence[int]) -> bytes:
        """The data of a reply to a read."""
        return struct.pack(f">{len(values)}H", *values) + bytes(2 * cls.READ_SPARE)

    @staticmethod
    def reply(command: int, data: bytes) -> bytes:
        """Put head, length and check sum around data."""
        body = bytes([REPLY_HEAD, len(data) + 1, command]) + data
        return body + bytes([negated_sum(body)])

    @classmethod
    def auto(cls, values: Sequence[int]) -> bytes:
        """The frame that comes by itself; its check sum is Plantower's."""
        words = [0] * AUTO_WORDS
        words[cls.AUTO_FIRST : cls.AUTO_FIRST + len(values)] = values
        words[VERSION_AT] = VERSION
        body = AUTO_HEAD + struct.pack(f">{AUTO_WORDS}H", *words)
        return body + plantower_sum(body).to_bytes(2, "big")


class Hpma115c0(Hpma115s0):
    """The compact one, with four sizes."""

    CHANNELS = ("pm1_0", "pm2_5", "pm4_0", "pm10")
    READ_SPARE, AUTO_FIRST = 2, 0
