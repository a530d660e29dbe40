"""Quantities that somebody holds while a simulation runs: of the street, or as one part sees it.

A held street is the same street with other answers from a moment on: what follows from a held quantity follows, as the
numbers of particles follow from their mass. Nothing that was true before is changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from firmware_sim.device import NEVER_S, Report, Values
from firmware_sim.street import Particles, Street
from firmware_sim.street.sound import weighted_db

TO, BY, TIMES = "to", "by", "times"
WAYS: Final[Mapping[str, Callable[[Any, float], Any]]] = MappingProxyType(
    {
        TO: lambda x, value: x * 0.0 + value,  # of an array, an array
        BY: lambda x, value: x + value,
        TIMES: lambda x, value: x * value,
    }
)
LEQ_STEP_S, LEQ_STEPS = 0.125, 40_000
SOUND, PARTICLES = "sound_level_db", "particles"


class Quantity(NamedTuple):
    """What can be held: the method of the street that says it, its unit, and what it may be."""

    method: str
    unit: str
    lo: float
    hi: float


QUANTITIES: Final[Mapping[str, Quantity]] = MappingProxyType(
    {
        "temperature": Quantity("temperature_degc", "degC", -60.0, 90.0),
        "humidity": Quantity("humidity_pct", "%", 0.0, 100.0),
        "pressure": Quantity("pressure_pa", "Pa", 30_000.0, 115_000.0),
        "pm1_0": Quantity(PARTICLES, "ug/m3", 0.0, 10_000.0),
        "pm2_5": Quantity(PARTICLES, "ug/m3", 0.0, 10_000.0),
        "pm4_0": Quantity(PARTICLES, "ug/m3", 0.0, 10_000.0),
        "pm10": Quantity(PARTICLES, "ug/m3", 0.0, 10_000.0),
        "voc_index": Quantity("voc_index", "1", 1.0, 500.0),
        "nox_index": Quantity("nox_index", "1", 1.0, 500.0),
        "co2": Quantity("co2_ppm", "ppm", 0.0, 40_000.0),
        "co": Quantity("co_ppm", "ppm", 0.0, 2_000.0),
        "no": Quantity("no_ppb", "ppb", 0.0, 20_000.0),
        "no2": Quantity("no2_ppb", "ppb", 0.0, 20_000.0),
        "o3": Quantity("o3_ppb", "ppb", 0.0, 20_000.0),
        "hcho": Quantity("hcho_ppb", "ppb", 0.0, 20_000.0),
        "sound": Quantity(SOUND, "dB", 0.0, 150.0),
    }
)
KNOWN: Final = tuple(name for name, quantity in QUANTITIES.items() if hasattr(Street, quantity.method))


@dataclass(frozen=True, slots=True)
class Hold:
    """Hold a quantity `to` a value, or change it `by` so much or so many `times`, within [from_s, until_s)."""

    quantity: str
    way: str
    value: float
    from_s: float = -math.inf
    until_s: float = NEVER_S

    def on(self, x: Any, t_s: Any) -> Any:
        """Return the value in place of `x` at `t_s`; both may be arrays."""
        lo, hi = QUANTITIES[self.quantity][2:]
        held = np.clip(WAYS[self.way](x, self.value), lo, hi)
        if isinstance(t_s, np.ndarray):
            return np.where((t_s >= self.from_s) & (t_s < self.until_s), held, x)
        return float(held) if self.from_s <= t_s < self.until_s else x


@dataclass(slots=True)
class Holds:
    """What is held on one street, or on the street of one part; the last word on a quantity counts."""

    by_quantity: dict[str, Hold] = field(default_factory=dict)

    def apply(self, method: str, x: Any, t_s: Any) -> Any:
        """Return what a method of the street says while these hold."""
        for name, hold in sorted(self.by_quantity.items(), key=lambda item: KNOWN.index(item[0])):
            if QUANTITIES[name].method == method:
                x = changed(x, hold, t_s)
        return x

    def has(self, method: str) -> bool:
        """Tell whether a method is concerned."""
        return any(QUANTITIES[name].method == method for name in self.by_quantity)


class Changes(Protocol):
    """What makes another street of one: it may change at any time."""

    def apply(self, method: str, x: Any, t_s: Any) -> Any:
        """Return what a method of the street says in place of `x` at `t_s`; both may be arrays."""
        ...

    def has(self, method: str) -> bool:
        """Tell whether a method is concerned now."""
        ...


@dataclass(slots=True)
class Hands:
    """All holds of a simulation: on its street, and on what single parts see, by their names."""

    street: Holds = field(default_factory=Holds)
    parts: dict[str, Holds] = field(default_factory=dict)
    latest: dict[str, tuple[float, Values]] = field(default_factory=dict)  # what each part said last

    def on_part(self, name: str) -> Holds:
        """Return the holds of one part."""
        return self.parts.setdefault(name, Holds())

    def hears(self, name: str, report: Report) -> Report:
        """Listen to what a part reports, and pass it on."""

        def heard(t_s: float, values: Values) -> None:
            self.latest[name] = t_s, values
            report(t_s, values)

        return heard


def held(street: Street, holds: Changes) -> Street:
    """Return the street as it is while `holds` hold; they may change at any time, and held streets be held again."""
    base = type(street)
    methods = {QUANTITIES[name].method for name in KNOWN}
    asks: dict[str, Callable[..., Any]] = {name: _asks(base, name, holds) for name in methods}
    asks |= {"laeq_db": _leq(base, holds), "weighted_level_db": _weighted(base, holds)}
    made: Street = object.__new__(type(f"Held{base.__name__}", (base,), asks))
    vars(made).update(vars(street))
    return made


def _asks(base: type[Street], name: str, holds: Changes) -> Callable[[Any, Any], Any]:
    original = getattr(base, name)

    def method(self: Any, t_s: Any) -> Any:
        x = original(self, t_s)
        return holds.apply(name, x, t_s) if holds.has(name) else x

    return method


def _leq(base: type[Street], holds: Changes) -> Callable[[Any, float, float], float]:
    """Integrate the held level; the street's own is a table."""
    original = base.laeq_db

    def laeq_db(self: Any, from_s: float, to_s: float) -> float:
        if not holds.has(SOUND):
            return original(self, from_s, to_s)
        span_s = max(to_s - from_s, 0.0)
        n = min(max(math.ceil(span_s / LEQ_STEP_S), 1), LEQ_STEPS)
        level_db = self.sound_level_db(from_s + span_s * (np.arange(n) + 0.5) / n)
        return 10.0 * math.log10(float(np.mean(10.0 ** (level_db / 10.0))))

    return laeq_db


def _weighted(base: type[Street], holds: Changes) -> Callable[[Any, float, float], float]:
    """Weight the held level; the street's own is a table."""
    original = base.weighted_level_db

    def weighted_level_db(self: Any, t_s: float, tau_s: float) -> float:
        return weighted_db(self.sound_level_db, t_s, tau_s) if holds.has(SOUND) else original(self, t_s, tau_s)

    return weighted_level_db


def changed(x: Any, hold: Hold, t_s: Any) -> Any:
    """Return what a method says while a hold is on.

    Of particles one size: what is larger stays on top of it, and what is smaller keeps its share.
    """
    if not isinstance(x, Particles):
        return hold.on(x, t_s)
    before: float = getattr(x, hold.quantity)
    after = hold.on(before, t_s)
    at, air = Particles._fields.index(hold.quantity), x
    share = after / before if before else 0.0
    smaller = [x * share for x in air[:at]]
    return Particles._make([*smaller, after, *(x + after - before for x in air[at + 1 :])])
