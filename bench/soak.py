"""The crossroads for half an hour: 24 sensors that fail at random, and broker and bridge that are killed now and then.

`python -m bench.soak --for 1800 --json` writes docs/evidence/soak.json; ends with 1 when a sum does not close, a point
is not in the store as it was committed, a sensor said nothing at all, or memory grew above its limit or with time.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from bench import evidence
from drivers.base import Fault, Miss
from gateway import history
from gateway.demo import Demo, Settings

ROOT = evidence.ROOT
RSS_LIMIT_MB = 70.0
JUDGED_S = 1500.0  # shorter runs say nothing of growth
SETTLED = 2 / 3  # of a run are looked at for growth: before, caches and the allocator find their size
GROWTH_LIMIT_MB = 1.5  # over that part of a run; a leak of 1 kB in a second would be 1.2 MB in 20 minutes
LOOK_S = 5.0
KILL_EVERY_S = (60.0, 180.0)
QUIET_S = 45.0  # at the end nobody is killed, so that everything can be delivered
DOWN_S = (0.0, 20.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--for", dest="for_s", type=float, default=1800.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="write docs/evidence/soak.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lamppost-soak-") as name:
        result = run(Path(name), args.for_s, args.seed)
    if args.json:
        evidence.write("soak", result)
    print(json.dumps({key: value for key, value in result.items() if key != "ledger"}, indent=1))
    return 0 if result["ok"] else 1


def run(folder: Path, for_s: float, seed: int = 1) -> dict[str, Any]:
    """Run it; return the figures."""
    scene, sensors = ROOT / "configs/sim/crossroads.toml", ROOT / "configs/crossroads.toml"
    demo = Demo(folder, None, Settings(scene, sensors, base_s=60, long_s=(300,), batch_s=10.0))
    demo.start()
    try:
        memory, kills = live(demo, for_s, random.Random(seed))
    finally:
        demo.stop()
        (ROOT / "build").mkdir(exist_ok=True)
        (ROOT / "build" / "soak.log").write_text((demo.folder / "gateway.log").read_text(), encoding="utf-8")
    accounts = account(demo.folder / "gateway")
    books, compared = said("ledger", demo.site), said("verify", demo.site)
    grown = {name: growth_mb(np.array(seen)) for name, seen in memory.items()}
    peaks = {name: round(max(mb for _, mb in seen), 1) for name, seen in memory.items()}
    result: dict[str, Any] = {
        "seconds": for_s,
        "sensors": len(accounts),
        "broker": demo.broker.kind,
        "kills": dict(kills),
        "rss_peak_mb": peaks,
        "rss_limit_mb": RSS_LIMIT_MB,
        "rss_growth_mb": {name: round(mb, 2) for name, mb in grown.items()},
        "rss_growth_limit_mb": GROWTH_LIMIT_MB,
        "rss_growth_over_s": round(for_s * SETTLED),
        "faults_injected": faults(demo.folder / "truth.jsonl"),
        "sums_close": all(a["expected"] == a["valid"] + a["rejected"] + a["missing"] for a in accounts.values()),
        "every_rejection_has_a_reason": all(a["rejected"] == sum(a["rejected_by"].values()) for a in accounts.values()),
        "every_sensor_was_heard": all(a["valid"] > 0 for a in accounts.values()),
        "ledger_closes": books[0] == 0,
        "store_holds_everything": compared[0] == 0,
        "points": compared[1].get("points"),
    }
    flat = max(grown.values()) <= GROWTH_LIMIT_MB or for_s < JUDGED_S
    flat = flat and peaks["gateway"] <= RSS_LIMIT_MB
    checks = ("sums_close", "every_rejection_has_a_reason", "every_sensor_was_heard", "ledger_closes",
              "store_holds_everything")  # fmt: skip
    result["ok"] = flat and len(accounts) == 24 and all(result[name] for name in checks)
    return result | {"ledger": accounts}


def live(demo: Demo, for_s: float, dice: random.Random) -> tuple[dict[str, list[tuple[float, float]]], Counter[str]]:
    """Watch the memory of gateway and bridge, kill broker and bridge; return (seconds, MB) of each, and the kills."""
    memory: dict[str, list[tuple[float, float]]] = {"gateway": [], "bridge": []}
    kills: Counter[str] = Counter()
    begun, due_s = time.monotonic(), dice.uniform(*KILL_EVERY_S)
    while (now_s := time.monotonic() - begun) < for_s:
        time.sleep(LOOK_S)
        demo.check()
        for name, seen in memory.items():
            seen.append((now_s, rss_mb(demo.pid(name))))
        print(f"{now_s:5.0f} s  {memory['gateway'][-1][1]:.1f} MB  {dict(kills)}", file=sys.stderr)
        if now_s >= due_s and now_s < for_s - QUIET_S:
            victim = dice.choice(("broker", "bridge"))
            kills[victim] += 1
            kill(demo, victim, dice.uniform(*DOWN_S))
            due_s = now_s + dice.uniform(*KILL_EVERY_S)
    return memory, kills


def kill(demo: Demo, victim: str, down_s: float) -> None:
    """Kill a part, and start it again after a while."""
    if victim == "broker":
        demo.broker.kill()
        time.sleep(down_s)
        demo.broker.start()
    else:
        demo.kill(victim)
        time.sleep(down_s)
        demo.start_bridge()


def growth_mb(seen: np.ndarray) -> float:
    """Return by how much memory grew over the settled part of a run: the slope of the best line, times its length."""
    late = seen[seen[:, 0] >= seen[-1, 0] * (1 - SETTLED)]
    slope = np.polyfit(late[:, 0], late[:, 1], 1)[0]
    return float(slope * (late[-1, 0] - late[0, 0]))


def said(verb: str, site: Path) -> tuple[int, dict[str, Any]]:
    """Ask the gateway's own command line; return its exit code and what it said."""
    command = [sys.executable, "-m", "gateway", verb, str(site), "--json"]
    if verb == "verify":
        command += ["--from", "1d"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(f"{verb}: {done.returncode} {done.stderr}", file=sys.stderr)
    whole: dict[str, Any] = json.loads(done.stdout) if done.stdout.strip() else {}
    return done.returncode, whole


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process; 0 when there is none."""
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
    """Count the faults that were put in, by kind."""
    kinds: Counter[str] = Counter()
    for line in truth.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        if "fault" in told:
            kinds[str(told["fault"])] += 1
    return dict(kinds)


if __name__ == "__main__":
    sys.exit(main())
