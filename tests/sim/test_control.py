"""`firmware-sim ctl` on a running simulation, and quantities that are held."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_sim_process import DEADLINE_S, ROOT, collect, is_gone, opened, simulator, transfer, until, until_ready

from firmware_sim.holds import KNOWN, QUANTITIES, Hands, Hold, Holds, held
from firmware_sim.street import Particles, Street
from firmware_sim.watch import WIDTH, lines

NOON_S = 1767182400.0
SCENE = """
seed = 3

[[uart]]
name = "pm"
device = "sds011"

[[bus]]
name = "i2c-1"

[[bus.device]]
name = "weather"
device = "bme280"
address = 0x76
"""
CHIP_ID = bytes.fromhex("0200 7600 0000 0100 d0 7600 0100 0100")


def ctl(place: Path, *words: str, code: int = 0) -> str:
    command = [sys.executable, "-m", "firmware_sim", "ctl", *words, "--dir", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=DEADLINE_S, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout if not code else done.stderr


class Wire:
    """The control socket itself, as a program speaks it."""

    def __init__(self, place: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(DEADLINE_S)
        self._socket.connect(str(place / "control.sock"))
        self._lines = self._socket.makefile("rb")

    def raw(self, line: bytes) -> dict[str, Any]:
        self._socket.sendall(line + b"\n")
        return self.next()

    def next(self) -> dict[str, Any]:
        reply: dict[str, Any] = json.loads(self._lines.readline())
        return reply

    def say(self, do: str, **more: Any) -> dict[str, Any]:
        return self.raw(json.dumps({"do": do, **more}).encode())

    def device(self, name: str) -> dict[str, Any]:
        (row,) = [row for row in self.say("list")["devices"] if row["name"] == name]
        return row

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


@contextmanager
def running(tmp_path: Path) -> Iterator[tuple[Path, Wire]]:
    scene, place = tmp_path / "scene.toml", tmp_path / "run"
    scene.write_text(SCENE)
    with simulator(str(scene), "--dir", str(place), rate=10) as process:
        until_ready(process)
        wire = Wire(place)
        yield place, wire
        wire.close()
        process.terminate()
        assert process.wait(10) == 0
        assert {path.name for path in place.iterdir()} == {"truth.jsonl"}, "nothing is left behind"


def truth(place: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (place / "truth.jsonl").read_text().splitlines()]


def frames(fd: int, n: int) -> list[tuple[float, float]]:
    """PM2.5 and PM10 of n frames of an SDS011; on a busy machine the first two may have been due before."""
    termios.tcflush(fd, termios.TCIFLUSH)
    late = 2
    data = collect(fd, lambda data: len(data) >= 10 * (n + late + 1))
    at = data.index(b"\xaa\xc0") + 10 * late
    cut = [data[i : i + 10] for i in range(at, at + 10 * n, 10)]
    return [(int.from_bytes(f[2:4], "little") / 10, int.from_bytes(f[4:6], "little") / 10) for f in cut]


def test_a_quantity_is_set_for_one_part_or_for_all_and_let_go(tmp_path: Path) -> None:
    with running(tmp_path) as (place, wire), opened(place / "pm") as pm:
        before = frames(pm, 2)
        assert all(pm2_5 < 150 for pm2_5, _pm10 in before)
        assert "as pm sees it" in ctl(place, "set", "pm2_5", "300", "--on", "pm")
        assert {pm2_5 for pm2_5, _pm10 in frames(pm, 3)} == {300.0}
        assert all(pm10 >= 300 for _pm2_5, pm10 in frames(pm, 2)), "what is larger stays on top"
        assert wire.say("list")["street"]["pm2_5"]["value"] < 150, "the street has not changed"
        assert wire.device("pm")["held"] == [{"quantity": "pm2_5", "to": 300.0, "left_s": None}]
        assert wire.say("unset", on="pm") == {"ok": True, "let_go": 1}
        assert all(pm2_5 < 150 for pm2_5, _pm10 in frames(pm, 2))
        wire.say("set", quantity="pm2_5", to=200, for_s=40)
        assert {pm2_5 for pm2_5, _pm10 in frames(pm, 2)} == {200.0}
        assert wire.say("list")["street"]["pm2_5"]["value"] == 200.0
        until(lambda: not wire.say("list")["held"])
        assert all(pm2_5 < 150 for pm2_5, _pm10 in frames(pm, 2)), "it was for forty seconds"
    assert {300.0, 200.0} <= {line["values"]["pm2_5"] for line in truth(place) if line["name"] == "pm"}


def test_faults_are_put_on_and_lifted(tmp_path: Path) -> None:
    with running(tmp_path) as (place, wire), opened(place / "pm") as pm:
        assert collect(pm, lambda data: len(data) >= 10)
        number = wire.say("fault", on="pm", kind="silent")["id"]
        termios.tcflush(pm, termios.TCIFLUSH)
        assert collect(pm, bool, for_s=0.4) == b"", "four simulated seconds of silence"
        (fault,) = wire.device("pm")["faults"]
        assert (fault["id"], fault["kind"], fault["in_force"]) == (number, "silent", True)
        assert fault["lost"] >= 3
        assert ctl(place, "clear", str(number)) == "lifted: 1\n"
        assert collect(pm, lambda data: len(data) >= 10)[0] == 0xAA
        assert wire.device("pm")["faults"] == []
        assert "fault 1001 is on" in ctl(place, "fault", "weather", "nack")
        with socket.socket(socket.AF_UNIX) as bus:
            bus.settimeout(5.0)
            bus.connect(str(place / "i2c-1.sock"))
            assert transfer(bus, CHIP_ID) == (-6, b"")
            wire.say("clear")
            assert transfer(bus, CHIP_ID) == (0, b"\x60")
    told = [(line["name"], line["fault"], line["event"]) for line in truth(place) if "fault" in line]
    for event in ("begin", "end", "total"):
        assert ("pm", "silent", event) in told
        assert ("weather", "nack", event) in told


def test_plugs_are_pulled_by_hand(tmp_path: Path) -> None:
    with running(tmp_path) as (place, wire), opened(place / "pm") as pm:
        wire.say("unplug", on="pm")
        until(lambda: not (place / "pm").is_symlink())
        until(lambda: is_gone(pm))
        assert not wire.device("pm")["plugged"]
        assert ctl(place, "plug", "pm") == "pm is plugged in\n"
        until((place / "pm").is_symlink)
        with opened(place / "pm") as again:
            assert collect(again, lambda data: len(data) >= 10)[0] == 0xAA
        with socket.socket(socket.AF_UNIX) as bus:
            bus.settimeout(5.0)
            bus.connect(str(place / "i2c-1.sock"))
            wire.say("unplug", on="i2c-1", for_s=10)
            until(lambda: not (place / "i2c-1.sock").exists())
            assert bus.recv(16) == b""
        until((place / "i2c-1.sock").exists)
        assert "is plugged in" in ctl(place, "plug", "i2c-1", code=2), "it came back by itself"


def test_pause_and_resume(tmp_path: Path) -> None:
    with running(tmp_path) as (place, wire), opened(place / "pm") as pm:
        assert wire.say("pause") == {"ok": True}
        assert wire.say("list")["paused"]
        termios.tcflush(pm, termios.TCIFLUSH)
        assert collect(pm, bool, for_s=0.4) == b""
        wire.say("resume")
        assert collect(pm, lambda data: len(data) >= 10)[0] == 0xAA


def test_what_cannot_be_done_says_what_can(tmp_path: Path) -> None:
    with running(tmp_path) as (place, wire):
        wrong = {
            b"list": "not JSON",
            b"[1]": "an object",
            b'{"do": "lst"}': "there is no 'lst'",
            b'{"do": "set", "quantity": "temprature", "to": 3}': "did you mean 'temperature'?",
            b'{"do": "set", "quantity": "temperature"}': "say what it shall be",
            b'{"do": "set", "quantity": "temperature", "to": 500}': "-60 to 90 degC",
            b'{"do": "set", "quantity": "temperature", "to": "hot"}': "is not a number",
            b'{"do": "set", "quantity": "temperature", "to": 3, "on": "wether"}': "did you mean 'weather'?",
            b'{"do": "fault", "on": "pm", "kind": "silnt"}': "did you mean 'silent'?",
            b'{"do": "fault", "on": "nobody", "kind": "silent"}': "there is no 'nobody'",
            b'{"do": "fault", "on": "pm", "kind": "nack"}': "cannot have the fault",
            b'{"do": "fault", "on": "pm", "kind": "silent", "for_s": -1}': "number of seconds above 0",
            b'{"do": "clear", "id": 3}': "no such fault",
            b'{"do": "plug", "on": "pm"}': "pm is plugged in",
        }
        for line, part in wrong.items():
            reply = wire.raw(line)
            assert part in f"{reply['error']}; {reply['hint']}", line
        assert wire.say("list")["ok"], "nothing of it has hurt"
        assert "did you mean 'pm2_5'?" in ctl(place, "set", "pm25", "3", code=2)
    assert "firmware-sim run" in ctl(tmp_path, "list", code=1)


def test_watching(tmp_path: Path) -> None:
    with running(tmp_path) as (place, wire):
        first = wire.say("watch")
        later = [wire.next() for _ in range(3)]
        assert all(later[i]["t_ns"] > [first, *later][i]["t_ns"] for i in range(3))
        assert {row["name"] for row in first["devices"]} == {"pm", "i2c-1", "weather"}
        shown = list(lines(later[-1]))
        assert all(len(line) <= WIDTH for line in shown)
        assert any("pm2_5" in line for line in shown)
        command = [sys.executable, "-m", "firmware_sim", "ctl", "watch", "--dir", str(place)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=dict(os.environ)) as watcher:
            assert watcher.stdout is not None
            assert json.loads(watcher.stdout.readline())["devices"]
            watcher.terminate()


# -- holds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in KNOWN if name not in Particles._fields and name != "sound"])
def test_a_held_street_says_so_from_then_on_and_not_before(name: str) -> None:
    street, holds, quantity = Street(7), Holds(), QUANTITIES[name]
    seen = getattr(held(street, holds), quantity.method)
    plain = getattr(street, quantity.method)
    value = (quantity.lo + min(quantity.hi, 200_000.0)) / 2
    holds.by_quantity[name] = Hold(name, "to", value, NOON_S, NOON_S + 60)
    assert seen(NOON_S - 1) == plain(NOON_S - 1)
    assert seen(NOON_S) == seen(NOON_S + 59) == value != plain(NOON_S)
    assert seen(NOON_S + 60) == plain(NOON_S + 60)
    holds.by_quantity[name] = Hold(name, "by", 0.25, NOON_S)
    assert seen(NOON_S + 5) == pytest.approx(min(plain(NOON_S + 5) + 0.25, quantity.hi))


def test_the_street_and_what_a_part_sees_of_it_are_held_apart() -> None:
    street, whole, part = Street(7), Holds(), Holds()
    seen = held(held(street, whole), part)
    whole.by_quantity["temperature"] = Hold("temperature", "to", 30.0)
    assert seen.temperature_degc(NOON_S) == 30.0
    part.by_quantity["temperature"] = Hold("temperature", "by", 1.5)
    assert seen.temperature_degc(NOON_S) == 31.5
    whole.by_quantity["sound"] = Hold("sound", "to", 80.0)
    assert seen.laeq_db(NOON_S, NOON_S + 10) == pytest.approx(80.0)


def test_held_sound_is_in_the_mean_as_long_as_it_lasts() -> None:
    street, holds = Street(7), Holds()
    seen = held(street, holds)
    assert seen.laeq_db(NOON_S, NOON_S + 10) == street.laeq_db(NOON_S, NOON_S + 10)
    holds.by_quantity["sound"] = Hold("sound", "to", 94.0, NOON_S + 5)
    assert seen.sound_level_db(np.array([NOON_S, NOON_S + 6])) == pytest.approx(
        [street.sound_level_db(np.array([NOON_S]))[0], 94.0]
    )
    assert seen.laeq_db(NOON_S, NOON_S + 10) == pytest.approx(94.0 - 3.01, abs=0.1), "half of the time"
    assert seen.laeq_db(NOON_S + 6, NOON_S + 16) == pytest.approx(94.0)
    assert seen.weighted_level_db(NOON_S + 5 + 20, 1.0) == pytest.approx(94.0)
    assert seen.weighted_level_db(NOON_S + 5 + 0.693, 1.0) == pytest.approx(94.0 - 3.01, abs=0.3), "half of the energy"
    holds.by_quantity.clear()
    assert seen.weighted_level_db(NOON_S, 1.0) == street.weighted_level_db(NOON_S, 1.0)


def test_what_follows_from_a_held_quantity_follows() -> None:
    street, holds = Street(7), Holds()
    seen = held(street, holds)
    holds.by_quantity["pm2_5"] = Hold("pm2_5", "times", 10.0)
    assert seen.counts_per_cm3(NOON_S).n0_3 == pytest.approx(10 * street.counts_per_cm3(NOON_S).n0_3, rel=0.05)
    holds.by_quantity["voc_index"] = Hold("voc_index", "to", 500.0)
    assert seen.voc_ticks(NOON_S) < street.voc_ticks(NOON_S)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from(Particles._fields), st.floats(0.0, 2000.0), min_size=1))
def test_held_particles_stay_possible(wanted: dict[str, float]) -> None:
    hands = Hands()
    for name, value in wanted.items():
        hands.street.by_quantity[name] = Hold(name, "to", value)
    air = held(Street(7), hands.street).particles(NOON_S)
    largest = max(wanted, key=Particles._fields.index)
    assert getattr(air, largest) == pytest.approx(wanted[largest], abs=1e-9)
    assert all(x >= -1e-9 for x in air)
    assert list(air) == sorted(air) or list(air) == pytest.approx(sorted(air)), "each includes the smaller"
