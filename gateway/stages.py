"""From configuration to the stages of one sensor: the steps that its readings pass, and the channels that they add.

The order is that of the data: what the driver said, calibrated, judged, filtered, made into passages; then the windows.
A step that makes something new of a channel adds a channel beside it: what was measured always goes out as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drivers.base import Channel, Driver
from gateway.config import Config, SensorConfig
from gateway.pipeline.quality import FlatLineTest, RangeTest
from gateway.pipeline.stage import Stage
from gateway.rules import NS, slot_ns


@dataclass(frozen=True, slots=True)
class Stages:
    """The steps so far, and the channels behind them: the driver's own first."""

    steps: tuple[Stage, ...]
    channels: tuple[Channel, ...]
    eventful: tuple[bool, ...]  # of each channel: its slots are those in which the part was alive

    def then(self, step: Stage, adds: tuple[Channel, ...] = (), *, eventful: bool = False) -> Stages:
        """Return the stages with one step more, and what it adds."""
        return Stages(
            (*self.steps, step), (*self.channels, *adds), (*self.eventful, *(eventful for _ in adds))
        )  # fmt: skip


def stages(config: Config, sensor: SensorConfig, driver: Driver, *, events: bool) -> Stages:
    """Make the stages of one sensor; `events` says that its slots are those of a part that speaks when it sees."""
    out = Stages((), driver.channels, (events,) * len(driver.channels))
    for make in (_judged,):
        out = make(out, config, sensor, driver)
    return out


def channels_of(config: Config, sensor: SensorConfig, driver: Driver) -> tuple[Channel, ...]:
    """Return the channels that a sensor publishes: those of the driver, and those that its stages add."""
    return stages(config, sensor, driver, events=False).channels


def _judged(before: Stages, config: Config, sensor: SensorConfig, driver: Driver) -> Stages:
    """Add the tests of quality."""
    slot = slot_ns(sensor, driver)
    tests = [config.quality_of(sensor, driver.domain, channel.name) for channel in before.channels]
    spans = [test.range or (channel.lo, channel.hi) for test, channel in zip(tests, before.channels, strict=True)]
    suspect = [test.suspect_range or span for test, span in zip(tests, spans, strict=True)]
    out = before.then(
        RangeTest(
            np.array([lo for lo, _ in spans], np.float64), np.array([hi for _, hi in spans], np.float64),
            np.array([lo for lo, _ in suspect], np.float64), np.array([hi for _, hi in suspect], np.float64),
        )
    )  # fmt: skip
    if any(test.stuck_s or test.stuck_fail_s for test in tests):
        n = [(int(test.stuck_s * NS / slot), int(test.stuck_fail_s * NS / slot)) for test in tests]
        tolerance = tuple(test.tolerance for test in tests)
        out = out.then(FlatLineTest(tuple(a for a, _ in n), tuple(b for _, b in n), tolerance))
    return out
