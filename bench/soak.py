"""The crossroads for some minutes: 24 sensors that fail at random, and the account of every slot of every one.

`python -m bench.soak --for 600 --json docs/evidence/soak.json`; ends with 1 when a sum does not close, a sensor said
nothing at all, or the gateway grew above its limit.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from drivers.base import Fault, Miss
from gateway import history
from gateway.demo import at_ports

ROOT = Path(__file__).parents[1]
RSS_LIMIT_MB = 70.0
HEAD = """extends = "{base}"
[site]
name = "crossroads"
[gateway]
name = "lp-soak"
data_dir = "{folder}/data"
run_dir = "{folder}/run"
[mqtt]
port = 9
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--for", dest="for_s", type=float, default=600.0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        result = run(Path(name), args.for_s)
    text = json.dumps(result, indent=1)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0 if result["ok"] else 1


def run(folder: Path, for_s: float) -> dict[str, Any]:
    scene = ["-m", "firmware_sim", "run", str(ROOT / "configs/sim/crossroads.toml"), "--dir", str(folder / "sim")]
    sim = subprocess.Popen(
        [sys.executable, *scene, "--truth", str(folder / "truth.jsonl")], stdout=subprocess.PIPE, text=True
    )
    assert sim.stdout is not None
    for line in sim.stdout:
        if line.strip() == "ready":
            break
    site = folder / "site.toml"
    site.write_text(site_text(folder), encoding="utf-8")
    with (folder / "gateway.log").open("w") as log:
        gateway = subprocess.Popen([str(Path(sys.executable).parent / "gateway"), "run", str(site)], stderr=log)
    peak_mb, begun = 0.0, time.monotonic()
    try:
        while time.monotonic() - begun < for_s and gateway.poll() is None:
            time.sleep(5.0)
            peak_mb = max(peak_mb, rss_mb(gateway.pid))
            print(f"{time.monotonic() - begun:5.0f} s  {peak_mb:.1f} MB", file=sys.stderr)
        alive = gateway.poll() is None
    finally:
        gateway.send_signal(signal.SIGTERM)
        gateway.wait(60)
        sim.terminate()
        sim.wait(20)
    accounts = account(folder / "data")
    closes = all(a["expected"] == a["valid"] + a["rejected"] + a["missing"] for a in accounts.values())
    reasons = all(a["rejected"] == sum(a["rejected_by"].values()) for a in accounts.values())
    heard = all(a["valid"] > 0 for a in accounts.values())
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "soak.log").write_text((folder / "gateway.log").read_text(), encoding="utf-8")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "seconds": for_s,
        "sensors": len(accounts),
        "rss_peak_mb": round(peak_mb, 1),
        "faults_injected": faults(folder / "truth.jsonl"),
        "sums_close": closes,
        "every_rejection_has_a_reason": reasons,
        "every_sensor_was_heard": heard,
        "ok": alive and closes and reasons and heard and peak_mb <= RSS_LIMIT_MB and len(accounts) == 24,
        "ledger": accounts,
    }


def commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()


def site_text(folder: Path) -> str:
    """Put the simulator's paths in the place of names."""
    text = (ROOT / "configs/crossroads.toml").read_text(encoding="utf-8")
    names = {str(one[key]): key for one in tomllib.loads(text)["sensor"] for key in ("port", "bus") if key in one}
    paths = {name: f"{folder}/sim/{name}" + (".sock" if key == "bus" else "") for name, key in names.items()}
    return HEAD.format(base=ROOT / "configs/base.toml", folder=folder) + at_ports(text, paths)


def rss_mb(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1000 if found else 0.0


def account(data: Path) -> dict[str, dict[str, Any]]:
    """Add up the slots of every sensor over all base windows."""
    out: dict[str, dict[str, Any]] = {}
    with closing(sqlite3.connect(data / "gateway.db")) as db:
        for windows in history.between(db, 0, 2**62):
            for i, sensor in enumerate(windows.sensors):
                if sensor == "board":
                    continue
                empty = {"expected": 0, "valid": 0, "rejected": 0, "missing": 0, "extra": 0}
                one = out.setdefault(sensor, empty | {"rejected_by": Counter(), "missing_by": Counter()})
                for j, name in enumerate(("expected", "valid", "rejected", "missing", "extra")):
                    one[name] += int(windows.slots[i, j])
                one["rejected_by"].update(
                    {f.name.lower(): int(windows.rejected[i, f]) for f in Fault if windows.rejected[i, f]}
                )
                one["missing_by"].update(
                    {str(m): int(windows.missed[i, k]) for k, m in enumerate(Miss) if windows.missed[i, k]}
                )
    return out


def faults(truth: Path) -> dict[str, int]:
    kinds: Counter[str] = Counter()
    for line in truth.read_text(encoding="utf-8").splitlines():
        said = json.loads(line)
        if "fault" in said:
            kinds[str(said["fault"])] += 1
    return dict(kinds)


if __name__ == "__main__":
    sys.exit(main())
