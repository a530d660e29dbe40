"""A database that one process has for itself, how its log stays small, and how others read it all the same.

SQLite keeps an index of its write-ahead log in a file that all who use a database share. The kernel writes that file
to the card half a minute after each commit: 30 MB a day for a commit a minute. A process that has the database alone
keeps the index in memory, and nobody else gets a lock any more. Who wants to read passes the locks by: what was
committed stays as it is until the log is brought home and begun anew. So readers share a lock on the folder, and the
owner brings the log home only while it has that lock to itself.

SQLite removes a log without a commit in it when a reader closes, and a reader that passes the locks by cannot know that
somebody writes there. So the owner opens the database, and puts a first commit into the log, while it has the folder's
lock to itself; from then on there is always one.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

HOME_FRAMES = 1000  # pages in the log; then it is brought home: the pages of each commit go there once, not each time
SPARE_FRAMES = 100  # what the last commit before may take beyond
HEAD_BYTES, FRAME_HEAD_BYTES, SALT = 32, 24, slice(16, 24)  # https://www.sqlite.org/fileformat2.html#walformat
FRAME_SALT = slice(8, 16)
FIRST = "INSERT INTO meta (key, value) VALUES ('opened', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
OWNER_S = 0.2  # so long is waited for somebody who has the file alone
LOCK_S = 10.0
PAUSE_S = 0.02


class ChangedError(sqlite3.OperationalError):
    """What was read is of two moments: the log was begun anew meanwhile."""


class Ahead:
    """The write-ahead log of a database that this process has alone; belongs to the thread that commits."""

    def __init__(self, db: sqlite3.Connection, path: Path, room_bytes: float) -> None:
        """Take the log over; it is made whole at once where that leaves something of `room_bytes`.

        Writing over a log costs the file system's journal nothing; a log that grows costs it as much again.
        """
        self._db = db
        (page,) = db.execute("PRAGMA page_size").fetchone()
        db.execute("PRAGMA wal_autocheckpoint = 0")
        self._frame_bytes = FRAME_HEAD_BYTES + int(page)
        self._folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._log = os.open(log_of(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._salt, self._frames = b"", 0
        self._make_whole(room_bytes)
        db.execute(FIRST, (os.urandom(6).hex(),))  # another one each time, or no page would change

    def _make_whole(self, room_bytes: float) -> None:
        size = os.fstat(self._log).st_size
        whole = HEAD_BYTES + (HOME_FRAMES + SPARE_FRAMES) * self._frame_bytes
        if not 0 < whole - size < room_bytes:
            return
        try:
            os.pwrite(self._log, bytes(whole - size), size)  # zeros are no frames: SQLite stops reading there
            os.fsync(self._log)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._log, size)

    @contextmanager
    def around(self) -> Iterator[None]:
        """Around a commit: bring the log home first when it is long and nobody reads, else let it grow.

        The commit itself begins the log anew, so it is done before readers have their turn.
        """
        mine = self._long() and _locked(self._folder, fcntl.LOCK_EX, 0.0)
        try:
            if mine:
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            yield
            if os.fstat(self._log).st_nlink == 0:  # somebody has removed the log: what is committed goes home at once
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        finally:
            if mine:
                fcntl.flock(self._folder, fcntl.LOCK_UN)

    def _long(self) -> bool:
        """Count the pages in the log, from where the last call has stopped."""
        salt = os.pread(self._log, HEAD_BYTES, 0)[SALT]
        if salt != self._salt:
            self._salt, self._frames = salt, 0
        while len(salt) and self._salt_of_frame(self._frames) == salt:
            self._frames += 1
        return self._frames >= HOME_FRAMES

    def _salt_of_frame(self, n: int) -> bytes:
        return os.pread(self._log, FRAME_HEAD_BYTES, HEAD_BYTES + n * self._frame_bytes)[FRAME_SALT]

    def close(self) -> None:
        """Close the database, which brings its log home and removes it; readers are given a while to end."""
        _locked(self._folder, fcntl.LOCK_EX, LOCK_S)
        self._db.close()
        os.close(self._log)
        os.close(self._folder)


@contextmanager
def unread(folder: Path) -> Iterator[None]:
    """Keep readers away while a database is opened and until its log has a commit; raise as SQLite does when busy."""
    folder.mkdir(parents=True, exist_ok=True)
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not _locked(place, fcntl.LOCK_EX, LOCK_S):
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        yield
    finally:
        os.close(place)


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database to read, whoever has it; raise sqlite3.Error, and ChangedError where what was read is void.

    Of a database that somebody has alone, all that is read is of the moment of opening.
    """
    try:
        db = connected(path, "mode=ro", OWNER_S)
    except sqlite3.OperationalError as error:
        if not is_busy(error):
            raise
    else:
        with closing(db):
            yield db
        return
    with _passing_by(path) as db:
        yield db


@contextmanager
def _passing_by(path: Path) -> Iterator[sqlite3.Connection]:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not _locked(folder, fcntl.LOCK_SH, LOCK_S):
            raise sqlite3.OperationalError("database is locked")
        before = _begun(path)
        try:
            with closing(connected(path, "mode=ro&vfs=unix-none", LOCK_S, "PRAGMA locking_mode = EXCLUSIVE")) as db:
                yield db
        finally:
            if before.strip(b"\0") and _begun(path) != before:
                raise ChangedError("it was brought home while it was read")
    finally:
        os.close(folder)


def connected(path: Path, how: str, wait_s: float, *statements: str) -> sqlite3.Connection:
    """Connect and look whether it can be read; raises sqlite3.Error, OSError where there is no right to."""
    path.open("rb").close()  # SQLite does not tell a lack of rights from anything else
    uri = f"{path.absolute().as_uri()}?{how}"
    db = sqlite3.connect(uri, uri=True, timeout=wait_s, isolation_level=None)
    try:
        for statement in (*statements, "SELECT count(*) FROM meta"):
            db.execute(statement).fetchone()
    except BaseException:
        db.close()
        raise
    return db


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether somebody else has the database."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY  # low byte: the primary code


def log_of(path: Path) -> Path:
    """Return the write-ahead log of a database."""
    return path.with_name(path.name + "-wal")


def _begun(path: Path) -> bytes:
    """Return the head of the log: another one when it is begun anew, none when it is gone."""
    with suppress(OSError), log_of(path).open("rb") as log:
        return log.read(HEAD_BYTES)
    return b""


def _locked(folder: int, how: int, wait_s: float) -> bool:
    """Lock a folder for this open file, within a time; tell whether that was possible."""
    for _ in range(round(wait_s / PAUSE_S)):
        if _lock(folder, how):
            return True
        time.sleep(PAUSE_S)
    return _lock(folder, how)


def _lock(folder: int, how: int) -> bool:
    try:
        fcntl.flock(folder, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
