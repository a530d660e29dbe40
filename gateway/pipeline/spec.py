"""What the windows must know of a sensor, and which slots they expect of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.base import Channel
from gateway.block import I8
from gateway.pipeline.stage import State


class DutyTimes(NamedTuple):
    """When a part that sleeps is expected to measure: the slots that start in [from_ns, to_ns) of each period."""

    period_ns: int
    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class SensorSpec:
    """What the windows must know of a sensor: `sensor` is its place; event parts speak only when something happens."""

    sensor: str
    domain: str
    channels: tuple[Channel, ...]
    slot_ns: int
    events: bool = False
    duty: DutyTimes | None = None
    keep: tuple[bool, ...] = ()  # of each channel: are its samples kept for percentiles; empty: of none
    eventful: tuple[bool, ...] = ()  # of each channel: its slots are those in which the part was alive; empty: `events`
    away: tuple[tuple[int, int], ...] = ()  # [from, until) UTC ns in which it is no news that nothing was seen

    def series(self) -> tuple[tuple[str, str, str, str], ...]:
        """Name the series of this sensor: (domain, sensor, channel, unit)."""
        return tuple((self.domain, self.sensor, channel.name, channel.unit) for channel in self.channels)

    def initial(self) -> State:
        """Return the state with no window open."""
        c = len(self.channels)
        return {
            "t": np.empty(0, np.int64), "v": np.empty((0, c)), "flag": np.empty((0, c), np.uint8),
            "reason": np.empty((0, c), np.uint16), "dur_s": np.empty(0),
            "slot_t": np.empty(0, np.int64), "slot_code": np.empty(0, np.uint8), "late": np.zeros(1, np.int64),
        }  # fmt: skip


def expected_slots(spec: SensorSpec, start_ns: int, end_ns: int) -> I8:
    """Return the indices of the slots that a window of this sensor expects: slot k is [k, k + 1) * slot_ns."""
    k = np.arange(-(-start_ns // spec.slot_ns), -(-end_ns // spec.slot_ns), dtype=np.int64)
    if spec.duty is not None:
        phase = (k * spec.slot_ns) % spec.duty.period_ns
        k = k[(phase >= spec.duty.from_ns) & (phase < spec.duty.to_ns)]
    return k


def watched(spec: SensorSpec, expected: I8) -> npt.NDArray[np.bool_] | None:
    """Tell in which slots it counts that nothing was seen: not while somebody stands before the part."""
    if not spec.away:
        return None
    at_ns = expected * spec.slot_ns
    watched = np.ones(len(expected), np.bool_)
    for from_ns, until_ns in spec.away:
        watched &= (at_ns < from_ns) | (at_ns >= until_ns)
    return watched


def expects(spec: SensorSpec, start_ns: int, end_ns: int) -> bool:
    """Tell whether a window expects anything of this sensor."""
    always = spec.duty is None and spec.slot_ns <= end_ns - start_ns
    return always or len(expected_slots(spec, start_ns, end_ns)) > 0
