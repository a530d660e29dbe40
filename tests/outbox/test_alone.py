"""A database that one process has alone: others read it all the same, and the card is written as little as can be."""

from __future__ import annotations

import os
import sqlite3
import statistics
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from window_samples import MINUTE, T_NS, content, message, window

from gateway import ahead, outbox
from gateway.accounts import BooksError, account
from gateway.accounts import opened as books
from gateway.ahead import log_of, reading
from gateway.caps import Caps
from gateway.outbox import Outbox, SavedState, read_account

HOME = 120  # pages in the log, here
SENSORS = tuple(f"part-{i}" for i in range(12))
MOST_PAGES = 16
IN_PLACE = {"PUT_SUM": outbox.PUT_SUM, "PUT_FACT": outbox.PUT_FACT}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short log, and nobody who waits for long."""
    monkeypatch.setattr(ahead, "HOME_FRAMES", HOME)
    monkeypatch.setattr(ahead, "SPARE_FRAMES", 40)
    monkeypatch.setattr(ahead, "LOCK_S", 0.2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


@pytest.fixture
def alone(path: Path) -> Iterator[Outbox]:
    """The database of a gateway that runs."""
    with closing(Outbox(path, alone=True)) as one:
        yield one


def minute(one: Outbox, n: int, keep: int = 1000) -> int:
    """Commit as a gateway does each minute, the receipt of the minute before included; return how many pages it took.

    Windows of more than `keep` minutes ago are forgotten.
    """
    one.release([n - 1], "receipted")
    before = written(one)
    payload = message(n, T_NS + n * MINUTE)._replace(payload=os.urandom(2500))
    body = SavedState("config", 1, n, os.urandom(1400 + n % 7))
    facts = {"long_3600": str(n), "unmade_3600": "[]"}
    one.commit([payload], [window(T_NS + n * MINUTE, sensors=SENSORS)], body, facts, T_NS + (n - keep) * MINUTE)
    return written(one) - before


def written(one: Outbox) -> int:
    """Count the pages that were ever written to the log, as the kernel was told; a page in the log has a head of 24."""
    log = ahead.log_of(Path(one.db.execute("PRAGMA database_list").fetchone()[2])).read_bytes()
    salt, n = log[16:24], 0
    while log[32 + n * 1048 + 8 : 32 + n * 1048 + 16] == salt != b"":
        n += 1
    return n


# -- reading -------------------------------------------------------------------------------------------------------


def test_what_is_committed_is_read_while_nobody_else_gets_a_lock(alone: Outbox, path: Path) -> None:
    for n in range(1, 4):
        minute(alone, n)
        with books(path.parent) as db:
            fates, _, queue = account(db)
            assert (fates.produced, fates.receipted, queue.messages) == (n, n - 1, 1)
            assert content(db) == content(alone.db)
        assert read_account(path)["messages"] == n
    with closing(sqlite3.connect(path, timeout=0.1)) as other, pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT count(*) FROM message").fetchone()
    minute(alone, 4)


def test_there_is_no_index_that_the_kernel_writes_to_the_card(path: Path) -> None:
    found = []
    for alone in (True, False):
        with closing(Outbox(path, alone=alone)) as one:
            minute(one, one.next_seq)
            found.append(path.with_name("gateway.db-shm").exists())
    assert found == [False, True]  # the second one is the control


def test_what_is_read_stays_as_it_was_and_the_log_waits_for_it(alone: Outbox, path: Path) -> None:
    minute(alone, 1)
    with books(path.parent) as db:
        before = content(db)
        for n in range(2, 40):
            minute(alone, n)
        assert written(alone) > HOME + 40  # it was not brought home
        assert content(db) == before
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    minute(alone, 40)
    assert written(alone) < 30  # it was, once nobody read any more
    with books(path.parent) as db:
        assert content(db) == content(alone.db) != before


def test_without_the_lock_what_was_read_is_void_and_that_is_seen(
    alone: Outbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control."""
    minute(alone, 1)
    with ExitStack() as stack:
        stack.enter_context(books(path.parent))
        monkeypatch.setattr(ahead, "_locked", lambda *_: True)
        for n in range(2, 40):
            minute(alone, n)
        with pytest.raises(BooksError, match="changed while it was read"):
            stack.close()


def test_a_process_that_ends_waits_for_readers_and_what_they_read_is_void_if_they_do_not_end(path: Path) -> None:
    one = Outbox(path, alone=True)
    minute(one, 1)
    with ExitStack() as stack:
        stack.enter_context(books(path.parent))
        one.close()
        with pytest.raises(BooksError, match="changed while it was read"):
            stack.close()
    with closing(Outbox(path)) as again:
        assert again.queued.keys() == {1}


def test_who_is_not_alone_shares(path: Path) -> None:
    with closing(Outbox(path)), closing(outbox.opened(path, Caps())) as one:
        minute(one, 1)
        with closing(sqlite3.connect(path)) as other:
            assert other.execute("SELECT count(*) FROM message").fetchone() == (1,)
    with closing(outbox.opened(path, Caps())) as one:  # control: else it is alone
        minute(one, 2)
        with closing(sqlite3.connect(path, timeout=0.1)) as other, pytest.raises(sqlite3.OperationalError):
            other.execute("SELECT count(*) FROM message").fetchone()


def test_a_disk_that_is_full_is_no_reason_to_ask(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> Outbox:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(outbox, "Outbox", full)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        outbox.opened(path, Caps())


# -- the card ------------------------------------------------------------------------------------------------------


def test_the_log_is_whole_from_the_start_and_stays_as_large(alone: Outbox, path: Path) -> None:
    size = ahead.log_of(path).stat().st_size
    assert size == 32 + (HOME + 40) * 1048
    turns = 0
    for n in range(1, 60):
        turns += minute(alone, n) < 0
        assert ahead.log_of(path).stat().st_size == size
    assert turns >= 3


def test_near_the_floor_the_log_is_not_made_whole(path: Path) -> None:
    with closing(Outbox(path, Caps(floor_bytes=1_000_000), lambda: 1_100_000.0, alone=True)) as one:
        assert ahead.log_of(path).stat().st_size < 32 + HOME * 1048
        for n in range(1, 60):
            minute(one, n)


def test_what_a_killed_process_has_committed_is_there(alone: Outbox, path: Path, tmp_path: Path) -> None:
    """A log that is longer than what stands in it, with what earlier turns have left behind, says what it should."""
    for n in range(1, 30):
        minute(alone, n)
        cut = tmp_path / f"cut-{n}"
        cut.mkdir()
        for one in (path, ahead.log_of(path)):
            (cut / one.name).write_bytes(one.read_bytes())
        with closing(Outbox(cut / path.name, alone=True)) as again:
            assert again.quarantined is None
            assert kept(again) == kept(alone)
            minute(again, n + 1)


def kept(one: Outbox) -> dict[str, list[object]]:
    """Return what is in a database, but for who has opened it."""
    whole = content(one.db)
    return whole | {"meta": [row for row in whole["meta"] if row[0] != "opened"]}


@pytest.mark.parametrize("protection", ["all", "secure_delete", "in place"])
def test_a_minute_takes_no_page_more_than_it_must(
    alone: Outbox, protection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3 of the message, 2 of the state, 3 of history, and 8 that say where they are. The others are controls."""
    if protection == "secure_delete":
        alone.db.execute("PRAGMA secure_delete = ON")  # as Debian builds SQLite
    for name in IN_PLACE if protection == "in place" else ():
        monkeypatch.setattr(outbox, name, IN_PLACE[name].partition(" ON CONFLICT")[0].replace("INSERT", "REPLACE"))
    pages = [minute(alone, n, keep=20) for n in range(1, 100)]
    usual = statistics.median(one for one in pages[40:] if one > 0)
    assert (usual <= MOST_PAGES) == (protection == "all"), (usual, pages)


def test_who_reads_before_the_first_commit_leaves_the_log_where_it_is(path: Path) -> None:
    """SQLite removes a log in which nothing is, and what is committed afterwards would be in no file."""
    Outbox(path, alone=True).close()
    outbox = Outbox(path, alone=True)
    for n in range(3):
        with reading(path) as db:
            db.execute("SELECT count(*) FROM meta").fetchone()
        outbox.remember("n", str(n))
        with reading(path) as db:
            assert db.execute("SELECT value FROM meta WHERE key = 'n'").fetchone() == (str(n),)
    outbox.close()


def test_without_a_first_commit_the_log_is_taken_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of the test above."""
    Outbox(path, alone=True).close()
    monkeypatch.setattr(ahead, "FIRST", "SELECT ?")
    outbox = Outbox(path, alone=True)
    with reading(path) as db:
        db.execute("SELECT count(*) FROM meta").fetchone()
    assert not log_of(path).exists()
    outbox.remember("n", "1")
    with reading(path) as db:
        assert db.execute("SELECT value FROM meta WHERE key = 'n'").fetchone() is None
    outbox.close()


def test_what_is_committed_outlives_a_log_that_somebody_removes(alone: Outbox, path: Path, tmp_path: Path) -> None:
    minute(alone, 1)
    log_of(path).unlink()
    alone.note("n", "2")
    alone.commit()
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    with closing(Outbox(copy)) as again:
        assert kept(again) == kept(alone)
