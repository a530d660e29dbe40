"""Ballast: a file that is there to be given up when the disk is full, so that the next commits have room.

It lies beside the database, is made when there is plenty of room and is removed when a commit finds the disk full.
"""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from pathlib import Path

log = logging.getLogger(__name__)
NAME = "ballast"
FULL = (errno.ENOSPC, errno.EDQUOT)
LEAST_BYTES = 100_000  # free; with less the disk is as good as full, though commits still write over their log


def disk_is_full(error: BaseException) -> bool:
    """Tell a full disk from one that is away or broken."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in FULL


class Ballast:
    """The ballast of one data directory; 0 bytes: none. Belongs to the thread that owns the files."""

    def __init__(self, folder: Path, size_bytes: int, floor_bytes: float) -> None:
        self._path = folder / NAME
        self._size = size_bytes
        self._enough = floor_bytes + 2 * size_bytes  # so much is free before it is made: then it is not in the way
        self.given_up = size_bytes > 0 and not self._path.exists()

    @property
    def full(self) -> bool:
        """Whether somebody must free some space."""
        return self.given_up or self._free_bytes() < LEAST_BYTES

    def make(self) -> bool:
        """Make it, if it is not there and there is room; tell whether it is there. Never raises for want of room."""
        if not self._size:
            return False
        try:
            if self._path.exists() and self._path.stat().st_size == self._size:
                self.given_up = False
                return True
            if not self._free_bytes() >= self._enough:
                return False
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._size)
        except OSError as error:
            self._path.unlink(missing_ok=True)
            log.debug("no ballast: %s", error)
            return False
        self.given_up = False
        return True

    def _free_bytes(self) -> float:
        """Ask the file system; not a number where it does not answer: then nothing is made, and nothing is full."""
        try:
            disk = os.statvfs(self._path.parent)
        except OSError:
            return float("nan")
        return float(disk.f_bavail * disk.f_frsize)

    def give_up(self) -> bool:
        """Remove it; tell whether that has made room."""
        self.given_up = self._size > 0
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
