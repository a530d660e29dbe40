"""Samples of closed windows, kept small and exact: percentiles of longer windows are made from them."""

from __future__ import annotations

from collections.abc import Sequence
from math import lcm
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.block import F8, I8, NOTHING, Packed
from gateway.pipeline.statistics import percentiles

FEW, MANY = 1 << 12, 1 << 18  # samples: sorted side by side below, counted and not sorted from so many on
WHOLE = (("<i1", 2**7 - 1), ("<i2", 2**15 - 1), ("<i4", 2**31 - 1))
STEPS = (1, 2, 4, 5, 8, 10, 20, 50, 100, 200, 1000)  # values are whole multiples of 1/step in most parts


def pack(values: F8, resolution: float = 0.0) -> Packed:
    """Pack values in the fewest bytes that give them back bit for bit; the part's resolution is tried first."""
    if not len(values):
        return NOTHING
    likely = (round(1.0 / resolution),) if 0.0 < resolution <= 1.0 else ()
    low, high = float(values.min()), float(values.max())
    peak = max(-low, high)
    negative_zero = low <= 0.0 <= high and bool((np.signbit(values) & (values == 0.0)).any())
    if peak < 2**31 / STEPS[-1] and not negative_zero:  # not so of NaN and infinity
        first = float(values[0])
        for step in (*likely, *STEPS):
            if round(first * step) / step != first:  # most steps are none for the first value already
                continue
            whole = np.rint(values * step)
            if (whole / step == values).all():
                kind = next(kind for kind, most in WHOLE if round(peak * step) <= most)
                return Packed(step, kind, whole.astype(kind).tobytes())
    with np.errstate(over="ignore"):
        kind = "<f4" if (values.astype(np.float32) == values).all() else "<f8"
    return Packed(0, kind, values.astype(kind).tobytes())


def unpack(packed: Packed) -> F8:
    """Return exactly the values that were packed, in their order."""
    raw = np.asarray(_raw(packed), np.float64)
    return raw / packed.step if packed.step else raw


def size(packed: Packed) -> int:
    """Return how many values were packed."""
    return len(packed.data) // np.dtype(packed.kind).itemsize


def together(parts: Sequence[Packed]) -> Packed:
    """Put several behind each other: whole numbers stay whole numbers, of a common step."""
    some = [part for part in parts if part.data]
    if len({(part.step, part.kind) for part in some}) <= 1:
        return Packed(some[0].step, some[0].kind, b"".join(part.data for part in some)) if some else NOTHING
    step = lcm(*(part.step for part in some))  # 0 if any of them is
    if step:
        wholes = [_raw(part).astype(np.int64) * (step // part.step) for part in some]
        peak = max(max(-int(whole.min()), int(whole.max())) for whole in wholes)
        kind = next((kind for kind, most in WHOLE if peak <= most), "")
        if kind:
            return Packed(step, kind, b"".join(whole.astype(kind).tobytes() for whole in wholes))
    return pack(np.concatenate([unpack(part) for part in some]))


def ranked(packed: Packed, ranks: I8) -> F8:
    """Return the values at some ranks of the samples in rising order; ranks count from 0."""
    raw = _raw(packed)
    if not packed.step or len(raw) < MANY or raw.dtype.itemsize > 2:
        return np.asarray(np.sort(unpack(packed))[ranks])
    low = np.iinfo(raw.dtype).min
    counts = np.zeros(-2 * low, np.int64)  # many samples are counted, not sorted: a day of them needs no room then
    for first in range(0, len(raw), MANY):
        counts += np.bincount(raw[first : first + MANY].astype(np.int64) - low, minlength=len(counts))
    values = np.searchsorted(np.cumsum(counts), ranks, side="right") + low
    return np.asarray(values / packed.step, np.float64)


def packed_percentiles(parts: Sequence[Packed], p: Sequence[float]) -> F8:
    """Return percentiles p (0 to 100) of packed samples, none of them empty: f8[k, len(p)]. See `percentiles`."""
    sizes = np.array([size(part) for part in parts])
    out = np.full((len(parts), len(p)), np.nan)
    few = np.flatnonzero(sizes < FEW).tolist()
    for first in range(0, len(few), 16):
        some = few[first : first + 16]
        out[some] = percentiles(np.concatenate([unpack(parts[i]) for i in some]), sizes[some], p)
    for i in np.flatnonzero(sizes >= FEW).tolist():
        rank = (sizes[i] - 1) * (np.array(p, np.float64) / 100.0)
        low = np.floor(rank).astype(np.int64)
        below, above = ranked(parts[i], np.stack([low, np.minimum(low + 1, sizes[i] - 1)]))
        out[i] = below + (above - below) * (rank - low)
    return out


def _raw(packed: Packed) -> npt.NDArray[Any]:
    return np.frombuffer(packed.data, np.dtype(packed.kind))
