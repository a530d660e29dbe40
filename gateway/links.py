"""From configuration to owners: which sensors share a bus, and how each link is opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from drivers import DRIVERS
from drivers.base import Poll, Uart
from drivers.link.base import Bus
from drivers.link.i2c import KernelBus
from drivers.link.i2c_socket import SocketBus
from drivers.link.serial import SerialPort
from gateway.acquire import BusOwner, Device, Recorder, StreamOwner, Timeline
from gateway.clock import Clock
from gateway.config import Config, SensorConfig
from gateway.plans import duty_times
from gateway.rules import SOCKET_BUS, address_of, slot_ns
from gateway.supervise import LinkHealth, SensorHealth


class LinkKey(NamedTuple):
    """A link and all that is configured on it: owners with the same key may go on over a reload."""

    link: str
    sensors: tuple[str, ...]  # each sensor's configuration, written down


def group(config: Config) -> dict[LinkKey, list[SensorConfig]]:
    """Group the sensors of a checked configuration by link."""
    by_link: dict[str, list[SensorConfig]] = {}
    for sensor in config.sensor:
        by_link.setdefault(sensor.link, []).append(sensor)
    return {LinkKey(link, tuple(s.model_dump_json() for s in sensors)): sensors for link, sensors in by_link.items()}


def owner(
    sensors: list[SensorConfig], recorder: Recorder, timeline: Timeline, back_off_max_s: float
) -> BusOwner | StreamOwner:
    """Make the owner of one link."""
    health = LinkHealth(sensors[0].link)
    devices = [_device(sensor, health) for sensor in sensors]
    first = sensors[0]
    driver = DRIVERS[first.driver]
    if isinstance(driver.access, Poll):
        open_bus = _opener(first, timeline.clock)
        return BusOwner(health, open_bus, devices, recorder, timeline, back_off_max_s)

    def open_port() -> SerialPort:
        return _serial(first, timeline.clock)

    return StreamOwner(health, open_port, devices[0], recorder, timeline, back_off_max_s)


def _device(sensor: SensorConfig, link: LinkHealth) -> Device:
    driver = DRIVERS[sensor.driver]
    return Device(
        sensor.name, driver, driver.defaults() | sensor.options, address_of(sensor, driver) or 0,
        slot_ns(sensor, driver), duty_times(sensor, driver), health=SensorHealth(sensor.name, link),
    )  # fmt: skip


def _opener(sensor: SensorConfig, clock: Clock) -> Callable[[], Bus]:
    if sensor.port:
        return lambda: _serial(sensor, clock)
    if sensor.bus.startswith(SOCKET_BUS):
        return lambda: SocketBus(sensor.bus.removeprefix(SOCKET_BUS), clock.sleep)
    return lambda: KernelBus(sensor.bus, clock.sleep)


def _serial(sensor: SensorConfig, clock: Clock) -> SerialPort:
    bus = DRIVERS[sensor.driver].bus
    assert isinstance(bus, Uart)
    return SerialPort(sensor.port, sensor.baud or bus.bauds[0], bus.format, clock.sleep)
