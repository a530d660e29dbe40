"""Doubts that several sensors raise together: what a site file says of them, and what can be wrong with that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from drivers import DRIVERS
from drivers.base import Kind
from gateway.board import Source
from gateway.config import Config
from gateway.config_errors import Problem, Sources
from gateway.config_sensors import SensorConfig
from gateway.judged import FILTERED
from gateway.pipeline.derive import At
from gateway.pipeline.neighbours import Doubt, Neighbours, TooHumid

HUMIDITY, HUMIDITY_UNIT = "humidity", "%"
Units = Mapping[str, Mapping[str, str]]  # sensor -> channel -> unit


def doubts(config: Config) -> tuple[Doubt, ...]:
    """Make all doubts of a site."""
    groups = [
        Neighbours(tuple(At(*Source.of(one)) for one in said.channels), said.tolerance, said.relative)
        for said in config.neighbour
    ]
    return (*groups, *(one for sensor in config.sensor for one in _too_humid(config, sensor)))


def _too_humid(config: Config, sensor: SensorConfig) -> Iterator[TooHumid]:
    driver = DRIVERS[sensor.driver]
    for channel in driver.channels:
        test = config.quality_of(sensor, driver.domain, channel.name)
        if test.humidity_above is not None:
            partner = At(*Source.of(test.humidity_of)) if test.humidity_of else At(sensor.name, HUMIDITY)
            yield TooHumid(At(sensor.name, channel.name), partner, test.humidity_above)
            if config.filter_of(sensor, driver.domain, channel.name) is not None:
                yield TooHumid(At(sensor.name, channel.name + FILTERED), partner, test.humidity_above)


def doubt_rules(config: Config, units: Units, sources: Sources) -> Iterator[Problem]:
    """Find everything that is wrong with them; `units` has what every sensor publishes."""
    for i, said in enumerate(config.neighbour):
        yield from _group(said.channels, ("neighbour", i, "channels"), config, units, sources)
    every = enumerate(config.sensor)
    known = (_humidity(config, sensor, i, units, sources) for i, sensor in every if sensor.driver in DRIVERS)
    yield from dict.fromkeys(problem for found in known for problem in found)  # for a domain it is said once


def _group(
    channels: tuple[str, ...], key: tuple[str | int, ...], config: Config, units: Units, sources: Sources
) -> Iterator[Problem]:
    if len(set(channels)) < 2 or len(set(channels)) < len(channels):
        yield sources.problem(key, "a neighbour needs another one", "name two channels or more, each once")
        return
    found = [_unit(one, units) for one in channels]
    for one, unit in zip(channels, found, strict=True):
        if unit is None:
            yield _unknown(one, key, units, sources)
    known = {unit for unit in found if unit is not None}
    if len(known) > 1:
        what = f"they are in {', '.join(sorted(known))}"
        yield sources.problem(key, what, "compare channels in the same unit")
    for one in channels:
        if _kind(config, one) in (Kind.ANGLE, Kind.COUNTER):
            yield sources.problem(key, f"{one} has no mean that could be compared", "leave it out")


def _humidity(config: Config, sensor: SensorConfig, i: int, units: Units, sources: Sources) -> Iterator[Problem]:
    driver = DRIVERS[sensor.driver]
    for channel in driver.channels:
        test = config.quality_of(sensor, driver.domain, channel.name)
        own = channel.name in sensor.quality
        key = ("sensor", i, "quality", channel.name) if own else ("quality", driver.domain, channel.name)
        if test.humidity_above is None:
            continue
        partner = test.humidity_of or f"{sensor.name}.{HUMIDITY}"
        unit = _unit(partner, units)
        if unit is None and not test.humidity_of:
            what = f"{sensor.name!r} ({driver.name}) measures no humidity"
            yield sources.problem((*key, "humidity_above"), what, 'say who does: humidity_of = "sensor.channel"')
        elif unit is None:
            yield _unknown(partner, (*key, "humidity_of"), units, sources)
        elif unit != HUMIDITY_UNIT:
            what = f"{partner} is in {unit}"
            yield sources.problem((*key, "humidity_of"), what, "name a channel of relative humidity, in %")


def _unit(text: str, units: Units) -> str | None:
    if text.count(".") != 1:
        return None
    sensor, channel = Source.of(text)
    return units.get(sensor, {}).get(channel)


def _kind(config: Config, text: str) -> Kind | None:
    """Return the kind of a channel; of what a stage adds none is known here, and its unit must do."""
    if text.count(".") != 1:
        return None
    sensor, channel = Source.of(text)
    drivers = (DRIVERS[one.driver] for one in config.sensor if one.name == sensor and one.driver in DRIVERS)
    return next((one.kind for driver in drivers for one in driver.channels if one.name == channel), None)


def _unknown(text: str, key: tuple[str | int, ...], units: Units, sources: Sources) -> Problem:
    if text.count(".") != 1:
        return sources.problem(key, f"{text!r} is not sensor.channel", "write it as pm-north.pm2_5")
    sensor, channel = Source.of(text)
    if sensor not in units:
        hint = f"there are {', '.join(units) or 'none'}"
        return sources.problem(key, f"there is no sensor {sensor!r} that measures", hint)
    return sources.problem(key, f"{sensor!r} has no channel {channel!r}", f"it has {', '.join(units[sensor])}")
