"""A part and its twin on a real link: a pty or a bus socket, served by a thread that is the world outside.

Time runs faster than real, on both sides alike; what is waited for is waited for in that time.
"""

from __future__ import annotations

import asyncio
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drivers.base import Driver, I2c, Script, Stream, Uart
from drivers.link.base import Bus
from drivers.link.i2c_socket import SocketBus
from drivers.link.serial import SerialPort
from drivers.script import Answer, run
from firmware_sim.device import Values
from firmware_sim.devices import I2C_ADDRESSES, I2C_TWINS, UART_TWINS
from firmware_sim.i2cbus import I2cBus
from firmware_sim.ports import PtyPort
from firmware_sim.street import Street
from firmware_sim.truth import Timeline
from gateway.clock import Clock

RATE = 20.0
NOON_NS = 1_767_182_400_000_000_000  # busy enough for a radar
TWINS = {**UART_TWINS, **I2C_TWINS}


@dataclass
class Rig:
    """One part, ready to be spoken to, and what its twin says that it sent."""

    driver: Driver
    link: Bus
    clock: Clock
    address: int
    told: list[Values] = field(default_factory=list)
    context: bytes = b""

    def say(self, script: Script) -> Answer:
        """Say a script over the link, with default options and inputs; what setup is answered is the context."""
        inputs, options = self.driver.default_inputs(), self.driver.defaults()
        answer = run(lambda step: self.link.transfer(self.address, step), script, inputs, options)
        if script is self.driver.setup and answer.miss is None:
            self.context = answer.frame
        return answer

    def listen(self, for_s: float) -> bytes:
        """Return what a stream says meanwhile."""
        assert isinstance(self.link, SerialPort)
        data, end = b"", self.clock.mono_ns() + int(for_s * 1e9)
        while self.clock.mono_ns() < end:
            if select.select([self.link], [], [], 0.02)[0]:
                data += self.link.read()
        return data


@contextmanager
def rig(
    driver: Driver, directory: Path, between: Callable[[Any], Any] = lambda twin: twin, rate: float = RATE
) -> Iterator[Rig]:
    """Put the twin of a driver on a link of its own; `between` may stand between the two."""
    clock = Clock(NOON_NS, rate)
    timeline, told = Timeline(clock), list[Values]()
    twin = between(TWINS[driver.name](Street(7), lambda t_s, values: told.append(values)))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="world")
    thread.start()
    try:
        with _served(driver, twin, directory, timeline, loop) as (link, address):
            yield Rig(driver, link, clock, address, told)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def _served(
    driver: Driver, twin: Any, directory: Path, timeline: Timeline, loop: asyncio.AbstractEventLoop
) -> Iterator[tuple[Bus, int]]:
    place = directory / driver.name
    address = I2C_ADDRESSES[driver.name][0] if isinstance(driver.bus, I2c) else 0
    server = I2cBus({address: twin}, place, timeline) if isinstance(driver.bus, I2c) else PtyPort(twin, place, timeline)

    async def start() -> None:
        if isinstance(server, I2cBus):
            await server.start()
        else:
            server.start()

    async def close() -> None:
        if isinstance(server, I2cBus):
            await server.close()
        else:
            server.close()

    asyncio.run_coroutine_threadsafe(start(), loop).result(5)
    clock = timeline.clock
    link: Bus
    if isinstance(driver.bus, Uart):
        link = SerialPort(str(place), driver.bus.bauds[0], driver.bus.format, clock.sleep)
    else:
        link = SocketBus(str(place), clock.sleep)
    try:
        yield link, address
    finally:
        link.close()
        asyncio.run_coroutine_threadsafe(close(), loop).result(5)


def is_stream(driver: Driver) -> bool:
    return isinstance(driver.access, Stream)
