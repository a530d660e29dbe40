"""Checks over whole batches: a frame is a row of bytes, the parameters of a check are data.

Check values: SENSIRION over BE EF is 92 (SHT3x datasheet, table 20); the sum of 00..09 is 2D.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from drivers.base import F8, I4, U1, Fault
from drivers.capture import Rows, rows_at


@dataclass(frozen=True, slots=True)
class Crc8:
    """Parameters of an 8-bit CRC, most significant bit first, no reflection."""

    poly: int
    init: int = 0
    xorout: int = 0


NONE: I4 = np.empty(0, np.int32)
FEW = 64  # rows: below, a call costs more than what it does
FIRST: I4 = np.arange(FEW, dtype=np.int32)
FIRST.setflags(write=False)
EITHER = [[np.array([no, yes], np.uint8) for yes in range(16)] for no in range(16)]  # of verdicts, by False and True
SENSIRION = Crc8(poly=0x31, init=0xFF)  # over each 16-bit word; the CRC byte follows the word
WORD = np.dtype([("value", ">u2"), ("crc", "u1")])


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
    total: U1 = _weigh(rows, _weights(rows.shape[-1], np.uint8))
    return total


def ends_in_sum8(rows: U1) -> npt.NDArray[np.bool_]:
    """Tell whether the last byte is the low byte of the sum of all before: u1[n, k] -> bool[n]."""
    good: npt.NDArray[np.bool_] = np.logical_not(_weigh(rows, _weights(rows.shape[-1], np.uint8, 1)))
    return good


def ends_in_sum16(rows: U1) -> npt.NDArray[np.bool_]:
    """Tell whether the last two bytes, the high one first, are the low 16 bits of the sum of all before."""
    good: npt.NDArray[np.bool_] = np.logical_not(_weigh(rows, _weights(rows.shape[-1], np.uint16, 2)))
    return good


def _weigh(rows: U1, weights: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Multiply and add along the last axis; to call `dot` costs less, and for each of many rows `einsum` does."""
    weighed: npt.NDArray[Any] = rows.dot(weights) if len(rows) < FEW else np.einsum("...i,i->...", rows, weights)
    return weighed


@cache
def _weights(length: int, dtype: type[np.unsignedinteger[Any]], of_sum: int = 0) -> npt.NDArray[Any]:
    """Make weights that add up bytes, and take away the sum that the last `of_sum` of them tell."""
    weights = np.ones(length, np.int64)
    weights[length - of_sum :] = [-(256**place) for place in reversed(range(of_sum))]
    return weights.astype(dtype)  # what is negative wraps, as the sums do


def words(rows: U1) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_]]:
    """Read rows of (high, low, CRC) triples: u1[n, 3k] -> big-endian words u2[n, k] and whether each CRC fits."""
    triples = rows.view(WORD)
    values = triples["value"].astype(np.uint16)
    return values, _word_crcs().take(values) == triples["crc"]


@cache
def _word_crcs() -> U1:
    """Tabulate the CRC of every word: u1[65536]."""
    table = crc8(np.arange(1 << 16, dtype=">u2").view(np.uint8).reshape(-1, 2))
    table.setflags(write=False)
    return table


def floats(raw: npt.NDArray[np.uint16]) -> F8:
    """Join pairs of words to big-endian IEEE 754 numbers: u2[n, 2k] -> f8[n, k]; NaN and infinity come out as such."""
    with np.errstate(invalid="ignore"):  # a signalling NaN
        return raw.astype(">u2").view(">f4").astype(np.float64)


def word(value: int) -> bytes:
    """Write a 16-bit argument of a command: high byte, low byte, CRC."""
    data = value.to_bytes(2, "big")
    after = _crc8_after(SENSIRION.poly)
    return data + bytes([after.item(after.item(SENSIRION.init ^ data[0]) ^ data[1])])


@lru_cache(maxsize=32)  # of the status of a part, which is the same for hours, each batch asks anew
def register(reply: bytes, size: int) -> int:
    """Read a register of `size` words; 0 where it is not there, or where a CRC does not fit."""
    crcs, value = _word_crcs(), 0
    for high, low, crc in zip(reply[0::3], reply[1::3], reply[2::3], strict=True) if len(reply) == 3 * size else ():
        if crcs.item(high << 8 | low) != crc:
            return 0
        value = value << 16 | high << 8 | low
    return value


def text(reply: bytes) -> bytes:
    """Read letters that come as words, two in each, up to the first 00; nothing where a CRC does not fit."""
    raw, fits = words(stack([reply], len(reply) // 3 * 3)[0])
    return raw.astype(">u2").tobytes().partition(b"\0")[0] if fits.all() else b""


def serial_text(reply: bytes) -> str:
    """Read a serial number of letters and digits that comes as words; empty where it is none, or a CRC does not fit."""
    said = text(reply).decode("latin-1")
    return said if said.isascii() and said.isalnum() else ""


def serial_words(reply: bytes) -> str:
    """Read a serial number of some words as hex digits; empty where it is 0, or a CRC does not fit."""
    number = register(reply, len(reply) // 3)
    return f"{number:0{len(reply) // 3 * 4}x}" if number else ""


def verdicts(default: int, *said: tuple[npt.NDArray[np.bool_], int]) -> U1:
    """Judge frames or values: of all (bool[...], verdict) the first that holds, else `default`; a quick np.select."""
    if len(said) == 1:
        holds, verdict = said[0]
        return EITHER[default][verdict].take(holds)
    found: U1 = np.zeros(said[0][0].shape, np.uint8)
    if default:
        found.fill(int(default))
    for holds, verdict in reversed(said):
        found[holds] = int(verdict)  # to make an array of a member of an enumeration takes long
    return found


def table(default: int, of: Mapping[int, int]) -> U1:
    """Tabulate what each byte stands for, `default` where nothing is said: u1[256]."""
    tabulated: U1 = np.array([of.get(byte, default) for byte in range(256)], np.uint8)
    tabulated.setflags(write=False)
    return tabulated


def sift(n: int, judged: U1, index: I4, *columns: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
    """Part the good frames from the bad: the verdict on each of n, then `index` and `columns` of those judged OK.

    `judged` is the verdict on the frames at `index`; the others, whose length is wrong, are LENGTH.
    """
    fault = judged if len(index) == n else put(np.full(n, int(Fault.LENGTH), np.uint8), index, judged)
    if not np.count_nonzero(judged):
        return fault, index, *columns
    good = np.logical_not(judged)
    return fault, index[good], *(column[good] for column in columns)


def put(into: npt.NDArray[Any], index: I4, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Put rows where they belong; where they are all that there is, as mostly, return them as they are."""
    if len(index) == len(into):
        return rows
    into[index] = rows
    return into


def every(n: int) -> I4:
    """Count n frames: i4[n], not to be written to."""
    return FIRST[:n] if n <= FEW else np.arange(n, dtype=np.int32)


def lengths(frames: Sequence[bytes]) -> set[int]:
    """Tell which lengths there are among the frames."""
    return set(frames.sizes) if isinstance(frames, Rows) else set(map(len, frames))


def stack(frames: Sequence[bytes], length: int) -> tuple[U1, I4]:
    """Put the frames of one length into a matrix: u1[m, length], and which frames they were: i4[m]."""
    if type(frames) is Rows:  # isinstance asks more, for a class that is an abstract one's
        if frames.sizes == {length}:
            return rows_at(frames.data, frames.begin, length), every(len(frames))
        index = np.flatnonzero(frames.length == length).astype(np.int32) if length in frames.sizes else NONE
        return rows_at(frames.data, frames.begin[index], length), index
    sizes = list(map(len, frames))
    fitting = sizes.count(length)
    if fitting == len(sizes):
        return np.ndarray((fitting, length), np.uint8, b"".join(frames)), every(fitting)
    places = [i for i, size in enumerate(sizes) if size == length] if fitting else []
    joined = b"".join([frames[i] for i in places])
    return np.frombuffer(joined, np.uint8).reshape(fitting, length), np.array(places, np.int32)
