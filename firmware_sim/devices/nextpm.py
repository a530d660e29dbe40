"""Tera NextPM, simplified protocol, by airrohr-firmware utils.cpp and Arduino_NextPM; all bytes sum up to 0.

command  81 cmd sum     11 12 13 averages of 10, 60, 900 s   14 T and RH   15 sleep or wake up   16 state   17 version
reply    81 cmd state N1 N2.5 N10 (1/mL) PM1 PM2.5 PM10 (x 10 ug/m3), u16 each, sum;  81 16 state sum, not ready
state    01 asleep   02 degraded   04 not ready   08 humidity   10 T/RH   20 fan   40 memory   80 laser
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from firmware_sim.checks import negated_sum
from firmware_sim.device import NEVER_S, Playback, Report, Values
from firmware_sim.street import Street

ADDRESS, COMMAND_BYTES = 0x81, 3
CLIMATE, TOGGLE, STATE, VERSION = 0x14, 0x15, 0x16, 0x17
# average over, new every, both in s
AVERAGES: Final[Mapping[int, tuple[int, int]]] = MappingProxyType({0x11: (10, 1), 0x12: (60, 10), 0x13: (900, 60)})
ASLEEP, NOT_READY = 0x01, 0x04
READY_S = 15.0  # after waking up
STALE_S = 1.0  # half a command older than this is forgotten
FIRMWARE = 0x1047
CHANNELS = ("n1_0", "n2_5", "n10", "pm1_0", "pm2_5", "pm10")
# counts are per mL (NextPM User Guide, 1.1; and published readings of 27 with 1.8 ug/m3): airrohr calls it pcs/L
SCALES = (1, 1, 1, 10, 10, 10)
MOST_WORD = 0xFFFF


class NextPm:
    """Measures after power-on; sleeps on when the host goes away; one command both puts it to sleep and wakes it."""

    def __init__(self, street: Street, report: Report, frames: Sequence[str] = ()) -> None:
        self._street, self._report, self._frames = street, report, Playback(frames)
        self._asleep, self._awake_s = False, -math.inf
        self._buffer, self._heard_s = b"", -math.inf

    def receive(self, data: bytes, t_s: float) -> bytes:
        """Answer every whole command with a good check sum; ignore the rest."""
        if t_s - self._heard_s > STALE_S:
            self._buffer = b""
        self._heard_s = t_s
        self._buffer += data
        replies = b""
        while (start := self._buffer.find(ADDRESS)) >= 0:
            self._buffer = self._buffer[start:]
            if len(self._buffer) < COMMAND_BYTES:
                return replies
            good = sum(self._buffer[:COMMAND_BYTES]) % 256 == 0
            command = self._buffer[1]
            self._buffer = self._buffer[COMMAND_BYTES if good else 1 :]
            if good:
                replies += self._obey(command, t_s)
        self._buffer = b""
        return replies

    def update(self, t_s: float) -> tuple[bytes, float]:
        """It never speaks by itself."""
        del t_s
        return b"", NEVER_S

    def _obey(self, command: int, t_s: float) -> bytes:
        if command == TOGGLE:
            self._asleep = not self._asleep
            self._awake_s = t_s
        state = self._state(t_s)
        if command in (STATE, TOGGLE):
            return reply(command, state)
        if command == VERSION:
            return reply(command, state, FIRMWARE)
        if command not in AVERAGES and command != CLIMATE:
            return b""
        if state & (ASLEEP | NOT_READY):
            return reply(STATE, state)
        if command == CLIMATE:  # of the air inside: warmer and drier by as much as airrohr takes off again
            inside_degc = (self._street.temperature_degc(t_s) + 4.2488) / 0.9754
            inside_pct = (self._street.humidity_pct(t_s) + 4.727) / 1.1768
            return reply(command, state, round(100 * inside_degc) & MOST_WORD, round(100 * inside_pct))
        return self._measure(command, state, t_s)

    def _state(self, t_s: float) -> int:
        if self._asleep:
            return ASLEEP
        return NOT_READY if t_s - self._awake_s < READY_S else 0

    def _measure(self, command: int, state: int, t_s: float) -> bytes:
        if self._frames:
            self._report(t_s, {})
            return self._frames.pop()
        words = [min(round(x), MOST_WORD) for x in self._average(*AVERAGES[command], t_s)]
        told: Values = {name: word / scale for name, word, scale in zip(CHANNELS, words, SCALES, strict=True)}
        self._report(t_s, told)
        return reply(command, state, *words)

    def _average(self, over_s: int, every_s: int, t_s: float) -> list[float]:
        """Mean of the samples of the last `over_s`, as words; not of those from before the fan ran."""
        last = math.floor(t_s / every_s) * every_s
        times = [float(last - k * every_s) for k in range(over_s // every_s)]
        times = [at_s for at_s in times if at_s >= self._awake_s] or [t_s]
        total = [0.0] * len(CHANNELS)
        for at_s in times:
            counts, air = self._street.counts_per_cm3(at_s), self._street.particles(at_s)
            smaller = (counts.n0_3 - counts.n1_0, counts.n0_3 - counts.n2_5, counts.n0_3 - counts.n10)
            for i, x in enumerate((*smaller, air.pm1_0, air.pm2_5, air.pm10)):
                total[i] += x
        return [x / len(times) * scale for x, scale in zip(total, SCALES, strict=True)]


def reply(command: int, state: int, *words: int) -> bytes:
    """Put address, state and check sum around words."""
    body = bytes([ADDRESS, command, state]) + struct.pack(f">{len(words)}H", *words)
    return body + bytes([negated_sum(body)])
