"""The card of one system: an ext4 file system of its own in a file, whose block device counts what is written.

Journal, metadata and fsync are in the count, as they are on an SD card. The file lies in memory, so that nobody waits
for the disk of this machine. Where mounting is refused, the kernel's `write_bytes` of each process has to do.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing, suppress
from pathlib import Path

SIZE_BYTES = 1_500_000_000  # the file is sparse
SECTOR_BYTES = 512
WRITTEN_FIELD = 9  # of a line of /proc/diskstats: sectors written
MOUNT = "loop,noatime,commit=60"  # as docs/how-to/deploy.md has it for a card
AT_ONCE = "lazy_itable_init=0,lazy_journal_init=0"  # or the kernel writes to an idle card for minutes


class Card:
    """A folder on a block device of its own; `close` takes both away."""

    def __init__(self, image: Path, folder: Path, plain: Path) -> None:
        """Make the file system and mount it at `folder`; `plain` is a folder on a disk, for where that is refused."""
        self.folder = folder
        self.device = ""
        self._image = image
        folder.mkdir(parents=True)
        with image.open("wb") as file:
            file.truncate(SIZE_BYTES)
        make = ["mkfs.ext4", "-q", "-F", "-m", "0", "-N", "4096", "-E", AT_ONCE, str(image)]
        made = subprocess.run(make, capture_output=True, check=False).returncode == 0
        if made and subprocess.run(["mount", "-o", MOUNT, str(image), str(folder)], check=False).returncode == 0:
            source = subprocess.run(
                ["findmnt", "-no", "SOURCE", str(folder)], capture_output=True, text=True, check=True
            )
            self.device = Path(source.stdout.strip()).name
        else:
            image.unlink()
            self.folder = plain
            plain.mkdir(parents=True)

    @property
    def how(self) -> str:
        """How bytes are counted here."""
        return "sectors written to the block device" if self.device else "write_bytes of the processes"

    def settle(self) -> None:
        """Bring to the device what programs have written, and home what waits in the write-ahead logs of SQLite."""
        for log in self.folder.rglob("*.db-wal"):
            with suppress(sqlite3.Error), closing(sqlite3.connect(str(log)[: -len("-wal")], timeout=2.0)) as db:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        subprocess.run(["sync", "-f", str(self.folder)], check=True)

    def written_bytes(self, pids: list[int]) -> int:
        """Tell the bytes written so far; of `pids` only where there is no device to ask."""
        if self.device:
            lines = (line.split() for line in Path("/proc/diskstats").read_text().splitlines())
            return next(int(line[WRITTEN_FIELD]) * SECTOR_BYTES for line in lines if line[2] == self.device)
        texts = (Path(f"/proc/{pid}/io").read_text().splitlines() for pid in pids)
        return sum(int(line.split()[1]) for text in texts for line in text if line.startswith("write_bytes"))

    def close(self) -> None:
        """Take the file system away."""
        if self.device:
            if subprocess.run(["umount", str(self.folder)], check=False).returncode:
                subprocess.run(["umount", "--lazy", str(self.folder)], check=False)  # goes when its last user has gone
            self.device = ""
            self._image.unlink(missing_ok=True)


def has_memory(folder: Path) -> bool:
    """Say whether a folder is there and lies in memory with room for images."""
    return folder.is_dir() and os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize > SIZE_BYTES
