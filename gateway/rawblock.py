"""Blocks of the raw log: how one is laid out, and how it is found again in whatever a medium gives back.

    0     4       8         16      20      24       28       32
    +-----+-------+---------+-------+-------+--------+--------+------------------+
    |magic|length | sequence| index | flags |crc of  |crc of  | deflated records |
    |"LPB"|of the | u64     | u32   | u32   |payload |the 28 B| (the payload)    |
    |0x02 |payload|         |       |       |u32     |before  |                  |
    +-----+-------+---------+-------+-------+--------+--------+------------------+

All little-endian. `sequence` counts blocks for the whole life of a log; `index` counts them within their segment, so
that sequence - index names the segment's lap: segments are overwritten in place, and what an earlier lap has left
behind the newest block carries another name. A block is found by its magic and its two sums alone.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from gateway.record import Record, RecordKind

MAGIC = b"LPB\x02"
HEAD = struct.Struct("<4sIQIIII")  # magic, length, sequence, index, flags, crc of the payload, crc of what is before
SUM = struct.Struct("<I")
RECORD = struct.Struct("<BBHq")  # kind, length of source, length of data, mono_ns
CHUNK = 1 << 16  # bytes read at once
U32 = 0xFFFFFFFF

FRESH = 1  # flag: the segment was all zeros when it was begun, so whatever else stands in it was written
PART = 2  # flag: the block of the same sequence in the recent ring holds the rest of the batch
RECENT = 4  # flag: such a rest
WHOLE = 8  # flag: such a rest is the whole batch, and the long record has no block of its sequence
SPARSE = 16  # flag: the batch before this one was a whole rest, so where the recent ring has lapped, none is missed

Read = Callable[[int, int], bytes]  # offset, size -> what is there; shorter at the end of the file


class Block(NamedTuple):
    """A block with a sound head, found at `offset`; `payload` is None where its sum is wrong."""

    sequence: int
    first: int  # the sequence with which its segment was begun: the name of the lap
    flags: int
    offset: int
    size: int
    payload: bytes | None

    @property
    def end(self) -> int:
        """Where what follows it stands."""
        return self.offset + self.size


def block_of(payload: bytes, sequence: int, first: int, flags: int = 0) -> bytes:
    """Write a payload as a block."""
    head = HEAD.pack(MAGIC, len(payload), sequence, sequence - first & U32, flags, zlib.crc32(payload), 0)[: -SUM.size]
    return head + SUM.pack(zlib.crc32(head)) + payload


def scan(read: Read, size: int, offset: int = 0) -> Iterator[Block]:
    """Yield every block of a file of `size` bytes with a sound head, of any lap, in the order in which they stand.

    Behind anything that is no block, the next one is looked for byte by byte; a block with a wrong sum may be the
    front of a torn one, so the search goes on right behind its head.
    """
    window = _Window(read)
    while 0 <= offset <= size - HEAD.size:
        block = _block_at(window, offset, size)
        if block is None:
            offset = window.find(MAGIC, offset + 1)
            continue
        yield block
        offset = block.end if block.payload is not None else window.find(MAGIC, offset + HEAD.size)


def _block_at(window: _Window, offset: int, size: int) -> Block | None:
    head = window.at(offset, HEAD.size)
    if head[: len(MAGIC)] != MAGIC or len(head) < HEAD.size:
        return None
    _, length, sequence, index, flags, payload_sum, head_sum = HEAD.unpack(head)
    if zlib.crc32(head[: -SUM.size]) != head_sum or sequence < index:
        return None
    whole = HEAD.size + length
    payload = window.at(offset + HEAD.size, length) if offset + whole <= size else b""
    sound = len(payload) == length and zlib.crc32(payload) == payload_sum
    return Block(sequence, sequence - index, flags, offset, whole, payload if sound else None)


class _Window:
    """The part of a file that is in memory; a file is never read as a whole."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._start = 0
        self._data = b""

    def at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes at `offset`, fewer at the end of the file."""
        begin = offset - self._start
        if begin < 0 or begin + size > len(self._data):
            self._start, self._data, begin = offset, self._read(offset, max(size, CHUNK)), 0
        return self._data[begin : begin + size]

    def find(self, what: bytes, offset: int) -> int:
        """Return where `what` next stands from `offset` on, or -1."""
        while True:
            data = self.at(offset, CHUNK)
            place = data.find(what)
            if place >= 0:
                return offset + place
            if len(data) < CHUNK:
                return -1
            offset += CHUNK - len(what) + 1


# -- payloads ----------------------------------------------------------------------------------------------------


def pack(records: Sequence[Record]) -> bytes:
    """Join records."""
    parts = []
    for record in records:
        source = record.source.encode()
        parts += [RECORD.pack(record.kind, len(source), len(record.data), record.mono_ns), source, record.data]
    return b"".join(parts)


def unpack(packed: bytes) -> list[Record]:
    """Take joined records apart; raise ValueError when they are none."""
    records = []
    offset = 0
    while offset < len(packed):
        try:
            kind, source_size, data_size, mono_ns = RECORD.unpack_from(packed, offset)
            start = offset + RECORD.size
            end = start + source_size + data_size
            if end > len(packed):
                raise ValueError("a record reaches beyond its block")
            source = packed[start : start + source_size].decode()
            records.append(Record(RecordKind(kind), mono_ns, source, packed[start + source_size : end]))
        except struct.error as error:
            raise ValueError(f"a record is cut off: {error}") from None
        offset = end
    return records


def deflate(records: Sequence[Record]) -> bytes:
    """Write records as a payload; deflated, because bytes are what wears a card."""
    return zlib.compress(pack(records), 1)


def inflate(payload: bytes) -> list[Record]:
    """Read a payload; raise ValueError when it is none."""
    try:
        return unpack(zlib.decompress(payload))
    except zlib.error as error:
        raise ValueError(f"a block cannot be inflated: {error}") from None


def deflate_rest(records: Sequence[Record], places: Sequence[int]) -> bytes:
    """Write the rest of a batch, with the places in the batch at which its records stood."""
    return zlib.compress(struct.pack(f"<{1 + len(places)}I", len(places), *places) + pack(records), 1)


def inflate_rest(payload: bytes) -> tuple[list[Record], list[int]]:
    """Read the rest of a batch and its places; raise ValueError when it is none."""
    try:
        data = zlib.decompress(payload)
        n, *_ = SUM.unpack_from(data)
        places = struct.unpack_from(f"<{n}I", data, SUM.size)
    except (zlib.error, struct.error) as error:
        raise ValueError(f"a block cannot be inflated: {error}") from None
    records = unpack(data[SUM.size * (1 + n) :])
    if len(records) != n:
        raise ValueError("a rest that does not know its places")
    return records, list(places)


def joined(kept: Sequence[Record], rest: Sequence[Record], places: Sequence[int]) -> list[Record]:
    """Put a batch together again."""
    out = list(kept)
    for place, record in zip(places, rest, strict=True):
        out.insert(place, record)
    return out
