"""A gateway that is switched off anywhere and started again ends with the same windows, bit for bit."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Iterator
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from replay_site import Post, blocks_of, kept_history, kept_messages, move_position, site
from replay_street import START_S, street

from gateway.pipeline.windows import NS
from gateway.rawread import Position
from gateway.record import Record

HOUR = 3600
STOPS = 20


@cache
def hour() -> tuple[Record, ...]:
    return tuple(street(HOUR))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], list[Any]]:
    """What one run without a break leaves on disk."""
    config = site(tmp_path_factory.mktemp("unbroken"))
    post = Post(config)
    asyncio.run(post.run(blocks_of(hour(), repeat(40))))
    return kept_history(post.data), kept_messages(post.data)


def sizes(dice: random.Random) -> Iterator[int]:
    while True:
        yield dice.randrange(1, 80)


async def test_the_unbroken_hour_is_worth_comparing_with(unbroken: tuple[list[Any], list[Any]]) -> None:
    windows, messages = unbroken
    assert len(windows) == 60
    assert sorted({(message["period_s"], message["rev"]) for message in messages}) == [(60, 0), (300, 0), (3600, 0)]
    assert len(messages) == 60 + 12 + 1
    whole_hour = messages[-1]
    ledger = whole_hour["ledger"]
    assert sorted(ledger["sensor"]) == ["air", "noise", "pm", "radar", "weather"]
    assert ledger["expected"] == [3600] * 5
    assert min(ledger["valid"]) > 2900
    assert min(ledger["missing"]) > 20  # the misses are in it
    assert set(ledger["rejected_by"]) >= {"check", "sanity"}  # and the spoilt frames


async def test_switched_off_at_twenty_places(unbroken: tuple[list[Any], list[Any]], tmp_path: Path) -> None:
    dice = random.Random(11)
    blocks = blocks_of(hour(), sizes(dice))
    stops = set(dice.sample(range(len(blocks)), STOPS))
    post = Post(site(tmp_path))
    for i, block in enumerate(blocks):
        if i not in stops:
            await post.take(block)
            continue
        if dice.random() < 0.5:  # before the batch has reached the disk, or with a part of it
            post.cut_power(block, dice.random())
            post.start()
            await post.take(block)
        else:  # after the batch has been logged, before what it closes is committed
            await post.take(block, commit=False)
            post.cut_power()
            post.start()
    await post.end()
    assert post.starts == STOPS + 1
    assert kept_history(post.data) == unbroken[0]
    assert kept_messages(post.data) == unbroken[1]


async def test_a_position_one_block_too_far_is_noticed(unbroken: tuple[list[Any], list[Any]], tmp_path: Path) -> None:
    """The control of the test above: what it compares does depend on replaying every block."""
    post = Post(site(tmp_path))
    blocks = blocks_of(hour()[: len(hour()) // 4], repeat(40))
    middle = len(blocks) // 2
    for block in blocks[:middle]:
        await post.take(block)
    saved = post.journal.outbox.state()
    assert saved is not None
    (first_after, records), *more = post.journal.rawlog.read(Position(saved.segment, saved.offset))
    assert len(records) == 40
    assert more
    post.cut_power()
    move_position(post.data, first_after)
    post.start()
    await post.run(blocks[middle:])
    mine = kept_history(post.data)
    assert len(mine) >= 13
    differing = [one[1] for one, other in zip(mine, unbroken[0], strict=False) if one != other]
    assert len(differing) == 1  # the window that the lost block belonged to, and only that
    assert differing[0] // NS - START_S == pytest.approx(HOUR / 8, abs=120)
    theirs = [message for message in unbroken[1] if message["period_s"] == 60][: len(mine)]
    assert [message for message in kept_messages(post.data) if message["period_s"] == 60] != theirs


async def test_a_clean_end_leaves_nothing_to_replay(tmp_path: Path) -> None:
    post = Post(site(tmp_path))
    records = hour()[: len(hour()) // 20]
    await post.run(blocks_of(records, repeat(40)))
    post.start()
    saved = post.journal.outbox.state()
    assert saved is not None
    replayed = [
        record for _, block in post.journal.rawlog.read(Position(saved.segment, saved.offset)) for record in block
    ]
    assert [record.kind.name for record in replayed] == ["CLOCK", "CONFIG"]  # what this start has added
    await post.end()


async def test_a_damaged_database_is_set_aside_and_rebuilt_from_the_raw_log(tmp_path: Path) -> None:
    post = Post(site(tmp_path))
    records = hour()[: len(hour()) // 6]
    blocks = blocks_of(records, repeat(40))
    await post.run(blocks)
    windows, messages = kept_history(post.data), kept_messages(post.data)
    assert len(windows) == 9
    epoch = post.journal.outbox.epoch
    database = post.data / "gateway.db"
    for journal in post.data.glob("gateway.db-*"):
        journal.unlink()
    damaged = bytearray(database.read_bytes())
    damaged[:100] = b"\xff" * 100
    database.write_bytes(damaged)
    post.start()
    assert post.journal.outbox.epoch != epoch
    assert post.journal.outbox.quarantined is not None
    assert post.journal.outbox.quarantined.read_bytes() == bytes(damaged)
    assert "damaged" in post.alarms.now["database"]
    assert post.journal.outbox.next_seq == len(messages) + 1
    await post.end()
    assert kept_history(post.data) == windows
    assert kept_messages(post.data) == messages


async def test_a_state_of_another_version_is_set_aside_and_rebuilt(tmp_path: Path) -> None:
    post = Post(site(tmp_path))
    records = hour()[: len(hour()) // 12]
    half = len(records) // 2
    await post.run(blocks_of(records[:half], repeat(40)))
    with_state = kept_history(post.data)
    post.start()
    saved = post.journal.outbox.state()
    assert saved is not None
    post.journal.outbox.commit(state=saved._replace(body=b"of another age"))
    post.cut_power()
    post.start()
    beside = list((post.data / "quarantine").glob("state-*"))
    assert [path.read_bytes() for path in beside] == [b"of another age"]
    await post.run(blocks_of(records[half:], repeat(40)))
    rebuilt = kept_history(post.data)
    assert len(rebuilt) > len(with_state) > 0
    # what had been committed already is left alone: the log may no longer hold all of it
    assert rebuilt[: len(with_state)] == with_state


async def test_a_clean_end_while_the_disk_refuses_windows_keeps_them_for_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The windows that wait for the disk are in nobody's memory after the end: the raw log must make them again."""
    records = hour()[: len(hour()) // 12]
    calm = Post(site(tmp_path / "calm"))
    await calm.run(blocks_of(records, repeat(40)))
    post = Post(site(tmp_path / "full"))

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(post.journal.committer, "write", full)
    await post.run(blocks_of(records, repeat(40)))
    assert "disk is full" in post.alarms.now["disk"]
    assert kept_history(post.data) == []
    post.start()
    await post.end()
    assert kept_history(post.data) == kept_history(calm.data) != []
