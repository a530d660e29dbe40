"""From windows to the fields of the data model: names, units and flags that never surprise."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from drivers.base import Kind
from gateway.block import REASONS, U1, Windows

Column = list[float | None]


def window_flags(windows: Windows, min_capture: float) -> U1:
    """Flag each series: 9 nothing usable, 3 capture too low or mostly suspect, 2 nothing evaluated, else 1.

    Where there is nothing to count by value (an event part without events) the slots decide: a part that was alive
    and saw nothing is good.
    """
    n = windows.n_by_flag[:, :3].sum(axis=1)
    some = windows.usable > 0
    capture = windows.usable / np.maximum(windows.expected, 1)
    flag = np.full(len(windows.series), 1, np.uint8)
    flag[(n > 0) & (windows.n_by_flag[:, 1] == n)] = 2
    flag[(capture < min_capture) | (2 * windows.n_by_flag[:, 2] > n)] = 3
    flag[~some] = 9
    return flag


def columns(windows: Windows, min_capture: float) -> dict[str, Column]:
    """Return every field as a column over the series; None where a field does not apply."""
    mean, m2, low, high, energy, total, _ = windows.moments.T
    n = windows.n_by_flag[:, :3].sum(axis=1)
    kinds = np.array(windows.kind)
    level, count = kinds == Kind.LEVEL, kinds == Kind.COUNT
    plain = ~count
    slot_s = windows.period_s / np.maximum(windows.expected, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        std = np.sqrt(m2 / (n - 1))
        leq = 10.0 * np.log10(energy)
    out: dict[str, Column] = {
        "mean": _column(mean, plain & ~level),
        "leq": _column(leq, level),
        "energy": _column(energy, level),
        "min": _column(low, plain),
        "max": _column(high, plain),
        "std": _column(std, plain & (n > 1)),
        "sum": _column(total, count),
        "observed_s": _column(windows.usable * slot_s, count),
        "n": _column(n),
        "expected": _column(windows.expected),
        "capture": _column(windows.usable / np.maximum(windows.expected, 1)),
        "flag": _column(window_flags(windows, min_capture)),
        "n_suspect": _column(windows.n_by_flag[:, 2]),
        "n_fail": _column(windows.n_by_flag[:, 3]),
    }
    for i, reason in enumerate(REASONS):
        counts = windows.reasons[:, i]
        if counts.any() or windows.rev > 0:  # a store keeps what a rewrite leaves out
            out[f"r_{str(reason.name).lower()}"] = _column(counts, (counts > 0) | (windows.rev > 0))
    return {name: column for name, column in out.items() if any(value is not None for value in column)}


def _column(values: npt.NDArray[Any], where: npt.NDArray[np.bool_] | None = None) -> Column:
    floats = values.astype(np.float64)
    good = np.isfinite(floats) if where is None else np.isfinite(floats) & where
    return [value if ok else None for value, ok in zip(floats.tolist(), good.tolist(), strict=True)]
