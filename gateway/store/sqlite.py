"""The embedded store: one SQLite file, for a site without a server, for the demo and for tests."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from math import isfinite
from pathlib import Path

import msgspec

from gateway.store.base import StoreError, Verdict
from gateway.wire import TAGS, Point

VERSION = 1
BUSY_S = 5.0  # how long another writer is waited for
# The time comes first: what is written together lies together, and a span of time is one stretch of the file.
_SCHEMA = """CREATE TABLE point (
    measurement TEXT NOT NULL, site TEXT NOT NULL, gateway TEXT NOT NULL, sensor TEXT NOT NULL, channel TEXT NOT NULL,
    period TEXT NOT NULL, unit TEXT NOT NULL, start_ns INTEGER NOT NULL, rev REAL NOT NULL, fields TEXT NOT NULL,
    PRIMARY KEY (start_ns, measurement, site, gateway, sensor, channel, period)
) WITHOUT ROWID"""
_UPSERT = """INSERT INTO point (measurement, site, gateway, sensor, channel, period, unit, start_ns, rev, fields)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET unit = excluded.unit, rev = excluded.rev, fields = json_patch(fields, excluded.fields)
    WHERE excluded.rev >= point.rev"""
_SELECT = """SELECT measurement, site, gateway, sensor, channel, period, unit, start_ns, fields FROM point
    WHERE start_ns >= ? AND start_ns < ? AND (gateway = ? OR ? = '') ORDER BY start_ns"""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_FIELDS = msgspec.json.Decoder(dict[str, float])
_Row = tuple[str, str, str, str, str, str, str, int, float, str]


class SqliteStore:
    """A store in one file; a reader may have it open, in another process, while a writer writes.

    The key of a point is (measurement, site, gateway, sensor, channel, period, start_ns). Writing it again behaves as
    InfluxDB does: fields named again are replaced, fields not named stay. Unlike InfluxDB, a point whose `rev` is
    lower than the stored one changes nothing. NaN and infinite fields are left out, and a point without any field too.

    A damaged file is never written to: it is moved beside as `<name>.corrupt-N` with its write-ahead log, `quarantined`
    tells where, and a new file is begun. With `read_only` nothing is made, moved or changed. Use one instance from one
    thread at a time.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open or begin the file; raise StoreError when it cannot be opened or is no store of this version."""
        self.path = path
        self.read_only = read_only
        self.quarantined: Path | None = None
        self._db: sqlite3.Connection | None = self._open()

    def write(self, points: Sequence[Point]) -> None:
        """Write all points in one durable transaction, or none of them and raise StoreError."""
        try:
            rows = [row for point in points if (row := _row(point))]
            self._commit(rows)
        except (OverflowError, ValueError) as error:
            raise StoreError(Verdict.SPLIT, f"{self.path.name}: {error}") from None
        except sqlite3.DatabaseError as error:
            if _damaged(error) and not self.read_only:
                self.close()
                self._quarantine()
            raise _failure(self.path, error) from None

    def read(self, start_ns: int, end_ns: int, gateway: str = "") -> Iterator[Point]:
        """Yield the points, of all gateways or of one, with start_ns <= start < end_ns, from one snapshot of the file.

        They come in order of time.
        """
        try:
            with closing(self._connect("ro")) as db:
                for measurement, *values, at_ns, fields in db.execute(_SELECT, (start_ns, end_ns, gateway, gateway)):
                    tags = tuple((key, value) for key, value in zip(TAGS, values, strict=True) if value)
                    yield Point(measurement, tags, at_ns, _FIELDS.decode(fields))
        except sqlite3.DatabaseError as error:
            raise _failure(self.path, error) from None
        except msgspec.MsgspecError as error:
            raise StoreError(Verdict.REJECT, f"{self.path.name} holds fields that are no numbers: {error}") from None

    def keys(self, since_ns: int = 0) -> dict[str, int]:
        """Count the points of each measurement whose window starts at `since_ns` or later; keys never repeat."""
        try:
            with closing(self._connect("ro")) as db:
                counts = "SELECT measurement, count(*) FROM point WHERE start_ns >= ? GROUP BY measurement"
                return dict(db.execute(counts, (since_ns,)).fetchall())
        except sqlite3.DatabaseError as error:
            raise _failure(self.path, error) from None

    def close(self) -> None:
        """Close the file; the last writer out folds the write-ahead log into it. A later write opens it again."""
        if self._db is not None:
            self._db.close()
        self._db = None

    def _commit(self, rows: list[_Row]) -> None:
        db = self._db = self._db or self._open()
        db.execute("BEGIN IMMEDIATE")
        try:
            db.executemany(_UPSERT, rows)
            db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise

    def _open(self) -> sqlite3.Connection:
        try:
            if self.read_only:
                return self._connect("ro")
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return self._connect("rwc")
            except sqlite3.DatabaseError as error:
                if not _damaged(error):
                    raise
                self._quarantine()
            return self._connect("rwc")
        except (sqlite3.DatabaseError, OSError) as error:
            raise _failure(self.path, error) from None

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?mode={mode}"
        db = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            fresh = self._is_empty(db)
            if mode != "ro":
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                if fresh:
                    _begin(db)
            elif fresh:
                raise StoreError(Verdict.RETRY, f"{self.path.name} is still empty: start the bridge that writes it")
        except BaseException:
            db.close()
            raise
        return db

    def _is_empty(self, db: sqlite3.Connection) -> bool:
        """Tell whether the file has no table yet; raise StoreError when it is of another version or program."""
        (version,) = db.execute("PRAGMA user_version").fetchone()
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables and version == 0:
            return True
        if "point" not in tables:
            raise StoreError(Verdict.REJECT, f"{self.path.name} is another program's database: name another file")
        if version != VERSION:
            text = (
                f"{self.path.name} has format {version}, this program knows {VERSION}: update it, or name another file"
            )
            raise StoreError(Verdict.REJECT, text)
        return False

    def _quarantine(self) -> None:
        n = 1
        while (aside := self.path.with_name(f"{self.path.name}.corrupt-{n}")).exists():
            n += 1
        # The log goes first: should the power fail in between, an old log never meets a new file.
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                self.path.with_name(self.path.name + suffix).rename(aside.with_name(aside.name + suffix))
        self.quarantined = aside


def _begin(db: sqlite3.Connection) -> None:
    """Make the table, unless another process has just done so."""
    db.execute("BEGIN IMMEDIATE")
    if db.execute("PRAGMA user_version").fetchone() == (0,):
        db.execute(_SCHEMA)
        db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")


def _row(point: Point) -> _Row | None:
    fields = {name: float(value) for name, value in point.fields.items() if isfinite(value)}
    if not fields:
        return None
    tags = dict(point.tags)
    site, gateway, sensor, channel, period, unit = (tags.pop(key, "") for key in TAGS)
    if tags:
        raise ValueError(f"tags {', '.join(tags)} have no column: a point has {', '.join(TAGS)}")
    text = msgspec.json.encode(fields).decode()
    rev = fields.get("rev", 0.0)
    return point.measurement, site, gateway, sensor, channel, period, unit, point.start_ns, rev, text


def _damaged(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def _failure(path: Path, error: Exception) -> StoreError:
    """Say that the file is away, busy, full or damaged for now; none of these is the batch's fault."""
    return StoreError(Verdict.RETRY, f"{path.name}: {error}")
