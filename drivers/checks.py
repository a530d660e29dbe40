"""Checks over whole batches: a frame is a row of bytes, the parameters of a check are data.

Check values: SENSIRION over BE EF is 92 (SHT3x datasheet, table 20); the sum of 00..09 is 2D.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from drivers.base import F8, I4, U1
from drivers.capture import Rows, rows_at


@dataclass(frozen=True, slots=True)
class Crc8:
    """Parameters of an 8-bit CRC, most significant bit first, no reflection."""

    poly: int
    init: int = 0
    xorout: int = 0


NONE: I4 = np.empty(0, np.int32)
FEW = 64  # rows: below, one call of numpy is quicker than ten
LANES, ADD_LANES = np.uint64(0x00FF_00FF_00FF_00FF), np.uint64(0x0001_0001_0001_0001)
SENSIRION = Crc8(poly=0x31, init=0xFF)  # over each 16-bit word; the CRC byte follows the word


def crc8(rows: U1, crc: Crc8 = SENSIRION) -> U1:
    """Compute the CRC along the last axis: u1[..., k] -> u1[...]."""
    after = _crc8_after(crc.poly)
    register: U1 = np.full(rows.shape[:-1], crc.init, np.uint8)
    for column in range(rows.shape[-1]):
        register = after[register ^ rows[..., column]]
    return register ^ np.uint8(crc.xorout)


@cache
def _crc8_after(poly: int) -> U1:
    """Tabulate what a byte in the register becomes after its eight shifts: u1[256]."""
    register: U1 = np.arange(256, dtype=np.uint8)
    for _ in range(8):
        register = (register << np.uint8(1)) ^ ((register >> np.uint8(7)) * np.uint8(poly))
    register.setflags(write=False)
    return register


def sum8(rows: U1) -> U1:
    """Add along the last axis and keep the low byte: u1[..., k] -> u1[...]."""
    if rows.ndim == 2:
        return sum16(rows).astype(np.uint8)
    total: U1 = rows.sum(axis=-1, dtype=np.uint8)
    return total


def sum16(rows: U1) -> npt.NDArray[np.uint16]:
    """Add each row and keep the low 16 bits: u1[n, k] -> u2[n]."""
    if len(rows) < FEW or rows.shape[1] > 256:  # of more bytes a lane could run over into the next
        plain: npt.NDArray[np.uint16] = rows.sum(axis=1, dtype=np.uint16)
        return plain
    padded = rows
    if rows.shape[1] % 8 or not rows.flags.c_contiguous:
        padded = np.zeros((len(rows), -(-rows.shape[1] // 8) * 8), np.uint8)
        padded[:, : rows.shape[1]] = rows
    eights = padded.view(np.uint64)
    # Eight bytes at a time: the odd and the even ones in four lanes of 16 bits, which a product adds up in the highest.
    total = np.zeros(len(rows), np.uint64)
    for column in range(eights.shape[1]):
        total += (eights[:, column] & LANES) + ((eights[:, column] >> np.uint64(8)) & LANES)
    low: npt.NDArray[np.uint16] = (total * ADD_LANES >> np.uint64(48)).astype(np.uint16)
    return low


def words(rows: U1) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_]]:
    """Read rows of (high, low, CRC) triples: u1[n, 3k] -> big-endian words u2[n, k] and whether each CRC fits."""
    triples = rows.reshape(len(rows), rows.shape[1] // 3, 3)
    values = np.ascontiguousarray(triples[..., :2]).view(">u2")[..., 0].astype(np.uint16)
    return values, crc8(triples[..., :2]) == triples[..., 2]


def floats(raw: npt.NDArray[np.uint16]) -> F8:
    """Join pairs of words to big-endian IEEE 754 numbers: u2[n, 2k] -> f8[n, k]; NaN and infinity come out as such."""
    joined = raw[:, 0::2].astype(np.uint32) << np.uint32(16) | raw[:, 1::2]
    with np.errstate(invalid="ignore"):  # a signalling NaN
        return joined.view(np.float32).astype(np.float64)


def word(value: int) -> bytes:
    """Write a 16-bit argument of a command: high byte, low byte, CRC."""
    data = value.to_bytes(2, "big")
    return data + crc8(np.frombuffer(data, np.uint8)[None, :]).tobytes()


def register(reply: bytes, size: int) -> int:
    """Read a register of `size` words; 0 where it is not there, or where a CRC does not fit."""
    raw, fits = words(stack([reply], 3 * size)[0])
    return int.from_bytes(raw.astype(">u2").tobytes(), "big") if fits.all() else 0


def text(reply: bytes) -> bytes:
    """Read letters that come as words, two in each, up to the first 00; nothing where a CRC does not fit."""
    raw, fits = words(stack([reply], len(reply) // 3 * 3)[0])
    return raw.astype(">u2").tobytes().partition(b"\0")[0] if fits.all() else b""


def verdicts(default: int, *said: tuple[npt.NDArray[np.bool_], int]) -> U1:
    """Judge n frames: of all (bool[n], verdict) the first that holds, else `default`; quicker than np.select."""
    found: U1 = np.full(len(said[0][0]), int(default), np.uint8)
    for holds, verdict in reversed(said):
        found[holds] = verdict
    return found


def lengths(frames: Sequence[bytes]) -> set[int]:
    """Tell which lengths there are among the frames."""
    return set(frames.sizes) if isinstance(frames, Rows) else set(map(len, frames))


def stack(frames: Sequence[bytes], length: int) -> tuple[U1, I4]:
    """Put the frames of one length into a matrix: u1[m, length], and which frames they were: i4[m]."""
    if isinstance(frames, Rows):
        if frames.sizes == {length}:
            return rows_at(frames.data, frames.begin, length), np.arange(len(frames), dtype=np.int32)
        index = np.flatnonzero(frames.length == length).astype(np.int32) if length in frames.sizes else NONE
        return rows_at(frames.data, frames.begin[index], length), index
    sizes = list(map(len, frames))
    fitting = sizes.count(length)
    if fitting == len(sizes):
        index = np.arange(fitting, dtype=np.int32)
        return np.frombuffer(b"".join(frames), np.uint8).reshape(fitting, length), index
    places = [i for i, size in enumerate(sizes) if size == length] if fitting else []
    joined = b"".join([frames[i] for i in places])
    return np.frombuffer(joined, np.uint8).reshape(fitting, length), np.array(places, np.int32)
