"""Tests that look ahead and filters in the running core: what they hold back reaches its window, for any batches."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from replay_site import blocks_of, clock_record, new_core, site, whole
from replay_street import Cuts, street

from gateway.block import FLAGS, REASONS, Flag, Reason, Windows
from gateway.config import Config
from gateway.config_sensors import FilterConfig, NeighbourConfig, QualityConfig
from gateway.core import Core
from gateway.plans import plans
from gateway.rawlog import RawLog, Sizes
from gateway.record import Record, RecordKind

MINUTES = 4
ALL = QualityConfig(
    stuck_s=20.0, tolerance=0.01, attenuated_s=60.0, attenuated=0.02, spike=0.3, spike_fail=40.0, hampel_k=3,
    hampel_floor=0.05, rate_per_s=0.5, gap_s=1.6,
)  # fmt: skip
TESTS = {"air": {"pm2_5": ALL, "humidity": ALL}, "weather": {"temperature": ALL}, "noise": {"laeq": ALL}}
FILTERS = {
    "air": {"pm2_5": FilterConfig("hampel", k=3, floor=0.05), "humidity": FilterConfig("ewma", tau_s=20.0)},
    "noise": {"laeq": FilterConfig("median", n=5)},
}
TEMPERATURES = NeighbourConfig(("air.temperature", "weather.temperature"), tolerance=0.01)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return replace(site(tmp_path_factory.mktemp("site")), quality={})


@pytest.fixture(scope="module")
def strict(plain: Config) -> Config:
    return replace(plain, quality=TESTS, filter=FILTERS, neighbour=(TEMPERATURES,))


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return street(60 * MINUTES, seed=3, cuts=Cuts(tick_s=5))


def fed(core: Core, blocks: Iterable[Sequence[Record]]) -> list[tuple[Any, ...]]:
    return [whole(windows) for block in blocks for windows in core.feed(block)]


def counts(config: Config, records: Sequence[Record]) -> dict[tuple[int, str, str], int]:
    """Count the readings of each series in each window, whatever their flag."""
    out = {}
    for windows in new_core(config).feed(records):
        for (_, sensor, channel, _), n in zip(windows.series, windows.n_by_flag.sum(axis=1).tolist(), strict=True):
            out[windows.start_ns, sensor, channel] = n
    return out


@pytest.mark.parametrize("size", [1, 7, 100])
def test_batches_of_any_size_give_the_same_windows(strict: Config, records: list[Record], size: int) -> None:
    expected = fed(new_core(strict), [records])
    assert len(expected) == MINUTES
    assert fed(new_core(strict), blocks_of(records, repeat(size))) == expected


def test_a_restart_anywhere_gives_the_same_windows(strict: Config, records: list[Record]) -> None:
    expected, dice = fed(new_core(strict), [records]), random.Random(5)
    blocks = blocks_of(records, repeat(23))
    core, out = new_core(strict), []
    for block in blocks:
        out += fed(core, [block])
        if dice.random() < 0.3:
            saved = core.save()
            core = Core({strict.hash: plans(strict)}, strict.windows.base_s, strict.gateway.lateness_s)
            assert core.restore(saved, strict.hash) == []
    assert out == expected


def test_no_reading_misses_its_window(plain: Config, strict: Config, records: list[Record]) -> None:
    without, with_tests = counts(plain, records), counts(strict, records)
    assert {key: with_tests[key] for key in without} == without
    assert {channel for _, _, channel in with_tests.keys() - without.keys()} == {
        "pm2_5_filtered", "humidity_filtered", "laeq_filtered",
    }  # fmt: skip


def test_without_letting_go_readings_would_miss_it(
    plain: Config, strict: Config, records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above."""
    settle = Core._settle
    monkeypatch.setattr(Core, "_settle", lambda self, before_ns=0: settle(self))
    without, with_tests = counts(plain, records), counts(strict, records)
    assert {key: with_tests[key] for key in without} != without


def test_readings_far_apart_are_in_their_windows_as_well(plain: Config, strict: Config, records: list[Record]) -> None:
    """The neighbour of a reading at the end of a minute comes half a minute later: it is not waited for."""
    slow = [replace(one, every_s=30.0) if one.name == "weather" else one for one in plain.sensor]
    kinds = (RecordKind.FRAME, RecordKind.MISS)
    polls = [one for one in records if one.source == "weather" and one.kind in kinds]
    gone = {id(one) for i, one in enumerate(polls) if i % 30}
    sparse = [one for one in records if id(one) not in gone]
    config = replace(strict, sensor=tuple(slow))
    seen = {key: n for key, n in counts(config, sparse).items() if key[1:] == ("weather", "temperature")}
    assert seen == {
        key: n for key, n in counts(replace(plain, sensor=tuple(slow)), sparse).items() if key in seen
    }  # fmt: skip
    assert sum(seen.values()) >= 2 * MINUTES - 1


def test_the_tests_do_find_something(strict: Config, records: list[Record]) -> None:
    closed = new_core(strict).feed(records)
    reasons = np.sum([windows.reasons.sum(axis=0) for windows in closed], axis=0)
    found = {Reason(REASONS[i]).name for i in np.flatnonzero(reasons)}
    assert {"SPIKE", "STEP", "NEIGHBOUR"} <= found


def test_two_thermometers_that_differ_are_both_doubted(strict: Config, records: list[Record]) -> None:
    windows: Windows = new_core(strict).feed(records)[1]
    rows = [i for i, key in enumerate(windows.series) if key[2] == "temperature"]
    assert len(rows) == 2
    good, suspect = FLAGS.index(Flag.GOOD), FLAGS.index(Flag.SUSPECT)
    assert not windows.n_by_flag[rows, good].any()
    assert (windows.n_by_flag[rows, suspect] > 50).all()


def test_what_a_change_would_do_can_be_seen_beforehand(tmp_path: Path, records: list[Record]) -> None:
    site(tmp_path / "post")
    present = tmp_path / "post" / "site.toml"
    candidate = tmp_path / "post" / "candidate.toml"
    candidate.write_text(present.read_text(encoding="utf-8") + "[quality.noise.laeq]\nspike = 1.0\n", encoding="utf-8")
    log = RawLog(tmp_path / "data", Sizes(1 << 20, 1 << 24))
    log.append([clock_record(), *records])
    log.close()
    root = Path(__file__).parents[2]
    command = [
        sys.executable,
        "docs/examples/what_would_change.py",
        str(present),
        str(candidate),
        str(tmp_path / "data"),
    ]
    out = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
    (line,) = out
    assert line.startswith("noise.laeq: good ")
    assert "r_spike 0 -> " in line
