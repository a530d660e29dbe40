"""The scan of a whole machine: all buses and ports at the same time, each with its own thread and its own end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from drivers.link.base import Bus
from drivers.link.i2c import KernelBus
from drivers.link.i2c_socket import SocketBus
from gateway import scan_i2c, scan_serial
from gateway.clock import Clock
from gateway.scan_finds import Note, Tell, Visit
from gateway.scan_places import BusPlace, Machine, PortPlace
from gateway.wiring import SOCKET_BUS

AT_ONCE = 16


def places(machine: Machine, buses: Sequence[str], ports: Sequence[str]) -> tuple[list[BusPlace], list[PortPlace]]:
    """List the places that were named, each once; all that the machine has where none was."""
    if not buses and not ports:
        return machine.buses(), machine.ports()
    named_ports = {place.node: place for place in map(machine.port, ports)}
    return list({place.name: place for place in map(machine.bus, buses)}.values()), list(named_ports.values())


def scan(
    buses: Sequence[BusPlace], ports: Sequence[PortPlace], clock: Clock, tell: Tell, modbus_units: int = 0
) -> Visit:
    """Visit every place that may be touched; return what was found, what could not be told, and what was left alone."""
    stop = Event()
    every: list[BusPlace | PortPlace] = [*buses, *ports]
    left = tuple(Note(place.name, place.skip, place.hint) for place in every if place.skip)
    with ThreadPoolExecutor(AT_ONCE, "scan") as pool:
        try:
            visits = [
                *(pool.submit(_bus, place, clock, tell, stop) for place in buses if not place.skip),
                *(pool.submit(_port, place, clock, modbus_units, tell, stop) for place in ports if not place.skip),
            ]
            return sum((visit.result() for visit in visits), Visit(skipped=left))
        finally:
            stop.set()  # also on Ctrl-C: each visit ends with the question in hand


def _bus(place: BusPlace, clock: Clock, tell: Tell, stop: Event) -> Visit:
    visit = scan_i2c.visit(place, _opener(place.name, clock), tell, stop)
    tell(place.name, "")
    return visit


def _port(place: PortPlace, clock: Clock, modbus_units: int, tell: Tell, stop: Event) -> Visit:
    visit = scan_serial.visit(place, clock, modbus_units, tell, stop)
    tell(place.name, "")
    return visit


def _opener(name: str, clock: Clock) -> Callable[[], Bus]:
    if name.startswith(SOCKET_BUS):
        return lambda: SocketBus(name.removeprefix(SOCKET_BUS), clock.sleep)
    return lambda: KernelBus(name, clock.sleep)
