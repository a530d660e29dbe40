"""From configuration to plans: what is done with the records of each sensor."""

from __future__ import annotations

import hashlib

import numpy as np

from drivers import DRIVERS
from drivers.base import Driver
from gateway.config import Config, QualityConfig, SensorConfig, to_json
from gateway.core import Plan
from gateway.ingest import Reader
from gateway.pipeline.quality import FlatLineTest, RangeTest
from gateway.pipeline.stage import Stage
from gateway.pipeline.windows import DutyTimes, SensorSpec
from gateway.rules import NS, slot_ns


def plans(config: Config, extra: tuple[tuple[SensorConfig, Driver], ...] = ()) -> dict[str, Plan]:
    """Make the plan of every sensor of a checked configuration, and of the `extra` ones (the board itself)."""
    sensors = [(sensor, DRIVERS[sensor.driver]) for sensor in config.sensor]
    return {sensor.name: plan(config, sensor, driver) for sensor, driver in [*sensors, *extra]}


def plan(config: Config, sensor: SensorConfig, driver: Driver) -> Plan:
    """Make the plan of one sensor."""
    tests = [config.quality_of(sensor, driver.domain, channel.name) for channel in driver.channels]
    slot = slot_ns(sensor, driver)
    warm_up_ns = round(driver.duty.warm_up_s * NS) if driver.duty else 0
    reader = Reader(driver, driver.defaults() | sensor.options, slot, warm_up_ns)
    spec = SensorSpec(sensor.name, driver.domain, driver.channels, slot, reader.events, duty_times(sensor, driver))
    said = to_json([sensor, tests, slot])
    name = hashlib.sha256(said).hexdigest()[:12]
    return Plan(name, reader, _stages(driver, tests, slot), spec)


def duty_times(sensor: SensorConfig, driver: Driver) -> DutyTimes | None:
    """Say when a sleeping part measures: it wakes at the full period, warms up, and measures for `on_s`."""
    if sensor.duty is None or driver.duty is None:
        return None
    from_ns = round(driver.duty.warm_up_s * NS)
    return DutyTimes(sensor.duty.period_s * NS, from_ns, from_ns + sensor.duty.on_s * NS)


def _stages(driver: Driver, tests: list[QualityConfig], slot: int) -> tuple[Stage, ...]:
    spans = [test.range or (channel.lo, channel.hi) for test, channel in zip(tests, driver.channels, strict=True)]
    suspect = [test.suspect_range or span for test, span in zip(tests, spans, strict=True)]
    stages: list[Stage] = [
        RangeTest(
            np.array([lo for lo, _ in spans], np.float64), np.array([hi for _, hi in spans], np.float64),
            np.array([lo for lo, _ in suspect], np.float64), np.array([hi for _, hi in suspect], np.float64),
        )
    ]  # fmt: skip
    if any(test.stuck_s or test.stuck_fail_s for test in tests):
        n = [(int(test.stuck_s * NS / slot), int(test.stuck_fail_s * NS / slot)) for test in tests]
        stages.append(FlatLineTest(tuple(a for a, _ in n), tuple(b for _, b in n), tuple(t.tolerance for t in tests)))
    return tuple(stages)
