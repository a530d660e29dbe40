"""The spool: messages that wait on the bridge's disk while the store is away; oldest first, bounded, durable.

What is in it has been acknowledged to the broker but has no receipt: a spool that is lost costs time, never a window,
because the gateway sends again. So what is damaged is set aside and counted, and the rest goes on.

A folder of segments `00000001.spool`, each a row of frames: `LPS1`, length of the body, CRC-32 of the body, then the
body, a MessagePack array [taken (UTC ns), topic, [[epoch, seq, start (ns), rev], ...], payload]. All numbers of the
head are little endian and 32 bits long. A segment goes when all of it is in the store; after a crash its first part is
written again, which the keys make harmless.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

MAGIC = b"LPS1"
HEAD = struct.Struct("<4sII")  # magic, bytes of the body, CRC-32 of the body
SUFFIX, TORN = ".spool", ".torn"
MOST_BODY = 1 << 20
MOST_TORN = 8  # damaged pieces that are kept beside, the newest
SEGMENT_BYTES = 4_000_000
LEAST_SEGMENT_BYTES = 65_536
FLOOR_BYTES = 32_000_000  # of the disk's free space is left to others


class Spooled(msgspec.Struct, array_like=True, frozen=True):
    """One delivery as it came, when it was put aside (UTC ns), and and which messages are in it."""

    t_ns: int
    topic: str
    messages: tuple[tuple[str, int, int, int], ...]  # epoch, seq; start and rev: should a seq ever be given twice
    payload: bytes

    def names(self) -> set[int]:
        """Name its messages; two names that meet by chance cost a repeated message, for want of a receipt."""
        return {hash((self.topic, *one)) for one in self.messages}


class _Segment:
    """One file, and how many messages and bytes of it are good."""

    def __init__(self, path: Path, size: int = 0, messages: int = 0) -> None:
        self.path, self.size, self.messages = path, size, messages


class Damage(NamedTuple):
    """A stretch of a segment that is no frame."""

    start: int
    end: int


class Spool:
    """A bounded queue on disk; one thread uses it. Raises OSError only when it is opened.

    `limit_bytes` 0 takes nothing more, but gives out what an earlier run has left.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.counts: Counter[str] = Counter()
        self.trouble = ""  # why the last append could not be written
        self._segment_bytes = max(LEAST_SEGMENT_BYTES, min(SEGMENT_BYTES, limit_bytes // 16))
        self._segments: deque[_Segment] = deque()
        self._names: set[int] = set()
        self._head: deque[Spooled] | None = None  # of the first segment: what is not yet in the store
        self._next = 1
        folder.mkdir(parents=True, exist_ok=True)
        self._recover()

    @property
    def messages(self) -> int:
        """How many deliveries wait."""
        waiting = sum(segment.messages for segment in self._segments)
        return waiting if self._head is None else waiting - self._segments[0].messages + len(self._head)

    @property
    def size_bytes(self) -> int:
        """How much of the disk they take."""
        return sum(segment.size for segment in self._segments)

    @property
    def fill(self) -> float:
        """The share of the limit that is used."""
        return self.size_bytes / self.limit_bytes if self.limit_bytes else 0.0

    def oldest_ns(self) -> int | None:
        """Return when the oldest was put aside, UTC ns; None where nothing waits."""
        first = self.oldest(1, 1)
        return first[0].t_ns if first else None

    def append(self, entries: Sequence[Spooled]) -> int:
        """Put entries behind all others, durably; return how many, from the first on, are safe in it now.

        Those that are in it already are not written again, but counted as safe. Less than all: it is full, or `trouble`
        says what the disk said.
        """
        fresh: list[Spooled] = []
        frames: list[bytes] = []
        names: set[int] = set()
        size = taken = 0
        for entry in entries:
            if not (own := entry.names()) or not own <= self._names | names:
                frame = _frame(entry)
                if self.size_bytes + size + len(frame) > self.limit_bytes:
                    break
                size += len(frame)
                frames.append(frame)
                fresh.append(entry)
                names |= own
            taken += 1
        if frames and not self._write(b"".join(frames), fresh):
            return 0
        self._names |= names
        self.counts["spooled"] += len(fresh)
        self.counts["spool_repeats"] += taken - len(fresh)
        return taken

    def oldest(self, most_messages: int, most_bytes: int) -> list[Spooled]:
        """Return the oldest entries, at least one if any is there; they stay until `done`."""
        while self._segments:
            if self._head is None:
                self._head = deque(self._load(self._segments[0]))
            if self._head:
                break
            self._remove_first()
        batch: list[Spooled] = []
        size = 0
        for entry in islice(self._head or (), most_messages):
            if batch and size + len(entry.payload) > most_bytes:
                break
            batch.append(entry)
            size += len(entry.payload)
        return batch

    def done(self, n: int) -> None:
        """Forget the n oldest, of one `oldest`: the store has them."""
        for _ in range(n if self._head else 0):
            self._names -= self._head.popleft().names()  # type: ignore[union-attr]
        self.counts["drained"] += n
        if self._head is not None and not self._head:
            self._remove_first()

    # -- files ------------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Look at what an earlier run left; damaged stretches are copied beside, counted and cut off where they end."""
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            segment = _Segment(path, path.stat().st_size)
            entries = list(self._load(segment))
            segment.messages = len(entries)
            self._next = max(self._next, int(path.stem) + 1 if path.stem.isdecimal() else 1)
            if not entries:
                path.unlink(missing_ok=True)
                continue
            for entry in entries:
                self._names |= entry.names()
            self._segments.append(segment)
        self.counts["spool_found"] = self.messages

    def _load(self, segment: _Segment) -> Iterator[Spooled]:
        """Yield the entries of a segment; set aside and count what is none."""
        data = b""
        with suppress(OSError):
            data = segment.path.read_bytes()
        self.counts["spool_torn_bytes"] += max(0, segment.size - len(data))  # what the medium does not give back
        for found in entries_of(data):
            if isinstance(found, Damage):
                self._set_aside(segment, data, found)
            else:
                yield found

    def _set_aside(self, segment: _Segment, data: bytes, damage: Damage) -> None:
        """Keep a damaged stretch beside; a torn tail is cut off, so that what comes next follows the good ones."""
        beside = segment.path.with_suffix(f".{damage.start}{TORN}")
        if beside.exists():
            return  # counted when it was found first
        self.counts["spool_torn_bytes"] += damage.end - damage.start
        self.counts["spool_torn"] += 1
        with suppress(OSError):
            beside.write_bytes(data[damage.start : damage.end])
            for old in sorted(self.folder.glob(f"*{TORN}"), key=lambda path: path.stat().st_mtime_ns)[:-MOST_TORN]:
                old.unlink(missing_ok=True)
            if damage.end == len(data):
                os.truncate(segment.path, damage.start)
                segment.size = damage.start

    def _write(self, data: bytes, entries: Sequence[Spooled]) -> bool:
        """Write frames to the last segment, or a new one, and sync; what fails half-way is cut off again."""
        last = self._segments[-1] if self._segments else None
        try:
            disk = os.statvfs(self.folder)
            if disk.f_bavail * disk.f_frsize < FLOOR_BYTES + len(data):
                self.trouble = f"less than {FLOOR_BYTES // 1_000_000} MB are free on its disk"
                return False
            if last is None or last.size >= self._segment_bytes:
                last = self._begin()
            _append(last.path, last.size, data)
        except OSError as error:
            self.trouble = f"it cannot be written: {error}"
            return False
        self.trouble = ""
        last.size += len(data)
        last.messages += len(entries)
        if self._head is not None and last is self._segments[0]:
            self._head.extend(entries)
        return True

    def _begin(self) -> _Segment:
        segment = _Segment(self.folder / f"{self._next:08d}{SUFFIX}")
        segment.path.touch(mode=0o640)
        self._sync_folder()
        self._next += 1
        self._segments.append(segment)
        return segment

    def _remove_first(self) -> None:
        segment = self._segments.popleft()
        self._head = None
        with suppress(OSError):  # what stays is written once more after the next start: harmless
            segment.path.unlink(missing_ok=True)
            self._sync_folder()

    def _sync_folder(self) -> None:
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def entries_of(data: bytes) -> Iterator[Spooled | Damage]:
    """Read the frames of a segment; behind a damaged one it goes on at the next magic that begins a good one."""
    at = bad = 0
    while at < len(data):
        found = _entry_at(data, at)
        if found is None:
            at = data.find(MAGIC, at + 1)
            at = len(data) if at < 0 else at
            continue
        if bad < at:
            yield Damage(bad, at)
        entry, at = found
        bad = at
        yield entry
    if bad < len(data):
        yield Damage(bad, len(data))


def _entry_at(data: bytes, at: int) -> tuple[Spooled, int] | None:
    """Read one frame; return it with where it ends, or None where there is no good one."""
    if len(data) < at + HEAD.size:
        return None
    magic, size, crc = HEAD.unpack_from(data, at)
    body = data[at + HEAD.size : at + HEAD.size + size]
    if magic != MAGIC or size > MOST_BODY or len(body) < size or zlib.crc32(body) != crc:
        return None
    try:
        return msgspec.msgpack.decode(body, type=Spooled), at + HEAD.size + size
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _frame(entry: Spooled) -> bytes:
    body = msgspec.msgpack.encode(entry)
    return HEAD.pack(MAGIC, len(body), zlib.crc32(body)) + body


def _append(path: Path, size: int, data: bytes) -> None:
    """Write behind the first `size` bytes of a file and sync, or leave it at that size; raises OSError."""
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        try:
            done = 0
            while done < len(data):
                done += os.pwrite(file, data[done:], size + done)
            os.fdatasync(file)
        except OSError:
            with suppress(OSError):
                os.ftruncate(file, size)
            raise
    finally:
        os.close(file)
