"""Benewake TF-Luna on I2C, by its manual (SJ-PM-TF-Luna A05, appendix III): registers of one byte, low byte first.

00 distance[2] cm  02 strength[2]  04 temperature[2] 0.01 degC  06 tick[2] ms  08 error[2]  0A version[3]  10 serial[14]
20 =1 save   21 =2 restart   22 address   23 mode 1: triggered   24 =1 trigger   25 on   26 frames a second[2]
28 low power   29 =1 factory   2A strength threshold[2]   2C dummy distance[2]   2E lowest[2], 30 highest[2] distance
3C "LUNA"

What is written to 22, 23 and 25 to 31 reads back at once, and takes effect once it is saved and the part restarted.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Final

from firmware_sim.device import Nack, Playback, Report, Values
from firmware_sim.devices.lidar_beam import Thermometer, shoot
from firmware_sim.street import Street

SAVE, RESTART, ADDRESS, MODE, TRIGGER, ON, RATE, FACTORY = 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x29
THRESHOLD, DUMMY, LOWEST, HIGHEST = 0x2A, 0x2C, 0x2E, 0x30
VERSION, SERIAL, SETTINGS, END, SIGNATURE = 0x0A, 0x10, 0x22, 0x32, 0x3C
VERSION_BYTES, SERIAL_TEXT = bytes([0, 3, 3]), b"SIM00000000001"
DEFAULTS: Final[Mapping[int, int]] = MappingProxyType(
    {ADDRESS: 0x10, ON: 1, RATE: 100, THRESHOLD: 100, HIGHEST: 900 & 0xFF, HIGHEST + 1: 900 >> 8}
)
COMMANDS: Final[Mapping[int, int]] = MappingProxyType({SAVE: 1, RESTART: 2, TRIGGER: 1, FACTORY: 1})
DATA = struct.Struct("<5H")
FASTEST_HZ, REACH = 250, 8_000.0
RESTART_S = 2.0
TRIGGERED = 1
CHANNEL_ENDS = {"distance": 2, "strength": 4, "temperature": 6}  # read at least so far


class TflunaI2c:
    """Measures by itself, a hundred times a second; not there for two seconds after a restart."""

    ADDRESSES: ClassVar[tuple[int, ...]] = (0x10,)

    def __init__(self, street: Street, report: Report, frames: Sequence[str] = (), background_m: float = 7.9) -> None:
        self._street, self._report, self._background_m = street, report, background_m
        self._frames = Playback(frames, DATA.size)
        if not 0.2 <= background_m <= 100.0:
            raise ValueError(f"background_m {background_m} must be 0.2 to 100")
        self._thermometer = Thermometer(street)
        self._saved = _factory()
        self._on_s: float | None = None

    def write(self, data: bytes, t_s: float) -> None:
        """The first byte is the register, which moves along; what follows is written."""
        self._wake(t_s)
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
        self._advance(t_s)
        first, self._pointer = self._pointer, (self._pointer + n) % 256
        if first == 0 and n >= 2 and self._served is not None:
            known = {name: value for name, value in self._served.items() if n >= CHANNEL_ENDS[name]}
            self._report(t_s, known)
        return bytes(self._registers[(first + k) % 256] for k in range(n))

    def power_cycle(self, t_s: float) -> None:
        """Start anew with what was saved."""
        self._start(t_s, RESTART_S)

    def _wake(self, t_s: float) -> None:
        if self._on_s is None:
            self._start(t_s, 0.0)  # the power came before anybody asked
        if t_s < self._ready_s:
            raise Nack("starting")

    def _start(self, t_s: float, wait_s: float) -> None:
        self._on_s, self._ready_s = t_s, t_s + wait_s
        self._registers = bytearray(256)
        self._registers[VERSION : VERSION + 3] = VERSION_BYTES
        self._registers[SERIAL : SERIAL + len(SERIAL_TEXT)] = SERIAL_TEXT
        self._registers[SETTINGS:END] = self._saved
        self._registers[SIGNATURE : SIGNATURE + 4] = b"LUNA"
        self._in_force = bytes(self._saved)
        self._pointer, self._taken = 0, -1
        self._served: Values | None = None

    def _put(self, register: int, value: int, t_s: float) -> None:
        if register in COMMANDS:
            if value == COMMANDS[register]:
                self._obey(register, t_s)
        elif SETTINGS <= register < END:
            self._registers[register] = value

    def _obey(self, register: int, t_s: float) -> None:
        if register == SAVE:
            self._saved = bytes(self._registers[SETTINGS:END])
        elif register == FACTORY:
            self._saved = _factory()
            self._registers[SETTINGS:END] = self._saved
        elif register == RESTART:
            self._start(t_s, RESTART_S)
        elif self._setting(MODE) == TRIGGERED:
            self._measure(t_s)

    def _setting(self, register: int, size: int = 1) -> int:
        """A setting that is in force."""
        at = register - SETTINGS
        return int.from_bytes(self._in_force[at : at + size], "little")

    def _advance(self, t_s: float) -> None:
        """Put the newest measurement into the registers."""
        assert self._on_s is not None
        if self._setting(MODE) == TRIGGERED or not self._setting(ON):
            return
        rate_hz = min(max(self._setting(RATE, 2), 1), FASTEST_HZ)
        newest = math.floor((t_s - self._on_s) * rate_hz)
        if newest != self._taken:
            self._taken = newest
            self._measure(self._on_s + newest / rate_hz)

    def _measure(self, t_s: float) -> None:
        assert self._on_s is not None
        if self._frames:
            self._registers[: DATA.size], self._served = self._frames.pop(), {}
            return
        shot = shoot(self._street, t_s, self._background_m, REACH)
        cm = min(round(shot.distance_m * 100.0), 0xFFFF)
        known = (
            shot.strength >= self._setting(THRESHOLD, 2)
            and self._setting(LOWEST, 2) <= cm <= self._setting(HIGHEST, 2)
        )  # fmt: skip
        warmth = round(self._thermometer.degc(t_s) * 100.0)
        tick = round((t_s - self._on_s) * 1000.0) & 0xFFFF
        self._served = {
            "distance": cm / 100.0 if known else None,
            "strength": float(shot.strength),
            "temperature": warmth / 100.0,
        }
        data = DATA.pack(cm if known else self._setting(DUMMY, 2), shot.strength, warmth & 0xFFFF, tick, 0)
        self._registers[: DATA.size] = data


def _factory() -> bytes:
    registers = bytearray(END - SETTINGS)
    for register, value in DEFAULTS.items():
        registers[register - SETTINGS] = value
    return bytes(registers)
