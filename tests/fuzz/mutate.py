"""Mutations: what a bad line, a bad card or a bad neighbour does to bytes; the same seed gives the same bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

ODD_BYTES = (0x00, 0x01, 0x0A, 0x0D, 0x7D, 0x7E, 0x7F, 0x80, 0xAA, 0xFE, 0xFF)
ODD_NUMBERS = (b"0", b"-0", b"-1", b"1e999", b"-1e-999", b"NaN", b"inf", b"9" * 25, b"0.1", b"00", b"1e", b"+7", b"")
DIGITS = re.compile(rb"-?\d+(?:\.\d+)?")
LONGEST = 70_000  # more is no input that anybody would be given
AT_ONCE = (1, 1, 1, 2, 2, 3, 5)  # so many mutations one after the other


class Mutator:
    """Makes inputs out of `seeds`; `words` are what the language in question is made of, if it is one."""

    def __init__(self, seeds: Sequence[bytes], words: Sequence[bytes] = ()) -> None:
        self._seeds = list(seeds) or [b""]
        self._words = list(words)
        self._ways: list[Callable[[bytes, Random], bytes]] = [
            *[flip] * 5, *[odd_byte] * 5, truncate, repeat, insert, cut_out, swap, number, self._splice, self._anew,
        ]  # fmt: skip
        if words:
            self._ways += [self._word] * 4

    def one(self, rng: Random) -> bytes:
        """Make one input."""
        data = rng.choice(self._seeds)
        for _ in range(rng.choice(AT_ONCE)):
            data = rng.choice(self._ways)(data, rng)
        return data[:LONGEST]

    def _splice(self, data: bytes, rng: Random) -> bytes:
        other = rng.choice(self._seeds)
        return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]

    def _anew(self, data: bytes, rng: Random) -> bytes:
        """Noise of the same length: only the length still fits."""
        return rng.randbytes(len(data) if rng.random() < 0.8 else rng.randrange(80))

    def _word(self, data: bytes, rng: Random) -> bytes:
        at = rng.randrange(len(data) + 1)
        over = rng.choice((0, 0, 1, 4, 9))
        return data[:at] + rng.choice(self._words) + data[at + over :]


def flip(data: bytes, rng: Random) -> bytes:
    """Flip one bit."""
    if not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]


def odd_byte(data: bytes, rng: Random) -> bytes:
    """Put another byte, often one with a meaning, in the place of one."""
    if not data:
        return data
    at = rng.randrange(len(data))
    byte = rng.choice(ODD_BYTES) if rng.random() < 0.5 else rng.randrange(256)
    return data[:at] + bytes((byte,)) + data[at + 1 :]


def truncate(data: bytes, rng: Random) -> bytes:
    """Lose the end, or the beginning."""
    at = rng.randrange(len(data) + 1)
    return data[:at] if rng.random() < 0.7 else data[at:]


def repeat(data: bytes, rng: Random) -> bytes:
    """Say a part again, or many times."""
    a, b = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    return data[:b] + data[a:b] * rng.choice((1, 1, 1, 2, 7)) + data[b:]


def insert(data: bytes, rng: Random) -> bytes:
    """Put noise in between."""
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice((1, 1, 2, 3, 8, 40))) + data[at:]


def cut_out(data: bytes, rng: Random) -> bytes:
    """Lose a part in the middle."""
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.choice((1, 1, 2, 3, 9)) :]


def swap(data: bytes, rng: Random) -> bytes:
    """Let two parts change places."""
    a, b, c = sorted(rng.randrange(len(data) + 1) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def number(data: bytes, rng: Random) -> bytes:
    """Put an odd number in the place of one that is written in digits."""
    found = [match.span() for match in DIGITS.finditer(data, 0, 4000)]
    if not found:
        return odd_byte(data, rng)
    a, b = rng.choice(found)
    return data[:a] + rng.choice(ODD_NUMBERS) + data[b:]
