"""What a scenario file says of the parts: which twins there are, under which names, on which ports and buses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from firmware_sim.device import Report
from firmware_sim.devices import I2C_ADDRESSES, I2C_TWINS, UART_TWINS
from firmware_sim.scenario_file import REQUIRED, WORDS, FileReader, fits, meant
from firmware_sim.scenario_street import SENSES, sense_of
from firmware_sim.street import Street, seen_by

UNIT_IDS = range(1, 248)  # Modbus over serial line V1.02, 2.2
T = TypeVar("T")
Twins = Mapping[str, Callable[..., object]]


@dataclass(frozen=True, slots=True)
class Part:
    """One twin: `address` is None on a UART."""

    name: str
    device: str
    options: Mapping[str, object]
    address: int | None = None


@dataclass(frozen=True, slots=True)
class Bus:
    """One I2C bus and the parts on it."""

    name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One RS-485 line and the units on it; the address of each is its option `unit_id`."""

    name: str
    parts: tuple[Part, ...]


class PartsReader(FileReader):
    """Reads what stands on a port, a line or a bus."""

    def line(self, table: Mapping[str, object], where: str) -> Line:
        """Read one RS-485 line; no two units have one address."""
        self.only(table, ("name", "device"), where)
        name = self.name(table, where)
        parts, holders = [], dict[int, str]()
        units = {device: twin for device, twin in UART_TWINS.items() if "unit_id" in option_types(twin)}
        for there, entry in self.tables(table, "device", where):
            unit_id = self.integer(entry, "unit_id", there, REQUIRED)
            rest = {key: value for key, value in entry.items() if key != "unit_id"}
            given = {"unit_id": unit_id} if unit_id in UNIT_IDS else {}
            part = self.part(rest, there, units, {**UART_TWINS, **I2C_TWINS}, given)
            if unit_id is not None and unit_id not in UNIT_IDS:
                self.problem(f"{there}.unit_id", f"{unit_id} is not the address of a unit", "use 1 to 247")
            elif unit_id in holders:
                clash = f"{unit_id} is already used by {holders[unit_id]}"
                self.problem(f"{there}.unit_id", clash, "two units cannot share an address on one line")
            elif unit_id is not None:
                holders[unit_id] = part.name
            parts.append(part)
        return Line(name, tuple(parts))

    def bus(self, table: Mapping[str, object], where: str) -> Bus:
        """Read one bus; no two parts have one address."""
        self.only(table, ("name", "device"), where)
        name = self.name(table, where)
        parts, holders = [], dict[int, str]()
        for there, entry in self.tables(table, "device", where):
            part = self.part(entry, there, I2C_TWINS, UART_TWINS)
            if part.address is not None and part.address in holders:
                clash = f"0x{part.address:02x} is already used by {holders[part.address]}"
                self.problem(f"{there}.address", clash, "two parts cannot share an address: move one to another bus")
            elif part.address is not None:
                holders[part.address] = part.name
            parts.append(part)
        return Bus(name, tuple(parts))

    def part(
        self,
        table: Mapping[str, object],
        where: str,
        twins: Twins,
        elsewhere: Twins,
        given: Mapping[str, object] | None = None,
    ) -> Part:
        """One part; `given` are options that stand in the table of the part itself."""
        on_bus = twins is I2C_TWINS
        self.only(table, ("name", "device", "options", *(("address",) if on_bus else ())), where)
        name, device = self.name(table, where), self.text(table, "device", where)
        address = self.integer(table, "address", where, REQUIRED) if on_bus else None
        options = table.get("options", {})
        if not isinstance(options, dict):
            self.problem(f"{where}.options", "must be a table", "write options = {...}")
            options = {}
        for key in (given or {}).keys() & options.keys():
            self.problem(f"{where}.options.{key}", "does not belong here", f"write {key} = ... beside the name")
        options = {**(given or {}), **options}
        if device and device not in twins:
            self.stranger(device, where, twins, elsewhere)
        elif device:
            if address is not None and address not in I2C_ADDRESSES[device]:
                known = " or ".join(f"0x{a:02x}" for a in I2C_ADDRESSES[device])
                self.problem(f"{where}.address", f"{device} is never at 0x{address:02x}", f"use {known}")
            self.options(options, twins[device], f"{where}.options")
        return Part(name, device, options, address)

    def stranger(self, device: str, where: str, twins: Twins, elsewhere: Twins) -> None:
        """Complain about a device that cannot be at a place."""
        if device in elsewhere:
            there = "[[bus.device]]" if device in I2C_TWINS else "[[uart]]"
            self.problem(f"{where}.device", f"{device} does not live here", f"put it into a {there} table")
        else:
            self.problem(f"{where}.device", f"unknown device {device!r}", meant(device, (*twins, *elsewhere)))

    def options(self, options: Mapping[str, object], twin: Callable[..., object], where: str) -> None:
        """Try the options on a twin of their own, so that every rule stands in one place: the twin."""
        known = {**option_types(twin), **SENSES}
        self.only(options, known, where)
        wrong = [key for key, value in options.items() if key in known and not fits(known[key], value)]
        for key in wrong:
            wanted = WORDS.get(known[key], "a string")
            self.problem(f"{where}.{key}", f"{options[key]!r} is not understood", f"write {wanted}")
        if wrong or set(options) - set(known):
            return
        for key, what, hint in sense_of(options).objections():
            self.problem(f"{where}.{key}", what, hint)
        try:
            twin(Street(0), _unheard, **_own(options))
        except ValueError as error:
            self.problem(where, str(error), f"known options: {', '.join(known)}")


def option_types(twin: Callable[..., object]) -> dict[str, object]:
    """What a scenario may set on a twin: its parameters behind street and report, each with its annotation."""
    parameters = list(inspect.signature(twin, eval_str=True).parameters.values())[2:]
    return {parameter.name: parameter.annotation for parameter in parameters}


def make_twin(twins: Mapping[str, Callable[..., T]], part: Part, street: Street, report: Report) -> T:
    """Build the twin that a part names."""
    seen = seen_by(street, sense_of(part.options), part.name)
    return twins[part.device](seen, report, **_own(part.options))


def _own(options: Mapping[str, object]) -> dict[str, object]:
    """Return the options that are the twin's own."""
    return {key: value for key, value in options.items() if key not in SENSES}


def _unheard(_t_s: float, _values: object) -> None:
    """Take the report of a twin that is only tried."""
