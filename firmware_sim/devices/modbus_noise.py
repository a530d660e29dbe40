"""Noise transmitters on RS-485, Modbus RTU: Renke RS-ZS-N01, GEMHO, and one whose register and scale are options.

request  id fn register[2] count[2] crc[2]       reply  id fn bytes words[2*count] crc[2]
write    id 06 register[2] value[2] crc[2]       reply  the same; Renke: 07D0 address, 07D1 baud code 0, 1, 2
refused  id fn|80 reason crc[2]                  01 function, 02 register, 03 value

Register 0000 (Renke) or 000E (GEMHO) holds the level in tenths of a dB. No register tells what the unit is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from firmware_sim.checks import modbus_crc
from firmware_sim.device import NEVER_S, Playback, Report
from firmware_sim.devices.sound import FAST_S
from firmware_sim.street import Street

READ_HOLDING, READ_INPUT, WRITE, WRITE_MANY = 0x03, 0x04, 0x06, 0x10
BAD_FUNCTION, BAD_REGISTER, BAD_VALUE, REFUSED = 0x01, 0x02, 0x03, 0x80
TO_ALL, ANYBODY = 0x00, 0xFF  # a broadcast is obeyed in silence; a Renke tells its address to whoever asks FF
ADDRESS_REGISTER, BAUD_REGISTER = 0x07D0, 0x07D1
BAUDS = (2400, 4800, 9600)
REQUEST_BYTES, HEADER_BYTES, MAX_WORDS = 8, 7, 125
STALE_S = 0.1  # half a frame older than this is forgotten
LOWEST_DB, HIGHEST_DB = 30.0, 130.0


class ModbusNoise:
    """One unit; it answers requests that bear its address and a good CRC, and is silent about all others."""

    def __init__(
        self,
        street: Street,
        report: Report,
        frames: Sequence[str] = (),
        unit_id: int = 1,
        register: int = 0x0000,
        scale: float = 0.1,
        function: int = READ_HOLDING,
        baud: int = 0,
    ) -> None:
        self._street, self._report = street, report
        self._frames = Playback(frames)
        if not 1 <= unit_id <= 247:
            raise ValueError(f"unit_id {unit_id} must be 1 to 247")
        if not 0 <= register <= 0xFFFF:
            raise ValueError(f"register {register} must be 0 to 65535")
        if not 0.001 <= scale <= 10.0:
            raise ValueError(f"scale {scale} must be 0.001 to 10 dB per step")
        if function not in (READ_HOLDING, READ_INPUT):
            raise ValueError(f"function {function} must be 3 or 4")
        self._register, self._scale, self._function = register, scale, function
        self._baud = baud
        self._be(unit_id)
        self._buffer, self._heard_s = b"", float("-inf")

    @property
    def baud(self) -> int | None:
        """The speed at which it talks; None: any."""
        return self._baud or None

    def receive(self, data: bytes, t_s: float) -> bytes:
        """Hear what is on the line, from the host or from another unit; answer requests to this unit."""
        heard = data if t_s - self._heard_s > STALE_S else self._buffer + data
        self._heard_s = t_s
        reply, at = b"", 0
        while True:
            begin = self._begins.search(heard, at)
            at = len(heard) if begin is None else begin.start()
            if at + REQUEST_BYTES > len(heard):
                break
            end = at + (HEADER_BYTES + heard[at + 6] + 2 if heard[at + 1] == WRITE_MANY else REQUEST_BYTES)
            if end <= len(heard) and modbus_crc(heard[at : end - 2]) == heard[end - 2 : end]:
                reply += self._obey(heard[at:end], t_s)
                heard, at = heard[end:], 0
            else:
                at += 1
        self._buffer = heard[at:]
        return reply

    def update(self, t_s: float) -> tuple[bytes, float]:  # noqa: ARG002 - it has no sense of time
        """Say nothing unasked."""
        return b"", NEVER_S

    def power_cycle(self, t_s: float) -> None:
        """Address and speed are kept."""
        self._buffer, self._heard_s = b"", t_s

    def _be(self, unit_id: int) -> None:
        """Take an address; a request that this unit may heed begins with one of three bytes."""
        self._unit_id, self._begins = unit_id, _begins(unit_id)

    def _obey(self, frame: bytes, t_s: float) -> bytes:
        address, function = frame[0], frame[1]
        register, value = int.from_bytes(frame[2:4], "big"), int.from_bytes(frame[4:6], "big")
        asks_all = address == ANYBODY and function in (READ_HOLDING, READ_INPUT) and register == ADDRESS_REGISTER
        if address not in (self._unit_id, TO_ALL) and not (asks_all and self._configurable(register)):
            return b""
        own = self._unit_id  # before it may be changed
        if function in (READ_HOLDING, READ_INPUT):
            body = self._read(function, register, value, t_s)
        elif function == WRITE:
            body = self._write(register, value)
        else:
            body = bytes([function | REFUSED, BAD_FUNCTION])
        if address == TO_ALL:
            return b""
        if self._frames and function == self._function and register == self._register:
            return self._frames.pop()
        reply = bytes([own]) + body
        return reply + modbus_crc(reply)

    def _configurable(self, register: int) -> bool:
        return False if register not in (ADDRESS_REGISTER, BAUD_REGISTER) else self._baud in BAUDS

    def _read(self, function: int, register: int, count: int, t_s: float) -> bytes:
        if not 1 <= count <= MAX_WORDS:
            return bytes([function | REFUSED, BAD_VALUE])
        if register == ADDRESS_REGISTER and count <= 2 and self._configurable(register):
            words = [self._unit_id, BAUDS.index(self._baud)][:count]
        elif register == BAUD_REGISTER and count == 1 and self._configurable(register):
            words = [BAUDS.index(self._baud)]
        elif register == self._register and function == self._function and count <= 2:
            words = [self._measure(t_s), 0][:count]
        else:
            return bytes([function | REFUSED, BAD_REGISTER])
        return bytes([function, 2 * count]) + b"".join(word.to_bytes(2, "big") for word in words)

    def _write(self, register: int, value: int) -> bytes:
        if not self._configurable(register):
            return bytes([WRITE | REFUSED, BAD_REGISTER])
        if register == ADDRESS_REGISTER and 1 <= value <= 247:
            self._be(value)
        elif register == BAUD_REGISTER and value < len(BAUDS):
            self._baud = BAUDS[value]
        else:
            return bytes([WRITE | REFUSED, BAD_VALUE])
        return bytes([WRITE]) + register.to_bytes(2, "big") + value.to_bytes(2, "big")

    def _measure(self, t_s: float) -> int:
        if self._frames:
            self._report(t_s, {})
            return 0
        level_db = min(max(self._street.weighted_level_db(t_s, FAST_S), LOWEST_DB), HIGHEST_DB)
        word = min(round(level_db / self._scale), 0xFFFF)
        self._report(t_s, {"level": word * self._scale})
        return word


@cache
def _begins(unit_id: int) -> re.Pattern[bytes]:
    """Match the first byte of a request that a unit may heed."""
    return re.compile(b"[" + re.escape(bytes((unit_id, TO_ALL, ANYBODY))) + b"]")


class RenkeNoise(ModbusNoise):
    """Renke RS-ZS-N01: 4800 baud, register 0000, address and speed can be set."""

    def __init__(
        self, street: Street, report: Report, frames: Sequence[str] = (), unit_id: int = 1, baud: int = 4800
    ) -> None:
        if baud not in BAUDS:
            raise ValueError(f"baud {baud} must be 2400, 4800 or 9600")
        super().__init__(street, report, frames, unit_id, baud=baud)


class GemhoNoise(ModbusNoise):
    """GEMHO: 9600 baud, register 000E."""

    def __init__(self, street: Street, report: Report, frames: Sequence[str] = (), unit_id: int = 1) -> None:
        super().__init__(street, report, frames, unit_id, register=0x000E, baud=9600)

    def _configurable(self, register: int) -> bool:  # noqa: ARG002 - none is
        return False
