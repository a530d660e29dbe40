"""The outbox: one durable commit per closed base period, the queue of messages, and what is known of each.

A message leaves only when a receipt says that the store has it (or, with `confirm = "puback"` and of events, when the
broker took it), or when a cap of the outbox is reached; then it is counted as dropped. Sent-marks and receipts are kept
in memory and folded into the next commit: a crash costs a repeated message, which the key makes harmless, never a lost
one.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from gateway import database, history, sums
from gateway.ahead import Ahead, is_busy, unread
from gateway.block import Windows
from gateway.caps import MEMORY, Caps, excess
from gateway.events import messages_of
from gateway.held import WINDOWS, Held, size_of
from gateway.marks import Memory
from gateway.room import CUT, make_room
from gateway.sums import ACCOUNTS, SLOT_ACCOUNTS, Lost, Outgoing, SavedState, read_account

log = logging.getLogger(__name__)
__all__ = ["ACCOUNTS", "SLOT_ACCOUNTS", "Outbox", "Outgoing", "SavedState", "read_account"]
INSERT_MESSAGE = """INSERT INTO message (seq, period_s, start_ns, rev, keys, payload, period, kind)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
HELD = """SELECT seq, keys, start_ns + period_s * 1000000000, length(payload), kind, sent FROM message
    ORDER BY seq"""
# In place, where INSERT OR REPLACE would take a row out and put it elsewhere: its index would change with each commit.
PUT_STATE = """INSERT INTO state (id, config, segment, offset, body) VALUES (1, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE
    SET config = excluded.config, segment = excluded.segment, offset = excluded.offset, body = excluded.body"""
PUT_SUM = "INSERT INTO account (name, n) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n = excluded.n"
PUT_FACT = """INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value
    WHERE value != excluded.value"""
OLDER = "SELECT seq, keys FROM message WHERE period_s = ? AND start_ns = ? AND period = ? AND rev < ?"
NS = 1_000_000_000
NAN = float("nan")


class Outbox(Memory):
    """The one owner of `gateway.db`; `quarantined` names the file that was set aside because it cannot be used.

    Methods with a commit block on the disk and belong to one thread; the others only touch memory, from any thread.
    Raises sqlite3.Error when the disk is full, locked or away.
    """

    def __init__(
        self,
        path: Path,
        caps: Caps | None = None,
        free_bytes: Callable[[], float] | None = None,
        *,
        alone: bool = False,
    ) -> None:
        super().__init__(caps or Caps(), free_bytes or (lambda: _free_bytes(path.parent)))
        with unread(path.parent) if alone else nullcontext():
            self.db, self.quarantined = database.open_or_begin(path, alone=alone)
            floor_bytes = self.caps.floor_bytes
            self._ahead = Ahead(self.db, path, self._free_bytes() - floor_bytes) if alone else None
        self.epoch: str = self._meta("epoch", uuid.uuid4().hex[:12])
        self.next_seq = int(self._meta("next_seq", "1"))
        self._account |= {name: int(n) for name, n in self.db.execute("SELECT name, n FROM account")}
        for seq, keys, end_ns, size, kind, sent in self.db.execute(HELD):
            self._held.add(seq, Held(keys, end_ns, size_of(size), sys.intern(kind)))
            if not sent:
                self.unsent[seq] = end_ns
        self.commits = 0
        self.committed_bytes = 0  # of payloads, since the start

    # -- the disk's side ------------------------------------------------------------------------------------------

    def payload(self, seq: int) -> bytes | None:
        """Fetch a message, or None when it is gone or must wait for the receipt of an older revision."""
        query = "SELECT period_s, start_ns, period, rev, payload FROM message WHERE seq = ?"
        row = self.db.execute(query, (seq,)).fetchone()
        if row is None:
            return None
        *window, rev, payload = row
        if rev > 0 and any(self.holds(s) for s, _ in self.db.execute(OLDER, (*window, rev))):
            return None
        return bytes(payload)

    def commit(
        self,
        messages: Sequence[Outgoing] = (),
        windows: Sequence[Windows] = (),
        state: SavedState | None = None,
        facts: Mapping[str, str] | None = None,
        forget_before_ns: int = 0,
        details_before_ns: int = 0,
        amended: Mapping[str, int] | None = None,
        now_ns: int = 0,
    ) -> None:
        """Write messages, history and state in one transaction, with the marks that have come since the last one.

        `amended` says by how much the account of slots changes because windows of it were amended; `now_ns` is UTC,
        where it is known, for the cap on age. What goes beyond a cap is dropped in the same transaction.
        """
        marks, account = self.snapshot()
        if state is None:
            marks.lost = Lost()  # nothing is lost before a state is saved behind it: the raw log still has it
        outgoing = [*messages, *messages_of(marks.events, self.epoch, self.next_seq + len(messages))]
        low = self._low(outgoing, state)
        with self._ahead.around() if self._ahead else nullcontext(), database.transaction(self.db):
            sent = [(seq,) for seq in marks.sent if seq not in marks.released]
            self.db.executemany("UPDATE message SET sent = 1 WHERE seq = ?", sent)
            delivered_s = self._delivery_of(marks.receipt_ns)
            fates = self._taken_out(marks.released, outgoing, now_ns, low)
            for one in windows:
                history.put(self.db, one)
            self.db.executemany(INSERT_MESSAGE, outgoing)
            sums.produced(account, outgoing, windows)
            sums.gone(account, fates, self._held)
            sums.given_up(account, marks.lost, MEMORY)
            for name, n in (amended or {}).items():
                account[name] += n
            self._write_account(account)
            if state is not None:
                self.db.execute(PUT_STATE, state)
            if outgoing:
                self._set_meta("next_seq", str(outgoing[-1].seq + 1))
            for key, value in (marks.notes | dict(facts or {})).items():
                self._set_meta(key, value)
            if forget_before_ns:
                history.prune(self.db, forget_before_ns, details_before_ns)
        self.commits += 1
        self.committed_bytes += sum(len(message.payload) for message in outgoing)
        self.settle(marks, account, fates, outgoing, delivered_s)

    def _low(self, outgoing: Sequence[Outgoing], state: SavedState | None) -> int:
        """Return how many bytes must be freed inside the file, because the disk has no more than the floor; else 0.

        Of a commit: its messages, as much again for history, and the state.
        """
        need = 2 * sum(size_of(len(message.payload)) for message in outgoing) + (len(state.body) if state else 0)
        floor = self.caps.floor_bytes
        return need if floor and need and self._free_bytes() - need < floor else 0

    def _taken_out(
        self, released: Mapping[int, str], outgoing: Sequence[Outgoing], now_ns: int, low: int
    ) -> dict[int, str]:
        """Delete what is released, replaced, or beyond a cap; return the fate of each."""
        fates = dict(released)
        self._delete(fates)
        fates |= self._replaced(outgoing)
        size = sum(size_of(len(message.payload)) for message in outgoing)
        over = excess(self._held, self.caps, fates, len(outgoing), size, now_ns)
        self._delete(over)
        if low:
            made = make_room(self.db, low, self._held, fates | over)
            over |= made.dropped
            if made.history:
                self._set_meta(CUT, "1")
        return fates | {seq: f"dropped_{why}" for seq, why in over.items()}

    def state(self) -> SavedState | None:
        """Return the state of the last commit."""
        row = self.db.execute("SELECT config, segment, offset, body FROM state WHERE id = 1").fetchone()
        return None if row is None else SavedState(*row)

    def close(self) -> None:
        """Fold what is still in memory and close."""
        if self._marks.any:
            self.commit()
        if self._ahead is not None:
            self._ahead.close()
        else:
            self.db.close()

    def remember(self, key: str, value: str) -> None:
        """Keep a small fact of the data directory."""
        self._set_meta(key, value)

    def recall(self, key: str, default: str) -> str:
        """Return a small fact of the data directory."""
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else str(row[0])

    def _delivery_of(self, receipt_ns: Mapping[int, int]) -> list[float]:
        query = "SELECT start_ns + period_s * 1000000000 FROM message WHERE seq = ? AND rev = 0 AND kind = ?"
        ends = {seq: self.db.execute(query, (seq, WINDOWS)).fetchone() for seq in receipt_ns}
        return [(at_ns - ends[seq][0]) / NS for seq, at_ns in receipt_ns.items() if ends[seq] is not None]

    def _delete(self, seqs: Iterable[int]) -> None:
        self.db.executemany("DELETE FROM message WHERE seq = ?", [(seq,) for seq in seqs])

    def _replaced(self, messages: Sequence[Outgoing]) -> dict[int, str]:
        """Take out older revisions of the same windows that nobody has seen yet."""
        out: dict[int, str] = {}
        for message in messages:
            if message.rev:
                window = (message.period_s, message.start_ns, message.period, message.rev)
                rows = self.db.execute(f"{OLDER} AND sent = 0", window).fetchall()
                out |= {seq: "replaced" for seq, _ in rows if seq in self.unsent}
        self._delete(out)
        return out

    def _write_account(self, account: Mapping[str, int]) -> None:
        changed = [(name, n) for name, n in account.items() if n != self._account.get(name, 0)]
        self.db.executemany(PUT_SUM, changed)

    def _meta(self, key: str, default: str) -> str:
        value = self.recall(key, "")
        if not value:
            value = default
            self.remember(key, value)
        return value

    def _set_meta(self, key: str, value: str) -> None:
        self.db.execute(PUT_FACT, (key, value))


Opened = Callable[[Path, Caps], Outbox]


def opened(path: Path, caps: Caps) -> Outbox:
    """Open it for the one process that has it for years: alone, or beside somebody who has it open now."""
    try:
        return Outbox(path, caps, alone=True)
    except sqlite3.OperationalError as error:
        if not is_busy(error):
            raise
    log.warning("somebody else has %s open: until the next start commits wear the card more", path)
    return Outbox(path, caps)


def _free_bytes(folder: Path) -> float:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return NAN
    return float(disk.f_bavail * disk.f_frsize)
