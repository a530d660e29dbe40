"""Room at the floor: when the disk is nearly full, what the next commit needs is freed inside the file first.

SQLite gives no page back to the file system, but it uses free pages before it lets the file grow. So at the floor the
file stops growing, and the commits go on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from itertools import islice
from typing import NamedTuple

from gateway.caps import FLOOR, MOST_DROPS
from gateway.held import GO_FIRST, Holdings

CUT = "history_cut"  # fact of a data directory: history does not reach back to where the site would have it
STEP = 8  # messages, or windows of history, between two looks at the free pages
HISTORY_LEAST_NS = 3 * 86_400 * 1_000_000_000  # longer windows and what comes late want the last days
MARGIN_BYTES = 16_384  # rows, indices and half-filled pages beside what is counted


class Made(NamedTuple):
    """What was given up: messages, and windows of history that the store has."""

    dropped: dict[int, str]
    history: int = 0


def make_room(db: sqlite3.Connection, need_bytes: int, held: Holdings, gone: Collection[int]) -> Made:
    """Free pages inside the caller's transaction until `need_bytes` fit into the file, or nothing is left to give up.

    First the oldest windows of history that were delivered long ago: they are a copy. Then messages, in their order.
    """
    (page,) = db.execute("PRAGMA page_size").fetchone()
    need = (need_bytes + MARGIN_BYTES) // page + 1
    history = _history(db, need, held)
    dropped: dict[int, str] = {}
    turn = islice(held.by_turn(gone), MOST_DROPS)
    while _free_pages(db) < need and (some := list(islice(turn, STEP))):
        db.executemany("DELETE FROM message WHERE seq = ?", [(seq,) for seq, _ in some])
        dropped |= {seq: FLOOR for seq, _ in some}
    return Made(dropped, history)


def _history(db: sqlite3.Connection, need: int, held: Holdings) -> int:
    (newest_ns,) = db.execute("SELECT max(start_ns) FROM history").fetchone()
    if newest_ns is None:
        return 0
    oldest = held.oldest(GO_FIRST)
    before_ns = newest_ns - HISTORY_LEAST_NS
    if oldest is not None:
        before_ns = min(before_ns, oldest.end_ns - HISTORY_LEAST_NS)
    n = 0
    some = "SELECT start_ns FROM history WHERE start_ns < ? ORDER BY start_ns LIMIT ?"
    while n < MOST_DROPS and _free_pages(db) < need:
        starts = db.execute(some, (before_ns, STEP)).fetchall()
        if not starts:
            break
        db.executemany("DELETE FROM history WHERE start_ns = ?", starts)
        db.executemany("DELETE FROM detail WHERE start_ns = ?", starts)
        n += len(starts)
    return n


def _free_pages(db: sqlite3.Connection) -> int:
    (pages,) = db.execute("PRAGMA freelist_count").fetchone()
    return int(pages)
