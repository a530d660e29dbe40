"""`python -m bench.delivery [--quick] [--only NAME ...]`: one run, a table, and docs/evidence/bench-peers.json."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import evidence
from bench.delivery import report, run, thingsboard
from bench.delivery.card import has_memory
from bench.delivery.timeline import FULL, QUICK, Timeline
from gateway.broker import find_mosquitto

BOARD_PYTHON = evidence.ROOT / ".venv" / "peers-thingsboard" / "bin" / "python"
LOGS = evidence.ROOT / "build" / "bench-peers"
MEMORY = Path("/dev/shm")


def main() -> int:
    """Run, print, write; 1 when a target was missed, 2 when something that is needed is not there."""
    parser = argparse.ArgumentParser(prog="python -m bench.delivery", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three minutes: everything happens, no figure counts")
    parser.add_argument("--only", nargs="+", choices=run.ALL, default=run.ALL, metavar="NAME", help=", ".join(run.ALL))
    parser.add_argument("--json", type=Path, help="write the figures there; a full run of all goes to docs/evidence")
    parser.add_argument("--board", type=Path, default=BOARD_PYTHON, help="python that has thingsboard-gateway")
    args = parser.parse_args()
    if find_mosquitto() is None:
        print("no mosquitto here: apt-get install mosquitto", file=sys.stderr)
        return 2
    if not args.board.exists():
        print("no ThingsBoard gateway here: make bench-peers sets it up", file=sys.stderr)
        return 2
    timeline = QUICK if args.quick else FULL
    systems = _run(timeline, args.only, args.board)
    verdicts = report.verdicts(systems)
    print(report.table(systems))
    print("\n".join(f"{'met   ' if met else 'MISSED'}  {target}" for target, met in verdicts.items()))
    figures = {**_about(timeline, args.board), "systems": systems, "targets": verdicts}
    if args.json:
        args.json.write_text(json.dumps(evidence.stamped(figures), indent=1) + "\n", encoding="utf-8")
    elif not args.quick and args.only == run.ALL:
        print(f"written: {evidence.write('bench-peers', figures)}")
    return 0 if args.quick or all(verdicts.values()) else 1


def _run(timeline: Timeline, names: list[str], board: Path) -> dict[str, Any]:
    """Run in a folder in memory; logs are kept in build/."""
    began = time.monotonic()
    where = MEMORY if has_memory(MEMORY) else None
    with tempfile.TemporaryDirectory(dir=where) as folder, tempfile.TemporaryDirectory(dir="/var/tmp") as disk:
        one = run.Run(Path(folder), Path(disk), timeline, names, board)
        try:
            systems = one.go()
        finally:
            run.keep_logs(Path(folder), LOGS)
            one.close()
    print(f"took {(time.monotonic() - began) / 60:.1f} minutes; logs in {LOGS}")
    return systems


def _about(timeline: Timeline, board: Path) -> dict[str, Any]:
    said = subprocess.run([find_mosquitto() or "mosquitto", "-h"], capture_output=True, text=True, check=False).stdout
    return {
        "thingsboard_gateway": thingsboard.version(board),
        "mosquitto": said.split("\n", 1)[0].removeprefix("mosquitto version "),
        "load_1min": round(os.getloadavg()[0], 2),
        "base_s": timeline.base_s,
        "quiet_s": timeline.quiet_s,
        "faults": [[at_s, fault.value] for at_s, fault in timeline.faults],
    }


if __name__ == "__main__":
    sys.exit(main())
