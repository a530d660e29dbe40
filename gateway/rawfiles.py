"""The files of the raw log: the few things that it wants of a file system.

A segment is written whole once, when it is made; from then on it is overwritten in place, so that a sync has nothing
to say to the file system's journal but the time of the change.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

PIECE = 1 << 18  # zeros are written in pieces of this size
PAGE = 4096  # what the kernel writes at least
UNFINISHED = ".new"


class Files(Protocol):
    """The files of one folder; everything but `read` and `sizes` raises OSError."""

    def sizes(self) -> dict[str, int]:
        """Return the name and size of every file; nothing where the folder cannot be read."""

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Return what is there: shorter at the end of the file, zeros where the medium gives nothing back."""

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Overwrite a part of a file; it is on the medium after the next `sync`."""

    def sync(self, name: str) -> None:
        """Put what was written to a file on the medium."""

    def make(self, name: str, size: int) -> None:
        """Make a file of zeros; it is on the medium when this returns, or there is none."""

    def put(self, name: str, data: bytes) -> None:
        """Make a small file."""

    def remove(self, name: str) -> None:
        """Remove a file."""


class Folder:
    """The files of a real folder; none is held open, so each may go at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def sizes(self) -> dict[str, int]:
        """Return the name and size of every file."""
        try:
            with os.scandir(self._path) as entries:
                return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
        except OSError:
            return {}

    def read(self, name: str, offset: int, size: int) -> bytes:
        """Read page by page where the whole cannot be read: a page that is gone must not hide those around it."""
        try:
            with self._open(name, os.O_RDONLY) as file:
                there = min(size, os.fstat(file).st_size - offset)
                with contextlib.suppress(OSError):
                    if len(data := os.pread(file, size, offset)) >= there:
                        return data
                return b"".join(_pages(file, offset, offset + there))
        except OSError:
            return b""

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Write all of it: on a full disk a write takes what fits, and only the next one says why."""
        with self._open(name, os.O_WRONLY) as file:
            _write_all(file, offset, data)

    def sync(self, name: str) -> None:
        """Sync the data of a file."""
        with self._open(name, os.O_WRONLY) as file:
            os.fdatasync(file)

    def make(self, name: str, size: int) -> None:
        """Write all zeros, not only reserve the room: a first write into reserved room changes the file's map."""
        self._path.mkdir(parents=True, exist_ok=True)
        unfinished = name + UNFINISHED
        try:
            with self._open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as file:
                os.posix_fallocate(file, 0, size)
                for offset in range(0, size, PIECE):
                    _write_all(file, offset, bytes(min(PIECE, size - offset)))
                os.fsync(file)
            (self._path / unfinished).rename(self._path / name)
        except OSError:
            with contextlib.suppress(OSError):
                self.remove(unfinished)
            raise
        with self._open(".", os.O_RDONLY | os.O_DIRECTORY) as folder:
            os.fsync(folder)

    def put(self, name: str, data: bytes) -> None:
        """Write a small file."""
        self._path.mkdir(parents=True, exist_ok=True)
        (self._path / name).write_bytes(data)

    def remove(self, name: str) -> None:
        """Remove a file."""
        (self._path / name).unlink()

    @contextlib.contextmanager
    def _open(self, name: str, flags: int) -> Iterator[int]:
        file = os.open(self._path / name, flags | os.O_CLOEXEC, 0o640)
        try:
            yield file
        finally:
            os.close(file)


Disk = Callable[[Path], Files]


def _pages(file: int, offset: int, end: int) -> Iterator[bytes]:
    while offset < end:
        part = min(PAGE - offset % PAGE, end - offset)
        try:
            yield os.pread(file, part, offset)
        except OSError:
            yield bytes(part)
        offset += part


def _write_all(file: int, offset: int, data: bytes) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(file, data[done:], offset + done)
