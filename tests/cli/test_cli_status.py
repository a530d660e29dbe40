"""`gateway status`: how a gateway is, read from the file that it leaves, also when its process is dead."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from gateway.__main__ import app
from gateway.health import write_status

SAMPLE: dict[str, Any] = msgspec.json.decode((Path(__file__).parent / "status.json").read_bytes())


def said(folder: Path, *, ago_s: float = 0.0, **changes: Any) -> Path:
    """Leave a status file as a gateway does; by default of a process that lives: ours."""
    write_status(folder, SAMPLE | {"t_ns": time.time_ns() - round(ago_s * 1e9), "pid": os.getpid()} | changes)
    return folder


def status(*words: object) -> Result:
    return CliRunner().invoke(app, ["status", *map(str, words)])


def in_json(folder: Path) -> dict[str, Any]:
    result = status(folder, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = msgspec.json.decode(result.stdout)
    return found


@pytest.fixture(scope="module")
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_running_gateway(tmp_path: Path) -> None:
    result = status(said(tmp_path, ago_s=12))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "demo-gw (demo): running"
    assert any(
        line.startswith(f"said {n} s ago; version 0.1.0, config d6b6c63b8043") for n in (12, 13, 14) for line in lines
    )
    assert "    pm2_5 6.17 ug/m3 (mean of 10 s, suspect)" in lines
    assert "    laeq 58.63 dB (leq of 10 s, good)" in lines
    assert "    detections 23 detections (sum of 10 s, good)" in lines
    assert "broker: connected, 0 messages wait for their receipt" in lines
    assert "slots: 153 expected = 121 valid + 0 rejected + 32 missing" in lines


def test_troubles_are_said_with_what_to_do(tmp_path: Path) -> None:
    lines = status(said(tmp_path)).stdout.splitlines()
    assert "CLOCK not synchronised: check the network or the RTC" in lines
    assert "ALARM the broker refuses us" in lines
    down = lines.index("DOWN  /dev/i2c-1: /dev/i2c-1: No such file or directory")
    assert lines[down + 1] == "      -> enable I2C with raspi-config"
    assert not any("DOWN" in line and "noise" in line for line in lines)
    assert "attic (bme280): never heard" in lines


def test_what_a_part_is_told_is_said_when_it_is_not_what_was_measured(tmp_path: Path) -> None:
    told = {"sensor": "pm-north", "input": "humidity", "source": "weather.humidity", "value": 50.0, "defaults": 3}
    old = status(said(tmp_path, inputs=[told | {"reason": "too old"}])).stdout
    assert "    is told humidity = 50: weather.humidity is too old" in old.splitlines()
    assert "is told" not in status(said(tmp_path, inputs=[told | {"reason": ""}])).stdout
    assert "is told" not in status(said(tmp_path, inputs=[told | {"reason": "no source", "source": ""}])).stdout


def test_the_age_of_a_reading_grows_with_the_age_of_the_file(tmp_path: Path) -> None:
    lines = status(said(tmp_path, ago_s=40)).stdout.splitlines()
    assert any(line in lines for line in (f"pm-north (sds011): heard {n} s ago" for n in (41, 42, 43)))


def test_a_dead_process_is_not_running(tmp_path: Path, dead_pid: int) -> None:
    said(tmp_path, ago_s=3, pid=dead_pid)
    assert status(tmp_path).stdout.startswith("demo-gw (demo): NOT RUNNING: start it with `systemctl start gateway`")
    assert in_json(tmp_path)["alive"] is False


def test_a_process_that_says_nothing_any_more_is_not_running(tmp_path: Path) -> None:
    assert in_json(said(tmp_path, ago_s=30))["alive"] is True
    assert in_json(said(tmp_path, ago_s=300))["alive"] is False


def test_the_json_is_the_file_with_its_age(tmp_path: Path) -> None:
    found = in_json(said(tmp_path, ago_s=7))
    assert 7.0 <= found.pop("age_s") < 12.0
    assert found.pop("file") == str(tmp_path / "status.json")
    assert found.pop("alive") is True
    del found["t_ns"], found["pid"]
    assert found == {key: value for key, value in SAMPLE.items() if key not in ("t_ns", "pid")}


@pytest.mark.parametrize("inside", [".", "run", "gateway"])
def test_the_file_is_found_in_the_folders_that_a_gateway_uses(tmp_path: Path, inside: str) -> None:
    said(tmp_path / inside)
    assert in_json(tmp_path)["gateway"] == "demo-gw"


def test_the_newest_file_counts(tmp_path: Path) -> None:
    said(tmp_path, gateway="old")
    os.utime(tmp_path / "status.json", (1, 1))
    said(tmp_path / "run", gateway="new")
    assert in_json(tmp_path)["gateway"] == "new"


def test_no_file_is_said_with_what_to_do(tmp_path: Path) -> None:
    result = status(tmp_path)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "no status file was found",
        "    -> start the gateway, or name its data directory: gateway status DIR",
    ]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"t_ns": "soon"}', "null"])
def test_a_file_that_makes_no_sense_is_said_not_thrown(tmp_path: Path, text: str) -> None:
    (tmp_path / "status.json").write_text(text, encoding="utf-8")
    result = status(tmp_path)
    assert result.exit_code == 1
    assert "status.json cannot be read" in result.stderr
    assert "    -> start the gateway again" in result.stderr
