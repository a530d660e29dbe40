"""A disk whose power can be cut: what was not synced is then lost, whole or torn at any byte, in any order."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class File:
    durable: bytearray
    now: bytearray
    unsynced: list[tuple[int, bytes]] = field(default_factory=list)

    def cut(self, dice: random.Random) -> None:
        """Keep what was synced, and of the other writes what the dice say, in any order."""
        after = self.durable
        for offset, data in dice.sample(self.unsynced, len(self.unsynced)):
            for start, end in _kept(len(data), dice):
                after[offset + start : offset + end] = data[start:end]
        self.durable, self.now, self.unsynced = after, bytearray(after), []


def _kept(size: int, dice: random.Random) -> list[tuple[int, int]]:
    how = dice.randrange(6)
    if how == 0:
        return []
    if how == 1:
        return [(0, size)]
    cuts = sorted(dice.randrange(size + 1) for _ in range(2))
    if how == 2:
        return [(0, cuts[0])]
    if how == 3:
        return [(cuts[0], size)]
    if how == 4:
        return [(cuts[0], cuts[1])]
    return [(0, cuts[0]), (cuts[1], size)]


class Disk:
    """A disk of any number of folders; `room` bytes may still be taken by new files."""

    def __init__(self, room: int = 1 << 40) -> None:
        self.folders: dict[Path, dict[str, File]] = {}
        self.gone: dict[tuple[Path, str], File] = {}  # removed, but not for certain
        self.room = room
        self.failing = 0  # so many of the next writes fail, each after a part of it was written
        self.syncs_fail = False
        self.writes: list[tuple[str, int, int]] = []
        self.syncs = 0

    def __call__(self, path: Path) -> Files:
        return Files(self, path)

    def cut_power(self, dice: random.Random) -> None:
        for (path, name), file in self.gone.items():
            if dice.random() < 0.5:
                self.folders[path].setdefault(name, file)
        self.gone.clear()
        for files in self.folders.values():
            for file in files.values():
                file.cut(dice)


class Files:
    """One folder of the disk, as gateway.rawfiles.Files has it."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk, self._path = disk, path
        self._files = disk.folders.setdefault(path, {})

    def sizes(self) -> dict[str, int]:
        return {name: len(file.now) for name, file in self._files.items()}

    def read(self, name: str, offset: int, size: int) -> bytes:
        file = self._files.get(name)
        return b"" if file is None else bytes(file.now[offset : offset + size])

    def write(self, name: str, offset: int, data: bytes) -> None:
        file = self._files[name]
        assert 0 <= offset <= offset + len(data) <= len(file.now), "only overwritten in place"
        failing = self._disk.failing > 0
        if failing:
            self._disk.failing -= 1
            data = data[: len(data) // 2]
        self._disk.writes.append((name, offset, len(data)))
        file.now[offset : offset + len(data)] = data
        file.unsynced.append((offset, data))
        if failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def sync(self, name: str) -> None:
        if self._disk.syncs_fail:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        file = self._files[name]
        file.durable, file.unsynced = bytearray(file.now), []
        self._disk.syncs += 1

    def make(self, name: str, size: int) -> None:
        if size > self._disk.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        assert name not in self._files
        self._disk.room -= size
        self._files[name] = File(bytearray(size), bytearray(size))

    def put(self, name: str, data: bytes) -> None:
        if len(data) > self._disk.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._files[name] = File(bytearray(data), bytearray(data))

    def remove(self, name: str) -> None:
        self._disk.room += len(self._files[name].now)
        self._disk.gone[self._path, name] = self._files.pop(name)


@contextmanager
def no_more_room(disk: Disk) -> Iterator[None]:
    room, disk.room = disk.room, 0
    try:
        yield
    finally:
        disk.room += room
