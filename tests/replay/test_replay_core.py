"""The core by its records: windows do not depend on cuts and batches; clocks, configurations and bugs are data."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from replay_site import blocks_of, clock_record, kept_history, kept_messages, new_core, site, whole
from replay_street import BOOTED_S, START_S, Cuts, record, street, tick

from gateway.block import MOMENTS, SLOT_COUNTS, Reason, Windows
from gateway.commit import Committer
from gateway.config import Config
from gateway.core import Core
from gateway.journal import terms
from gateway.outbox import Outbox
from gateway.pipeline.windows import NS
from gateway.plans import plans
from gateway.record import ConfigRecord, Record, RecordKind, encode

MINUTES = 4


@cache
def minutes(cuts: Cuts | None = None) -> tuple[Record, ...]:
    return tuple(street(60 * MINUTES, seed=3, cuts=cuts))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return site(tmp_path)


def fed(core: Core, blocks: Iterable[Sequence[Record]]) -> list[Windows]:
    return [windows for block in blocks for windows in core.feed(block)]


def fingerprints(windows: Iterable[Windows]) -> list[tuple[Any, ...]]:
    return [whole(one) for one in windows]


def without_times(windows: Windows) -> Windows:
    """Leave out the first and last time of readings: a frame is stamped with the chunk that ends it."""
    moments = windows.moments.copy()
    moments[:, [MOMENTS.index("first_s"), MOMENTS.index("last_s")]] = 0.0
    return replace(windows, moments=moments)


def account(windows: Windows, sensor: str) -> dict[str, int]:
    return dict(zip(SLOT_COUNTS, windows.slots[windows.sensors.index(sensor)].tolist(), strict=True))


# -- cuts and batches --------------------------------------------------------------------------------------------


def test_chunks_cut_elsewhere_give_the_same_windows(config: Config) -> None:
    one, other = minutes(Cuts(seed=1, carry=False)), minutes(Cuts(seed=2, carry=False))
    assert one != other
    expected = fingerprints(map(without_times, fed(new_core(config), [one])))
    assert len(expected) == MINUTES
    assert fingerprints(map(without_times, fed(new_core(config), [other]))) == expected


def test_batches_of_a_second_and_of_five_give_the_same_windows(config: Config) -> None:
    slow, quick = minutes(Cuts(tick_s=5)), minutes(Cuts(tick_s=1))
    assert len(quick) > len(slow)
    expected = fingerprints(fed(new_core(config), [slow]))
    assert len(expected) == MINUTES
    assert fingerprints(fed(new_core(config), [quick])) == expected


@pytest.mark.parametrize("size", [1, 7, 100])
def test_the_size_of_a_feed_does_not_matter(config: Config, size: int) -> None:
    expected = fingerprints(fed(new_core(config), [minutes()]))
    assert fingerprints(fed(new_core(config), blocks_of(minutes(), repeat(size)))) == expected


def test_all_sensors_of_a_minute_close_together_and_the_sums_close(config: Config) -> None:
    windows = fed(new_core(config), [minutes()])
    assert [one.start_ns for one in windows] == [(START_S + 60 * i) * NS for i in range(MINUTES)]
    for one in windows:
        assert sorted(one.sensors) == ["air", "noise", "pm", "radar", "weather"]
        expected, valid, rejected, missing = one.slots[:, :4].T
        assert expected.tolist() == [60] * 5
        assert (valid + rejected + missing).tolist() == [60] * 5
        assert valid.min() > 40


# -- save and restore --------------------------------------------------------------------------------------------


def test_saved_and_restored_anywhere_it_goes_on_as_if_nothing_had_been(config: Config) -> None:
    expected = fingerprints(fed(new_core(config), [minutes()]))
    dice = random.Random(5)
    core, windows, at = new_core(config), [], 0
    for stop in [*sorted(dice.sample(range(len(minutes())), 25)), len(minutes())]:
        windows += core.feed(minutes()[at:stop])
        saved, at = core.save(), stop
        core = new_core(config)
        assert core.restore(saved, config.hash) == []
        assert core.save() == saved
    assert fingerprints(windows) == expected


def falsified(saved: bytes, **changes: Any) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(msgspec.msgpack.decode(zlib.decompress(saved)) | changes))


def test_what_is_no_state_of_this_version_is_refused(config: Config) -> None:
    core = new_core(config)
    core.feed(minutes()[:500])
    saved = core.save()
    bad = [
        b"", b"not a state", saved[:-5], saved[:20] + saved[21:], zlib.compress(b"\xc1"), zlib.compress(b"\x90"),
        falsified(saved, version=2), falsified(saved, version="1"), falsified(saved, period_s=300),
        falsified(saved, clock=[1]), falsified(saved, touched=5), falsified(saved, sensors={"pm": {}}),
    ]  # fmt: skip
    for one in bad:
        with pytest.raises(ValueError, match="state"):
            new_core(config).restore(one, config.hash)
    assert new_core(config).restore(falsified(saved), config.hash) == []


def test_a_sensor_that_was_configured_anew_starts_afresh_and_only_that(config: Config) -> None:
    core = new_core(config)
    core.feed(minutes()[:1200])
    other = replace(config, sensor=tuple(replace(s, every_s=2.0) if s.name == "noise" else s for s in config.sensor))
    fresh = Core({other.hash: plans(other)}, 60, 2.0)
    assert fresh.restore(core.save(), other.hash) == ["noise"]
    one = fresh.feed(minutes()[1200:])[0]
    assert account(one, "noise")["expected"] == 30
    untouched = fed(new_core(config), [minutes()])
    for sensor in ("pm", "weather"):
        assert account(one, sensor) in [account(other, sensor) for other in untouched]


# -- configurations ----------------------------------------------------------------------------------------------


def config_record(hash_: str, t_s: float) -> Record:
    return record(RecordKind.CONFIG, t_s, "", encode(ConfigRecord(hash_)))


def test_a_configuration_of_an_earlier_run_is_passed_over(config: Config) -> None:
    expected = fingerprints(fed(new_core(config), [minutes()]))
    core = new_core(config)
    records = list(minutes())
    for at in (900, 500, 1):
        records.insert(at, config_record("0123456789ab", START_S + 10))
        records.insert(at, config_record(config.hash, START_S + 10))
    assert fingerprints(core.feed(records)) == expected
    assert core.config == config.hash


def test_a_reload_at_the_border_of_a_window_keeps_what_has_not_changed(config: Config) -> None:
    other = replace(config, sensor=tuple(s for s in config.sensor if s.name != "radar"))
    border_s = START_S + 120
    before = [one for one in minutes() if one.mono_ns < record(RecordKind.TICK, border_s, "", b"").mono_ns]
    after = minutes()[len(before) :]
    core = new_core(config)
    core.learn(other.hash, plans(other))
    windows = core.feed([*before, config_record(other.hash, border_s), *after])
    assert core.config == other.hash
    assert [("radar" in one.sensors) for one in windows] == [True, True, False, False]
    plain = fed(new_core(config), [minutes()])
    for mine, theirs in zip(windows, plain, strict=True):
        for sensor in other.sensor:
            assert account(mine, sensor.name) == account(theirs, sensor.name)
    kept = [[key for key in one.series if key[1] != "radar"] for one in plain]
    assert [list(one.series) for one in windows[2:]] == kept[2:]


# -- clocks ------------------------------------------------------------------------------------------------------


def test_what_stands_before_the_first_clock_has_no_time(config: Config) -> None:
    core = Core({config.hash: plans(config)}, 60, 2.0)
    core.begin(config.hash)
    assert core.feed(minutes()) == []
    assert core.watermark_ns == 0
    assert len(core.feed([clock_record(), *minutes()])) == MINUTES


def test_a_new_time_line_closes_what_is_open_and_marks_it(config: Config) -> None:
    core = new_core(config)
    plain = fed(new_core(config), [minutes()])
    at = next(i for i, one in enumerate(minutes()) if one.mono_ns >= (START_S - BOOTED_S + 90) * NS)
    assert len(core.feed(minutes()[:at])) == 1
    (marked,) = core.feed([clock_record(epoch=1, offset_s=BOOTED_S + 1000)])
    assert marked.start_ns == (START_S + 60) * NS
    clock = list(Reason).index(Reason.CLOCK)
    assert marked.reasons[:, clock].tolist() == marked.n_by_flag.sum(axis=1).tolist()
    assert marked.n_by_flag[:, :2].sum() == 0  # nothing in it is good any more
    assert plain[1].reasons[:, clock].sum() == 0
    assert 25 <= account(marked, "weather")["valid"] <= 30
    later = core.feed(minutes()[at:])
    starts = [one.start_ns // NS - START_S for one in later]
    assert starts == [1080, 1140]  # 1090 s on: the time line has jumped over what lay between
    assert all(one.reasons[:, clock].sum() == 0 for one in later)


def test_the_same_time_line_goes_on_over_a_start(config: Config) -> None:
    expected = fingerprints(fed(new_core(config), [minutes()]))
    core, half = new_core(config), len(minutes()) // 2
    windows = core.feed(minutes()[:half]) + core.feed([clock_record(epoch=0)]) + core.feed(minutes()[half:])
    assert fingerprints(windows) == expected


def test_a_clock_that_is_set_back_makes_revisions_not_mixtures(config: Config) -> None:
    core = new_core(config)
    outbox = Outbox(config.gateway.data_dir / "gateway.db")
    committer = Committer(outbox, terms(config))
    committer.commit(core.feed(minutes()), core, 1, 0)
    first = {one[1]: one for one in kept_history(config.gateway.data_dir)}
    assert {one[2] for one in first.values()} == {0}
    # the same street again, on a clock that was set back by two minutes
    committer.commit(core.feed([clock_record(epoch=1, offset_s=BOOTED_S - 120), *minutes()]), core, 1, 1)
    outbox.close()
    revs = {one[1] // NS - START_S: one[2] for one in kept_history(config.gateway.data_dir)}
    assert revs == {-120: 0, -60: 0, 0: 1, 60: 1, 120: 0, 180: 0, 240: 0}
    messages = [m for m in kept_messages(config.gateway.data_dir) if m["period_s"] == 60]
    # nobody had seen the older ones yet: only the latest revision waits
    assert [(m["start_ns"] // NS - START_S, m["rev"]) for m in messages] == [
        (0, 1),
        (60, 1),
        (120, 0),
        (180, 0),
        (240, 0),
    ]
    again = {one[1]: one for one in kept_history(config.gateway.data_dir)}
    assert again[START_S * NS][6:] == first[(START_S + 120) * NS][6:]  # it is the new time line's, whole


# -- late and early ----------------------------------------------------------------------------------------------


def test_what_comes_too_late_is_counted_and_changes_nothing(config: Config) -> None:
    config = replace(config, windows=replace(config.windows, allowed_lateness_s=0.0))
    frame = next(one for one in minutes() if one.kind is RecordKind.FRAME and one.source == "noise")
    late = [record(RecordKind.FRAME, START_S + 30.5, "noise", frame.data)] * 3
    at = next(i for i, one in enumerate(minutes()) if one.mono_ns >= (START_S - BOOTED_S + 75) * NS)
    plain = fed(new_core(config), [minutes()])
    windows = new_core(config).feed([*minutes()[:at], *late, *minutes()[at:]])
    assert [account(one, "noise")["late"] for one in windows] == [0, 3, 0, 0]
    for mine, theirs in zip(windows, plain, strict=True):
        assert mine.moments.tobytes() == theirs.moments.tobytes()
        assert mine.slots[:, :5].tolist() == theirs.slots[:, :5].tolist()


def test_a_dead_street_closes_its_windows_too(config: Config) -> None:
    core = new_core(config)
    windows = core.feed([tick(START_S + second + 0.001) for second in range(0, 130, 5)])
    assert [one.start_ns // NS - START_S for one in windows] == [0, 60]
    assert windows[0].slots[:, 3].tolist() == [60] * 5


def test_records_of_a_sensor_that_is_not_configured_are_passed_over(config: Config) -> None:
    expected = fingerprints(fed(new_core(config), [minutes()]))
    strange = [replace_source(one, "attic") for one in minutes() if one.source == "noise"]
    mixed = sorted([*minutes(), *strange], key=lambda one: one.mono_ns)
    assert fingerprints(new_core(config).feed(mixed)) == expected


def replace_source(one: Record, source: str) -> Record:
    return one._replace(source=source)
