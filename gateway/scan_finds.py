"""What a scan can say: a part that was found, and what could not be told or was not touched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from drivers.base import Command, Driver, Inputs, OptionValue, Script
from drivers.link.base import LinkError

Tell = Callable[[str, str], None]
"""Told (place, what is being done there) while a scan runs; an empty text means that the place is done."""


class Note(NamedTuple):
    """Something that is not a find: what was seen at a place, and the next step."""

    place: str
    what: str
    hint: str

    @classmethod
    def of(cls, place: str, error: LinkError) -> Note:
        """Say that a link failed; it names itself, which the place does already."""
        _, _, what = str(error).rpartition(": ")
        return cls(place, what, error.hint)


@dataclass(frozen=True, slots=True)
class Find:
    """A part at a place; with several drivers: parts that look alike there, the likeliest first."""

    drivers: tuple[Driver, ...]
    sure: bool
    how: str
    bus: str = ""
    port: str = ""
    address: int | None = None
    baud: int | None = None
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    reply: bytes = b""
    label: str = ""  # what the site has called the place already
    serial: str = ""  # as the part has told it
    notes: tuple[str, ...] = ()

    @property
    def driver(self) -> Driver:
        """The likeliest driver."""
        return self.drivers[0]


@dataclass(frozen=True, slots=True)
class Visit:
    """What one place, or all of them, came to."""

    finds: tuple[Find, ...] = ()
    unknown: tuple[Note, ...] = ()
    skipped: tuple[Note, ...] = ()

    def __add__(self, other: Visit) -> Visit:
        return Visit(self.finds + other.finds, self.unknown + other.unknown, self.skipped + other.skipped)


def surely(finds: Iterable[Find]) -> bool:
    """Tell whether one of the finds is sure."""
    return any(find.sure for find in finds)


def written(command: Command, inputs: Inputs, options: Mapping[str, OptionValue]) -> bytes:
    """Return the bytes that a command writes."""
    return command.tx(inputs, options) if callable(command.tx) else command.tx


def harmless(driver: Driver) -> Script:
    """Return how the part tells its serial number, if that leaves it as it is; else an empty script.

    Questions do, and what was said to recognise it. To stop a part that measures does not.
    """
    if driver.identity is None or driver.identify is None:
        return ()
    said = driver.identify.script
    leaves = all(command.rx or command in said for command in driver.identity.script)
    return driver.identity.script if leaves else ()


def cost(driver: Driver, script: Script) -> tuple[int, int]:
    """Rank a script by what it writes: the longest write, then all of them; the least is asked first."""
    sizes = [len(written(command, driver.default_inputs(), driver.defaults())) for command in script]
    return max(sizes, default=0), sum(sizes)
