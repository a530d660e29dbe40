"""The file `gateway.db`: its tables, its transactions, and what happens when it cannot be read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

VERSION = 3
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE message (
    seq INTEGER PRIMARY KEY, period_s INTEGER NOT NULL, start_ns INTEGER NOT NULL, rev INTEGER NOT NULL,
    keys INTEGER NOT NULL, sent INTEGER NOT NULL DEFAULT 0, payload BLOB NOT NULL,
    period TEXT NOT NULL DEFAULT '', kind TEXT NOT NULL DEFAULT '') STRICT;
CREATE INDEX message_window ON message (period_s, start_ns);
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1), config TEXT NOT NULL, segment INTEGER NOT NULL, offset INTEGER NOT NULL,
    body BLOB NOT NULL) STRICT;
CREATE TABLE account (name TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT;
CREATE TABLE history (start_ns INTEGER PRIMARY KEY, rev INTEGER NOT NULL, block BLOB NOT NULL) STRICT;
CREATE TABLE detail (start_ns INTEGER PRIMARY KEY, block BLOB NOT NULL) STRICT;
"""
# What a file of an older version lacks, by that version.
UPGRADES = {
    1: """
ALTER TABLE message ADD COLUMN period TEXT NOT NULL DEFAULT '';
CREATE TABLE detail (start_ns INTEGER PRIMARY KEY, block BLOB NOT NULL) STRICT;
""",
    2: "ALTER TABLE message ADD COLUMN kind TEXT NOT NULL DEFAULT ''",
}
BUSY_S = 10.0
ALONE_S = 0.5  # for who only wants it if nobody has it
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class DatabaseDamagedError(Exception):
    """The file was found damaged while in use: only a new start, which sets it aside, helps."""


class _Unusable(sqlite3.DatabaseError):
    """A file that this program cannot use: `why` becomes a part of the name under which it is kept."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def open_or_begin(path: Path, *, alone: bool = False) -> tuple[sqlite3.Connection, Path | None]:
    """Open the database, or begin a new one; return where a damaged file, or one of a newer program, is kept.

    A disk that is full, locked or away is no damage: it raises sqlite3.Error and leaves the file where it is, because
    messages wait in it. With `alone` nobody else may have the file open, and nobody can open it until it is closed; who
    only wants to read does that by `ahead.reading`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _open(path, alone=alone), None
    except sqlite3.DatabaseError as error:
        why = _why_unusable(error)
        if not why:
            raise
    aside = _set_aside(path, why)
    return _open(path, alone=alone), aside


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Do all or nothing, durably; raise sqlite3.Error for what may pass, DatabaseDamagedError for what does not."""
    try:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("COMMIT")
    except BaseException as error:
        with suppress(sqlite3.Error):  # a full disk may have rolled it back already
            db.execute("ROLLBACK")
        if isinstance(error, sqlite3.DatabaseError) and _why_unusable(error):
            raise DatabaseDamagedError(f"gateway.db: {error}") from error
        raise


def _open(path: Path, *, alone: bool = False) -> sqlite3.Connection:
    timeout_s = ALONE_S if alone else BUSY_S
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=timeout_s)
    try:
        if alone:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise _Unusable(f"version-{version}")
        # Pages of 1 kB and rare checkpoints: 29 kB to the card for one commit, against 57 kB with the defaults (bench).
        db.execute("PRAGMA page_size = 1024")
        # Debian has it on: what is let go of would be written once more, as zeros.
        db.execute("PRAGMA secure_delete = OFF")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA wal_autocheckpoint = 1000")
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise _Unusable("corrupt")
        if version < VERSION:
            with transaction(db):
                for script in [UPGRADES[old] for old in range(version, VERSION)] if version else [SCHEMA]:
                    for statement in script.split(";"):
                        db.execute(statement)
                db.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        db.close()
        raise
    return db


def _why_unusable(error: sqlite3.DatabaseError) -> str:
    """Tell damage and a newer program's file from everything else, which gives ''."""
    if isinstance(error, _Unusable):
        return error.why
    return "corrupt" if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED else ""  # low byte: the primary code


def _set_aside(path: Path, why: str) -> Path:
    """Move a database beside, with its journal, as `<name>.<why>-N`; return where it is now."""
    n = 1
    while (aside := path.with_name(f"{path.name}.{why}-{n}")).exists():
        n += 1
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside
