"""From windows to the fields of the data model: names, units and flags that never surprise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from drivers.base import Kind
from gateway.block import I8, MOMENTS, REASONS, U1, Windows
from gateway.pipeline.samples import packed_percentiles, ranked, size
from gateway.pipeline.statistics import ranks

Column = list[float | None]
Columns = dict[str, Column]
NO_DIRECTION = 1e-9  # length of the mean of unit vectors below which they cancel each other
LETTER: Mapping[Kind, str] = MappingProxyType({Kind.SCALAR: "p", Kind.LEVEL: "l", Kind.SPEED: "v"})


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Which percentiles are published of each kind, 0 to 100; those of levels are what is exceeded so much of the time.

    Method: linear interpolation (Hyndman and Fan type 7); of speeds the value at rank trunc(n * p / 100), from
    `least_speeds` on (TxDOT, Procedures for Establishing Speed Zones: 125 of a street).
    """

    scalar: tuple[float, ...] = ()
    level: tuple[float, ...] = ()
    speed: tuple[float, ...] = ()
    least_speeds: int = 100

    def of(self, kind: str) -> tuple[float, ...]:
        """Return those of one kind."""
        wanted: tuple[float, ...] = getattr(self, kind, ())
        return wanted


NO_PERCENTILES = Percentiles()


def window_flags(windows: Windows, min_capture: float) -> U1:
    """Flag each series: 9 nothing usable, 3 capture too low or mostly suspect, 2 nothing evaluated, else 1.

    What is held against `min_capture` is usable / expected slots or, where the period has one, its own share.
    Where there is nothing to count by value (an event part without events) the slots decide: a part that was alive
    and saw nothing is good.
    """
    n = windows.n_by_flag[:, :3].sum(axis=1)
    some = windows.usable > 0
    capture = windows.usable / np.maximum(windows.expected, 1) if windows.share is None else windows.share
    flag = np.full(len(windows.series), 1, np.uint8)
    flag[(n > 0) & (windows.n_by_flag[:, 1] == n)] = 2
    flag[(capture < min_capture) | (2 * windows.n_by_flag[:, 2] > n)] = 3
    flag[~some] = 9
    return flag


def columns(windows: Windows, min_capture: float, asked: Percentiles = NO_PERCENTILES) -> Columns:
    """Return every field as a column over the series; None where a field does not apply.

    Percentiles are there where they are asked for and the samples were kept.
    """
    n = windows.n_by_flag[:, :3].sum(axis=1)
    kinds = np.array(windows.kind)
    count = kinds == Kind.COUNT
    of_things = np.array([unit.startswith("{") for _, _, _, unit in windows.series], np.bool_)
    observed_s = windows.usable * windows.period_s / np.maximum(windows.expected, 1)
    total = windows.moments[:, MOMENTS.index("sum")]
    with np.errstate(invalid="ignore", divide="ignore"):
        flow = 3600.0 * total / observed_s  # by the time observed, never by the length of the window
    out = _of_values(windows, n, kinds) | _percentiles(windows, n, asked)
    out |= {
        "sum": _column(total, count),
        "observed_s": _column(observed_s, count),
        "flow": _column(flow, count & of_things),
        "n": _column(n),
        "expected": _column(windows.expected),
        "capture": _column(windows.usable / np.maximum(windows.expected, 1)),
        "flag": _column(window_flags(windows, min_capture)),
        "n_suspect": _column(windows.n_by_flag[:, 2]),
        "n_fail": _column(windows.n_by_flag[:, 3]),
    }
    out |= {name: _column(values) for name, values in windows.extras}
    for i, reason in enumerate(REASONS):
        counts = windows.reasons[:, i]
        if counts.any() or windows.rev > 0:  # a store keeps what a rewrite leaves out
            out[f"r_{str(reason.name).lower()}"] = _column(counts, (counts > 0) | (windows.rev > 0))
    return {name: column for name, column in out.items() if any(value is not None for value in column)}


def _of_values(windows: Windows, n: I8, kinds: npt.NDArray[np.str_]) -> Columns:
    """Return the fields that speak of values, each where its kind has it."""
    of = dict(zip(MOMENTS, windows.moments.T, strict=True))
    level, angle, speed = kinds == Kind.LEVEL, kinds == Kind.ANGLE, kinds == Kind.SPEED
    plain = (kinds != Kind.COUNT) & ~angle
    with np.errstate(invalid="ignore", divide="ignore"):
        std = np.sqrt(of["m2"] / (n - 1))
        leq = 10.0 * np.log10(of["energy"])
        resultant = np.hypot(of["sin"], of["cos"])
        direction = np.degrees(np.arctan2(of["sin"], of["cos"])) % 360.0
        direction = np.where(direction < 360.0, direction, 0.0)  # a hair below 0 rounds to 360
        mean = np.where(angle, np.where(resultant > NO_DIRECTION, direction, np.nan), of["mean"])
        return {
            "mean": _column(mean, (plain | angle) & ~level),
            "resultant": _column(resultant, angle),
            "space_mean": _column(of["moving"] / of["inverse"], speed),
            "leq": _column(leq, level),
            "energy": _column(of["energy"], level),
            "sel": _column(leq + 10.0 * np.log10(of["dur_s"]), level),
            "min": _column(of["min"], plain),
            "max": _column(of["max"], plain),
            "std": _column(std, plain & (n > 1)),
            "se": _column(std / np.sqrt(n), plain & ~level & (n > 1)),
            "first_s": _column(of["first_s"], n > 0),
            "last_s": _column(of["last_s"], n > 0),
        }


def _percentiles(windows: Windows, n: I8, asked: Percentiles) -> Columns:
    """Return the percentiles that were asked for: p10 of values, l10 (exceeded 10 % of the time) of levels, v85.

    They are there where all samples are: a window of which some were not kept has none.
    """
    out: Columns = {}
    for kind, letter in LETTER.items():
        wanted = asked.of(kind)
        least = asked.least_speeds if kind is Kind.SPEED else 1
        rows = [i for i, of in enumerate(windows.kind) if of == kind and windows.samples and n[i] >= least]
        rows = [i for i in rows if size(windows.samples[i]) == n[i]]
        if not rows or not wanted:
            continue
        samples = [windows.samples[i] for i in rows]
        if kind is Kind.SPEED:
            table = np.array([ranked(one, ranks(size(one), wanted)) for one in samples])
        else:
            table = packed_percentiles(samples, [100.0 - one for one in wanted] if kind is Kind.LEVEL else wanted)
        for name, column in zip(wanted, table.T, strict=True):
            whole = np.full(len(windows.series), np.nan)
            whole[rows] = column
            out[f"{letter}{name:g}"] = _column(whole)
    return out


def _column(values: npt.NDArray[Any], where: npt.NDArray[np.bool_] | None = None) -> Column:
    floats = values.astype(np.float64)
    good = np.isfinite(floats) if where is None else np.isfinite(floats) & where
    return [value if ok else None for value, ok in zip(floats.tolist(), good.tolist(), strict=True)]
