"""RFbeam K-LD7, by its data sheet of 12/2020 (Rev B) and the Python package kld7: packets in both directions.

packet   4 letters, length u32, payload; little-endian; 115200 8E1 until INIT sets another speed
INIT u32 0..4 = 115200, 460800, 921600, 2000000, 3000000     GBYE     each answered by RESP u8, at the old speed:
         0 ok  1 unknown command  2 bad value  3 bad RPST  4 line error  5 busy
GNFD u32 mask of what shall follow at the end of the frame: 1 RADC 2 RFFT 4 PDAT 8 TDAT 16 DDAT 32 DONE
PDAT, TDAT  (cm u16, km/h*100 i16 + leaves, deg*100 i16, magnitude u16)*n      TDAT without payload: nothing is tracked
GRPS -> RPST (42 bytes), SRPS sets all parameters, RFSE the factory's; or one by name, u32
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from firmware_sim.device import NEVER_S, Playback, Report
from firmware_sim.devices.radar_beam import Echo, echoes
from firmware_sim.street import Street

OK, UNKNOWN, BAD_VALUE, BAD_RPST, _LINE_ERROR, BUSY = range(6)
BAUDS = (115200, 460800, 921600, 2_000_000, 3_000_000)
RADC, RFFT, PDAT, TDAT, DDAT, DONE = (1 << k for k in range(6))
EVERYTHING = 0x3F
HEADER, TARGET, RPST = struct.Struct("<4sI"), struct.Struct("<HhhH"), struct.Struct("<19s8B2b4Bb4BH2B")
FIRMWARE = b"K-LD7_APP-RFB-0103\0"
# in the order of RPST: default, lowest and highest value
PARAMETERS: Final = MappingProxyType(
    {
        "RBFR": (0, 0, 2), "RSPI": (1, 0, 3), "RRAI": (1, 0, 3), "THOF": (30, 10, 60), "TRFT": (0, 0, 2),
        "VISU": (4, 0, 16), "MIRA": (0, 0, 100), "MARA": (50, 0, 100), "MIAN": (-90, -90, 90), "MAAN": (90, -90, 90),
        "MISP": (0, 0, 100), "MASP": (100, 0, 100), "DEDI": (2, 0, 2), "RATH": (10, 0, 100), "ANTH": (0, -90, 90),
        "SPTH": (50, 0, 100), "DIG1": (0, 0, 4), "DIG2": (1, 0, 4), "DIG3": (2, 0, 4), "HOLD": (1, 1, 7200),
        "MIDE": (0, 0, 1), "MIDS": (4, 0, 9),
    }
)  # fmt: skip
MAX_KM_H, MAX_M = (12.5, 25.0, 50.0, 100.0), (5.0, 10.0, 30.0, 100.0)  # by RSPI and RRAI
FRAME_S = (0.232, 0.116, 0.058, 0.029)  # by RSPI: a slower limit takes longer to measure
APPROACHING, LEAVING, BOTH = 0, 1, 2
KM_H = 3.6
MAX_LENGTH, STALE_S = 64, 0.2
HALF_BEAM_DEG = 40.0


class Target(NamedTuple):
    """One target as it is encoded."""

    cm: int
    centi_km_h: int
    centi_deg: int
    magnitude: int


class Kld7:
    """Hears nothing but INIT before it is said; keeps its speed until GBYE or a loss of power."""

    def __init__(self, street: Street, report: Report, frames: Sequence[str] = ()) -> None:
        self._street, self._report = street, report
        self._frames = Playback(frames)
        self._parameters = {name: default for name, (default, _low, _high) in PARAMETERS.items()}
        self.baud = BAUDS[0]
        self._connected = False
        self._buffer, self._heard_s = b"", -math.inf
        self._on_s: float | None = None
        self._wanted, self._count, self._due_s = 0, 0, NEVER_S

    def receive(self, data: bytes, t_s: float) -> bytes:
        """Answer every whole packet."""
        self._wake(t_s)
        if t_s - self._heard_s > STALE_S:
            self._buffer = b""
        self._heard_s = t_s
        self._buffer += data
        replies = b""
        while len(self._buffer) >= HEADER.size:
            name, length = HEADER.unpack_from(self._buffer)
            if not (name.isalnum() and name.isupper()) or length > MAX_LENGTH:
                self._buffer = self._buffer[1:]
                continue
            end = HEADER.size + length
            if len(self._buffer) < end:
                break
            payload, self._buffer = self._buffer[HEADER.size : end], self._buffer[end:]
            replies += self._obey(name.decode("ascii"), payload, t_s)
        return replies

    def update(self, t_s: float) -> tuple[bytes, float]:
        """Send what was asked for when the frame is complete."""
        self._wake(t_s)
        if t_s < self._due_s:
            return b"", self._due_s
        at_s, wanted, self._due_s, self._wanted = self._due_s, self._wanted, NEVER_S, 0
        return self._frame(wanted, at_s), NEVER_S

    def power_cycle(self, t_s: float) -> None:
        """Forget the host, and not the parameters."""
        self.baud, self._connected, self._buffer = BAUDS[0], False, b""
        self._on_s, self._wanted, self._due_s = t_s, 0, NEVER_S

    def _wake(self, t_s: float) -> None:
        if self._on_s is None:
            self._on_s = t_s

    def _obey(self, name: str, payload: bytes, t_s: float) -> bytes:
        if not self._connected and name != "INIT":
            return b""
        number = int.from_bytes(payload, "little", signed=True) if len(payload) == 4 else None
        if name == "INIT":
            if number is None or not 0 <= number < len(BAUDS):
                return _response(BAD_VALUE)
            self._connected, self.baud = True, BAUDS[number]
        elif name == "GBYE":
            self._connected, self.baud, self._due_s = False, BAUDS[0], NEVER_S
        elif name == "GNFD":
            return _response(self._fetch(number, t_s))
        elif name == "GRPS":
            return _response(OK) + _packet("RPST", RPST.pack(FIRMWARE, *self._parameters.values()))
        elif name == "SRPS":
            return _response(self._set_all(payload))
        elif name == "RFSE":
            self._parameters = {key: default for key, (default, _low, _high) in PARAMETERS.items()}
        elif name in PARAMETERS:
            return _response(self._set(name, number))
        else:
            return _response(UNKNOWN)
        return _response(OK)

    def _set(self, name: str, value: int | None) -> int:
        _default, low, high = PARAMETERS[name]
        if value is None or not low <= value <= high:
            return BAD_VALUE
        self._parameters[name] = value
        return OK

    def _set_all(self, payload: bytes) -> int:
        if len(payload) != RPST.size:
            return BAD_VALUE
        firmware, *values = RPST.unpack(payload)
        if firmware != FIRMWARE:
            return BAD_RPST
        wanted = dict(zip(PARAMETERS, values, strict=True))
        if any(not PARAMETERS[name][1] <= value <= PARAMETERS[name][2] for name, value in wanted.items()):
            return BAD_VALUE
        self._parameters = wanted
        return OK

    def _fetch(self, mask: int | None, t_s: float) -> int:
        if mask is None or not 0 < mask <= EVERYTHING:
            return BAD_VALUE
        if self._due_s < NEVER_S:
            return BUSY
        assert self._on_s is not None
        frame_s = FRAME_S[self._parameters["RSPI"]]
        self._count = math.floor((t_s - self._on_s) / frame_s) + 1
        self._wanted, self._due_s = mask, self._on_s + self._count * frame_s
        return OK

    def _frame(self, wanted: int, t_s: float) -> bytes:
        if self._frames:
            self._report(t_s, {})
            return self._frames.pop()
        targets = self._targets(t_s)
        tracked = targets[:1]
        for target in tracked if wanted & TDAT else targets if wanted & PDAT else ():
            self._tell(target, t_s)
        parts = {
            RADC: ("RADC", struct.pack("<H", 2048) * 1536),
            RFFT: ("RFFT", struct.pack("<H", 3000) * 512),
            PDAT: ("PDAT", b"".join(TARGET.pack(*target) for target in targets)),
            TDAT: ("TDAT", b"".join(TARGET.pack(*target) for target in tracked)),
            DDAT: ("DDAT", self._detection(tracked)),
            DONE: ("DONE", struct.pack("<I", self._count)),
        }
        return b"".join(_packet(*part) for bit, part in parts.items() if wanted & bit)

    def _targets(self, t_s: float) -> list[Target]:
        reach_m = MAX_M[self._parameters["RRAI"]] * self._parameters["MARA"] / 100.0
        targets = [self._target(echo) for echo in echoes(self._street, t_s, reach_m, HALF_BEAM_DEG)]
        return [target for target in targets if self._wants(target)]

    def _target(self, echo: Echo) -> Target:
        limit = round(100.0 * MAX_KM_H[self._parameters["RSPI"]])
        leaving = round(-echo.speed_m_s * KM_H * 100.0)
        aliased = (leaving + limit) % (2 * limit) - limit  # faster than the limit: seen as another speed
        magnitude = round(6000.0 - 1500.0 * math.log10(max(echo.distance_m, 1.0)))
        return Target(round(100.0 * echo.distance_m), aliased, round(100.0 * echo.angle_deg), magnitude)

    def _wants(self, target: Target) -> bool:
        parameters = self._parameters
        way = LEAVING if target.centi_km_h > 0 else APPROACHING
        limit = MAX_KM_H[parameters["RSPI"]]
        near_cm = MAX_M[parameters["RRAI"]] * parameters["MIRA"]
        return (
            parameters["DEDI"] in (BOTH, way)
            and target.cm >= near_cm
            and parameters["MIAN"] <= target.centi_deg / 100.0 <= parameters["MAAN"]
            and limit * parameters["MISP"] <= abs(target.centi_km_h) <= limit * parameters["MASP"]
        )

    def _detection(self, tracked: Sequence[Target]) -> bytes:
        if not tracked:
            return bytes(6)
        (target,), parameters = tracked, self._parameters
        right = target.centi_deg > 100 * parameters["ANTH"]
        near = target.cm < MAX_M[parameters["RRAI"]] * parameters["RATH"]
        fast = abs(target.centi_km_h) > MAX_KM_H[parameters["RSPI"]] * parameters["SPTH"]
        return bytes([1, 0, right, target.centi_km_h > 0, near, fast])

    def _tell(self, target: Target, t_s: float) -> None:
        values = {
            "distance": target.cm / 100.0,
            "speed": -target.centi_km_h / 100.0 / KM_H,
            "angle": target.centi_deg / 100.0,
            "magnitude": float(target.magnitude),
        }
        self._report(t_s, values)


def _packet(name: str, payload: bytes) -> bytes:
    return HEADER.pack(name.encode("ascii"), len(payload)) + payload


def _response(code: int) -> bytes:
    return _packet("RESP", bytes([code]))
