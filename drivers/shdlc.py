"""SHDLC frames of Sensirion on a serial line: stuffing, checksum, framer. No I/O, and no knowledge of any part.

Source: Sensirion, Datasheet SPS30, version 2.0, section 5.2; agrees with sensirion-shdlc-driver 1.0.2.

    request  7E  address command        length data .. sum  7E
    reply    7E  address command state  length data .. sum  7E
             sum = low byte of ~(address + .. + data), taken before stuffing
    stuffed  between the two 7E, the sum included:  7E -> 7D 5E   7D -> 7D 5D   11 -> 7D 31   13 -> 7D 33
             state: bit 7 the device reports an error of its own, bits 6..0 what came of the command (0: done)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drivers.base import U1, Command, Fault, Piece, PieceKind
from drivers.capture import rows_at
from drivers.framing import CHUNK

I8 = npt.NDArray[np.int64]

FLAG = b"\x7e"
STUFFED = ((b"\x7e", b"\x7d\x5e"), (b"\x11", b"\x7d\x31"), (b"\x13", b"\x7d\x33"))
ESCAPE, ESCAPED = b"\x7d", b"\x7d\x5d"
ADDRESS = 0  # of a part that is alone on its line
SHORTEST = 5  # address, command, state, length, sum
LONGEST = 2 + 2 * (SHORTEST + 255)  # all of it stuffed
IS_STUFFED = np.isin(np.arange(256), list(b"\x7e\x7d\x11\x13"))  # bool[256]
DONE = (3, 0x7F, 0)  # for `until`: place, mask and value of the state in a reply to a command that is not stuffed


class Reply(NamedTuple):
    """What a reply says; only with the verdict OK its other fields mean something."""

    fault: Fault
    command: int = 0
    state: int = 0
    data: bytes = b""

    @property
    def code(self) -> int:
        """Return what came of the command; 0: done."""
        return self.state & 0x7F

    @property
    def error(self) -> bool:
        """Tell whether the device reports an error of its own."""
        return bool(self.state & 0x80)


def stuff(body: bytes) -> bytes:
    """Replace the four bytes that must not stand within a frame."""
    stuffed = body.replace(ESCAPE, ESCAPED)  # first: the others bring new escapes
    for plain, pair in STUFFED:
        stuffed = stuffed.replace(plain, pair)
    return stuffed


def unstuff(stuffed: bytes) -> bytes | None:
    """Undo `stuff`; None for bytes that it would not have made."""
    body = stuffed
    for plain, pair in STUFFED:
        body = body.replace(pair, plain)
    body = body.replace(ESCAPED, ESCAPE)  # last: what it makes begins no pair
    return body if stuff(body) == stuffed else None


def checksum(body: bytes) -> int:
    """Compute the sum over everything between the flags, before stuffing and without the sum itself."""
    return ~sum(body) & 0xFF


def request(command: int, data: bytes = b"") -> bytes:
    """Make the frame of a command."""
    body = bytes([ADDRESS, command, len(data)]) + data
    return FLAG + stuff(body + bytes([checksum(body)])) + FLAG


def begin_of_reply(command: int) -> bytes:
    """Return how each reply to a command begins."""
    return FLAG + stuff(bytes([ADDRESS, command]))


def read_reply(frame: bytes) -> Reply:
    """Read a reply: LENGTH for what is no frame or no whole one, CHECK for a wrong sum."""
    if len(frame) < 2 or not frame.startswith(FLAG) or not frame.endswith(FLAG):
        return Reply(Fault.LENGTH)
    body = unstuff(frame[1:-1])
    if body is None or len(body) < SHORTEST:
        return Reply(Fault.LENGTH)
    if checksum(body[:-1]) != body[-1]:
        return Reply(Fault.CHECK)
    if body[3] != len(body) - SHORTEST:
        return Reply(Fault.LENGTH)
    return Reply(Fault.OK, body[1], body[2], body[4:-1])


class Replies(NamedTuple):
    """Many replies at once, as `read_reply` reads each: verdict, command and state u1[n], and how much data i8[n]."""

    fault: U1
    command: U1
    state: U1
    size: I8
    body: U1  # of all of them, one behind the other
    begin: I8  # where the data of each stand in it

    def data(self, index: npt.NDArray[np.intp], size: int) -> U1:
        """Return the data of some replies that bring `size` bytes: u1[m, size]."""
        return rows_at(self.body, self.begin[index], size)


def read_replies(frames: Sequence[bytes]) -> Replies:
    """Read many replies; see `read_reply`."""
    flat = np.frombuffer(b"".join(frames), np.uint8)
    lengths = np.fromiter(map(len, frames), np.int64, len(frames))
    end = np.cumsum(lengths)
    begin = end - lengths
    whole = lengths >= 2 + SHORTEST
    edge = np.zeros(len(flat), np.bool_)
    edge[np.concatenate([begin, end - 1])[np.tile(lengths > 0, 2)]] = True
    escape = flat == ESCAPE[0]
    escaped = np.concatenate([[False], escape[:-1]])[: len(flat)]
    escaped[begin[lengths > 0]] = False
    plain = flat ^ (escaped.view(np.uint8) << np.uint8(5))
    bad = np.where(escaped, ~IS_STUFFED[plain], IS_STUFFED[flat] & ~escape) & ~(edge & ~escaped & (flat == FLAG[0]))
    bad |= edge & (flat != FLAG[0])
    keep = ~escape & ~edge
    body = plain[keep]
    stop, sums = _until(keep, end), _until(body, np.arange(len(body) + 1))
    start = _until(keep, begin)
    framed = whole & (_until(bad, end) == _until(bad, begin)) & (stop - start >= SHORTEST)
    header = np.where(framed, start, 0)[:, None] + np.arange(4)
    padded = np.concatenate([body, np.zeros(4, np.uint8)])[header]
    size = stop - start - SHORTEST
    fits = (sums[stop] - sums[start]) & 0xFF == 0xFF
    fault = np.select([~framed, ~fits, padded[:, 3] != size], [Fault.LENGTH, Fault.CHECK, Fault.LENGTH], Fault.OK)
    return Replies(fault.astype(np.uint8), padded[:, 1], padded[:, 2], size, body, start + 4)


def _until(what: npt.NDArray[np.bool_] | U1, places: I8) -> I8:
    """Add up what stands before each place."""
    total = np.concatenate([[0], np.cumsum(what, dtype=np.int64)])
    found: I8 = total[places]
    return found


@dataclass(frozen=True, slots=True)
class ShdlcFramer:
    """Cuts replies: a FRAME stands between two flags, has a right sum and tells its right length.

    One flag looks like the other, so the flag that ends a bad frame may be the begin of a good one: it belongs to the
    bad frame only if a flag follows. What stands between two flags and is too short for a reply is garbage.
    """

    def split(self, buffer: bytes, *, final: bool = False) -> tuple[list[Piece], bytes]:
        """Cut frames, failed frames and garbage; see `Framer.split`."""
        pieces: list[Piece] = []
        start = 0
        while start < len(buffer):
            if buffer.startswith(FLAG, start):
                end, kind = _end_of_frame(buffer, start, final)
            else:
                end, kind = _end_of_garbage(buffer, start, final), PieceKind.GARBAGE
            if end is None:
                break
            pieces.append(Piece(buffer[start:end], kind))
            start = end
        return pieces, buffer[start:]


def _end_of_frame(buffer: bytes, start: int, final: bool) -> tuple[int | None, PieceKind]:
    """Tell where the piece ends that begins with a flag, and what it is; None while that is open."""
    other = buffer.find(FLAG, start + 1, start + LONGEST)
    if other < 0:  # no frame is that long: what follows the flag is garbage, as it would be without it
        return _end_of_garbage(buffer, start, final, LONGEST), PieceKind.GARBAGE
    if read_reply(buffer[start : other + 1]).fault == Fault.OK:
        return other + 1, PieceKind.FRAME
    kind = PieceKind.BAD_CHECK if other - start > SHORTEST else PieceKind.GARBAGE
    if kind is PieceKind.GARBAGE:
        return other, kind
    if other + 1 == len(buffer):
        return (other + 1 if final else None), kind
    return (other + 1 if buffer.startswith(FLAG, other + 1) else other), kind


def _end_of_garbage(buffer: bytes, start: int, final: bool, wait: int = CHUNK) -> int | None:
    """Find the flag that ends garbage, or CHUNK bytes of it; None while fewer than `wait` bytes are there."""
    found = buffer.find(FLAG, start + 1, start + CHUNK)
    if found >= 0:
        return found
    if final or len(buffer) >= start + wait:
        return min(start + CHUNK, len(buffer))
    return None


FRAMER = ShdlcFramer()


def judge(said: Replies, command: int, sizes: Collection[int]) -> U1:
    """Judge replies that should bring one of `sizes` bytes; without any byte one is well, and there is nothing new."""
    fault = said.fault.copy()
    right = (fault == Fault.OK) & (said.command == command)
    fault[(fault == Fault.OK) & ~right] = Fault.NOT_DATA
    fault[right & ~np.isin(said.size, list(sizes))] = Fault.LENGTH
    fault[right & (said.size == 0)] = Fault.NOT_DATA
    fault[right & (said.state & 0x7F != 0)] = Fault.DEVICE
    return fault


def replies(joined: bytes, command: int) -> list[bytes]:
    """Return the data of the good replies to one command among several replies, those that were refused left out."""
    said = [read_reply(piece.data) for piece in FRAMER.split(joined, final=True)[0]]
    return [reply.data for reply in said if reply.fault == Fault.OK and reply.command == command and not reply.code]


def say(name: str, command: int, data: bytes = b"", settle_s: float = 0.0, nack_ok: bool = False) -> Command:
    """Make a command; any reply to it will do, whatever its state, and is not kept."""
    return Command(
        name,
        request(command, data),
        rx=FRAMER,
        settle_s=settle_s,
        expect=begin_of_reply(command),
        nack_ok=nack_ok,
        drain=True,
        keep=False,
    )


def ask(name: str, command: int, data: bytes = b"", nack_ok: bool = False) -> Command:
    """Make a command whose reply is kept, said twice at most: a reply counts only if the command was done."""
    return replace(say(name, command, data, nack_ok=nack_ok), keep=True, until=DONE, tries=2, poll_s=0.02)
