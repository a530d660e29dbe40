"""Evidence: the figures of a full run, with when, of which commit and on what machine, as files in docs/evidence."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "evidence"


def stamped(figures: dict[str, Any]) -> dict[str, Any]:
    """Put date, commit and machine before figures; a commit with `+` had changes that were not committed."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return {"date": time.strftime("%Y-%m-%d"), "commit": commit(), "machine": machine, **figures}


def write(name: str, figures: dict[str, Any], *, part: str = "", folder: Path = FOLDER) -> Path:
    """Write NAME.json; with `part` only that key of it is replaced, also when several processes do so at once."""
    path = folder / f"{name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = json.loads(path.read_text(encoding="utf-8")) if part and path.exists() else {}
        whole = known | {part: stamped(figures)} if part else stamped(figures)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
        fresh.replace(path)
    finally:
        os.close(lock)
    return path


def commit() -> str:
    """Name the commit that is checked out."""

    def git(*words: str) -> str:
        command = ["git", "--no-optional-locks", *words]
        return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "gateway", "drivers", "firmware_sim")
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
