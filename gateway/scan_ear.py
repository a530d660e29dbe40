"""Listening to a stream as one driver would understand it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from drivers.base import Driver, Fault, Identify, PieceKind, Stream

EVENTS_S = 4.0  # for a part that speaks when something happens
LONGEST_S = 8.0


@dataclass(slots=True)
class Ear:
    """What one driver makes of what is heard."""

    driver: Driver
    rest: bytes = b""
    good: int = 0
    bad: int = 0
    frames: list[bytes] = field(default_factory=list)

    def hear(self, data: bytes) -> None:
        """Cut and decode what came."""
        assert isinstance(self.driver.access, Stream)
        pieces, self.rest = self.driver.access.framer.split(self.rest + data)
        frames = [piece.data for piece in pieces if piece.kind is PieceKind.FRAME]
        fault = self.driver.decode(frames, b"", self.driver.defaults()).fault.tolist()
        self.frames += frames
        self.good += fault.count(Fault.OK)
        self.bad += len(frames) - fault.count(Fault.OK) - fault.count(Fault.NOT_DATA)
        self.bad += sum(piece.kind is PieceKind.BAD_CHECK for piece in pieces)

    @property
    def share(self) -> float:
        """How much of it made sense."""
        return self.good / max(self.good + self.bad, 1)

    def recognised(self, identify: Identify) -> bytes:
        """Return the frames by which a part is recognised that only needs to be listened to, or b""."""
        size = sum(command.keep for command in identify.script)
        runs = (b"".join(self.frames[i : i + size]) for i in range(len(self.frames) - size + 1))
        return next((run for run in runs if identify.match(run)), b"")


def is_passive(identify: Identify) -> bool:
    """Tell whether a part is recognised by listening alone."""
    return all(command.tx == b"" for command in identify.script)


def dwell_s(drivers: Sequence[Driver]) -> float:
    """How long to listen so that each of these parts has spoken twice."""
    periods = [driver.access.nominal_s for driver in drivers if isinstance(driver.access, Stream)]
    return min(max((2.2 * period + 0.3 if period else EVENTS_S for period in periods), default=0.0), LONGEST_S)
