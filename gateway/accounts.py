"""The books of a data directory: slots of sensors and fates of messages, read while its gateway runs, or is dead.

Everything is read-only and hour by hour: a month takes no more memory than an hour, and holds up no commit.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from drivers.base import Fault, Miss
from gateway import history
from gateway.ahead import ChangedError, reading
from gateway.block import FLAGS, I8, SLOT_COUNTS, Windows

DATABASE = "gateway.db"
NS = 1_000_000_000
HOUR_NS = 3600 * NS
GONE = ("receipted", "dead", "replaced")


class BooksError(Exception):
    """Books that cannot be read, and what to do."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


class Fates(NamedTuple):
    """What has become of everything produced, over the life of a data directory; of messages, or of their points."""

    produced: int
    receipted: int
    queued: int
    dropped: dict[str, int]  # by reason
    dead: int
    replaced: int  # by a revision, before anybody had seen them

    @property
    def known(self) -> int:
        """How many have a fate."""
        return self.receipted + self.queued + sum(self.dropped.values()) + self.dead + self.replaced

    @property
    def closes(self) -> bool:
        """Whether the sum closes: produced = receipted + queued + dropped + dead + replaced."""
        return self.produced == self.known


class Queue(NamedTuple):
    """What waits for its receipt."""

    messages: int
    keys: int
    unsent: int
    oldest_ns: int | None  # end of the oldest window without a receipt


@dataclass(slots=True)
class SensorBook:
    """The slots of one sensor over a span, and of each of its channels the readings by flag."""

    slots: I8 = field(default_factory=lambda: np.zeros(len(SLOT_COUNTS), np.int64))
    rejected: I8 = field(default_factory=lambda: np.zeros(len(Fault), np.int64))
    missed: I8 = field(default_factory=lambda: np.zeros(len(Miss), np.int64))
    flags: dict[str, I8] = field(default_factory=dict)

    def add(self, windows: Windows, i: int) -> None:
        """Add the slots of the i-th sensor of a window."""
        self.slots += windows.slots[i]
        self.rejected += windows.rejected[i]
        self.missed += windows.missed[i]

    @property
    def counts(self) -> dict[str, int]:
        """The counts by name."""
        return dict(zip(SLOT_COUNTS, self.slots.tolist(), strict=True))

    @property
    def rejected_by(self) -> dict[str, int]:
        """Rejected slots by verdict, where there are some."""
        return {fault.name.lower(): int(self.rejected[fault]) for fault in Fault if self.rejected[fault]}

    @property
    def missing_by(self) -> dict[str, int]:
        """Missing slots by reason; `silent` are those in which nothing was said at all."""
        by = {str(miss): int(n) for miss, n in zip(Miss, self.missed, strict=True) if n}
        silent = self.counts["missing"] - sum(by.values())
        return by | ({"silent": silent} if silent else {})

    @property
    def closes(self) -> bool:
        """Whether expected = valid + rejected + missing, and the reasons add up."""
        n = self.counts
        whole = n["expected"] == n["valid"] + n["rejected"] + n["missing"]
        return whole and n["rejected"] == self.rejected.sum() and n["missing"] >= self.missed.sum()


@dataclass(slots=True)
class SlotBook:
    """All sensors over a span."""

    sensors: dict[str, SensorBook] = field(default_factory=dict)
    windows: int = 0
    absent: int = 0  # between the first and the last window of the span: the gateway was off
    unreadable: int = 0
    period_s: int = 0


@contextmanager
def opened(data_dir: Path) -> Iterator[sqlite3.Connection]:
    """Open the database of a data directory for reading; raise BooksError.

    From a medium that cannot be written to (a card that was taken out) it is copied first, because SQLite needs to
    write beside a database whose last words are still in its log.
    """
    path = data_dir / DATABASE
    try:
        if not path.exists():
            raise BooksError(f"there is no {DATABASE} in {data_dir}", "name the site file, or [gateway] data_dir of it")
        with ExitStack() as stack:
            try:
                db = stack.enter_context(reading(path))
            except sqlite3.OperationalError:
                db = stack.enter_context(_copied(data_dir))
            yield db
    except ChangedError:
        raise BooksError(f"{path} has changed while it was read", "do the same once more") from None
    except PermissionError as error:
        raise BooksError(f"{error.filename} cannot be read by this user", "use sudo") from None
    except sqlite3.DatabaseError as error:
        hint = "start the gateway: it sets a damaged database aside and goes on"
        raise BooksError(f"{path}: {error}", hint) from None


def account(db: sqlite3.Connection) -> tuple[Fates, Fates, Queue]:
    """Return the fates of messages and of points, and the queue, all of one moment."""
    db.execute("BEGIN")
    try:
        sums = {name: int(n) for name, n in db.execute("SELECT name, n FROM account")}
        queue = "SELECT count(*), total(keys), total(sent = 0), min(start_ns + period_s * 1000000000) FROM message"
        messages, keys, unsent, oldest_ns = db.execute(queue).fetchone()
    finally:
        db.execute("COMMIT")
    queued = Queue(messages, int(keys), int(unsent), oldest_ns)
    return _fates(sums, "messages", queued.messages), _fates(sums, "keys", queued.keys), queued


def republished(db: sqlite3.Connection) -> int:
    """Return how many of the messages produced were sent before, and asked for once more."""
    row = db.execute("SELECT n FROM account WHERE name = 'republished_messages'").fetchone()
    return 0 if row is None else int(row[0])


def slot_account(db: sqlite3.Connection) -> dict[str, int]:
    """Return expected, valid, rejected and missing slots over the life of the data directory."""
    sums = {name: int(n) for name, n in db.execute("SELECT name, n FROM account")}
    return {name: sums.get(name, 0) for name in SLOT_COUNTS[:4]}


def coverage(db: sqlite3.Connection) -> tuple[int, int] | None:
    """Return the span [start, end) that history holds; None where it holds nothing."""
    first_ns, last_ns = db.execute("SELECT min(start_ns), max(start_ns) FROM history").fetchone()
    if first_ns is None:
        return None
    (block,) = db.execute("SELECT block FROM history WHERE start_ns = ?", (last_ns,)).fetchone()
    try:
        return first_ns, last_ns + history.decode(block).period_s * NS
    except ValueError:
        return first_ns, last_ns + NS


def slots(db: sqlite3.Connection, start_ns: int, end_ns: int, *, flags: bool = False) -> SlotBook:
    """Add up the base windows that start in [start_ns, end_ns), with `flags` also the readings of each channel."""
    book, before_ns = SlotBook(), None
    span = coverage(db)
    first_ns, last_ns = span or (0, 0)
    for at_ns in range(max(start_ns, first_ns), min(end_ns, last_ns), HOUR_NS):
        query = "SELECT start_ns, block FROM history WHERE start_ns >= ? AND start_ns < ? ORDER BY start_ns"
        for own_ns, block in db.execute(query, (at_ns, min(at_ns + HOUR_NS, end_ns))).fetchall():
            book.windows += 1
            if before_ns is not None and book.period_s:
                book.absent += max(0, (own_ns - before_ns) // (book.period_s * NS) - 1)
            before_ns = own_ns
            try:
                _add(book, history.decode(block), flags=flags)
            except ValueError:
                book.unreadable += 1
    return book


def _add(book: SlotBook, windows: Windows, *, flags: bool) -> None:
    book.period_s = windows.period_s
    for i, name in enumerate(windows.sensors):
        book.sensors.setdefault(name, SensorBook()).add(windows, i)
    for (_, sensor, channel, _), n in zip(windows.series, windows.n_by_flag, strict=True) if flags else ():
        by = book.sensors.setdefault(sensor, SensorBook()).flags
        by[channel] = by.get(channel, np.zeros(len(FLAGS), np.int64)) + n


def _fates(sums: dict[str, int], of: str, queued: int) -> Fates:
    dropped = {
        name.removeprefix("dropped_").removesuffix(f"_{of}"): n
        for name, n in sums.items()
        if name.startswith("dropped_") and name.endswith(f"_{of}") and n
    }
    receipted, dead, replaced = (sums.get(f"{how}_{of}", 0) for how in GONE)
    return Fates(sums.get(of, 0), receipted, queued, dropped, dead, replaced)


@contextmanager
def _copied(data_dir: Path) -> Iterator[sqlite3.Connection]:
    with TemporaryDirectory() as folder:
        for part in data_dir.glob(f"{DATABASE}*"):
            if part.name in (DATABASE, f"{DATABASE}-wal"):
                shutil.copy(part, folder)
        with reading(Path(folder) / DATABASE) as db:
            yield db
