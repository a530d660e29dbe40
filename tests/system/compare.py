"""Compare a store with what the gateway itself remembers, key by key and field by field."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway import accounts, history, wire
from gateway.accounts import Fates
from gateway.app import _plans
from gateway.block import Windows
from gateway.broker import find_mosquitto
from gateway.commit import made_until, windows_message
from gateway.config_file import load
from gateway.core import Core
from gateway.pipeline.longer import longer
from gateway.store.base import Key
from gateway.store.sqlite import SqliteStore
from gateway.terms import terms


def need_mosquitto() -> None:
    """Skip without mosquitto, or fail where the servers are required."""
    if find_mosquitto() is None:
        say = pytest.fail if os.environ.get("PYTEST_REQUIRE_SERVERS") == "1" else pytest.skip
        say("mosquitto is not installed: apt-get install mosquitto")


MEMORY = "memory"  # why windows were dropped that could not even be committed

Points = dict[Key, dict[str, float]]


def in_store(path: Path) -> Points:
    """Everything that the embedded store holds; a key that came twice would be an error of the store."""
    points: Points = {}
    with closing(SqliteStore(path, read_only=True)) as store:
        for point in store.read(0, 2**63 - 1):
            key = (point.measurement, point.tags, point.start_ns)
            assert key not in points
            points[key] = point.fields
    return points


def in_history(site: Path) -> Points:
    """Every point that the gateway ever committed: its base windows, and the long ones made of them anew."""
    config = load(site)
    words = terms(config)
    core = Core({config.hash: _plans(config)}, config.windows.base_s, 2.0)
    core.begin(config.hash)
    points: Points = {}
    with closing(sqlite3.connect(config.gateway.data_dir / "gateway.db")) as db:
        bases = list(history.between(db, 0, 2**63 - 1))
        facts = dict(db.execute("SELECT key, value FROM meta"))
    every = list(bases)

    def between(start_ns: int, end_ns: int) -> Iterator[Windows]:
        return (base for base in bases if start_ns <= base.start_ns < end_ns)

    for period in words.periods:
        until, unmade = made_until(facts.get, period)
        for start_ns in sorted({start_ns for base in bases for start_ns in period.starts(base.start_ns)}):
            end_ns = period.end(start_ns)
            if end_ns is not None and end_ns <= until and start_ns not in unmade:
                validity = words.validity_of(period.name)
                whole = longer(period, start_ns, between, core.nominal, validity, words.parts)
                every += [whole] if whole is not None else []
    for windows in every:
        for point in wire.points(windows_message(windows, words)):
            points[point.measurement, point.tags, point.start_ns] = point.fields
    return points


@dataclass(frozen=True)
class Books:
    """What became of everything that a gateway committed, when all its processes have ended."""

    committed: Points
    stored: Points
    messages: Fates
    points: Fates
    open_rows: list[str]  # rows of the ledger, in the store or in history, whose sum does not close

    @property
    def lost(self) -> set[Key]:
        """Committed, and not in the store."""
        return self.committed.keys() - self.stored.keys()

    @property
    def unknown(self) -> set[Key]:
        """In the store, and never committed."""
        return self.stored.keys() - self.committed.keys()

    @property
    def changed(self) -> set[Key]:
        """In both, and not the same."""
        return {key for key in self.committed.keys() & self.stored.keys() if self.committed[key] != self.stored[key]}

    @property
    def given_up(self) -> int:
        """Committed points of which the gateway itself says that they are not delivered, and why."""
        dropped = sum(n for why, n in self.points.dropped.items() if why != MEMORY)
        return self.points.queued + dropped + self.points.dead

    @property
    def doubled(self) -> int:
        """Points that were produced once more without being a revision."""
        if any(fields.get("rev") for fields in self.committed.values()):
            return 0  # then there is more than one message of a window, as there should be
        never_committed = self.points.dropped.get(MEMORY, 0)
        return self.points.produced - self.points.replaced - never_committed - len(self.committed)

    @property
    def bases(self) -> int:
        """How many base windows there are."""
        lengths = {dict(tags)["period"] for what, tags, _ in self.committed if what == "ledger"}
        shortest = min(lengths, key=lambda name: int(name[:-1]) if name[:-1].isdigit() else 1 << 30, default="")
        return len({at for _, tags, at in self.committed if dict(tags)["period"] == shortest})

    def troubles(self, *, given_up: bool = False) -> list[str]:
        """Say what is wrong; with `given_up` what the account counts as not delivered may be missing from the store."""
        missing = len(self.lost) - (self.given_up if given_up else 0)
        found = {
            "points lost": abs(missing),
            "points in the store that nobody committed": len(self.unknown),
            "points changed": len(self.changed),
            "points doubled": abs(self.doubled),
            "messages without a fate": abs(self.messages.produced - self.messages.known),
            "points without a fate": abs(self.points.produced - self.points.known),
            "points given up": 0 if given_up else self.given_up,
            "rows of the ledger that do not close": len(self.open_rows),
        }
        return [f"{n} {what}" for what, n in found.items() if n]


def books(site: Path, store: Path) -> Books:
    """Close the books of a gateway and its embedded store."""
    stored = in_store(store)
    data_dir = load(site).gateway.data_dir
    with accounts.opened(data_dir) as db:
        messages, points, _ = accounts.account(db)
        slots = accounts.slots(db, 0, 2**62)
    unclosed = [f"history of {name}: {book.counts}" for name, book in slots.sensors.items() if not book.closes]
    for (what, tags, at), fields in stored.items():
        sums = [fields.get(name, -1.0) for name in ("expected", "valid", "rejected", "missing")]
        if what == "ledger" and sums[0] != sum(sums[1:]):
            unclosed.append(f"{tags} at {at}: {sums}")
    return Books(in_history(site), stored, messages, points, unclosed)
