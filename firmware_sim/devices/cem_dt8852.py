"""CEM DT-8852 (PeakTech 8005, Voltcraft SL-451), by libsigrok's cem-dt-885x and the Python package dt8852.

A5 token payload    a block of them 20 times a second: range, hold, threshold; then 0D level, output, weighting, time.
Every ninth block begins with memory, time weighting, battery, recording in place of the first three.

0D  HT Tt  level in BCD, tenths      06  hour (bit 5: pm) minute second, BCD       0B display  0C bar graph
02 fast 03 slow   1B A 1C C   30 40 4B 4C range   04 max 05 min 0E live   07 over 08 under 11 in range
09 full 19 free   0A recording 1A not    0F battery low 1F ok
host     one byte, all toggles: 55 recording  11 hold  99 weighting  77 time  88 range  33 off
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from firmware_sim.device import NEVER_S, Playback, Report
from firmware_sim.devices.sound import C_ABOVE_A_DB, FAST_S, SLOW_S
from firmware_sim.street import DAY_S, Street

TOKEN = 0xA5
FAST, SLOW, MAX, MIN, TIME, OVER, UNDER = 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08
FULL, RECORDING, DISPLAY, BAR, LEVEL, LIVE, BATTERY_LOW, IN_RANGE = 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0x11
FREE, NOT_RECORDING, A_WEIGHTING, C_WEIGHTING, BATTERY_OK = 0x19, 0x1A, 0x1B, 0x1C, 0x1F
RANGES_DB = {0x40: (30.0, 130.0), 0x30: (30.0, 80.0), 0x4B: (50.0, 100.0), 0x4C: (80.0, 130.0)}  # as the key cycles
HOLDS = (LIVE, MAX, MIN)
TOGGLE_RECORDING, TOGGLE_HOLD, TOGGLE_WEIGHTING, TOGGLE_TIME, TOGGLE_RANGE, OFF = 0x55, 0x11, 0x99, 0x77, 0x88, 0x33
BLOCK_S, BLOCKS = 0.05, 9
BACKLOG_S = 0.5
AUTO_OFF_S = 1800.0
HALF_DAY_H = 12


class CemDt8852:
    """Streams from the moment that it is on; it is off after half an hour unless a key has disabled that."""

    baud: ClassVar[int] = 9600

    def __init__(
        self,
        street: Street,
        report: Report,
        frames: Sequence[str] = (),
        auto_off: bool = False,
        battery_low: bool = False,
        range_db: str = "30-130",
        weighting: str = "A",
        fast: bool = True,
    ) -> None:
        self._street, self._report = street, report
        self._frames = Playback(frames)
        ranges = {f"{low:g}-{high:g}": token for token, (low, high) in RANGES_DB.items()}
        if range_db not in ranges:
            raise ValueError(f"range_db {range_db!r} must be one of {', '.join(ranges)}")
        if weighting not in ("A", "C"):
            raise ValueError(f"weighting {weighting!r} must be A or C")
        self._auto_off, self._battery = auto_off, BATTERY_LOW if battery_low else BATTERY_OK
        self._range, self._fast = ranges[range_db], fast
        self._weighting = A_WEIGHTING if weighting == "A" else C_WEIGHTING
        self._hold, self._recording, self._on = LIVE, False, True
        self._held_db: float | None = None
        self._block = 0
        self._on_s = self._due_s = float("-inf")

    def receive(self, data: bytes, t_s: float) -> bytes:  # noqa: ARG002 - a key acts at once
        """Obey each byte that is a key; nothing is answered but by what the next blocks say."""
        for key in data:
            self._press(key)
        return b""

    def update(self, t_s: float) -> tuple[bytes, float]:
        """Twenty blocks a second."""
        if self._on_s == float("-inf"):
            self._on_s, self._due_s = t_s, t_s + BLOCK_S
        if self._auto_off and t_s - self._on_s >= AUTO_OFF_S:
            self._on = False
        if not self._on:
            return b"", NEVER_S
        said = b""
        while self._due_s <= t_s:
            if t_s - self._due_s < BACKLOG_S:
                said += self._say(self._due_s)
            self._due_s += BLOCK_S
        return said, self._due_s

    def power_cycle(self, t_s: float) -> None:
        """Be switched on again; range, weightings and hold are those of the factory then."""
        self._range, self._weighting, self._fast = 0x40, A_WEIGHTING, True
        self._hold, self._held_db, self._recording, self._on = LIVE, None, False, True
        self._on_s, self._due_s = t_s, t_s + BLOCK_S

    def _press(self, key: int) -> None:
        if key == TOGGLE_RECORDING:
            self._recording = not self._recording
        elif key == TOGGLE_HOLD:
            self._hold, self._held_db = HOLDS[(HOLDS.index(self._hold) + 1) % len(HOLDS)], None
        elif key == TOGGLE_WEIGHTING:
            self._weighting = C_WEIGHTING if self._weighting == A_WEIGHTING else A_WEIGHTING
        elif key == TOGGLE_TIME:
            self._fast = not self._fast
        elif key == TOGGLE_RANGE:
            tokens = list(RANGES_DB)
            self._range = tokens[(tokens.index(self._range) + 1) % len(tokens)]
        elif key == OFF:
            self._on = False

    def _say(self, t_s: float) -> bytes:
        self._block = (self._block + 1) % BLOCKS
        if self._frames:
            self._report(t_s, {})
            return self._frames.pop()
        level_db, threshold = self._measure(t_s)
        self._report(t_s, {"level": level_db})
        first: tuple[int, ...] = (self._range, self._hold, threshold)
        if not self._block:
            first = (FREE, FAST if self._fast else SLOW, self._battery, RECORDING if self._recording else NOT_RECORDING)
        output = BAR if self._block else DISPLAY
        level = _bcd(f"{round(level_db * 10):04d}")
        seconds = int(t_s % DAY_S)
        hour = seconds // 3600
        clock = _bcd(f"{hour % HALF_DAY_H or HALF_DAY_H:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}")
        clock = bytes([clock[0] | (0x20 if hour >= HALF_DAY_H else 0)]) + clock[1:]
        parts = [*(bytes([token]) for token in first), bytes([LEVEL]) + level, bytes([output])]
        parts += [bytes([self._weighting]), bytes([TIME]) + clock]
        return b"".join(bytes([TOKEN]) + part for part in parts)

    def _measure(self, t_s: float) -> tuple[float, int]:
        """The level as it is shown, and how it lies in the range."""
        level_db = self._street.weighted_level_db(t_s, FAST_S if self._fast else SLOW_S)
        level_db += C_ABOVE_A_DB if self._weighting == C_WEIGHTING else 0.0
        low_db, high_db = RANGES_DB[self._range]
        threshold = UNDER if level_db < low_db else OVER if level_db > high_db else IN_RANGE
        if self._hold != LIVE:
            held_db = level_db if self._held_db is None else self._held_db
            level_db = self._held_db = max(held_db, level_db) if self._hold == MAX else min(held_db, level_db)
        return round(min(max(level_db, 0.0), 199.9), 1), threshold


def _bcd(digits: str) -> bytes:
    return bytes.fromhex(digits)
