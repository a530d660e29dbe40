"""The clock of a post is wrong, unknown, set and set again: the windows are right, or say that they are not.

What waits for a clock comes out as if it had been known all along, bit for bit, wherever the power is cut.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from replay_clock import TO_1970_S, ClockPost, step
from replay_site import Post, blocks_of, database, kept_history, kept_messages, site
from replay_street import START_S, street

from gateway import history, journal, timekeeper
from gateway.block import REASONS, Reason, Windows
from gateway.clock import NS, ClockStep
from gateway.config import Config
from gateway.holding import Batch, Replay
from gateway.outbox import read_account
from gateway.rawread import Lost
from gateway.record import Record

pytestmark = pytest.mark.timeout(120)
SECONDS = 360
CLOCK = REASONS.index(Reason.CLOCK)
UNKNOWN = step(0, off_s=TO_1970_S, good=False)
KNOWN_AT_130 = (UNKNOWN, step(130, off_s=0.0, good=True))


@cache
def records() -> tuple[Record, ...]:
    return tuple(street(SECONDS))


def held(config: Config, hold_s: float) -> Config:
    return replace(config, gateway=replace(config.gateway, unsynced_hold_s=hold_s))


async def run(config: Config, steps: Iterable[ClockStep], blocks: Iterable[Sequence[Record]] = ()) -> ClockPost:
    post = ClockPost(config, steps)
    await post.run(blocks or blocks_of(records(), repeat(40)))
    return post


def windows(post: Post) -> list[Windows]:
    db = database(post.data)
    try:
        return list(history.between(db, -(2**62), 2**62))
    finally:
        db.close()


def starts(post: Post) -> list[int]:
    return [one.start_ns // NS - START_S for one in windows(post)]


def unsure(one: Windows) -> tuple[int, int]:
    """Count the values of a window with the reason CLOCK, and all of them."""
    return int(one.reasons[:, CLOCK].sum()), int(one.n_by_flag.sum())


class Right(NamedTuple):
    """What a post leaves on disk whose clock is right from the begin."""

    history: list[Any]
    messages: list[Any]
    windows: list[Windows]


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Right:
    post = asyncio.run(run(site(tmp_path_factory.mktemp("right")), []))
    assert starts(post) == list(range(0, SECONDS, 60))
    return Right(kept_history(post.data), kept_messages(post.data), windows(post))


def good_frames(found: Iterable[Windows]) -> dict[str, int]:
    """Count the good frames of each sensor: those of valid slots, and what came beyond; the radar counts no frames."""
    out: Counter[str] = Counter()
    for one in found:
        out.update(dict(zip(one.sensors, one.slots[:, [1, 4]].sum(axis=1).tolist(), strict=True)))
    del out["radar"]
    return dict(out)


# -- waiting for the clock -----------------------------------------------------------------------------------------


async def test_what_waits_for_the_clock_comes_as_if_it_had_been_known(right: Right, tmp_path: Path) -> None:
    """Also when the wall clock goes here and there before anybody believes it."""
    steps = [UNKNOWN, step(40, off_s=-86_400.0), step(70, by_s=5_000.0), step(130, off_s=0.0, good=True)]
    post = await run(site(tmp_path), steps)
    assert (kept_history(post.data), kept_messages(post.data, 0)) == right[:2]
    assert post.alarms.now == {}


async def test_nothing_comes_while_it_waits(tmp_path: Path) -> None:
    post = ClockPost(site(tmp_path), [UNKNOWN])
    for block in blocks_of(records(), repeat(40)):
        await post.take(block)
        assert post.journal.core.watermark_ns == 0
    said = post.journal.keeper.said(post.journal.core.clock)
    assert said == {"synchronised": False, "epoch": -1, "held_s": pytest.approx(SECONDS + 5, abs=2), "hold_s": 7200.0}
    assert {name: counts.faults[0] > 300 for name, counts in post.journal.view.counts.items()} == dict.fromkeys(
        ("pm", "radar", "noise", "air", "weather"), True
    ), "a technician sees what the sensors say"
    await post.end()
    assert kept_history(post.data) == []
    assert kept_messages(post.data, 0) == []


async def test_a_clean_stop_in_the_hold_loses_nothing(right: Right, tmp_path: Path) -> None:
    blocks = blocks_of(records(), repeat(40))
    post = ClockPost(site(tmp_path), KNOWN_AT_130)
    for block in blocks[:8]:
        await post.take(block)
    assert post.journal.keeper.hold is not None
    since_ns = post.journal.keeper.hold.since_ns
    await post.end()
    post.start()
    assert post.journal.keeper.hold is not None
    assert post.journal.keeper.hold.since_ns == since_ns, "the two hours are not begun anew"
    await post.run(blocks[8:])
    assert (kept_history(post.data), kept_messages(post.data, 0)) == right[:2]


def script(dice: random.Random) -> list[ClockStep]:
    """Draw a clock: perhaps unknown at first, then set forward and back, believed or not."""
    steps = [step(0, off_s=dice.choice([TO_1970_S, -600.0, 20.0]), good=False)] if dice.random() < 0.7 else []
    at_s = dice.uniform(5.0, 150.0)
    steps.append(step(at_s, off_s=0.0, good=dice.random() < 0.8))
    for _ in range(dice.randrange(3)):
        at_s += dice.uniform(3.0, 100.0)
        by_s = dice.choice([3600.0, -3600.0, -90.0, 7.0, 0.3, -0.3])
        steps.append(step(at_s, by_s=by_s, good=dice.choice([None, True, False])))
    return steps


def sizes(dice: random.Random) -> Iterator[int]:
    while True:
        yield dice.randrange(1, 120)


async def cut_anywhere(post: ClockPost, blocks: Sequence[Sequence[Record]], dice: random.Random, cuts: int) -> None:
    """Switch a post off at so many places: before a batch is logged, behind it, and while it takes up what waited."""
    places = set(dice.sample(range(len(blocks)), cuts))
    for i, block in enumerate(blocks):
        if i in places:
            post.clock.go_to(block[-1].mono_ns)
            if not await post.follow(dice.randrange(1, 4)) or dice.random() < 0.4:
                post.cut_power(block, dice.random())
            else:
                await Post.take(post, block, commit=dice.random() < 0.5)
                post.cut_power()
                post.start()
                continue
            post.start()
        await post.take(block)
    await post.end()


@pytest.mark.parametrize("seed", range(8))
async def test_switched_off_anywhere_the_windows_are_the_same(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "AT_ONCE", 1)
    dice = random.Random(seed)
    steps, blocks = script(dice), blocks_of(records(), sizes(dice))
    hold_s = dice.choice([60.0, 7200.0])
    calm = await run(held(site(tmp_path / "calm"), hold_s), steps, blocks)
    post = ClockPost(held(site(tmp_path / "cut"), hold_s), steps)
    await cut_anywhere(post, blocks, dice, min(12, len(blocks) // 2))
    assert kept_history(post.data) == kept_history(calm.data)
    assert _final(post) == _final(calm)
    assert _slots(post) == _slots(calm)


def _slots(post: Post) -> list[int]:
    account = read_account(post.data / "gateway.db")
    return [account.get(name, 0) for name in ("expected", "valid", "rejected", "missing")]


def _final(post: Post) -> dict[Any, Any]:
    """Return the last revision of every message that is not too old to be sent.

    Which earlier revisions nobody had seen yet is a matter of the commits, and so is when those of 1970 go by age.
    """
    messages = kept_messages(post.data, (START_S - 86_400) * NS)
    return {(m["period_s"], m["period"], m["start_ns"]): m for m in messages}


async def test_a_log_that_is_read_as_it_stands_is_noticed(
    right: Right, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the tests above: without a second look at what waited, it is lost."""

    def batches(self: Replay, lost: Lost) -> Iterator[Batch]:
        yield from self._read(lost)

    blocks = blocks_of(records(), repeat(40))
    post = ClockPost(site(tmp_path), KNOWN_AT_130)
    for block in blocks[:8]:
        await post.take(block)
    post.cut_power()
    monkeypatch.setattr(Replay, "batches", batches)
    post.start()
    await post.run(blocks[8:])
    assert kept_history(post.data) != right.history


async def test_what_the_ring_lost_meanwhile_is_counted(tmp_path: Path) -> None:
    config = site(tmp_path)
    config = replace(config, rawlog=replace(config.rawlog, segment_mb=0.0082, keep_mb=0.025))
    post = ClockPost(config, KNOWN_AT_130)
    for block in blocks_of(records(), repeat(3)):
        await post.take(block, commit=False)
    lost = post.journal.rawlog.lost.blocks
    assert post.journal.rawlog.dropped_segments > 0
    assert lost > 5
    assert f"{lost} blocks" in post.alarms.now["clock hold"]
    await post.end()
    assert windows(post)[-1].start_ns == (START_S + 300) * NS


# -- a clock that nobody believes ----------------------------------------------------------------------------------


async def test_after_the_hold_readings_flow_marked(right: Right, tmp_path: Path) -> None:
    post = await run(held(site(tmp_path), 100.0), [step(0, off_s=60.0, good=False)])
    found = windows(post)
    assert starts(post) == [60, 120, 180, 240, 300, 360]
    for one in found:
        marked, n = unsure(one)
        assert marked == n > 0
        assert one.n_by_flag[:, :2].sum() == 0, "none of it is good"
    assert "check the network and NTP" in post.alarms.now["clock"]
    assert good_frames(found) == good_frames(right.windows), "and all of it is there"


async def test_a_clock_that_turns_out_to_be_right_is_believed_from_then_on(right: Right, tmp_path: Path) -> None:
    """The same time line goes on: no window is cut."""
    post = await run(held(site(tmp_path), 100.0), [step(0, off_s=0.2, good=False), step(210, off_s=0.0, good=True)])
    assert starts(post) == [*range(0, SECONDS, 60), SECONDS] or starts(post) == list(range(0, SECONDS, 60))
    marked = [unsure(one) for one in windows(post)]
    assert [a == b for a, b in marked[:3]] == [True] * 3
    assert 0 < marked[3][0] < marked[3][1], "the window in which it was set"
    assert [a for a, _ in marked[4:]] == [0] * len(marked[4:])
    assert post.journal.core.clock.epoch == 0
    assert post.alarms.now == {}
    assert good_frames(windows(post)) == good_frames(right.windows)


async def test_a_clock_that_turns_out_to_be_wrong_begins_a_new_line(tmp_path: Path) -> None:
    post = await run(held(site(tmp_path), 100.0), [step(0, off_s=7200.0, good=False), step(210, off_s=0.0, good=True)])
    marked = {at: unsure(one) for at, one in zip(starts(post), windows(post), strict=True)}
    before = {at: one for at, one in marked.items() if at >= 7200}
    after = {at: one for at, one in marked.items() if at < 7200}
    assert list(before) == [7200, 7260, 7320, 7380]
    assert all(a == b > 0 for a, b in before.values())
    assert list(after) == [180, 240, 300]
    assert all(a == 0 < b for a, b in after.values())
    assert post.journal.core.clock.epoch == 1
    assert post.alarms.now == {}


async def test_a_machine_that_went_off_while_readings_waited(
    right: Right, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody will ever know better when they were made: they come with the time of then, marked; the next wait anew."""
    blocks = blocks_of(records(), repeat(40))
    post = ClockPost(site(tmp_path), [step(0, off_s=-7200.0, good=False), step(250, off_s=0.0, good=True)])
    for block in blocks[:8]:
        await post.take(block)
    post.cut_power()
    for module in (journal, timekeeper):
        monkeypatch.setattr(module, "boot_id", lambda: "another boot")
    post.start()
    assert post.journal.keeper.hold is not None
    await post.run(blocks[8:])
    found = dict(zip(starts(post), windows(post), strict=True))
    old = [one for at, one in found.items() if at < 0]
    assert old
    assert all(a == b > 0 for a, b in map(unsure, old))
    new = [one for at, one in found.items() if at >= 0]
    assert all(a == 0 < b for a, b in map(unsure, new))
    assert good_frames(found.values()) == good_frames(right.windows)


async def test_a_clock_that_nobody_believes_writes_over_nothing(
    right: Right, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A post loses power and starts with a clock that is ten minutes late, without a network."""
    third = [one for one in records() if one.mono_ns < records()[0].mono_ns + 190 * NS]
    rest = records()[len(third) :]
    post = ClockPost(held(site(tmp_path), 30.0), [step(195, off_s=-600.0, good=False)])
    for block in blocks_of(third, repeat(40)):
        await post.take(block)
    good = kept_history(post.data)
    assert len(good) == 3
    post.cut_power()
    post.clock.go_to(rest[0].mono_ns + 10 * NS)
    for module in (journal, timekeeper):
        monkeypatch.setattr(module, "boot_id", lambda: "another boot")
    post.start()
    await post.run(blocks_of([one for one in rest if one.mono_ns > post.clock.mono_ns()], repeat(40)))
    now = kept_history(post.data)
    assert now[: len(good)] == good
    assert len(now) >= len(good) + 2
    assert {one.rev for one in windows(post)} == {0}


async def test_a_restart_in_the_same_boot_does_not_wait_again(tmp_path: Path) -> None:
    """The kernel may have lost its peer since; what the run before knew still holds."""
    post = ClockPost(site(tmp_path), [step(100, good=False)])
    blocks = blocks_of(records(), repeat(40))
    for block in blocks[:12]:
        await post.take(block)
    post.cut_power()
    post.start()
    assert post.journal.keeper.hold is None
    await post.run(blocks[12:])
    assert starts(post) == list(range(0, SECONDS, 60))
    assert all(unsure(one)[0] == 0 for one in windows(post))


# -- steps -----------------------------------------------------------------------------------------------------------


async def test_a_clock_that_is_slewed_keeps_its_line(right: Right, tmp_path: Path) -> None:
    post = await run(site(tmp_path), [step(20 * i, by_s=0.02) for i in range(1, 16)])
    assert kept_history(post.data) == right.history
    assert post.journal.core.clock.epoch == 0


async def test_small_steps_add_up(tmp_path: Path) -> None:
    """Control: sixty times as much is a step, and its window is marked."""
    post = await run(site(tmp_path), [step(20 * i, by_s=0.3) for i in range(1, 10)])
    assert post.journal.core.clock.epoch > 0
    assert sum(unsure(one)[0] for one in windows(post)) > 0


@pytest.mark.parametrize("by_s", [3600.0, -3600.0, 86_400.0, -86_400.0])
async def test_there_and_back_again(by_s: float, right: Right, tmp_path: Path) -> None:
    post = await run(site(tmp_path), [step(100, by_s=by_s), step(220, off_s=0.0)])
    found = windows(post)
    away = {at: one for at, one in zip(starts(post), found, strict=True) if not 0 <= at <= SECONDS}
    assert len(away) in (2, 3, 4)
    assert all(one.slots[:, 0].tolist() == [60] * 5 for one in found)
    assert good_frames(found) == good_frames(right.windows), "nothing is lost and nothing twice"
    cut = [unsure(one) for one in found if unsure(one)[0]]
    assert len(cut) == 2, "the window before each step"
    assert all(a == b for a, b in cut), "and all of it"
    account = read_account(post.data / "gateway.db")
    for i, name in enumerate(("expected", "valid", "rejected", "missing")):
        assert account[name] == sum(int(one.slots[:, i].sum()) for one in found), name


async def test_windows_that_are_made_again_are_counted_once(tmp_path: Path) -> None:
    """Two minutes back: two windows are revised, and the account is that of the windows that stand."""
    post = await run(site(tmp_path), [step(250, by_s=-120.0)])
    revs = {at: one.rev for at, one in zip(starts(post), windows(post), strict=True)}
    assert [at for at, rev in revs.items() if rev] == [120, 180]
    account = read_account(post.data / "gateway.db")
    for i, name in enumerate(("expected", "valid", "rejected", "missing")):
        assert account[name] == sum(int(one.slots[:, i].sum()) for one in windows(post)), name


async def test_what_is_buffered_is_never_stamped_anew(tmp_path: Path) -> None:
    """Windows that wait for a broker keep their time, whatever the clock does, over a restart, and when sent again."""
    post = ClockPost(site(tmp_path), [step(200, by_s=86_400.0), step(300, off_s=TO_1970_S)])
    blocks, before = blocks_of(records(), repeat(40)), {}
    for i, block in enumerate(blocks):
        await post.take(block)
        seen = {seq: post.journal.outbox.payload(seq) for seq in post.journal.outbox.queued}
        assert all(seen[seq] == payload for seq, payload in before.items()), "stamped anew"
        before = seen
        if i % 10 == 9:
            post.cut_power()
            post.start()
    await post.end()
    assert len(before) > 5


AUTUMN_S = 1_792_890_000 - START_S  # 2026-10-25T01:00:00Z: in Bucharest it is 4, and then 3 again


async def test_over_midnight_and_over_the_night_of_the_clock_change(right: Right, tmp_path: Path) -> None:
    """Into the hour before the clocks change, over the change, over two midnights, and home again."""
    steps = [step(100, off_s=AUTUMN_S - 180), step(220, off_s=AUTUMN_S + 36 * 3600), step(300, off_s=0.0)]
    post = await run(site(tmp_path), steps)
    found = windows(post)
    assert good_frames(found) == good_frames(right.windows)
    ahead = [at - AUTUMN_S for at in starts(post) if AUTUMN_S - 86_400 < at < AUTUMN_S + 86_400]
    assert ahead == [-120, -60, 0, 60][: len(ahead)]
    assert len(ahead) >= 2, "windows lie on UTC: the hour that comes twice is there twice"
    days = {m["start_ns"] // NS - START_S: m for m in kept_messages(post.data, 0) if m["period"] == "local_day"}
    (changed,) = [m for at, m in days.items() if at > 86_400]
    assert (changed["start_ns"] // NS - START_S - AUTUMN_S, changed["period_s"]) == (-4 * 3600, 25 * 3600)
    ledger = changed["ledger"]
    assert ledger["expected"] == [25 * 3600] * 5
    sums = zip(ledger["valid"], ledger["rejected"], ledger["missing"], strict=True)
    assert [sum(one) for one in sums] == ledger["expected"]
