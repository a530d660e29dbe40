"""Winsen ZE07-CO, ZE07-CH2O, ZE08-CH2O and ZE25-O3, by the manuals of the ZE07 and ZE08.

active, 1 Hz   FF gas unit decimals value[2] range[2] sum           from the factory, and after every loss of power
command        FF 01 78 40 .. sum: active      FF 01 78 41 .. sum: questions      FF 01 86 .. sum: read
reply to 86    FF 86 ug/m3[2] 00 00 ppb[2] sum      ZE07-CO: FF 86 ppm*10[2] 00 00 00 00 sum

What the ZE25-O3 answers to a question is not settled: it does here as the ZE07-CH2O does.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import ClassVar

from firmware_sim.device import NEVER_S, Playback, Report
from firmware_sim.devices.winsen import winsen_commands, winsen_frame
from firmware_sim.street import Street

READ, SWITCH, ACTIVE, QUESTIONS = 0x86, 0x78, 0x40, 0x41
PPM, PPB = 0x03, 0x04
REPORT_EVERY_S, BACKLOG_S = 1.0, 2.0
MOLAR_VOLUME_L = 22.4  # with which the example of the ZE07-CH2O manual, 32 ppb = 42 ug/m3, comes out


class WinsenZe:
    """One gas module; subclasses say which gas."""

    baud: ClassVar[int] = 9600
    GAS: ClassVar[int]
    UNIT: ClassVar[int] = PPB
    DECIMALS: ClassVar[int] = 0
    FULL_RANGE: ClassVar[int]  # in steps of the unit and its decimals, as the value itself
    CHANNEL: ClassVar[str]
    MOLAR_MASS_G: ClassVar[float]

    def __init__(self, street: Street, report: Report, frames: Sequence[str] = ()) -> None:
        self._street, self._report = street, report
        self._frames = Playback(frames)
        self._buffer, self._active = b"", True
        self._due_s: float | None = None

    def receive(self, data: bytes, t_s: float) -> bytes:
        """Obey every whole command with a good check sum; only a question is answered, and not in active mode."""
        commands, self._buffer = winsen_commands(self._buffer + data)
        return b"".join(self._obey(command, t_s) for command in commands)

    def update(self, t_s: float) -> tuple[bytes, float]:
        """One frame a second in active mode."""
        if not self._active:
            self._due_s = None
            return b"", NEVER_S
        if self._due_s is None:
            self._due_s = t_s + REPORT_EVERY_S
        said = b""
        while self._due_s <= t_s:
            if t_s - self._due_s < BACKLOG_S:
                said += self._measure(self._due_s)
            self._due_s += REPORT_EVERY_S
        return said, self._due_s

    def _truth(self, t_s: float) -> float:
        """What the gas truly is, in the unit of the module."""
        raise NotImplementedError

    def _obey(self, command: bytes, t_s: float) -> bytes:
        if command[0] == SWITCH and command[1] in (ACTIVE, QUESTIONS):
            self._active = command[1] == ACTIVE
        elif command[0] == READ and not self._active:
            return self._measure(t_s)
        return b""

    def _measure(self, t_s: float) -> bytes:
        if self._frames:
            self._report(t_s, {})
            return self._frames.pop()
        steps = min(max(round(self._truth(t_s) * 10**self.DECIMALS), 0), self.FULL_RANGE)
        self._report(t_s, {self.CHANNEL: steps / 10**self.DECIMALS})
        if self._active:
            return winsen_frame(struct.pack(">BBBHH", self.GAS, self.UNIT, self.DECIMALS, steps, self.FULL_RANGE))
        if self.UNIT == PPM:
            return winsen_frame(struct.pack(">BHHH", READ, steps, 0, 0))
        ug_m3 = min(int(steps * self.MOLAR_MASS_G / MOLAR_VOLUME_L), 0xFFFF)
        return winsen_frame(struct.pack(">BHHH", READ, ug_m3, 0, steps))


class Ze07Co(WinsenZe):
    """Carbon monoxide up to 500 ppm, in steps of 0.1 ppm."""

    GAS, UNIT, DECIMALS, FULL_RANGE, CHANNEL, MOLAR_MASS_G = 0x04, PPM, 1, 5000, "co", 28.01

    def _truth(self, t_s: float) -> float:
        return self._street.co_ppm(t_s)


class Ze07Ch2o(WinsenZe):
    """Formaldehyde up to 5 ppm, in ppb."""

    GAS, FULL_RANGE, CHANNEL, MOLAR_MASS_G = 0x17, 5000, "hcho", 30.03

    def _truth(self, t_s: float) -> float:
        return self._street.hcho_ppb(t_s)


class Ze08Ch2o(Ze07Ch2o):
    """The ZE08-CH2O says the same as the ZE07-CH2O."""


class Ze25O3(WinsenZe):
    """Ozone up to 10 ppm, in ppb."""

    GAS, FULL_RANGE, CHANNEL, MOLAR_MASS_G = 0x2A, 10_000, "o3", 48.0

    def _truth(self, t_s: float) -> float:
        return self._street.o3_ppb(t_s)
