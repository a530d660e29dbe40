"""`python -m tests.fuzz [--inputs N] [--seed S] [--seconds T] [--target NAME] [--json FILE]`: hunt for upsetting bytes.

A finding is printed with its input as hex, its seed and the line that shows it again; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.fuzz.hunt import Tally, Target, probe_once, run
from tests.fuzz.targets import every

INPUTS = 10_000_000
TELL_EVERY_S = 30.0


def main(arguments: Sequence[str]) -> int:
    """Hunt as told; return 1 when something was found."""
    said = _parser().parse_args(arguments)
    targets = [target for target in every() if target.name.startswith(said.target)]
    if not targets:
        print(f"no target begins with {said.target!r}; there are: {', '.join(one.name for one in every())}")
        return 2
    if said.hex is not None:
        return _again(targets[0], [bytes.fromhex(text.strip("'")) for text in said.hex], said.choice)
    began = time.monotonic()
    tallies, findings = run(targets, said.inputs, said.seed, said.seconds, _teller(began))
    total = sum(tally.inputs for tally in tallies.values())
    for finding in findings:
        print(finding)
    untouched = [name for name, tally in tallies.items() if not tally.inputs]
    if untouched:
        print(f"not reached in the time: {', '.join(untouched)}")
    print(f"{total} inputs at {len(targets)} targets, seed {said.seed}: {len(findings)} findings")
    if said.json is not None:
        told = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": _commit(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "inputs": total, "seed": said.seed, "seconds": round(time.monotonic() - began),
            "targets": {target.name: _plain(target, tallies[target.name]) for target in targets},
            "findings": [finding.plain() for finding in findings],
        }  # fmt: skip
        said.json.write_text(json.dumps(told, indent=1) + "\n")
    return 1 if findings or untouched else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=INPUTS, help="how many in all")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same inputs")
    parser.add_argument("--seconds", type=float, default=0.0, help="stop after so long")
    parser.add_argument("--target", default="", help="only targets whose names begin like this")
    parser.add_argument("--json", type=Path, help="write what was done here")
    parser.add_argument("--hex", nargs="+", help="look at these inputs again")
    parser.add_argument("--choice", type=int, default=0, help="the choice that stands in the finding")
    return parser


def _again(target: Target, inputs: list[bytes], choice: int) -> int:
    print(f"{target.name}: {dict(probe_once(target, inputs, choice))}")  # what it raises is what one wants to see
    return 0


def _teller(began: float) -> Callable[[dict[str, Tally]], None]:
    """Say now and then how far it is, when it takes long."""
    last = began

    def tell(tallies: dict[str, Tally]) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= TELL_EVERY_S:
            last = now
            print(f"{now - began:.0f} s: {sum(one.inputs for one in tallies.values())} inputs", flush=True)

    return tell


def _plain(target: Target, tally: Tally) -> dict[str, object]:
    sum_ = {"sum": target.mended_by} if target.mended_by else {}
    return {"inputs": tally.inputs, **sum_, "outcomes": dict(sorted(tally.outcomes.items()))}


def _commit() -> str:
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return asked.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
