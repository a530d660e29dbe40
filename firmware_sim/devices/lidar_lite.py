"""Garmin LIDAR-Lite v3, by its operation manual 190-02088-00: registers of one byte.

00 =04 measure with, =03 without receiver bias correction, =00 reset     02 longest acquisition     04 mode
01 status: 6 error 5 healthy 4 second echo 3 invalid 2 signal, 1 reference overflow 0 busy
0E signal strength  0F distance[2] in cm, high byte first  16 unit id[2]  65 power
A register with bit 7 set moves along while it is read; without it the same byte comes again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from firmware_sim.device import Nack, Playback, Report, Values
from firmware_sim.devices.lidar_beam import shoot
from firmware_sim.street import Street

COMMAND, STATUS, LONGEST, MODE, STRENGTH, DISTANCE, UNIT_ID = 0x00, 0x01, 0x02, 0x04, 0x0E, 0x0F, 0x16
RESET, MEASURE, MEASURE_WITHOUT_BIAS = 0x00, 0x04, 0x03
BUSY, INVALID, HEALTHY = 0x01, 0x08, 0x20
MOVE_ALONG = 0x80
DEFAULTS = {LONGEST: 0x80, MODE: 0x08, 0x12: 0x05, 0x1C: 0x00, 0x65: 0x80}
UNIT_ID_BYTES = bytes.fromhex("2451")
RESET_S, LONGEST_S, BIAS_S = 0.022, 0.020, 0.002  # LONGEST_S: at the default of register 02
REACH, FLOOR_STRENGTH, MAX_M = 60_000.0, 20, 40.0


class LidarLite:
    """Measures when it is told to; while it does, registers keep what they had."""

    ADDRESSES: ClassVar[tuple[int, ...]] = (0x62,)

    def __init__(self, street: Street, report: Report, frames: Sequence[str] = (), background_m: float = 9.5) -> None:
        self._street, self._report, self._background_m = street, report, background_m
        self._frames = Playback(frames, 3)
        if not 0.1 <= background_m <= 1000.0:
            raise ValueError(f"background_m {background_m} must be 0.1 to 1000")
        self._ready_s = -math.inf
        self._reset()

    def write(self, data: bytes, t_s: float) -> None:
        """One byte is a register to read from; register and value in one message write."""
        self._advance(t_s)
        if not data:
            return
        self._pointer = data[0]
        for k, value in enumerate(data[1:]):
            self._put((data[0] & ~MOVE_ALONG) + k, value, t_s)

    def read(self, n: int, t_s: float) -> bytes:
        """Read from the register; reading the distance reports it."""
        self._advance(t_s)
        step = 1 if self._pointer & MOVE_ALONG else 0
        first = self._pointer & ~MOVE_ALONG
        if first == DISTANCE and n >= 2 and step and self._served is not None and not self._is_busy(t_s):
            self._report(t_s, self._served)
        registers = bytes(self._registers)
        status = self._status | (BUSY if self._is_busy(t_s) else 0)
        read = [(first + step * k) % 128 for k in range(n)]
        return bytes(status if register == STATUS else registers[register] for register in read)

    def _is_busy(self, t_s: float) -> bool:
        return t_s < self._done_s < math.inf

    def _reset(self) -> None:
        self._registers = bytearray(128)
        for register, value in DEFAULTS.items():
            self._registers[register] = value
        self._registers[UNIT_ID : UNIT_ID + 2] = UNIT_ID_BYTES
        self._status, self._pointer, self._done_s = HEALTHY, 0, math.inf
        self._served: Values | None = None

    def _put(self, register: int, value: int, t_s: float) -> None:
        if register == COMMAND and value == RESET:
            self._reset()
            self._ready_s = t_s + RESET_S
        elif register == COMMAND and value in (MEASURE, MEASURE_WITHOUT_BIAS):
            share = max(self._registers[LONGEST], 1) / DEFAULTS[LONGEST]
            self._done_s = t_s + LONGEST_S * share + (BIAS_S if value == MEASURE else 0.0)
        elif register not in (COMMAND, STATUS) and register < len(self._registers):
            self._registers[register] = value

    def _advance(self, t_s: float) -> None:
        if t_s < self._ready_s:
            raise Nack("starting")
        if t_s >= self._done_s:
            self._measure(self._done_s)
            self._done_s = math.inf

    def _measure(self, t_s: float) -> None:
        if self._frames:
            frame = self._frames.pop()
            self._status, self._registers[DISTANCE : DISTANCE + 2], self._served = frame[0], frame[1:], {}
            return
        shot = shoot(self._street, t_s, self._background_m, REACH)
        strength = min(shot.strength, 0xFF)
        seen = shot.distance_m <= MAX_M and strength >= FLOOR_STRENGTH
        cm = round(shot.distance_m * 100.0) if seen else 0
        self._status, self._served = HEALTHY | (0 if seen else INVALID), {"distance": cm / 100.0 if seen else None}
        self._registers[STRENGTH] = strength
        self._registers[DISTANCE : DISTANCE + 2] = cm.to_bytes(2, "big")
