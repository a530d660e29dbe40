"""From configuration to plans: what is done with the records of each sensor."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from drivers import DRIVERS
from drivers.base import Channel, Driver, Kind
from gateway.board import Source
from gateway.calibrations import away
from gateway.config import Config, to_json
from gateway.config_sensors import SensorConfig
from gateway.core import Plan
from gateway.doubts import doubts
from gateway.ingest import Reader
from gateway.joins import options_of
from gateway.pipeline.derive import DERIVATIONS, At, Derived
from gateway.pipeline.fields import Percentiles
from gateway.pipeline.neighbours import Neighbours
from gateway.pipeline.spec import DutyTimes, SensorSpec
from gateway.rules import NS, slot_ns
from gateway.stages import stages


def plans(config: Config, extra: tuple[tuple[SensorConfig, Driver], ...] = ()) -> dict[str, Plan]:
    """Make the plan of every sensor of a checked configuration, and of the `extra` ones (the board itself)."""
    sensors = [(sensor, DRIVERS[sensor.driver]) for sensor in config.sensor]
    out = {sensor.name: plan(config, sensor, driver) for sensor, driver in [*sensors, *extra]}
    for name, channels in _wanted(config).items():
        out[name] = replace(out[name], told=tuple(sorted(channels)))
    for one in derived(config):
        out[one.ledger_of] = replace(out[one.ledger_of], derived=(*out[one.ledger_of].derived, one))
    for doubt in doubts(config):
        lead = doubt.members[0].sensor if isinstance(doubt, Neighbours) else doubt.of.sensor
        out[lead] = replace(out[lead], doubts=(*out[lead].doubts, doubt))
    return out


def plan(config: Config, sensor: SensorConfig, driver: Driver) -> Plan:
    """Make the plan of one sensor."""
    tests = [config.quality_of(sensor, driver.domain, channel.name) for channel in driver.channels]
    filters = [config.filter_of(sensor, driver.domain, channel.name) for channel in driver.channels]
    slot = slot_ns(sensor, driver)
    warm_up_ns = round(driver.duty.warm_up_s * NS) if driver.duty else 0
    reader = Reader(driver, driver.defaults() | sensor.options, slot, warm_up_ns)
    # A part that counts may see nothing, and say so in a good frame without a row: its slots are an event part's.
    events = reader.events or any(channel.kind is Kind.COUNT for channel in driver.channels)
    line = stages(config, sensor, driver, events=events)
    spec = SensorSpec(
        sensor.name, driver.domain, line.channels, slot, events, duty_times(sensor, driver),
        keep=kept(config, sensor, driver, line.channels), eventful=line.eventful, away=away(sensor),
    )  # fmt: skip
    # What it is told, and what is published of it, does not change how it is read.
    said = to_json([replace(sensor, inputs={}, percentiles=None), tests, filters, slot])
    name = hashlib.sha256(said).hexdigest()[:12]
    return Plan(name, reader, line.steps, spec)


def kept(config: Config, sensor: SensorConfig, driver: Driver, channels: tuple[Channel, ...]) -> tuple[bool, ...]:
    """Say of which channels samples are kept, because percentiles of them are published."""
    asked, named = percentiles(config), sensor.percentiles
    if driver.domain == "health":
        return ()
    return tuple(bool(asked.of(one.kind)) and (named is None or one.name in named) for one in channels)


def percentiles(config: Config) -> Percentiles:
    """Return which percentiles a site publishes."""
    of = config.windows.percentiles
    return Percentiles(of.scalar, of.level, of.speed, of.least_speeds)


def derived(config: Config) -> tuple[Derived, ...]:
    """Make what is derived, in the order of the file; what comes later may be made of what comes earlier."""
    out: list[Derived] = []
    ledger_of = {sensor.name: sensor.name for sensor in config.sensor}
    for one in config.derived:
        derivation = DERIVATIONS[one.kind]
        parts = {
            part.name: At(*Source.of(str(one.keys[part.name]))) for part in derivation.parts if part.name in one.keys
        }
        lead = next(iter(parts.values()))
        ledger_of[one.name] = ledger_of[lead.sensor]
        out.append(Derived(one.name, derivation, options_of(one, derivation), parts, len(out), ledger_of[one.name]))
    return tuple(out)


def _wanted(config: Config) -> Mapping[str, set[str]]:
    """Return which channels of which sensors others want to be told."""
    out: dict[str, set[str]] = defaultdict(set)
    for sensor in config.sensor:
        for text in sensor.inputs.values():
            source = Source.of(text)
            out[source.sensor].add(source.channel)
    return out


def duty_times(sensor: SensorConfig, driver: Driver) -> DutyTimes | None:
    """Say when a sleeping part measures: it wakes at the full period, warms up, and measures for `on_s`."""
    if sensor.duty is None or driver.duty is None:
        return None
    from_ns = round(driver.duty.warm_up_s * NS)
    return DutyTimes(sensor.duty.period_s * NS, from_ns, from_ns + sensor.duty.on_s * NS)
