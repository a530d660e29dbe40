"""Data directories of releases open in this version: history, queue, account and raw log read as they were written.

They are made by tests/data/make_data_dir.py, one for each release, and never changed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from gateway.outbox import Outbox
from gateway.rawlog import RawLog, Sizes
from gateway.rawread import Position

DATA = Path(__file__).parents[1] / "data"
BASE = Path(__file__).parents[2] / "configs" / "base.toml"
RELEASES = sorted(path.name for path in DATA.glob("data_dir_*"))
NS = 1_000_000_000


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_data_dir", DATA / "make_data_dir.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


made = _script()


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A copy of a release's data directory, and what must be found in it."""
    folder = DATA / request.param
    with tarfile.open(folder / made.ARCHIVE) as archive:
        archive.extractall(tmp_path / "data", filter="data")
    text = (folder / "site.toml").read_text(encoding="utf-8").splitlines()
    lines = [f'extends = "{BASE}"' if line.startswith("extends") else line for line in text]
    (tmp_path / "site.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "data", json.loads((folder / made.EXPECTED).read_text(encoding="utf-8"))


def facts_of(data: Path, expected: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(made.facts(data, expected["widths"])))
    return found | {"version": expected["version"]}


def _as_known(found: Any, expected: Any) -> Any:
    """Leave out what later versions count and the release did not know."""
    return {name: found[name] for name in expected} if isinstance(expected, dict) else found


def test_there_is_a_release() -> None:
    assert RELEASES
    for name in RELEASES:
        assert sum(path.stat().st_size for path in (DATA / name).iterdir()) < 300_000


def test_everything_reads_as_it_was_written(release: tuple[Path, dict[str, Any]]) -> None:
    data, expected = release
    with closing(Outbox(data / "gateway.db")) as outbox:  # which brings it to this version's form
        assert outbox.quarantined is None
        assert outbox.epoch == expected["epoch"]
        waiting = {seq: digest for seq, *_, digest in expected["waiting"]}
        assert outbox.queued.keys() == waiting.keys()
        assert {seq: hashlib.sha256(outbox.payload(seq) or b"").hexdigest() for seq in waiting} == waiting
        state = outbox.state()
        assert state is not None
        assert [state.config, state.segment, state.offset] == expected["state"]
    found = facts_of(data, expected)
    assert {name: _as_known(found.get(name), value) for name, value in expected.items()} == expected


def test_the_raw_log_goes_on_behind_it(release: tuple[Path, dict[str, Any]]) -> None:
    data, expected = release
    _, segment, offset = expected["state"]
    log = RawLog(data, Sizes(250_000, 1_000_000, 1_000_000), behind=Position(segment, offset))
    again = [record for _, records in log.read(Position(segment, offset)) for record in records]
    log.close()
    assert log.quarantined_bytes == log.lost.blocks == log.lost.bytes == 0
    assert len(again) > 20  # frames of the minutes that nobody had committed
    assert log.position > Position(segment, offset)


def test_a_gateway_starts_on_it(release: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour after the power cut: what was logged becomes windows, and what waited still waits."""
    data, expected = release
    last_s = expected["history"][-1][0] // NS
    monkeypatch.setenv("GATEWAY_CLOCK", f"{last_s + 3600 - time.clock_gettime(time.CLOCK_BOOTTIME):.0f}:1")
    site = data.parent / "site.toml"
    said = data.parent / "run" / "status.json"
    said.parent.mkdir()
    with (data.parent / "gateway.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "gateway", "run", str(site)], stderr=log)
        try:
            until_s = time.monotonic() + 60
            while not said.exists() and process.poll() is None and time.monotonic() < until_s:
                time.sleep(0.1)
            status = msgspec.json.decode(said.read_bytes())
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    assert process.returncode == 0
    assert not any("database" in alarm for alarm in status["alarms"])
    assert list(data.glob("gateway.db.*-1")) == []
    with closing(sqlite3.connect(data / "gateway.db")) as db:
        waiting = dict(db.execute("SELECT seq, payload FROM message").fetchall())
        starts = {start for (start,) in db.execute("SELECT start_ns FROM history")}
    for seq, *_, digest in expected["waiting"]:
        assert hashlib.sha256(waiting[seq]).hexdigest() == digest
    assert starts > {start for start, *_ in expected["history"]}
    assert len(waiting) > len(expected["waiting"])


def test_a_page_that_differs_is_seen(release: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """Negative control."""
    data, expected = release
    other = tmp_path / "other"
    shutil.copytree(data, other)
    with closing(sqlite3.connect(other / "gateway.db", isolation_level=None)) as db:
        db.execute(
            "UPDATE message SET payload = CAST(payload || x'00' AS BLOB) WHERE seq = (SELECT max(seq) FROM message)"
        )
        db.execute("DELETE FROM history WHERE start_ns = (SELECT min(start_ns) FROM history)")
    found = facts_of(other, expected)
    assert {name for name in found if found[name] != expected[name]} == {"waiting", "history"}
