"""A scenario brought to life: twins, their ports and buses, the ground truth, and an orderly end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from firmware_sim.devices import I2C_TWINS, UART_TWINS
from firmware_sim.i2cbus import I2cBus
from firmware_sim.ports import PtyPort
from firmware_sim.scenario import Scenario, make_twin
from firmware_sim.street import Street
from firmware_sim.truth import Timeline, Truth
from gateway.clock import Clock


class Entry(NamedTuple):
    """One thing that a host can open."""

    name: str
    what: str
    path: Path


async def simulate(
    scenario: Scenario,
    directory: Path,
    truth_path: Path,
    clock: Clock,
    ready: Callable[[list[Entry]], None],
    tell: Callable[[str], None],
    for_s: float | None = None,
) -> None:
    """Run until SIGTERM, SIGINT or the end of `for_s` (in seconds of the clock); raise OSError if it cannot start."""
    timeline, street, stop, ports = Timeline(clock), Street(scenario.seed), asyncio.Event(), dict[str, PtyPort]()
    entries: list[Entry] = []
    _obey_signals(stop, ports, tell)
    async with AsyncExitStack() as stack:
        truth = Truth(truth_path, timeline)
        stack.callback(truth.close)
        for part in scenario.uarts:
            twin = make_twin(UART_TWINS, part, street, truth.reporter(part.name, part.device))
            port = ports[part.name] = PtyPort(twin, directory / part.name, timeline)
            stack.callback(port.close)
            entries.append(Entry(part.name, part.device, directory / part.name))
        for bus in scenario.buses:
            parts = {
                part.address: make_twin(I2C_TWINS, part, street, truth.reporter(part.name, part.device))
                for part in bus.parts
                if part.address is not None
            }
            server = I2cBus(parts, directory / f"{bus.name}.sock", timeline)
            await server.start()
            stack.push_async_callback(server.close)
            entries.append(Entry(bus.name, "i2c", directory / f"{bus.name}.sock"))
        for port in ports.values():
            port.start()
        ready(entries)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), None if for_s is None else clock.real_s(for_s))
    for name, port in ports.items():
        if port.dropped:
            tell(f"{name}: {port.dropped} bytes were dropped, because nobody read the port")


def _obey_signals(stop: asyncio.Event, ports: Mapping[str, PtyPort], tell: Callable[[str], None]) -> None:
    """SIGUSR1 pauses and resumes the streams; SIGTERM and SIGINT end the simulation."""
    paused = False

    def toggle() -> None:
        nonlocal paused
        paused = not paused
        for port in ports.values():
            port.pause(paused)
        tell("streams paused" if paused else "streams resumed")

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, toggle)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
