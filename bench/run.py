"""The gateway as it runs: five sensors at 1 Hz, 60 s windows, a real broker; CPU, memory, disk, first frame."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from gateway import demo

SETTLE_S = 20.0
SPAN_S = 180.0


def measure() -> dict[str, float | str]:
    """Run for three minutes and scale to an hour; the window's commit and publish are in it."""
    with tempfile.TemporaryDirectory(prefix="lamppost-bench-") as folder:
        memory = Path("/dev/shm") / Path(folder).name  # as /run is on a post
        settings = demo.Settings(base_s=60, long_s=(3600,), batch_s=10.0, run_dir=memory)
        one = demo.Demo(Path(folder), settings=settings)
        try:
            return _measure(one)
        finally:
            one.stop()


def _measure(one: demo.Demo) -> dict[str, float | str]:
    one.start()
    started = time.monotonic()
    first_frame_s = _first_frame(one, started)
    time.sleep(SETTLE_S)
    pid = one.pid("gateway")
    before, at = _state(pid), time.monotonic()
    time.sleep(SPAN_S)
    after, span_s = _state(pid), time.monotonic() - at
    scale = 3600.0 / span_s
    return {
        "first_frame_s": round(first_frame_s, 2),
        "rss_mb": round(after["rss"] / 1e6, 1),
        "cpu_s_per_hour": round((after["cpu_s"] - before["cpu_s"]) * scale, 2),
        "cpu_s_to_start": round(before["cpu_s"], 2),
        "written_mb_per_hour": round((after["written"] - before["written"]) * scale / 1e6, 2),
        "wakes_per_s": round((after["wakes"] - before["wakes"]) / span_s, 1),
        "us_per_bare_wake": round(_bare_wake_us(), 1),
        "broker": one.broker.kind,
    }


def _first_frame(one: demo.Demo, started: float) -> float:
    """Wait until the raw log holds a frame or chunk of any sensor."""
    from gateway.rawlog import read
    from gateway.record import RecordKind

    while time.monotonic() - started < 30:
        for _, records in read(one.folder / "gateway"):
            if any(record.kind in (RecordKind.FRAME, RecordKind.CHUNK) for record in records):
                return time.monotonic() - started
        time.sleep(0.02)
    return float("nan")


def _bare_wake_us() -> float:
    """What a process pays here for being woken and doing nothing: the floor under `wakes_per_s`."""
    n, before = 60, _on_cpu_ns(os.getpid())
    for _ in range(n):
        time.sleep(0.05)
    return (_on_cpu_ns(os.getpid()) - before) / n / 1e3


def _on_cpu_ns(pid: int) -> int:
    """Time on a processor, to the nanosecond; the ticks of /proc/PID/stat are too coarse for a process that sleeps."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir())


def _wakes(pid: int) -> int:
    statuses = (task / "status" for task in Path(f"/proc/{pid}/task").iterdir())
    return sum(int(line.split()[1]) for path in statuses for line in path.read_text().splitlines()
               if line.startswith("voluntary_ctxt_switches"))  # fmt: skip


def _state(pid: int) -> dict[str, float]:
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    written = next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    rss = pages * os.sysconf("SC_PAGE_SIZE")
    return {"cpu_s": _on_cpu_ns(pid) / 1e9, "rss": rss, "written": written, "wakes": _wakes(pid)}
