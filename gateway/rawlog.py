"""The raw log: every record of acquisition on disk, before anything is made of it.

Batches become blocks, numbered without end (rawblock.py), in a ring of segments that are overwritten in place
(rawring.py). Which records that ring keeps is the site's policy; the others go into a second, small one, so that a
start after a crash finds the records of all sources, and the long record only what somebody wants to keep. A log
always opens: what is damaged is passed over and counted. The format is in docs/reference/raw-log.md.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from gateway import rawlog_1, rawread
from gateway.rawblock import PART, RECENT, SPARSE, WHOLE, deflate, deflate_rest
from gateway.rawfiles import PAGE, Disk, Folder
from gateway.rawread import Lost, Position
from gateway.rawring import Ring, blocks
from gateway.record import Record, RecordKind

RECENT_SEGMENTS = 4
MAIN_FOLDER, RECENT_FOLDER, QUARANTINE = "raw", "raw-recent", "quarantine"
START, END = Position(), Position(1 << 31)

Keeps = Callable[[Sequence[Record]], Sequence[bool]]
Preface = Callable[[], Sequence[Record]]


class Sizes(NamedTuple):
    """How large the log may become, in bytes; with `recent` 0 there is no second ring and everything is kept."""

    segment: int
    keep: int
    recent: int = 0


class RawLog:
    """The log of one gateway, the one writer of its folders in a data directory.

    `append` belongs to the thread that feeds the core; `sync` may run in another one meanwhile.
    """

    def __init__(
        self,
        data_dir: Path,
        sizes: Sizes,
        *,
        behind: Position = START,
        preface: Preface = tuple,
        keeps: Keeps | None = None,
        disk: Disk = Folder,
    ) -> None:
        """Open the log; new blocks are numbered from `behind` on at least.

        New segments begin with the records of `preface`; `keeps` says which records of a batch the long record is to
        hold.
        """
        self._files, self._recent_files = disk(data_dir / MAIN_FOLDER), disk(data_dir / RECENT_FOLDER)
        quarantine = disk(data_dir / QUARANTINE)
        self._main = Ring(self._files, quarantine, sizes.segment, sizes.keep)
        self._recent = Ring(self._recent_files, quarantine, sizes.recent // RECENT_SEGMENTS, sizes.recent)
        old = rawlog_1.segments(self._files)
        self._main.retire(list(old.values()))
        self._preface = preface
        self._keeps = keeps if sizes.recent else None
        self._lock = Lock()
        above_old = Position(max(old, default=0) + 1)
        self._next = max(self._main.last + 1, self._recent.last + 1, behind.sequence, above_old.sequence)
        self._sparse = any(block.flags & WHOLE for block in blocks(self._recent_files, self._next - 1))
        self._error: OSError | None = None
        self.appended_bytes = 0
        self.dropped_records = 0
        self.lost = Lost()
        if self._keeps is not None:
            self._recent.grow()

    @property
    def quarantined_bytes(self) -> int:
        """How many bytes of bad tails were set aside at the start."""
        return self._main.quarantined_bytes + self._recent.quarantined_bytes

    @property
    def dropped_segments(self) -> int:
        """How many segments of the long record were overwritten or removed since the start."""
        return self._main.dropped_segments

    @property
    def position(self) -> Position:
        """Where the next block will stand."""
        return Position.of(self._next)

    @property
    def trouble(self) -> str:
        """What is wrong with writing; empty while all is well."""
        if self._error is not None:
            return f"cannot write the raw log: {self._error}; windows go on without it"
        growth = self._main.growth_error or self._recent.growth_error
        return f"the raw log cannot grow: {growth}; its oldest records go early" if growth is not None else ""

    # -- writing ---------------------------------------------------------------------------------------------------

    def append(self, records: Sequence[Record]) -> Position:
        """Write a batch; return the position behind it. What cannot be written is counted; `trouble` says why."""
        with self._lock:
            self._error = None
            self._append(records)
            return self.position

    def sync(self) -> None:
        """Put what was appended on the medium, and have room ready; blocks. Raises OSError."""
        try:
            self._main.sync()
            self._recent.sync()
        finally:
            self._main.grow()
            if self._keeps is not None:
                self._recent.grow()

    def close(self) -> None:
        """Put what was appended on the medium for the last time, as far as it goes."""
        for ring in (self._main, self._recent):
            with contextlib.suppress(OSError):
                ring.sync()

    def _append(self, records: Sequence[Record]) -> None:
        """Write a batch as one block, or halves of it where it is too large for a segment."""
        keeps = self._keeps(records) if self._keeps is not None else [True] * len(records)
        if not all(keeps) and all(
            one.kind is RecordKind.TICK for one, keep in zip(records, keeps, strict=True) if keep
        ):
            keeps = [False] * len(records)  # a tick alone says nothing: it wears no card twice
        kept = [record for record, keep in zip(records, keeps, strict=True) if keep]
        places = [place for place, keep in enumerate(keeps) if not keep]
        payload = deflate(kept)
        rest = deflate_rest([records[place] for place in places], places) if places else b""
        if len(payload) > self._main.capacity or len(rest) > self._recent.capacity:
            if len(records) > 1:
                self._append(records[: len(records) // 2])
                self._append(records[len(records) // 2 :])
            else:
                self._drop(OSError(errno.EFBIG, "a record is larger than a segment"), 1)
            return
        if kept and not self._main.fits(len(payload)):
            with contextlib.suppress(OSError):  # it comes again below
                self._begin(len(payload))
        sequence = self._next
        self._next += 1
        sparse, self._sparse = SPARSE * self._sparse, not kept and bool(rest)
        if kept or not rest:
            self._write(self._main, payload, sequence, sparse | (PART if rest else 0), len(kept))
        if rest:
            self._write(self._recent, rest, sequence, sparse | RECENT | (0 if kept else WHOLE), len(places))

    def _begin(self, length: int) -> None:
        """Go over to a segment that says first what is in force: it must be readable without those before it."""
        preface = self._preface()
        said = deflate(preface)
        self._main.begin(self._next)
        if preface and len(said) + PAGE + length <= self._main.capacity:
            self._next += 1  # also when it cannot be written: no two blocks ever have the same sequence
            self.appended_bytes += self._main.append(said, self._next - 1)

    def _write(self, ring: Ring, payload: bytes, sequence: int, flags: int, n: int) -> None:
        try:
            if not ring.fits(len(payload)):
                ring.begin(sequence)
            self.appended_bytes += ring.append(payload, sequence, flags)
        except OSError as error:
            self._drop(error, n)

    def _drop(self, error: OSError, n: int) -> None:
        self._error = error
        self.dropped_records += n

    # -- reading ---------------------------------------------------------------------------------------------------

    def read(self, position: Position, lost: Lost | None = None) -> Iterator[tuple[Position, list[Record]]]:
        """Yield each batch from `position` on, with the position behind it; `lost`, if not another, counts gaps."""
        return rawread.read(self._files, self._recent_files, position, self.position, lost or self.lost)

    def read_whole(self, lost: Lost | None = None) -> Iterator[tuple[Position, list[Record]]]:
        """Yield all batches that have the records of all sources; of the others only what came into force."""
        return rawread.read_whole(self._files, self._recent_files, self.position, lost or self.lost)


def read(data_dir: Path, position: Position = START) -> Iterator[tuple[Position, list[Record]]]:
    """Yield the batches of a data directory as they are, also while a gateway writes there."""
    files, recent = Folder(data_dir / MAIN_FOLDER), Folder(data_dir / RECENT_FOLDER)
    return rawread.read(files, recent, position, END, Lost())
