"""Closed windows for the tests of outbox, history and wire: plausible shapes, arbitrary numbers."""

from __future__ import annotations

import sqlite3
from typing import Any

import numpy as np

from drivers.base import Fault, Kind, Miss
from gateway.block import MOMENTS, REASONS, Windows
from gateway.core import Core
from gateway.outbox import Outbox, Outgoing, SavedState

NS = 1_000_000_000
HOUR = 3600 * NS
MINUTE = 60 * NS
T_NS = 1_767_225_600 * NS  # 2026-01-01T00:00:00Z, a full hour
STATE = SavedState("config", 1, 0, b"state")
TABLES = ("meta", "message", "history", "state", "account")
KINDS = (Kind.SCALAR, Kind.LEVEL, Kind.COUNT, Kind.SPEED)


class SixtySlots(Core):
    """A core that expects one slot a second of the sensors it is told of."""

    def __init__(self, *sensors: str) -> None:
        super().__init__({}, 60, 2.0)
        self._sensors = sensors

    def nominal(self, start_ns: int, period_s: int) -> dict[str, int]:
        return dict.fromkeys(self._sensors, period_s)


def window(
    start_ns: int = T_NS, *, rev: int = 0, sensors: tuple[str, ...] = ("pm", "mic"), channels: int = 2, seed: int = 0
) -> Windows:
    """Make a minute of some sensors with `channels` series each, of numbers that depend on the seed alone."""
    rng = np.random.default_rng([seed, start_ns // NS])
    series = tuple(("air", sensor, f"c{i}", "ug/m3") for sensor in sensors for i in range(channels))
    k, s = len(series), len(sensors)
    valid, rejected = rng.integers(0, 50, s), rng.integers(0, 5, s)
    slots = np.stack([np.full(s, 60), valid, rejected, 60 - valid - rejected, rng.integers(0, 3, s), np.zeros(s)], 1)
    n_by_flag = np.zeros((k, 5), np.int64)
    n_by_flag[:, 0] = np.repeat(valid, channels)
    by_fault = np.zeros((s, len(Fault)), np.int64)
    by_fault[:, Fault.CHECK] = rejected
    return Windows(
        60, start_ns, rev, series, tuple(str(KINDS[i % len(KINDS)]) for i in range(k)), n_by_flag,
        np.full(k, 60), n_by_flag[:, 0].copy(), rng.gamma(2.0, 5.0, (k, len(MOMENTS))),
        np.zeros((k, len(REASONS)), np.int64), sensors, slots.astype(np.int64), by_fault,
        np.zeros((s, len(Miss)), np.int64),
    )  # fmt: skip


def message(seq: int, start_ns: int = T_NS, *, rev: int = 0, keys: int = 3, period_s: int = 60) -> Outgoing:
    """Make a message whose payload tells which one it is."""
    return Outgoing(seq, period_s, start_ns, rev, keys, f"message {seq}".encode())


def content(db: sqlite3.Connection) -> dict[str, list[Any]]:
    """Read everything that a database holds."""
    return {table: sorted(db.execute(f"SELECT * FROM {table}").fetchall()) for table in TABLES}


def closed_sums(outbox: Outbox) -> None:
    """Fail unless what was ever produced is receipted, dead, replaced, dropped, or still there."""
    account, queued = outbox.account(), outbox.queued
    dropped = {name.rsplit("_", 1)[0] for name in account if name.startswith("dropped_")}
    gone = ("receipted", "dead", "replaced", *dropped)
    assert account["messages"] == sum(account[f"{how}_messages"] for how in gone) + len(queued)
    assert account["keys"] == sum(account.get(f"{how}_keys", 0) for how in gone) + sum(queued.values())
