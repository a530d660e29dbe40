"""What the store should hold of a gateway, made anew from its history: the points of every window that was closed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from gateway import health, history, in_force, wire
from gateway.block import Windows
from gateway.commit import Made, made_until, make_long, windows_message
from gateway.config import Config
from gateway.config_sensors import SensorConfig
from gateway.core import Core
from gateway.journal import terms
from gateway.plans import plans
from gateway.room import CUT
from gateway.store.base import Key

NS = 1_000_000_000
DAY_NS = 86_400 * NS
EVER_NS = 2**63 - 1


class Wanted(NamedTuple):
    """One point that the store should hold."""

    fields: dict[str, float]
    exact: bool  # the same numbers, bit by bit: it was not computed anew from others
    of_before: bool  # made under rules of before: its flag may be another
    percentiles: bool  # whether history still has the samples that percentiles are made of


class Hour(NamedTuple):
    """What should be there of the windows that start in one stretch of time."""

    points: dict[Key, Wanted]
    windows: int
    unknown: frozenset[tuple[str, int]]  # (period, start) of windows of which history cannot say what they were
    unreadable: int
    on_the_way: dict[int, list[int]]  # start_ns -> seq of the messages without a receipt


class Expected:
    """Reads one data directory, under the configuration that its gateway runs with."""

    def __init__(self, db: sqlite3.Connection, config: Config) -> None:
        self._db = db
        self._terms = terms(config)
        self._core = core_of(config)
        self._base_s = config.windows.base_s
        self._made: Made = {}
        now = in_force.read(db)
        self.same_rules = now is None or now.rules == in_force.rules(config)
        self.since_ns = 0 if now is None else now.since_ns if self.same_rules else EVER_NS  # made as by these rules
        self._damaged: set[int] = set()
        self.held_ns, self.first_ns = self._begin(config)

    def _begin(self, config: Config) -> tuple[int, int]:
        """Return from when on history holds base windows, and from when on all windows can be made of them.

        Where nothing has been forgotten yet, these are also the longer windows in which the gateway began.
        """
        first_ns, last_ns = self._db.execute("SELECT min(start_ns), max(start_ns) FROM history").fetchone()
        if first_ns is None:
            return EVER_NS, EVER_NS
        if last_ns - first_ns > (config.gateway.history_days - 1) * DAY_NS or self._recall(CUT, ""):
            return first_ns, first_ns
        return first_ns, min([first_ns, *(at for one in self._terms.periods for at in one.starts(first_ns))])

    def between(self, start_ns: int, end_ns: int) -> Hour:
        """Return what should be there of the windows that start in [start_ns, end_ns), all of one moment."""
        with _one_moment(self._db):
            (details_ns,) = self._db.execute("SELECT min(start_ns) FROM detail").fetchone()
            bases = list(self._bases(start_ns, end_ns))
            damaged = {at_ns for at_ns in self._damaged if start_ns <= at_ns < end_ns}
            points: dict[Key, Wanted] = {}
            unknown = {(f"{self._base_s}s", at_ns) for at_ns in damaged}
            n = 0
            for windows, exact, of_before in (*self._as_closed(bases), *self._longer(start_ns, end_ns, unknown)):
                n += 1
                samples = details_ns is not None and max(windows.start_ns, self.held_ns) >= details_ns
                for point in wire.points(windows_message(windows, self._terms)):
                    points[_key(point)] = Wanted(point.fields, exact, of_before, samples)
            return Hour(points, n, frozenset(unknown), len(damaged), self._queued(start_ns, end_ns))

    def keys_of(self, seqs: list[int]) -> set[Key]:
        """Return which points waiting messages hold; one that has gone meanwhile holds none."""
        out: set[Key] = set()
        for seq in seqs:
            row = self._db.execute("SELECT payload FROM message WHERE seq = ?", (seq,)).fetchone()
            if row is not None:
                out |= {_key(point) for point in wire.points(wire.unpack_windows(row[0]))}
        return out

    def _as_closed(self, bases: list[Windows]) -> Iterator[tuple[Windows, bool, bool]]:
        for windows in bases:
            yield windows, True, windows.start_ns < self.since_ns

    def _longer(
        self, start_ns: int, end_ns: int, unknown: set[tuple[str, int]]
    ) -> Iterator[tuple[Windows, bool, bool]]:
        """Make the longer windows that start in [start_ns, end_ns) and have been made, as the commit makes them."""
        for period in self._terms.periods:
            made_ns, unmade = made_until(self._recall, period)
            for at_ns in self._starts(start_ns, end_ns, period.starts):
                stop_ns = period.end(at_ns)
                if stop_ns is None or stop_ns > made_ns or at_ns in unmade:
                    continue
                whole = make_long(period, at_ns, self._bases, self._core, self._terms, self._made)
                if stop_ns <= self.since_ns or any(at_ns <= one < stop_ns for one in self._damaged):
                    unknown.add((period.name, at_ns))
                elif whole is not None:
                    yield whole, False, False

    def _starts(self, start_ns: int, end_ns: int, of: Callable[[int], list[int]]) -> list[int]:
        step_ns = self._base_s * NS
        found = {one for at_ns in range(start_ns - start_ns % step_ns, end_ns, step_ns) for one in of(at_ns)}
        return sorted(at_ns for at_ns in found if start_ns <= at_ns < end_ns)

    def _bases(self, start_ns: int, end_ns: int) -> Iterator[Windows]:
        """Yield the base windows that can be read, and take note of the others."""
        query = "SELECT start_ns FROM history WHERE start_ns >= ? AND start_ns < ?"
        missing = {at_ns for (at_ns,) in self._db.execute(query, (start_ns, end_ns))}
        for windows in history.between(self._db, start_ns, end_ns):
            missing.discard(windows.start_ns)
            yield windows
        self._damaged |= missing

    def _queued(self, start_ns: int, end_ns: int) -> dict[int, list[int]]:
        out: dict[int, list[int]] = {}
        query = "SELECT seq, start_ns FROM message WHERE start_ns >= ? AND start_ns < ? AND keys > 0"
        for seq, at_ns in self._db.execute(query, (start_ns, end_ns)):
            out.setdefault(at_ns, []).append(seq)
        return out

    def _recall(self, key: str, default: str) -> str:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else str(row[0])


def core_of(config: Config) -> Core:
    """Return a core that knows the plans, for longer windows need to know which slots were expected."""
    board = SensorConfig(name=health.BOARD, driver=health.BOARD)
    own = plans(config, ((board, health.BOARD_DRIVER),))
    core = Core({config.hash: own}, config.windows.base_s, config.gateway.lateness_s)
    core.begin(config.hash)
    return core


_core = core_of


def _key(point: wire.Point) -> Key:
    return point.measurement, tuple(tag for tag in point.tags if tag[1]), point.start_ns


@contextmanager
def _one_moment(db: sqlite3.Connection) -> Iterator[None]:
    """Read everything as it is at one moment, whatever the gateway commits meanwhile."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("COMMIT")
