"""Derived channels: one quantity from several, joined by window and never by sample.

A derivation takes the means of a closed window and gives a value for that window. For what is linear in its parts, as
the voltages of a cell are, that is the same as computing it sample by sample and averaging; what varies slowly within a
window, as temperature does, is taken at its mean. A part that is missing gives no value, and the reason says so; the
parts themselves are published as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from drivers.base import Channel, Option, Options
from gateway.block import FLAGS, I8, MOMENTS, REASONS, Flag, Reason, Windows
from gateway.pipeline.cells import ALGORITHMS, CELLS, Zeros, corrected_mv
from gateway.pipeline.windows import join

MEAN, SUM = MOMENTS.index("mean"), MOMENTS.index("sum")
KEPT = [MOMENTS.index(name) for name in ("dur_s", "first_s", "last_s")]  # when, not what: as the leading part has them
NEIGHBOUR = REASONS.index(Reason.NEIGHBOUR)
GOOD, NOT_EVALUATED, SUSPECT, MISSING = (
    FLAGS.index(flag) for flag in (Flag.GOOD, Flag.NOT_EVALUATED, Flag.SUSPECT, Flag.MISSING)
)


class Part(NamedTuple):
    """A channel that a derivation needs: its name there, its unit, and what it is."""

    name: str
    unit: str
    help: str


@dataclass(frozen=True, slots=True)
class Derivation:
    """A kind of derived channel: what it is made of, what a site must say of it, and the pure function that makes it.

    The slots of the first part are those of what is derived. `needs` names the parts and options that must be there
    under the options of a site; `wrong` finds options that cannot be (key, what, hint). `compute` takes means and
    options and gives a value, or one that is not finite where there is none.
    """

    kind: str
    domain: str
    parts: tuple[Part, ...]
    options: tuple[Option, ...]
    needs: Callable[[Options], tuple[str, ...]]
    wrong: Callable[[Options], Iterator[tuple[str, str, str]]]
    channel: Callable[[Options], Channel]
    compute: Callable[[Mapping[str, float], Options], float]


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
        """The part whose slots count."""
        return self.parts[self.derivation.parts[0].name]


def derive(windows: Windows, derived: Sequence[Derived]) -> Windows:
    """Add what is derived, in the given order: later ones may be made of earlier ones."""
    for one in derived:
        at = {At(sensor, channel): i for i, (_, sensor, channel, _) in enumerate(windows.series)}
        if one.lead in at:  # else it sleeps in this window: nothing is expected of it
            windows = join([windows, _window(windows, one, at)])
    return windows


def _window(windows: Windows, one: Derived, at: Mapping[At, int]) -> Windows:
    """Make the window of one derived channel; its ledger is that of the sensor of its leading part."""
    i, s = at[one.lead], windows.sensors.index(one.ledger_of)
    rows = [at.get(part) for part in one.parts.values()]
    means = {name: _mean(windows, at.get(part)) for name, part in one.parts.items()}
    with np.errstate(all="ignore"):
        value = one.derivation.compute(means, one.options)
    n_by_flag, moved = _flags(windows, i, rows, known=bool(np.isfinite(value)))
    n = int(n_by_flag[: SUSPECT + 1].sum())
    moments = np.full((1, len(MOMENTS)), np.nan)
    moments[0, KEPT] = windows.moments[i, KEPT]
    moments[0, [MEAN, SUM]] = (value, value * n) if n else (np.nan, 0.0)
    reasons = windows.reasons[i : i + 1].copy()
    reasons[0, NEIGHBOUR] += moved
    channel = one.derivation.channel(one.options)
    return Windows(
        windows.period_s,
        windows.start_ns,
        windows.rev,
        series=((one.derivation.domain, one.sensor, channel.name, channel.unit),),
        kind=(channel.kind,),
        n_by_flag=n_by_flag[None, :],
        expected=windows.expected[i : i + 1],
        usable=windows.usable[i : i + 1] * bool(n),
        moments=moments,
        reasons=reasons,
        sensors=(one.sensor,),
        slots=windows.slots[s : s + 1],
        rejected=windows.rejected[s : s + 1],
        missed=windows.missed[s : s + 1],
    )


def _mean(windows: Windows, i: int | None) -> np.float64:
    """Return the mean of a series; as a numpy number, so that a division by 0 gives no value and no exception."""
    return np.float64(np.nan) if i is None or not windows.usable[i] else np.float64(windows.moments[i, MEAN])


def _flags(windows: Windows, lead: int, rows: Sequence[int | None], *, known: bool) -> tuple[I8, int]:
    """Count by flag as the leading part does, but missing without a value, and suspect when a part is doubtful.

    Also returns how many readings changed their flag. Doubtful: most of its readings are suspect, or most of its slots
    have none.
    """
    counts = windows.n_by_flag[lead].copy()
    if known and not any(row is None or _doubtful(windows, row) for row in rows if row != lead):
        return counts, 0
    to = SUSPECT if known else MISSING
    moved = int(counts[[GOOD, NOT_EVALUATED] if known else [GOOD, NOT_EVALUATED, SUSPECT]].sum())
    counts[[GOOD, NOT_EVALUATED] if known else [GOOD, NOT_EVALUATED, SUSPECT]] = 0
    counts[to] += moved
    return counts, moved


def _doubtful(windows: Windows, i: int) -> bool:
    usable = int(windows.n_by_flag[i, : SUSPECT + 1].sum())
    return bool(2 * windows.n_by_flag[i, SUSPECT] > usable or 2 * windows.usable[i] < windows.expected[i])


# -- kinds -------------------------------------------------------------------------------------------------------


def _b4_needs(options: Options) -> tuple[str, ...]:
    algorithm = options["algorithm"]
    needs = ["cell", "working", "temperature", "we_electronic_zero_mV", "sensitivity_mV_per_ppb"]
    if algorithm != 4:
        needs += ["auxiliary", "ae_electronic_zero_mV"]
    if algorithm != 1:
        needs.append("we_sensor_zero_mV")
    if algorithm in (2, 3):
        needs.append("ae_sensor_zero_mV")
    if options["cell"] == "OX-B431":  # it sees ozone and nitrogen dioxide alike
        needs += ["no2", "no2_sensitivity_mV_per_ppb"]
    return tuple(needs)


def _b4_wrong(options: Options) -> Iterator[tuple[str, str, str]]:
    nonzero = ["sensitivity_mV_per_ppb"]
    if options["algorithm"] == 2:
        nonzero.append("ae_sensor_zero_mV")
    for name in nonzero:
        if options.get(name) == 0:
            yield name, "is divided by, and is 0", "copy it from the certificate of the cell"


def _b4_channel(options: Options) -> Channel:
    return Channel(CELLS[str(options["cell"])].gas, "[ppb]")


def _b4_cell(means: Mapping[str, float], options: Options) -> float:
    """Return ppb from the voltages (V) of the electrodes; of an OX cell what nitrogen dioxide makes is taken off."""

    def of(name: str) -> float:
        return float(options.get(name, 0.0))

    zeros = Zeros(
        of("we_electronic_zero_mV"), of("ae_electronic_zero_mV"), of("we_sensor_zero_mV"), of("ae_sensor_zero_mV")
    )
    algorithm = int(options["algorithm"])
    ae_mv = 1e3 * means["auxiliary"] if algorithm != 4 else 0.0
    gas_mv = corrected_mv(str(options["cell"]), algorithm, 1e3 * means["working"], ae_mv, means["temperature"], zeros)
    if options["cell"] == "OX-B431":
        gas_mv -= of("no2_sensitivity_mV_per_ppb") * means["no2"]
    return gas_mv / of("sensitivity_mV_per_ppb")


B4_CELL = Derivation(
    "b4_cell",
    "air",
    parts=(
        Part("working", "V", "working electrode (OP1 of the board)"),
        Part("auxiliary", "V", "auxiliary electrode (OP2 of the board); not for algorithm 4"),
        Part("temperature", "Cel", "temperature of the air at the cell"),
        Part("no2", "[ppb]", "OX-B431 only: nitrogen dioxide, from a cell beside it"),
    ),
    options=(
        Option("cell", str, "", help="the type printed on the cell", choices=tuple(CELLS)),
        Option("algorithm", int, 1, help="of AAN 803-05", choices=ALGORITHMS),
        Option("we_electronic_zero_mV", float, 0.0, "mV", "WE electronic zero, from the certificate"),
        Option("ae_electronic_zero_mV", float, 0.0, "mV", "AE electronic zero, from the certificate"),
        Option("we_sensor_zero_mV", float, 0.0, "mV", "WE sensor zero, from the certificate"),
        Option("ae_sensor_zero_mV", float, 0.0, "mV", "AE sensor zero, from the certificate"),
        Option("sensitivity_mV_per_ppb", float, 0.0, "mV/[ppb]", "sensitivity, from the certificate"),
        Option("no2_sensitivity_mV_per_ppb", float, 0.0, "mV/[ppb]", "of an OX cell to NO2, from its certificate"),
    ),
    needs=_b4_needs,
    wrong=_b4_wrong,
    channel=_b4_channel,
    compute=_b4_cell,
)

DERIVATIONS: Mapping[str, Derivation] = MappingProxyType({one.kind: one for one in (B4_CELL,)})
