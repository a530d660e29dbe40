"""A ring of segments: files of one size that are filled one after the other, the oldest then overwritten in place.

The order of segments is that of the blocks in them, not of their names. A segment is begun only when all that was
written before is on the medium; so a power cut leaves at most one segment torn, and it is the newest, or seems still
to be the oldest because nothing of its new lap was kept.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from bisect import insort
from collections.abc import Iterator
from threading import RLock
from typing import NamedTuple

from gateway.rawblock import CHUNK, FRESH, HEAD, Block, block_of, scan
from gateway.rawfiles import PAGE, UNFINISHED, Files
from gateway.rawtail import set_aside

NAME = re.compile(r"ring-(\d+)\.raw")


class Segment(NamedTuple):
    """A file of the ring; `first` is the sequence with which its lap began, -1 while it holds no block."""

    first: int
    name: str
    size: int


class Found(NamedTuple):
    """What a segment turned out to hold."""

    highest: int  # of all sequences in it, those of torn blocks and of other laps too; -1 for none
    end: int  # behind the last sound block
    fresh: bool
    bad_end: int  # up to here stands what is neither sound nor of an earlier lap; not above `end` if all is well


def survey(files: Files) -> list[Segment]:
    """List the segments of a ring in the order of their blocks, those without any in front."""
    return sorted(_named(files, name, size) for name, size in files.sizes().items() if NAME.fullmatch(name))


def blocks(files: Files, sequence: int) -> Iterator[Block]:
    """Yield the sound blocks of a ring from a sequence on, in order; stale ones never."""
    segments = [segment for segment in survey(files) if segment.first >= 0]
    last = sequence - 1
    for i, segment in enumerate(segments):
        if i + 1 < len(segments) and segments[i + 1].first <= sequence:
            continue
        for block in _scan(files, segment.name, segment.size):
            if block.first == segment.first and block.sequence > last and block.payload is not None:
                last = block.sequence
                yield block


class Ring:
    """The one writer of a ring; `append` and `begin` may come from another thread than `sync` and `grow`."""

    def __init__(self, files: Files, quarantine: Files, segment_bytes: int, keep_bytes: int) -> None:
        self._files = files
        self._quarantine = quarantine
        self._size = max(segment_bytes - segment_bytes % PAGE, PAGE)
        self._keep_bytes = keep_bytes
        self._lock = RLock()
        self._segments: list[Segment] = []  # with blocks, the oldest first; the last one is written
        self._ready: list[Segment] = []  # without blocks
        self._old: list[tuple[str, int]] = []  # files of another format, which go when their room is needed
        self._at = self._size  # where the next block goes; at the end no segment can be written
        self._flags = 0
        self._number = 0
        self._written = self._synced = 0  # counts of writes
        self.last = -1  # the highest sequence found
        self.quarantined_bytes = 0
        self.dropped_segments = 0
        self.growth_error: OSError | None = None
        self._open()

    # -- start ---------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Find out where the last run ended, and set aside what a power cut has left behind that place."""
        sizes = self._files.sizes()
        for name in sizes:
            if name.endswith(UNFINISHED):
                with contextlib.suppress(OSError):
                    self._files.remove(name)
        self._number = max((int(match[1]) for name in sizes if (match := NAME.fullmatch(name))), default=0)
        for segment in survey(self._files):
            self._sort_in(segment)
        while self._segments:
            newest = self._segments.pop()
            state = self._examine(newest)
            self.last = max(self.last, state.highest)
            self._clean(newest, state)
            self._sort_in(now := _named(self._files, newest.name, newest.size))
            if now == newest:  # else the torn block is gone by whose lap it was named
                break
        else:
            return
        others = {segment.size: segment for segment in reversed(self._segments)} | {0: self._segments[-2:][0]}
        self.last = max(self.last, *(self._examine(segment).highest for segment in others.values()))
        if newest.size == self._size and self.last == state.highest:  # else a later lap was begun, and lost its begin
            self._at, self._flags = state.end, FRESH * state.fresh
        self._written = 1  # a process that was killed may have left blocks that are not on the medium yet

    def _sort_in(self, segment: Segment) -> None:
        """Put a segment that was found where it belongs: among those with blocks by its lap, else ready or too old."""
        if segment.first >= 0:
            insort(self._segments, segment)
            return
        self._clean(segment, self._examine(segment))
        if segment.size == self._size:
            self._ready.append(segment)
        else:
            self._old.append((segment.name, segment.size))

    def _examine(self, segment: Segment) -> Found:
        highest, end, torn, fresh, last = -1, 0, 0, segment.first < 0, -1
        for block in _scan(self._files, segment.name, segment.size):
            highest = max(highest, block.sequence)
            if block.first != segment.first or block.sequence <= last:
                continue
            fresh = bool(block.flags & FRESH)
            if block.payload is None:
                torn = max(torn, min(block.end, segment.size))
            else:
                last, end = block.sequence, block.end
        upto = segment.size if fresh else min(end + -end % PAGE, segment.size)
        return Found(highest, end, fresh, max(torn, self._last_used(segment, end, upto)))

    def _last_used(self, segment: Segment, offset: int, end: int) -> int:
        """Return where the zeros begin that reach to `end`; not below `offset`."""
        used = offset
        for start in range(offset, end, CHUNK):
            data = self._files.read(segment.name, start, min(CHUNK, end - start)).rstrip(b"\0")
            used = start + len(data) if data else used
        return used

    def _clean(self, segment: Segment, state: Found) -> None:
        if state.bad_end > state.end:
            set_aside(self._quarantine, self._files, segment.name, state.end, state.bad_end, max(state.highest, 0))
            self.quarantined_bytes += state.bad_end - state.end

    def retire(self, names: list[str]) -> None:
        """Take note of files of another format in the folder, the oldest first: they go when their room is needed."""
        sizes = self._files.sizes()
        self._old = [(name, sizes[name]) for name in names if name in sizes] + self._old

    # -- writing -------------------------------------------------------------------------------------------------

    @property
    def used(self) -> bool:
        """Tell whether anything was ever written."""
        return bool(self._segments)

    @property
    def capacity(self) -> int:
        """The longest payload that fits into a segment."""
        return self._size - HEAD.size

    def fits(self, length: int) -> bool:
        """Tell whether a payload fits into the segment in hand."""
        size = HEAD.size + length
        return self._place(size) + size <= self._size

    def begin(self, first: int) -> None:
        """Go over to the next segment, whose lap is named `first`; raises OSError when there is none."""
        with self._lock:
            if self._written != self._synced:
                with contextlib.suppress(OSError):
                    self.sync()
            if not self._ready and self.growth_error is None:
                self.grow()
            segment, self._flags = self._next()
            self._segments.append(segment._replace(first=first))
            self._at = 0

    def _next(self) -> tuple[Segment, int]:
        if self._ready:
            return self._ready.pop(0), FRESH
        whole = [segment for segment in self._segments[:-1] if segment.size == self._size]
        if not whole:
            raise self.growth_error or OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._segments.remove(whole[0])
        self.dropped_segments += 1
        return whole[0], 0

    def append(self, payload: bytes, sequence: int, flags: int = 0) -> int:
        """Write a block that fits; return its size. Raises OSError: then the place is as it was."""
        with self._lock:
            segment = self._segments[-1]
            block = block_of(payload, sequence, segment.first, flags | self._flags)
            at = self._place(len(block))
            end = at + len(block)
            zeros = min(-end % PAGE, self._size - end)  # so that a clean end can be told from a torn one
            self._written += 1
            self._files.write(segment.name, at, block + bytes(zeros))
            self._at = end
            return len(block)

    def _place(self, size: int) -> int:
        """Say where a block goes: on the next page if that saves one, for a page is the least that is written."""
        inside = self._at % PAGE
        saves = -(-(inside + size) // PAGE) > -(-size // PAGE)
        return self._at + PAGE - inside if saves else self._at

    def sync(self) -> None:
        """Put what was written on the medium; raises OSError."""
        with self._lock:
            written, name = self._written, self._segments[-1].name if self._segments else ""
        if written != self._synced:
            self._files.sync(name)
            self._synced = max(self._synced, written)

    def grow(self) -> None:
        """Have a segment of zeros ready as long as the ring may grow; an OSError is kept in `growth_error`."""
        with self._lock:
            self.growth_error = None
            if self._ready:
                return
            self._shrink()
            if self._bytes() + self._size > self._keep_bytes and len(self._segments) >= 2:
                return
            self._number += 1
            segment = Segment(-1, f"ring-{self._number:04d}.raw", self._size)
        try:
            self._files.make(segment.name, segment.size)
        except OSError as error:
            self.growth_error = error
            return
        with self._lock:
            self._ready.append(segment)

    def _bytes(self) -> int:
        return sum(segment.size for segment in (*self._segments, *self._ready)) + sum(size for _, size in self._old)

    def _shrink(self) -> None:
        """Make room: files of another format and segments of another size first, then what is beyond the cap."""
        odd = [(one.name, one.size) for one in self._segments[:-1] if one.size != self._size]
        for name, _ in (*self._old, *odd):
            if self._bytes() + self._size > self._keep_bytes:
                self._drop(name)
        while self._bytes() > self._keep_bytes and len(self._segments) > 2:
            self._drop(self._segments[0].name)

    def _drop(self, name: str) -> None:
        with contextlib.suppress(OSError):
            self._files.remove(name)
        self._old = [one for one in self._old if one[0] != name]
        self._segments = [one for one in self._segments if one.name != name]
        self.dropped_segments += 1


def _named(files: Files, name: str, size: int) -> Segment:
    """Look how a segment is named: by the lap of the first block in it that has a sound head."""
    head = next(_scan(files, name, size), None)
    return Segment(-1 if head is None else head.first, name, size)


def _scan(files: Files, name: str, size: int) -> Iterator[Block]:
    return scan(lambda offset, length: files.read(name, offset, length), size)
