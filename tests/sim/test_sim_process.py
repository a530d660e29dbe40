"""The simulator as a process: real ptys, a real socket, signals."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STREET = ROOT / "configs" / "sim" / "street.toml"
READ_LEQ = bytes.fromhex("110000800000000004000000")
DEADLINE_S = 20.0


@contextmanager
def simulator(*args: str, rate: int | None = None) -> Iterator[subprocess.Popen[str]]:
    env = {key: value for key, value in os.environ.items() if key != "GATEWAY_CLOCK"}
    if rate:
        env["GATEWAY_CLOCK"] = f"1767182400:{rate}"
    command = [sys.executable, "-m", "firmware_sim", "run", *args]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until_ready(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    lines = []
    while (line := process.stdout.readline().rstrip("\n")) != "ready":
        assert line, "the simulator ended before it was ready"
        lines.append(line)
    return lines


def collect(fd: int, enough: Callable[[bytes], bool], for_s: float = DEADLINE_S) -> bytes:
    data, end_s = b"", time.monotonic() + for_s
    while not enough(data) and (left_s := end_s - time.monotonic()) > 0:
        if select.select([fd], [], [], left_s)[0]:
            data += os.read(fd, 4096)
    return data


@contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        yield fd
    finally:
        os.close(fd)


def transfer(bus: socket.socket, request: bytes) -> tuple[int, bytes]:
    bus.sendall(request)
    reply = bus.recv(4096)
    return struct.unpack("<i", reply[:4])[0], reply[4:]


def test_a_run_from_start_to_sigterm(tmp_path: Path) -> None:
    with simulator(str(STREET), "--dir", str(tmp_path), rate=10) as process:
        assert until_ready(process) == [
            f"pm-north  sds011  {tmp_path}/pm-north",
            f"noise  nsrt_mk4  {tmp_path}/noise",
            f"radar  ops243  {tmp_path}/radar",
            f"i2c-1  i2c  {tmp_path}/i2c-1.sock",
        ]
        with opened(tmp_path / "pm-north") as pm:
            frames = collect(pm, lambda data: len(data) >= 30)
        assert frames[:30:10] == b"\xaa" * 3
        with opened(tmp_path / "pm-north") as pm, opened(tmp_path / "noise") as noise:  # a second time
            assert len(collect(pm, lambda data: len(data) >= 10)) >= 10
            os.write(noise, READ_LEQ)
            (leq,) = struct.unpack("<f", collect(noise, lambda data: len(data) >= 4))
        with opened(tmp_path / "radar") as radar:
            os.write(radar, b"?V")
            assert b'{"Version":"1.3.5"}\r\n' in collect(radar, lambda data: b"Version" in data and data[-1:] == b"\n")
            lines = collect(radar, lambda data: data.count(b"\r\n") >= 3)
        with socket.socket(socket.AF_UNIX) as bus:
            bus.settimeout(5.0)
            bus.connect(str(tmp_path / "i2c-1.sock"))
            assert transfer(bus, bytes.fromhex("0200 7600 0000 0100 d0 7600 0100 0100")) == (0, b"\x60")
            assert transfer(bus, bytes.fromhex("0100 5000 0000 0000")) == (-6, b"")
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        assert {path.name for path in tmp_path.iterdir()} == {"truth.jsonl"}
    truth = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert all(set(line) == {"t_ns", "name", "device", "values"} for line in truth)
    pm_truth = [line["values"] for line in truth if line["name"] == "pm-north"]
    assert [round(10 * values["pm2_5"]) for values in pm_truth[:3]] == [
        int.from_bytes(frames[i + 2 : i + 4], "little") for i in (0, 10, 20)
    ]
    assert {"t_ns", "name", "device", "values"} == set(truth[0])
    assert [line["values"] for line in truth if line["name"] == "noise"] == [{"laeq": leq}]
    speeds = [f"{line['values']['speed']:.1f}" for line in truth if line["name"] == "radar"]
    assert next(line for line in lines.decode().split("\r\n") if line) in speeds


def test_sigusr1_pauses_what_streams_and_resumes_it(tmp_path: Path) -> None:
    with simulator(str(STREET), "--dir", str(tmp_path), "--json", rate=20) as process:
        (line,) = until_ready(process)
        ports = json.loads(line)["ports"]
        assert ports["pm-north"] == str(tmp_path / "pm-north")
        with opened(Path(ports["pm-north"])) as pm, opened(Path(ports["noise"])) as noise:
            assert collect(pm, lambda data: len(data) >= 10)
            process.send_signal(signal.SIGUSR1)
            assert process.stderr is not None
            assert process.stderr.readline() == "streams paused\n"
            termios.tcflush(pm, termios.TCIFLUSH)
            assert collect(pm, bool, for_s=0.5) == b"", "ten simulated seconds of silence"
            os.write(noise, READ_LEQ)
            assert len(collect(noise, lambda data: len(data) >= 4)) == 4, "questions are still answered"
            process.send_signal(signal.SIGUSR1)
            assert process.stderr.readline() == "streams resumed\n"
            assert collect(pm, lambda data: len(data) >= 10)[0] == 0xAA
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_it_stops_by_itself_and_says_what_nobody_read(tmp_path: Path) -> None:
    truth = tmp_path / "elsewhere.jsonl"
    args = [str(STREET), "--dir", str(tmp_path / "new"), "--truth", str(truth), "--for", "1500"]
    with simulator(*args, rate=1000) as process:
        _out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "pm-north: " in err
    assert "bytes were dropped" in err
    assert list((tmp_path / "new").iterdir()) == []
    assert len(truth.read_text().splitlines()) > 1000


def test_played_back_frames_reach_the_port(tmp_path: Path) -> None:
    scenario = tmp_path / "scene.toml"
    scenario.write_text('[[uart]]\nname = "pm"\ndevice = "sds011"\noptions = { frames = ["aac08c009400bcf9d5ab"] }\n')
    with simulator(str(scenario), "--dir", str(tmp_path), rate=20) as process:
        until_ready(process)
        with opened(tmp_path / "pm") as pm:
            assert collect(pm, lambda data: len(data) >= 20)[:20] == bytes.fromhex("aac08c009400bcf9d5ab") * 2


def test_a_wrong_scenario_exits_with_2_and_says_why(tmp_path: Path) -> None:
    scenario = tmp_path / "scene.toml"
    scenario.write_text('[[uart]]\nname = "pm"\ndevise = "sds011"\n')
    with simulator(str(scenario)) as process:
        out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (2, "")
    assert f"{scenario}: uart[0].devise: unknown key; did you mean 'device'?" in err
    assert "Traceback" not in err


def test_a_clock_that_makes_no_sense_exits_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-m", "firmware_sim", "run", str(STREET)]
    env = os.environ | {"GATEWAY_CLOCK": "soon"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT, timeout=DEADLINE_S, check=False)
    assert done.returncode == 2
    assert "epoch:rate" in done.stderr


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "noise").write_text("precious")
    with simulator(str(STREET), "--dir", str(tmp_path)) as process:
        _out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert "in the way" in err
    assert (tmp_path / "noise").read_text() == "precious"
    assert not (tmp_path / "pm-north").is_symlink()


def test_help_tells_what_it_is_for() -> None:
    command = [sys.executable, "-m", "firmware_sim", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=DEADLINE_S, check=True)
    assert "Sensors without hardware" in done.stdout


READ_RENKE = bytes.fromhex("010300000001840a")
FAULTS = """
seed = 3

[[uart]]
name = "pm"
device = "sds011"

[[line]]
name = "rs485"

[[line.device]]
name = "east"
device = "renke_noise"
unit_id = 1

[[line.device]]
name = "west"
device = "renke_noise"
unit_id = 2

[[bus]]
name = "i2c-1"

[[bus.device]]
name = "weather"
device = "bme280"
address = 0x76

[[fault]]
on = "pm"
kind = "unplug"
from_s = 40
for_s = 40

[[fault]]
on = "i2c-1"
kind = "unplug"
from_s = 40
for_s = 40

[[fault]]
on = "weather"
kind = "nack"
probability = 0.5

[[fault]]
on = "west"
kind = "silent"
"""


def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, "it did not come to pass"
        time.sleep(0.01)


def is_gone(fd: int) -> bool:
    """Whether what was a port says EIO or the end of the file."""
    try:
        return os.read(fd, 4096) == b""
    except OSError as error:
        return error.errno == errno.EIO


def at_speed(fd: int, speed: int) -> None:
    attributes = termios.tcgetattr(fd)
    attributes[4] = attributes[5] = speed
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def test_plugs_are_pulled_and_put_back(tmp_path: Path) -> None:
    scenario = tmp_path / "scene.toml"
    scenario.write_text(FAULTS)
    place = tmp_path / "run"
    with simulator(str(scenario), "--dir", str(place), rate=20) as process:
        assert until_ready(process) == [
            f"pm  sds011  {place}/pm",
            f"rs485  rs485  {place}/rs485",
            f"i2c-1  i2c  {place}/i2c-1.sock",
        ]
        with opened(place / "pm") as pm, opened(place / "rs485") as line, socket.socket(socket.AF_UNIX) as bus:
            bus.connect(str(place / "i2c-1.sock"))
            assert collect(pm, lambda data: len(data) >= 10)
            os.write(line, READ_RENKE)
            assert collect(line, lambda data: len(data) >= 7)[:3] == bytes.fromhex("010302")
            os.write(line, bytes.fromhex("0203000000018439"))
            assert collect(line, bool, for_s=0.3) == b"", "the silent unit"
            until(lambda: not (place / "pm").is_symlink() and not (place / "i2c-1.sock").exists())
            until(lambda: is_gone(pm))
            assert bus.recv(16) == b""
        until((place / "pm").is_symlink)
        until((place / "i2c-1.sock").exists)
        with opened(place / "pm") as pm:
            assert collect(pm, lambda data: len(data) >= 10)[0] == 0xAA
        with socket.socket(socket.AF_UNIX) as bus:
            bus.settimeout(5.0)
            bus.connect(str(place / "i2c-1.sock"))
            results = [transfer(bus, bytes.fromhex("0200 7600 0000 0100 d0 7600 0100 0100")) for _ in range(40)]
        process.send_signal(signal.SIGTERM)
        _out, err = process.communicate(timeout=10)
        assert process.returncode == 0
    refused = results.count((-6, b""))
    assert refused + results.count((0, b"\x60")) == 40
    truth = [json.loads(line) for line in (place / "truth.jsonl").read_text().splitlines()]
    hits = [line for line in truth if line.get("fault") == "nack" and line["event"] == "hit"]
    assert len(hits) == refused > 0
    assert f"weather: nack: 1 times, {refused} messages struck, 0 measurements lost" in err
    plugs = [line for line in truth if line.get("fault") == "unplug" and line["event"] in ("begin", "end")]
    assert sorted({(line["name"], line["event"]) for line in plugs}) == [
        ("i2c-1", "begin"), ("i2c-1", "end"), ("pm", "begin"), ("pm", "end"),
    ]  # fmt: skip
    began = {line["name"]: line["t_ns"] for line in plugs if line["event"] == "begin"}
    ended = {line["name"]: line["t_ns"] for line in plugs if line["event"] == "end"}
    assert all(ended[name] - began[name] == pytest.approx(40e9, abs=1e6) for name in ("pm",))
    assert {line["name"] for line in truth if line.get("event") == "total"} == {"pm", "i2c-1", "weather", "west"}
    assert [line["name"] for line in truth if "values" in line and line["device"] == "renke_noise"] == ["east"]


def test_a_part_is_understood_at_its_own_speed_alone(tmp_path: Path) -> None:
    scenario = tmp_path / "scene.toml"
    scenario.write_text('[[uart]]\nname = "radar"\ndevice = "ld2451"\n')
    with simulator(str(scenario), "--dir", str(tmp_path)) as process:
        until_ready(process)
        with opened(tmp_path / "radar") as radar:
            at_speed(radar, termios.B9600)
            termios.tcflush(radar, termios.TCIFLUSH)
            noise = collect(radar, lambda data: len(data) >= 20)
            assert noise
            assert bytes.fromhex("f4f3f2f1") not in noise
            os.write(radar, bytes.fromhex("fdfcfbfa0400ff00010004030201"))
            time.sleep(0.5)
            at_speed(radar, termios.B115200)
            termios.tcflush(radar, termios.TCIFLUSH)
            said = collect(radar, lambda data: data.count(bytes.fromhex("f4f3f2f10000f8f7f6f5")) >= 3)
            assert bytes.fromhex("fdfcfbfa") not in said, "the command was not understood"
            os.write(radar, bytes.fromhex("fdfcfbfa0400ff00010004030201"))
            assert bytes.fromhex("fdfcfbfa0800ff01") in collect(radar, lambda data: bytes.fromhex("fdfcfbfa") in data)
