"""`gateway status DIR` of a bridge: the same verb, the bridge's own words."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import msgspec
from typer.testing import CliRunner

from gateway.__main__ import app
from gateway.health import write_status

WELL: dict[str, Any] = {
    "v": 1, "connected": True, "alarms": {}, "counts": {"messages": 1200, "retries": 3}, "store": "influxdb",
    "store_away_s": 0.0, "spool_messages": 0, "spool_bytes": 0, "spool_limit_bytes": 64_000_000, "spool_oldest_s": 0.0,
}  # fmt: skip
ILL: dict[str, Any] = {
    "connected": False, "alarms": {"store": "influx:8086: 503", "spool": "more than 50 % of spool_mb is used"},
    "counts": {"messages": 5, "dead_letters": 2, "spool_torn_bytes": 17, "letters_unkept": 1},
    "store_away_s": 7200.0, "spool_messages": 30_000, "spool_bytes": 33_000_000, "spool_oldest_s": 7100.0,
}  # fmt: skip


def said(folder: Path, *words: str, **changes: Any) -> str:
    write_status(folder, {**WELL, "t_ns": time.time_ns(), "pid": os.getpid(), **changes})
    result = CliRunner().invoke(app, ["status", str(folder), *words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_bridge_that_is_well(tmp_path: Path) -> None:
    assert said(tmp_path).splitlines() == [
        "bridge: running", "said 0 s ago", "broker: connected", "store: influxdb, well",
        "stored: 1200 messages since its start",
    ]  # fmt: skip


def test_a_bridge_whose_store_is_away_says_what_waits_and_for_how_long(tmp_path: Path) -> None:
    lines = said(tmp_path, **ILL).splitlines()
    assert "ALARM store: influx:8086: 503" in lines
    assert "broker: NOT connected" in lines
    assert "store: influxdb, AWAY for 2 h" in lines
    assert "spool: 30000 messages, 33.0 of 64 MB," in lines
    assert "      17 bytes of it were damaged: they come again" in lines
    assert any(line.startswith("DEAD  2 messages -> gateway dead-letters") for line in lines)
    assert all(len(line) <= 60 for line in lines)


def test_a_bridge_that_is_dead(tmp_path: Path) -> None:
    assert said(tmp_path, pid=0).startswith("bridge: NOT RUNNING: systemctl start gateway-bridge\n")


def test_in_json_all_of_it(tmp_path: Path) -> None:
    found = msgspec.json.decode(said(tmp_path, "--json", **ILL))
    assert (found["spool_messages"], found["alive"], found["counts"]["spool_torn_bytes"]) == (30_000, True, 17)


def test_a_file_of_an_earlier_version_is_read_too(tmp_path: Path) -> None:
    write_status(
        tmp_path, {"v": 1, "t_ns": time.time_ns(), "connected": True, "alarms": {}, "counts": {}, "store": "sqlite"}
    )
    assert "store: sqlite, well" in CliRunner().invoke(app, ["status", str(tmp_path)]).stdout
