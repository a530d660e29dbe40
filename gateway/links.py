"""From configuration to owners: which sensors share a bus, and how each link is opened."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from drivers import DRIVERS
from drivers.base import I2c, Inputs, Poll, Uart
from drivers.link.base import Bus
from drivers.link.i2c import KernelBus
from drivers.link.i2c_socket import SocketBus
from drivers.link.serial import SerialPort
from gateway.acquire import Device, Recorder, Timeline, no_inputs
from gateway.board import NoticeBoard, Source
from gateway.clock import Clock
from gateway.config import Config, to_json
from gateway.config_sensors import SensorConfig
from gateway.plans import duty_times
from gateway.polling import BusOwner
from gateway.rules import NS, slot_ns
from gateway.streaming import StreamOwner
from gateway.supervise import LinkHealth, SensorHealth
from gateway.talk import Way
from gateway.wiring import SOCKET_BUS, address_of

log = logging.getLogger(__name__)
STOP_S = 3.0


class LinkKey(NamedTuple):
    """A link and all that is configured on it: owners with the same key may go on over a reload."""

    link: str
    sensors: tuple[str, ...]  # each sensor's configuration, written down


def group(config: Config) -> dict[LinkKey, list[SensorConfig]]:
    """Group the sensors of a checked configuration by link."""
    by_link: dict[str, list[SensorConfig]] = {}
    for sensor in config.sensor:
        by_link.setdefault(sensor.link, []).append(sensor)
    return {LinkKey(link, tuple(to_json(s).decode() for s in sensors)): sensors for link, sensors in by_link.items()}


class Doors(NamedTuple):
    """How links are opened: by the kernel, or by whoever simulates them."""

    bus: Callable[[SensorConfig, Clock], Bus]
    port: Callable[[SensorConfig, Clock], SerialPort]
    polls: type[BusOwner] = BusOwner


def owner(
    sensors: list[SensorConfig],
    recorder: Recorder,
    timeline: Timeline,
    board: NoticeBoard,
    back_off_max_s: float,
    doors: Doors | None = None,
) -> BusOwner | StreamOwner:
    """Make the owner of one link."""
    health = LinkHealth(sensors[0].link)
    devices = [_device(sensor, health, timeline.clock, board) for sensor in sensors]
    first = sensors[0]
    driver = DRIVERS[first.driver]
    through = doors or Doors(_bus, _serial)
    if isinstance(driver.access, Poll):
        way = Way.APART if isinstance(driver.bus, I2c) else Way.WHOLE

        def open_bus() -> Bus:
            return through.bus(first, timeline.clock)

        return through.polls(health, open_bus, devices, recorder, timeline, back_off_max_s, way)

    def open_port() -> SerialPort:
        return through.port(first, timeline.clock)

    return StreamOwner(health, open_port, devices[0], recorder, timeline, back_off_max_s)


def _device(sensor: SensorConfig, link: LinkHealth, clock: Clock, board: NoticeBoard) -> Device:
    driver = DRIVERS[sensor.driver]
    return Device(
        sensor.name, driver, driver.defaults() | sensor.options, address_of(sensor, driver) or 0,
        slot_ns(sensor, driver), duty_times(sensor, driver), _inputs(sensor, clock, board),
        health=SensorHealth(sensor.name, link),
    )  # fmt: skip


def _inputs(sensor: SensorConfig, clock: Clock, board: NoticeBoard) -> Callable[[], Inputs]:
    """Say what a sensor is to be told whenever a script is said to it."""
    wanted = DRIVERS[sensor.driver].inputs
    if not wanted:
        return no_inputs
    sources = {name: Source.of(text) for name, text in sensor.inputs.items()}
    return lambda: board.ask(sensor.name, wanted, sources, clock.mono_ns())


def _bus(sensor: SensorConfig, clock: Clock) -> Bus:
    if sensor.port:
        return _serial(sensor, clock)
    if sensor.bus.startswith(SOCKET_BUS):
        return SocketBus(sensor.bus.removeprefix(SOCKET_BUS), clock.sleep)
    return KernelBus(sensor.bus, clock.sleep)


def _serial(sensor: SensorConfig, clock: Clock) -> SerialPort:
    bus = DRIVERS[sensor.driver].bus
    assert isinstance(bus, Uart)
    return SerialPort(sensor.port, sensor.baud or bus.bauds[0], bus.format, clock.sleep, shared=bus.shared)


class Owners:
    """All owners of links, started and stopped as the configuration says."""

    def __init__(self, recorder: Recorder, timeline: Timeline, board: NoticeBoard) -> None:
        self._recorder = recorder
        self._timeline = timeline
        self._board = board
        self._owners: dict[LinkKey, BusOwner | StreamOwner] = {}
        self._tasks: dict[LinkKey, asyncio.Task[None]] = {}

    def __iter__(self) -> Iterator[BusOwner | StreamOwner]:
        return iter(tuple(self._owners.values()))

    def start(self, config: Config, tasks: asyncio.TaskGroup) -> None:
        """Start the owners that a configuration wants and that are not there yet."""
        for key, sensors in group(config).items():
            if key in self._owners:
                continue
            one = owner(sensors, self._recorder, self._timeline, self._board, config.gateway.back_off_max_s)
            self._owners[key] = one
            if isinstance(one, BusOwner):
                one.start()
            else:
                self._tasks[key] = tasks.create_task(one.run())

    async def change(self, config: Config, tasks: asyncio.TaskGroup) -> None:
        """Go over to a configuration: what has not changed keeps its link."""
        wanted = group(config)
        await self.stop([key for key in self._owners if key not in wanted])
        self.start(config, tasks)

    async def stop(self, keys: Iterable[LinkKey] | None = None) -> None:
        """Stop owners, all if none are named; a script in hand is finished, a hung one is left behind."""
        keys = list(self._owners) if keys is None else list(keys)
        owners = [self._owners.pop(key) for key in keys]
        buses = [one for one in owners if isinstance(one, BusOwner)]
        for bus in buses:
            bus.stop()
        tasks = [self._tasks.pop(key) for key in keys if key in self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for bus in buses:
            if not await asyncio.to_thread(bus.join, STOP_S):
                log.warning("%s: hangs in the kernel; left behind", bus.health.name)

    def raise_failures(self) -> None:
        """Raise what brought down a bus thread: it is a bug, and the process falls with it."""
        for one in self:
            if isinstance(one, BusOwner) and one.failed is not None:
                raise one.failed

    def tick_ns(self, now_ns: int) -> int:
        """Return before which time nothing will still come; a hung bus may hold it back by two seconds at most."""
        floors = [floor for one in self if (floor := one.floor_ns()) is not None]
        return max(min([now_ns, *floors]), now_ns - 2 * NS)
