"""`firmware-sim chaos`: a whole gateway as processes, and a scenario done to all of it, not to its sensors alone."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from firmware_sim.faults import DOWN, FULL, KILL, STEP, STORE, Trouble
from firmware_sim.outside import Outside
from firmware_sim.scenario import Scenario
from gateway.clock import NS, Clock

LOOK_S = 0.2
SMALL_BYTES = 256_000_000  # a disk that may be filled: nobody's own
PIECE_BYTES = 65_536
FOREIGN = "foreign"
# for a gateway on so small a disk
SMALL = """
[rawlog]
segment_mb = 0.25
keep_mb = 2
recent_mb = 1
[outbox]
free_floor_mb = 1
ballast_mb = 1
"""


class ChaosError(Exception):
    """What the scenario asks for cannot be done here; the text says what to do."""


class Processes(Protocol):
    """Whoever can end and start `gateway`, `bridge` and `broker`."""

    def kill_part(self, name: str) -> None:
        """End one as a power cut would."""
        ...

    def start_part(self, name: str) -> None:
        """Start it, also again."""
        ...


class ClockFile:
    """The wall clock of all processes as a script that grows: GATEWAY_CLOCK=@FILE, see gateway.clock."""

    def __init__(self, path: Path) -> None:
        """Begin it: the clock is right, and believed."""
        self._path, self._begin_s, self._steps = path, Clock().mono_ns() / NS, ""
        self._write()

    def step(self, by_s: float) -> None:
        """Set the clock now."""
        after_s = Clock().mono_ns() / NS - self._begin_s
        self._steps += f"[[step]]\nafter_s = {after_s:.3f}\nby_s = {by_s}\n"
        self._write()

    def _write(self) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text(f"from_boottime_s = {self._begin_s}\n{self._steps}", encoding="utf-8")
        fresh.replace(self._path)


@dataclass(slots=True)
class Chaos:
    """Does to processes, a store, a disk and a clock what is declared; `now_s` is UTC as the faults count it.

    Raises ChaosError where something is missing for it.
    """

    outside: Outside
    processes: Processes
    store: Path  # the embedded one
    data_dir: Path
    clock: ClockFile | None
    now_s: Callable[[], float]
    tell: Callable[[str], None] = lambda _text: None
    _gone: Counter[str] = field(default_factory=Counter)
    _lock: sqlite3.Connection | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be done, before anything is done."""
        kinds = {trouble.kind for trouble in self.outside.troubles}
        if STEP in kinds and self.clock is None:
            raise ChaosError("clock: step: these processes share the clock of the machine; give them a ClockFile")
        if FULL in kinds and not is_small_disk(self.data_dir):
            raise ChaosError(
                f"disk: full: {self.data_dir} must be a small disk of its own, for it will be filled; as root: "
                f"mkdir -p {self.data_dir} && mount -t tmpfs -o size=16m tmpfs {self.data_dir}"
            )

    def run(self, for_s: float) -> None:
        """Let happen what is due, for so many seconds; at the end everything is there again."""
        end_s = self.now_s() + for_s
        try:
            while (now_s := self.now_s()) < end_s:
                for trouble, begins in self.outside.turn(now_s):
                    self.tell(f"{trouble.fault.on}: {trouble.kind} {'begins' if begins else 'is over'}")
                    self._do(trouble, begins=begins)
                self._hold_store()
                time.sleep(max(0.0, min(self.outside.next_s, end_s, now_s + LOOK_S) - self.now_s()))
        finally:
            self._end()

    def _do(self, trouble: Trouble, *, begins: bool) -> None:
        kind, on = trouble.kind, trouble.fault.on
        if kind == KILL or (kind == DOWN and on != STORE):
            self._part(on, begins=begins)
        elif kind == FULL and begins:
            fill(self.data_dir)
        elif kind == FULL:
            (self.data_dir / FOREIGN).unlink(missing_ok=True)
        elif kind == STEP and self.clock and (begins or trouble.fault.for_s is not None):
            self.clock.step((trouble.fault.by_s or 0.0) * (1 if begins else -1))

    def _part(self, name: str, *, begins: bool) -> None:
        """End a process, or start it once nothing keeps it down any more."""
        if begins and not self._gone[name]:
            self.processes.kill_part(name)
        self._gone[name] += 1 if begins else -1
        if not begins and not self._gone[name]:
            self.processes.start_part(name)

    def _hold_store(self) -> None:
        """Keep everybody else out of the embedded store while it is down; it may not be there yet."""
        down = self.outside.on(DOWN, STORE)
        if down and self._lock is None:
            db = None
            with suppress(sqlite3.Error):
                db = sqlite3.connect(f"{self.store.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
                db.execute("BEGIN EXCLUSIVE")
                self._lock, db = db, None
            if db is not None:
                db.close()
        elif not down and self._lock is not None:
            self._lock.execute("ROLLBACK")
            self._lock.close()
            self._lock = None

    def _end(self) -> None:
        """Lift what is in force, and say what it was in all."""
        now_s = self.now_s()
        for trouble in self.outside.troubles:
            if trouble.kind != STEP:  # a clock that was set stays set
                trouble.lift(now_s)
        for trouble, begins in self.outside.turn(now_s):
            self._do(trouble, begins=begins)
        self._hold_store()
        self.outside.end(now_s)


def is_small_disk(place: Path) -> bool:
    """Tell whether a folder is a file system of its own, and so small that nobody keeps anything there."""
    if not os.path.ismount(place):
        return False
    disk = os.statvfs(place)
    return disk.f_blocks * disk.f_frsize <= SMALL_BYTES


def fill(place: Path) -> None:
    """Fill a disk with a foreign file."""
    with (place / FOREIGN).open("ab", buffering=0) as file, suppress(OSError):
        while file.write(bytes(PIECE_BYTES)):
            pass
    with (place / FOREIGN).open("ab", buffering=0) as file, suppress(OSError):
        while file.write(b"\0"):
            pass


def needs(scenario: Scenario, kind: str) -> bool:
    """Tell whether a scenario has a fault of a kind outside the sensors."""
    return any(fault.kind == kind for fault in scenario.outside)
