"""Small disks that a test may fill: a file system in memory, or ext4 in a file behind a loop device."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

MB = 1_000_000
PIECE = 1 << 16


@contextlib.contextmanager
def mounted(kind: str, place: Path, size_mb: int) -> Iterator[Path]:
    """Mount a small file system of a kind (`tmpfs`, `ext4`) at a place; skip, or fail as root in CI, where it cannot.

    A place that is still in use is given up at the end of this process, not now.
    """
    place.mkdir(parents=True)
    image = place.with_suffix(".image")
    if kind == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(place)]
    else:
        with image.open("wb") as file:
            file.truncate(size_mb * MB)
        command = ["mount", "-o", "loop", str(image), str(place)]
        # -m 0: nothing is kept for root, so that the disk is full for the gateway of this test too.
        _run(["mkfs.ext4", "-q", "-m", "0", str(image)])
    _run(command)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)


def fill(place: Path, leave_bytes: int = 0) -> Path:
    """Fill a disk with a foreign file, but for some bytes; return the file."""
    foreign = place / "foreign"
    with foreign.open("ab", buffering=0) as file:
        while _free(place) > leave_bytes:
            try:
                file.write(bytes(min(PIECE, max(1, _free(place) - leave_bytes))))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                break
    os.sync()
    return foreign


def _free(place: Path) -> int:
    disk = os.statvfs(place)
    return disk.f_bavail * disk.f_frsize


def _run(command: list[str]) -> None:
    why = "not root" if os.geteuid() else ""
    if not why:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        why = f"{' '.join(command)}: {done.stderr.strip()}"
    required = os.geteuid() == 0 and os.environ.get("PYTEST_REQUIRE_SERVERS") == "1"
    (pytest.fail if required else pytest.skip)(f"no small disk: {why}")
