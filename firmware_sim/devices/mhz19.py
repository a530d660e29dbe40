"""Winsen MH-Z19B, by its manual V1.0 and by what Tasmota and MHZ19 libraries have learnt from real ones.

86  read     FF 86 co2[2] T+40 S U[2] sum      S = 1 or U = 15000: the value is a constant of the firmware (warm-up)
79  ABC      byte 3: A0 on, 00 off             the other commands have no reply
87  zero     the present air is 400 ppm        88  span  bytes 3-4: the present air has so many ppm
99  range    bytes 6-7, whatever the manual says of bytes 3-4        8D  start anew
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import ClassVar

from firmware_sim.device import NEVER_S, Playback, Report
from firmware_sim.devices.winsen import FRAME_BYTES, winsen_commands, winsen_frame
from firmware_sim.street import Street

READ, ABC, ZERO, SPAN, RANGE, RESET = 0x86, 0x79, 0x87, 0x88, 0x99, 0x8D
RANGES_PPM = (2000, 5000, 10_000)
FRESH_AIR_PPM, LEAST_SPAN_PPM = 400, 1000
BOOT_PPM, BOOT_U, BOOT_S, STABLE_S = 410, 15_000, 1, 64
SELF_HEATING_K = 3.0


class Mhz19:
    """Answers only when asked. Range, zero and span outlive a loss of power; ABC is on again after it."""

    baud: ClassVar[int] = 9600

    def __init__(
        self,
        street: Street,
        report: Report,
        frames: Sequence[str] = (),
        version: str = "B",
        warm_up_s: float = 180.0,
    ) -> None:
        self._street, self._report = street, report
        self._frames = Playback(frames, FRAME_BYTES)
        if version not in ("A", "B"):
            raise ValueError(f"version {version!r} must be A (boots with S = 1) or B (boots with U = 15000)")
        if warm_up_s < 0.0:
            raise ValueError("warm_up_s cannot be negative")
        self._version, self._warm_up_s = version, warm_up_s
        self._range_ppm, self._zero_ppm, self._gain = RANGES_PPM[1], 0.0, 1.0
        self._buffer = b""
        self._on_s: float | None = None
        self.self_calibrates = True

    def receive(self, data: bytes, t_s: float) -> bytes:
        """Obey every whole command with a good check sum; only a read is answered."""
        self.update(t_s)
        commands, self._buffer = winsen_commands(self._buffer + data)
        return b"".join(self._obey(command, t_s) for command in commands)

    def update(self, t_s: float) -> tuple[bytes, float]:
        """Say nothing; the first time is when the power came."""
        if self._on_s is None:
            self._on_s = t_s
        return b"", NEVER_S

    def power_cycle(self, t_s: float) -> None:
        """Warm up again."""
        self._on_s, self._buffer, self.self_calibrates = t_s, b"", True

    def _obey(self, command: bytes, t_s: float) -> bytes:
        code, word = command[0], int.from_bytes(command[1:3], "big")
        wanted_ppm = int.from_bytes(command[4:6], "big")
        if code == READ:
            return self._measure(t_s)
        if code == ABC and command[1] in (0xA0, 0x00):
            self.self_calibrates = command[1] == 0xA0
        elif code == ZERO:
            self._zero_ppm = self._street.co2_ppm(t_s) - FRESH_AIR_PPM
        elif code == SPAN and word >= LEAST_SPAN_PPM:
            self._gain = word / max(self._street.co2_ppm(t_s) - self._zero_ppm, 1.0)
        elif code == RANGE and wanted_ppm in RANGES_PPM:
            self._range_ppm = wanted_ppm
        elif code == RESET:
            self.power_cycle(t_s)
        return b""

    def _measure(self, t_s: float) -> bytes:
        if self._frames:
            self._report(t_s, {})
            return self._frames.pop()
        assert self._on_s is not None
        booting = t_s - self._on_s < self._warm_up_s
        ppm = BOOT_PPM
        if not booting:
            ppm = round(self._gain * (self._street.co2_ppm(t_s) - self._zero_ppm))
        ppm = min(max(ppm, 0), self._range_ppm)
        self._report(t_s, {"co2": None if booting else float(ppm)})
        warmth = min(max(round(self._street.temperature_degc(t_s) + SELF_HEATING_K) + 40, 0), 0xFF)
        state = STABLE_S if not booting else BOOT_S if self._version == "A" else 0
        unknown = BOOT_U if booting and self._version == "B" else 0
        return winsen_frame(struct.pack(">BHBBH", READ, ppm, warmth, state, unknown))
