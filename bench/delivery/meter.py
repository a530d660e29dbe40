"""What processes take: processor seconds and memory, as the kernel counts them, children included."""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass, field
from pathlib import Path

TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Name a process and all its children; nothing for one that has ended."""
    out: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                out += family(int(child))
    except OSError:
        return []
    return [pid, *out]


def cpu_s(pids: list[int]) -> float:
    """Add up user and system time of processes, in ticks of /proc/PID/stat, with that of children that have ended."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(int(ticks) for ticks in fields[11:15])  # utime, stime, cutime, cstime
    return total * TICK_S


def resident_mb(pids: list[int], name: str = "VmRSS") -> float:
    """Add up resident sets, `VmRSS` now or `VmHWM` at most so far, in MB of 10^6 bytes."""
    total_kib = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        total_kib += next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)
    return total_kib * 1024 / 1e6


@dataclass(slots=True)
class Meter:
    """The figures of one group of processes over a run."""

    resident: list[float] = field(default_factory=list)
    peak_mb: float = 0.0
    cpu_from_s: float = 0.0
    cpu_quiet_s: float = 0.0

    def look(self, pids: list[int]) -> None:
        """Take a sample of memory; a process that ends meanwhile is left out."""
        try:
            now_mb, peak_mb = resident_mb(pids), resident_mb(pids, "VmHWM")
        except OSError:
            return
        if now_mb:
            self.resident.append(now_mb)
            self.peak_mb = max(self.peak_mb, peak_mb)

    def begin(self, pids: list[int]) -> None:
        """The quiet span begins."""
        self.cpu_from_s = cpu_s(pids)

    def end(self, pids: list[int]) -> None:
        """The quiet span ends."""
        self.cpu_quiet_s = cpu_s(pids) - self.cpu_from_s

    def figures(self, quiet_s: float) -> dict[str, float]:
        """Return memory in MB and processor seconds per hour of the quiet span."""
        return {
            "rss_peak_mb": round(self.peak_mb, 1),
            "rss_median_mb": round(statistics.median(self.resident), 1) if self.resident else 0.0,
            "cpu_s_per_hour": round(self.cpu_quiet_s * 3600 / quiet_s, 1),
        }
