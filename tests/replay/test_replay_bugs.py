"""Our own bugs: never swallowed, never a crash loop, and never the trouble of another sensor."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
from replay_site import Post, blocks_of, clock_record, kept_history, new_core, site, whole
from replay_street import START_S, record, street, tick

from drivers.base import Decoded, Fault, Options
from gateway.block import SLOT_COUNTS, Windows
from gateway.config import Config
from gateway.core import Core, Plan
from gateway.plans import plans
from gateway.rawblock import unpack
from gateway.record import Context, Record, RecordKind, encode

POISON = bytes.fromhex("0000c842")  # 100.0 dB
BAD_SECONDS = (70, 71, 95, 100)


@cache
def minutes() -> tuple[Record, ...]:
    return tuple(street(240, seed=3))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return site(tmp_path)


def account(windows: Windows, sensor: str) -> dict[str, int]:
    return dict(zip(SLOT_COUNTS, windows.slots[windows.sensors.index(sensor)].tolist(), strict=True))


def with_bug(config: Config) -> dict[str, Plan]:
    """Plan as configured, but for a decoder of the noise sensor that cannot bear 100 dB."""

    def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:
        if POISON in frames:
            raise ZeroDivisionError("a planted bug")
        return good.reader.driver.decode(frames, context, options)

    all_plans = plans(config)
    good = all_plans["noise"]
    driver = replace(good.reader.driver, decode=decode)
    return all_plans | {"noise": replace(good, reader=replace(good.reader, driver=driver))}


def poisoned(seconds: Sequence[int]) -> list[Record]:
    """Put the frame that our own code cannot bear in place of what was heard in some seconds."""
    bad = {record(RecordKind.FRAME, START_S + second + 0.12, "noise", b"").mono_ns for second in seconds}
    kept = [one for one in minutes() if one.source != "noise" or one.mono_ns not in bad]
    planted = [record(RecordKind.FRAME, START_S + second + 0.12, "noise", POISON) for second in seconds]
    return sorted([*kept, *planted], key=lambda one: one.mono_ns)


def test_a_bug_is_not_swallowed_and_the_sensor_in_hand_is_named(config: Config) -> None:
    core = Core({config.hash: with_bug(config)}, 60, 2.0)
    core.begin(config.hash)
    core.feed([clock_record()])
    with pytest.raises(ZeroDivisionError):
        core.feed(poisoned(BAD_SECONDS))
    assert core.current == "noise"


def test_a_distrusted_sensor_loses_its_bad_frames_and_nobody_else_anything(config: Config) -> None:
    core = Core({config.hash: with_bug(config)}, 60, 2.0)
    core.begin(config.hash)
    core.feed([clock_record()])
    core.distrusted = frozenset(["noise"])
    windows = core.feed(poisoned(BAD_SECONDS))
    assert [int(one.rejected[one.sensors.index("noise"), Fault.BUG]) for one in windows] == [0, 4, 0, 0]
    assert core.counts["noise"].faults[Fault.BUG] == 4
    plain = new_core(config).feed(minutes())
    for mine, theirs in zip(windows, plain, strict=True):
        own = [i for i, key in enumerate(mine.series) if key[1] == "noise"]
        assert np.delete(mine.moments, own, 0).tobytes() == np.delete(theirs.moments, own, 0).tobytes()
        row = mine.sensors.index("noise")
        assert np.delete(mine.slots, row, 0).tolist() == np.delete(theirs.slots, row, 0).tolist()
    assert account(windows[1], "noise")["valid"] >= account(plain[1], "noise")["valid"] - 4
    assert whole(windows[0]) == whole(plain[0])  # distrust alone changes nothing


def test_distrust_keeps_misses_and_the_context(config: Config) -> None:
    core = Core({config.hash: with_bug(config)}, 60, 2.0)
    core.begin(config.hash)
    core.distrusted = frozenset(["noise"])
    said = [
        record(RecordKind.CONTEXT, START_S + 0.05, "noise", encode(Context(True, b"\x00"))),  # C weighting
        record(RecordKind.FRAME, START_S + 0.12, "noise", POISON),
        record(RecordKind.MISS, START_S + 1.12, "noise", b"timeout"),
        record(RecordKind.FRAME, START_S + 2.12, "noise", bytes.fromhex("00007542")),
        tick(START_S + 63.0),
    ]
    (closed,) = core.feed([clock_record(), *said])
    row = closed.sensors.index("noise")
    assert closed.rejected[row, [Fault.BUG, Fault.DEVICE]].tolist() == [1, 1]
    assert closed.missed[row].sum() == 1
    assert account(closed, "noise") | {"late": 0} == {
        "expected": 60, "valid": 0, "rejected": 2, "missing": 58, "extra": 0, "late": 0
    }  # fmt: skip


async def test_replaying_the_log_is_no_crash_loop(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    """The first time it is a crash, the second time a verdict: from the third start on the gateway runs."""
    caplog.set_level(logging.CRITICAL)
    post = Post(config, with_bug(config))
    blocks = blocks_of(poisoned(BAD_SECONDS), repeat(50))
    first_bad = next(i for i, block in enumerate(blocks) if any(one.data == POISON for one in block))
    for block in blocks[:first_bad]:
        await post.take(block)
    with pytest.raises(ZeroDivisionError):
        await post.take(blocks[first_bad])
    post.cut_power()
    with pytest.raises(ZeroDivisionError):
        post.start()
    post.cut_power()
    assert not post.alarms.now
    (beside,) = (post.data / "quarantine").glob("batch-*.raw")
    assert unpack(beside.read_bytes()) == blocks[first_bad]
    post.start()
    assert post.alarms.now == {"bug noise": post.alarms.now["bug noise"]}
    await post.run(blocks[first_bad + 1 :])
    kept = kept_history(post.data)
    core = Core({config.hash: with_bug(config)}, 60, 2.0)
    core.begin(config.hash)
    core.distrusted = frozenset(["noise"])
    direct = core.feed([clock_record(), *poisoned(BAD_SECONDS)])
    assert kept == [whole(one) for one in direct]
    assert sum(int(one.rejected[:, Fault.BUG].sum()) for one in direct) == 4
