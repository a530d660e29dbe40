"""A scenario file: which twins there are, under which names, the seed of their street, and what goes wrong."""

from __future__ import annotations

import difflib
import inspect
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

from firmware_sim.device import Report
from firmware_sim.devices import I2C_ADDRESSES, I2C_TWINS, UART_TWINS
from firmware_sim.faults import EVERYTHING, KINDS, NACK, SILENT, Fault, objections
from firmware_sim.scenario_street import SENSES, Outage, read_episodes, read_outages, read_street, sense_of
from firmware_sim.street import Episode, Street, StreetParameters, seen_by

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
UNIT_IDS = range(1, 248)  # Modbus over serial line V1.02, 2.2
REQUIRED = object()
# what a scenario may write for a parameter of a twin, by its annotation
WORDS: Final[Mapping[object, str]] = MappingProxyType(
    {
        str: "a string",
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        Sequence[str]: 'a list of strings, for example ["aac0..."]',
    }
)
T = TypeVar("T")
Twins = Mapping[str, Callable[..., object]]


class ScenarioError(Exception):
    """The scenario cannot be run; one line per problem, each naming the file and the key."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


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


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that a simulation needs to know."""

    seed: int
    uarts: tuple[Part, ...]
    buses: tuple[Bus, ...]
    lines: tuple[Line, ...] = ()
    faults: tuple[Fault, ...] = ()
    street: StreetParameters = field(default_factory=StreetParameters)
    episodes: tuple[Episode, ...] = ()
    outages: tuple[Outage, ...] = ()


def load_scenario(path: Path) -> Scenario:
    """Read a TOML scenario; raise ScenarioError with every problem that was found."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError([f"{path}: cannot be read ({error.strerror})"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError([f"{path}: not TOML: {error}"]) from None
    reader = _Reader(str(path))
    scenario = reader.scenario(document)
    if reader.problems:
        raise ScenarioError(reader.problems)
    return scenario


class _Reader:
    """Walks the document, goes on after a problem, and remembers which names are taken."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[str] = []
        self.taken: dict[str, str] = {}

    def scenario(self, document: Mapping[str, object]) -> Scenario:
        self.only(document, ("seed", "street", "uart", "line", "bus", "fault", "outage"), "")
        seed = self.integer(document, "seed", "", 0) or 0
        if not 0 <= seed < 2**63:
            self.problem("seed", f"{seed} is out of range", "use 0 or a positive number")
        uarts = tuple(self.part(t, where, UART_TWINS, I2C_TWINS) for where, t in self.tables(document, "uart", ""))
        lines = tuple(self.line(t, where) for where, t in self.tables(document, "line", ""))
        buses = tuple(self.bus(t, where) for where, t in self.tables(document, "bus", ""))
        if not (uarts or lines or buses or self.problems):
            self.problem("uart", "there is nothing to simulate", "add a [[uart]], a [[line]] or a [[bus]] table")
        silent = {part.name for part in uarts} | {name for line in lines for name in (line.name, *_names(line))}
        tables = self.tables(document, "fault", "")
        faults = tuple(self.fault(t, where, number, silent) for number, (where, t) in enumerate(tables))
        street, episodes = read_street(document, self.problem), read_episodes(document, self.problem)
        outages = read_outages(self.tables(document, "outage", ""), self.problem)
        return Scenario(seed, uarts, buses, lines, faults, street, episodes, outages)

    def line(self, table: Mapping[str, object], where: str) -> Line:
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
            self.problem(f"{where}.device", f"unknown device {device!r}", _hint(device, (*twins, *elsewhere)))

    def options(self, options: Mapping[str, object], twin: Callable[..., object], where: str) -> None:
        """Try the options on a twin of their own, so that every rule stands in one place: the twin."""
        known = {**option_types(twin), **SENSES}
        self.only(options, known, where)
        wrong = [key for key, value in options.items() if key in known and not _fits(known[key], value)]
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

    def fault(self, table: Mapping[str, object], where: str, number: int, without_ack: Iterable[str]) -> Fault:
        """One fault; it may stand for any name that is taken, or for all."""
        times = [one.name for one in fields(Fault)[3:]]
        self.only(table, ("on", "kind", *times), where)
        on, kind = self.text(table, "on", where), self.text(table, "kind", where)
        if on and on != EVERYTHING and on not in self.taken:
            hint = _hint(on, (*self.taken, EVERYTHING))
            self.problem(f"{where}.on", f"there is no {on!r} in this scenario", hint)
        if kind and kind not in KINDS:
            self.problem(f"{where}.kind", f"unknown fault {kind!r}", _hint(kind, KINDS))
        if kind == NACK and on in without_ack:
            hint = f"write kind = {SILENT!r}"
            self.problem(f"{where}.kind", "a serial line has nothing to acknowledge with", hint)
        numbers = {key: table[key] for key in times if key in table}
        wrong = [key for key, value in numbers.items() if not _fits(float, value)]
        for key in wrong:
            self.problem(f"{where}.{key}", f"{numbers[key]!r} is not a number", f"write {key} = 60.0")
        fault = Fault(on, kind, number, **{k: float(v) for k, v in numbers.items() if isinstance(v, (int, float))})
        if kind in KINDS and not wrong:
            for key, what, hint in objections(fault):
                self.problem(f"{where}.{key}", what, hint)
        return fault

    def tables(self, table: Mapping[str, object], key: str, where: str) -> list[tuple[str, Mapping[str, object]]]:
        """The array of tables under a key, each with its place."""
        place = f"{where}.{key}" if where else key
        entries = table.get(key, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            path = re.sub(r"\[\d+\]", "", place)
            self.problem(place, "must be an array of tables", f"write [[{path}]]")
            return []
        return [(f"{place}[{i}]", entry) for i, entry in enumerate(entries)]

    def name(self, table: Mapping[str, object], where: str) -> str:
        name = self.text(table, "name", where)
        if not name:
            return name
        if not NAME.fullmatch(name):
            self.problem(f"{where}.name", f"{name!r} cannot be a file name", "use letters, digits, '-', '_' and '.'")
        elif name in self.taken:
            self.problem(f"{where}.name", f"{name!r} is already used by {self.taken[name]}", "give each its own name")
        else:
            self.taken[name] = where
        return name

    def text(self, table: Mapping[str, object], key: str, where: str) -> str:
        value = table.get(key)
        if isinstance(value, str) and value:
            return value
        found = "is missing" if value is None else f"{value!r} is not a name"
        self.problem(f"{where}.{key}", found, f'write {key} = "..."')
        return ""

    def integer(self, table: Mapping[str, object], key: str, where: str, default: object) -> int | None:
        value = table.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        found = "is missing" if value is REQUIRED else f"{value!r} is not a whole number"
        example = {"address": "0x76", "unit_id": "1"}.get(key, "7")
        self.problem(f"{where}.{key}" if where else key, found, f"write {key} = {example}")
        return None

    def only(self, table: Mapping[str, object], known: Iterable[str], where: str) -> None:
        for key in table:
            if key not in known:
                self.problem(f"{where}.{key}" if where else key, "unknown key", _hint(key, tuple(known)))

    def problem(self, key: str, what: str, hint: str) -> None:
        self.problems.append(f"{self.file}: {key}: {what}; {hint}")


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


def _fits(wanted: object, value: object) -> bool:
    """Whether a TOML value can be given to a parameter with that annotation."""
    if wanted == Sequence[str]:
        return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)
    if wanted in (int, float):
        return isinstance(value, int if wanted is int else (int, float)) and not isinstance(value, bool)
    return isinstance(value, bool if wanted is bool else str)


def _names(line: Line) -> Iterable[str]:
    return (part.name for part in line.parts)


def _hint(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"


def _unheard(_t_s: float, _values: object) -> None:
    """Take the report of a twin that is only tried."""
