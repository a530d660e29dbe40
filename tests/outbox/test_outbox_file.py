"""What becomes of `gateway.db` when it cannot be used: it is kept, and the gateway goes on with a new one."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from window_samples import MINUTE, STATE, T_NS, content, message, window

from gateway import database
from gateway.outbox import Outbox


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A data directory with 40 messages of 4 kB in it."""
    path = tmp_path / "data" / "gateway.db"
    with closing(Outbox(path)) as outbox:
        messages = [message(i)._replace(payload=random.Random(i).randbytes(4000)) for i in range(1, 41)]
        outbox.commit(messages, [window(T_NS + i * MINUTE) for i in range(40)], STATE)
    return path


def beside(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir())


def test_an_empty_folder_begins_with_an_epoch_of_its_own(tmp_path: Path) -> None:
    epochs = set()
    for name in "ab":
        with closing(Outbox(tmp_path / name / "gateway.db")) as outbox:
            assert outbox.quarantined is None
            assert outbox.next_seq == 1
            epochs.add(outbox.epoch)
    assert len(epochs) == 2


@pytest.mark.parametrize("damage", ["head", "middle", "no database", "cut"])
def test_a_damaged_file_is_kept_and_a_new_epoch_begins(path: Path, damage: str) -> None:
    with closing(Outbox(path)) as outbox:
        epoch = outbox.epoch
    whole = path.read_bytes()
    bad = {
        "head": b"\xff" * 100 + whole[100:],
        "middle": whole[:4096] + bytes(4096) + whole[8192:],
        "no database": b"something else" * 1000,
        "cut": whole[: len(whole) // 2],
    }[damage]
    path.write_bytes(bad)
    with closing(Outbox(path)) as outbox:
        assert outbox.quarantined == path.with_name("gateway.db.corrupt-1")
        assert outbox.quarantined.read_bytes() == bad
        assert outbox.epoch != epoch
        assert (outbox.next_seq, outbox.queued, outbox.state()) == (1, {}, None)
        outbox.commit([message(1)])
    path.write_bytes(bad)
    with closing(Outbox(path)) as outbox:
        assert outbox.quarantined == path.with_name("gateway.db.corrupt-2")
    assert {"gateway.db", "gateway.db.corrupt-1", "gateway.db.corrupt-2"} <= set(beside(path))


def test_the_log_of_a_damaged_file_goes_with_it(path: Path) -> None:
    outbox = Outbox(path)
    outbox.commit([message(41)])
    log = path.with_name("gateway.db-wal").read_bytes()
    path.write_bytes(b"\0" * 100 + path.read_bytes()[100:])
    with closing(Outbox(path)) as again:
        assert again.quarantined is not None
        assert not again.queued
        assert again.quarantined.with_name("gateway.db.corrupt-1-wal").read_bytes() == log
    outbox.db.close()


def test_the_file_of_a_newer_program_is_kept_whole_and_named_so(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        before = content(db)
        db.execute("PRAGMA user_version = 7")
    with closing(Outbox(path)) as outbox:
        assert outbox.quarantined == path.with_name("gateway.db.version-7-1")
        assert not outbox.queued
        outbox.commit([message(1)])  # the gateway goes on
    with closing(sqlite3.connect(outbox.quarantined)) as db:
        assert content(db) == before


VERSION_1 = """
DROP TABLE detail;
ALTER TABLE message DROP COLUMN kind;
ALTER TABLE message DROP COLUMN period;
PRAGMA user_version = 1;
"""


def test_the_file_of_the_first_release_opens_in_this_one(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(VERSION_1)
        before = {table: db.execute(f"SELECT * FROM {table}").fetchall() for table in ("message", "history", "meta")}
    with closing(Outbox(path)) as outbox:
        assert outbox.quarantined is None
        assert outbox.db.execute("PRAGMA user_version").fetchone() == (database.VERSION,)
        assert outbox.db.execute("SELECT * FROM message").fetchall() == [(*row, "", "") for row in before["message"]]
        for table in ("history", "meta"):
            assert outbox.db.execute(f"SELECT * FROM {table}").fetchall() == before[table]
        assert outbox.payload(5) == before["message"][4][-1]
        outbox.commit([message(41)], [window(T_NS, rev=1)])
        assert outbox.queued.keys() == set(range(1, 42))
    with closing(sqlite3.connect(path)) as db, closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(database.SCHEMA)
        columns = [[one.execute(f"PRAGMA table_info({name})").fetchall() for name in ("message", "detail")]
                   for one in (db, fresh)]  # fmt: skip
        assert columns[0] == columns[1]


def test_two_periods_of_one_length_and_start_do_not_replace_each_other(path: Path) -> None:
    with closing(Outbox(path)) as outbox:
        night = message(41, T_NS - MINUTE, period_s=28_800)._replace(period="night")
        eight = message(42, T_NS - MINUTE, period_s=28_800)._replace(period="8h")
        outbox.commit([night, eight])
        outbox.commit([message(43, T_NS - MINUTE, rev=1, period_s=28_800)._replace(period="night")])
        assert {41, 42, 43} & outbox.queued.keys() == {42, 43}
        outbox.mark_sent(42)
        assert outbox.payload(43) is not None


def test_a_file_that_cannot_be_opened_is_not_set_aside(path: Path) -> None:
    before = path.read_bytes()
    path.rename(path.with_name("elsewhere"))
    path.mkdir()  # SQLITE_CANTOPEN, for root too
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        Outbox(path)
    path.rmdir()
    path.with_name("elsewhere").rename(path)
    assert path.read_bytes() == before
    assert beside(path) == ["gateway.db"]


def test_a_locked_file_is_not_set_aside(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            Outbox(path)
        other.execute("ROLLBACK")
    with closing(Outbox(path)) as outbox:
        assert outbox.quarantined is None
        assert len(outbox.queued) == 40


def test_damage_found_while_running_is_no_matter_of_the_disk(path: Path) -> None:
    """It must end the process, so that the next start sets the file aside; a full disk is only waited for."""
    with closing(Outbox(path)) as outbox:
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (size - 4096))
        outbox.db.execute("PRAGMA shrink_memory")  # what it knows by heart it would not read again
        messages = [message(i, T_NS + i * MINUTE) for i in range(41, 141)]
        with pytest.raises(database.DatabaseDamagedError, match=r"gateway\.db"):
            outbox.commit(messages, [window(T_NS + i * MINUTE) for i in range(41, 141)], STATE)
    with closing(Outbox(path)) as again:
        assert again.quarantined is not None
