"""`python -m bench.raw_log`: bytes that reach the device for one synced batch of the raw log. Needs root: a loop mount.

A fresh ext4 with blocks of 4 kB lies in a file behind a loop device; what is counted are the sectors written in
/sys/block/loopN/stat, the journal and all later write-back included. `tight` syncs as fast as it can; `paced` leaves
the journal time to commit between two syncs, as ten seconds do with the usual commit interval of five.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.rawblock import block_of, deflate
from gateway.rawlog import RawLog, Sizes
from gateway.record import Record, RecordKind

MB = 1 << 20
SECTOR = 512
SIZES = Sizes(MB, 4 * MB)
PAYLOADS = (300, 3000, 12000)
TIGHT, PACED = 200, 15
PACE_S = 2.2
MOUNTS = {"tight": "commit=5", "paced": "commit=1", "paced, commit=60": "commit=60"}

Write = Callable[[list[Record]], None]


@contextlib.contextmanager
def mounted(options: str) -> Iterator[tuple[Path, Path]]:
    """Mount a fresh file system; yield its folder and the statistics of its device."""
    with tempfile.TemporaryDirectory(prefix="lamppost-bench-") as folder:
        image, where = Path(folder) / "image", Path(folder) / "mnt"
        where.mkdir()
        with image.open("wb") as file:
            file.truncate(256 * MB)
        once = "lazy_itable_init=0,lazy_journal_init=0"
        subprocess.run(["mkfs.ext4", "-q", "-F", "-b", "4096", "-E", once, image], check=True)
        asked = subprocess.run(["losetup", "-f", "--show", image], check=True, capture_output=True, text=True)
        device = asked.stdout.strip()
        subprocess.run(["mount", "-o", f"noatime,{options}", device, where], check=True)
        try:
            yield where, Path("/sys/block") / Path(device).name / "stat"
        finally:
            subprocess.run(["umount", where], check=True)
            subprocess.run(["losetup", "-d", device], check=True)


def ring(folder: Path) -> Write:
    """Lap the ring once, then write as the gateway does."""
    log = RawLog(folder, SIZES)
    while not log.dropped_segments:
        log.append(batch(9000))
        log.sync()

    def write(records: list[Record]) -> None:
        log.append(records)
        log.sync()

    return write


def growing(folder: Path) -> Write:
    """Append to a file that grows: what the raw log did before."""
    file = (folder / "growing").open("ab", buffering=0)

    def write(records: list[Record]) -> None:
        file.write(block_of(deflate(records), 0, 0))
        os.fdatasync(file.fileno())

    return write


def batch(size: int) -> list[Record]:
    """Make a batch that deflates to about `size` bytes."""
    return [Record(RecordKind.CHUNK, 0, "noise", os.urandom(size - 60))]


def measure() -> dict[str, dict[str, dict[str, float]]]:
    """Return kB per synced batch, by how it is paced, by way, by size."""
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for pace, options in MOUNTS.items():
        for way in (growing, ring):
            for size in PAYLOADS:
                with mounted(options) as (folder, stat):
                    n = TIGHT if pace == "tight" else PACED
                    kilobytes = _run(way(folder), stat, size, n, 0.0 if pace == "tight" else PACE_S)
                    figures.setdefault(pace, {}).setdefault(way.__name__, {})[f"{size} B"] = round(kilobytes, 1)
    return figures


def _run(write: Write, stat: Path, size: int, n: int, pace_s: float) -> float:
    os.sync()
    time.sleep(2.0)
    before = _written(stat)
    for _ in range(n):
        write(batch(size))
        time.sleep(pace_s)
    os.sync()
    time.sleep(2.0)
    return (_written(stat) - before) / n / 1000


def _written(stat: Path) -> int:
    return int(stat.read_text().split()[6]) * SECTOR


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
