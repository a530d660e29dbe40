"""Captures: hours of a stream cut at once, into the frames that its framer would have cut from it piece by piece.

Where a frame may begin, what it claims and whether it passes its check is asked of all of them together, in numpy. Only
what lies between two good frames is walked through one by one. The frames come out as `Rows`, which a decoder reads as
one matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt

from drivers.base import U1, Framer, Piece, PieceKind
from drivers.framing import CHUNK, HeadFramer, SizedFramer

I8 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

BLOCK = 1 << 18  # bytes that are looked at together: they and what is made of them stay in the cache
KINDS_OF_BEGIN = 32  # beyond, the lengths that frames tell are read one by one
NOWHERE: I8 = np.empty(0, np.int64)


class Rows(Sequence[bytes]):
    """Frames that lie in one buffer: bytes where one is asked for, a matrix where all are (`checks.stack`).

    `data` u1[N] is the buffer; frame i is its `length[i]` bytes from `begin[i]` on. `sizes` are the lengths that occur.
    """

    __slots__ = ("_buffer", "begin", "data", "length", "sizes")

    def __init__(self, buffer: bytes, begin: I8, length: I8) -> None:
        self._buffer = buffer
        self.data: U1 = np.frombuffer(buffer, np.uint8)
        self.begin = begin
        self.length = length
        least, most = (int(length.min()), int(length.max())) if len(length) else (0, -1)
        alike = least >= most
        self.sizes = set(range(least, most + 1)) if alike else set(np.flatnonzero(np.bincount(length)).tolist())

    def __len__(self) -> int:
        return len(self.begin)

    @overload
    def __getitem__(self, key: int) -> bytes: ...
    @overload
    def __getitem__(self, key: slice) -> Rows: ...
    def __getitem__(self, key: int | slice) -> bytes | Rows:
        if isinstance(key, slice):
            return Rows(self._buffer, self.begin[key], self.length[key])
        begin = int(self.begin[key])
        return self._buffer[begin : begin + int(self.length[key])]

    def __iter__(self) -> Iterator[bytes]:
        buffer = self._buffer
        for begin, end in zip(self.begin.tolist(), (self.begin + self.length).tolist(), strict=True):
            yield buffer[begin:end]


def laid(frames: Sequence[bytes]) -> tuple[U1, I8, I8]:
    """Lay frames one behind the other: their bytes u1[N], where each begins i8[n], and how long each is i8[n]."""
    if isinstance(frames, Rows):
        return frames.data, frames.begin, frames.length
    length = np.array(list(map(len, frames)), np.int64)
    return np.frombuffer(b"".join(frames), np.uint8), np.cumsum(length) - length, length


def rows_at(data: U1, begin: I8, length: int) -> U1:
    """Copy what begins at each of `begin` [n] out of `data`: u1[n, length]; all of it must be there."""
    if not len(begin) or not length:
        return np.empty((len(begin), length), np.uint8)
    # One item of `length` bytes at each byte of the buffer: taking an item is one short copy.
    items = np.ndarray((len(data) - length + 1,), np.dtype((np.void, length)), np.ascontiguousarray(data), 0, (1,))
    return items[begin].view(np.uint8).reshape(len(begin), length)


def runs_at(data: U1, begin: I8, count: I8, length: int) -> tuple[U1, I8]:
    """Copy `count[i]` items of `length` bytes that lie one behind the other from `begin[i]` on.

    Returns u1[m, length], and of which i each item is, i8[m].
    """
    of = np.repeat(np.arange(len(begin)), count)
    place = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)
    return rows_at(data, begin[of] + length * place, length), of


class Cut(NamedTuple):
    """What a capture holds, and the bytes at its end that still wait for more."""

    frames: Rows
    bad_end: I8  # where each frame that failed its check ends
    garbage: int  # bytes that belong to no frame
    rest: bytes


def cut(framer: Framer, buffer: bytes, *, final: bool = False) -> Cut:
    """Cut a whole capture into the frames that `framer.split` finds in it, and count what that counts.

    Fast for framers with heads, above all where they have `check_rows`; other streams, and the last bytes of each,
    are left to `split`.
    """
    data: U1 = np.frombuffer(buffer, np.uint8)
    parts: list[_Part] = []
    at = 0
    if isinstance(framer, HeadFramer):
        decided = len(buffer) - framer.reach - max(len(head) for head in framer.heads)
        least = max(framer.reach, CHUNK)  # so many bytes end at least one piece
        while decided - at > least:  # each frame that may begin before `decided` is there to its end
            parts.append(_cut_block(framer, data, at, min(at + max(BLOCK, 4 * least), decided)))
            at = parts[-1].end
    pieces, rest = framer.split(buffer[at:], final=final)
    parts.append(_of_pieces(pieces, at))
    begin = np.concatenate([part.begin for part in parts])
    length = np.concatenate([part.length for part in parts])
    bad_end = np.concatenate([part.bad_end for part in parts])
    return Cut(Rows(buffer, begin, length), bad_end, sum(part.garbage for part in parts), rest)


class _Part(NamedTuple):
    """What a run of bytes holds, and where it ends; places are places in the whole capture."""

    begin: I8
    length: I8
    bad_end: I8
    garbage: int
    end: int


def _of_pieces(pieces: Sequence[Piece], start: int) -> _Part:
    sizes = np.array([len(piece.data) for piece in pieces], np.int64)
    kinds = np.array([piece.kind for piece in pieces], np.int64)
    ends = start + np.cumsum(sizes)
    good = kinds == PieceKind.FRAME
    garbage = int(sizes[kinds == PieceKind.GARBAGE].sum())
    return _Part((ends - sizes)[good], sizes[good], ends[kinds == PieceKind.BAD_CHECK], garbage, 0)


def _cut_block(framer: HeadFramer, data: U1, start: int, stop: int) -> _Part:
    """Cut data[start:stop]; each frame that may begin there is there to its end.

    The frames of `split` are the first good one, then the first good one behind it, and so on, for what fails gives
    way to a good frame inside of it.
    """
    begin = _heads_in(framer.heads, data, start, stop)
    length, sizes = _claims(framer, data, begin)
    good = _good(framer, data, begin, length, sizes)
    if good.all():
        frame, size, bad, claimed = begin, length, NOWHERE, NOWHERE
    else:
        failed = (length > 0) & ~good
        frame, size, bad, claimed = begin[good], length[good], begin[failed], length[failed]
    end = frame + size
    if (frame[1:] < end[:-1]).any():
        apart = _apart(frame, end)
        frame, size, end = frame[apart], size[apart], end[apart]
    return _with_gaps(frame, size, end, bad, claimed, start, stop)


def _with_gaps(frame: I8, size: I8, end: I8, bad: I8, claimed: I8, start: int, stop: int) -> _Part:
    """Walk through what lies between the frames: what begins like one and fails, and garbage.

    What fails ends where it claims to, or where the next good frame begins. What is not over at `stop` is left.
    """
    if not len(frame):
        return _walk(frame, size, bad, claimed, [(start, stop)], stop)
    gaps = np.flatnonzero(frame[1:] > end[:-1])
    free = [(start, int(frame[0])), *zip(end[gaps].tolist(), frame[gaps + 1].tolist(), strict=True)]
    return _walk(frame, size, bad, claimed, [*free, (int(end[-1]), stop)], stop)


def _walk(frame: I8, size: I8, bad: I8, claimed: I8, gaps: Sequence[tuple[int, int]], stop: int) -> _Part:
    """Walk through gaps (begin, limit), of which the last ends at `stop`, where nothing is known to begin."""
    edges = np.searchsorted(bad, np.array(gaps)).tolist()
    failed, claims = bad.tolist(), claimed.tolist()
    bad_end: list[int] = []
    garbage = end = 0
    for (begin, limit), (a, b) in zip(gaps, edges, strict=True):
        end = begin
        for at, length in zip(failed[a:b], claims[a:b], strict=True):
            if at < end:
                continue  # inside of one that failed
            garbage += at - end
            end = at
            if at + length > limit == stop:
                break
            end = min(at + length, limit)
            bad_end.append(end)
        else:
            left = max(0, limit - end)
            left -= left % CHUNK if limit == stop else 0
            garbage += left
            end += left
    return _Part(frame, size, np.array(bad_end, np.int64), garbage, end)


def _heads_in(heads: tuple[bytes, ...], data: U1, start: int, stop: int) -> I8:
    """Find where one of `heads` begins in data[start:stop], in order."""
    found = []
    for first in {head[0] for head in heads}:
        places = np.flatnonzero(data[start:stop] == first) + start
        found.append(_matching([head for head in heads if head[0] == first], data, places, 1))
    return found[0] if len(found) == 1 else np.sort(np.concatenate(found), kind="stable")


def _matching(heads: Sequence[bytes], data: U1, places: I8, at: int) -> I8:
    """Keep the places where one of `heads` stands, of which the first `at` bytes are alike and known to stand there."""
    while at < min(map(len, heads)) and len({head[at] for head in heads}) == 1:
        places = places[data[places + at] == heads[0][at]]
        at += 1
    if len(heads) == 1:
        return places
    stands = np.zeros(len(places), np.bool_)
    columns = [data[places + i] for i in range(at, max(map(len, heads)))]
    for head in heads:
        of_head = np.ones(len(places), np.bool_)
        for byte, column in zip(head[at:], columns, strict=False):
            of_head &= column == byte
        stands |= of_head
    return places if stands.all() else places[stands]


def _claims(framer: HeadFramer, data: U1, begin: I8) -> tuple[I8, set[int]]:
    """Return the length that a frame at each of `begin`, where a head stands, claims, and which lengths these are."""
    if not isinstance(framer, SizedFramer):
        return np.full(len(begin), framer.reach, np.int64), {framer.reach}
    begins = rows_at(data, begin, framer.need).view(f"S{framer.need}").reshape(-1)
    claims = np.zeros(len(begin), np.int64)
    left, sizes = np.arange(len(begin)), set[int]()
    for _ in range(KINDS_OF_BEGIN):  # those that begin alike are asked once
        if not len(left):
            break
        alike = begins == begins[left[0]]
        length = framer.told(_bytes_at(data, begin[left[0]], framer.need))
        claims[alike] = length
        sizes.add(length)
        left = left[~alike[left]]
    claims[left] = [framer.told(_bytes_at(data, at, framer.need)) for at in begin[left]]
    return claims, sizes.union(claims[left].tolist()) - {0}


def _good(framer: HeadFramer, data: U1, begin: I8, length: I8, sizes: set[int]) -> Bools:
    """Tell which of the frames that may be pass the check."""
    good = np.zeros(len(begin), np.bool_)
    for size in sizes:
        places = np.flatnonzero(length == size) if len(sizes) > 1 else np.flatnonzero(length)
        if framer.check_rows is not None:
            good[places] = framer.check_rows(rows_at(data, begin[places], size))
        else:
            good[places] = [framer.check(_bytes_at(data, at, size)) for at in begin[places].tolist()]
    return good


def _apart(begin: I8, end: I8) -> Bools:
    """Choose the first, then the next that begins where it has ended, and so on."""
    chosen = np.ones(len(begin), np.bool_)
    free = 0
    for i, (at, until) in enumerate(zip(begin.tolist(), end.tolist(), strict=True)):
        chosen[i] = at >= free
        free = until if at >= free else free
    return chosen


def _bytes_at(data: U1, at: int, length: int) -> bytes:
    return data[at : at + length].tobytes()
