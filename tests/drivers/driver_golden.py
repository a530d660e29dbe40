"""Reads the golden vectors of every driver: the files beside the drivers, nothing else."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import drivers
from drivers import DRIVERS
from drivers.base import Driver, Fault, Mark

ROOT = Path(drivers.__file__).parent
ORIGINS = {"datasheet", "capture", "oracle", "derived"}
KEYS = {
    "id",
    "hex",
    "text",
    "context",
    "options",
    "fault",
    "rows",
    "tolerance",
    "pieces",
    "command",
    "origin",
    "source",
    "driver",
}


@dataclass(frozen=True)
class Vector:
    """One golden frame (or, with `command`, the bytes that a command must write)."""

    driver: Driver
    name: str
    data: bytes
    context: bytes = b""
    options: dict[str, Any] = field(default_factory=dict)
    fault: Fault = Fault.OK
    rows: tuple[dict[str, Any], ...] = ()
    tolerance: dict[str, float] = field(default_factory=dict)
    pieces: tuple[str, ...] = ()
    command: str = ""

    def __repr__(self) -> str:
        return f"{self.driver.name}:{self.name}"


def folder(driver: Driver) -> Path:
    return ROOT / driver.domain / driver.folder


def family(driver: Driver) -> list[str]:
    """Name the drivers that share the folder of one, the first of the catalogue first."""
    return [one.name for one in DRIVERS.values() if folder(one) == folder(driver)]


def tables(driver: Driver, key: str = "vector") -> list[dict[str, Any]]:
    """Read the tables of one driver; in a family each says whose it is, if not the first one's."""
    said = tomllib.loads((folder(driver) / "vectors.toml").read_text(encoding="utf-8"))
    first = said.get("driver", family(driver)[0])
    return [table for table in said.get(key, []) if table.get("driver", first) == driver.name]


def _vector(driver: Driver, table: dict[str, Any]) -> Vector:
    return Vector(
        driver,
        table["id"],
        bytes.fromhex(table["hex"]) if "hex" in table else table["text"].encode(),
        bytes.fromhex(table.get("context", "")),
        table.get("options", {}),
        Fault[table.get("fault", "ok").upper()],
        tuple(table.get("rows", ())),
        table.get("tolerance", {}),
        tuple(table.get("pieces", ())),
        table.get("command", ""),
    )


ALL = [_vector(driver, table) for driver in DRIVERS.values() for table in tables(driver)]
FRAMES = [vector for vector in ALL if not vector.command]
COMMANDS = [vector for vector in ALL if vector.command]
GOOD = [vector for vector in FRAMES if vector.fault == Fault.OK]


def expected(cell: Any) -> tuple[float, Mark]:
    """Read a cell of `rows`: a number, "missing", or { value, mark }."""
    if cell == "missing":
        return float("nan"), Mark.MISSING
    if isinstance(cell, dict):
        return float(cell["value"]), Mark[cell["mark"].upper()]
    return float(cell), Mark.OK
