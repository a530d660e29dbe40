"""PCB Artists I2C decibel meter, by its programming manual: plain registers, no check sum, whole decibels.

00 version  01 id[4]  05 scratch  06 control  07 averaging time[2] in ms  09 reset  0A level  0B min  0C max
0D low, 0E high threshold  0F gain  14..77 the last 100 levels, newest first
control  6 line out  4 interrupt type  3 interrupt  2:1 filter 00 none 01 A 10 C  0 power down
reset    3 all  2 history  1 min and max  0 interrupt
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from firmware_sim.device import Nack, Playback, Report
from firmware_sim.devices.sound import C_ABOVE_A_DB, Z_ABOVE_A_DB
from firmware_sim.street import Street

VERSION, ID, SCRATCH, CONTROL, TAVG_HIGH, TAVG_LOW, RESET = 0x00, 0x01, 0x05, 0x06, 0x07, 0x08, 0x09
LEVEL, MIN, MAX, THR_MIN, THR_MAX, GAIN, HISTORY = 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0x14
HISTORY_BYTES, LAST_REGISTER = 100, 0x77
VERSIONS = (0x31, 0x32, 0x33, 0x81)  # 33 is what a unit of 2024 has said
DEVICE_ID = bytes.fromhex("5ca1ab1e")
WRITABLE = (SCRATCH, CONTROL, TAVG_HIGH, TAVG_LOW, THR_MIN, THR_MAX, GAIN)
FILTER_ABOVE_A_DB = (Z_ABOVE_A_DB, 0.0, C_ABOVE_A_DB, 0.0)
POWER_DOWN, ALL, CLEAR_HISTORY, CLEAR_MIN_MAX = 0x01, 0x08, 0x04, 0x02
BOOT_S, SETTLE_S = 0.005, 1.0
FLOOR_DB, CEILING_DB = 30, 120
MIN_TAVG_MS = 10
CHANNELS = {LEVEL: "level", MIN: "la_min", MAX: "la_max"}


class PcbArtists:
    """Measures by itself, one level for every averaging time; asleep it hears nothing but a reset."""

    ADDRESSES: ClassVar[tuple[int, ...]] = (0x48,)

    def __init__(self, street: Street, report: Report, frames: Sequence[str] = (), version: int = VERSIONS[0]) -> None:
        self._street, self._report, self._version = street, report, version
        self._frames = Playback(frames, 3)
        if version not in VERSIONS:
            raise ValueError(f"version {version} must be one of {', '.join(hex(v) for v in VERSIONS)}")
        self._on_s: float | None = None

    def write(self, data: bytes, t_s: float) -> None:
        """The first byte is the register, which moves along; what follows is written."""
        self._wake(t_s)
        if t_s < self._boots_s:
            raise Nack("booting")
        self._advance(t_s)
        if not data:
            return
        self._pointer = data[0]
        for value in data[1:]:
            self._put(self._pointer, value, t_s)
            self._pointer = (self._pointer + 1) % 256

    def read(self, n: int, t_s: float) -> bytes:
        """Read on from the register, which moves along."""
        self._wake(t_s)
        if t_s < self._boots_s:
            raise Nack("booting")
        self._advance(t_s)
        first, self._pointer = self._pointer, (self._pointer + n) % 256
        read = range(first, first + n)
        values = {name: float(self._registers[at]) or None for at, name in CHANNELS.items() if at in read}
        if LEVEL in read:
            if self._frames:
                self._registers[LEVEL : MAX + 1], values = self._frames.pop(), {}
            self._report(t_s, values)
        return bytes(self._registers[at] if at <= LAST_REGISTER else 0 for at in (k % 256 for k in read))

    def _wake(self, t_s: float) -> None:
        if self._on_s is None:
            self._start(t_s, boot_s=0.0)  # the power came before anybody asked

    def _start(self, t_s: float, boot_s: float = BOOT_S) -> None:
        self._on_s, self._boots_s = t_s, t_s + boot_s
        self._registers = bytearray(256)
        self._registers[VERSION] = self._version
        self._registers[ID : ID + 4] = DEVICE_ID
        self._registers[SCRATCH], self._registers[CONTROL] = 0xAA, 0x02
        self._registers[TAVG_HIGH : TAVG_LOW + 1] = (1000).to_bytes(2, "big")
        self._registers[THR_MIN], self._registers[THR_MAX], self._registers[GAIN] = 45, 85, 18
        self._pointer, self._tavg_s, self._asleep = 0, 1.0, False
        self._since_s, self._next_s = t_s, t_s + SETTLE_S

    def _put(self, register: int, value: int, t_s: float) -> None:
        if register == RESET:
            self._clear(value, t_s)
        elif register in WRITABLE and not self._asleep:
            self._registers[register] = value
            if register == TAVG_LOW:  # the high byte waits for the low one
                tavg_ms = int.from_bytes(self._registers[TAVG_HIGH : TAVG_LOW + 1], "big")
                self._tavg_s = max(tavg_ms, MIN_TAVG_MS) / 1000.0
                self._since_s, self._next_s = t_s, max(t_s + self._tavg_s, self._next_s)
            self._asleep = bool(self._registers[CONTROL] & POWER_DOWN)

    def _clear(self, value: int, t_s: float) -> None:
        if value & ALL:
            self._start(t_s)
        elif not self._asleep:
            if value & CLEAR_HISTORY:
                self._registers[HISTORY : HISTORY + HISTORY_BYTES] = bytes(HISTORY_BYTES)
            if value & CLEAR_MIN_MAX:
                self._registers[MIN] = self._registers[MAX] = 0

    def _advance(self, t_s: float) -> None:
        """Take the levels that are due, but no more than the history holds."""
        if self._asleep or t_s < self._next_s:
            return
        skipped = math.floor((t_s - self._next_s) / self._tavg_s) - HISTORY_BYTES
        if skipped > 0:
            self._next_s += skipped * self._tavg_s
            self._since_s = self._next_s - self._tavg_s
        while self._next_s <= t_s:
            self._take(self._since_s, self._next_s)
            self._since_s, self._next_s = self._next_s, self._next_s + self._tavg_s

    def _take(self, from_s: float, to_s: float) -> None:
        above_db = FILTER_ABOVE_A_DB[self._registers[CONTROL] >> 1 & 3]
        level = min(max(round(self._street.laeq_db(from_s, to_s) + above_db), FLOOR_DB), CEILING_DB)
        registers = self._registers
        registers[LEVEL] = level
        registers[MIN] = min(registers[MIN] or level, level)
        registers[MAX] = max(registers[MAX], level)
        registers[HISTORY : HISTORY + HISTORY_BYTES] = bytes([level]) + registers[HISTORY : HISTORY + HISTORY_BYTES - 1]
