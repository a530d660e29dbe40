"""What chaos does, to processes that only take note of it, and to a store, a clock and a disk that are real."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firmware_sim.__main__ import app
from firmware_sim.chaos import Chaos, ChaosError, ClockFile, is_small_disk
from firmware_sim.faults import Fault
from firmware_sim.outside import Outside
from firmware_sim.truth import Timeline, Truth
from gateway.clock import NS, Clock, ScriptFile

SCENES = Path(__file__).parents[2] / "configs" / "sim" / "faults"


@dataclass
class Noted:
    """Processes that only take note of what is done to them."""

    done: list[str] = field(default_factory=list)

    def kill_part(self, name: str) -> None:
        self.done.append(f"kill {name}")

    def start_part(self, name: str) -> None:
        self.done.append(f"start {name}")


@pytest.fixture
def chaos(tmp_path: Path) -> Callable[..., tuple[Chaos, Noted]]:
    def make(*faults: Fault) -> tuple[Chaos, Noted]:
        timeline, noted = Timeline(Clock()), Noted()
        truth = Truth(tmp_path / "truth.jsonl", timeline)
        outside = Outside(faults, 1, timeline.now_s(), truth)
        clock = ClockFile(tmp_path / "clock.toml")
        return Chaos(outside, noted, tmp_path / "store.db", tmp_path, clock, timeline.now_s), noted

    return make


def test_a_process_is_ended_and_started_again(chaos: Callable[..., tuple[Chaos, Noted]], tmp_path: Path) -> None:
    it, noted = chaos(
        Fault("gateway", "kill", 0, from_s=0.05),
        Fault("bridge", "kill", 1, from_s=0.1, for_s=0.1),
        Fault("broker", "down", 2, from_s=0.3),
    )
    it.run(0.5)
    assert noted.done == [
        "kill gateway", "start gateway", "kill bridge", "start bridge", "kill broker", "start broker",
    ]  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    events = [(line["name"], line["event"]) for line in lines if line["event"] != "total"]
    assert events == [(name, event) for name in ("gateway", "bridge", "broker") for event in ("begin", "end")]


def test_what_two_faults_keep_down_comes_back_after_both(chaos: Callable[..., tuple[Chaos, Noted]]) -> None:
    it, noted = chaos(
        Fault("broker", "down", 0, from_s=0.05, for_s=0.2), Fault("broker", "kill", 1, from_s=0.1, for_s=0.05)
    )
    it.run(0.4)
    assert noted.done == ["kill broker", "start broker"]


def test_nobody_writes_into_a_store_that_is_down(chaos: Callable[..., tuple[Chaos, Noted]], tmp_path: Path) -> None:
    it, _ = chaos(Fault("store", "down", 0, from_s=0.0))
    refused: list[bool] = []

    def write(_text: str = "") -> None:
        with closing(sqlite3.connect(tmp_path / "store.db", timeout=0.0, isolation_level=None)) as db:
            try:
                db.execute("INSERT INTO x VALUES (1)")
                refused.append(False)
            except sqlite3.OperationalError:
                refused.append(True)

    with closing(sqlite3.connect(tmp_path / "store.db")) as db:
        db.execute("CREATE TABLE x (y)")
    it.outside.turn(it.now_s())
    it._hold_store()
    write()
    it.run(0.1)
    write()
    assert refused == [True, False]


def test_the_clock_is_set_for_all_who_read_the_file(chaos: Callable[..., tuple[Chaos, Noted]], tmp_path: Path) -> None:
    it, _ = chaos(Fault("clock", "step", 0, from_s=0.05, by_s=600.0))
    before = ScriptFile(tmp_path / "clock.toml", Clock().mono_ns())
    assert before.offset_ns(Clock().mono_ns(), 7) == 7
    it.run(0.2)
    assert ScriptFile(tmp_path / "clock.toml", 0).offset_ns(Clock().mono_ns(), 7) == 600 * NS + 7
    assert before.offset_ns(Clock().mono_ns(), 7) == 600 * NS + 7


def test_nothing_is_done_without_a_fault(chaos: Callable[..., tuple[Chaos, Noted]], tmp_path: Path) -> None:
    """Negative control."""
    it, noted = chaos()
    it.run(0.1)
    assert noted.done == []
    assert (tmp_path / "truth.jsonl").read_text() == ""


def test_a_disk_that_somebody_uses_is_never_filled(chaos: Callable[..., tuple[Chaos, Noted]], tmp_path: Path) -> None:
    assert not is_small_disk(tmp_path)
    assert not is_small_disk(Path("/"))
    with pytest.raises(ChaosError, match="small disk of its own"):
        chaos(Fault("disk", "full", 0, from_s=0.0))
    assert not (tmp_path / "foreign").exists()


def test_the_verb_refuses(tmp_path: Path) -> None:
    def said(*args: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["chaos", *args])
        return result.exit_code, result.output

    code, text = said(str(SCENES / "disk_full.toml"), "--dir", str(tmp_path / "a"))
    assert (code, "mount -t tmpfs" in text) == (2, True)
    code, text = said(str(tmp_path / "gone.toml"), "--dir", str(tmp_path / "b"))
    assert (code, "cannot be read" in text) == (2, True)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "site.toml").touch()
    code, text = said(str(SCENES / "kill.toml"), "--dir", str(tmp_path / "c"))
    assert (code, "earlier run" in text) == (2, True)
