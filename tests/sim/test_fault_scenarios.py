"""Each scenario of configs/sim/faults: the flags, the reasons and the entries of the ledger that its fault must leave.

What is expected is counted in the truth file of the same run, or in a run of the same scenario without its faults.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from firmware_sim.faults import KINDS, OUTSIDE, Fault
from firmware_sim.scenario import load_scenario
from firmware_sim.street_truth import Detail
from firmware_sim.virtual import STORE, TRUTH, Plan, Totals, run
from firmware_sim.virtual_site import site
from gateway.config_file import load
from gateway.outbox import Outbox
from gateway.record import Record, RecordKind
from gateway.state import unpacked
from gateway.store.sqlite import SqliteStore
from gateway.wire import Point

SCENES = Path(__file__).parents[2] / "configs" / "sim" / "faults"
START_S = 1_768_284_000  # 2026-01-13T06:00:00Z
MINUTE_S, FOR_S, BATCH_S = 60, 300, 30.0
NEIGHBOUR = (
    '\n[[neighbour]]\nchannels = ["pm-a.pm2_5", "pm-b.pm2_5"]\ntolerance = 5.0\nrelative = 0.5\norigin = "test"\n'
)
Sums = Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """What a run has left."""

    points: tuple[Point, ...]
    truth: tuple[dict[str, object], ...]
    records: tuple[Record, ...]
    totals: Totals
    epoch: int

    def sums(self, what: str, minute: int | None = None) -> Sums:
        """Sum up the fields of a series of minutes, or take one of them: `pm` is its ledger, `pm.pm2_5` its values."""
        sensor, _, channel = what.partition(".")
        tags = {"sensor": sensor, "period": "60s", **({"channel": channel} if channel else {})}
        out = Counter[str]()
        for point in self.points:
            said = dict(point.tags)
            at = minute is None or point.start_ns == (START_S + minute * MINUTE_S) * 10**9
            if at and tags.items() <= said.items() and (point.measurement == "ledger") != bool(channel):
                out.update({name: int(n) for name, n in point.fields.items() if name not in ("mean", "flag")})
        return out

    @property
    def sensors(self) -> set[str]:
        return {dict(point.tags)["sensor"] for point in self.points}

    @property
    def series(self) -> set[str]:
        tags = (dict(point.tags) for point in self.points if point.measurement != "ledger")
        return {f"{said['sensor']}.{said['channel']}" for said in tags}

    def reasons(self) -> dict[str, dict[str, float]]:
        """Return the reasons of each series that has any."""
        found = {one: {k: n for k, n in self.sums(one).items() if k.startswith("r_") and n} for one in self.series}
        return {one: reasons for one, reasons in found.items() if reasons}

    def ledgers(self) -> dict[str, Sums]:
        return {sensor: self.sums(sensor) for sensor in self.sensors}

    def total(self, name: str, what: str = "hits") -> int:
        """Say how often a fault has struck a part, or how many measurements it lost."""
        totals = (line for line in self.truth if line.get("event") == "total" and line["name"] == name)
        return sum(int(str(line[what])) for line in totals)

    def span_s(self, name: str) -> tuple[float, float]:
        """Return from when to when its one long fault was in force, s since the start."""
        mine = [line for line in self.faults if line["name"] == name]
        begins, ends = (
            [int(str(line["t_ns"])) / 1e9 - START_S for line in mine if line["event"] == event]
            for event in ("begin", "end")
        )
        return next(((a, b) for a, b in zip(begins, ends, strict=True) if b > a), (0.0, 0.0))

    @property
    def faults(self) -> list[dict[str, object]]:
        return [line for line in self.truth if "fault" in line]

    @property
    def street(self) -> list[dict[str, object]]:
        return [line for line in self.truth if "street" in line]

    def told(self, name: str) -> int:
        """Say how many measurements of a part the truth file has."""
        return sum(line.get("name") == name and "values" in line for line in self.truth)

    def frames_s(self, name: str) -> list[float]:
        """Return when a polled part gave a frame, s since the start."""
        began_ns = 1_000 * 10**9
        mine = (one for one in self.records if one.source == name and one.kind is RecordKind.FRAME)
        return [(one.mono_ns - began_ns) / 1e9 for one in mine]

    def starts_s(self) -> set[int]:
        return {point.start_ns // 10**9 - START_S for point in self.points if dict(point.tags)["period"] == "60s"}


Runs = Callable[..., Outcome]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Run scenarios by their names, each once: as it stands, or without its faults."""
    known: dict[tuple[str, bool, str], Outcome] = {}

    def outcome(name: str, *, faults: bool = True, more: str = "") -> Outcome:
        key = (name, faults, more)
        if key not in known:
            known[key] = _outcome(name, tmp_path_factory.mktemp(name), faults=faults, more=more)
        return known[key]

    return outcome


def _outcome(name: str, folder: Path, *, faults: bool, more: str) -> Outcome:
    what = load_scenario(SCENES / f"{name}.toml")
    what = what if faults else replace(what, faults=(), outside=())
    site(what, folder)
    path = folder / "site.toml"
    path.write_text(re.sub(r"batch_s = [\d.]+", f"batch_s = {BATCH_S}", path.read_text()) + more)
    config = load(path)
    records: list[Record] = []
    totals = run(Plan(what, config, folder, START_S, FOR_S, Detail.ALL), each=records.extend)
    store, outbox = SqliteStore(folder / STORE, read_only=True), Outbox(config.gateway.data_dir / "gateway.db")
    saved = outbox.state()
    assert saved is not None
    points = tuple(sorted(store.read(0, 2**62), key=lambda one: (one.measurement, one.tags, one.start_ns)))
    store.close()
    outbox.close()
    truth = tuple(json.loads(line) for line in (folder / TRUTH).read_text().splitlines())
    return Outcome(points, truth, tuple(records), totals, unpacked(saved.body, MINUTE_S)["clock"][3])


# -- what each fault leaves ----------------------------------------------------------------------------------------


def silent(it: Outcome, usual: Outcome) -> None:
    pm, weather = it.sums("pm"), it.sums("weather")
    assert pm["missing"] == usual.sums("pm")["missing"] + it.total("pm", "lost")
    assert it.total("pm", "lost") == 20
    assert not [key for key in pm if key.startswith("missing_")], "nothing was said"
    assert weather["missing"] == weather["missing_nack"] == it.total("weather") == 2
    assert it.reasons() == usual.reasons()


def unplug(it: Outcome, usual: Outcome) -> None:
    for name, plug in (("noise", "noise"), ("weather", "i2c-1")):
        begin_s, end_s = it.span_s(plug)
        assert end_s - begin_s >= 10.0
        before_s = max(at_s for at_s in it.frames_s(name) if at_s < begin_s)
        after_s = min(at_s for at_s in it.frames_s(name) if at_s >= end_s)
        mine = it.sums(name)
        assert mine["missing"] == mine["missing_link_down"] == round(after_s - before_s) - 1
        assert after_s - end_s <= end_s - begin_s, "who waits longer each time waits no longer than the plug was out"
    assert it.reasons() == usual.reasons()


def nack(it: Outcome, usual: Outcome) -> None:
    mine = it.sums("weather")
    assert mine["missing"] == mine["missing_nack"] == it.total("weather") == 8
    assert it.reasons() == usual.reasons()


def power_cycle(it: Outcome, usual: Outcome) -> None:
    assert it.total("air") == it.total("weather") == 0
    assert len([line for line in it.faults if line["event"] == "end"]) == 3
    air, before = it.sums("air"), usual.sums("air")
    lost = air["missing"] - before["missing"]
    assert 0 < lost <= 10
    assert air["missing"] == air["missing_not_ready"] + air["missing_back_off"]
    assert _unknown(it, "air", "nox_index") == 2 * _unknown(usual, "air", "nox_index"), "it starts to learn anew"
    assert _settings(it, "air") > _settings(usual, "air"), "it is set up anew"
    assert it.sums("weather") == usual.sums("weather"), "each question brings its settings along"
    assert it.sums("pm", 4)["missing"] == it.sums("pm")["rejected"] == 0, "it talks by itself, as from the factory"


def _unknown(it: Outcome, sensor: str, channel: str) -> float:
    return it.sums(sensor)["valid"] - it.sums(f"{sensor}.{channel}")["n"]


def _settings(it: Outcome, name: str) -> int:
    return sum(one.source == name and one.kind is RecordKind.CONTEXT for one in it.records)


def stuck(it: Outcome, usual: Outcome) -> None:
    mine, values = it.sums("noise"), it.sums("noise.laeq")
    assert (mine["rejected"], mine["missing"]) == (0, 0), "its frames are good"
    # it says again what it said before the fault: of that and `hits` equal readings 60 s are not too long
    assert values["r_stuck"] == values["n_suspect"] == it.total("noise") + 1 - 60 == 121
    assert [it.sums("noise.laeq", k)["r_stuck"] for k in range(5)] == [0, 1, 60, 60, 0]


def bit_flip(it: Outcome, usual: Outcome) -> None:
    mine, before = it.sums("pm"), usual.sums("pm")
    assert it.total("pm") == it.total("pm", "lost") == before["valid"] - mine["valid"] == 24
    assert mine["rejected"] == mine["rejected_check"] >= 20
    assert mine["rejected"] + mine["missing"] == before["missing"] + 24, "what is not seen to begin is no frame"
    assert it.reasons() == usual.reasons()


def crc_flip(it: Outcome, usual: Outcome) -> None:
    for name in ("cabinet", "noise"):
        mine = it.sums(name)
        assert mine["rejected"] == mine["rejected_check"] == it.total(name) == it.total(name, "lost") == 24
        assert mine["missing"] == usual.sums(name)["missing"]
        assert mine["valid"] == it.told(name)


def byte_loss(it: Outcome, usual: Outcome) -> None:
    mine, before = it.sums("pm"), usual.sums("pm")
    assert before["valid"] - mine["valid"] == it.total("pm") == 24
    assert mine["rejected"] + mine["missing"] == before["missing"] + 24
    bus = it.sums("cabinet")
    assert bus["rejected"] == bus["rejected_check"] == it.total("cabinet") == 24


def garbage(it: Outcome, usual: Outcome) -> None:
    assert it.total("pm") > 30
    assert it.total("pm", "lost") == 0
    assert it.ledgers() == usual.ledgers()
    assert it.reasons() == usual.reasons()


def babble(it: Outcome, usual: Outcome) -> None:
    mine, before = it.sums("pm"), usual.sums("pm")
    assert it.total("pm", "lost") == before["valid"] - mine["valid"] == 20
    assert mine["rejected"] + mine["missing"] == before["missing"] + 20
    assert it.sums("pm.pm2_5")["n"] == mine["valid"], "nothing of the babble became a value"
    assert it.sums("pm", 2)["valid"] == 60, "and it is over"


def late_reply(it: Outcome, usual: Outcome) -> None:
    for name, hits in (("noise", 12), ("cabinet", 5)):
        mine = it.sums(name)
        assert mine["missing"] == mine["missing_timeout"] == it.total(name) == it.total(name, "lost") == hits
        assert mine["valid"] == it.told(name), "a late answer is none to the next question"
    assert it.reasons() == usual.reasons()


def frame_split(it: Outcome, usual: Outcome) -> None:
    assert (it.total("pm"), it.total("noise")) == (24, 24)
    assert it.ledgers() == usual.ledgers()
    assert it.reasons() == usual.reasons()


def drift(it: Outcome, usual: Outcome) -> None:
    (begin, end) = (line for line in it.faults if line["event"] in ("begin", "end"))
    assert begin["seen"] == begin["true"]
    assert float(str(end["seen"])) - float(str(end["true"])) == pytest.approx(1800.0 * 150 / 3600)
    assert it.total("pm-b") == 150
    assert it.ledgers() == usual.ledgers()
    assert it.reasons() == usual.reasons(), "nobody sees it who sees one part alone"
    assert _mean(it, "pm-b", 3) - _mean(it, "pm-a", 3) > 20.0
    assert it.street == usual.street, "the street is as it was"


def _mean(it: Outcome, sensor: str, minute: int) -> float:
    tags = {"sensor": sensor, "channel": "pm2_5", "period": "60s"}
    at_ns = (START_S + minute * MINUTE_S) * 10**9
    return next(p.fields["mean"] for p in it.points if tags.items() <= dict(p.tags).items() and p.start_ns == at_ns)


def saturation(it: Outcome, usual: Outcome) -> None:
    assert it.ledgers() == usual.ledgers(), "the frames are good"
    values, before = it.sums("pm.pm2_5"), usual.sums("pm.pm2_5")
    assert values["r_saturated"] == values["n_suspect"] - before["n_suspect"] == it.total("pm") == 20
    warm = it.sums("weather.temperature")
    assert warm["r_range"] == warm["n_fail"] == it.total("weather") == 20
    loud = it.sums("noise.laeq")
    assert loud["r_range"] == loud["n_fail"] == it.total("noise") - 1 == 19, "the first second was only loud at its end"
    assert it.street == usual.street, "the street is as it was"


def wrong_device(it: Outcome, usual: Outcome) -> None:
    cabinet, weather, pm = it.sums("cabinet"), it.sums("weather"), it.sums("pm")
    assert it.total("weather") > 0
    assert cabinet["missing"] == cabinet["missing_nack"] + cabinet["missing_back_off"] >= 20
    assert weather["rejected"] == weather["rejected_sanity"] == 20
    assert usual.sums("pm")["valid"] - pm["valid"] >= 20
    for one in it.series:
        assert it.sums(one)["n"] == it.sums(one.partition(".")[0])["valid"], "nothing it says becomes a value"
    assert all(it.sums(name, 3)["valid"] == 60 for name in it.sensors), "the right one is back"


def broker_down(it: Outcome, usual: Outcome) -> None:
    assert it.total("broker") == it.totals.most_held == 2 > usual.totals.most_held
    assert it.points == usual.points


def store_down(it: Outcome, usual: Outcome) -> None:
    assert it.total("store") == it.totals.most_held == 2 > usual.totals.most_held
    assert it.points == usual.points


def disk_full(it: Outcome, usual: Outcome) -> None:
    assert it.total("disk") >= 2, "commits were refused"
    assert it.points == usual.points


def clock_step(it: Outcome, usual: Outcome) -> None:
    assert (it.epoch, usual.epoch) == (1, 0)
    assert it.starts_s() == {0, 60, 660, 720, 780, 840}
    mine = it.sums("weather")
    assert mine["valid"] == usual.sums("weather")["valid"], "no reading is lost"
    assert mine["missing"] == 60, "what is left of the minute before, and of that behind"
    for one in it.series:
        assert it.sums(one)["r_clock"] == it.sums(one, 1)["r_clock"] == it.sums(one)["n_suspect"] == 30


def clock_back(it: Outcome, usual: Outcome) -> None:
    assert (it.epoch, usual.epoch) == (1, 0)
    assert it.starts_s() == {0, 60, 120, 180}, "what is left of the fifth minute is not over yet on the new line"
    minutes = [it.sums("weather", k) for k in range(4)]
    assert [one["valid"] for one in minutes] == [60, 40, 60, 20], "each of one time line: from 200 s on it is 80 s"
    assert [one["missing"] for one in minutes] == [0, 20, 0, 40]
    assert [one["rev"] for one in minutes] == [0, 1, 1, 0]
    first = usual.sums("weather", 0)
    assert it.sums("weather", 0) == first
    for one in it.series:
        values = [it.sums(one, k) for k in range(4)]
        assert [said["rev"] for said in values] == [0, 1, 1, 0]
        assert [said["r_clock"] for said in values] == [0, 0, 0, 20], "only the window that was cut"


def kill(it: Outcome, usual: Outcome) -> None:
    begin_s, end_s = it.span_s("gateway")
    mine = it.sums("weather")
    assert mine["missing"] == it.sums("weather", 3)["missing"] == end_s - begin_s == 10
    assert not [key for key in mine if key.startswith("missing_")], "nobody asked"
    assert it.totals.messages > usual.totals.messages, "what was sent before a kill is sent once more"
    at_ns = (START_S + 3 * MINUTE_S) * 10**9
    assert [p for p in it.points if p.start_ns != at_ns] == [p for p in usual.points if p.start_ns != at_ns]


CASES: Mapping[str, Callable[[Outcome, Outcome], None]] = {
    one.__name__: one
    for one in (
        silent, unplug, nack, power_cycle, stuck, bit_flip, crc_flip, byte_loss, garbage, babble, late_reply,
        frame_split, drift, saturation, wrong_device, broker_down, store_down, disk_full, clock_step,
        clock_back, kill,
    )
}  # fmt: skip
BY_NAME = pytest.mark.parametrize("name", CASES)


@BY_NAME
def test_what_a_fault_leaves(name: str, runs: Runs) -> None:
    CASES[name](runs(name), runs(name, faults=False))


@BY_NAME
def test_every_slot_is_in_the_ledger_and_every_fault_in_the_truth(name: str, runs: Runs) -> None:
    it, what = runs(name), load_scenario(SCENES / f"{name}.toml")
    for sensor, mine in it.ledgers().items():
        assert mine["expected"] == mine["valid"] + mine["rejected"] + mine["missing"], sensor
    struck = {(line["id"], line["fault"]) for line in it.faults}
    assert struck == {(fault.number, fault.kind) for fault in (*what.faults, *what.outside)}


@BY_NAME
def test_without_the_fault_nothing_of_it_is_there(name: str, runs: Runs) -> None:
    """Negative control, of the scenario and of what is asserted above."""
    usual = runs(name, faults=False)
    assert not usual.faults
    for sensor, mine in usual.ledgers().items():
        assert mine["rejected"] == 0, sensor
        assert mine["missing"] <= 2, "only what the part needs to begin"
    assert {reason for reasons in usual.reasons().values() for reason in reasons} <= {"r_warm_up"}
    assert usual.starts_s() == {0, 60, 120, 180, 240}
    with pytest.raises((AssertionError, ValueError)):
        CASES[name](usual, usual)


def test_a_drift_is_seen_beside_a_neighbour(runs: Runs) -> None:
    it, usual = runs("drift", more=NEIGHBOUR), runs("drift", faults=False, more=NEIGHBOUR)
    for name in ("pm-a", "pm-b"):  # of two nobody knows which one is right
        doubted = [it.sums(f"{name}.pm2_5", k)["r_neighbour"] for k in range(5)]
        assert doubted == [0, 60, 60, 60, 0] or doubted == [0, 0, 60, 60, 0]
        assert it.sums(f"{name}.pm2_5")["n_suspect"] - usual.sums(f"{name}.pm2_5")["n_suspect"] == sum(doubted)
        assert it.sums(f"{name}.pm10")["r_neighbour"] == 0
    assert "r_neighbour" not in {reason for reasons in usual.reasons().values() for reason in reasons}


def test_every_kind_has_a_scenario_and_every_scenario_a_case() -> None:
    files = {path.stem: load_scenario(path) for path in SCENES.glob("*.toml")}
    assert set(files) == set(CASES)
    there = {(fault.kind, fault.on) for what in files.values() for fault in (*what.faults, *what.outside)}
    assert {kind for kind, _ in there} == {*KINDS, *OUTSIDE}


def test_what_is_around_the_sensors_is_the_same_in_one_process_or_two(tmp_path: Path) -> None:
    around = (
        Fault("store", "down", 2, from_s=40.0, for_s=50.0),
        Fault("clock", "step", 3, from_s=97.0, by_s=600.5),
        Fault("gateway", "kill", 4, from_s=130.0, for_s=20.0),
    )
    what = replace(load_scenario(SCENES / "silent.toml"), outside=around)
    one, two = (
        run(Plan(what, site(what, folder), folder, START_S, FOR_S, Detail.ALL, jobs))
        for jobs, folder in ((1, tmp_path / "1"), (2, tmp_path / "2"))
    )
    assert one == two
    for name in (STORE, TRUTH):
        assert _lines(tmp_path / "1" / name) == _lines(tmp_path / "2" / name)
    seen = [line for line in _lines(tmp_path / "1" / STORE) if "r_clock" in line]
    assert seen


def _lines(path: Path) -> list[str]:
    if path.name == TRUTH:
        return sorted(path.read_text().splitlines())
    store = SqliteStore(path, read_only=True)
    points = sorted(repr(point) for point in store.read(0, 2**62))
    store.close()
    return points
