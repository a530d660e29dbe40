"""The raw log: every record of acquisition on disk, before anything is made of it.

A folder of segments `NNNNNNNN.raw`. A segment is an 8-byte head (`LPRAW`, version) and blocks: length u32 and crc32
u32 of the payload, then the payload, one deflated batch of records. A torn tail, the rest of a power cut, is moved to
`quarantine/` and counted; the log always opens. A run never appends to the segment of an earlier run.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from io import FileIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gateway.record import Record, RecordKind

HEAD = b"LPRAW\x00\x01\n"
BLOCK = struct.Struct("<II")  # length, crc32
RECORD = struct.Struct("<BBHq")  # kind, length of source, length of data, mono_ns
MAX_BLOCK = 8 * 1024 * 1024
SUFFIX = ".raw"


class Position(NamedTuple):
    """Where the next block stands: segment number and byte offset."""

    segment: int = 0
    offset: int = 0


class RawLog:
    """The log of one gateway; the one writer of its folder."""

    def __init__(
        self,
        folder: Path,
        segment_bytes: int,
        keep_bytes: int,
        *,
        behind: int = 0,
        preface: Callable[[], Sequence[Record]] = tuple,
    ) -> None:
        """Open the log; new segments are numbered above `behind` too and begin with the records of `preface`."""
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._keep_bytes = keep_bytes
        self._file: FileIO | None = None
        self._dirty = False
        self.appended_bytes = 0
        self.quarantined_bytes = 0
        self.dropped_segments = 0
        folder.mkdir(parents=True, exist_ok=True)
        numbers = segments(folder)
        if numbers:
            self.quarantined_bytes = recover(folder, numbers[-1])
        self._number = max(behind, numbers[-1] if numbers else 0)
        self._preface = preface

    def append(self, records: Sequence[Record]) -> Position:
        """Write one batch as one block; return the position behind it. Raises OSError.

        A block that did not fit (the disk is full) is cut off again, so that nothing sound stands behind it.
        """
        block = block_of(records)
        file = self._writable()
        start = file.tell()
        try:
            _write_all(file, block)
        except OSError:
            file.seek(start)
            file.truncate()
            raise
        self._dirty = True
        self.appended_bytes += len(block)
        return Position(self._number, file.tell())

    def sync(self) -> None:
        """Put what was appended on the medium; blocks, so not for an event loop."""
        file = self._file
        if file is not None and self._dirty:
            self._dirty = False
            descriptor = os.dup(file.fileno())  # the segment may be closed meanwhile by the thread that appends
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)

    def read(self, position: Position) -> Iterator[tuple[Position, list[Record]]]:
        """Yield each block from `position` on, with the position behind it; damaged rests are passed over."""
        for number in segments(self._folder):
            if number < position.segment:
                continue
            offset = position.offset if number == position.segment else 0
            yield from read_segment(path_of(self._folder, number), number, offset)

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _writable(self) -> FileIO:
        if self._file is not None and self._file.tell() >= self._segment_bytes:
            self.close()
        if self._file is None:
            path = path_of(self._folder, self._number + 1)
            file = path.open("xb", buffering=0)
            try:
                preface = self._preface()
                _write_all(file, HEAD + block_of(preface) if preface else HEAD)
            except OSError:
                file.close()
                path.unlink()
                raise
            self._file = file
            self._number += 1
            self._prune()
        return self._file

    def _prune(self) -> None:
        """Delete the oldest segments beyond the cap; never the one that is written."""
        sizes = {number: path_of(self._folder, number).stat().st_size for number in segments(self._folder)}
        total = sum(sizes.values())
        for number, size in sizes.items():
            if total <= self._keep_bytes or number == self._number:
                return
            path_of(self._folder, number).unlink()
            total -= size
            self.dropped_segments += 1


def path_of(folder: Path, number: int) -> Path:
    """Name the file of a segment."""
    return folder / f"{number:08d}{SUFFIX}"


def segments(folder: Path) -> list[int]:
    """List the segment numbers in a folder, oldest first."""
    return sorted(int(path.stem) for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit())


def block_of(records: Sequence[Record]) -> bytes:
    """Write a batch as a block; deflated, because bytes are what wears a card."""
    payload = zlib.compress(pack(records), 1)
    return BLOCK.pack(len(payload), zlib.crc32(payload)) + payload


def pack(records: Sequence[Record]) -> bytes:
    """Join records into the payload of a block."""
    parts = []
    for record in records:
        source = record.source.encode()
        parts += [RECORD.pack(record.kind, len(source), len(record.data), record.mono_ns), source, record.data]
    return b"".join(parts)


def unpack(payload: bytes) -> list[Record]:
    """Take the payload of a block apart; raise ValueError when it is not one."""
    records = []
    offset = 0
    while offset < len(payload):
        try:
            kind, source_size, data_size, mono_ns = RECORD.unpack_from(payload, offset)
            start = offset + RECORD.size
            end = start + source_size + data_size
            if end > len(payload):
                raise ValueError("a record reaches beyond its block")
            source = payload[start : start + source_size].decode()
            records.append(Record(RecordKind(kind), mono_ns, source, payload[start + source_size : end]))
        except struct.error as error:
            raise ValueError(f"a record is cut off: {error}") from None
        offset = end
    return records


def read_segment(path: Path, number: int, offset: int) -> Iterator[tuple[Position, list[Record]]]:
    """Yield the sound blocks of one segment from `offset` on; stop at the first damaged one."""
    with path.open("rb") as file:
        if file.read(len(HEAD)) != HEAD:
            return
        file.seek(max(offset, len(HEAD)))
        while (payload := _next_payload(file)) is not None:
            try:
                records = unpack(payload)
            except ValueError:
                return
            yield Position(number, file.tell()), records


def recover(folder: Path, number: int) -> int:
    """Move what follows the last sound block to `quarantine/`; return its size in bytes."""
    path = path_of(folder, number)
    with path.open("r+b") as file:
        sound = len(HEAD) if file.read(len(HEAD)) == HEAD else 0
        for position, _ in read_segment(path, number, 0):
            sound = position.offset
        file.seek(sound)
        tail = file.read()
        if not tail:
            return 0
        quarantine = folder.parent / "quarantine"
        quarantine.mkdir(exist_ok=True)
        (quarantine / f"{path.stem}-{sound}.tail").write_bytes(tail)
        file.truncate(sound)
        os.fsync(file.fileno())
    return len(tail)


def _write_all(file: FileIO, data: bytes) -> None:
    """Write all of it, or raise OSError: on a full disk a write takes what fits, and only the next one says why."""
    done = 0
    while done < len(data):
        done += file.write(data[done:])


def _next_payload(file: BinaryIO) -> bytes | None:
    head = file.read(BLOCK.size)
    if len(head) < BLOCK.size:
        return None
    length, crc = BLOCK.unpack(head)
    if length > MAX_BLOCK:
        return None
    payload = file.read(length)
    if len(payload) != length or zlib.crc32(payload) != crc:
        return None
    try:
        return zlib.decompress(payload)
    except zlib.error:
        return None
