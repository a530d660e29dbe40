"""The main job end to end, as a new user starts it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from compare import in_history, in_store, need_mosquitto

pytestmark = pytest.mark.system


@pytest.mark.parametrize("broker", [pytest.param("mosquitto", marks=pytest.mark.servers), "iotcore"])
def test_demo_stores_what_it_published(broker: str, tmp_path: Path) -> None:
    if broker == "mosquitto":
        need_mosquitto()
    folder = tmp_path / "demo"
    command = [sys.executable, "-m", "gateway", "demo", "--for", "20", "--plain", "--json"]
    command += ["--data-dir", str(folder), "--broker", broker]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert all(summary["windows"][domain] > 0 for domain in ("air", "noise", "traffic", "weather"))
    assert summary["stored"] == summary["published"] > 0
    ledger = summary["ledger"]
    assert ledger["expected"] == ledger["valid"] + ledger["rejected"] + ledger["missing"]
    assert ledger["valid"] > 20  # the first window is always partial
    assert in_store(folder / "bridge" / "store.db") == in_history(folder / "site.toml")
