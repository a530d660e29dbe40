"""Derived channels: one quantity from several, joined by window and never by sample.

A derivation takes the means of a closed window and gives a value for that window. For what is linear in its parts, as
the voltages of a cell are, that is the same as computing it sample by sample and averaging; what varies slowly within a
window, as temperature does, is taken at its mean. A part that is missing gives no value, and the reason says so; the
parts themselves are published as they are. Which kinds there are stands in `derivations`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from drivers.base import Options
from gateway.block import FLAGS, I8, MOMENTS, NOTHING, REASONS, Flag, Reason, Windows
from gateway.pipeline.amend import chosen
from gateway.pipeline.derivation import Derivation, Means, Part
from gateway.pipeline.derivations import DERIVATIONS
from gateway.pipeline.derivations.cell import B4_CELL

__all__ = ["B4_CELL", "DERIVATIONS", "At", "Derivation", "Derived", "Part", "derive", "derive_long", "past_of"]

NS = 1_000_000_000
MEAN, SUM = MOMENTS.index("mean"), MOMENTS.index("sum")
KEPT = [MOMENTS.index(name) for name in ("dur_s", "first_s", "last_s")]  # when, not what: as the leading part has them
GOOD, NOT_EVALUATED, SUSPECT, MISSING = (
    FLAGS.index(flag) for flag in (Flag.GOOD, Flag.NOT_EVALUATED, Flag.SUSPECT, Flag.MISSING)
)


class At(NamedTuple):
    """A channel of a sensor."""

    sensor: str
    channel: str


@dataclass(frozen=True, slots=True)
class Derived:
    """One derived channel of a site.

    `sensor` is the name under which it is published, `place` its place in the order of all, and `ledger_of` the sensor
    whose slots it counts: that of its leading part, or of what that one is derived from.
    """

    sensor: str
    derivation: Derivation
    options: Options
    parts: Mapping[str, At]
    place: int
    ledger_of: str

    @property
    def lead(self) -> At:
        """The part whose slots count: the first that is named."""
        return next(self.parts[part.name] for part in self.derivation.parts if part.name in self.parts)


def derive(windows: Windows, derived: Sequence[Derived]) -> Windows:
    """Add what is derived of base windows, in the given order: later ones may be made of earlier ones.

    What is there already is made anew, so that it follows when its parts are amended.
    """
    return _derive(windows, [one for one in derived if not one.derivation.periods], ())


def derive_long(windows: Windows, derived: Sequence[Derived], past: Sequence[Windows] = ()) -> Windows:
    """Add what is derived of windows of this length, and of no other; `past`: those of the same length before it.

    What is derived of base windows is in a longer one already: it is combined as everything else.
    """
    if windows.period:  # running and local windows may be as long, and are something else
        return windows
    return _derive(windows, [one for one in derived if windows.period_s in one.derivation.periods], past)


def past_of(derived: Sequence[Derived], period_s: int) -> int:
    """Return how many windows of this length `derive_long` looks back."""
    return max((one.derivation.past for one in derived if period_s in one.derivation.periods), default=0)


def _derive(windows: Windows, derived: Sequence[Derived], past: Sequence[Windows]) -> Windows:
    if windows.late:  # not a window of its own: what came after it
        return windows
    made = {one.sensor for one in derived}
    if made.intersection(windows.sensors):
        windows = chosen(windows, [name for name in windows.sensors if name not in made])
    for one in derived:
        if one.lead in _rows(windows):  # else it sleeps in this window: nothing is expected of it
            windows = _beside(windows, one, past)
    return windows


def _rows(windows: Windows) -> dict[At, int]:
    return {At(sensor, channel): i for i, (_, sensor, channel, _) in enumerate(windows.series)}


def _beside(windows: Windows, one: Derived, past: Sequence[Windows]) -> Windows:
    """Add one derived channel; its ledger is that of the sensor of its leading part."""
    at, kind = _rows(windows), one.derivation
    i, s = at[one.lead], windows.sensors.index(one.ledger_of)
    channel = kind.channel(one.options)
    value, why = _made(windows, one, past)
    counts, moved = _flags(windows.n_by_flag[i], MISSING if np.isnan(value) else SUSPECT if why else None)
    n = int(counts[: SUSPECT + 1].sum())
    moments = np.full(len(MOMENTS), np.nan)
    moments[KEPT] = windows.moments[i, KEPT]
    moments[[MEAN, SUM]] = (value, value * n) if n else (np.nan, 0.0)
    reasons = windows.reasons[i] + moved * np.array([bool(reason & why) for reason in REASONS])
    return replace(
        windows,
        series=(*windows.series, (kind.domain, one.sensor, channel.name, channel.unit)),
        kind=(*windows.kind, channel.kind),
        n_by_flag=np.vstack([windows.n_by_flag, counts]),
        expected=np.append(windows.expected, windows.expected[i]),
        usable=np.append(windows.usable, windows.usable[i] * bool(n)),
        moments=np.vstack([windows.moments, moments]),
        reasons=np.vstack([windows.reasons, reasons]),
        sensors=(*windows.sensors, one.sensor),
        slots=np.vstack([windows.slots, windows.slots[s]]),
        rejected=np.vstack([windows.rejected, windows.rejected[s]]),
        missed=np.vstack([windows.missed, windows.missed[s]]),
        samples=(*windows.samples, NOTHING) if windows.samples else (),
        codes=(*windows.codes, windows.codes[s]) if windows.codes else (),
        seen=(*windows.seen, windows.seen[i] if n else bytes(len(windows.seen[i]))) if windows.seen else (),
        share=None if windows.share is None else np.append(windows.share, windows.share[i] * bool(n)),
        extras=tuple((name, np.append(values, np.nan)) for name, values in windows.extras),
    )


def _made(windows: Windows, one: Derived, past: Sequence[Windows]) -> tuple[float, Reason]:
    """Return the value of a derived channel, NaN where there is none, and why it is doubtful or missing."""
    kind, means, at = one.derivation, _means(windows, one, past), _rows(windows)
    channel = kind.channel(one.options)
    with np.errstate(all="ignore"):
        value = float(kind.compute(means, one.options))
    if not np.isfinite(value):
        return np.nan, Reason.NEIGHBOUR
    why = kind.doubt(means, one.options)
    if any(_doubtful(windows, at.get(part)) for part in one.parts.values() if part != one.lead):
        why |= Reason.NEIGHBOUR
    if not channel.lo <= value <= channel.hi:
        why |= Reason.RANGE
    return value, why


def _means(windows: Windows, one: Derived, past: Sequence[Windows]) -> Means:
    """Return the mean of each part in its own unit: a number, or for a kind with a past [1 + past], oldest first."""
    size = 1 + one.derivation.past
    of_parts = {part.name: part for part in one.derivation.parts}
    out = {name: np.full(size, np.nan) for name in one.parts}
    least = float(one.options.get("min_capture", 0.0))
    for each in (*past, windows):
        back, off = divmod(windows.start_ns - each.start_ns, windows.period_s * NS)
        if off or not 0 <= back < size or (each.period_s, each.period) != (windows.period_s, windows.period):
            continue
        at = _rows(each)
        for name, part in one.parts.items():
            i = at.get(part)
            if i is not None and each.usable[i] and each.usable[i] >= least * each.expected[i]:
                out[name][size - 1 - back] = each.moments[i, MEAN] * of_parts[name].factor(each.series[i][3])
    return out if one.derivation.past else {name: values[0, ...] for name, values in out.items()}


def _flags(of_lead: I8, to: int | None) -> tuple[I8, int]:
    """Count by flag as the leading part does, but suspect (of its better ones) or missing (of all usable ones).

    Also returns how many readings changed their flag.
    """
    counts = of_lead.copy()
    if to is None:
        return counts, 0
    from_ = [GOOD, NOT_EVALUATED] if to == SUSPECT else [GOOD, NOT_EVALUATED, SUSPECT]
    moved = int(counts[from_].sum())
    counts[from_] = 0
    counts[to] += moved
    return counts, moved


def _doubtful(windows: Windows, i: int | None) -> bool:
    """Tell whether a part is not there, or most of its readings are suspect, or most of its slots have none."""
    if i is None:
        return True
    usable = int(windows.n_by_flag[i, : SUSPECT + 1].sum())
    return bool(2 * windows.n_by_flag[i, SUSPECT] > usable or 2 * windows.usable[i] < windows.expected[i])
