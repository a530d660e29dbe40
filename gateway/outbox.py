"""The outbox: one durable commit per closed base period, the queue of messages, and what is known of each.

A message leaves only when a receipt says that the store has it (or, with `confirm = "puback"`, when the broker took
it). Sent-marks and receipts are kept in memory and folded into the next commit: a crash costs a repeated message,
which the key makes harmless, never a lost one.
"""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from gateway import database, history
from gateway.block import Windows

ACCOUNTS = (
    "messages", "keys", "receipted_messages", "receipted_keys", "dead_messages", "dead_keys",
    "replaced_messages", "replaced_keys",
)  # fmt: skip
SLOT_ACCOUNTS = ("expected", "valid", "rejected", "missing")
INSERT_MESSAGE = """INSERT INTO message (seq, period_s, start_ns, rev, keys, payload, period)
    VALUES (?, ?, ?, ?, ?, ?, ?)"""
OLDER = "SELECT seq, keys FROM message WHERE period_s = ? AND start_ns = ? AND period = ? AND rev < ?"
NS = 1_000_000_000


class Outgoing(NamedTuple):
    """A message on its way into the queue; `keys` is how many points it unfolds into."""

    seq: int
    period_s: int
    start_ns: int
    rev: int
    keys: int
    payload: bytes
    period: str = ""  # the name of a period that is not a fixed number of seconds


class SavedState(NamedTuple):
    """Where the core stood after the last commit, and from where in the raw log it goes on."""

    config: str
    segment: int
    offset: int
    body: bytes


class Outbox:
    """The one owner of `gateway.db`; `quarantined` names the file that was set aside because it cannot be used.

    Methods with a commit block on the disk and belong to one thread; the others only touch memory, from any thread.
    Raises sqlite3.Error when the disk is full, locked or away.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self.db, self.quarantined = database.open_or_begin(path)
        self.epoch: str = self._meta("epoch", uuid.uuid4().hex[:12])
        self.next_seq = int(self._meta("next_seq", "1"))
        self._account = dict.fromkeys((*ACCOUNTS, *SLOT_ACCOUNTS), 0)
        self._account |= {name: int(n) for name, n in self.db.execute("SELECT name, n FROM account")}
        self._queued: dict[int, int] = dict(self.db.execute("SELECT seq, keys FROM message"))
        rows = self.db.execute("SELECT seq, start_ns, period_s FROM message WHERE sent = 0 ORDER BY seq")
        self.unsent: dict[int, int] = {seq: at + s * NS for seq, at, s in rows}  # seq -> end of its window, in order
        self._newly_sent: set[int] = set()
        self._released: dict[int, str] = {}
        self._receipt_ns: dict[int, int] = {}  # seq -> when its receipt came
        self._notes: dict[str, str] = {}
        self._delivered_s: list[float] = []
        self.commits = 0
        self.committed_bytes = 0  # of payloads, since the start

    # -- memory only: the event loop's side ---------------------------------------------------------------------

    @property
    def queued(self) -> dict[int, int]:
        """The messages without a receipt: seq -> keys."""
        with self._lock:
            return {seq: keys for seq, keys in self._queued.items() if seq not in self._released}

    def holds(self, seq: int) -> bool:
        """Tell whether a message is here and without a receipt."""
        return seq in self._queued and seq not in self._released

    def account(self) -> dict[str, int]:
        """Return the sums over this data directory's life, receipts that wait for a commit included."""
        with self._lock:
            account = dict(self._account)
            for seq, how in self._released.items():
                account[f"{how}_messages"] += 1
                account[f"{how}_keys"] += self._queued.get(seq, 0)
            return account

    def mark_sent(self, seq: int) -> None:
        """Remember that the broker has taken a message; that is not delivery."""
        with self._lock:
            self.unsent.pop(seq, None)
            self._newly_sent.add(seq)

    def release(self, seqs: Iterable[int], how: str, at_ns: int = 0) -> int:
        """Let go of messages whose fate is known (`receipted`, `dead`) since UTC `at_ns`; return how many were here."""
        with self._lock:
            known = {seq for seq in seqs if self.holds(seq)}
            for seq in known:
                self.unsent.pop(seq, None)
                self._released[seq] = how
                if at_ns and how == "receipted":
                    self._receipt_ns[seq] = at_ns
            return len(known)

    def oldest_unsent_ns(self) -> int | None:
        """Return the end of the oldest window that no broker has taken; None where there is none."""
        with self._lock:
            return next(iter(self.unsent.values()), None)

    def note(self, key: str, value: str) -> None:
        """Keep a small fact of the data directory with the next commit."""
        with self._lock:
            self._notes[key] = value

    def take_delivered_s(self) -> list[float]:
        """Take how long the windows took, from their end to the receipt, that a commit has let go since the last call.

        Only windows as first made: a revision says nothing of the way.
        """
        with self._lock:
            taken, self._delivered_s = self._delivered_s, []
            return taken

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
    ) -> None:
        """Write messages, history and state in one transaction, with the marks that have come since the last one.

        `amended` says by how much the account of slots changes because windows of it were amended.
        """
        with self._lock:
            sent, released, account = set(self._newly_sent), dict(self._released), dict(self._account)
            receipt_ns, notes = dict(self._receipt_ns), dict(self._notes)
        replaced: dict[int, int] = {}
        with database.transaction(self.db):
            self.db.executemany("UPDATE message SET sent = 1 WHERE seq = ?", [(seq,) for seq in sent])
            delivered_s = self._delivery_of(receipt_ns)
            self.db.executemany("DELETE FROM message WHERE seq = ?", [(seq,) for seq in released])
            for one in windows:
                history.put(self.db, one)
            for message in messages:
                replaced |= self._replace_unsent(message)
                self.db.execute(INSERT_MESSAGE, message)
            _add(account, messages, windows, released, self._queued, replaced)
            for name, n in (amended or {}).items():
                account[name] += n
            self._write_account(account)
            if state is not None:
                write = "INSERT OR REPLACE INTO state (id, config, segment, offset, body) VALUES (1, ?, ?, ?, ?)"
                self.db.execute(write, state)
            if messages:
                self._set_meta("next_seq", str(messages[-1].seq + 1))
            for key, value in (notes | dict(facts or {})).items():
                self._set_meta(key, value)
            if forget_before_ns:
                history.prune(self.db, forget_before_ns, details_before_ns)
        self.commits += 1
        self.committed_bytes += sum(len(message.payload) for message in messages)
        with self._lock:
            self._account = account
            self._newly_sent -= sent
            self._delivered_s += delivered_s
            self._notes = {key: value for key, value in self._notes.items() if notes.get(key) != value}
            for seq in (*released, *replaced):
                self.unsent.pop(seq, None)
                self._queued.pop(seq, None)
                self._released.pop(seq, None)
                self._receipt_ns.pop(seq, None)
            for message in messages:
                self._queued[message.seq] = message.keys
                self.unsent[message.seq] = message.start_ns + message.period_s * NS
                self.next_seq = message.seq + 1

    def state(self) -> SavedState | None:
        """Return the state of the last commit."""
        row = self.db.execute("SELECT config, segment, offset, body FROM state WHERE id = 1").fetchone()
        return None if row is None else SavedState(*row)

    def close(self) -> None:
        """Fold what is still in memory and close."""
        if self._newly_sent or self._released or self._notes:
            self.commit()
        self.db.close()

    def remember(self, key: str, value: str) -> None:
        """Keep a small fact of the data directory."""
        self._set_meta(key, value)

    def recall(self, key: str, default: str) -> str:
        """Return a small fact of the data directory."""
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else str(row[0])

    def _delivery_of(self, receipt_ns: Mapping[int, int]) -> list[float]:
        query = "SELECT start_ns + period_s * 1000000000 FROM message WHERE seq = ? AND rev = 0"
        ends = {seq: self.db.execute(query, (seq,)).fetchone() for seq in receipt_ns}
        return [(at_ns - ends[seq][0]) / NS for seq, at_ns in receipt_ns.items() if ends[seq] is not None]

    def _replace_unsent(self, message: Outgoing) -> dict[int, int]:
        """Take out older revisions of the same window that nobody has seen yet; return seq -> keys of them."""
        if not message.rev:
            return {}
        window = (message.period_s, message.start_ns, message.period, message.rev)
        rows = self.db.execute(f"{OLDER} AND sent = 0", window).fetchall()
        replaced = {seq: keys for seq, keys in rows if seq in self.unsent}
        self.db.executemany("DELETE FROM message WHERE seq = ?", [(seq,) for seq in replaced])
        return replaced

    def _write_account(self, account: Mapping[str, int]) -> None:
        changed = [(name, n) for name, n in account.items() if n != self._account[name]]
        self.db.executemany("INSERT OR REPLACE INTO account (name, n) VALUES (?, ?)", changed)

    def _meta(self, key: str, default: str) -> str:
        value = self.recall(key, "")
        if not value:
            value = default
            self.remember(key, value)
        return value

    def _set_meta(self, key: str, value: str) -> None:
        self.db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))


def _add(
    account: dict[str, int],
    messages: Sequence[Outgoing],
    windows: Sequence[Windows],
    released: Mapping[int, str],
    queued: Mapping[int, int],
    replaced: Mapping[int, int],
) -> None:
    account["messages"] += len(messages)
    account["keys"] += sum(message.keys for message in messages)
    for seq, how in released.items():
        account[f"{how}_messages"] += 1
        account[f"{how}_keys"] += queued.get(seq, 0)
    for keys in replaced.values():
        account["replaced_messages"] += 1
        account["replaced_keys"] += keys
    for one in windows:
        if one.rev == 0:
            for i, name in enumerate(SLOT_ACCOUNTS):
                account[name] += int(one.slots[:, i].sum())


def read_account(path: Path) -> dict[str, int]:
    """Read the sums of a data directory while the gateway may be running, or dead."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
        return {name: int(n) for name, n in db.execute("SELECT name, n FROM account")}
