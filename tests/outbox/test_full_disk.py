"""A full disk: the ballast makes room, closed windows wait in a memory that is bounded, and the raw log goes on."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path

import pytest
from window_samples import MINUTE, STATE, T_NS, closed_sums, window

sys.path.append(str(Path(__file__).parents[1] / "replay"))
from replay_site import Post, blocks_of, kept_history, site
from replay_street import street

from gateway.ballast import Ballast, disk_is_full
from gateway.caps import MB
from gateway.outbox import Outbox, read_account
from gateway.pending import bounded, weight

SMALL = "[outbox]\nballast_mb = 1.0\nfree_floor_mb = 3.0\nmax_mb = 10.0\n"


def full(code: int = sqlite3.SQLITE_FULL) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = code
    return error


def test_the_ballast_is_made_given_up_and_made_again(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path, 1_000_000, 0)
    assert ballast.given_up
    assert ballast.make()
    path = tmp_path / "ballast"
    assert path.stat().st_size == 1_000_000
    assert path.stat().st_blocks * 512 >= 1_000_000  # really there, no hole
    assert not ballast.given_up
    assert ballast.give_up()
    assert not path.exists()
    assert ballast.given_up
    assert not ballast.give_up()  # nothing is left to give
    assert ballast.make()
    assert not Ballast(tmp_path, 1_000_000, 0).given_up


def test_it_is_not_made_where_there_is_no_room_for_it(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    ballast = Ballast(tmp_path, 1_000_000, disk.f_bavail * disk.f_frsize)
    assert not ballast.make()
    assert not (tmp_path / "ballast").exists()
    none = Ballast(tmp_path, 0, 0)
    assert not none.make()
    assert not none.given_up
    (tmp_path / "ballast").mkdir()
    assert not Ballast(tmp_path, 1_000_000, 0).give_up()


def test_a_disk_without_room_is_full_also_while_there_is_ballast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commits write over their log, and would not notice for an hour."""
    ballast = Ballast(tmp_path, 1_000_000, 0)
    assert ballast.make()
    assert not ballast.full
    monkeypatch.setattr("gateway.ballast.LEAST_BYTES", 1e18)
    assert ballast.full


def test_a_full_disk_is_told_from_others() -> None:
    assert disk_is_full(full())
    assert disk_is_full(OSError(errno.ENOSPC, "No space left on device"))
    assert disk_is_full(OSError(errno.EDQUOT, "Disk quota exceeded"))
    assert not disk_is_full(full(sqlite3.SQLITE_IOERR))
    assert not disk_is_full(sqlite3.OperationalError("locked"))
    assert not disk_is_full(OSError(errno.EIO, "Input/output error"))


def test_memory_is_bounded_and_the_newest_stay() -> None:
    windows = [window(T_NS + i * MINUTE) for i in range(10)]
    kept, gone = bounded(windows, 4 * weight(windows[0]))
    assert [one.start_ns for one in kept] == [T_NS + i * MINUTE for i in range(6, 10)]
    assert [one.start_ns for one in gone] == [T_NS + i * MINUTE for i in range(6)]
    assert bounded(windows, 1) == ([windows[-1]], windows[:-1])
    assert bounded([], 1) == ([], [])
    assert bounded(windows) == (windows, [])


def test_what_is_given_up_in_memory_is_counted(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "gateway.db")
    outbox.lose([window(T_NS), window(T_NS + MINUTE), window(T_NS, rev=1)])
    for _ in range(2):  # at once, and after the commit
        account = outbox.account()
        assert (account["messages"], account["keys"]) == (3, 18)
        assert (account["dropped_memory_messages"], account["dropped_memory_keys"]) == (3, 18)
        assert account["expected"] == 240  # of revisions the slots are not counted again
        closed_sums(outbox)
        outbox.commit(state=STATE)
    outbox.lose([window(T_NS)])
    outbox.close()  # without a state behind it, it is not lost: the raw log has it
    assert read_account(tmp_path / "gateway.db")["dropped_memory_messages"] == 3


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    post = Post(site(tmp_path, more=SMALL))
    yield post
    post.journal.disk.shutdown()
    post.journal.shut()


async def test_the_ballast_saves_the_commit_that_finds_the_disk_full(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, refusals = post.journal.committer.write, [full()]

    def refusing(*args: object) -> object:
        if refusals:
            raise refusals.pop()
        return write(*args)  # type: ignore[arg-type]

    blocks = blocks_of(street(180), [40] * 1000)
    monkeypatch.setattr(post.journal.committer, "write", refusing)
    monkeypatch.setattr(post.journal.ballast, "make", lambda: False)  # the disk stays full
    ballast = post.data / "ballast"
    assert ballast.exists()
    for block in blocks:
        await post.take(block)
    assert not refusals
    assert not ballast.exists()
    assert "free some space" in post.alarms.now["ballast"]
    assert "disk" not in post.alarms.now
    monkeypatch.undo()
    assert post.journal.outbox.account()["messages"] > 1
    post.journal.outbox.tell({"v": 1}, T_NS)
    await post.journal.commit()
    assert ballast.exists()
    assert "ballast" not in post.alarms.now


async def test_without_a_ballast_that_commit_is_lost_to_the_full_disk(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: with the same single refusal the windows have to wait."""
    write, refusals = post.journal.committer.write, [full()]
    monkeypatch.setattr(post.journal.ballast, "give_up", lambda: False)

    def refusing(*args: object) -> object:
        if refusals:
            raise refusals.pop()
        return write(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(post.journal.committer, "write", refusing)
    told = False
    for block in blocks_of(street(180), [40] * 1000):
        await post.take(block)
        told = told or "disk" in post.alarms.now
    assert told


async def test_while_no_commit_goes_the_raw_log_goes_on_and_every_window_is_counted(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite itself refuses, for want of pages; when it takes again, what did not fit into memory is counted."""
    journal, db = post.journal, post.journal.outbox.db
    records = street(900)
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages}")
    monkeypatch.setattr("gateway.journal.bounded", lambda some: bounded(some, 60_000))
    before = journal.rawlog.appended_bytes
    blocks = blocks_of(records, [40] * 10_000)
    for block in blocks[: len(blocks) * 3 // 4]:
        await post.take(block)
    assert "disk is full" in post.alarms.now["disk"]
    assert "raw log" not in post.alarms.now
    assert journal.rawlog.appended_bytes > before + 20_000
    waiting = len(journal._pending)
    assert sum(weight(one) for one in journal._pending) <= 60_000 + weight(journal._pending[-1])
    given_up = journal.outbox.account()["dropped_memory_messages"]
    assert given_up > 2
    db.execute("PRAGMA max_page_count = 1000000")
    for block in blocks[len(blocks) * 3 // 4 :]:
        await post.take(block)
    assert "disk" not in post.alarms.now
    account = journal.outbox.account()
    assert account["dropped_memory_messages"] == given_up
    assert len(kept_history(post.data)) >= waiting
    assert account["expected"] == account["valid"] + account["rejected"] + account["missing"]
    closed_sums(journal.outbox)


async def test_a_power_cut_while_the_disk_is_full_loses_nothing(tmp_path: Path) -> None:
    """What was given up in memory is in the raw log: the next start makes it again, and nothing counts as dropped."""
    records = street(480)
    whole = Post(site(tmp_path / "whole", more=SMALL))
    await whole.run(blocks_of(records, [40] * 10_000))
    post = Post(site(tmp_path / "cut", more=SMALL))
    blocks = blocks_of(records, [40] * 10_000)
    db = post.journal.outbox.db
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages}")
    for block in blocks[:-20]:
        await post.take(block)
        post.journal._pending, gone = bounded(post.journal._pending, 1)
        post.journal.outbox.lose(gone)
    assert post.journal.outbox.account()["dropped_memory_messages"] > 3
    post.cut_power()
    post.start()
    for block in blocks[-20:]:
        await post.take(block)
    await post.end()
    assert kept_history(post.data) == kept_history(whole.data)
    assert "dropped_memory_messages" not in read_account(post.data / "gateway.db")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "none", folder]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


async def test_without_floor_and_ballast_the_same_disk_stops_the_commits(small_disk: Path) -> None:
    """Control."""
    bare = "[outbox]\nballast_mb = 0\nfree_floor_mb = 0\n"
    post = Post(site(small_disk, segment_mb=0.5, more=bare))
    blocks = blocks_of(street(900), [40] * 10_000)
    half = len(blocks) // 2
    for block in blocks[:half]:
        await post.take(block)
    with (small_disk / "hog").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        fill_up(file)
    for block in blocks[half:]:
        await post.take(block)
    assert "disk" in post.alarms.now
    assert post.journal._pending
    (small_disk / "hog").unlink()
    await post.end()


def fill_up(file: RawIOBase) -> None:
    while True:
        file.write(bytes(65536))


async def test_a_disk_of_16_mb_that_somebody_fills_to_the_brim(small_disk: Path) -> None:
    post = Post(site(small_disk, segment_mb=0.5, more=SMALL))
    blocks = blocks_of(street(1800), [40] * 10_000)
    third = len(blocks) // 3
    for block in blocks[:third]:
        await post.take(block)
    assert (post.data / "ballast").exists()
    hog = small_disk / "hog"
    with hog.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        fill_up(file)
    written = post.journal.rawlog.appended_bytes
    messages = post.journal.outbox.account()["messages"]
    for block in blocks[third : 2 * third]:
        await post.take(block)
    assert post.journal.rawlog.appended_bytes > written
    assert "raw log" not in post.alarms.now
    account = post.journal.outbox.account()
    assert account["messages"] > messages + 5
    assert "disk" not in post.alarms.now  # commits go on, in the pages that the oldest windows have left
    closed_sums(post.journal.outbox)
    hog.unlink()
    for block in blocks[2 * third :]:
        await post.take(block)
    assert not {"disk", "ballast", "raw log"} & set(post.alarms.now)
    assert (post.data / "ballast").stat().st_size == MB
    closed_sums(post.journal.outbox)
    account = post.journal.outbox.account()
    assert account["messages"] >= 30
    assert account.get("dropped_memory_messages", 0) == 0
    await post.end()
