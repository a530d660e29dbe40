"""Late readings, from the record to the message: they amend their window and the longer ones, and the sums close."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from replay_site import Post, blocks_of, clock_record, database, kept_messages, new_core, site
from replay_street import BOOTED_S, POLLED, START_S, record, street, tick

from gateway import history, wire
from gateway.block import MOMENTS, REASONS, SLOT_COUNTS, Reason, Windows
from gateway.commit import Committer
from gateway.config import Config
from gateway.core import Core
from gateway.journal import terms
from gateway.outbox import Outbox
from gateway.pipeline.samples import unpack
from gateway.pipeline.windows import NS
from gateway.plans import plans
from gateway.record import ConfigRecord, Record, RecordKind, encode

MINUTES = 4
LATE = SLOT_COUNTS.index("late")
R_LATE = REASONS.index(Reason.LATE)
SUMMED = ("mean", "m2", "energy", "sum", "sin", "cos", "inverse")


@cache
def minutes() -> tuple[Record, ...]:
    return tuple(street(60 * MINUTES, seed=3))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return site(tmp_path)


def delayed(records: Sequence[Record], seed: int = 1, share: float = 0.1) -> tuple[list[Record], int]:
    """Let some answers of the first two minutes come later than what closes their window; return how many."""
    dice = random.Random(seed)
    arrivals, n = [], 0
    for i, one in enumerate(records):
        at_ns = one.mono_ns
        early = one.mono_ns < (START_S + 120 - BOOTED_S) * NS
        if one.kind in (RecordKind.FRAME, RecordKind.MISS) and one.source in POLLED and early and dice.random() < share:
            at_ns += round(dice.uniform(70, 100) * NS)
            n += 1
        arrivals.append((at_ns, i, one))
    return [one for _, _, one in sorted(arrivals, key=lambda each: each[:2])], n


class Run:
    """What a core and a committer leave behind."""

    def __init__(self, config: Config, records: Sequence[Record], core: Core | None = None, size: int = 40) -> None:
        data = config.gateway.data_dir
        data.mkdir(exist_ok=True, parents=True)
        with closing(Outbox(data / "gateway.db")) as outbox:
            outbox.db.execute("PRAGMA synchronous = OFF")
            committer, core = Committer(outbox, terms(config)), core or new_core(config)
            for block in blocks_of(records, repeat(size)):
                if closed := core.feed(block):
                    committer.commit(closed, core, 1, 0)
            self.account = outbox.account()
        self.messages = kept_messages(data)
        with closing(database(data)) as db:
            self.windows = list(history.between(db, 0, 2**62))


def of(run: Run, period_s: int) -> list[dict[str, Any]]:
    return [message for message in run.messages if message["period_s"] == period_s]


def same(late: Windows, whole: Windows) -> None:
    """Compare an amended window with the one that nothing was late for."""
    for name in ("n_by_flag", "expected", "usable", "rejected", "missed"):
        assert getattr(late, name).tolist() == getattr(whole, name).tolist(), name
    assert late.slots[:, :LATE].tolist() == whole.slots[:, :LATE].tolist()
    assert (late.series, late.sensors, late.codes, late.seen) == (whole.series, whole.sensors, whole.codes, whole.seen)
    assert np.delete(late.reasons, R_LATE, axis=1).tolist() == np.delete(whole.reasons, R_LATE, axis=1).tolist()
    for i, name in enumerate(MOMENTS):
        if name in SUMMED:
            size = np.nanmax(np.abs(whole.moments), axis=1) * 1e-12
            near = np.abs(late.moments[:, i] - whole.moments[:, i]) <= size
            assert (near | np.isnan(whole.moments[:, i])).all(), name
        else:
            np.testing.assert_array_equal(late.moments[:, i], whole.moments[:, i], name)
    for mine, its in zip(late.samples, whole.samples, strict=True):
        assert np.sort(unpack(mine)).tolist() == np.sort(unpack(its)).tolist()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_comes_late_ends_where_it_belongs(tmp_path: Path, seed: int) -> None:
    records, n = delayed(minutes(), seed)
    late = Run(site(tmp_path / "late"), records)
    whole = Run(site(tmp_path / "whole"), minutes())
    assert n > 20
    assert sum(int(one.slots[:, LATE].sum()) for one in late.windows) == n
    assert sum(int(one.slots[:, LATE].sum()) for one in whole.windows) == 0
    for mine, its in zip(late.windows, whole.windows, strict=True):
        same(mine, its)
    assert [one.rev > 0 for one in late.windows] == [True, True, False, False]
    slots = ("expected", "valid", "rejected", "missing")
    assert {name: late.account[name] for name in slots} == {name: whole.account[name] for name in slots}


def test_the_message_is_a_revision_under_the_same_key(tmp_path: Path) -> None:
    late, whole = (
        Run(site(tmp_path / name), records) for name, records in (("a", delayed(minutes())[0]), ("b", minutes()))
    )
    mine, its = of(late, 60), of(whole, 60)
    assert [one["start_ns"] for one in mine] == [one["start_ns"] for one in its]  # nobody has seen the older ones
    assert [one["rev"] for one in its] == [0] * MINUTES
    assert [one["rev"] > 0 for one in mine] == [True, True, False, False]
    for a, b in zip(mine, its, strict=True):
        assert a["series"] == b["series"]
        for name in ("n", "expected", "capture", "flag", "min", "max", "p50", "l10", "first_s"):
            assert a["fields"][name] == b["fields"][name], name
        ledger = a["ledger"]
        for i in range(len(ledger["sensor"])):
            assert ledger["expected"][i] == ledger["valid"][i] + ledger["rejected"][i] + ledger["missing"][i]
    assert sum(mine[0]["ledger"]["late"]) > 0
    assert sum(value or 0 for value in mine[0]["fields"]["r_late"]) > 0
    points = {(point.tags, point.start_ns) for message in its for point in wire.points(unpacked(message))}
    assert {(point.tags, point.start_ns) for message in mine for point in wire.points(unpacked(message))} == points


def unpacked(message: dict[str, Any]) -> wire.WindowsMessage:
    return wire.unpack_windows(wire.msgspec.json.encode({"epoch": "e", "seq": 0, **message}))


def test_the_longer_window_is_revised_too(tmp_path: Path) -> None:
    """Five minutes that were made, and a reading of the first of them that comes after that."""
    records = street(60 * 7, seed=4)
    late = next(one for one in records if one.kind is RecordKind.FRAME and one.source == "weather")
    without = [one for one in records if one is not late]
    at = next(i for i, one in enumerate(without) if one.mono_ns > (START_S + 320 - BOOTED_S) * NS)
    run = Run(site(tmp_path / "late"), [*without[:at], late, *without[at:]])
    whole = Run(site(tmp_path / "whole"), records)
    (mine,), (its,) = of(run, 300), of(whole, 300)
    assert (mine["rev"], its["rev"]) == (1, 0)
    assert mine["fields"]["n"] == its["fields"]["n"]
    assert mine["fields"]["p90"] == its["fields"]["p90"]
    assert mine["ledger"]["valid"] == its["ledger"]["valid"]
    assert sum(mine["ledger"]["late"]) == 1
    assert run.account["replaced_messages"] == 2  # the minute and the five minutes, which nobody had seen yet


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_batches_do_not_matter_to_what_is_late(tmp_path: Path, size: int) -> None:
    records = delayed(minutes(), 5)[0]
    runs = [Run(site(tmp_path / str(n)), records, size=n) for n in (40, size)]
    last = [{(one["period_s"], one["start_ns"]): one for one in run.messages} for run in runs]  # of the revisions
    assert last[0] == last[1]


async def test_a_restart_between_what_is_late_and_its_commit_loses_nothing(tmp_path: Path) -> None:
    records = delayed(minutes(), 6)[0]
    whole = Run(site(tmp_path / "whole"), records)
    post, dice = Post(site(tmp_path / "cut")), random.Random(6)
    for block in blocks_of(records, repeat(40)):
        await post.take(block)
        if dice.random() < 0.3:
            post.cut_power()
            post.start()
    await post.end()
    assert post.starts > 5
    cut = kept_messages(post.data)
    assert [one for one in cut if one["period_s"] == 60] == of(whole, 60)


# -- what is not amended -----------------------------------------------------------------------------------------


def with_late(late: Record, seconds: float, config: Config, *between: Record) -> Run:
    at = next(i for i, one in enumerate(minutes()) if one.mono_ns > (START_S + seconds - BOOTED_S) * NS)
    return Run(config, [*minutes()[:at], *between, late, *minutes()[at:]])


@cache
def early() -> Record:
    """A good answer in the first minute, asked for a second time."""
    return next(one for one in minutes() if one.kind is RecordKind.FRAME and one.source == "noise")


def lates(run: Run) -> list[int]:
    return [int(one.slots[:, LATE].sum()) for one in run.windows]


def test_what_comes_after_the_allowed_lateness_is_counted_where_it_came(config: Config) -> None:
    short = replace(config, windows=replace(config.windows, allowed_lateness_s=60.0))
    run = with_late(early(), 90, short)
    assert ([one.rev for one in run.windows], lates(run)) == ([1, 0, 0, 0], [1, 0, 0, 0])


def test_and_beyond_it_not(config: Config) -> None:
    short = replace(config, windows=replace(config.windows, allowed_lateness_s=60.0))
    run = with_late(early(), 130, short)
    assert ([one.rev for one in run.windows], lates(run)) == ([0] * 4, [0, 0, 1, 0])


def test_another_time_line_amends_nothing_of_the_first(config: Config) -> None:
    """The clock is set forward by 0.6 s: what was asked before that has a stamp of neither line."""
    step = clock_record(epoch=1, offset_s=BOOTED_S + 0.6)._replace(mono_ns=(START_S + 130 - BOOTED_S) * NS)
    run = with_late(early(), 130, config, step)
    assert [one.rev for one in run.windows][:2] == [0, 0]
    assert sum(lates(run)[2:]) == 1


def test_another_configuration_amends_nothing_of_the_first(config: Config) -> None:
    other = replace(config, sensor=tuple(one for one in config.sensor if one.name != "radar"))
    core = new_core(config)
    core.learn(other.hash, plans(other))
    change = record(RecordKind.CONFIG, START_S + 120, "", encode(ConfigRecord(other.hash)))
    at = next(i for i, one in enumerate(minutes()) if one.mono_ns > change.mono_ns)
    run = Run(config, [*minutes()[:at], change, early(), *minutes()[at:]], core)
    assert [one.rev for one in run.windows] == [0] * MINUTES
    assert sum(lates(run)) == 1


def test_a_window_of_which_the_single_slots_are_forgotten_stays_as_it_is(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    core = new_core(config)
    with closing(Outbox(config.gateway.data_dir / "gateway.db")) as outbox:
        committer = Committer(outbox, terms(config))
        closed = core.feed(minutes()[:-1])
        committer.commit(closed, core, 1, 0)
        outbox.db.execute("DELETE FROM detail")
        before = list(history.between(outbox.db, 0, 2**62))
        closed = core.feed([early(), tick(START_S + 250), tick(START_S + 310)])
        assert closed[0].late
        committer.commit(closed, core, 1, 0)
        after = list(history.between(outbox.db, 0, 2**62))
    assert [one.rev for one in after[: len(before)]] == [0] * len(before)
    assert "single slots" in caplog.text


def test_what_comes_for_a_window_that_never_was_is_that_window(config: Config) -> None:
    """Nobody told the time for a while, so the first minute was passed over; then an answer from it comes."""
    second = [one for one in minutes() if one.mono_ns >= (START_S + 60 - BOOTED_S) * NS]
    at = next(i for i, one in enumerate(second) if one.mono_ns > (START_S + 130 - BOOTED_S) * NS)
    run = Run(config, [*second[:at], early(), *second[at:]])
    assert [(one.start_ns // NS - START_S, one.rev) for one in run.windows] == [(0, 0), (60, 0), (120, 0), (180, 0)]
    first = run.windows[0]
    assert first.slots[:, LATE].sum() == 1
    assert sorted(first.sensors) == sorted(run.windows[1].sensors)
    assert run.account["expected"] == sum(int(one.slots[:, 0].sum()) for one in run.windows)


def test_a_log_that_is_read_again_says_nothing_new(config: Config) -> None:
    """The state is lost, and all of the log is read from its begin: nothing of it is late."""
    core = Core({config.hash: plans(config)}, 60, 2.0, 3600.0)
    core.begin(config.hash, (START_S + 120) * NS)
    closed = core.feed([clock_record(), *minutes()])
    assert [one.start_ns // NS - START_S for one in closed] == [120, 180]
    assert not any(one.late or one.slots[:, LATE].any() for one in closed)
    core.caught_up()
    late = core.feed([early(), tick(START_S + 250), tick(START_S + 310)])
    assert [int(one.slots[:, LATE].sum()) for one in late] == [1]  # it is firm: an earlier run has made it
