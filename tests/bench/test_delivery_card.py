"""What a write-ahead log will cost when it is brought home, against what bringing it home really changes."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from bench.delivery.card import BLOCK_BYTES, owed_bytes


def test_what_is_owed_is_what_bringing_it_home_changes(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in ("page_size = 1024", "journal_mode = WAL", "wal_autocheckpoint = 0"):
            db.execute(f"PRAGMA {statement}")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)")
        for turn in range(3):
            for _ in range(20):
                db.execute("INSERT INTO t (body) VALUES (?)", (os.urandom(2500),))
                db.execute("UPDATE t SET body = ? WHERE id = 1", (os.urandom(700),))
            before = blocks(path)
            owed = owed_bytes(path.with_name("some.db-wal").read_bytes())
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            after = blocks(path)
            before += [b""] * (len(after) - len(before))
            changed = sum(old != new for old, new in zip(before, after, strict=True))
            assert owed == changed * BLOCK_BYTES > 0, turn


def test_a_log_that_was_never_begun_owes_nothing() -> None:
    assert owed_bytes(b"") == owed_bytes(bytes(1_000_000)) == 0


def blocks(path: Path) -> list[bytes]:
    data = path.read_bytes()
    return [data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES)]
