"""Virtual time, timed: a week of 24 sensors at their own periods, and of a lidar that is lent for an hour.

`python -m bench.week --json` writes docs/evidence/week.json. Ends with 1 when a sum of the ledger does not close, a
minute of a sensor is missing, a sensor said nothing at all, or a week took more than its quarter of an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from bench import evidence
from firmware_sim.scenario import load_scenario
from firmware_sim.virtual import STORE, Plan, Totals, run
from firmware_sim.virtual_site import site

SCENE = evidence.ROOT / "configs/sim/week-24.toml"
START_S = 1_768_176_000  # Monday 2026-01-12T00:00:00Z
HOUR_S, DAY_S, WEEK_S = 3600, 86_400, 604_800
LIMIT_S = 900.0  # for a week
LEDGER = "SELECT sensor, fields FROM point WHERE measurement = 'ledger' AND period = '60s'"
SLOTS = ("expected", "valid", "rejected", "missing")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--for", dest="for_s", type=int, default=WEEK_S, metavar="SECONDS")
    parser.add_argument("--jobs", type=int, default=2, choices=(1, 2))
    parser.add_argument("--json", action="store_true", help="write docs/evidence/week.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lamppost-week-") as name:
        result = measured(Path(name), args.for_s, args.jobs)
    if args.json:
        evidence.write("week", result)
    print(json.dumps({key: value for key, value in result.items() if key != "ledger"}, indent=1))
    return 0 if result["ok"] else 1


def measured(folder: Path, for_s: int, jobs: int) -> dict[str, Any]:
    """Run it in a folder; return the figures."""
    scene = load_scenario(SCENE)
    config = site(scene, folder)
    before, load, begun_s = cpu_s(), os.getloadavg()[0], time.monotonic()
    totals = run(Plan(scene, config, folder, START_S, for_s, jobs=jobs), progress)
    wall_s = time.monotonic() - begun_s
    cpus = [after - earlier for after, earlier in zip(cpu_s(), before, strict=True)]
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    rss_mb = [resource.getrusage(one).ru_maxrss / 1024 for one in who[:jobs]]
    accounts = account(folder / STORE)
    whole = {name for name, mine in accounts.items() if mine["minutes"] == for_s // 60}
    result: dict[str, Any] = {
        "seconds": for_s,
        "sensors": len(accounts),
        "parts": len({one.driver for one in config.sensor}),
        "processes": jobs,
        "load_before": round(load, 2),
        "wall_s": round(wall_s, 1),
        "wall_limit_s": LIMIT_S,
        "cpu_s": [round(one, 1) for one in cpus[:jobs]],
        "cpu_s_per_day": round(sum(cpus) * DAY_S / for_s, 1),
        "times_real_time": round(for_s / wall_s),
        "records": totals.records,
        "windows": totals.windows,
        "messages": totals.messages,
        "points": totals.points,
        "rss_peak_mb": [round(one, 1) for one in rss_mb],
        "sums_close": all(a["expected"] == a["valid"] + a["rejected"] + a["missing"] for a in accounts.values()),
        "every_minute_is_there": whole == {one.name for one in config.sensor},
        "every_sensor_was_heard": all(mine["valid"] for mine in accounts.values()),
    }
    checks = ("sums_close", "every_minute_is_there", "every_sensor_was_heard")
    result["ok"] = all(result[name] for name in checks) and (for_s < WEEK_S or wall_s <= LIMIT_S)
    return result | {"ledger": accounts}


def cpu_s() -> tuple[float, float]:
    """Return the processor time of this process and of those that it has waited for."""
    used = [resource.getrusage(one) for one in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    mine, theirs = (one.ru_utime + one.ru_stime for one in used)
    return mine, theirs


def account(store: Path) -> dict[str, dict[str, int]]:
    """Sum up the slots of each sensor over the minutes."""
    out: dict[str, Counter[str]] = {}
    with closing(sqlite3.connect(store)) as db:
        for sensor, fields in db.execute(LEDGER):
            said = json.loads(fields)
            out.setdefault(sensor, Counter()).update({name: round(said[name]) for name in SLOTS} | {"minutes": 1})
    return {name: dict(mine) for name, mine in sorted(out.items())}


def progress(done_s: float, totals: Totals) -> None:
    """Say each day that is done."""
    if done_s % DAY_S == 0 and sys.stderr.isatty():
        print(f"{done_s / DAY_S:.0f} days, {totals.points} points", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
