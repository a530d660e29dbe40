"""Windows of the past, sent once more: made anew from history, put into the outbox with new numbers.

Keys and revisions are those of the first time, so a store writes the same values over what it has. A running gateway
is asked by a file in `republish/` of its data directory and does it piece by piece, beside its work; what is done is
written down with each piece, so that a restart goes on there.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from gateway import history, in_force
from gateway.block import Windows
from gateway.commit import Committer, Made, made_until, make_long
from gateway.core import Core
from gateway.held import AGAIN
from gateway.outbox import Outbox
from gateway.room import CUT

log = logging.getLogger(__name__)
FOLDER = "republish"
FACT = "republish"
AT_ONCE = 60  # base windows in one piece: an hour, a tenth of a second of work
MOST_QUEUED = 600  # so many may wait at a time: the outbox is for what is new
MOST_FULL = 0.5  # of the outbox; beyond, what is new needs the room
NS = 1_000_000_000
DAY_NS = 86_400 * NS
EVER_NS = 2**63 - 1


class Asked(msgspec.Struct, frozen=True):
    """A request: all windows that start in [from_ns, to_ns), UTC."""

    from_ns: int
    to_ns: int
    v: int = 1


class _Progress(msgspec.Struct, frozen=True):
    name: str
    next_ns: int


class Republish:
    """Does what is asked, a piece at a time; used from the thread that owns the files."""

    def __init__(self, data_dir: Path, outbox: Outbox, committer: Committer, core: Core, base_s: int) -> None:
        self._folder = data_dir / FOLDER
        self._outbox = outbox
        self._committer = committer
        self._core = core
        self._base_s = base_s

    def step(self) -> int:
        """Do a piece of the oldest request, if there is one and there is room; return how many messages it made."""
        try:
            path = min(self._folder.glob("*.json"), default=None)
            if path is None or self._outbox.n_of(AGAIN) >= MOST_QUEUED or self._outbox.fill(0).share >= MOST_FULL:
                return 0
            return self._piece(path)
        except (OSError, sqlite3.Error) as error:
            log.warning("to send again what was asked for has to wait: %s", error)
            return 0

    def _piece(self, path: Path) -> int:
        try:
            asked = msgspec.json.decode(path.read_bytes(), type=Asked)
        except msgspec.DecodeError as error:
            log.error("%s is no request, and set aside: %s", path, error)
            path.replace(path.with_suffix(".bad"))
            return 0
        known = self._outbox.recall(FACT, "")
        progress = msgspec.json.decode(known, type=_Progress) if known else _Progress("", 0)
        next_ns = progress.next_ns if progress.name == path.name else asked.from_ns
        n = 0
        if next_ns < asked.to_ns:
            next_ns, n = self.put(next_ns, asked.to_ns, path.name)
        if next_ns >= asked.to_ns:
            path.unlink(missing_ok=True)
            log.info("sent again as asked: windows that start in [%d, %d)", asked.from_ns, asked.to_ns)
        return n

    def put(self, start_ns: int, end_ns: int, name: str = "") -> tuple[int, int]:
        """Queue the first piece of [start_ns, end_ns); return where the next one begins, and how many messages."""
        query = "SELECT start_ns FROM history WHERE start_ns >= ? AND start_ns < ? ORDER BY start_ns LIMIT 1 OFFSET ?"
        row = self._outbox.db.execute(query, (start_ns, end_ns, AT_ONCE)).fetchone()
        until_ns = end_ns if row is None else int(row[0])
        some = [one for one in self.windows(start_ns, until_ns) if not self._waits(one)]
        messages = [message._replace(kind=AGAIN) for message in self._committer.messages(some)]
        fact = msgspec.json.encode(_Progress(name, until_ns)).decode()
        self._outbox.commit(messages, facts={FACT: fact})
        return until_ns, len(messages)

    def windows(self, start_ns: int, end_ns: int) -> Iterator[Windows]:
        """Yield all windows that start in [start_ns, end_ns) and that history can tell: base ones, then longer ones.

        Longer windows of before the configuration that is in force are left out: nobody knows how they were made.
        """
        db, terms = self._outbox.db, self._committer.terms
        yield from history.between(db, start_ns, end_ns)
        now = in_force.read(db)
        since_ns = 0 if now is None else now.since_ns
        first_ns = self._whole_from_ns()
        made: Made = {}
        step_ns = self._base_s * NS
        for period in terms.periods:
            until_ns, unmade = made_until(self._outbox.recall, period)
            grid = range(start_ns - start_ns % step_ns, end_ns, step_ns)
            for at_ns in sorted({one for t in grid for one in period.starts(t) if start_ns <= one < end_ns}):
                stop_ns = period.end(at_ns)
                if stop_ns is None or stop_ns > until_ns or stop_ns <= since_ns or at_ns in unmade:
                    continue
                if at_ns < first_ns:
                    continue  # its begin is forgotten: it would say less than it said
                whole = make_long(period, at_ns, self._between, self._core, terms, made)
                if whole is not None:
                    yield whole

    def _whole_from_ns(self) -> int:
        """Return from when on longer windows can be made as they were made; where all is known, also the first ones."""
        terms = self._committer.terms
        first_ns, last_ns = self._outbox.db.execute("SELECT min(start_ns), max(start_ns) FROM history").fetchone()
        if first_ns is None:
            return EVER_NS
        forgotten = last_ns - first_ns > (terms.history_days - 1) * DAY_NS or self._outbox.recall(CUT, "")
        begins = [] if forgotten else [at_ns for one in terms.periods for at_ns in one.starts(first_ns)]
        return min([int(first_ns), *begins])

    def _between(self, start_ns: int, end_ns: int) -> Iterator[Windows]:
        return history.between(self._outbox.db, start_ns, end_ns)

    def _waits(self, windows: Windows) -> bool:
        """Tell whether a window, or a newer revision of it, is in the outbox already."""
        query = "SELECT 1 FROM message WHERE period_s = ? AND start_ns = ? AND period = ? AND rev >= ? LIMIT 1"
        window = (windows.period_s, windows.start_ns, windows.period, windows.rev)
        return self._outbox.db.execute(query, window).fetchone() is not None


def ask(data_dir: Path, start_ns: int, end_ns: int) -> Path:
    """Leave a request for a running gateway, as a file that it can take away; raises OSError."""
    folder = data_dir / FOLDER
    folder.mkdir(exist_ok=True)
    path = folder / f"{start_ns}-{end_ns}.json"
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(Asked(start_ns, end_ns)))
    owner = data_dir.stat()
    with contextlib.suppress(PermissionError):  # root asks for a gateway that runs under a name of its own
        for one in (folder, fresh):
            os.chown(one, owner.st_uid, owner.st_gid)
    fresh.replace(path)
    return path
