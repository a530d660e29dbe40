"""Convergence Instruments NSRT_mk4_Dev, by its "Com Protocol" of 6 February 2025.

command  U32 command (bit 31: read), U32 address, U32 count, then the data of a write; little-endian, no check
reply    the data of a read, or 06 after a write
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from firmware_sim.device import NEVER_S, Playback, Report
from firmware_sim.street import Street

READ = 0x80000000
LEVEL, LEQ, TEMPERATURE, WEIGHTING, FS, TAU = 0x10, 0x11, 0x12, 0x20, 0x21, 0x22
MODEL, SERIAL, FIRMWARE, CALIBRATED, BORN, USER_ID, AUDIO_DEBUG = 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37
# bytes of each register; 0: a string of up to 32 bytes, its end included
SIZES: Final[Mapping[int, int]] = MappingProxyType(
    {LEVEL: 4, LEQ: 4, TEMPERATURE: 4, WEIGHTING: 1, FS: 2, TAU: 4, CALIBRATED: 8, BORN: 8}
    | dict.fromkeys((MODEL, SERIAL, FIRMWARE, USER_ID), 0)
)
WRITABLE: Final[Mapping[int, int]] = MappingProxyType({WEIGHTING: 1, FS: 2, TAU: 4, USER_ID: 0, AUDIO_DEBUG: 1})
ACK = b"\x06"
HEADER_BYTES, STRING_BYTES = 12, 32
STALE_S = 1.0  # half a command older than this is forgotten
BLOCK_S = 0.125  # samples are worked on by the block [C]: a question that comes a little late changes no LEQ
TAUS_S = (0.01, 3600.0)  # that it can follow
EVERY_S = 10.0  # the running integral is brought up to date at least this often
MADE_1904_S = 3_786_912_000  # 2024-01-01, in seconds since 1904-01-01 UTC
# what the spectrum of a street reads above its A-weighted level: C, A, Z
ABOVE_A_DB = (8.0, 0.0, 10.0)
LEQ_CHANNEL = ("lceq", "laeq", "lzeq")


class NsrtMk4:
    """Answers only when asked; never a word to a command that it cannot make sense of."""

    def __init__(self, street: Street, report: Report, frames: Sequence[str] = ()) -> None:
        self._street, self._report = street, report
        self._frames = Playback(frames, 4)
        self._registers = {
            WEIGHTING: b"\x01",
            FS: struct.pack("<H", 48_000),
            TAU: struct.pack("<f", 1.0),
            MODEL: b"NSRT_mk4_Dev",
            SERIAL: b"SIM0001",
            FIRMWARE: b"1.0",
            CALIBRATED: struct.pack("<Q", MADE_1904_S),
            BORN: struct.pack("<Q", MADE_1904_S),
            USER_ID: b"",
        }
        self._buffer, self._heard_s = b"", -math.inf
        self._since_s: float | None = None
        self._energy = self._integrated_s = 0.0

    def receive(self, data: bytes, t_s: float) -> bytes:
        """Answer whole commands; a wrong one throws away all that came with it."""
        if t_s - self._heard_s > STALE_S:
            self._buffer = b""
        self._heard_s = t_s
        self._buffer += data
        replies = b""
        while len(self._buffer) >= HEADER_BYTES:
            command, _address, count = struct.unpack_from("<3I", self._buffer)
            payload_bytes = 0 if command & READ else self._payload_bytes(command, count)
            if payload_bytes is None or (command & READ and not self._readable(command ^ READ, count)):
                self._buffer = b""
                return replies
            end = HEADER_BYTES + payload_bytes
            if len(self._buffer) < end:
                return replies
            payload, self._buffer = self._buffer[HEADER_BYTES:end], self._buffer[end:]
            replies += self._read(command ^ READ, count, t_s) if command & READ else self._write(command, payload)
        return replies

    def update(self, t_s: float) -> tuple[bytes, float]:
        """Say nothing, but keep the integral short."""
        self._integrate(t_s)
        return b"", t_s + EVERY_S if not self._frames else NEVER_S

    def _readable(self, register: int, count: int) -> bool:
        size = SIZES.get(register)
        return size == count if size else size == 0 and count <= STRING_BYTES

    def _payload_bytes(self, register: int, count: int) -> int | None:
        """Bytes that follow a write: the register's own size, for common hosts send count = 1 for any of them."""
        size = WRITABLE.get(register)
        if size == 0:
            return count if count <= STRING_BYTES else None
        return size

    def _read(self, register: int, count: int, t_s: float) -> bytes:
        if register in (LEVEL, LEQ, TEMPERATURE):
            return self._measure(register, t_s)
        return self._registers[register][:count].ljust(count, b"\0")

    def _write(self, register: int, payload: bytes) -> bytes:
        valid = {
            WEIGHTING: payload in (b"\0", b"\1", b"\2"),
            FS: payload in (struct.pack("<H", 32_000), struct.pack("<H", 48_000)),
        }
        if not valid.get(register, True):
            return b""
        if register != AUDIO_DEBUG:
            self._registers[register] = payload
        return ACK

    def _measure(self, register: int, t_s: float) -> bytes:
        if self._frames:
            self._report(t_s, {})
            return self._frames.pop()
        weighting = self._registers[WEIGHTING][0]
        if register == TEMPERATURE:
            channel, value = "temperature", self._street.temperature_degc(t_s)
        elif register == LEQ:
            channel, value = LEQ_CHANNEL[weighting], self._take_leq_db(t_s) + ABOVE_A_DB[weighting]
        else:
            channel, value = "level", self._level_db(t_s) + ABOVE_A_DB[weighting]
        reply = struct.pack("<f", value)
        self._report(t_s, {channel: struct.unpack("<f", reply)[0]})
        return reply

    def _integrate(self, t_s: float) -> None:
        """Take the whole blocks that have come."""
        t_s = math.floor(t_s / BLOCK_S) * BLOCK_S
        since_s = t_s if self._since_s is None else self._since_s
        if t_s > since_s:
            self._energy += 10.0 ** (self._street.laeq_db(since_s, t_s) / 10.0) * (t_s - since_s)
            self._integrated_s += t_s - since_s
        self._since_s = t_s

    def _take_leq_db(self, t_s: float) -> float:
        """Energy mean since the last time it was taken; the present level when no time has passed."""
        self._integrate(t_s)
        if not self._integrated_s:
            return self._level_db(t_s)
        leq_db = 10.0 * math.log10(self._energy / self._integrated_s)
        self._energy = self._integrated_s = 0.0
        return leq_db

    def _level_db(self, t_s: float) -> float:
        """Exponential mean with the time constant tau."""
        lo_s, hi_s = TAUS_S
        tau_s = min(max(lo_s, struct.unpack("<f", self._registers[TAU])[0]), hi_s)  # what is no number is `lo_s`, too
        return self._street.weighted_level_db(t_s, tau_s)
