"""Running totals of a sensor: the step that makes counts of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from drivers.base import Channel, Driver, Kind
from gateway.config import Config
from gateway.config_sensors import SensorConfig
from gateway.pipeline.counters import Increments

if TYPE_CHECKING:
    from gateway.stages import Stages

INCREASE = "_increase"  # behind the name of a running total: what was added since the last reading


def totals(before: Stages, config: Config, sensor: SensorConfig, driver: Driver) -> Stages:  # noqa: ARG001
    """Count what is added to each running total of a part; its register wraps behind the end of its span."""
    columns = tuple(i for i, channel in enumerate(before.channels) if channel.kind is Kind.COUNTER)
    if not columns:
        return before
    own = [before.channels[i] for i in columns]
    counts = (replace(one, name=one.name + INCREASE, kind=Kind.COUNT, lo=0.0, hi=math.inf) for one in own)
    return before.then(Increments(columns, tuple(_modulus(one) for one in own)), tuple(counts))


def _modulus(channel: Channel) -> float:
    """Return how many values a register has; 0 for one without an end."""
    return channel.hi - channel.lo + (channel.resolution or 1.0) if math.isfinite(channel.hi - channel.lo) else 0.0
