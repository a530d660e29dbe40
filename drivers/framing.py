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
