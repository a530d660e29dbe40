"""A commit of the outbox is all or nothing, wherever it is cut; marks and receipts wait for the next one."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from window_samples import MINUTE, STATE, T_NS, closed_sums, content, message, window

from gateway.outbox import SLOT_ACCOUNTS, Outbox, SavedState, read_account


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    """An outbox with three messages, one of them sent; the others are of the next two minutes."""
    outbox = Outbox(tmp_path / "gateway.db")
    with closing(outbox.db):
        outbox.commit([message(1), message(2, T_NS + MINUTE), message(3, T_NS + 2 * MINUTE)], [window()], STATE)
        outbox.mark_sent(1)
        outbox.commit()
        yield outbox


def second_commit(outbox: Outbox) -> None:
    """Everything that a commit can hold at once: messages, a revision, history, state, facts, marks, receipts."""
    outbox.mark_sent(2)
    outbox.release([1], "receipted")
    messages = [message(4, T_NS + 3 * MINUTE, keys=5), message(5, T_NS + 2 * MINUTE, rev=1, keys=7)]
    windows = [window(T_NS + 3 * MINUTE), window(T_NS + 2 * MINUTE, rev=1)]
    outbox.commit(messages, windows, SavedState("config", 1, 99, b"later"), {"fact": "yes"}, T_NS + MINUTE)


class Failing:
    """A connection on which the n-th statement fails, as on a full disk."""

    def __init__(self, db: sqlite3.Connection, n: int) -> None:
        self.db = db
        self.left = n

    def __getattr__(self, name: str) -> Any:
        return getattr(self.db, name)

    def execute(self, *args: Any) -> Any:
        self._count(args[0])
        return self.db.execute(*args)

    def executemany(self, *args: Any) -> Any:
        self._count(args[0])
        return self.db.executemany(*args)

    def _count(self, statement: str) -> None:
        if statement == "ROLLBACK":
            return
        self.left -= 1
        if not self.left:
            raise sqlite3.OperationalError("database or disk is full")


def statements_of(outbox: Outbox) -> int:
    counting = Failing(outbox.db, -1)
    outbox.db = counting
    second_commit(outbox)
    outbox.db = counting.db
    return -1 - counting.left


def test_a_statement_that_fails_leaves_nothing_and_a_later_try_does_everything(tmp_path: Path) -> None:
    results = []
    n = total = 0
    while not total or n <= total:
        with closing(Outbox(tmp_path / f"{n}.db")) as outbox:
            outbox.db.execute("PRAGMA synchronous = OFF")
            outbox.db.execute("UPDATE meta SET value = 'same' WHERE key = 'epoch'")
            outbox.commit([message(1), message(2, T_NS + MINUTE), message(3, T_NS + 2 * MINUTE)], [window()], STATE)
            outbox.mark_sent(1)
            outbox.commit()
            if not total:
                total = statements_of(outbox)
            else:
                before, db = content(outbox.db), outbox.db
                outbox.db = Failing(db, n)
                with pytest.raises(sqlite3.OperationalError, match="disk is full"):
                    second_commit(outbox)
                outbox.db = db
                assert not db.in_transaction
                assert content(db) == before
                assert outbox.next_seq == 4
                assert 3 in outbox.unsent
                closed_sums(outbox)
                second_commit(outbox)
            closed_sums(outbox)
            results.append(content(outbox.db))
            n += 1
    assert total > 12
    assert all(result == results[0] for result in results)


def test_a_full_disk_is_waited_for(outbox: Outbox) -> None:
    (pages,) = outbox.db.execute("PRAGMA page_count").fetchone()
    outbox.db.execute(f"PRAGMA max_page_count = {pages}")
    before = content(outbox.db)
    outbox.mark_sent(2)
    outbox.release([1], "receipted")
    big = message(4)._replace(payload=bytes(100_000))
    with pytest.raises(sqlite3.OperationalError, match="disk is full"):
        outbox.commit([big])
    assert content(outbox.db) == before
    assert outbox.queued.keys() == {2, 3}
    outbox.db.execute("PRAGMA max_page_count = 100000")
    outbox.commit([big])
    assert outbox.payload(4) == big.payload
    assert dict(outbox.db.execute("SELECT seq, sent FROM message")) == {2: 1, 3: 0, 4: 0}
    closed_sums(outbox)


def test_a_kill_at_any_statement_leaves_the_files_as_before_or_as_after(outbox: Outbox, tmp_path: Path) -> None:
    snapshots: list[Path] = []

    def snapshot(_statement: str) -> None:
        folder = tmp_path / f"cut-{len(snapshots)}"
        folder.mkdir()
        for suffix in ("", "-wal"):  # what a killed process leaves; the index of the log is made anew
            shutil.copy(tmp_path / f"gateway.db{suffix}", folder / f"gateway.db{suffix}")
        snapshots.append(folder)

    before = content(outbox.db)
    outbox.db.set_trace_callback(snapshot)
    second_commit(outbox)
    outbox.db.set_trace_callback(None)
    snapshot("the end")
    after = content(outbox.db)
    assert before != after
    found = []
    for folder in snapshots:
        with closing(Outbox(folder / "gateway.db")) as cut:
            assert cut.quarantined is None
            found.append(content(cut.db))
            closed_sums(cut)
    assert len(found) > 12
    assert all(one == before for one in found[:-1])
    assert found[-1] == after


def test_next_seq_goes_on_after_any_end(outbox: Outbox, tmp_path: Path) -> None:
    outbox.release([1, 2, 3], "receipted")
    outbox.commit()
    assert not outbox.queued
    outbox.db.close()  # as if killed
    with closing(Outbox(tmp_path / "gateway.db")) as again:
        assert again.next_seq == 4
        assert again.epoch == outbox.epoch
        again.commit([message(4)])
    with closing(Outbox(tmp_path / "gateway.db")) as again:
        assert again.next_seq == 5
        assert again.queued == {4: 3}


def test_marks_and_receipts_are_counted_at_once_but_durable_with_the_next_commit(
    outbox: Outbox, tmp_path: Path
) -> None:
    started = {name: n for name, n in read_account(tmp_path / "gateway.db").items() if name in SLOT_ACCOUNTS}
    outbox.mark_sent(2)
    assert outbox.release([1, 3, 99], "receipted") == 2
    assert outbox.release([1], "dead") == 0
    assert outbox.queued == {2: 3}
    assert outbox.account()["receipted_keys"] == 6
    closed_sums(outbox)
    assert read_account(tmp_path / "gateway.db") == {**started, "messages": 3, "keys": 9}
    outbox.commit()
    assert read_account(tmp_path / "gateway.db")["receipted_keys"] == 6
    assert dict(outbox.db.execute("SELECT seq, sent FROM message")) == {2: 1}


def test_a_crash_before_the_next_commit_only_brings_the_messages_back(outbox: Outbox, tmp_path: Path) -> None:
    outbox.mark_sent(2)
    outbox.release([3], "receipted")
    outbox.db.close()
    with closing(Outbox(tmp_path / "gateway.db")) as again:
        assert again.queued == {1: 3, 2: 3, 3: 3}
        assert list(again.unsent) == [2, 3]
        assert again.payload(3) == b"message 3"
        assert again.release([3], "receipted") == 1
        closed_sums(again)


def test_a_clean_end_keeps_marks_and_receipts(outbox: Outbox, tmp_path: Path) -> None:
    outbox.mark_sent(2)
    outbox.release([3], "dead")
    outbox.close()
    with closing(Outbox(tmp_path / "gateway.db")) as again:
        assert again.queued == {1: 3, 2: 3}
        assert not again.unsent
        assert again.account()["dead_keys"] == 3


def test_a_revision_takes_the_place_of_one_that_nobody_has_seen(outbox: Outbox) -> None:
    outbox.commit([message(4, T_NS + 2 * MINUTE, rev=1, keys=9)])
    assert outbox.queued == {1: 3, 2: 3, 4: 9}
    assert outbox.payload(3) is None
    assert outbox.payload(4) == b"message 4"
    account = outbox.account()
    assert (account["replaced_messages"], account["replaced_keys"]) == (1, 3)
    closed_sums(outbox)


def test_a_revision_waits_for_the_receipt_of_what_may_have_been_seen(outbox: Outbox) -> None:
    outbox.mark_sent(2)  # not yet on the disk: the mark in memory counts
    outbox.commit([message(4, rev=1), message(5, T_NS + MINUTE, rev=1), message(6, T_NS + MINUTE, rev=2)])
    assert outbox.queued.keys() == {1, 2, 3, 4, 5, 6}
    assert [outbox.payload(seq) for seq in (4, 5, 6)] == [None, None, None]
    outbox.release([1], "receipted")
    assert outbox.payload(4) == b"message 4"
    outbox.release([2], "dead")
    assert outbox.payload(5) == b"message 5"
    assert outbox.payload(6) is None
    outbox.commit()
    outbox.release([5], "receipted")
    assert outbox.payload(6) == b"message 6"
    closed_sums(outbox)


def test_a_revision_of_another_period_replaces_nothing(outbox: Outbox) -> None:
    outbox.commit([message(4, T_NS + 2 * MINUTE, rev=1, period_s=3600)])
    assert 3 in outbox.queued
    assert outbox.payload(4) == b"message 4"


def test_slots_of_revisions_are_not_counted_again(outbox: Outbox) -> None:
    before = outbox.account()
    outbox.commit([], [window(rev=1)])
    assert outbox.account() == before
    outbox.commit([], [window(T_NS + MINUTE)])
    account = outbox.account()
    assert account["expected"] == before["expected"] + 120
    assert account["expected"] == account["valid"] + account["rejected"] + account["missing"]


def test_receipts_may_come_while_the_disk_is_busy(outbox: Outbox) -> None:
    """The event loop marks, releases and counts while another thread commits; nothing is lost or counted twice."""
    outbox.db.execute("PRAGMA synchronous = OFF")
    done = threading.Event()

    def commits() -> None:
        for i in range(300):
            outbox.commit([message(outbox.next_seq + j, T_NS + (10 + i) * MINUTE) for j in range(3)])
        done.set()

    thread = threading.Thread(target=commits)
    thread.start()
    released = 0
    while not done.is_set():
        queued = outbox.queued
        closed_sums_of = outbox.account()
        assert closed_sums_of["messages"] >= closed_sums_of["receipted_messages"]
        for seq in sorted(queued)[:5]:
            outbox.mark_sent(seq)
            released += outbox.release([seq], "receipted")
    thread.join()
    assert outbox.account()["receipted_messages"] == released
    closed_sums(outbox)
    outbox.commit()
    closed_sums(outbox)
    assert outbox.db.execute("SELECT count(*) FROM message").fetchone() == (len(outbox.queued),)
