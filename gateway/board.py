"""The board of latest good values: the only value that flows back, from what sensors measured to what parts are told.

The batch posts, the owners of links ask when they say a script. Nothing of it enters a window: what was said to a part
is in its reply, so a replay needs no board.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from drivers.base import Input

NS = 1_000_000_000
NOT_NAMED = "no source is named"
NOT_YET = "nothing measured yet"
TOO_OLD = "too old"
CLAMPED = "beyond what the part takes"


class Source(NamedTuple):
    """A channel of a sensor, written `sensor.channel` in a site file."""

    sensor: str
    channel: str

    @classmethod
    def of(cls, text: str) -> Source:
        """Read `sensor.channel`; names have no dot, so what is written wrongly names nothing that is there."""
        sensor, _, channel = text.partition(".")
        return cls(sensor, channel)

    def __str__(self) -> str:
        return f"{self.sensor}.{self.channel}"


class Posted(NamedTuple):
    """A good value, and when it was measured."""

    value: float
    mono_ns: int


class Told(NamedTuple):
    """What a part was told last of one input, and why it was not simply what was measured."""

    value: float
    reason: str = ""  # empty: as measured
    defaults: int = 0  # times it was told the default, though a source is named


class NoticeBoard:
    """Latest good values in, inputs of parts out; one thread posts, any thread may ask.

    Both tables are replaced or extended by single assignments of values that never change, so nobody waits for a lock.
    """

    def __init__(self) -> None:
        self._posted: Mapping[Source, Posted] = {}
        self._told: dict[tuple[str, str], Told] = {}

    def post(self, newest: Mapping[Source, Posted]) -> None:
        """Put up what a batch has brought."""
        self._posted = {**self._posted, **newest}

    def ask(
        self, name: str, inputs: tuple[Input, ...], sources: Mapping[str, Source], mono_ns: int
    ) -> dict[str, float]:
        """Say what a part is to be told now: what was measured, cut to lo..hi, or the default when that is too old."""
        out, posted = {}, self._posted
        for wanted in inputs:
            value, reason = _value(wanted, posted, sources.get(wanted.name), mono_ns)
            before = self._told.get((name, wanted.name), Told(value))
            missed = reason in (NOT_YET, TOO_OLD)
            self._told[name, wanted.name] = Told(value, reason, before.defaults + missed)
            out[wanted.name] = value
        return out

    def told(self, name: str) -> dict[str, Told]:
        """Return what a part was told last, by input."""
        return {wanted: told for (part, wanted), told in tuple(self._told.items()) if part == name}


def _value(wanted: Input, posted: Mapping[Source, Posted], source: Source | None, mono_ns: int) -> tuple[float, str]:
    if source is None:
        return wanted.default, NOT_NAMED
    latest = posted.get(source)
    if latest is None:
        return wanted.default, NOT_YET
    if mono_ns - latest.mono_ns > wanted.max_age_s * NS:
        return wanted.default, TOO_OLD
    value = min(max(latest.value, wanted.lo), wanted.hi)
    return value, "" if value == latest.value else CLAMPED
