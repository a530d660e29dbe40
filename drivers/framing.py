"""Framers: they cut a stream of bytes into pieces, and keep nothing between two calls.

Laws, the same for each framer here:
1. The pieces joined, and then the rest, are the bytes that were fed: nothing is lost, nothing is twice.
2. The pieces do not depend on how the stream was cut. So whether a piece ends is decided only by bytes that are
   there, and where they are not there yet, everything waits in the rest.
3. No good frame is lost to what stands before it: not to garbage, not to a false start, not to a frame that failed.
4. The rest is bounded, whatever comes in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from drivers.base import Piece, PieceKind

CHUNK = 64  # garbage comes out in runs of at most this many bytes


@dataclass(frozen=True, slots=True)
class HeadedFramer:
    """Frames of one length that begin with one of `heads` (all equally long) and pass `check`.

    A run that begins with a head and fails its check is BAD_CHECK: a whole frame length, or less where a good frame
    begins inside it.
    """

    heads: tuple[bytes, ...]
    length: int
    check: Callable[[bytes], bool]

    def __post_init__(self) -> None:
        """Refuse heads of different lengths."""
        if len({len(head) for head in self.heads}) != 1 or not 0 < len(self.heads[0]) <= self.length:
            raise ValueError("HeadedFramer: heads must be equally long, and not longer than the frame")

    def split(self, buffer: bytes, *, final: bool = False) -> tuple[list[Piece], bytes]:
        """Cut frames, failed frames and garbage; see `Framer.split`."""
        pieces: list[Piece] = []
        start = 0
        while start < len(buffer):
            end, kind = self._next(buffer, start, final)
            if end is None:
                break
            pieces.append(Piece(buffer[start:end], kind))
            start = end
        return pieces, buffer[start:]

    def _next(self, buffer: bytes, start: int, final: bool) -> tuple[int | None, PieceKind]:
        """Tell where the piece that begins at `start` ends, or None while that is open."""
        if buffer.startswith(self.heads, start):
            stop = start + self.length
            if stop <= len(buffer):
                if self.check(buffer[start:stop]):
                    return stop, PieceKind.FRAME
                return self._end_of_failed(buffer, start, final), PieceKind.BAD_CHECK
            return (len(buffer) if final else None), PieceKind.GARBAGE
        head_length = len(self.heads[0])
        limit = start + CHUNK
        found = self._find(buffer, start + 1, limit + head_length - 1)
        if found >= 0:
            return found, PieceKind.GARBAGE
        if final or len(buffer) >= limit + head_length - 1:
            return min(limit, len(buffer)), PieceKind.GARBAGE
        return None, PieceKind.GARBAGE

    def _end_of_failed(self, buffer: bytes, start: int, final: bool) -> int | None:
        """Find the first good frame inside the failed one; its begin, or the failed frame's end."""
        stop = start + self.length
        reach = stop + len(self.heads[0]) - 1  # a head may begin in the last byte of the failed frame
        at = self._find(buffer, start + 1, reach)
        while at >= 0:
            if at + self.length > len(buffer):
                return stop if final else None
            if self.check(buffer[at : at + self.length]):
                return at
            at = self._find(buffer, at + 1, reach)
        undecided = len(buffer) < reach and not final and self._ends_in_part_of_head(buffer)
        return None if undecided else stop

    def _find(self, buffer: bytes, start: int, stop: int) -> int:
        """Find the first whole head in buffer[start:stop]; -1 if there is none."""
        places = [buffer.find(head, start, stop) for head in self.heads]
        return min((place for place in places if place >= 0), default=-1)

    def _ends_in_part_of_head(self, buffer: bytes) -> bool:
        return any(buffer.endswith(head[:size]) for head in self.heads for size in range(1, len(head)))


@dataclass(frozen=True, slots=True)
class SizedFramer:
    """Frames that begin with one of `heads` and tell their own length; `check` is asked of whole frames.

    `size` reads the first `need` bytes of a frame (head included) and returns its whole length, or 0 where no frame
    begins like that. No frame is longer than `max_length`: what claims to be is no frame. A false start may claim many
    bytes: it is BAD_CHECK up to the first good frame inside of it.
    """

    heads: tuple[bytes, ...]
    need: int
    size: Callable[[bytes], int]
    check: Callable[[bytes], bool]
    max_length: int

    def __post_init__(self) -> None:
        """Refuse a length that is told before the head is over, or beyond the longest frame."""
        if not 0 < max(len(head) for head in self.heads) <= self.need <= self.max_length:
            raise ValueError("SizedFramer: heads must not be longer than `need`, nor `need` than max_length")

    def split(self, buffer: bytes, *, final: bool = False) -> tuple[list[Piece], bytes]:
        """Cut frames, failed frames and garbage; see `Framer.split`."""
        pieces: list[Piece] = []
        start = 0
        while start < len(buffer):
            length = self._length_at(buffer, start)
            stop = start + length
            if length > 0 and stop <= len(buffer) and self.check(buffer[start:stop]):
                pieces.append(Piece(buffer[start:stop], PieceKind.FRAME))
            else:
                claimed = length if length > 0 and not (final and stop > len(buffer)) else 0
                end = None if length < 0 and not final else self._end_of_bad(buffer, start, claimed, final=final)
                if end is None:
                    break
                kind = PieceKind.BAD_CHECK if claimed else PieceKind.GARBAGE
                pieces.append(Piece(buffer[start:end], kind))
                stop = end
            start = stop
        return pieces, buffer[start:]

    def _length_at(self, buffer: bytes, at: int) -> int:
        """Tell how long the frame is that begins at `at`; 0 where none does, -1 while that is open."""
        begin = buffer[at : at + self.need]
        if not begin.startswith(self.heads):
            return -1 if any(head.startswith(begin) for head in self.heads) else 0
        if len(begin) < self.need:
            return -1
        length = self.size(begin)
        return length if self.need <= length <= self.max_length else 0

    def _end_of_bad(self, buffer: bytes, start: int, claimed: int, *, final: bool) -> int | None:
        """Find where the bytes at `start`, which begin no good frame, end: at the next that may, or as claimed.

        Garbage (`claimed` 0) ends where a frame may begin, after CHUNK bytes at the latest; a frame that failed ends
        where a good one begins inside of it. None while that is open.
        """
        limit = start + (claimed or CHUNK)
        if claimed and limit > len(buffer):
            return None
        for at in range(start + 1, min(limit, len(buffer))):
            length = self._length_at(buffer, at)
            if length == 0:
                continue
            if not claimed and length > 0:
                return at
            if length < 0 or at + length > len(buffer):
                if final:
                    continue
                return None
            if self.check(buffer[at : at + length]):
                return at
        if limit > len(buffer) and not final:
            return None
        return min(limit, len(buffer))


@dataclass(frozen=True, slots=True)
class LineFramer:
    """Lines that end in `terminator`, which belongs to the piece; a line longer than `max_length` is GARBAGE.

    An overlong line is garbage to its very end: its tail must not pass for a line. So `CHUNK` bytes more than
    `max_length` wait in the rest before the first of it is let go.
    """

    terminator: bytes = b"\n"
    max_length: int = 256  # terminator included

    def split(self, buffer: bytes, *, final: bool = False) -> tuple[list[Piece], bytes]:
        """Cut lines and what is too long to be one; see `Framer.split`."""
        pieces: list[Piece] = []
        start = 0
        while start < len(buffer):
            reach = start + self.max_length + CHUNK
            found = buffer.find(self.terminator, start, reach)
            end = found + len(self.terminator)
            if found >= 0 and end - start <= self.max_length:
                pieces.append(Piece(buffer[start:end], PieceKind.FRAME))
            elif found >= 0:
                pieces.append(Piece(buffer[start:end], PieceKind.GARBAGE))
            elif len(buffer) >= reach or final:
                end = min(start + CHUNK, len(buffer)) if len(buffer) >= reach else len(buffer)
                pieces.append(Piece(buffer[start:end], PieceKind.GARBAGE))
            else:
                break
            start = end
        return pieces, buffer[start:]
