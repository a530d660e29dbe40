"""The owner in virtual time decides as the real one does: same talks, same records, at the same times."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.link.base import LinkError
from firmware_sim.device import NEVER_S
from firmware_sim.scenario import Scenario, load_scenario
from firmware_sim.score import read_truth
from firmware_sim.simulation import populate
from firmware_sim.truth import HeldTruth
from firmware_sim.virtual_crew import START_NS, Crew, Helper, halves
from firmware_sim.virtual_links import StreamPort, VirtualPort, in_tune
from firmware_sim.virtual_owner import VirtualOwner
from firmware_sim.virtual_site import site
from firmware_sim.virtual_time import JumpingClock, LoopClock, VirtualLoop
from gateway.acquire import NS
from gateway.links import group
from gateway.polling import BusOwner
from gateway.record import Record

ROOT = Path(__file__).parents[2]
START_S = 1_768_284_000
SECONDS = 90


class Slowly(VirtualOwner):
    """The real owner's loop, round by round, on the same clock."""

    def run_to(self, end_ns: int, clock: JumpingClock) -> None:
        clock.limit_ns = end_ns
        while clock.now_ns < end_ns:
            BusOwner._go_round(self, self._turns)


def records(scene: Scenario, folder: Path, owner: type[VirtualOwner], monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    monkeypatch.setattr("firmware_sim.virtual_crew.VirtualOwner", owner)
    config = site(scene, folder)
    truth = HeldTruth(sent=False)
    world = populate(scene, truth, float(START_S))
    crew = Crew(world, config, {key.link for key in group(config)}, START_S, truth)
    out: list[Record] = []
    for k in range(1, SECONDS // 30 + 1):
        out += crew.work(START_NS + k * 30 * NS, {}, START_S * NS - START_NS).records
    crew.end(START_S + SECONDS)
    return out


@pytest.mark.parametrize("name", ["all-faults", "crossroads", "dead-bus"])
def test_it_makes_the_records_of_the_real_one(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = replace(load_scenario(ROOT / f"configs/sim/{name}.toml"), uarts=())
    quick, slow = (records(scene, tmp_path, owner, monkeypatch) for owner in (VirtualOwner, Slowly))
    assert len(quick) > 100
    assert quick == slow


def test_the_check_would_notice_a_bus_that_is_busy_for_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = replace(load_scenario(ROOT / "configs/sim/all-faults.toml"), uarts=(), faults=())
    quick = records(scene, tmp_path, VirtualOwner, monkeypatch)
    monkeypatch.setattr("firmware_sim.virtual_links.I2C_BYTE_S", 0.004)
    assert records(scene, tmp_path, VirtualOwner, monkeypatch) != quick


def test_two_crews_share_all_links_and_none_twice(tmp_path: Path) -> None:
    config = site(load_scenario(ROOT / "configs/sim/crossroads.toml"), tmp_path)
    mine, theirs = halves(config)
    assert mine | theirs == {key.link for key in group(config)}
    assert not mine & theirs
    assert mine
    assert theirs


class Echo:
    """A part that says back what it hears, and a word by itself each second."""

    def __init__(self, baud: int | None = None) -> None:
        self.baud, self.plugged, self._due_s = baud, True, float(START_S)

    def receive(self, data: bytes, t_s: float) -> bytes:
        return data[::-1]

    def update(self, t_s: float) -> tuple[bytes, float]:
        if not self.plugged:
            return b"", NEVER_S
        said = b""
        while self._due_s <= t_s:
            said += b"tick"
            self._due_s += 1.0
        return said, self._due_s


def port(twin: Echo, baud: int = 9600) -> tuple[VirtualPort, JumpingClock]:
    clock = JumpingClock(START_S * NS - START_NS, START_NS)
    return VirtualPort(twin, clock, baud, shared=False), clock


def test_bytes_take_their_time_on_a_line() -> None:
    line, clock = port(Echo())
    line._drain()
    line.write(b"abcdefghi")
    assert line.read() == b"ihgfedcba"
    assert clock.now_ns - START_NS == pytest.approx(9 * 10 / 9600 * NS, rel=1e-6)


def test_what_is_waited_for_comes_when_the_part_speaks_and_not_later() -> None:
    line, clock = port(Echo())
    line._drain()
    assert line._heard(5.0, 4) == b"tick"
    assert (clock.now_ns - START_NS) / NS == pytest.approx(1.0 + 4 * 10 / 9600, abs=1e-3)
    assert line._heard(0.2, 4) == b""


def test_another_speed_is_not_understood() -> None:
    assert in_tune(Echo(), 9600)
    assert not in_tune(Echo(115_200), 9600)
    line, _clock = port(Echo(115_200))
    line.write(b"abc")
    assert line.read() == b""


def test_a_plug_that_is_out_is_a_lost_link() -> None:
    twin = Echo()
    line, _clock = port(twin)
    twin.plugged = False
    with pytest.raises(LinkError):
        line.write(b"abc")
    loop = VirtualLoop(START_NS)
    with pytest.raises(LinkError):
        StreamPort(twin, loop, LoopClock(START_S * NS - START_NS, loop), 9600)
    loop.close()


def test_an_hour_of_a_loop_is_over_at_once() -> None:
    loop, at = VirtualLoop(START_NS), list[int]()
    loop.call_later(1800.0, lambda: at.append(loop.now_ns))
    loop.run_to(START_NS + 3600 * NS)
    assert loop.now_ns == START_NS + 3600 * NS
    assert at == [pytest.approx(START_NS + 1800 * NS, abs=10)]
    loop.close()


def test_a_loop_keeps_the_order_of_what_is_due() -> None:
    loop, said = VirtualLoop(START_NS), list[str]()
    loop.call_later(2.0, said.append, "third")

    def first() -> None:
        said.append("first")
        loop.call_soon(said.append, "second")

    loop.call_later(1.0, first)
    loop.call_later(1.5, said.append, "never").cancel()
    loop.call_later(2.0, said.append, "fourth")
    loop.call_later(4.0, said.append, "later")
    loop.run_to(START_NS + 3 * NS)
    assert said == ["first", "second", "third", "fourth"]
    loop.run_to(START_NS + 5 * NS)
    assert said[-1] == "later"
    loop.close()


def test_a_run_on_ptys_tells_of_the_street_too(tmp_path: Path) -> None:
    args = [str(ROOT / "configs/sim/street.toml"), "--dir", str(tmp_path), "--for", "200", "--truth-detail", "minute"]
    env = os.environ | {"GATEWAY_CLOCK": f"{START_S}:100"}
    subprocess.run([sys.executable, "-m", "firmware_sim", "run", *args], check=True, env=env, cwd=ROOT, timeout=60)
    truth = read_truth(tmp_path / "truth.jsonl")
    assert len(truth.minutes) in (3, 4)  # by where in a minute it began
    assert truth.vehicles


def test_a_second_process_that_falls_is_told_of_and_not_waited_for(tmp_path: Path) -> None:
    what, truth = load_scenario(ROOT / "configs/sim/rush-hour.toml"), HeldTruth(sent=False)
    config = site(what, tmp_path)
    _mine, theirs = halves(config)
    helper = Helper(populate(what, truth, 1e9), config, theirs, 10**9, truth, ahead=2)
    helper.begin(START_NS + NS, {}, 0)
    assert helper.done().floor_ns
    helper.kill()
    helper.begin(START_NS + 2 * NS, {}, 0)
    with pytest.raises(RuntimeError, match="--jobs 1"):
        helper.done()
