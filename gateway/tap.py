"""Recording: the owners of links at work as in a gateway, with a tap on every wire."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from drivers import DRIVERS
from drivers.base import I2c, Poll, Uart
from drivers.link.base import Bus, LinkError
from drivers.link.i2c import KernelBus
from drivers.link.i2c_socket import SocketBus
from drivers.link.serial import SerialPort
from drivers.script import Reply, Step
from gateway.acquire import NS, Recorder, Timeline
from gateway.board import NoticeBoard
from gateway.capture import I2C, POLL, STREAM, UART, Exchange, Part, Writer
from gateway.clock import Clock
from gateway.config_sensors import SensorConfig
from gateway.links import STOP_S, Doors, owner
from gateway.polling import BusOwner
from gateway.record import Record, RecordKind, encode
from gateway.supervise import LinkHealth
from gateway.wiring import SOCKET_BUS, address_of

BLOCK_S = 1.0
BACK_OFF_S = 2.0
SILENT_NS = NS  # after so long a reply is over, whether or not the next question has come


class Ear(NamedTuple):
    """A port that is only listened to, because nobody knows what is on it."""

    name: str
    port: str
    baud: int


class TappedBus:
    """A bus that tells what is exchanged on it."""

    def __init__(self, bus: Bus, link: str, recorder: Recorder, clock: Clock) -> None:
        self._bus, self._link, self._recorder, self._clock = bus, link, recorder, clock

    def transfer(self, address: int, step: Step) -> Reply:
        """Do one step, and tell of it."""
        begin_ns = self._clock.mono_ns()
        reply = self._bus.transfer(address, step)
        if step.tx or step.rx:
            came = bytes(reply) if isinstance(reply, bytes) else None
            wanted = step.rx if isinstance(step.rx, int) else len(came or b"")
            told = Exchange(address, step.tx, wanted, came, self._clock.mono_ns() - begin_ns)
            self._recorder.put(RecordKind.EXCHANGE, begin_ns, self._link, encode(told))
        return reply

    def close(self) -> None:
        """Let go of the bus."""
        self._bus.close()


class TappedPort(SerialPort):
    """A serial port that tells what goes over it: for each thing written, what came until the next."""

    def __init__(self, sensor: SensorConfig, recorder: Recorder, clock: Clock) -> None:
        bus = DRIVERS[sensor.driver].bus
        assert isinstance(bus, Uart)
        self._tap, self._link, self._clock = recorder, sensor.link, clock
        self._asked = isinstance(DRIVERS[sensor.driver].access, Poll)
        self._said, self._said_ns, self._came, self._came_ns, self._heard_ns = b"", 0, b"", 0, 0
        super().__init__(sensor.port, sensor.baud or bus.bauds[0], bus.format, clock.sleep, shared=bus.shared)

    def write(self, data: bytes) -> None:
        """Write, and remember what was asked."""
        self._settle()
        super().write(data)
        self._said, self._said_ns = data, self._clock.mono_ns()
        if not self._asked:  # what a stream says is kept as it comes
            self._settle()

    def read(self, size: int = 4096) -> bytes:
        """Read, and remember what came."""
        data = super().read(size)
        if data and self._asked:
            now_ns = self._clock.mono_ns()
            if self._came and now_ns - self._heard_ns > SILENT_NS:
                self._settle()
            self._came_ns = self._came_ns or now_ns
            self._came += data
            self._heard_ns = now_ns
        return data

    def close(self) -> None:
        """Tell what is left, and let go."""
        self._settle()
        super().close()

    def _settle(self) -> None:
        if self._said or self._came:
            begin_ns = self._said_ns or self._came_ns
            took_ns = max(self._came_ns - begin_ns, 0)
            told = Exchange(0, self._said, len(self._came), self._came or None, took_ns)
            self._tap.put(RecordKind.EXCHANGE, begin_ns, self._link, encode(told))
        self._said, self._said_ns, self._came, self._came_ns = b"", 0, b"", 0


class Tally:
    """What was heard of each sensor: records by kind, and bytes."""

    def __init__(self, names: Sequence[str]) -> None:
        self.kinds: dict[str, Counter[str]] = {name: Counter() for name in names}
        self.read_bytes: Counter[str] = Counter()

    def count(self, records: Sequence[Record]) -> None:
        """Count records."""
        for record in records:
            if record.source in self.kinds:
                self.kinds[record.source][record.kind.name.lower()] += 1
                if record.kind in (RecordKind.FRAME, RecordKind.CHUNK):
                    self.read_bytes[record.source] += len(record.data)


def part_of(sensor: SensorConfig) -> Part:
    """Describe a sensor for the head of a capture."""
    driver = DRIVERS[sensor.driver]
    on_bus = isinstance(driver.bus, I2c)
    baud, form = (0, "") if isinstance(driver.bus, I2c) else (sensor.baud or driver.bus.bauds[0], driver.bus.format)
    return Part(
        sensor.name, driver.name, sensor.link, I2C if on_bus else UART,
        POLL if isinstance(driver.access, Poll) else STREAM, address_of(sensor, driver) or 0, baud, form,
        dict(sensor.options),
    )  # fmt: skip


async def record(
    sensors: Sequence[SensorConfig],
    ears: Sequence[Ear],
    writer: Writer,
    clock: Clock,
    stop: asyncio.Event,
    for_s: float | None,
    tell: Callable[[Tally, Mapping[str, LinkHealth]], None],
) -> tuple[Tally, dict[str, LinkHealth]]:
    """Read until `stop`, or for `for_s` seconds of the clock; return what was heard, and how the links are."""
    recorder = Recorder()
    tally = Tally([*(sensor.name for sensor in sensors), *(ear.name for ear in ears)])
    timeline, board = Timeline(clock, clock.offset_ns()), NoticeBoard()
    by_link: dict[str, list[SensorConfig]] = {}
    for sensor in sensors:
        by_link.setdefault(sensor.link, []).append(sensor)
    doors = _doors(recorder)
    owners = [owner(some, recorder, timeline, board, BACK_OFF_S, doors) for some in by_link.values()]
    links = {one.health.name: one.health for one in owners} | {ear.port: LinkHealth(ear.port) for ear in ears}
    tasks = [asyncio.create_task(_listen(ear, links[ear.port], recorder, clock)) for ear in ears]
    for one in owners:
        if isinstance(one, BusOwner):
            one.start()
        else:
            tasks.append(asyncio.create_task(one.run()))
    end_ns = None if for_s is None else clock.mono_ns() + round(for_s * NS)
    while not stop.is_set() and (end_ns is None or clock.mono_ns() < end_ns):
        left_s = BLOCK_S if end_ns is None else min(BLOCK_S, (end_ns - clock.mono_ns()) / NS)
        await _either(stop, clock.real_s(max(left_s, 0.0)))
        _keep(recorder, writer, tally)
        tell(tally, links)
    polls = [one for one in owners if isinstance(one, BusOwner)]
    for one in polls:
        one.stop()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for one in polls:
        await asyncio.to_thread(one.join, STOP_S)
        if one.failed is not None:
            raise one.failed
    _keep(recorder, writer, tally)
    return tally, links


def _doors(recorder: Recorder) -> Doors:
    """Open links as a gateway does, with a tap on each."""

    def port(sensor: SensorConfig, clock: Clock) -> SerialPort:
        return TappedPort(sensor, recorder, clock)

    def bus(sensor: SensorConfig, clock: Clock) -> Bus:
        if sensor.port:
            return TappedPort(sensor, recorder, clock)
        path = sensor.bus.removeprefix(SOCKET_BUS)
        plain: Bus = SocketBus(path, clock.sleep) if path != sensor.bus else KernelBus(path, clock.sleep)
        return TappedBus(plain, sensor.link, recorder, clock)

    return Doors(bus, port)


def _keep(recorder: Recorder, writer: Writer, tally: Tally) -> None:
    records = recorder.drain()
    writer.write(records)
    tally.count(records)


async def _either(stop: asyncio.Event, wait_s: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), wait_s)
    except TimeoutError:
        return


async def _listen(ear: Ear, health: LinkHealth, recorder: Recorder, clock: Clock) -> None:
    """Keep what comes at a port, and say nothing."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            port = SerialPort(ear.port, ear.baud)
        except LinkError as error:
            health.lost(error)
            await asyncio.sleep(clock.real_s(BACK_OFF_S))
            continue
        health.back()
        gone = loop.create_future()

        def readable(port: SerialPort = port, gone: asyncio.Future[None] = gone) -> None:
            try:
                data = port.read()
            except LinkError as error:
                loop.remove_reader(port.fileno())
                if not gone.done():
                    gone.set_exception(error)
                return
            if data:
                recorder.put(RecordKind.CHUNK, clock.mono_ns(), ear.name, data)

        loop.add_reader(port.fileno(), readable)
        try:
            await gone
        except LinkError as error:
            health.lost(error)
        finally:
            loop.remove_reader(port.fileno())
            port.close()
