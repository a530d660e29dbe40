"""Random numbers that are drawn from a counter: the same for (seed, stream, cell, k), whoever asks and in which order.

SplitMix64 (Steele, Lea, Flood 2014) as a hash; whole arrays of cells at once.
"""

from __future__ import annotations

import math
import zlib

import numpy as np
import numpy.typing as npt

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint64]
GOLDEN = 0x9E3779B97F4A7C15
WORD = 2**64
TO_UNIT = 2.0**-53


def uniform(seed: int, stream: str, cells: I8, k: int = 0) -> F8:
    """Draw one number above 0 and below 1 for each cell; `k` tells apart the numbers of one cell."""
    key = (seed * GOLDEN + zlib.crc32(stream.encode()) * 0xD1B54A32D192ED03 + k * 0x8CB92BA72F3D8DD7) % WORD
    bits = _mix(_mix(cells.astype(np.uint64) * np.uint64(GOLDEN) + np.uint64(key)) ^ np.uint64(key))
    unit: F8 = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * TO_UNIT
    return unit


def normal(seed: int, stream: str, cells: I8, k: int = 0) -> F8:
    """Draw a standard normal number for each cell (Box-Muller)."""
    radius = np.sqrt(-2.0 * np.log(uniform(seed, stream, cells, 2 * k)))
    drawn: F8 = radius * np.cos(2.0 * math.pi * uniform(seed, stream, cells, 2 * k + 1))
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


def _mix(x: U8) -> U8:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
