"""`python -m bench [core|kernels|drivers|commit|publish|run ...] [--quick] [--json FILE]`: measure and print."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from bench import commit, core, drivers_frames, kernels, publish, run

SUITES: dict[str, Callable[[], Any]] = {
    "core": core.measure,
    "kernels": kernels.measure,
    "drivers": drivers_frames.measure,
    "commit": commit.measure,
    "publish": publish.measure,
    "run": run.measure,
}


def main(arguments: list[str]) -> None:
    out = Path(arguments[arguments.index("--json") + 1]) if "--json" in arguments else None
    names = [name for name in arguments if name in SUITES] or list(SUITES)
    quick = "--quick" in arguments
    figures: dict[str, object] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }
    for name in names:
        print(f"{name} ...", flush=True)
        figures[name] = core.measure(quick=True) if quick and name == "core" else SUITES[name]()
        print(json.dumps(figures[name], indent=2), flush=True)
    if out is not None:
        out.write_text(json.dumps(figures, indent=2) + "\n")


def _commit() -> str:
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return asked.stdout.strip()


if __name__ == "__main__":
    main(sys.argv[1:])
