"""A Linux of its own as a process (User Mode Linux): this machine's files read-only, its own memory, no network."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
KERNEL = Path(os.environ.get("UML_KERNEL", ROOT / ".venv" / "kernel" / "linux"))
RESULT = "RESULT "
MEMORY = "700M"


def missing() -> str:
    """Say why no guest can be run here, or nothing."""
    if platform.machine() != "x86_64":
        return f"User Mode Linux runs on x86-64, this is {platform.machine()}"
    if os.geteuid() != 0:
        return "the guest reads this machine's files as root: run it as root"
    if not KERNEL.exists():
        return f"{KERNEL} is missing: tests/kernel/build_kernel.sh builds it in ten minutes"
    return ""


@dataclass(frozen=True, slots=True)
class Run:
    """What a script in the guest reported, and all that was printed."""

    results: dict[str, dict[str, Any]]
    console: str
    took_s: float


def run(script: Path, timeout_s: float) -> Run:
    """Boot, run a Python script as root, switch off; its lines that begin with RESULT are JSON with a `step`."""
    with tempfile.TemporaryDirectory(prefix="uml-") as place:
        command = [
            str(KERNEL), f"mem={MEMORY}", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro",
            f"init={HERE / 'init.sh'}", f"uml_dir={place}/", "umid=guest", "con0=null,fd:1", "con=null", "ssl=null",
            "loglevel=4", f"guest.python={sys.executable}", f"guest.script={script}",
        ]  # fmt: skip
        begin_s, env = time.monotonic(), {**os.environ, "TMPDIR": "/dev/shm"}
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env,
            start_new_session=True,
        )  # fmt: skip
        try:
            out, _ = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, 9)
            out, _ = child.communicate()
        console = out.decode(errors="replace").replace("\r", "")
    rows = [json.loads(line.removeprefix(RESULT)) for line in console.splitlines() if line.startswith(RESULT)]
    return Run({row.pop("step"): row for row in rows}, console, time.monotonic() - begin_s)
