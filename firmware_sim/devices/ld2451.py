"""Hi-Link HLK-LD2451, by its serial protocol (V1.03) as public drivers cite it, and logs of real ones.

report   F4F3F2F1 len[2] (count alarm (angle+80 m direction km/h snr)*count) F8F7F6F5     ten a second; nothing: len 0
command  FDFCFBFA len[2] code[2] data 04030201         ack: code|0100 status[2] data       all little-endian
00FF 0001 config mode   00FE end   0002/0012 detection: m, 0 away 1 near 2 both, km/h, s   0003/0013 sensitivity[4]
00A0 firmware   00A1 baud code, from the next start on   00A2 factory   00A3 start anew

Direction 1 comes nearer, 0 goes away. No check sum: the length alone says where a frame ends.
"""

from __future__ import annotations

from collections.abc import Sequence

from firmware_sim.device import NEVER_S, Playback, Report
from firmware_sim.devices.radar_beam import Echo, echoes
from firmware_sim.street import Street

REPORT_HEAD, REPORT_TAIL = bytes.fromhex("f4f3f2f1"), bytes.fromhex("f8f7f6f5")
HEAD, TAIL = bytes.fromhex("fdfcfbfa"), bytes.fromhex("04030201")
ENABLE, END, SET_DETECTION, DETECTION, SET_SENSITIVITY, SENSITIVITY = 0xFF, 0xFE, 0x02, 0x12, 0x03, 0x13
FIRMWARE, BAUD, FACTORY, RESTART = 0xA0, 0xA1, 0xA2, 0xA3
ACK, OK, FAILED = 0x0100, b"\0\0", b"\1\0"
PROTOCOL = bytes.fromhex("01004000")  # version 1, buffer of 64 bytes
FIRMWARE_DATA = bytes.fromhex("5124 0101 10150524")  # type 2451, V1.01.24051510
DETECTION_DEFAULT, SENSITIVITY_DEFAULT = bytes([100, 2, 0, 1]), bytes([1, 4, 0, 0])
AWAY, NEARER, BOTH = 0, 1, 2
BAUDS = (9600, 19200, 38400, 57600, 115200, 230400, 256000, 460800)  # codes 1 to 8
REPORT_EVERY_S, BACKLOG_S, START_S = 0.1, 0.5, 1.0
MAX_TARGETS, MAX_LENGTH, OVERHEAD_BYTES = 5, 64, 10
HALF_BEAM_DEG = 20.0
KM_H = 3.6


class Ld2451:
    """Reports until it is told to take its configuration; stays in that mode until it is told to leave it."""

    def __init__(
        self, street: Street, report: Report, frames: Sequence[str] = (), silent_when_idle: bool = False
    ) -> None:
        self._street, self._report, self._silent_when_idle = street, report, silent_when_idle
        self._frames = Playback(frames)
        self.baud = self._next_baud = 115200
        self._detection, self._sensitivity = DETECTION_DEFAULT, SENSITIVITY_DEFAULT
        self._configuring = False
        self._buffer = b""
        self._due_s: float | None = None
        self._silent_until_s = self._nearer_s = float("-inf")

    def receive(self, data: bytes, t_s: float) -> bytes:
        """Obey whole commands whose footer stands where their length says."""
        if t_s < self._silent_until_s:
            return b""
        self._buffer += data
        replies = b""
        while (start := self._buffer.find(HEAD[:1])) >= 0:
            self._buffer = self._buffer[start:]
            length = int.from_bytes(self._buffer[4:6], "little")
            whole = self._buffer.startswith(HEAD) and length <= MAX_LENGTH
            if len(self._buffer) < OVERHEAD_BYTES + (length if whole else 0):
                if whole or HEAD.startswith(self._buffer[:4]):
                    return replies
                self._buffer = self._buffer[1:]
                continue
            end = OVERHEAD_BYTES + length
            if whole and length >= 2 and self._buffer[end - 4 : end] == TAIL:
                replies += self._obey(self._buffer[6 : end - 4], t_s)
                self._buffer = self._buffer[end:]
            else:
                self._buffer = self._buffer[1:]
        self._buffer = b""
        return replies

    def update(self, t_s: float) -> tuple[bytes, float]:
        """Ten reports a second, but in config mode; the firmware that falls silent sends none that would be empty."""
        if self._configuring:
            self._due_s = None
            return b"", NEVER_S
        if self._due_s is None:
            self._due_s = max(t_s, self._silent_until_s) + REPORT_EVERY_S
        said = b""
        while self._due_s <= t_s:
            if t_s - self._due_s < BACKLOG_S:
                said += self._look(self._due_s)
            self._due_s += REPORT_EVERY_S
        return said, self._due_s

    def power_cycle(self, t_s: float) -> None:
        """Start anew with the settings that were made: they are kept."""
        self.baud, self._configuring, self._buffer = self._next_baud, False, b""
        self._due_s, self._silent_until_s = None, t_s + START_S

    def _obey(self, command: bytes, t_s: float) -> bytes:
        code, data = int.from_bytes(command[:2], "little"), command[2:]
        if code == ENABLE:
            self._configuring = True
            return _ack(code, OK + PROTOCOL)
        if not self._configuring:
            return b""
        answers = {DETECTION: self._detection, SENSITIVITY: self._sensitivity, FIRMWARE: FIRMWARE_DATA}
        if code in answers:
            return _ack(code, OK + answers[code])
        done = self._set(code, data)
        if code == RESTART:
            self.power_cycle(t_s)
        return _ack(code, OK if done else FAILED)

    def _set(self, code: int, data: bytes) -> bool:
        if code == SET_DETECTION and len(data) == 4 and data[1] <= BOTH:
            self._detection = data
        elif code == SET_SENSITIVITY and len(data) == 4 and 3 <= data[1] <= 8:
            self._sensitivity = data
        elif code == BAUD and len(data) == 2 and 1 <= data[0] <= len(BAUDS):
            self._next_baud = BAUDS[data[0] - 1]
        elif code == FACTORY:
            self._detection, self._sensitivity, self._next_baud = DETECTION_DEFAULT, SENSITIVITY_DEFAULT, 115200
        elif code == END:
            self._configuring = False
        else:
            return code == RESTART
        return True

    def _look(self, t_s: float) -> bytes:
        if self._frames:
            self._report(t_s, {})
            return self._frames.pop()
        max_m, direction, min_km_h, hold_s = self._detection
        targets = [self._target(echo) for echo in echoes(self._street, t_s, float(max_m), HALF_BEAM_DEG)]
        wanted = (AWAY, NEARER) if direction == BOTH else (direction,)
        targets = [target for target in targets if target[2] in wanted and target[3] >= min_km_h][:MAX_TARGETS]
        if not targets:
            return b"" if self._silent_when_idle else REPORT_HEAD + bytes(2) + REPORT_TAIL
        if any(target[2] == NEARER for target in targets):
            self._nearer_s = t_s
        alarm = int(t_s - self._nearer_s <= hold_s)
        for angle, distance_m, way, km_h, snr in targets:
            speed_m_s = km_h / KM_H if way == NEARER else -km_h / KM_H
            values = {"angle": angle - 0x80, "distance": distance_m, "speed": speed_m_s, "signal_to_noise": snr}
            self._report(t_s, {name: float(value) for name, value in values.items()})
        payload = bytes([len(targets), alarm]) + b"".join(targets)
        return REPORT_HEAD + len(payload).to_bytes(2, "little") + payload + REPORT_TAIL

    def _target(self, echo: Echo) -> bytes:
        angle = round(echo.angle_deg) + 0x80
        snr = min(max(round(1600.0 / echo.distance_m), 3), 255)
        km_h = min(round(abs(echo.speed_m_s) * KM_H), 255)
        return bytes([angle, min(round(echo.distance_m), 255), NEARER if echo.speed_m_s > 0 else AWAY, km_h, snr])


def _ack(code: int, data: bytes) -> bytes:
    body = (code | ACK).to_bytes(2, "little") + data
    return HEAD + len(body).to_bytes(2, "little") + body + TAIL
