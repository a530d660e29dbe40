"""Those who talk with the sensors in virtual time, here or in a second process: links do not know each other.

What one crew gathered up to a time does not depend on the other, so two of them make the same records as one.
"""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

import msgspec

from drivers import DRIVERS
from drivers.base import Poll, Stream, Uart
from drivers.link.base import Bus
from drivers.link.serial import SerialPort
from firmware_sim.simulation import World
from firmware_sim.truth import HeldTruth
from firmware_sim.virtual_links import StreamPort, VirtualBus, VirtualPort
from firmware_sim.virtual_owner import VirtualOwner
from firmware_sim.virtual_time import JumpingClock, LoopClock, VirtualLoop
from gateway.acquire import NS, Recorder, Timeline
from gateway.board import NoticeBoard, Posted, Source
from gateway.clock import Clock
from gateway.config import Config
from gateway.config_sensors import SensorConfig
from gateway.links import Doors, group, owner
from gateway.record import Record
from gateway.rules import slot_ns
from gateway.streaming import StreamOwner
from gateway.supervise import CHANCE

START_NS = 1_000 * NS  # since the virtual boot
FAREWELL_NS = 10 * NS  # what a part is told at the end takes less
STREAM_WEIGHT, LINE_WEIGHT, PORT_WEIGHT = 0.3, 1.4, 0.5  # of listening, and of a script, in scripts on an I2C bus
CORE_SHARE = 0.25  # of what the sensors take: what the first crew does besides, feeding and committing
News = Mapping[Source, Posted]


class Work(NamedTuple):
    """What a crew has done up to a time: records, the earliest slot without one, links that are up, truth lines."""

    records: list[Record]
    floor_ns: int
    up: list[str]
    truth: bytes


class Link:
    """One link with its owner, its clock, and its own luck in when to try again."""

    def __init__(
        self, world: World, config: Config, sensors: list[SensorConfig], recorder: Recorder, board: NoticeBoard,
        epoch_ns: int,
    ) -> None:  # fmt: skip
        self.name = sensors[0].link
        self._loop, self._bus = VirtualLoop(START_NS), JumpingClock(epoch_ns, START_NS)
        clock = self._bus if is_polled(sensors[0]) else LoopClock(epoch_ns, self._loop)
        doors, longest_s = _doors(world, self.name, self._loop), config.gateway.back_off_max_s
        self.timeline = Timeline(clock, epoch_ns)
        self.owner = owner(sensors, recorder, self.timeline, board, longest_s, doors)
        self._task = self._loop.create_task(self.owner.run()) if isinstance(self.owner, StreamOwner) else None
        self._dice = random.Random(f"{world.street.seed} {self.name}").getstate()  # noqa: S311 - of retries

    def work(self, end_ns: int) -> None:
        """Let everything happen up to a time of the virtual boot; raise what brings the owner down."""
        CHANCE.setstate(self._dice)
        if isinstance(self.owner, VirtualOwner):
            self.owner.run_to(end_ns, self._bus)
        else:
            self._loop.run_to(end_ns)
            if self._task is not None and self._task.done():
                self._task.result()  # an owner never ends by itself: this is a bug, and says which
        self._dice = CHANCE.getstate()

    def end(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            end_ns = self._loop.now_ns + FAREWELL_NS
            while not self._task.done() and self._loop.now_ns < end_ns:
                self._loop.run_to(self._loop.now_ns + NS)
        self._loop.close()


class Crew:
    """The owners of some links and their sensors."""

    def __init__(self, world: World, config: Config, links: Collection[str], start_s: int, truth: HeldTruth) -> None:
        self._truth, self._recorder, self._board = truth, Recorder(), NoticeBoard()
        epoch_ns = start_s * NS - START_NS
        found = {key.link: sensors for key, sensors in group(config).items() if key.link in links}
        names = _names(found)
        self._troubles = [one for one in world.troubles if one.name in names]
        self._links = [
            Link(world, config, sensors, self._recorder, self._board, epoch_ns) for sensors in found.values()
        ]

    def work(self, end_ns: int, news: News, offset_ns: int) -> Work:
        """Let everything happen up to a time of the virtual boot; the gateway takes UTC to be `offset_ns` from it."""
        self._board.post(news)
        for link in self._links:
            link.timeline.offset_ns = offset_ns
            link.work(end_ns)
        floors = [floor for link in self._links if (floor := link.owner.floor_ns()) is not None]
        up = [link.name for link in self._links if link.owner.health.up]
        return Work(self._recorder.drain(), min([end_ns, *floors]), up, self._truth.take())

    def end(self, t_s: float) -> bytes:
        """Stop, and tell what the faults did in all."""
        for link in self._links:
            link.end()
        for trouble in self._troubles:
            trouble.total(t_s)
        return self._truth.take()


class Helper:
    """A crew in a process of its own: `begin` some work, do yours, then take what it has done, in that order.

    What is done waits here, so that it need not wait for us; `ahead` pieces of work at most are begun and not taken.
    """

    def __init__(self, *crew: Any, ahead: int = 1) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_help, args=(theirs, self._pipe, crew), name="crew", daemon=True)
        self._process.start()
        theirs.close()
        self.free = ahead
        self._said: SimpleQueue[bytes | None] = SimpleQueue()  # None: it fell
        Thread(target=self._listen, name="crew", daemon=True).start()

    def begin(self, end_ns: int, news: News, offset_ns: int) -> None:
        """Tell it up to when to work."""
        self.free -= 1
        with suppress(BrokenPipeError):  # who takes the work hears that it fell
            self._pipe.send(("work", end_ns, offset_ns, [(*at, *posted) for at, posted in news.items()]))

    def done(self) -> Work:
        """Wait for its work; raise RuntimeError when it fell."""
        self.free += 1
        return msgspec.msgpack.decode(self._heard(), type=Work)

    def end(self, t_s: float) -> bytes:
        """Stop it, and tell what the faults did in all."""
        self._pipe.send(("end", t_s, 0, []))
        last = self._heard()
        self._process.join()
        return last

    def kill(self) -> None:
        """End it whatever it does."""
        self._process.kill()

    def _heard(self) -> bytes:
        said = self._said.get()
        if said is None:
            raise RuntimeError("the second process of the simulation fell; run it with --jobs 1 to see why")
        return said

    def _listen(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                self._said.put(self._pipe.recv_bytes())
        self._said.put(None)


def _help(pipe: Connection, asker: Connection, args: tuple[Any, ...]) -> None:
    asker.close()  # else nobody would notice that whoever asks is gone
    crew = Crew(*args)
    while True:
        try:
            what, number, offset_ns, news = pipe.recv()
        except EOFError:
            return
        if what == "end":
            pipe.send_bytes(crew.end(number))
            return
        posted = {Source(sensor, channel): Posted(v, at_ns) for sensor, channel, v, at_ns in news}
        pipe.send_bytes(msgspec.msgpack.encode(crew.work(number, posted, offset_ns)))


def halves(config: Config) -> tuple[set[str], set[str]]:
    """Share the links between two crews; the first has the core to feed besides."""
    weights = {key.link: sum(map(_weight, sensors)) for key, sensors in group(config).items()}
    loads = [CORE_SHARE * sum(weights.values()), 0.0]
    out: tuple[set[str], set[str]] = (set(), set())
    for link in sorted(weights, key=lambda one: (-weights[one], one)):
        lighter = 0 if loads[0] <= loads[1] else 1
        out[lighter].add(link)
        loads[lighter] += weights[link]
    return out


def is_polled(sensor: SensorConfig) -> bool:
    """Tell whether a sensor is asked, and does not speak by itself."""
    return isinstance(DRIVERS[sensor.driver].access, Poll)


def _weight(sensor: SensorConfig) -> float:
    driver = DRIVERS[sensor.driver]
    if isinstance(driver.access, Stream):
        return STREAM_WEIGHT * (4.0 if driver.access.nominal_s < 1.0 else 1.0)
    script = (LINE_WEIGHT if driver.bus.shared else PORT_WEIGHT) if isinstance(driver.bus, Uart) else 1.0
    return script / (slot_ns(sensor, driver) / NS)


def _names(links: Mapping[str, Sequence[SensorConfig]]) -> set[str]:
    return {name_of(link) for link in links} | {one.name for sensors in links.values() for one in sensors}


def name_of(link: str) -> str:
    """Return the name that a link has in the scenario."""
    return link.removeprefix("unix:").rpartition("/")[2]


def _doors(world: World, link: str, loop: VirtualLoop) -> Doors:
    name = name_of(link)

    def bus(sensor: SensorConfig, clock: Clock) -> Bus:
        assert isinstance(clock, JumpingClock)
        if sensor.port:
            shape, baud = _uart(sensor)
            return VirtualPort(world.uarts[name], clock, baud, shared=shape.shared)
        return VirtualBus(world.buses[name], world.plugs[name], clock)

    def port(sensor: SensorConfig, clock: Clock) -> SerialPort:
        assert isinstance(clock, LoopClock)
        return StreamPort(world.uarts[name], loop, clock, _uart(sensor)[1])

    return Doors(bus, port, VirtualOwner)


def _uart(sensor: SensorConfig) -> tuple[Uart, int]:
    shape = DRIVERS[sensor.driver].bus
    assert isinstance(shape, Uart)
    return shape, sensor.baud or shape.bauds[0]


def missing(world: World, config: Config) -> Iterable[str]:
    """Name the links of a site file that are not in the scenario."""
    there = {*world.uarts, *world.buses}
    return sorted({key.link for key in group(config) if name_of(key.link) not in there})
