"""Time of the simulation, and the ground truth: every measurement that left a twin, as JSON lines.

What faults did to the parts stands between them, in lines that have `fault` in place of `values`. What happened on the
street has `street` in place of both, where it is asked for: docs/reference/scenario.md.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from firmware_sim.device import Report, Values
from firmware_sim.faults import Witness
from gateway.clock import NS, Clock


class Timeline:
    """UTC at the start, carried on by the monotonic clock: it never jumps and never goes back."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._origin_ns = clock.utc_ns() - clock.mono_ns()

    def now_s(self) -> float:
        """Seconds since 1970 on this timeline."""
        return (self._origin_ns + self.clock.mono_ns()) / NS

    def utc_ns(self, t_s: float) -> int:
        """What the machine's UTC clock calls a moment of this timeline, should it have been set meanwhile."""
        return self.clock.utc_ns() - round((self.now_s() - t_s) * NS)


class Truth:
    """Appends to a file of JSON lines; each line is on disk (in the page cache) when it is written."""

    def __init__(self, path: Path, timeline: Timeline) -> None:
        """Open the file; raise OSError when that cannot be."""
        self._file: Any = path.open("ab", buffering=0)
        self._timeline = timeline
        self._encode = msgspec.json.Encoder().encode

    def reporter(self, name: str, device: str) -> Report:
        """Return the function to which one twin reports."""

        def report(t_s: float, values: Values) -> None:
            self._write(t_s, name, device, {"values": dict(values)})

        return report

    def witness(self, name: str, device: str) -> Witness:
        """Return the function to which the faults of one part report."""

        def witness(t_s: float, kind: str, details: Mapping[str, object]) -> None:
            self._write(t_s, name, device, {"fault": kind, **details})

        return witness

    def tell(self, lines: Iterable[tuple[float, Mapping[str, object]]]) -> None:
        """Write what happened on the street: lines, each with its time in UTC seconds."""
        told = [self._encode({"t_ns": self._utc_ns(t_s), **what}) + b"\n" for t_s, what in lines]
        self._file.write(b"".join(told))

    def _write(self, t_s: float, name: str, device: str, what: Mapping[str, object]) -> None:
        line = {"t_ns": self._utc_ns(t_s), "name": name, "device": device, **what}
        self._file.write(self._encode(line) + b"\n")

    def _utc_ns(self, t_s: float) -> int:
        return self._timeline.utc_ns(t_s)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class HeldTruth(Truth):
    """Keeps the lines until somebody takes them; time is what the twins are told, to the microsecond.

    Measurements are kept where they are asked for (`sent`): a lidar alone makes 8.6 million of them a day.
    """

    def __init__(self, *, sent: bool) -> None:
        self._file = io.BytesIO()
        self._sent = sent
        self._encode = msgspec.json.Encoder().encode

    def reporter(self, name: str, device: str) -> Report:
        """Return the function to which one twin reports."""
        return super().reporter(name, device) if self._sent else _unheard

    def take(self) -> bytes:
        """Return the lines that have come since the last time."""
        lines: bytes = self._file.getvalue()
        self._file = io.BytesIO()
        return lines

    def _utc_ns(self, t_s: float) -> int:
        return round(t_s * 1e6) * 1000


def _unheard(_t_s: float, _values: Values) -> None:
    """Nobody wants to know what was sent."""
