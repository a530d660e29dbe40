"""What a twin of a sensor is: bytes in, bytes out, and time as an argument. No I/O and no clock inside.

`t_s` is UTC in seconds and never goes back. A twin may be driven by an event loop, by a bus server or by a test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Protocol

Values = Mapping[str, float | None]
Report = Callable[[float, Values], None]
"""Told (t_s, values) for every measurement that leaves a twin: what it encoded; empty for played-back bytes."""

NEVER_S = float("inf")


class Nack(Exception):  # noqa: N818 - the word of the bus
    """The part does not acknowledge: wrong command, not ready, or busy."""


class UartDevice(Protocol):
    """A sensor on a serial line."""

    def receive(self, data: bytes, t_s: float) -> bytes:
        """Take bytes from the host, in any cut; return the reply to them."""
        ...

    def update(self, t_s: float) -> tuple[bytes, float]:
        """Return what the part says by itself until `t_s`, and when it wants to be asked again."""
        ...


class I2cDevice(Protocol):
    """A sensor on an I2C bus; both methods raise `Nack` when the part would not acknowledge."""

    ADDRESSES: ClassVar[tuple[int, ...]]

    def write(self, data: bytes, t_s: float) -> None:
        """Take one write message; an empty one only asks whether somebody is there."""
        ...

    def read(self, n: int, t_s: float) -> bytes:
        """Return exactly `n` bytes."""
        ...


class Playback:
    """Payloads to send in place of measurements: one after the other, the last one for ever."""

    def __init__(self, frames: Sequence[str], size: int | None = None) -> None:
        """Read hex strings; raise ValueError when one is not hex or has not `size` bytes."""
        self._frames = [bytes.fromhex(frame) for frame in frames]
        self._next = 0
        for frame in self._frames:
            if size is not None and len(frame) != size:
                raise ValueError(f"frame {frame.hex()} has {len(frame)} bytes, not {size}")

    def __bool__(self) -> bool:
        return bool(self._frames)

    def pop(self) -> bytes:
        """Return the next payload."""
        frame = self._frames[self._next]
        self._next = min(self._next + 1, len(self._frames) - 1)
        return frame
