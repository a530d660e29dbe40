"""Whole gateways whose wall clock is wrong, unknown or set while they run; monotonic time is always real."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from compare import Points
from rig import Rig

from gateway.clock import Clock
from gateway.demo import Settings
from gateway.rawlog import read
from gateway.record import NO_EPOCH, ClockRecord, RecordKind

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]
SETTINGS = Settings(base_s=2, long_s=(6,), batch_s=0.5)
IN_1970_S = 1000.0
LONG_AGO_NS = 10**9 * 10**9  # 2001: no window of a right clock is older


class Wall:
    """The wall clock of all processes of a test, as a file; what is done to it is done now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin_s = Clock().mono_ns() / 1e9
        self._steps: list[str] = []

    def set(self, **what: Any) -> float:
        """Add a step; return the real time of it."""
        keys = {"after_s": round(Clock().mono_ns() / 1e9 - self._begin_s, 3), **what}
        self._steps.append("[[step]]\n" + "".join(f"{key} = {str(value).lower()}\n" for key, value in keys.items()))
        fresh = self._path.with_suffix(".new")
        fresh.write_text(f"from_boottime_s = {self._begin_s}\n" + "".join(self._steps))
        fresh.replace(self._path)
        return time.time()

    def set_right(self) -> float:
        """Let the network come: the clock is set and believed."""
        return self.set(set_s=time.time(), synchronised=True)


class HoldRig(Rig):
    """A rig whose gateway holds readings for so many seconds."""

    def __init__(self, folder: Path, hold_s: float) -> None:
        super().__init__(folder, "iotcore", SETTINGS)
        self._hold_s = hold_s

    def start_gateway(self) -> None:
        text = self.site.read_text()
        if "unsynced_hold_s" not in text:
            self.site.write_text(text.replace("[gateway]\n", f"[gateway]\nunsynced_hold_s = {self._hold_s}\n"))
        super().start_gateway()

    def windows_from(self, at_s: float) -> int:
        """How many committed base windows begin at a time or after it."""
        return int(self.read(f"SELECT count(*) FROM history WHERE start_ns >= {round(at_s * 1e9)}")[0])

    def held_s(self) -> float:
        clock = self.said("clock") or {}
        return float(clock.get("held_s") or 0.0)


@pytest.fixture
def wall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wall:
    path = tmp_path / "clock.toml"
    monkeypatch.setenv("GATEWAY_CLOCK", f"@{path}")
    return Wall(path)


@contextmanager
def running(folder: Path, hold_s: float) -> Iterator[HoldRig]:
    rig = HoldRig(folder / "demo", hold_s)
    rig.start()
    try:
        yield rig
    finally:
        rig.stop()


def old(points: Points) -> list[Any]:
    """Return the keys of before 2001."""
    return [key for key in points if key[2] < LONG_AGO_NS]


def rows(points: Points, what: Callable[[dict[str, str]], bool]) -> dict[tuple[str, int], dict[str, float]]:
    """Return the rows of the ledger of base windows: sensor, start -> fields."""
    return {
        (tags["sensor"], at): fields
        for (name, pairs, at), fields in points.items()
        if name == "ledger" and (tags := dict(pairs))["period"] == "2s" and what(tags)
    }


def said_by_status(rig: Rig) -> str:
    command = [sys.executable, "-m", "gateway", "status", str(rig.run_dir)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_post_that_starts_in_1970_waits_and_loses_nothing(wall: Wall, tmp_path: Path) -> None:
    """The gateway is also killed while readings wait."""
    wall.set(set_s=IN_1970_S, synchronised=False)
    with running(tmp_path, 7200.0) as rig:
        rig.wait(lambda: rig.held_s() > 1.0, "a hold")
        rig.wait_for_frames(2)
        said = said_by_status(rig)
        rig.kill_part("gateway")
        rig.start_part("gateway")
        rig.wait(lambda: rig.held_s() > 4.0, "the same hold")
        rig.wait_for_frames(2)
        assert rig.windows() == 0
        wall.set_right()
        rig.wait_for_windows(3)
        books = rig.settle()
    assert "CLOCK not synchronised: holding" in said
    assert "they enter when the clock is set" in said
    assert not books.troubles(), books
    assert old(books.stored) == []
    assert_all_there(rig, books.stored)


def assert_all_there(rig: Rig, stored: Points) -> None:
    """Every frame of the raw log is in a window of the store that has its true time."""
    records = [record for _, batch in read(rig.data_dir) for record in batch]
    clocks = [msgspec.msgpack.decode(one.data, type=ClockRecord) for one in records if one.kind is RecordKind.CLOCK]
    assert [one.epoch for one in clocks] == [NO_EPOCH, NO_EPOCH, 0]
    assert abs(clocks[-1].offset_ns - Clock().offset_ns()) < 2 * 10**9, "the clock of this machine is the true one"
    ledger = rows(stored, lambda _: True)
    polled = [one for one in records if one.kind is RecordKind.FRAME and one.source != "board"]
    end_ns = max(at for _, at in ledger)
    places = {(one.source, (t := one.mono_ns + clocks[-1].offset_ns) - t % (2 * 10**9)) for one in polled}
    held = {place for place in places if place[1] < end_ns}
    holds_ns = [one.mono_ns for one in records if one.kind is RecordKind.CLOCK]
    assert [sum(a < one.mono_ns < b for one in polled) > 2 for a, b in pairwise(holds_ns)] == [True, True]
    assert held <= {place for place, fields in ledger.items() if fields["valid"] + fields["rejected"] > 0}


def test_without_a_hold_1970_reaches_the_store(wall: Wall, tmp_path: Path) -> None:
    """Negative control of the test above."""
    wall.set(set_s=IN_1970_S, synchronised=False)
    with running(tmp_path, 0.0) as rig:
        rig.wait_for_windows(2)
        books = rig.settle()
    assert not books.troubles(), books
    assert len(old(books.stored)) > 10


def test_a_post_that_is_never_told_the_time_goes_on_marked(wall: Wall, tmp_path: Path) -> None:
    wall.set(synchronised=False)
    with running(tmp_path, 3.0) as rig:
        rig.wait_for_windows(4)
        rig.wait(lambda: "clock is not synchronised" in rig.alarms(), "the alarm")
        said = said_by_status(rig)
        books = rig.settle()
    assert not books.troubles(), books
    assert "readings are marked `clock`" in said
    values = {key: f for key, f in books.stored.items() if key[0] != "ledger" and f.get("n")}
    assert len(values) > 30
    derived = {"event"}
    assert {f["flag"] for key, f in values.items() if dict(key[1])["sensor"] not in derived} == {3.0}
    assert all(f.get("r_clock", 0.0) >= f["n"] for f in values.values())
    assert "NTP" in " ".join(said.split())


def test_an_hour_forward_and_back(wall: Wall, tmp_path: Path) -> None:
    now_s = time.time()
    shift_s = 10.25 * 3600 - now_s % 86_400  # to a time of day that has no border of day, evening or night near it
    wall.set(set_s=now_s + shift_s, synchronised=True)
    with running(tmp_path, 7200.0) as rig:
        rig.wait_for_windows(2)
        ahead_s = wall.set(by_s=3600) + shift_s
        rig.wait(lambda: rig.windows_from(ahead_s + 1800) >= 2, "windows an hour ahead")
        back_s = wall.set(by_s=-3600) + shift_s
        rig.wait(lambda: rig.windows_from(back_s) - rig.windows_from(ahead_s + 1800) >= 3, "windows behind")
        books = rig.settle()
    assert not books.lost
    assert not books.changed
    being_made = {dict(tags)["period"] for _, tags, _ in books.unknown}
    assert being_made <= {"6s"}, "a longer window that was to be made again when all stopped"
    starts = sorted({at / 1e9 for _, at in rows(books.stored, lambda _: True)})
    away = [at for at in starts if at > back_s + 1800]
    assert ahead_s + 3595 < away[0]
    assert away[-1] < back_s + 3605
    assert len(away) >= 2
    assert [at for at in starts if at < ahead_s + 1800 and at > back_s + 4], "and it went on behind"
    marked = {key[2] for key, f in books.stored.items() if f.get("r_clock") and dict(key[1])["period"] == "2s"}
    at_home = {at for at in marked if at / 1e9 < back_s + 1800}
    assert 1 <= len(at_home) <= 2, "what was open at the first step: with base_s = 2 and lateness_s = 2, two windows"
    assert 1 <= len(marked - at_home) <= 2, "and at the second"
    assert books.open_rows == []
