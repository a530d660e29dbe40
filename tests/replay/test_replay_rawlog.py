"""The journal and its raw log: old data directories, sources that are not kept, a disk that refuses, a short memory."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import shutil
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from replay_site import Post, blocks_of, kept_history, kept_messages, move_position, new_core, site, whole
from replay_street import street

from gateway import rawlog_1
from gateway.rawfiles import Folder
from gateway.rawread import Position
from gateway.record import Record, RecordKind

FIXTURE = Path(__file__).parents[1] / "data" / "raw_log_1" / "raw"
KEEP = """
[[rawlog.keep]]
source = "radar"
keep = "none"
[[rawlog.keep]]
source = "{faults}"
keep = "faults"
"""
MINUTES = 12


@cache
def minutes() -> tuple[Record, ...]:
    return tuple(street(60 * MINUTES, seed=4))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], list[Any]]:
    """What one run without a break and with everything kept leaves on disk."""
    post = Post(site(tmp_path_factory.mktemp("unbroken")))
    asyncio.run(post.run(blocks_of(minutes(), repeat(40))))
    return kept_history(post.data), kept_messages(post.data)


def sources(post: Post) -> set[str]:
    return {record.source for _, records in post.journal.rawlog.read(Position()) for record in records}


# -- format 1 ------------------------------------------------------------------------------------------------------


async def test_an_old_data_directory_is_replayed_and_goes_on(tmp_path: Path) -> None:
    config = site(tmp_path)
    shutil.copytree(FIXTURE, config.gateway.data_dir / "raw")
    files = Folder(config.gateway.data_dir / "raw")
    names = rawlog_1.segments(files).values()
    recorded = [record for name in names for _, records in rawlog_1.read(files, name, 0) for record in records]
    core = new_core(config)
    expected = [whole(one) for one in core.feed(recorded)]
    assert len(expected) == 2
    post = Post(config)
    assert kept_history(post.data) == expected
    post.cut_power()
    post.start()
    assert kept_history(post.data)[:2] == expected
    saved = post.journal.outbox.state()
    assert saved is not None
    await post.end()
    post.start()
    saved = post.journal.outbox.state()
    assert saved is not None
    assert saved.segment == 5
    await post.end()
    assert len(rawlog_1.segments(files)) == 4  # there is room for them


# -- sources that are not kept -------------------------------------------------------------------------------------


@pytest.mark.parametrize("faults", ["pm", "[np]*"])
async def test_switched_off_anywhere_also_what_is_not_kept_is_replayed(
    faults: str, unbroken: tuple[list[Any], list[Any]], tmp_path: Path
) -> None:
    dice = random.Random(17)
    config = site(tmp_path, more=KEEP.format(faults=faults))
    blocks = blocks_of(minutes(), (dice.randrange(1, 80) for _ in repeat(None)))
    stops = set(dice.sample(range(len(blocks)), 8))
    post = Post(config)
    for i, block in enumerate(blocks):
        await post.take(block, commit=i not in stops)
        if i in stops:
            post.cut_power()
            post.start()
    await post.end()
    assert post.starts == 9
    assert kept_history(post.data) == unbroken[0]
    assert kept_messages(post.data) == unbroken[1]


async def test_without_its_recent_ring_the_restart_shows_what_is_missing(tmp_path: Path) -> None:
    """The control of the test above: what is not kept is not in the long record, and the ledger says so."""
    post = Post(site(tmp_path, more=KEEP.format(faults="pm")))
    records = minutes()[: len(minutes()) // 4]
    for block in blocks_of(records, repeat(40)):
        await post.take(block, commit=False)
    post.cut_power()
    shutil.rmtree(post.data / "raw-recent")
    post.start()
    assert "radar" not in {
        r.source for _, rs in post.journal.rawlog.read(Position()) for r in rs if r.kind == RecordKind.CHUNK
    }
    await post.end()
    for message in kept_messages(post.data):
        if message["period_s"] == 60:
            ledger = message["ledger"]
            row = ledger["sensor"].index("radar")
            assert (ledger["missing"][row], ledger["valid"][row]) == (60, 0)
            assert ledger["valid"][ledger["sensor"].index("noise")] > 50


async def test_a_rebuild_begins_where_all_sources_are_there(tmp_path: Path) -> None:
    """Windows made of a part of the sources would take the place of whole ones in the store."""
    config = site(tmp_path, segment_mb=0.25, more=KEEP.format(faults="pm"))
    post = Post(config)
    await post.run(blocks_of(minutes(), repeat(40)))
    windows = kept_history(post.data)
    (post.data / "gateway.db").unlink()
    ring = post.data / "raw-recent" / "ring-0001.raw"
    content = bytearray(ring.read_bytes())
    content[: len(content.rstrip(b"\0")) // 2] = bytes(len(content.rstrip(b"\0")) // 2)
    ring.write_bytes(content)  # as if the ring had been lapped
    post.start()
    await post.end()
    rebuilt = kept_history(post.data)
    assert 2 < len(rebuilt) < len(windows)
    assert rebuilt[1:] == windows[-len(rebuilt) + 1 :]  # the first was entered in the middle


# -- a disk that refuses ---------------------------------------------------------------------------------------------


async def test_a_raw_log_that_cannot_be_written_stops_nothing(
    unbroken: tuple[list[Any], list[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = Post(site(tmp_path))
    write, full = Folder.write, False

    def refuses(self: Folder, name: str, offset: int, data: bytes) -> None:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, name, offset, data)

    monkeypatch.setattr(Folder, "write", refuses)
    blocks = blocks_of(minutes(), repeat(40))
    for i, block in enumerate(blocks):
        full = 10 <= i < 20
        await post.take(block)
        assert ("No space left" in post.alarms.now.get("raw log", "")) == full
    assert post.journal.rawlog.dropped_records == 400
    await post.end()
    assert kept_history(post.data) == unbroken[0]
    assert kept_messages(post.data) == unbroken[1]


async def test_what_the_log_could_not_take_is_missing_after_a_crash_and_nothing_comes_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = Post(site(tmp_path))
    blocks = blocks_of(minutes()[: len(minutes()) // 4], repeat(40))
    write, full = Folder.write, False

    def refuses(self: Folder, name: str, offset: int, data: bytes) -> None:
        if full:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        write(self, name, offset, data)

    monkeypatch.setattr(Folder, "write", refuses)
    for i, block in enumerate(blocks):
        full = i in (3, 4)
        await post.take(block, commit=False)
    post.cut_power()
    post.start()
    assert post.journal.rawlog.lost.blocks == 2
    await post.end()
    core = new_core(site(tmp_path / "other"))
    direct = core.feed([record for i, block in enumerate(blocks) if i not in (3, 4) for record in block])
    mine = kept_history(post.data)
    assert len(mine) == len(direct) == 2
    assert mine == [whole(one) for one in direct]


async def test_a_saved_position_beyond_the_log_is_no_obstacle(tmp_path: Path) -> None:
    """The log may have lost what a commit has kept: it is written to with every batch, but synced less often."""
    post = Post(site(tmp_path))
    blocks = blocks_of(minutes()[: len(minutes()) // 4], repeat(40))
    for block in blocks[:-3]:
        await post.take(block)
    post.cut_power()
    move_position(post.data, Position(1, 5000))
    post.start()
    for block in blocks[-3:]:
        await post.take(block)
    post.cut_power()
    post.start()
    read = [records for _, records in post.journal.rawlog.read(Position(1, 5000))]
    assert [records for records in read if len(records) > 1] == blocks[-3:]
    await post.end()
