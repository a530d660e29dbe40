"""Reading the raw log: the blocks of both rings become batches again, in their order, and gaps are counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from typing import NamedTuple

from gateway import rawlog_1
from gateway.rawblock import PART, RECENT, SPARSE, WHOLE, Block, inflate, inflate_rest, joined
from gateway.rawfiles import Files
from gateway.rawring import blocks, survey
from gateway.record import Record, RecordKind

WORD = 32
STANDING = (RecordKind.CLOCK, RecordKind.CONFIG, RecordKind.CONTEXT)


class Position(NamedTuple):
    """From where reading goes on: the sequence of a block, as two words of 32 bits, the form in which it is saved.

    Format 1 saved the number of a segment and an offset in these two places. The sequences of today begin above all
    of them, so that an old position stands before every block that has a sequence.
    """

    segment: int = 0
    offset: int = 0

    @property
    def sequence(self) -> int:
        """The position as one number."""
        return self.segment << WORD | self.offset

    @classmethod
    def of(cls, sequence: int) -> Position:
        """Take the number apart."""
        return cls(sequence >> WORD, sequence & (1 << WORD) - 1)


@dataclass(slots=True)
class Lost:
    """What reading has missed: blocks, by the gaps in their sequence, and damaged bytes between sound blocks."""

    blocks: int = 0
    bytes: int = 0


def read(
    main: Files, recent: Files, position: Position, end: Position, lost: Lost
) -> Iterator[tuple[Position, list[Record]]]:
    """Yield each batch from `position` to `end`, with the position behind it; adds to `lost`."""
    yield from read_old(main, position)
    start, begin, floor = position.sequence, oldest(main, 0), oldest(recent, end.sequence)
    expected = start if start >> WORD == end.sequence >> WORD else begin
    before: Block | None = None
    rests = (block for block in blocks(recent, start) if block.sequence >= begin or block.flags & WHOLE)
    both = merge(blocks(main, start), rests, key=lambda block: block.sequence)
    for sequence, group in groupby(both, key=lambda block: block.sequence):
        if sequence >= end.sequence:
            break
        parts = {block.flags & RECENT: block for block in group}
        sparse = any(block.flags & SPARSE for block in parts.values())
        lost.blocks += _missed(max(expected, min(floor, sequence)) if sparse else expected, sequence)
        expected = sequence + 1
        block, rest = parts.get(0), parts.get(RECENT)
        if block is not None:
            lost.bytes += _damaged(before, block)
            before = block
        try:
            records = _records(block, rest)
        except ValueError:  # sound, and yet not ours
            lost.blocks += 1
            continue
        torn = block is None and rest is not None and not rest.flags & WHOLE
        if torn or (block is not None and block.flags & PART and rest is None and sequence >= floor):
            lost.blocks += 1
        yield Position.of(expected), records
    lost.blocks += _missed(expected, end.sequence)


def read_whole(main: Files, recent: Files, end: Position, lost: Lost) -> Iterator[tuple[Position, list[Record]]]:
    """Yield all batches, but of those that lack the records of some sources only what came into force with them.

    Whoever makes windows of the others would say that these sources were silent.
    """
    floor = next((block.sequence for block in blocks(recent, 0)), end.sequence)
    left_out = any(block.flags & PART for block in blocks(main, 0) if block.sequence < floor)
    for after, records in read(main, recent, Position(), end, lost):
        lacking = left_out and after.sequence <= floor
        some = [record for record in records if record.kind in STANDING] if lacking else records
        if some:
            yield after, some


def oldest(ring: Files, default: int) -> int:
    """Return with which sequence a ring begins; the default when it is empty."""
    return next((segment.first for segment in survey(ring) if segment.first >= 0), default)


def read_old(main: Files, position: Position) -> Iterator[tuple[Position, list[Record]]]:
    """Yield the batches of segments of format 1."""
    for number, name in rawlog_1.segments(main).items():
        if number >= position.segment:
            offset = position.offset if number == position.segment else 0
            for after, records in rawlog_1.read(main, name, offset):
                yield Position(number, after), records


def _records(block: Block | None, rest: Block | None) -> list[Record]:
    kept = inflate(block.payload or b"") if block is not None else []
    if rest is None:
        return kept
    return joined(kept, *inflate_rest(rest.payload or b""))


def _missed(expected: int, sequence: int) -> int:
    """Count the blocks between two sequences; 0 where numbering began anew."""
    return max(0, sequence - expected) if sequence >> WORD == expected >> WORD else 0


def _damaged(before: Block | None, block: Block) -> int:
    if before is None or before.first != block.first or block.sequence == before.sequence + 1:
        return 0
    return block.offset - before.end
