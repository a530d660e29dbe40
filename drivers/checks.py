"""Checks over whole batches: a frame is a row of bytes, the parameters of a check are data.

Check values: SENSIRION over BE EF is 92 (SHT3x datasheet, table 20); the sum of 00..09 is 2D.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from drivers.base import I4, U1


@dataclass(frozen=True, slots=True)
class Crc8:
    """Parameters of an 8-bit CRC, most significant bit first, no reflection."""

    poly: int
    init: int = 0
    xorout: int = 0


SENSIRION = Crc8(poly=0x31, init=0xFF)  # over each 16-bit word; the CRC byte follows the word


def crc8(rows: U1, crc: Crc8 = SENSIRION) -> U1:
    """Compute the CRC along the last axis: u1[..., k] -> u1[...]."""
    register: U1 = np.full(rows.shape[:-1], crc.init, np.uint8)
    for column in range(rows.shape[-1]):
        register ^= rows[..., column]
        for _ in range(8):
            carry = register >> np.uint8(7)
            register = (register << np.uint8(1)) ^ (carry * np.uint8(crc.poly))
    return register ^ np.uint8(crc.xorout)


def sum8(rows: U1) -> U1:
    """Add along the last axis and keep the low byte: u1[..., k] -> u1[...]."""
    total: U1 = rows.sum(axis=-1, dtype=np.uint8)
    return total


def words(rows: U1) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_]]:
    """Read rows of (high, low, CRC) triples: u1[n, 3k] -> big-endian words u2[n, k] and whether each CRC fits."""
    triples = rows.reshape(len(rows), rows.shape[1] // 3, 3)
    values = np.ascontiguousarray(triples[..., :2]).view(">u2")[..., 0].astype(np.uint16)
    return values, crc8(triples[..., :2]) == triples[..., 2]


def stack(frames: Sequence[bytes], length: int) -> tuple[U1, I4]:
    """Put the frames of one length into a matrix: u1[m, length], and which frames they were: i4[m]."""
    index = [i for i, frame in enumerate(frames) if len(frame) == length]
    joined = b"".join(frames if len(index) == len(frames) else [frames[i] for i in index])
    return np.frombuffer(joined, np.uint8).reshape(len(index), length), np.array(index, np.int32)
