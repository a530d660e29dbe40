"""Compare a store with what the gateway itself remembers, key by key and field by field."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway import history, wire
from gateway.app import _plans
from gateway.block import Windows
from gateway.broker import find_mosquitto
from gateway.commit import windows_message
from gateway.config_file import load
from gateway.core import Core
from gateway.journal import terms
from gateway.pipeline.longer import longer
from gateway.store.base import Key
from gateway.store.sqlite import SqliteStore


def need_mosquitto() -> None:
    """Skip without mosquitto, or fail where the servers are required."""
    if find_mosquitto() is None:
        say = pytest.fail if os.environ.get("PYTEST_REQUIRE_SERVERS") == "1" else pytest.skip
        say("mosquitto is not installed: apt-get install mosquitto")


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
        (until,) = db.execute("SELECT max(CAST(value AS INTEGER)) FROM meta WHERE key LIKE 'long_%'").fetchone()
    every = list(bases)

    def between(start_ns: int, end_ns: int) -> Iterator[Windows]:
        return (base for base in bases if start_ns <= base.start_ns < end_ns)

    for period in words.periods:
        for start_ns in sorted({start_ns for base in bases for start_ns in period.starts(base.start_ns)}):
            end_ns = period.end(start_ns)
            if end_ns is not None and end_ns <= until:
                validity = words.validity_of(period.name)
                whole = longer(period, start_ns, between, core.nominal, validity, words.parts)
                every += [whole] if whole is not None else []
    for windows in every:
        for point in wire.points(windows_message(windows, words)):
            points[point.measurement, point.tags, point.start_ns] = point.fields
    return points
