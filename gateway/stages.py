"""From configuration to the stages of one sensor: the steps that its readings pass, and the channels that they add.

The order is that of the data: what the driver said, calibrated, judged, indexed, filtered, made into passages; then
the windows. A step that makes something new of a channel adds a channel beside it: what was measured always goes out as
well.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.base import Channel, Driver
from gateway.calibrations import calibrated
from gateway.config import Config
from gateway.config_sensors import SensorConfig
from gateway.gas import AS_SENSIRION, indices
from gateway.judged import filtered, judged
from gateway.noise_events import noise_events
from gateway.pipeline.gas_index import GasIndex
from gateway.pipeline.stage import Stage
from gateway.rules import NS, slot_ns
from gateway.totals import totals
from gateway.vehicles import passages


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
    for make in (calibrated, judged, _indexed, filtered, totals, noise_events, passages):
        out = make(out, config, sensor, driver)
    return out


def channels_of(config: Config, sensor: SensorConfig, driver: Driver) -> tuple[Channel, ...]:
    """Return the channels that a sensor publishes: those of the driver, and those that its stages add."""
    return stages(config, sensor, driver, events=False).channels


def _indexed(before: Stages, config: Config, sensor: SensorConfig, driver: Driver) -> Stages:  # noqa: ARG001
    """Make gas indices of raw ticks."""
    interval_s = slot_ns(sensor, driver) / NS
    made = indices(sensor, before.channels, interval_s)
    if not made:
        return before
    names = [channel.name for channel in before.channels]
    of = tuple((names.index(one.raw), one) for one in made)
    step = GasIndex(of, interval_s, (sensor.gas_index or AS_SENSIRION).forget_after_s)
    return before.then(step, tuple(Channel(one.name, "1", lo=0.0, hi=500.0, resolution=1.0) for one in made))
