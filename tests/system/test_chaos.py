"""Whole gateways and the scenario files of configs/sim/faults: what is declared there is done to real processes.

Quick, what strikes processes, all at once and 15 times as fast as it stands there; else (`--kills 200`) all of it, at
the pace of the files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from compare import Books
from rig import FULL_KILLS, Rig
from small_disk import mounted

from firmware_sim.chaos import SMALL, Chaos, ChaosError, ClockFile
from firmware_sim.faults import DISK, Fault
from firmware_sim.outside import Outside
from firmware_sim.scenario import Scenario, load_scenario
from firmware_sim.truth import Timeline, Truth
from firmware_sim.virtual_site import sensors
from gateway.demo import Settings

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]
SCENES = Path(__file__).parents[2] / "configs" / "sim" / "faults"
PROCESSES = ("kill", "broker_down", "store_down")
BASE_S, QUICKER, FOR_S = 2, 15.0, 225.0
START_S = 6.0  # a gateway needs no longer to begin, and to ask its first question, whatever else the machine does
TIMES = ("from_s", "for_s", "every_s")


@pytest.fixture
def pace(kills: int) -> float:
    """By how much everything happens sooner than the files say."""
    return 1.0 if kills >= FULL_KILLS else QUICKER


@pytest.fixture
def whole(kills: int) -> None:
    """Leave out of a quick run what test_disk_full.py and test_system_clock.py do as well."""
    if kills < FULL_KILLS:
        pytest.skip("minutes; `make test-system` without QUICK=1")


def scene(names: Sequence[str], pace: float) -> Scenario:
    """Put the faults of some files into the first of them, sooner than they say."""
    files = [load_scenario(SCENES / f"{name}.toml") for name in names]
    every = [fault for one in files for fault in one.outside]
    return replace(files[0], outside=tuple(_sooner(fault, n, pace) for n, fault in enumerate(every)))


def _sooner(fault: Fault, number: int, pace: float) -> Fault:
    times = {key: getattr(fault, key) for key in TIMES}
    return replace(fault, number=number, **{key: t / pace for key, t in times.items() if t is not None})


@contextmanager
def running(names: Sequence[str], what: Scenario, folder: Path, clock: ClockFile | None) -> Iterator[tuple[Rig, Chaos]]:
    """Start a whole gateway whose sensors are those of a scenario, and what will happen to it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sensors.toml").write_text(sensors(what))
    full = any(fault.on == DISK for fault in what.outside)
    settings = Settings(
        SCENES / f"{names[0]}.toml", folder / "sensors.toml", BASE_S, (6,), 0.5, mqtt=SMALL if full else ""
    )
    rig = Rig(folder, "iotcore", settings)
    rig.start()
    timeline = Timeline(rig.clock)
    truth = Truth(folder / "outside.jsonl", timeline)
    try:
        rig.wait_for_windows(1)
        outside = Outside(what.outside, what.seed, timeline.now_s(), truth)
        yield rig, Chaos(outside, rig, rig.store, rig.data_dir, clock, timeline.now_s)
    finally:
        truth.close()
        rig.stop()


def told(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "outside.jsonl").read_text().splitlines()]


def slots(books: Books) -> dict[str, float]:
    """Sum up the ledger of the simulated sensor over base windows."""
    out: dict[str, float] = {}
    for (what, tags, _), fields in books.stored.items():
        if what == "ledger" and dict(tags)["sensor"] == "weather" and dict(tags)["period"] == f"{BASE_S}s":
            out = {key: out.get(key, 0.0) + fields.get(key, 0.0) for key in out.keys() | fields.keys()}
    return out


def test_processes_that_are_killed_and_servers_that_are_away_cost_only_what_nobody_asked(
    pace: float, tmp_path: Path
) -> None:
    what = scene(PROCESSES, pace)
    with running(PROCESSES, what, tmp_path / "demo", None) as (rig, chaos):
        chaos.run(FOR_S / pace)
        rig.wait_for_windows(2)
        books = rig.settle()
    assert not books.troubles(), books
    lines = told(tmp_path / "demo")
    assert {line["fault"] for line in lines} == {"kill", "down"}
    assert {line["id"] for line in lines} == set(range(len(what.outside)))
    kills = sum(int(str(line["begun"])) for line in lines if (line["event"], line["fault"]) == ("total", "kill"))
    assert kills >= 4
    mine = slots(books)
    assert mine["rejected"] == 0
    assert mine["missing"] <= 10.0 / pace + kills * START_S, "only while there was no gateway"
    assert mine["valid"] > 0


@pytest.mark.usefixtures("whole")
def test_the_disk_of_the_scenario_is_full_for_a_while(pace: float, tmp_path: Path) -> None:
    names = ("disk_full",)
    what = scene(names, pace)
    with (
        mounted("tmpfs", tmp_path / "demo" / "gateway", 16),
        running(names, what, tmp_path / "demo", None) as (rig, chaos),
    ):
        before = rig.windows()
        chaos.run(FOR_S / pace)
        rig.wait_for_windows(2)
        assert rig.windows() - before >= FOR_S / pace / BASE_S - 5, "every window is there in the end"
        books = rig.settle()
        assert not books.troubles(given_up=True), books.troubles(given_up=True)
    (begin, *_, total) = told(tmp_path / "demo")
    assert (begin["name"], begin["event"], total["begun"]) == (DISK, "begin", 1)


@pytest.mark.usefixtures("whole")
def test_the_clock_of_the_scenario_is_set(pace: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, folder = ("clock_step",), tmp_path / "demo"
    folder.mkdir()
    clock = ClockFile(folder / "clock.toml")
    monkeypatch.setenv("GATEWAY_CLOCK", f"@{folder / 'clock.toml'}")
    what = scene(names, pace)
    with running(names, what, folder, clock) as (rig, chaos):
        chaos.run(FOR_S / pace)
        books = rig.settle()
    assert not books.lost
    assert not books.changed
    starts = sorted(
        {at for (name, tags, at) in books.stored if name == "ledger" and dict(tags)["period"] == f"{BASE_S}s"}
    )
    jumps = [b - a for a, b in pairwise(starts) if b - a > 60 * 10**9]
    assert len(jumps) == 1
    assert 580 * 10**9 < jumps[0] < 620 * 10**9
    marked = {
        at for (_, tags, at), f in books.stored.items() if f.get("r_clock") and dict(tags)["period"] == f"{BASE_S}s"
    }
    assert 1 <= len(marked) <= 2, "what was open"
    assert slots(books)["rejected"] == 0


@pytest.mark.usefixtures("whole")
def test_the_clock_is_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made a second time replaces the first in the store, window by window, and nothing else does."""
    names, folder, back_s = ("clock_back",), tmp_path / "demo", 12.0
    folder.mkdir()
    clock = ClockFile(folder / "clock.toml")
    monkeypatch.setenv("GATEWAY_CLOCK", f"@{folder / 'clock.toml'}")
    what = scene(names, QUICKER / 1.5)
    what = replace(what, outside=tuple(replace(fault, by_s=-back_s) for fault in what.outside))
    with running(names, what, folder, clock) as (rig, chaos):
        chaos.run(45.0)
        books = rig.settle()
    assert not books.lost
    kept = {key: books.stored[key].keys() - fields.keys() for key, fields in books.committed.items()}
    assert not {key for key, fields in books.committed.items() if not fields.items() <= books.stored[key].items()}
    assert set().union(*kept.values()) <= {"std", "se"}, "of a window that has one reading left: a store keeps them"
    base = [(at, f) for (_, tags, at), f in books.stored.items() if dict(tags)["period"] == f"{BASE_S}s"]
    again = {at for at, fields in base if fields.get("rev")}
    assert back_s / BASE_S - 2 <= len(again) <= back_s / BASE_S + 1, "what lies between the new time and the old"
    assert max(again) - min(again) <= back_s * 10**9
    marked = {at for at, fields in base if fields.get("r_clock")}
    assert len(marked) <= 2, "what was open, where it has not been made again"
    assert slots(books)["rejected"] == 0


@pytest.mark.usefixtures("whole")
def test_nothing_happens_without_a_fault(tmp_path: Path) -> None:
    """Negative control: the same gateway, the same time, and nobody strikes."""
    what = replace(scene(PROCESSES, QUICKER), outside=())
    with running(PROCESSES, what, tmp_path / "demo", None) as (rig, chaos):
        chaos.run(10.0)
        books = rig.settle()
    assert not books.troubles(), books
    assert told(tmp_path / "demo") == []
    mine = slots(books)
    assert mine["missing"] + mine["rejected"] <= 1, "the slot in which it began"


@pytest.mark.parametrize(("name", "words"), [("disk_full", "mount -t tmpfs"), ("clock_step", "ClockFile")])
def test_what_cannot_be_done_here_is_refused_before_anything_is_done(name: str, words: str, tmp_path: Path) -> None:
    what = load_scenario(SCENES / f"{name}.toml")
    rig = Rig(tmp_path / "rig")
    truth = Truth(tmp_path / "truth.jsonl", Timeline(rig.clock))
    outside = Outside(what.outside, 0, 0.0, truth)
    truth.close()
    with pytest.raises(ChaosError, match=words):
        Chaos(outside, rig, tmp_path / "store.db", tmp_path, None, lambda: 0.0)
