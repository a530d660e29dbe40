"""What a scenario file says of faults: one kind of table for those of parts, and of all that is around them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from firmware_sim.devices import I2C_ADDRESSES, I2C_TWINS, UART_TWINS
from firmware_sim.fault_rules import objections
from firmware_sim.faults import (
    EVERYTHING,
    KINDS,
    NACK,
    NUMBERS,
    OUTSIDE,
    SILENT,
    UNASKED,
    WORDS,
    WRONG_DEVICE,
    Fault,
)
from firmware_sim.scenario_file import FileReader, fits, meant
from firmware_sim.scenario_parts import Bus, Line, Part


@dataclass(frozen=True, slots=True)
class Places:
    """What there is that may have a fault."""

    uarts: Sequence[Part]
    lines: Sequence[Line]
    buses: Sequence[Bus]

    @property
    def serial(self) -> set[str]:
        """Names of what is on a serial port, and of the lines."""
        units = {name for line in self.lines for name in (line.name, *(part.name for part in line.parts))}
        return {part.name for part in self.uarts} | units

    def clocked(self) -> set[str]:
        """Names of the buses and of what is on them."""
        return {name for bus in self.buses for name in (bus.name, *(part.name for part in bus.parts))}

    def strangers(self, name: str) -> tuple[str, ...]:
        """Name the devices that could be in the place of a part; none for what is no port or address of its own."""
        if any(part.name == name for part in self.uarts):
            return tuple(UART_TWINS)
        at = next((part.address for bus in self.buses for part in bus.parts if part.name == name), None)
        return tuple(device for device in I2C_TWINS if at in I2C_ADDRESSES[device])


def read_fault(reader: FileReader, places: Places, table: Mapping[str, object], where: str, number: int) -> Fault:
    """Read one `[[fault]]`; tell every problem with it."""
    reader.only(table, ("on", "kind", *NUMBERS, *WORDS), where)
    on, kind = reader.text(table, "on", where), reader.text(table, "kind", where)
    numbers = {key: table[key] for key in NUMBERS if key in table}
    wrong = [key for key, value in numbers.items() if not fits(float, value)]
    for key in wrong:
        reader.problem(f"{where}.{key}", f"{numbers[key]!r} is not a number", f"write {key} = 60.0")
    words = {key: reader.text(table, key, where) for key in WORDS if key in table}
    wrong += [key for key, word in words.items() if not word]
    known = {key: float(value) for key, value in numbers.items() if isinstance(value, (int, float))}
    fault = Fault(on, kind, number, **known, **words)  # type: ignore[arg-type]
    problems = [*_place(reader, places, fault)]
    if kind in (*KINDS, *OUTSIDE) and not wrong:
        problems += objections(fault)
    for key, what, hint in problems:
        reader.problem(f"{where}.{key}", what, hint)
    return fault


def _place(reader: FileReader, places: Places, fault: Fault) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with a kind of fault, or with having it there."""
    on, kind = fault.on, fault.kind
    if kind in OUTSIDE:
        if on and on not in OUTSIDE[kind]:
            yield "on", f"{kind} does not happen to {on!r}", f"it happens to {' or '.join(OUTSIDE[kind])}"
        return
    if kind and kind not in KINDS:
        yield "kind", f"unknown fault {kind!r}", meant(kind, (*KINDS, *OUTSIDE))
    if on and on not in reader.taken and on != EVERYTHING:
        yield "on", f"there is no {on!r} in this scenario", meant(on, (*reader.taken, EVERYTHING))
    elif kind == NACK and on in places.serial:
        yield "kind", "a serial line has nothing to acknowledge with", f"write kind = {SILENT!r}"
    elif kind in UNASKED and on in places.clocked():
        yield "kind", "a part of a bus speaks when it is clocked, and no longer", "put it on a serial port"
    elif kind == WRONG_DEVICE and on and fault.device not in (known := places.strangers(on)):
        if not known:
            yield "on", f"{on} is no single part with a port or an address", "name one"
        elif fault.device:
            yield "device", f"{fault.device} cannot be in the place of {on}", meant(fault.device, known)
