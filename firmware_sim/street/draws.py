"""Random numbers that are drawn from a counter: the same for (seed, stream, cell, k), whoever asks and in which order.

SplitMix64 (Steele, Lea, Flood 2014) as a hash; whole arrays of cells at once.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint64]
GOLDEN = 0x9E3779B97F4A7C15
WORD = 2**64
TO_UNIT = 2.0**-53
STEP, LOW = np.uint64(GOLDEN), np.uint64(11)  # ready made: to make them costs as much as to use them
FIRST, SECOND, LAST = np.uint64(30), np.uint64(27), np.uint64(31)
TIMES_FIRST, TIMES_SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def uniform(seed: int, stream: str, cells: I8, k: int = 0) -> F8:
    """Draw one number above 0 and below 1 for each cell; `k` tells apart the numbers of one cell."""
    return _units(np.uint64(_key(seed, stream, k)), cells)


def normal(seed: int, stream: str, cells: I8, k: int = 0) -> F8:
    """Draw a standard normal number for each cell (Box-Muller)."""
    drawn: F8 = normals(seed, (stream,), cells, k)[0]
    return drawn


def uniforms(seed: int, streams: Sequence[str], cells: I8) -> F8:
    """Draw what `uniform` draws of several streams [s] for the same cells [n], in one go: f8[s, n]."""
    return _units(np.array([[_key(seed, stream, 0)] for stream in streams], np.uint64), cells)


def normals(seed: int, streams: Sequence[str], cells: I8, k: int = 0) -> F8:
    """Draw what `normal` draws of several streams [s] for the same cells [n], in one go: f8[s, n]."""
    keys = [[[_key(seed, stream, 2 * k + half)] for stream in streams] for half in (0, 1)]
    sizes, angles = _units(np.array(keys, np.uint64), cells)
    drawn: F8 = np.sqrt(-2.0 * np.log(sizes)) * np.cos(2.0 * math.pi * angles)
    return drawn


def drift(seed: int, stream: str, t_s: F8, scale_s: float) -> F8:
    """Make smooth noise of about unit variance that changes over `scale_s`."""
    place = t_s / scale_s
    cell = np.floor(place).astype(np.int64)
    first = int(cell.min())
    knots = normal(seed, stream, np.arange(first, int(cell.max()) + 2))
    here, there = knots[cell - first], knots[cell - first + 1]
    part = place - cell
    smooth: F8 = here + (there - here) * part * part * (3.0 - 2.0 * part)
    return smooth


def poisson(mean: float, unit: float, most: int = 10_000) -> int:
    """Invert the distribution function of a Poisson number; one uniform number makes one count."""
    term = total = math.exp(-mean)
    n = 0
    while unit > total and n < most:
        n += 1
        term *= mean / n
        total += term
    return n


def _key(seed: int, stream: str, k: int) -> int:
    return (seed * GOLDEN + zlib.crc32(stream.encode()) * 0xD1B54A32D192ED03 + k * 0x8CB92BA72F3D8DD7) % WORD


def _units(key: U8 | np.uint64, cells: I8) -> F8:
    bits = _mix(_mix(cells.astype(np.uint64) * STEP + key) ^ key)
    unit: F8 = ((bits >> LOW).astype(np.float64) + 0.5) * TO_UNIT
    return unit


def _mix(x: U8) -> U8:
    x = (x ^ (x >> FIRST)) * TIMES_FIRST
    x = (x ^ (x >> SECOND)) * TIMES_SECOND
    return x ^ (x >> LAST)
