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
    t_ns = time.time_ns() - round(ago_s * 1e9)
    moved = [row | {"start_ns": row["start_ns"] + t_ns - SAMPLE["t_ns"]} for row in SAMPLE["windows"]]
    write_status(folder, SAMPLE | {"t_ns": t_ns, "pid": os.getpid(), "windows": moved} | changes)
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
    clock = lines.index("CLOCK not synchronised: readings are marked `clock`")
    assert lines[clock + 1] == "      -> check the network / NTP (timedatectl)"
    assert "ALARM the broker refuses us" in lines
    down = lines.index("DOWN  /dev/i2c-1: /dev/i2c-1: No such file or directory")
    assert lines[down + 1] == "      -> enable I2C with raspi-config"
    assert not any("DOWN" in line and "noise" in line for line in lines)
    assert "attic (bme280): never heard" in lines


FORECAST = {
    "watched_h": 24.0, "offline_days": 41.3, "offline_until": "outbox", "card_mb_day": 62.4, "device_mb_day": 210.2,
    "modem_mb_day": 4.12, "card_life_years": 522.0, "card_endurance_tb": 40.0, "origin": "datasheet: 40 TBW",
}  # fmt: skip


def test_the_forecast(tmp_path: Path) -> None:
    lines = status(said(tmp_path, forecast=FORECAST)).stdout.splitlines()
    assert lines[-4:] == [
        "offline: 41 days possible, until the outbox is full",
        "card: 62 MB/day (210 by all programs)",
        "modem: 4.1 MB/day",
        "card life: 522 years of a new card (40 TB, datasheet: 40 TBW)",
    ]
    other = {"offline_days": 3650.0, "offline_until": "free space", "device_mb_day": None, "card_endurance_tb": None}
    lines = status(said(tmp_path, forecast=FORECAST | other)).stdout.splitlines()
    assert lines[-4:] == [
        "offline: 10 years possible, until the free space is used up",
        "card: 62 MB/day",
        "modem: 4.1 MB/day",
        "card life: unknown -> set [health] card_endurance_tb and origin, from its datasheet",
    ]
    young = FORECAST | {"offline_days": None, "card_mb_day": None}
    lines = status(said(tmp_path, forecast=young)).stdout.splitlines()
    assert lines[-1] == "forecast: unknown, it needs ten minutes of running"
    assert "forecast" not in status(said(tmp_path, forecast=None)).stdout


def test_what_waits_what_is_lost_and_how_long_it_takes(tmp_path: Path) -> None:
    outbox = {"queued": 900, "unsent": 890, "dropped": 0, "dead": 0, "oldest_unsent_s": 53_000.0}
    delivery = {"n": 1440, "median_s": 1.31, "p95_s": 2.9, "longest_s": 641.0}
    text = status(said(tmp_path, outbox=outbox, delivery=delivery)).stdout
    assert "    890 not yet sent, the oldest for 15 h" in text.splitlines()
    assert "delivery, last day: half in 1.3 s, 95 % in 2.9 s, longest 11 min" in text.splitlines()
    assert "LOST" not in text
    assert "DEAD" not in text
    text = status(said(tmp_path, outbox=outbox | {"unsent": 0, "dropped": 3, "dead": 2})).stdout
    assert "LOST  3 messages dropped\n      -> gateway ledger says why" in text
    assert "DEAD  2 messages that no store took\n      -> gateway dead-letters list SITE" in text
    assert "not yet sent" not in text


def test_an_old_value_is_marked(tmp_path: Path) -> None:
    rows = [row for row in SAMPLE["windows"] if row["channel"] == "laeq"]
    for ago_s, marked in ((30, False), (3 * 3600, True)):
        old = [row | {"start_ns": time.time_ns() - ago_s * 10**9} for row in rows]
        text = status(said(tmp_path, windows=old)).stdout
        assert ("3 h OLD)" in text) is marked


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
    moved = ("t_ns", "pid", "windows")
    assert {key: value for key, value in found.items() if key not in moved} == {
        key: value for key, value in SAMPLE.items() if key not in moved
    }
    assert [row["channel"] for row in found["windows"]] == [row["channel"] for row in SAMPLE["windows"]]


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
