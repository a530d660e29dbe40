"""A scenario brought to life: twins, their faults, ports and buses, the ground truth, and an orderly end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from firmware_sim.device import NEVER_S, I2cDevice, Report, UartDevice
from firmware_sim.devices import I2C_TWINS, UART_TWINS
from firmware_sim.faults import Target, Trouble
from firmware_sim.faulty import FaultyI2c, FaultyUart
from firmware_sim.i2cbus import I2cBus
from firmware_sim.ports import LATE_S, Line, PtyPort
from firmware_sim.scenario import Part, Scenario, make_twin
from firmware_sim.street import Street
from firmware_sim.truth import Timeline, Truth
from gateway.clock import Clock

RS485, I2C = "rs485", "i2c"


class Entry(NamedTuple):
    """One thing that a host can open."""

    name: str
    what: str
    path: Path


@dataclass(slots=True)
class World:
    """All twins of a scenario with their faults around them, by the names of their ports and buses."""

    uarts: dict[str, UartDevice] = field(default_factory=dict)
    buses: dict[str, dict[int, I2cDevice]] = field(default_factory=dict)
    plugs: dict[str, list[Trouble]] = field(default_factory=dict)  # of the buses
    troubles: list[Trouble] = field(default_factory=list)


def populate(scenario: Scenario, truth: Truth, start_s: float) -> World:
    """Make the twins of a scenario; faults count their seconds from `start_s`."""
    world, street = World(), Street(scenario.seed)

    def troubles(target: Target) -> list[Trouble]:
        witness = truth.witness(target.name, target.device)
        faults = [fault for fault in scenario.faults if target.suffers(fault)]
        found = [Trouble(fault, scenario.seed, target.name, witness, start_s) for fault in faults]
        world.troubles += found
        return found

    def uart(part: Part, target: Target) -> UartDevice:
        make, found = partial(make_twin, UART_TWINS, part, street), troubles(target)
        report = truth.reporter(part.name, part.device)
        return FaultyUart(make, report, found) if found else make(report)

    def i2c(part: Part, target: Target) -> I2cDevice:
        make, found = partial(make_twin, I2C_TWINS, part, street), troubles(target)
        report = truth.reporter(part.name, part.device)
        return FaultyI2c(make, report, found) if found else make(report)

    for part in scenario.uarts:
        world.uarts[part.name] = uart(part, Target(part.name, part.device, "uart"))
    for line in scenario.lines:
        targets = [Target(p.name, p.device, "unit", line.name, first=p is line.parts[0]) for p in line.parts]
        wire = Line([uart(part, target) for part, target in zip(line.parts, targets, strict=True)])
        plug = troubles(Target(line.name, RS485, "line"))
        world.uarts[line.name] = _plugged(wire, truth.reporter(line.name, RS485), plug) if plug else wire
    for bus in scenario.buses:
        world.buses[bus.name] = {
            part.address: i2c(part, Target(part.name, part.device, "part", bus.name))
            for part in bus.parts
            if part.address is not None
        }
        world.plugs[bus.name] = troubles(Target(bus.name, I2C, "bus"))
    return world


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
    timeline, stop, ports = Timeline(clock), asyncio.Event(), dict[str, PtyPort]()
    what = {part.name: part.device for part in scenario.uarts} | {line.name: RS485 for line in scenario.lines}
    entries: list[Entry] = []
    _obey_signals(stop, ports, tell)
    async with AsyncExitStack() as stack:
        truth = Truth(truth_path, timeline)
        stack.callback(truth.close)
        world = populate(scenario, truth, timeline.now_s())
        for name, device in world.uarts.items():
            port = ports[name] = PtyPort(device, directory / name, timeline)
            stack.callback(port.close)
            entries.append(Entry(name, what[name], directory / name))
        for name, parts in world.buses.items():
            server = I2cBus(parts, directory / f"{name}.sock", timeline)
            await server.start()
            stack.push_async_callback(server.close)
            if world.plugs[name]:
                task = asyncio.create_task(_work_plug(name, server, world.plugs[name], timeline, tell))
                stack.push_async_callback(_end, task)
            entries.append(Entry(name, I2C, directory / f"{name}.sock"))
        for port in ports.values():
            port.start()
        ready(entries)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), None if for_s is None else clock.real_s(for_s))
        for trouble in world.troubles:
            trouble.total(timeline.now_s())
    for name, port in ports.items():
        if port.dropped:
            tell(f"{name}: {port.dropped} bytes were dropped, because nobody read the port")
    for trouble in world.troubles:
        tell(
            f"{trouble.name}: {trouble.kind}: {trouble.begun} times, "
            f"{trouble.hits} messages struck, {trouble.lost} measurements lost"
        )


def _plugged(wire: Line, report: Report, plug: Sequence[Trouble]) -> UartDevice:
    """Put a line behind a plug; its units have a supply of their own."""
    return FaultyUart(lambda _report: wire, report, plug, powered=False)


async def _work_plug(
    name: str, bus: I2cBus, troubles: Sequence[Trouble], timeline: Timeline, tell: Callable[[str], None]
) -> None:
    """Take the socket of a bus away and bring it back, as its faults say."""
    served = True
    while (next_s := min(trouble.next_s for trouble in troubles)) < NEVER_S:
        await asyncio.sleep(timeline.clock.real_s(max(next_s - timeline.now_s(), 0.0)) + LATE_S)
        for trouble in troubles:
            for _turned in trouble.turn(timeline.now_s()):
                pass
        wanted = not any(trouble.in_force for trouble in troubles)
        try:
            if served and not wanted:
                await bus.close()
            elif wanted and not served:
                await bus.start()
        except OSError as error:
            tell(f"{name}: cannot be plugged in again: {error}")
        served = wanted


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


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
