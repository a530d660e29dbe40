"""Dead letters: messages that no store will take, kept on disk with the reason until somebody looks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

SUFFIX = ".letter"


class DeadLetter(msgspec.Struct):
    """One message as it came, and why it was put aside."""

    t_ns: int
    topic: str
    reason: str
    payload: bytes


class DeadLetters:
    """A folder of dead letters, one file each, durable before anything is said about them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._n = 0

    def keep(self, letter: DeadLetter) -> Path:
        """Write a letter durably; return its file. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        while (path := self._folder / f"{letter.t_ns}-{self._n:06d}{SUFFIX}").exists():
            self._n += 1
        self._n += 1
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(letter))
            os.fsync(file.fileno())
        fresh.replace(path)
        self._sync_folder()  # else the name may not survive a power cut, and the broker has been told to forget
        return path

    def drop(self, path: Path) -> None:
        """Delete a letter durably; raises OSError."""
        path.unlink(missing_ok=True)
        self._sync_folder()

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def letters(self) -> Iterator[tuple[Path, DeadLetter]]:
        """Yield all letters, oldest first."""
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            yield path, msgspec.json.decode(path.read_bytes(), type=DeadLetter)
