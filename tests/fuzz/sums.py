"""Sums: found in the golden frames, so that a mutated frame can be given the sum that lets it past the first check.

A decoder that refuses nearly every input at its sum is hardly tested. Nothing is asked of the drivers here: which sum
a part uses is found by trying, and what is tried is written a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import product
from operator import xor

Mend = Callable[[bytes], bytes]
STUFFED = {0x7E: b"\x7d\x5e", 0x7D: b"\x7d\x5d", 0x11: b"\x7d\x31", 0x13: b"\x7d\x33"}
SHORTEST = 5  # in shorter frames a sum may fit by chance
LEAST_FRAMES = 2  # so may the sum of one byte in a single frame


def find(frames: Sequence[bytes]) -> tuple[str, Mend] | None:
    """Find the sums that all the good frames of a length carry: their names, and what puts them right."""
    of_length: dict[int, list[bytes]] = {}
    for frame in frames:
        of_length.setdefault(len(frame), []).append(frame)
    found = {size: sum_ for size, alike in of_length.items() if (sum_ := _find(alike)) is not None}
    if not found:
        return None

    def mend(frame: bytes) -> bytes:
        return found[len(frame)][1](frame) if len(frame) in found else other(frame)

    other = next(iter(found.values()))[1]
    return ", ".join(sorted({name for name, _ in found.values()})), mend


def _find(frames: Sequence[bytes]) -> tuple[str, Mend] | None:
    if len(frames[0]) < SHORTEST and len(frames[0]) != 3:
        return None
    for name, mend in (*_named(), *(_bytes() if len(set(frames)) >= LEAST_FRAMES else ())):
        if all(mend(frame) == frame for frame in frames) and any(_heals(mend, frame) for frame in frames):
            return name, mend
    return None


def _heals(mend: Mend, frame: bytes) -> bool:
    """Tell whether a wrong sum is put right: where nothing is changed at all, there is no such sum."""
    places = range(max(0, len(frame) - 3), len(frame))
    return any(mend(frame[:at] + bytes((frame[at] ^ 0x55,)) + frame[at + 1 :]) == frame for at in places)


def _named() -> Iterator[tuple[str, Mend]]:
    yield "crc8 of words", _words
    yield "crc16", _modbus
    yield "stuffed", _stuffed
    yield "sum16", lambda frame: frame[:-2] + (sum(frame[:-2]) & 0xFFFF).to_bytes(2, "big") if len(frame) > 2 else frame


def _bytes() -> Iterator[tuple[str, Mend]]:
    """All sums of one byte: of which bytes, how, and where it stands (from the end)."""
    ways: dict[str, Callable[[bytes], int]] = {
        "sum": sum, "negative sum": lambda b: -sum(b), "inverted sum": lambda b: ~sum(b),
        "xor": lambda b: reduce(xor, b, 0),
    }  # fmt: skip
    for (name, way), start, at in product(ways.items(), range(5), (1, 2, 3)):

        def mend(frame: bytes, way: Callable[[bytes], int] = way, start: int = start, at: int = at) -> bytes:
            place = len(frame) - at
            if place <= start:
                return frame
            return frame[:place] + bytes((way(frame[start:place]) & 0xFF,)) + frame[place + 1 :]

        yield f"{name} of [{start}:-{at}]", mend


def _words(frame: bytes) -> bytes:
    parts = [frame[i : i + 2] + bytes((_crc8(frame[i : i + 2]),)) for i in range(0, len(frame) - 2, 3)]
    return b"".join(parts) + frame[3 * len(parts) :]


def _crc8(data: bytes) -> int:
    register = 0xFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register << 1 ^ (0x31 if register & 0x80 else 0)) & 0xFF
    return register


def _modbus(frame: bytes) -> bytes:
    if len(frame) < 3:
        return frame
    register = 0xFFFF
    for byte in frame[:-2]:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
    return frame[:-2] + register.to_bytes(2, "little")


def _stuffed(frame: bytes) -> bytes:
    """A frame between two 7E: the length and the sum of what stands between, and the stuffing."""
    if len(frame) < 4 or frame[0] != 0x7E or frame[-1] != 0x7E:
        return frame
    body, escaped = bytearray(), False
    for byte in frame[1:-1]:
        if escaped or byte != 0x7D:
            body.append(byte ^ 0x20 if escaped else byte)
            escaped = False
        else:
            escaped = True
    if len(body) < 5:
        return frame
    body[3] = len(body) - 5 & 0xFF
    body[-1] = ~sum(body[:-1]) & 0xFF
    return b"\x7e" + b"".join(STUFFED.get(byte, bytes((byte,))) for byte in body) + b"\x7e"
