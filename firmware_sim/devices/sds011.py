"""Nova SDS011, by "Laser Dust Sensor Control Protocol V1.3" and captures of its habits.

frame    AA C0 PM2.5L PM2.5H PM10L PM10H ID1 ID2 sum AB      ug/m3 x 10
reply    AA C5 what d2 d3 d4 ID1 ID2 sum AB
command  AA B4 what set value 00 x10 ID1 ID2 sum AB          FF FF: any ID
"""

from __future__ import annotations

from collections.abc import Sequence

from firmware_sim.checks import sds011_sum
from firmware_sim.device import NEVER_S, Playback, Report
from firmware_sim.street import Street

MODE, QUERY, SET_ID, SLEEP_WORK, FIRMWARE, PERIOD = 0x02, 0x04, 0x05, 0x06, 0x07, 0x08
ACTIVE, ON_QUERY = 0, 1
SLEEP, WORK, STIRRED = 0, 1, 2  # STIRRED: the first wake command woke the UART and was lost
COMMAND_BYTES = 19
FIRMWARE_DATE = bytes([15, 7, 10])  # year, month, day
WAKE_JUNK = bytes.fromhex("ad50105edd")  # captured: github.com/lewapek/sds-dust-sensors-arduino-library/issues/6
REPORT_EVERY_S = 1.0
WORK_S = 30.0  # of every working period
BACKLOG_S = 2.0  # frames later than this were never sent
MAX_TENTHS = 9999


class Sds011:
    """Active reporting at 1 Hz from the factory; keeps its mode and its sleep when the host goes away."""

    def __init__(self, street: Street, report: Report, frames: Sequence[str] = (), device_id: str = "a160") -> None:
        self._street, self._report = street, report
        self._frames = Playback(frames)
        self._id = bytes.fromhex(device_id)
        if len(self._id) != 2:
            raise ValueError(f"device_id {device_id!r} must be 2 bytes in hex")
        self._mode, self._state, self._period_min = ACTIVE, WORK, 0
        self._due_s: float | None = None
        self._buffer = b""

    def receive(self, data: bytes, t_s: float) -> bytes:
        """Obey every whole command with a good checksum that is meant for this ID; ignore the rest."""
        self._buffer += data
        replies = b""
        while (start := self._buffer.find(b"\xaa")) >= 0:
            self._buffer = self._buffer[start:]
            if len(self._buffer) < COMMAND_BYTES and b"\xaa\xb4".startswith(self._buffer[:2]):
                return replies
            command = self._buffer[:COMMAND_BYTES]
            if command[1] == 0xB4 and command[18] == 0xAB and sds011_sum(command[2:17]) == command[17]:
                self._buffer = self._buffer[COMMAND_BYTES:]
                if command[15:17] in (b"\xff\xff", self._id):
                    replies += self._obey(command[2], command[3], command[4], command[13:15], t_s)
            else:
                self._buffer = self._buffer[1:]
        self._buffer = b""
        return replies

    def update(self, t_s: float) -> tuple[bytes, float]:
        """One frame a second, or one at the end of the 30 s of work of every working period."""
        if self._mode != ACTIVE or self._state != WORK:
            self._due_s = None
            return b"", NEVER_S
        if self._due_s is None:
            self._due_s = t_s + (WORK_S if self._period_min else REPORT_EVERY_S)
        said = b""
        while self._due_s <= t_s:
            if t_s - self._due_s < BACKLOG_S:
                said += self._measure(self._due_s)
            self._due_s += 60.0 * self._period_min or REPORT_EVERY_S
        return said, self._due_s

    def power_cycle(self, t_s: float) -> None:  # noqa: ARG002 - it is as awake as it was
        """Start anew with mode, period, sleep and ID, which are kept; half a command and half a waking are not."""
        self._buffer, self._due_s = b"", None
        self._state = SLEEP if self._state == STIRRED else self._state

    def _obey(self, what: int, is_set: int, value: int, new_id: bytes, t_s: float) -> bytes:
        wake = what == SLEEP_WORK and is_set == 1 and value == WORK
        if self._state == SLEEP:
            self._state = STIRRED if wake else SLEEP
            return WAKE_JUNK if wake else b""
        if self._state == STIRRED:
            if not wake:
                return b""
            self._state = WORK
        if what == QUERY:
            return self._measure(t_s)
        if what == FIRMWARE:
            return self._frame(0xC5, bytes([FIRMWARE]) + FIRMWARE_DATE)
        if what == SET_ID:
            self._id = new_id
            return self._frame(0xC5, bytes([SET_ID, 0, 0, 0]))
        if what not in (MODE, SLEEP_WORK, PERIOD) or value > (30 if what == PERIOD else 1):
            return b""
        if is_set:
            self._set(what, value)
        value = {MODE: self._mode, SLEEP_WORK: WORK, PERIOD: self._period_min}[what] if not is_set else value
        return self._frame(0xC5, bytes([what, is_set, value, 0]))

    def _set(self, what: int, value: int) -> None:
        if what == MODE:
            self._mode = value
        elif what == SLEEP_WORK:
            self._state = value
        else:
            self._period_min, self._due_s = value, None

    def _measure(self, t_s: float) -> bytes:
        if self._frames:
            self._report(t_s, {})
            return self._frames.pop()
        air = self._street.particles(t_s)
        tenths = [min(round(10 * x), MAX_TENTHS) for x in (air.pm2_5, air.pm10)]
        self._report(t_s, {"pm2_5": tenths[0] / 10, "pm10": tenths[1] / 10})
        return self._frame(0xC0, b"".join(x.to_bytes(2, "little") for x in tenths))

    def _frame(self, kind: int, data: bytes) -> bytes:
        body = data + self._id
        return bytes([0xAA, kind]) + body + bytes([sds011_sum(body), 0xAB])
