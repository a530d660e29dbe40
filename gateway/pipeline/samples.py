"""Samples of closed windows, kept small and exact: percentiles of longer windows are made from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gateway.block import F8, NOTHING, Packed

STEPS = (1, 2, 4, 5, 8, 10, 20, 50, 100, 200, 1000)  # values are whole multiples of 1/step in most parts


def pack(values: F8, resolution: float = 0.0) -> Packed:
    """Pack values in the fewest bytes that give them back bit for bit; the part's resolution is tried first."""
    if not len(values):
        return NOTHING
    likely = (round(1.0 / resolution),) if 0.0 < resolution <= 1.0 else ()
    if np.isfinite(values).all() and float(np.abs(values).max()) < 2**31 / STEPS[-1]:
        for step in (*likely, *STEPS):
            whole = np.rint(values * step)
            if (whole / step == values).all() and not (np.signbit(values) & (values == 0.0)).any():
                for kind in ("<i1", "<i2", "<i4"):
                    if float(np.abs(whole).max()) <= np.iinfo(kind).max:
                        return Packed(step, kind, whole.astype(kind).tobytes())
    with np.errstate(over="ignore"):
        kind = "<f4" if (values.astype(np.float32) == values).all() else "<f8"
    return Packed(0, kind, values.astype(kind).tobytes())


def unpack(packed: Packed) -> F8:
    """Return exactly the values that were packed, in their order."""
    raw: npt.NDArray[np.float64] = np.frombuffer(packed.data, np.dtype(packed.kind)).astype(np.float64)
    return raw / packed.step if packed.step else raw


def together(parts: Sequence[Packed]) -> Packed:
    """Put several behind each other: as they are where they are alike, else packed anew."""
    some = [part for part in parts if part.data]
    if len({(part.step, part.kind) for part in some}) <= 1:
        return Packed(some[0].step, some[0].kind, b"".join(part.data for part in some)) if some else NOTHING
    return pack(np.concatenate([unpack(part) for part in some]))
