"""DNMS, the Digital Noise Measurement Sensor (github.com/hbitter/DNMS, Teensy firmware V5): commands of 16 bits.

0001 reset   0002 version, 18 characters   0003 end of an interval   0004 ready?   0005 LAeq, min, max: 3 float32
000A, 000B, 000C: the same for a second interval of its own; every word of a reply has a Sensirion CRC behind it
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from firmware_sim.checks import with_crcs
from firmware_sim.device import Playback, Report, Values
from firmware_sim.street import Street

RESET, VERSION = 0x0001, 0x0002
CALCULATE, READY, READ = (0x0003, 0x000A), (0x0004, 0x000B), (0x0005, 0x000C)
VERSION_TEXT = b"DNMS-V5.2.6-T4.0"
VERSION_BYTES, REPLY_BYTES = 18, 18
BLOCK_S = 0.125  # of the FFT blocks; min and max are those of whole blocks
CALCULATING_S = 0.012
LONGEST_S = 3600.0  # of an interval that this twin sums up; the real one would go on
CHANNELS = ("laeq", "la_min", "la_max")
MISSING = (0.0, 0.0, 0.0)


class Dnms:
    """Acknowledges always; without a command it says FF, and an interval can be read once, then it reads as 0 dB."""

    ADDRESSES: ClassVar[tuple[int, ...]] = (0x55,)

    def __init__(self, street: Street, report: Report, frames: Sequence[str] = ()) -> None:
        self._street, self._report = street, report
        self._frames = Playback(frames, REPLY_BYTES)
        self._command = 0
        self._since_s: list[float | None] = [None, None]
        self._done_s = [math.inf, math.inf]
        self._levels_db = [MISSING, MISSING]

    def write(self, data: bytes, t_s: float) -> None:
        """Take a command; whatever it does not know is forgotten."""
        self._since_s = [t_s if since_s is None else since_s for since_s in self._since_s]
        if not data:
            return
        self._command = int.from_bytes(data[:2], "big") if len(data) >= 2 else 0
        if self._command == RESET:
            self._since_s = [t_s, t_s]
        elif self._command in CALCULATE:
            interval = CALCULATE.index(self._command)
            since_s = self._since_s[interval]
            assert since_s is not None
            self._levels_db[interval] = self._sum_up(since_s, t_s)
            self._since_s[interval], self._done_s[interval] = t_s, t_s + CALCULATING_S

    def read(self, n: int, t_s: float) -> bytes:
        """Reply to the last command, once."""
        command, self._command = self._command, 0
        reply = b""
        if command == VERSION:
            reply = with_crcs(VERSION_TEXT.ljust(VERSION_BYTES, b"\0"))
        elif command in READY:
            ready = t_s >= self._done_s[READY.index(command)]
            reply = with_crcs(bytes([0, int(ready)]))
        elif command in READ:
            reply = self._take(READ.index(command), t_s)
        return reply[:n].ljust(n, b"\xff")

    def _sum_up(self, from_s: float, to_s: float) -> tuple[float, float, float]:
        from_s = max(from_s, to_s - LONGEST_S)
        if to_s - from_s < BLOCK_S:
            return MISSING
        blocks_s = np.arange(from_s + BLOCK_S / 2.0, to_s, BLOCK_S)
        level_db = self._street.sound_level_db(blocks_s)
        mean = float((10.0 ** (level_db / 10.0)).sum()) / len(level_db)
        levels_db = level_db.tolist()
        return 10.0 * math.log10(mean), min(levels_db), max(levels_db)

    def _take(self, interval: int, t_s: float) -> bytes:
        levels_db = self._levels_db[interval] if t_s >= self._done_s[interval] else MISSING
        if t_s >= self._done_s[interval]:
            self._levels_db[interval], self._done_s[interval] = MISSING, math.inf
        payload = struct.pack(">3f", *levels_db)
        values: Values = {
            name: value or None for name, value in zip(CHANNELS, struct.unpack(">3f", payload), strict=True)
        }
        if self._frames:
            self._report(t_s, {})
            return self._frames.pop()
        self._report(t_s, values)
        return with_crcs(payload)
