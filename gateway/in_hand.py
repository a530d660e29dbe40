"""The batch in hand: records that acquisition has made and the raw log has not yet, kept where a crash leaves them.

Each record is written at once to a file in memory (`run_dir`): it wears no card, and a process that is killed leaves it
behind for the next start. A power cut takes it; that is what `sync_s` bounds anyway. Two files take turns: when a batch
is taken, its file says behind which place of the raw log it belongs, and goes once it stands there; what comes
meanwhile is already in the other one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
import zlib
from pathlib import Path

from gateway.rawblock import pack, unpack
from gateway.rawlog import RawLog
from gateway.rawread import Position
from gateway.record import Record

log = logging.getLogger(__name__)
MAGIC = b"LPH\x01"
HEAD = struct.Struct("<II")  # length of a packed record, its CRC-32
BEHIND = struct.Struct(
    "<4sQI"
)  # at the begin: magic, the sequence of the block it becomes (0: not taken yet), a CRC-32
MOST_BYTES = 16_000_000  # of one file: memory is for measuring
NAMES = ("in-hand-0.raw", "in-hand-1.raw")


class InHand:
    """The files of one gateway; `add` and `turn` are called under the lock of the recorder, the rest by the journal.

    Whatever goes wrong with them is logged once and stops nothing: without them a crash costs a batch.
    """

    def __init__(self, folder: Path) -> None:
        self._files = [folder / name for name in NAMES]
        self._taken: Path | None = None  # its records are a batch, on the way into the raw log
        self._file = -1
        self._size = 0
        self._turn = 0
        self._told = False

    def begin(self, rawlog: RawLog) -> int:
        """Put what an earlier run has left into the raw log, and take records from now on; return how many it were.

        The files go when all stands there, and say beforehand where: a crash meanwhile neither loses nor doubles.
        """
        end = rawlog.position
        left: list[Record] = []
        for path in self._files:
            with contextlib.suppress(OSError):
                left += _read(path.read_bytes(), end.sequence)
                _note(path, end)
        if left:
            log.info("%d records that the last run had in hand are still there", len(left))
            rawlog.append(sorted(left, key=lambda record: record.mono_ns))
        for path in self._files:
            with contextlib.suppress(OSError):
                path.unlink()
        self._open()
        return len(left)

    def add(self, record: Record) -> None:
        """Keep a record."""
        if self._file < 0 or self._size > MOST_BYTES:
            return
        packed = pack((record,))
        self._write(HEAD.pack(len(packed), zlib.crc32(packed)) + packed)

    def turn(self) -> None:
        """Go over to the other file: what is in this one is a batch now."""
        if self._file < 0:
            return
        self._close()
        if self._taken is None:  # else a batch was never logged: its records are still there, and wait with these
            self._taken = self._files[self._turn]
        self._turn = 1 - self._turn
        self._open()

    def logging(self, position: Position) -> None:
        """Note in the file of a batch that it becomes the block at `position`."""
        if self._taken is not None:
            with contextlib.suppress(OSError):
                _note(self._taken, position)

    def logged(self) -> None:
        """Let go of a batch: the raw log has it."""
        if self._taken is not None:
            with contextlib.suppress(OSError):
                self._taken.unlink()
            self._taken = None

    def close(self) -> None:
        """Take no more records; what is still in hand stays for the next start."""
        self._close()

    def _open(self) -> None:
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(self._files[self._turn], flags, 0o640)
            self._size = os.fstat(self._file).st_size
            if not self._size:
                self._write(BEHIND.pack(MAGIC, 0, zlib.crc32(bytes(8))))
        except OSError as error:
            self._tell(error)

    def _write(self, data: bytes) -> None:
        try:
            self._size += os.write(self._file, data)
        except OSError as error:
            self._tell(error)

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _tell(self, error: OSError) -> None:
        if not self._told:
            self._told = True
            log.warning("records cannot be kept in memory: %s; a crash costs the batch in hand", error)


def _note(path: Path, position: Position) -> None:
    """Say in a file behind which place of the raw log its records stand, if they stand there."""
    with path.open("r+b") as file:
        file.write(BEHIND.pack(MAGIC, position.sequence, zlib.crc32(struct.pack("<Q", position.sequence))))


def _read(data: bytes, end: int) -> list[Record]:
    """Read the records of a file, up to what is torn; none where the raw log, which ends at `end`, has them."""
    if len(data) < BEHIND.size:
        return []
    magic, sequence, checked = BEHIND.unpack_from(data)
    if magic != MAGIC or checked != zlib.crc32(struct.pack("<Q", sequence)) or 0 < sequence < end:
        return []
    records: list[Record] = []
    at = BEHIND.size
    while at + HEAD.size <= len(data):
        size, crc = HEAD.unpack_from(data, at)
        packed = data[at + HEAD.size : at + HEAD.size + size]
        if len(packed) != size or zlib.crc32(packed) != crc:
            break
        with contextlib.suppress(ValueError):
            records += unpack(packed)
        at += HEAD.size + size
    return records
