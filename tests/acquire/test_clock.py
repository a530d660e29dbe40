"""The clock: what GATEWAY_CLOCK may say, what a script does to the wall clock, and which CLOCK record comes next."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import Any

import pytest

from gateway import clock as clocks
from gateway import timekeeper
from gateway.acquire import Timeline
from gateway.cli.status import of_clock
from gateway.clock import NS, Clock, ClockError, ClockStep, Script, boot_id
from gateway.holding import Hold
from gateway.rawread import Position
from gateway.record import NO_EPOCH, ClockRecord
from gateway.supervise import Alarms
from gateway.timekeeper import Timekeeper

# -- what may be written -------------------------------------------------------------------------------------------


def of(text: str) -> Clock:
    return Clock.from_env({"GATEWAY_CLOCK": text})


def test_the_words_for_a_clock() -> None:
    assert Clock.from_env({}) == Clock()
    assert of("wall") == Clock(believed=True)
    assert of("1767225600:10") == Clock(1_767_225_600 * NS, 10.0)
    assert of("1767225600:10").synchronised()
    assert of("wall").synchronised()
    for text in ("soon", "1:0", "1:-2", "wall:1"):
        with pytest.raises(ClockError):
            of(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[step]]\nset_s = 1", "after_s"),
        ("[[step]]\nafter_s = 'x'", "x"),
        ("[[step]]\nafter_s = 1\nleap_s = 3", "leap_s"),
        ("[[step]]\nafter_s = 2\n[[step]]\nafter_s = 1", "must rise"),
        ("rate = 3", "unknown keys: rate"),
        ("[[step", "write [[step]] tables"),
    ],
)
def test_a_script_that_makes_no_sense_is_refused(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "clock.toml"
    path.write_text(text)
    with pytest.raises(ClockError, match=says.replace("[", r"\[")) as caught:
        of(f"@{path}")
    assert str(path) in str(caught.value)


def test_a_script_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClockError, match="No such file"):
        of(f"@{tmp_path / 'clock.toml'}")


def test_a_script_sets_the_wall_clock_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "clock.toml"
    path.write_text("[[step]]\nafter_s = 0\nset_s = 1000.0\nsynchronised = false\n")
    clock = of(f"@{path}")
    assert 1000 * NS <= clock.utc_ns() < 1010 * NS
    assert not clock.synchronised()
    assert abs(clock.mono_ns() - Clock().mono_ns()) < NS
    fresh = path.with_suffix(".new")
    fresh.write_text(path.read_text() + "[[step]]\nafter_s = 0\nby_s = 3600\nsynchronised = true\n")
    os.utime(fresh, ns=(1, 1))
    fresh.replace(path)
    assert 4600 * NS <= clock.utc_ns() < 4610 * NS, "a file that is replaced is read again"
    assert clock.synchronised()


def test_steps_come_in_their_order() -> None:
    script = Script(
        100 * NS, (ClockStep(0, by_s=5.0), ClockStep(10, set_s=50.0, synchronised=False), ClockStep(20, by_s=-1.5))
    )
    real = 7 * NS
    assert script.offset_ns(99 * NS, real) == real
    assert script.offset_ns(100 * NS, real) == real + 5 * NS
    assert script.offset_ns(111 * NS, real) == 50 * NS - 110 * NS
    assert script.offset_ns(120 * NS, real) == 50 * NS - 110 * NS - 3 * NS // 2
    assert [script.synchronised(at * NS) for at in (99, 100, 110, 130)] == [True, True, False, False]


def test_whoever_is_held_up_between_two_clocks_sees_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that sleeps for a second between reading the two reads them again."""
    real, calls = time.time_ns, iter([1.0, 0.6])

    def slow() -> int:
        time.sleep(next(calls, 0.0))
        return real()

    straight = Clock().offset_ns()
    monkeypatch.setattr(clocks.time, "time_ns", slow)
    assert abs(Clock().offset_ns() - straight) < 50_000_000


@pytest.mark.parametrize(
    ("state", "status", "maxerror", "marker", "good"),
    [
        (0, 0, 999_999, False, True),
        (0, 0, 1_000_000, False, False),
        (0, clocks.STA_UNSYNC, 0, False, False),
        (5, clocks.STA_UNSYNC, 16_000_000, True, True),
        (5, 0, 500, False, True),
        (-1, 0, 0, False, False),
        (-1, 0, 0, True, True),
    ],
)
def test_what_the_kernel_says_is_believed(
    state: int, status: int, maxerror: int, marker: bool, good: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Kernel:
        def adjtimex(self, timex: Any) -> int:
            timex._obj.status, timex._obj.maxerror = status, maxerror
            return state

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Kernel())
    path = tmp_path / "synchronized"
    if marker:
        path.touch()
    monkeypatch.setattr(clocks, "TIMESYNCD_MARKER", path)
    assert clocks.kernel_synchronised() is good


# -- which record comes next ---------------------------------------------------------------------------------------


class SetClock(Clock):
    """A clock that stands still until it is told."""

    def __init__(self, mono_s: float = 100.0, off_s: float = 1000.0, *, good: bool = True) -> None:
        super().__init__()
        self.set(mono_s, off_s, good=good)

    def set(self, mono_s: float, off_s: float, *, good: bool) -> None:
        object.__setattr__(self, "says", (round(mono_s * NS), round(off_s * NS), good))

    def mono_ns(self) -> int:
        return int(self.says[0])  # type: ignore[attr-defined]

    def utc_ns(self) -> int:
        return int(sum(self.says[:2]))  # type: ignore[attr-defined]

    def synchronised(self) -> bool:
        return bool(self.says[2])  # type: ignore[attr-defined]


HERE = boot_id()
NOTHING = ClockRecord("", 0, False, NO_EPOCH)
KNOWN = ClockRecord(HERE, 1000 * NS, True, 4)
PLACE = Position(1, 7)


def keeper(clock: Clock, hold_s: float = 60.0) -> Timekeeper:
    return Timekeeper(Timeline(clock), hold_s, Alarms())


def of_record(record: ClockRecord | None) -> tuple[Any, ...] | None:
    return None if record is None else (record.epoch, record.offset_ns / NS, record.synchronised)


@pytest.mark.parametrize(
    ("known", "clock", "hold_s", "begins"),
    [
        (NOTHING, SetClock(), 60.0, (0, 1000.0, True)),
        (NOTHING, SetClock(good=False), 60.0, (NO_EPOCH, 1000.0, False)),
        (NOTHING, SetClock(good=False), 0.0, (0, 1000.0, False)),
        (KNOWN, SetClock(off_s=1000.4), 60.0, (4, 1000.0, True)),
        (KNOWN, SetClock(off_s=1000.4, good=False), 60.0, (4, 1000.0, True)),
        (KNOWN, SetClock(off_s=1000.5), 60.0, (5, 1000.5, True)),
        (KNOWN, SetClock(off_s=1001.0, good=False), 60.0, (5, 1001.0, False)),
        (ClockRecord("another boot", 1000 * NS, True, 4), SetClock(), 60.0, (5, 1000.0, True)),
        (ClockRecord("another boot", 1000 * NS, True, 4), SetClock(good=False), 60.0, (NO_EPOCH, 1000.0, False)),
        (ClockRecord(HERE, 1000 * NS, False, 4), SetClock(), 60.0, (4, 1000.0, True)),
    ],
)
def test_under_which_clock_a_run_begins(known: ClockRecord, clock: Clock, hold_s: float, begins: Any) -> None:
    one = keeper(clock, hold_s)
    assert of_record(one.begin(known, None, PLACE, 0)) == begins
    assert (one.hold is not None) == (begins[0] == NO_EPOCH)


def test_a_hold_ends_with_a_good_clock_or_by_itself() -> None:
    clock = SetClock(good=False)
    one = keeper(clock)
    one.begin(NOTHING, None, PLACE, 0)
    assert one.hold == Hold(PLACE, HERE, 1000 * NS, 100 * NS)
    clock.set(159.0, 5000.0, good=False)
    assert one.follow(NOTHING, 158 * NS, 0) is None
    assert one.said(NOTHING)["held_s"] == 59.0
    clock.set(159.5, 5000.0, good=True)
    assert one.follow(NOTHING, 158 * NS, 0) == ClockRecord(HERE, 5000 * NS, True, 0, 100 * NS)

    clock.set(100.0, 1000.0, good=False)
    one = keeper(clock)
    one.begin(NOTHING, None, PLACE, 0)
    clock.set(160.0, 1003.0, good=False)
    assert one.follow(NOTHING, 158 * NS, 0) == ClockRecord(HERE, 1003 * NS, False, 0, 100 * NS)


def test_a_clock_that_nobody_believes_does_not_go_behind_what_is_there() -> None:
    clock = SetClock(good=False)
    one = keeper(clock)
    one.begin(ClockRecord("another boot", 0, True, 2), None, PLACE, 0)
    clock.set(160.0, 1000.0, good=False)
    record = one.follow(NOTHING, 158 * NS, 4000 * NS)
    assert record == ClockRecord(HERE, 3900 * NS, False, 3, 100 * NS)
    one.end_hold()
    clock.set(170.0, 1000.0, good=False)
    assert one.follow(record, 168 * NS, 4060 * NS) is None, "and it stays there"
    clock.set(180.0, 1000.0, good=True)
    assert of_record(one.follow(record, 178 * NS, 4060 * NS)) == (4, 1000.0, True), "until it is believed"


def test_a_step_begins_an_epoch_and_a_slew_does_not() -> None:
    clock = SetClock()
    one = keeper(clock)
    known = one.begin(NOTHING, None, PLACE, 0)
    for off_s in (1000.2, 1000.49, 999.6):
        clock.set(110.0, off_s, good=True)
        assert one.follow(known, 105 * NS, 0) is None
    clock.set(110.0, 1000.5, good=True)
    assert one.follow(known, 105 * NS, 0) == ClockRecord(HERE, 1000_500_000_000, True, 1, 105 * NS)


def test_losing_the_peer_is_no_news_and_finding_it_is() -> None:
    clock = SetClock()
    one = keeper(clock)
    known = one.begin(NOTHING, None, PLACE, 0)
    clock.set(3000.0, 1000.0, good=False)
    assert one.follow(known, 2990 * NS, 0) is None, "an offset that was good stays good"
    doubtful = ClockRecord(HERE, 1000 * NS, False, 0)
    clock.set(3000.0, 1000.1, good=True)
    assert one.follow(doubtful, 2990 * NS, 0) == ClockRecord(HERE, 1000 * NS, True, 0, 2990 * NS)


def test_the_alarm_says_what_to_do_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, alarms = SetClock(good=False), Alarms()
    one = Timekeeper(Timeline(clock), 7200.0, alarms)
    one.begin(NOTHING, None, PLACE, 0)
    one.follow(NOTHING, 0, 0)
    assert alarms.now == {}, "right after a start a network takes its time"
    clock.set(100.0 + timekeeper.PATIENCE_NS / NS + 1, 1000.0, good=False)
    one.follow(NOTHING, 0, 0)
    assert "readings wait on disk" in alarms.now["clock"]
    one.end_hold()
    one.follow(ClockRecord(HERE, 1000 * NS, False, 0), 0, 0)
    assert "marked `clock`; check the network and NTP" in alarms.now["clock"]
    clock.set(800.0, 1000.0, good=True)
    one.follow(ClockRecord(HERE, 1000 * NS, False, 0), 0, 0)
    assert alarms.now == {}


def test_status_says_it_in_plain_words() -> None:
    assert of_clock({"synchronised": True, "epoch": 0, "held_s": None, "hold_s": 7200.0}) == []
    held = of_clock({"synchronised": False, "epoch": -1, "held_s": 1500.0, "hold_s": 7200.0})
    assert held[0] == "CLOCK not synchronised: holding 25 min of readings;"
    assert "enter when the clock is set" in held[1]
    assert "network / NTP" in held[2]
    assert "95 min" in held[3]
    flowing = of_clock({"synchronised": False, "epoch": 0, "held_s": None, "hold_s": 7200.0})
    assert "marked `clock`" in flowing[0]
    assert all(len(line) <= 60 for line in held + flowing)
