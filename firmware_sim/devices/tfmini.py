"""Benewake TFmini-S and TF-Luna on UART, by their product manuals (SJ-PM-TFmini-S A01, SJ-PM-TF-Luna A05).

frame    59 59 distance[2] strength[2] temperature[2] sum      little-endian; cm (or mm), T = raw / 8 - 256
command  5A len id data sum                                    sum: low byte of all before it
01 version  02 restart  03 frames a second, 0: when triggered  04 trigger  05 format 1 cm 2 text 6 mm
06 baud u32  07 output off, on  10 factory  11 save            answered by an echo, or 5A 05 id 00 sum when done

Settings hold until the next start unless they are saved. The TF-Luna takes commands with any sum.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, NamedTuple

from firmware_sim.checks import benewake_sum
from firmware_sim.device import NEVER_S, Playback, Report
from firmware_sim.devices.lidar_beam import Thermometer, empty_until_s, shoot
from firmware_sim.street import Street

VERSION, RESTART, RATE, TRIGGER, FORMAT, BAUD, OUTPUT, FACTORY, SAVE = 1, 2, 3, 4, 5, 6, 7, 0x10, 0x11
CENTIMETRES, TEXT, MILLIMETRES = 1, 2, 6
FRAME = struct.Struct("<2sHHH")
SIZES: Final = MappingProxyType(
    {VERSION: 4, RESTART: 4, RATE: 6, TRIGGER: 4, FORMAT: 5, BAUD: 8, OUTPUT: 5, FACTORY: 4, SAVE: 4}
)
BAUDS = (9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600)
WEAK = 100  # a distance with less is none, and reads as 0
LONGEST_COMMAND, BACKLOG_S, START_S, AHEAD_S = 8, 0.5, 0.5, 1.0


class Model(NamedTuple):
    """What differs between the two."""

    version: tuple[int, int, int]  # revision first
    fastest_hz: int
    steps_hz: int  # its rate is this divided by a whole number
    checks_sum: bool
    reach: float  # strength of an echo from 1 m


MODELS: Final = MappingProxyType(
    {"tfmini_s": Model((3, 6, 1), 1000, 1000, True, 20_000.0), "tf_luna": Model((0, 3, 3), 250, 500, False, 8_000.0)}
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a host can set, as it comes from the factory."""

    rate_hz: int = 100
    form: int = CENTIMETRES
    output: bool = True
    baud: int = 115200


class Empty(NamedTuple):
    """What an empty road looks like, and up to when it is one: a hundred times a second there is nothing new."""

    until_s: float = float("-inf")
    second: int = -1
    settings: Settings | None = None
    frame: bytes = b""
    values: Mapping[str, float | None] = MappingProxyType({})


class Tfmini:
    """Streams from the moment that it has power."""

    def __init__(
        self,
        street: Street,
        report: Report,
        frames: Sequence[str] = (),
        model: str = "tfmini_s",
        background_m: float = 7.9,
    ) -> None:
        self._street, self._report, self._background_m = street, report, background_m
        self._frames = Playback(frames)
        if model not in MODELS:
            raise ValueError(f"model {model!r} must be one of {', '.join(MODELS)}")
        if not 0.2 <= background_m <= 100.0:
            raise ValueError(f"background_m {background_m} must be 0.2 to 100")
        self._model = MODELS[model]
        self._now = self._saved = Settings()
        self._thermometer = Thermometer(street)
        self._buffer = b""
        self._due_s: float | None = None
        self._silent_until_s = float("-inf")
        self._empty = Empty()

    @property
    def baud(self) -> int:
        """The speed at which it talks now."""
        return self._now.baud

    def receive(self, data: bytes, t_s: float) -> bytes:
        """Obey whole commands."""
        if t_s < self._silent_until_s:
            return b""
        self._buffer += data
        replies = b""
        while (start := self._buffer.find(b"\x5a")) >= 0:
            self._buffer = self._buffer[start:]
            size = self._buffer[1] if len(self._buffer) > 1 else 0
            if len(self._buffer) < max(size, 3) and size <= LONGEST_COMMAND:
                return replies
            command = self._buffer[:size]
            good = size == SIZES.get(int.from_bytes(self._buffer[2:3])) and (
                not self._model.checks_sum or benewake_sum(command[:-1]) == command[-1]
            )
            self._buffer = self._buffer[size if good else 1 :]
            replies += self._obey(command[2], command[3:-1], t_s) if good else b""
        self._buffer = b""
        return replies

    def update(self, t_s: float) -> tuple[bytes, float]:
        """One frame at a time, as often as it is set to."""
        if not self._now.output or not self._now.rate_hz:
            self._due_s = None
            return b"", NEVER_S
        period_s = 1.0 / self._now.rate_hz
        if self._due_s is None:
            self._due_s = max(t_s, self._silent_until_s) + period_s
        said = b""
        while self._due_s <= t_s:
            if t_s - self._due_s < BACKLOG_S:
                said += self._measure(self._due_s)
            self._due_s += period_s
        return said, self._due_s

    def power_cycle(self, t_s: float) -> None:
        """Start anew with what was saved."""
        self._now, self._buffer, self._due_s = self._saved, b"", None
        self._silent_until_s = t_s + START_S

    def _obey(self, code: int, data: bytes, t_s: float) -> bytes:
        number, echo = int.from_bytes(data, "little"), _reply(code, data)
        if code == VERSION:
            return _reply(VERSION, bytes(self._model.version))
        if code == TRIGGER:
            return self._measure(t_s) if self._now.output and not self._now.rate_hz else b""
        if code == SAVE:
            self._saved = self._now
        elif code == FACTORY:
            self._now = self._saved = Settings()
        elif code == RESTART:
            self.power_cycle(t_s)
        else:
            return echo if self._set(code, number) else b""
        return _reply(code, b"\0")

    def _set(self, code: int, number: int) -> bool:
        if code == RATE and self._has_rate(number):
            self._now, self._due_s = replace(self._now, rate_hz=number), None
        elif code == FORMAT and number in (CENTIMETRES, TEXT, MILLIMETRES):
            self._now = replace(self._now, form=number)
        elif code == BAUD and number in BAUDS:
            self._now = replace(self._now, baud=number)
        elif code == OUTPUT and number in (0, 1):
            self._now, self._due_s = replace(self._now, output=bool(number)), None
        else:
            return False
        return True

    def _has_rate(self, rate_hz: int) -> bool:
        steps_hz = self._model.steps_hz
        return not rate_hz or (
            rate_hz <= self._model.fastest_hz and steps_hz // max(round(steps_hz / rate_hz), 1) == rate_hz
        )

    def _measure(self, t_s: float) -> bytes:
        if self._frames:
            self._report(t_s, {})
            return self._frames.pop()
        empty = self._empty
        if t_s < empty.until_s and int(t_s) == empty.second and self._now is empty.settings:
            self._report(t_s, empty.values)
            return empty.frame
        shot = shoot(self._street, t_s, self._background_m, self._model.reach)
        per_m = 1000 if self._now.form == MILLIMETRES else 100
        distance = min(round(shot.distance_m * per_m), 0xFFFF) if shot.strength >= WEAK else 0
        known_m = distance / per_m if shot.strength >= WEAK else None
        if self._now.form == TEXT:
            self._report(t_s, {"distance": known_m})
            return f"{distance / per_m:.2f}\r\n".encode("ascii")
        warmth = round((self._thermometer.degc(t_s) + 256.0) * 8.0)
        values = {"distance": known_m, "strength": float(shot.strength), "temperature": warmth / 8.0 - 256.0}
        self._report(t_s, values)
        body = FRAME.pack(b"\x59\x59", distance, shot.strength, warmth)
        frame = body + bytes([benewake_sum(body)])
        if shot.distance_m == self._background_m:
            until_s = empty_until_s(self._street, t_s, AHEAD_S)
            self._empty = Empty(until_s, int(t_s), self._now, frame, values)
        return frame


def _reply(code: int, data: bytes) -> bytes:
    body = bytes([0x5A, len(data) + 4, code]) + data
    return body + bytes([benewake_sum(body)])
