"""The card of one system: an ext4 file system of its own in a file, whose block device counts what is written.

Journal, metadata and fsync are in the count, as they are on an SD card. The file lies in memory, so that nobody waits
for the disk of this machine. Where mounting is refused, the kernel's `write_bytes` of each process has to do.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import subprocess
from contextlib import closing
from pathlib import Path

SIZE_BYTES = 1_500_000_000  # the file is sparse
SECTOR_BYTES = 512
BLOCK_BYTES = 4096
LOG_HEAD = struct.Struct(">8xI4x8s8x")  # of a write-ahead log: page size, salts
FRAME_HEAD = struct.Struct(">I4x8s8x")  # of a page in it: its number, salts
WRITTEN_FIELD = 9  # of a line of /proc/diskstats: sectors written
MOUNT = "loop,noatime,commit=300"  # as docs/how-to/deploy.md has it for a card
AT_ONCE = "lazy_itable_init=0,lazy_journal_init=0"  # or the kernel writes to an idle card for minutes


class Card:
    """A folder on a block device of its own; `close` takes both away."""

    def __init__(self, image: Path, folder: Path, plain: Path) -> None:
        """Make the file system and mount it at `folder`; `plain` is a folder on a disk, for where that is refused."""
        self.folder = folder
        self.device = ""
        self._owed_bytes = 0
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
        """Bring to the device what programs have written, and home what waits in the write-ahead logs of SQLite.

        Where a program has its database alone, what will have to be brought home is counted as written instead.
        """
        self._owed_bytes = 0
        for log in self.folder.rglob("*.db-wal"):
            try:
                with closing(sqlite3.connect(str(log)[: -len("-wal")], timeout=0.2)) as db:
                    db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            except sqlite3.Error:
                self._owed_bytes += owed_bytes(log.read_bytes())
        subprocess.run(["sync", "-f", str(self.folder)], check=True)

    def written_bytes(self, pids: list[int]) -> int:
        """Tell the bytes written so far; of `pids` only where there is no device to ask."""
        if self.device:
            lines = (line.split() for line in Path("/proc/diskstats").read_text().splitlines())
            sectors = next(int(line[WRITTEN_FIELD]) for line in lines if line[2] == self.device)
            return sectors * SECTOR_BYTES + self._owed_bytes
        texts = (Path(f"/proc/{pid}/io").read_text().splitlines() for pid in pids)
        return sum(int(line.split()[1]) for text in texts for line in text if line.startswith("write_bytes"))

    def close(self) -> None:
        """Take the file system away."""
        if self.device:
            if subprocess.run(["umount", str(self.folder)], check=False).returncode:
                subprocess.run(["umount", "--lazy", str(self.folder)], check=False)  # goes when its last user has gone
            self.device = ""
            self._image.unlink(missing_ok=True)


def owed_bytes(log: bytes) -> int:
    """Tell how much a write-ahead log of SQLite will write when it is brought home: whole blocks of the file system.

    Pages that are in it several times go home once. Layout: https://www.sqlite.org/fileformat2.html#walformat
    """
    if len(log) < LOG_HEAD.size:
        return 0
    page_bytes, salt = LOG_HEAD.unpack_from(log)
    blocks = set()
    for at in range(LOG_HEAD.size, len(log) - FRAME_HEAD.size, FRAME_HEAD.size + page_bytes):
        page, salt_of_frame = FRAME_HEAD.unpack_from(log, at)
        if salt_of_frame != salt or not page:
            break
        blocks |= {(page - 1) * page_bytes // BLOCK_BYTES, (page * page_bytes - 1) // BLOCK_BYTES}
    return len(blocks) * BLOCK_BYTES


def has_memory(folder: Path) -> bool:
    """Say whether a folder is there and lies in memory with room for images."""
    return folder.is_dir() and os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize > SIZE_BYTES
