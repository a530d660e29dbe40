"""Short ways to write blocks, slots and the declaration of a sensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from drivers.base import Channel, Kind
from gateway.block import Block, Flag, Slots, Windows
from gateway.pipeline.windows import NS, SensorSpec, add, close

START_NS = 1_767_225_600 * NS  # 2026-01-01T00:00:00Z
NONE = np.empty(0, np.int64)


def block(
    values: Sequence[float] | Sequence[Sequence[float]],
    at_s: Sequence[float] | None = None,
    flag: int | Sequence[int] = Flag.NOT_EVALUATED,
    reason: int = 0,
    dur_s: float | Sequence[float] = 1.0,
) -> Block:
    """Make a block whose rows stand `at_s` seconds after START_NS: by default in the middle of second 0, 1, 2 ..."""
    v = np.array(values, np.float64)
    v = v[:, None] if v.ndim == 1 else v
    n = len(v)
    seconds = np.arange(n) + 0.5 if at_s is None else np.array(at_s, np.float64)
    t = START_NS + np.round(seconds * NS).astype(np.int64)
    flags = np.broadcast_to(np.array(flag, np.uint8).reshape(-1, 1), v.shape).copy()
    until = int(t[-1]) if n else START_NS
    lengths = np.broadcast_to(np.array(dur_s, np.float64), (n,)).copy()
    return Block(t, v, flags, np.full(v.shape, reason, np.uint16), lengths, until)


def slots(at_s: Sequence[float], code: int | Sequence[int] = 0) -> Slots:
    """Say what happened `at_s` seconds after START_NS."""
    t = START_NS + np.round(np.array(at_s, np.float64) * NS).astype(np.int64)
    return Slots(t, np.broadcast_to(np.array(code, np.uint8), t.shape).copy())


def all_good(one: Block) -> Slots:
    """Say that every row came in a good frame."""
    return Slots(one.t, np.zeros(len(one.t), np.uint8))


def spec(kind: Kind = Kind.SCALAR, channels: int = 1, slot_s: float = 1.0, *, events: bool = False) -> SensorSpec:
    """Declare a sensor of one domain with channels of one kind."""
    names = tuple(Channel(f"c{i}", "1", kind) for i in range(channels))
    return SensorSpec("place", "air", names, round(slot_s * NS), events)


def window(
    of: SensorSpec, one: Block, happened: Slots | None = None, start_s: float = 0.0, period_s: int = 60
) -> Windows:
    """Close one window over one block."""
    state = add(of.initial(), one, all_good(one) if happened is None else happened, 0)
    return close(of, state, START_NS + round(start_s * NS), period_s)[1]


def rows_of(one: Block, first: int, last: int) -> Block:
    """Cut a block."""
    cut = slice(first, last)
    until = int(one.t[last - 1]) if last > first else START_NS
    return Block(one.t[cut], one.v[cut], one.flag[cut], one.reason[cut], one.dur_s[cut], until)
