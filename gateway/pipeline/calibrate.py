"""Calibration and maintenance: what a part says becomes what it means, and nothing is ever changed without a trace.

    x   as measured
    x'  at the reference conditions:  x' = (x - a * (q - q0)) / (1 + b * (q - q0))   for temperature, then for humidity
    y   = curve(x')                   linear, polynomial, or a table

A calibration was made for one part, by its serial number, and holds for a time. Where none holds, or the part in the
place is another one, the value stays as it was measured, SUSPECT with the reason UNCALIBRATED.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gateway.block import F8, I8, U1, U2, Block, Flag, Reason, usable
from gateway.pipeline.stage import State

Mask = npt.NDArray[np.bool_]
Curve = Callable[[F8], F8]
ALWAYS = np.iinfo(np.int64).max


def same(serial: str) -> str:
    """Return a serial number as it is compared: letters may be large or small."""
    return serial.strip().casefold()


def linear(x: F8, offset: float, gain: float) -> F8:
    """Return offset + gain * x; the offset is in the unit of the channel."""
    y: F8 = offset + gain * x
    return y


def polynomial(x: F8, coefficients: tuple[float, ...]) -> F8:
    """Return c0 + c1 * x + c2 * x**2 ..., the constant first, by Horner's rule."""
    y = np.zeros_like(x)
    for coefficient in reversed(coefficients):
        y = y * x + coefficient
    return y


def piecewise_linear(x: F8, xs: tuple[float, ...], ys: tuple[float, ...]) -> F8:
    """Return the value on the straight lines between the points (xs rise); beyond the ends their lines go on."""
    at, to = np.array(xs), np.array(ys)
    i = np.clip(np.searchsorted(at, x, side="right") - 1, 0, len(at) - 2)
    y: F8 = to[i] + (x - at[i]) * (to[i + 1] - to[i]) / (at[i + 1] - at[i])
    return y


def compensated(x: F8, away: F8, offset: float, gain: float) -> F8:
    """Return what x would be at the reference: (x - offset * away) / (1 + gain * away), `away` from the reference."""
    at_reference: F8 = (x - offset * away) / (1.0 + gain * away)
    return at_reference


@dataclass(frozen=True, slots=True)
class Compensation:
    """What another channel of the same sensor does to this one; see `compensated`."""

    column: int
    reference: float
    offset: float = 0.0  # unit of the channel per unit of the other one
    gain: float = 0.0  # share of the value per unit of the other one


@dataclass(frozen=True, slots=True)
class Version:
    """One calibration of one part: it holds in [from_ns, until_ns), for values within `span`."""

    serial: str
    curve: Curve
    from_ns: int = -ALWAYS
    until_ns: int = ALWAYS
    span: tuple[float, float] = (-np.inf, np.inf)  # of x': what it was calibrated over, ends included
    compensations: tuple[Compensation, ...] = ()


@dataclass(frozen=True, slots=True)
class Calibrate:
    """Calibrate some columns of a block, and add what was measured behind all others, in the order of `columns`."""

    columns: tuple[int, ...]
    versions: tuple[tuple[Version, ...], ...]  # of each of them; of one part none overlap
    serial: str = ""  # of the part in the place

    def initial(self) -> State:
        """Begin with the part that the site names."""
        return self.of_part({}, self.serial)

    def of_part(self, state: State, serial: str) -> State:
        """Go on with the part that has told its serial number."""
        return {**state, "serial": np.frombuffer(same(serial).encode(), np.uint8)}

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        """Calibrate a block."""
        serial = state["serial"].tobytes().decode(errors="replace")
        v, flag, reason = block.v.copy(), block.flag.copy(), block.reason.copy()
        for c, versions in zip(self.columns, self.versions, strict=True):
            doubtful = np.ones(len(block.t), np.bool_)
            for version in versions:
                rows = _in_force(block.t, version)
                if same(version.serial) == serial and rows.any():
                    v[rows, c], doubtful[rows] = _apply(version, block, c, rows)
            fit = usable(flag[:, c])
            flag[fit & doubtful, c] = Flag.SUSPECT
            reason[fit & doubtful, c] |= np.uint16(Reason.UNCALIBRATED)
            flag[np.isnan(v[:, c]) & (flag[:, c] != Flag.ABSENT), c] = Flag.MISSING
        measured = list(self.columns)
        said = block.v[:, measured], block.flag[:, measured], block.reason[:, measured]
        return state, replace(block, v=v, flag=flag, reason=reason).beside(*said)


def _in_force(t: I8, version: Version) -> Mask:
    return (t >= version.from_ns) & (t < version.until_ns)


def _apply(version: Version, block: Block, c: int, rows: Mask) -> tuple[F8, Mask]:
    """Calibrate some rows of a column; tell which of them are doubtful: beyond the span, or not compensated.

    A value whose temperature is missing is calibrated without it: it is doubtful, but it is there.
    """
    x, doubtful = block.v[rows, c], np.zeros(int(rows.sum()), np.bool_)
    with np.errstate(all="ignore"):
        for one in version.compensations:
            away = block.v[rows, one.column] - one.reference
            known = np.isfinite(away) & usable(block.flag[rows, one.column])
            x = compensated(x, np.where(known, away, 0.0), one.offset, one.gain)
            doubtful |= ~known
        doubtful |= (x < version.span[0]) | (x > version.span[1])
        y = version.curve(x)
    return np.where(np.isfinite(y), y, np.nan), doubtful


@dataclass(frozen=True, slots=True)
class Maintain:
    """Mark all values of rows within [from, until) of some spans with the reason MAINTENANCE.

    They are FAIL: what a part says while somebody works on it belongs to no statistics. A site may say SUSPECT.
    """

    spans: tuple[tuple[int, int, Flag], ...]  # UTC ns

    def initial(self) -> State:
        """No memory is needed."""
        return {}

    def step(self, state: State, block: Block) -> tuple[State, Block]:
        """Mark a block."""
        flag: U1 = block.flag.copy()
        reason: U2 = block.reason.copy()
        for from_ns, until_ns, level in self.spans:
            there = ((block.t >= from_ns) & (block.t < until_ns))[:, None] & usable(flag)
            flag[there] = level
            reason[there] |= np.uint16(Reason.MAINTENANCE)
        return state, replace(block, flag=flag, reason=reason)
