"""A scenario brought to life: twins, their faults, ports and buses, the ground truth, and an orderly end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from firmware_sim.bends import bent
from firmware_sim.control import CONTROL, Desk
from firmware_sim.device import I2cDevice, Report, UartDevice
from firmware_sim.devices import I2C_TWINS, UART_TWINS
from firmware_sim.faults import WRONG_DEVICE, Target, Trouble
from firmware_sim.faulty import FaultyI2c, FaultyUart
from firmware_sim.holds import Hands, held
from firmware_sim.i2cbus import I2cBus
from firmware_sim.kernel import AcmPort, KernelBus
from firmware_sim.plug import BusPlug
from firmware_sim.ports import Line, Port, PtyPort
from firmware_sim.scenario import Part, Scenario, make_twin
from firmware_sim.street import Street
from firmware_sim.street_truth import Detail, tell_street
from firmware_sim.truth import Timeline, Truth
from gateway.clock import Clock

RS485, I2C = "rs485", "i2c"
T = TypeVar("T", bound=UartDevice | I2cDevice)


class Entry(NamedTuple):
    """One thing that a host can open."""

    name: str
    what: str
    path: Path


@dataclass(slots=True)
class World:
    """All twins of a scenario with their faults around them, by the names of their ports and buses."""

    street: Street
    uarts: dict[str, UartDevice] = field(default_factory=dict)
    buses: dict[str, dict[int, I2cDevice]] = field(default_factory=dict)
    plugs: dict[str, list[Trouble]] = field(default_factory=dict)  # of the buses
    troubles: list[Trouble] = field(default_factory=list)
    sufferers: list[tuple[Target, list[Trouble]]] = field(default_factory=list)  # whom a fault can still be put on


def populate(scenario: Scenario, truth: Truth, start_s: float, hands: Hands | None = None) -> World:
    """Make the twins of a scenario; faults count their seconds from `start_s`.

    With `hands` quantities can be held and faults put on later; otherwise only what has faults is wrapped.
    """
    street = Street(scenario.seed, scenario.street, scenario.episodes, start_s)
    street = held(street, hands.street) if hands else street
    world = World(street)

    def troubles(target: Target) -> list[Trouble]:
        witness = truth.witness(target.name, target.device)
        faults = [fault for fault in scenario.faults if target.suffers(fault)]
        found = [Trouble(fault, scenario.seed, target.name, witness, start_s) for fault in faults]
        world.troubles += found
        return found

    def seen(part: Part) -> Street:
        return held(street, hands.on_part(part.name)) if hands else street

    def reporter(part: Part) -> Report:
        report = truth.reporter(part.name, part.device)
        return hands.hears(part.name, report) if hands else report

    def uart(part: Part, target: Target) -> UartDevice:
        found = troubles(target)
        make = partial(make_twin, UART_TWINS, part, bent(seen(part), found))
        if not found and not hands:
            return make(reporter(part))
        faulty = FaultyUart(make, reporter(part), found, _strangers(UART_TWINS, found, street))
        world.sufferers.append((target, faulty.troubles))
        return faulty

    def i2c(part: Part, target: Target) -> I2cDevice:
        found = troubles(target)
        make = partial(make_twin, I2C_TWINS, part, bent(seen(part), found))
        if not found and not hands:
            return make(reporter(part))
        faulty = FaultyI2c(make, reporter(part), found, _strangers(I2C_TWINS, found, street))
        world.sufferers.append((target, faulty.troubles))
        return faulty

    for part in scenario.uarts:
        world.uarts[part.name] = uart(part, Target(part.name, part.device, "uart"))
    for line in scenario.lines:
        targets = [Target(p.name, p.device, "unit", line.name, first=p is line.parts[0]) for p in line.parts]
        wire = Line([uart(part, target) for part, target in zip(line.parts, targets, strict=True)])
        plug = troubles(socket := Target(line.name, RS485, "line"))
        world.uarts[line.name] = wire
        if plug or hands:
            world.uarts[line.name] = faulty = _plugged(wire, truth.reporter(line.name, RS485), plug)
            world.sufferers.append((socket, faulty.troubles))
    for bus in scenario.buses:
        world.buses[bus.name] = {
            part.address: i2c(part, Target(part.name, part.device, "part", bus.name))
            for part in bus.parts
            if part.address is not None
        }
        world.plugs[bus.name] = troubles(socket := Target(bus.name, I2C, "bus"))
        world.sufferers.append((socket, world.plugs[bus.name]))
    return world


def _strangers(
    twins: Mapping[str, Callable[..., T]], troubles: Sequence[Trouble], street: Street
) -> dict[int, Callable[[Report], T]]:
    """Return what makes the wrong devices, by the numbers of their faults: in this street, and with no options."""
    wrong = [one.fault for one in troubles if one.kind == WRONG_DEVICE]
    return {one.number: partial(make_twin, twins, Part(one.device, one.device, {}), street) for one in wrong}


async def simulate(
    scenario: Scenario,
    directory: Path,
    truth_path: Path,
    clock: Clock,
    ready: Callable[[list[Entry]], None],
    tell: Callable[[str], None],
    for_s: float | None = None,
    detail: Detail = Detail.SENT,
    *,
    kernel: bool = False,
) -> None:
    """Run until SIGTERM, SIGINT or the end of `for_s` (in seconds of the clock); raise OSError if it cannot start."""
    timeline, stop, ports = Timeline(clock), asyncio.Event(), dict[str, Port]()
    what = {part.name: part.device for part in scenario.uarts} | {line.name: RS485 for line in scenario.lines}
    entries: list[Entry] = []
    async with AsyncExitStack() as stack:
        truth = Truth(truth_path, timeline)
        stack.callback(truth.close)
        hands, plugs = Hands(), dict[str, BusPlug]()
        world = populate(scenario, truth, timeline.now_s(), hands)
        desk = Desk(world.street, world.sufferers, hands, timeline, scenario.seed, truth.witness)
        _obey_signals(stop, desk, tell)
        for name, device in world.uarts.items():
            make_port: type[AcmPort | PtyPort] = AcmPort if kernel else PtyPort
            port: Port = make_port(device, directory / name, timeline)
            ports[name] = port
            stack.callback(port.close)
            await port.ready()
            entries.append(Entry(name, what[name], directory / name))
        for name, parts in world.buses.items():
            place = directory / (name if kernel else f"{name}.sock")
            server = KernelBus(parts, place, timeline) if kernel else I2cBus(parts, place, timeline)
            await server.start()
            stack.push_async_callback(server.close)
            plugs[name] = BusPlug(name, server, world.plugs[name], timeline, tell)
            stack.push_async_callback(_end, asyncio.create_task(plugs[name].work()))
            entries.append(Entry(name, I2C, place))
        for port in ports.values():
            port.start()
        if detail is not Detail.SENT:
            told = asyncio.create_task(tell_street(world.street, truth, timeline, detail))
            stack.push_async_callback(_end, told)
        await desk.open(directory / CONTROL, ports, plugs)
        stack.push_async_callback(desk.close)
        for fault in scenario.outside:
            tell(f"{fault.on}: {fault.kind}: not done here, for only sensors are; use `firmware-sim chaos`")
        ready(entries)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), None if for_s is None else clock.real_s(for_s))
        world.troubles += desk.put_on
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


def _plugged(wire: Line, report: Report, plug: Sequence[Trouble]) -> FaultyUart:
    """Put a line behind a plug; its units have a supply of their own."""
    return FaultyUart(lambda _report: wire, report, plug, powered=False)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _obey_signals(stop: asyncio.Event, desk: Desk, tell: Callable[[str], None]) -> None:
    """SIGUSR1 pauses and resumes the streams; SIGTERM and SIGINT end the simulation."""

    def toggle() -> None:
        desk.pause(not desk.paused)
        tell("streams paused" if desk.paused else "streams resumed")

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, toggle)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
