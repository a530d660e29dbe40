"""Since when windows are made as they are made now: a fact of the data directory, for whoever reads history later.

History holds what was measured. What a message says beside that (flags, percentiles, longer windows) follows from the
configuration and the program of its day.
"""

from __future__ import annotations

import hashlib
import sqlite3

import msgspec

from gateway import history
from gateway.config import Config, to_json
from gateway.outbox import Outbox
from gateway.release import version

FACT = "in_force"
NS = 1_000_000_000


class InForce(msgspec.Struct):
    """How windows that start at `since_ns` or later are made."""

    rules: str
    version: str
    since_ns: int


def rules(config: Config) -> str:
    """Name what of a configuration shapes the messages of windows: the same name, the same messages."""
    names = config.site.name, config.site.timezone, config.gateway.name
    shapes = [names, config.windows, config.sensor, config.derived]
    return hashlib.sha256(to_json(shapes)).hexdigest()[:12]


def begin(outbox: Outbox, config: Config) -> None:
    """Note at the start of a run what is in force, if it is not what was; blocks on the disk."""
    known = read(outbox.db)
    if known is None or (known.rules, known.version) != (rules(config), version()):
        last_ns = history.last_start_ns(outbox.db)
        note(outbox, config, 0 if last_ns is None else last_ns + config.windows.base_s * NS)


def note(outbox: Outbox, config: Config, since_ns: int) -> None:
    """Note with the next commit what is in force from a window on."""
    fact = InForce(rules(config), version(), since_ns)
    outbox.note(FACT, msgspec.json.encode(fact).decode())


def read(db: sqlite3.Connection) -> InForce | None:
    """Return what is in force in a data directory; None where no run of this version has said so."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (FACT,)).fetchone()
    try:
        return None if row is None else msgspec.json.decode(row[0], type=InForce)
    except msgspec.DecodeError:
        return None
