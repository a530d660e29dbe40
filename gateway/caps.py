"""Caps of the outbox: how much it may hold, what goes when that is reached, and how full it is. Pure functions.

The order is always the same: windows that were asked for once more, then the oldest windows, events last.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from itertools import islice
from typing import NamedTuple

from gateway.held import Holdings

NS = 1_000_000_000
DAY_NS = 86_400 * NS
MB = 1_000_000
SIZE, RECORDS, AGE, FLOOR, MEMORY = "size", "records", "age", "floor", "memory"  # why a message was dropped
MOST_DROPS = 1000  # of one commit: a cap that was lowered is reached step by step, and no commit takes minutes


class Caps(NamedTuple):
    """What the outbox may take; without limits unless a site says so."""

    max_bytes: float = math.inf
    max_records: float = math.inf
    max_age_ns: float = math.inf
    floor_bytes: float = 0.0  # what stays free on the file system


class Fill(NamedTuple):
    """How full the outbox is, by the cap that is nearest."""

    share: float  # 0 to 1, and above while a cap is exceeded
    cap: str  # SIZE, RECORDS, AGE or FLOOR; "" where there is no cap
    used: float  # bytes, messages or days, as the cap has it
    most: float


NO_FILL = Fill(0.0, "", 0.0, math.inf)


def caps(max_mb: float, max_records: float, max_age_days: float, free_floor_mb: float) -> Caps:
    """Make caps of what a site says; 0 is no limit."""
    return Caps(
        max_mb * MB or math.inf, max_records or math.inf, max_age_days * DAY_NS or math.inf, free_floor_mb * MB
    )  # fmt: skip


def excess(
    held: Holdings, of: Caps, gone: Collection[int], fresh: int, fresh_bytes: int, now_ns: int = 0
) -> dict[int, str]:
    """Say which messages must go so that `fresh` new ones fit: seq -> why.

    `gone` are those whose fate is known already. With `now_ns` 0 nobody knows the time, and nothing is too old.
    """
    left = len(held) + fresh - sum(1 for seq in gone if seq in held)
    size = held.bytes + fresh_bytes - sum(one.size for seq in gone if (one := held.get(seq)) is not None)
    born_ns = now_ns - of.max_age_ns if now_ns else -math.inf
    out: dict[int, str] = {}
    for seq, one in islice(held.by_turn(gone), MOST_DROPS):
        if size > of.max_bytes:
            out[seq] = SIZE
        elif left > of.max_records:
            out[seq] = RECORDS
        elif one.kind != "again" and one.end_ns < born_ns:
            out[seq] = AGE
        elif one.kind != "again":
            break
        else:
            continue
        left, size = left - 1, size - one.size
    return out


def fill(held: Holdings, of: Caps, now_ns: int, free_bytes: float) -> Fill:
    """Say how full the outbox is; `free_bytes` of the file system are there, NaN if that is not known."""
    oldest = held.oldest()
    age_ns = 0 if oldest is None else max(0, now_ns - oldest.end_ns)
    room = max(0.0, free_bytes - of.floor_bytes)
    found = [
        Fill(held.bytes / of.max_bytes, SIZE, held.bytes, of.max_bytes),
        Fill(len(held) / of.max_records, RECORDS, len(held), of.max_records),
        Fill(age_ns / of.max_age_ns, AGE, age_ns / DAY_NS, of.max_age_ns / DAY_NS),
    ]
    if of.floor_bytes and not math.isnan(free_bytes):
        most = held.bytes + room
        found.append(Fill(held.bytes / most if most else 1.0, FLOOR, held.bytes, most))
    return max((one for one in found if not math.isinf(one.most)), default=NO_FILL)
