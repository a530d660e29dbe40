"""Framers: they cut a stream of bytes into pieces, and keep nothing between two calls.

Laws, the same for each framer here:
1. The pieces joined, and then the rest, are the bytes that were fed: nothing is lost, nothing is twice.
2. The pieces do not depend on how the stream was cut. So whether a piece ends is decided only by bytes that are
   there, and where they are not there yet, everything waits in the rest.
3. No good frame is lost to what stands before it: not to garbage, not to a false start, not to a frame that failed.
4. The rest is bounded, whatever comes in.

A whole capture is cut into the same frames, and much faster, by `drivers.capture.cut`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from drivers.base import U1, Piece, PieceKind

Check = Callable[[bytes], bool]
CheckRows = Callable[[U1], npt.NDArray[np.bool_]]

CHUNK = 64  # garbage comes out in runs of at most this many bytes
FEW = 8  # so many bytes are looked for one after the other
FRAME, BAD_CHECK, GARBAGE = PieceKind.FRAME, PieceKind.BAD_CHECK, PieceKind.GARBAGE


class HeadFramer:
    """What framers have in common whose frames begin with a head, claim a length and pass a check.

    `check_rows` is `check` of many frames of one length at once: u1[n, length] -> bool[n]. It makes `cut` fast, and
    nothing else.
    """

    __slots__ = ()
    heads: tuple[bytes, ...]
    check: Check
    check_rows: CheckRows | None

    @property
    def reach(self) -> int:
        """Return how many bytes a frame may take."""
        raise NotImplementedError

    def claim(self, buffer: bytes, at: int) -> int:
        """Return the length that a frame at `at` claims; 0 where none begins, -1 while that is open."""
        raise NotImplementedError

    def split(self, buffer: bytes, *, final: bool = False) -> tuple[list[Piece], bytes]:
        """Cut frames, failed frames and garbage; see `Framer.split`."""
        pieces: list[Piece] = []
        start, size = 0, len(buffer)
        while start < size:
            length = self.claim(buffer, start)
            stop = start + length
            whole = length > 0 and stop <= size
            if whole and self.check(frame := buffer[start:stop]):
                pieces.append(Piece(frame, FRAME))
                start = stop
                continue
            if length and not whole and not final:
                break
            end = self._end_of_bad(buffer, start, stop if whole else start + CHUNK, failed=whole, final=final)
            if end is None:
                break
            pieces.append(Piece(buffer[start:end], BAD_CHECK if whole else GARBAGE))
            start = end
        return pieces, buffer[start:]

    def _end_of_bad(self, buffer: bytes, start: int, limit: int, *, failed: bool, final: bool) -> int | None:
        """Find where the bytes at `start`, which begin no good frame, end: at the next that may, or at `limit`.

        Garbage ends where a frame may begin, a frame that failed where a good one begins. None while that is open.
        """
        firsts = _firsts(self.heads)
        at = start
        while (at := _find_first(buffer, firsts, at + 1, limit)) >= 0:
            length = self.claim(buffer, at)
            if length > 0 and not failed:
                return at
            if length > 0 and at + length <= len(buffer):
                if self.check(buffer[at : at + length]):
                    return at
            elif length and not final:
                return None
        return None if limit > len(buffer) and not final else min(limit, len(buffer))


@cache
def _firsts(heads: tuple[bytes, ...]) -> frozenset[int]:
    """Collect the bytes with which a head begins."""
    return frozenset(head[0] for head in heads)


def _find_first(buffer: bytes, firsts: frozenset[int], start: int, stop: int) -> int:
    """Find the first of some bytes in buffer[start:stop]; -1 if there is none."""
    if len(firsts) > FEW:  # where nearly any byte may begin a frame, the next one mostly does
        return next((at for at in range(start, min(stop, len(buffer))) if buffer[at] in firsts), -1)
    return min((at for first in firsts if (at := buffer.find(first, start, stop)) >= 0), default=-1)


@dataclass(frozen=True, slots=True)
class HeadedFramer(HeadFramer):
    """Frames of one length that begin with one of `heads` (all equally long) and pass `check`.

    A run that begins with a head and fails its check is BAD_CHECK: a whole frame length, or less where a good frame
    begins inside it.
    """

    heads: tuple[bytes, ...]
    length: int
    check: Check
    check_rows: CheckRows | None = None

    def __post_init__(self) -> None:
        """Refuse heads of different lengths."""
        if len({len(head) for head in self.heads}) != 1 or not 0 < len(self.heads[0]) <= self.length:
            raise ValueError("HeadedFramer: heads must be equally long, and not longer than the frame")

    @property
    def reach(self) -> int:
        """Return the length of a frame."""
        return self.length

    def claim(self, buffer: bytes, at: int) -> int:
        """Return the length of a frame where a head stands; see `HeadFramer.claim`."""
        if buffer.startswith(self.heads, at):
            return self.length
        return -1 if _may_become(self.heads, buffer, at) else 0


@dataclass(frozen=True, slots=True)
class SizedFramer(HeadFramer):
    """Frames that begin with one of `heads` and tell their own length; `check` is asked of whole frames.

    `size` reads the first `need` bytes of a frame (head included) and returns its whole length, or 0 where no frame
    begins like that. No frame is longer than `max_length`: what claims to be is no frame. A false start may claim many
    bytes: it is BAD_CHECK up to the first good frame inside of it.
    """

    heads: tuple[bytes, ...]
    need: int
    size: Callable[[bytes], int]
    check: Check
    max_length: int
    check_rows: CheckRows | None = None

    def __post_init__(self) -> None:
        """Refuse a length that is told before the head is over, or beyond the longest frame."""
        if not 0 < max(len(head) for head in self.heads) <= self.need <= self.max_length:
            raise ValueError("SizedFramer: heads must not be longer than `need`, nor `need` than max_length")

    @property
    def reach(self) -> int:
        """Return the length of the longest frame."""
        return self.max_length

    def claim(self, buffer: bytes, at: int) -> int:
        """Return the length that a frame at `at` tells; see `HeadFramer.claim`."""
        if not buffer.startswith(self.heads, at):
            return -1 if _may_become(self.heads, buffer, at) else 0
        if at + self.need > len(buffer):
            return -1
        return self.told(buffer[at : at + self.need])

    def told(self, begin: bytes) -> int:
        """Return the length that a frame tells which begins with these `need` bytes; 0 where none does."""
        length = self.size(begin)
        return length if self.need <= length <= self.max_length else 0


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


def _may_become(heads: tuple[bytes, ...], buffer: bytes, at: int) -> bool:
    """Tell whether the buffer ends in the first bytes of a head."""
    left = buffer[at : at + max(len(head) for head in heads)]
    return any(len(left) < len(head) and head.startswith(left) for head in heads)
