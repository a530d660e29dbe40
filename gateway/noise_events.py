"""Noise events of a site: the step that they make of a sensor's levels, and what can be wrong with that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from drivers.base import Driver, Kind
from gateway.config import Config
from gateway.config_errors import Problem, Sources
from gateway.config_sensors import SensorConfig
from gateway.pipeline.exceedances import CHANNELS, Exceedances

if TYPE_CHECKING:
    from gateway.stages import Stages


def noise_events(before: Stages, config: Config, sensor: SensorConfig, driver: Driver) -> Stages:  # noqa: ARG001
    """Tell when a level was above the threshold of the site, if it has one for this sensor."""
    out, names = before, [channel.name for channel in before.channels]
    for name, said in sensor.events.items():
        if name in names:  # the rules refuse a site that names another
            step = Exceedances(names.index(name), said.threshold_dB, said.min_s, said.gap_s)
            out = out.then(step, CHANNELS, eventful=True)
    return out


def event_rules(sensor: SensorConfig, driver: Driver, at: tuple[str, int], sources: Sources) -> Iterator[Problem]:
    """Judge the noise events of one sensor."""
    levels = {channel.name: channel for channel in driver.channels if channel.kind is Kind.LEVEL}
    for i, (name, said) in enumerate(sensor.events.items()):
        key = (*at, "events", name)
        if name not in levels:
            hint = f"it has {', '.join(levels)}" if levels else "take this table out"
            yield sources.problem(key, f"{driver.name} has no channel of levels {name!r}", hint)
        elif not levels[name].lo <= said.threshold_dB < levels[name].hi:
            what = f"{said.threshold_dB:g} dB is outside what {driver.name} can measure"
            hint = f"use a threshold from {levels[name].lo:g} to {levels[name].hi:g} dB"
            yield sources.problem((*key, "threshold_dB"), what, hint)
        if i:
            yield sources.problem(key, "a sensor has events of one channel", "take the other table out")
