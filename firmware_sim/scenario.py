"""A scenario file: which twins there are, under which names, the seed of their street, and what goes wrong."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from firmware_sim.devices import I2C_TWINS, UART_TWINS
from firmware_sim.faults import OUTSIDE, Fault
from firmware_sim.scenario_faults import Places, read_fault
from firmware_sim.scenario_file import WORDS, ScenarioError
from firmware_sim.scenario_parts import Bus, Line, Part, PartsReader, make_twin, option_types
from firmware_sim.scenario_street import read_episodes, read_street
from firmware_sim.street import Episode, StreetParameters

__all__ = [
    "WORDS", "Bus", "Line", "Part", "Scenario", "ScenarioError", "load_scenario", "make_twin", "option_types",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scenario:
    """All that a simulation needs to know."""

    seed: int
    uarts: tuple[Part, ...]
    buses: tuple[Bus, ...]
    lines: tuple[Line, ...] = ()
    faults: tuple[Fault, ...] = ()  # of the parts
    street: StreetParameters = field(default_factory=StreetParameters)
    episodes: tuple[Episode, ...] = ()
    outside: tuple[Fault, ...] = ()  # of all that is around them


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


class _Reader(PartsReader):
    """Walks the document."""

    def scenario(self, document: Mapping[str, object]) -> Scenario:
        if "outage" in document:
            hint = 'write [[fault]] with on = "store", kind = "down" and the same times'
            self.problem("outage", "is a fault like all others now", hint)
        self.only(document, ("seed", "street", "uart", "line", "bus", "fault", "outage"), "")
        seed = self.integer(document, "seed", "", 0) or 0
        if not 0 <= seed < 2**63:
            self.problem("seed", f"{seed} is out of range", "use 0 or a positive number")
        uarts = tuple(self.part(t, where, UART_TWINS, I2C_TWINS) for where, t in self.tables(document, "uart", ""))
        lines = tuple(self.line(t, where) for where, t in self.tables(document, "line", ""))
        buses = tuple(self.bus(t, where) for where, t in self.tables(document, "bus", ""))
        if not (uarts or lines or buses or self.problems):
            self.problem("uart", "there is nothing to simulate", "add a [[uart]], a [[line]] or a [[bus]] table")
        places, tables = Places(uarts, lines, buses), self.tables(document, "fault", "")
        faults = [read_fault(self, places, table, where, number) for number, (where, table) in enumerate(tables)]
        street, episodes = read_street(document, self.problem), read_episodes(document, self.problem)
        of_parts = tuple(fault for fault in faults if fault.kind not in OUTSIDE)
        outside = tuple(fault for fault in faults if fault.kind in OUTSIDE)
        return Scenario(seed, uarts, buses, lines, of_parts, street, episodes, outside)
