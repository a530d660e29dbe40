"""A scenario file: which twins there are, under which names, and the seed of their street."""

from __future__ import annotations

import difflib
import inspect
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from firmware_sim.device import Report
from firmware_sim.devices import I2C_ADDRESSES, I2C_TWINS, UART_TWINS
from firmware_sim.street import Street

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
REQUIRED = object()
T = TypeVar("T")


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
class Scenario:
    """All that a simulation needs to know."""

    seed: int
    uarts: tuple[Part, ...]
    buses: tuple[Bus, ...]


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
        self.only(document, ("seed", "uart", "bus"), "")
        seed = self.integer(document, "seed", "", 0) or 0
        if not 0 <= seed < 2**63:
            self.problem("seed", f"{seed} is out of range", "use 0 or a positive number")
        uarts = tuple(self.part(t, where, UART_TWINS, I2C_TWINS) for where, t in self.tables(document, "uart", ""))
        buses = tuple(self.bus(t, where) for where, t in self.tables(document, "bus", ""))
        if not uarts and not buses and not self.problems:
            self.problem("uart", "there is nothing to simulate", "add a [[uart]] or a [[bus]] table")
        return Scenario(seed, uarts, buses)

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
        twins: Mapping[str, Callable[..., object]],
        elsewhere: Mapping[str, Callable[..., object]],
    ) -> Part:
        on_bus = twins is I2C_TWINS
        self.only(table, ("name", "device", "options", *(("address",) if on_bus else ())), where)
        name, device = self.name(table, where), self.text(table, "device", where)
        address = self.integer(table, "address", where, REQUIRED) if on_bus else None
        options = table.get("options", {})
        if not isinstance(options, dict):
            self.problem(f"{where}.options", "must be a table", "write options = {...}")
            options = {}
        if device in elsewhere:
            there = "[[uart]]" if on_bus else "[[bus.device]]"
            self.problem(f"{where}.device", f"{device} does not live here", f"put it into a {there} table")
        elif device and device not in twins:
            self.problem(f"{where}.device", f"unknown device {device!r}", _hint(device, (*twins, *elsewhere)))
        elif device:
            if address is not None and address not in I2C_ADDRESSES[device]:
                known = " or ".join(f"0x{a:02x}" for a in I2C_ADDRESSES[device])
                self.problem(f"{where}.address", f"{device} is never at 0x{address:02x}", f"use {known}")
            self.options(options, twins[device], f"{where}.options")
        return Part(name, device, options, address)

    def options(self, options: Mapping[str, object], twin: Callable[..., object], where: str) -> None:
        """Try the options on a twin of their own, so that every rule stands in one place: the twin."""
        known = option_names(twin)
        self.only(options, known, where)
        wrong = [key for key, value in options.items() if key in known and not _fits(key, value)]
        for key in wrong:
            wanted = 'a list of strings, for example ["aac0..."]' if key == "frames" else "a string"
            self.problem(f"{where}.{key}", f"{options[key]!r} is not understood", f"write {wanted}")
        if wrong or set(options) - set(known):
            return
        try:
            twin(Street(0), _unheard, **options)
        except ValueError as error:
            self.problem(where, str(error), f"known options: {', '.join(known)}")

    def tables(self, table: Mapping[str, object], key: str, where: str) -> list[tuple[str, Mapping[str, object]]]:
        """The array of tables under a key, each with its place."""
        place = f"{where}.{key}" if where else key
        entries = table.get(key, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            path = "bus.device" if key == "device" else key
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
        self.problem(f"{where}.{key}" if where else key, found, f"write {key} = {'0x76' if key == 'address' else '7'}")
        return None

    def only(self, table: Mapping[str, object], known: Iterable[str], where: str) -> None:
        for key in table:
            if key not in known:
                self.problem(f"{where}.{key}" if where else key, "unknown key", _hint(key, tuple(known)))

    def problem(self, key: str, what: str, hint: str) -> None:
        self.problems.append(f"{self.file}: {key}: {what}; {hint}")


def option_names(twin: Callable[..., object]) -> tuple[str, ...]:
    """What a scenario may set on a twin: its parameters behind street and report."""
    return tuple(inspect.signature(twin).parameters)[2:]


def make_twin(twins: Mapping[str, Callable[..., T]], part: Part, street: Street, report: Report) -> T:
    """Build the twin that a part names."""
    return twins[part.device](street, report, **part.options)


def _fits(key: str, value: object) -> bool:
    if key == "frames":
        return isinstance(value, list) and bool(value) and all(isinstance(frame, str) for frame in value)
    return isinstance(value, str)


def _hint(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"


def _unheard(_t_s: float, _values: object) -> None:
    """Take the report of a twin that is only tried."""
