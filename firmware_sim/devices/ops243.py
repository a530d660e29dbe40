"""OmniPreSense OPS243-A Doppler radar, by AN-010 and the user manual UM-003: ASCII, lines end with CR LF.

-10.9                                  plain; positive speeds come nearer
{"magnitude":"606.71","speed":"-10.9"}  after OJ and OM
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from firmware_sim.device import Playback, Report
from firmware_sim.street import SLOWEST_M_S, Street, Vehicle

REPORT_EVERY_S = (
    0.2  # while a vehicle is in the beam; at multiples of it, UTC: two runs of an hour see the same moments
)
PLAYBACK_EVERY_S = 1.0
BACKLOG_S = 2.0
BEAM_M = (5.0, 40.0)  # along the road
ASIDE_M = 3.0  # the cosine error of a radar that stands beside the lane
CAR_AT_1_M = 60_000.0  # magnitude, which falls with the square of the distance as the radar equation says
LARGER: Final[Mapping[str, float]] = MappingProxyType(  # echo relative to a car: 3, 10, 10 and -6 dB [usual at 24 GHz]
    {"van": 1.4, "lorry": 3.2, "bus": 3.2, "motorcycle": 0.5}
)
PER_M_S: Final[Mapping[str, tuple[float, str]]] = MappingProxyType(
    {
        "UM": (1.0, "m-per-sec"),
        "UK": (3.6, "km-per-hr"),
        "US": (3600.0 / 1609.344, "mph"),
        "UC": (100.0, "cm-per-sec"),
        "UF": (1.0 / 0.3048, "ft-per-sec"),
    }
)
INFORMATION: Final[Mapping[str, str]] = MappingProxyType(
    {
        "?P": '{"Product":"OPS243"}',
        "?V": '{"Version":"1.3.5"}',
        "?N": '{"SerialNumber":"0000243"}',
    }
)
MODULE = (
    INFORMATION["?P"],
    INFORMATION["?V"],
    '{"SamplingRate":10000, "resolution":0.0607}',
    '{"SampleSize":1024}',
    '{"PowerMode":"Continuous"}',
    '{"Squelch":"100"}',
    '{"RequiredMinSpeed":"0.000"}',
)


class Ops243:
    """Silent without a target; several reports of every vehicle, of the strongest echo where there are several at once.

    Filters such as R>n and numbers of reports (O2) are taken and not applied.
    """

    def __init__(self, street: Street, report: Report, frames: Sequence[str] = ()) -> None:
        self._street, self._report = street, report
        self._frames = Playback([f"{line}\r\n".encode("ascii").hex() for line in frames])
        self._units, self._decimals, self._json, self._magnitude = "UM", 1, False, False
        self._beat: int | None = None  # the number of the next report, counted from 1970
        self._buffer = ""

    def receive(self, data: bytes, t_s: float) -> bytes:  # noqa: ARG002 - it answers at once
        """Obey commands of two characters at once, and those that take a number at their CR."""
        self._buffer += data.decode("ascii", errors="replace")
        replies: list[str] = []
        while self._buffer:
            if self._buffer[0] in "\r\n":
                self._buffer = self._buffer[1:]
            elif len(self._buffer) < 2:
                break
            elif self._buffer[1] in "<>=/" or self._buffer[0] == "^":
                _number, end, rest = self._buffer.partition("\r")
                if not end:
                    break
                self._buffer = rest
            else:
                command, self._buffer = self._buffer[:2], self._buffer[2:]
                replies += self._obey(command)
        return "".join(f"{line}\r\n" for line in replies).encode("ascii")

    def update(self, t_s: float) -> tuple[bytes, float]:
        """Report the strongest target; played-back lines come once a second, traffic or not."""
        every_s = PLAYBACK_EVERY_S if self._frames else REPORT_EVERY_S
        if self._beat is None:
            self._beat = math.floor(t_s / every_s) + 1
        said = b""
        while (due_s := self._beat * every_s) <= t_s:
            if t_s - due_s < BACKLOG_S:
                said += self._look(due_s)
            self._beat += 1
        return said, due_s

    def _obey(self, command: str) -> list[str]:
        if command == "??":
            return list(MODULE)
        if command in INFORMATION:
            return [INFORMATION[command]]
        if command in PER_M_S:
            self._units = command
        if command in PER_M_S or command == "U?":
            return [f'{{"Units":"{PER_M_S[self._units][1]}"}}']
        if command in ("OJ", "Oj"):
            self._json = command == "OJ"
        elif command in ("OM", "Om"):
            self._magnitude = command == "OM"
        elif command[0] == "F" and command[1] in "012345":
            self._decimals = int(command[1])
            return []
        else:
            return []
        return [f'{{"OutputFeature":"{command[1]}"}}']

    def _look(self, t_s: float) -> bytes:
        if self._frames:
            self._report(t_s, {})
            return self._frames.pop()
        reach_s = BEAM_M[1] / SLOWEST_M_S
        targets = [(_ahead_m(v, t_s), v) for v in self._street.vehicles(t_s - reach_s, t_s + reach_s)]
        targets = [target for target in targets if BEAM_M[0] <= target[0] <= BEAM_M[1]]
        if not targets:
            return b""
        magnitude, ahead_m, vehicle = max(
            (_magnitude(vehicle, ahead_m), ahead_m, vehicle) for ahead_m, vehicle in targets
        )
        factor = PER_M_S[self._units][0]
        speed = f"{vehicle.speed_m_s * ahead_m / math.hypot(ahead_m, ASIDE_M) * factor:.{self._decimals}f}"
        self._report(t_s, {"speed": float(speed) / factor})
        return self._line(speed, f"{magnitude:.2f}")

    def _line(self, speed: str, magnitude: str) -> bytes:
        if self._json:
            first = f'"magnitude":"{magnitude}",' if self._magnitude else ""
            return f'{{{first}"speed":"{speed}"}}\r\n'.encode("ascii")
        return f"{magnitude + ',' if self._magnitude else ''}{speed}\r\n".encode("ascii")


def _magnitude(vehicle: Vehicle, ahead_m: float) -> float:
    return CAR_AT_1_M * LARGER.get(vehicle.kind, 1.0) / ahead_m**2


def _ahead_m(vehicle: Vehicle, t_s: float) -> float:
    """How far ahead of the radar on the side it looks to; negative when it cannot be seen."""
    return vehicle.speed_m_s * (vehicle.pass_s - t_s)
