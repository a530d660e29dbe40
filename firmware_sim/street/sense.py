"""How a part sees the street: late, noisily, ageing, and with water on the particles.

A scenario says so among the options of a part; what it does not say is perfect. The part's own resolution and range
are those of its datasheet and stand in its twin.

    response_s           the air has to get into the part: a first-order lag with this time constant, of all but sound
    noise                1 sigma, as a share: of the reading for concentrations; of 10 K, 100 %RH, 10 hPa or 10 dB
    drift_per_day        the same measure, gained every day since the start
    humidity_swells      an optical counter weighs the water on the particles too
    cross_per_pct        the same measure for each %RH above 50: a cell or a hot layer that minds humidity
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Final

import numpy as np

from firmware_sim.street import draws
from firmware_sim.street.draws import F8
from firmware_sim.street.traffic import Vehicle
from firmware_sim.street.world import Counts, Particles, Street

DAY_S = 86_400.0
DRY_PCT = 50.0
NOISE_S = 1.0  # noise of one second says nothing of the next
# Gauss-Laguerre, four points: the mean over an exponential memory
AGES, WEIGHTS = np.polynomial.laguerre.laggauss(4)
MEMORY: Final = tuple(zip(AGES.tolist(), WEIGHTS.tolist(), strict=True))
# what a share of 1 means for quantities that are no concentration
SCALES: Final[Mapping[str, float]] = MappingProxyType(
    {"temperature_degc": 10.0, "humidity_pct": 100.0, "pressure_pa": 1000.0, "sound": 10.0}
)


@dataclass(frozen=True, slots=True)
class Sense:
    """What a scenario says of a part's way of seeing; all of it 0 is a perfect part."""

    noise: float = 0.0
    drift_per_day: float = 0.0
    response_s: float = 0.0
    humidity_swells: bool = False
    cross_per_pct: float = 0.0

    def objections(self) -> list[tuple[str, str, str]]:
        """List (key, what is wrong, hint)."""
        spans = {"noise": (0.0, 1.0), "response_s": (0.0, 3600.0)}
        spans |= {"drift_per_day": (-0.1, 0.1), "cross_per_pct": (-0.1, 0.1)}
        return [
            (key, f"{getattr(self, key)} is out of range", f"use {lo:g} to {hi:g}")
            for key, (lo, hi) in spans.items()
            if not lo <= getattr(self, key) <= hi
        ]


PERFECT = Sense()
KEYS: Final = tuple(field.name for field in fields(Sense))


def seen_by(street: Street, sense: Sense, name: str) -> Street:
    """Return the street as a part sees it; the street itself for a perfect one."""
    return street if sense == PERFECT else Seen(street, sense, name)


class Seen(Street):
    """A street seen through a part; as pure a function of (seed, name, time) as the street."""

    def __init__(self, street: Street, sense: Sense, name: str) -> None:
        self.seed, self.parameters, self.start_s = street.seed, street.parameters, street.start_s
        self._street, self._sense = street, sense
        self._own_sound = False
        self._stream = f"{zlib.crc32(name.encode())}"

    def particles(self, t_s: float) -> Particles:
        """PM as a light beam sees it."""
        names = Particles._fields
        rows = [(weight, self._street.particles(at_s), self._grown(at_s)) for at_s, weight in self._memory(t_s)]
        gain = self._gain("pm", t_s)
        return Particles(*(gain * sum(w * grown * getattr(air, n) for w, air, grown in rows) for n in names))

    def counts_per_cm3(self, t_s: float) -> Counts:
        """Numbers that make up those masses, as if the particles were dry."""
        return Street.counts_per_cm3(self, t_s)

    def swelling(self, t_s: float) -> float:
        """Return what is true of the street."""
        return self._street.swelling(t_s)

    def temperature_degc(self, t_s: float) -> float:
        """Air temperature."""
        return self._offset("temperature_degc", t_s)

    def humidity_pct(self, t_s: float) -> float:
        """Relative humidity."""
        return min(max(self._offset("humidity_pct", t_s), 0.0), 100.0)

    def pressure_pa(self, t_s: float) -> float:
        """Station pressure."""
        return self._offset("pressure_pa", t_s)

    def wind(self, t_s: float) -> tuple[float, float]:
        """Return what is true of the street: no part here measures it."""
        return self._street.wind(t_s)

    def voc_index(self, t_s: float) -> float:
        """VOC index."""
        return min(max(self._scaled("voc_index", t_s), 1.0), 500.0)

    def nox_index(self, t_s: float) -> float:
        """NOx index."""
        return min(max(self._scaled("nox_index", t_s), 1.0), 500.0)

    def co2_ppm(self, t_s: float) -> float:
        """CO2."""
        return self._scaled("co2_ppm", t_s)

    def no_ppb(self, t_s: float) -> float:
        """NO."""
        return self._scaled("no_ppb", t_s)

    def no2_ppb(self, t_s: float) -> float:
        """NO2."""
        return self._scaled("no2_ppb", t_s)

    def o3_ppb(self, t_s: float) -> float:
        """O3."""
        return self._scaled("o3_ppb", t_s)

    def co_ppm(self, t_s: float) -> float:
        """CO."""
        return self._scaled("co_ppm", t_s)

    def hcho_ppb(self, t_s: float) -> float:
        """Formaldehyde."""
        return self._scaled("hcho_ppb", t_s)

    def voc_ticks(self, t_s: float) -> float:
        """Raw signal for VOC."""
        return self._street.voc_ticks(t_s) - 800.0 * math.log(max(self._gain("voc_index", t_s), 0.01))

    def nox_ticks(self, t_s: float) -> float:
        """Raw signal for NOx."""
        return self._street.nox_ticks(t_s) + 900.0 * (self._gain("no2_ppb", t_s) - 1.0)

    def vehicles(self, from_s: float, to_s: float) -> list[Vehicle]:
        """Vehicles are where they are."""
        return self._street.vehicles(from_s, to_s)

    def sound_level_db(self, t_s: F8) -> F8:
        """Level as the microphone has it."""
        return self._street.sound_level_db(t_s) + self._error_db(float(t_s[-1]))

    def laeq_db(self, from_s: float, to_s: float) -> float:
        """Energy mean as the microphone has it."""
        return self._street.laeq_db(from_s, to_s) + self._error_db(to_s)

    def weighted_level_db(self, t_s: float, tau_s: float) -> float:
        """Exponential mean as the microphone has it."""
        return self._street.weighted_level_db(t_s, tau_s) + self._error_db(t_s)

    def _error_db(self, t_s: float) -> float:
        return SCALES["sound"] * (self._gain("sound", t_s) - 1.0)

    def _memory(self, t_s: float) -> list[tuple[float, float]]:
        """Return the moments that a part still remembers, each with its weight."""
        lag_s = self._sense.response_s
        return [(t_s - age * lag_s, weight) for age, weight in MEMORY] if lag_s else [(t_s, 1.0)]

    def _grown(self, t_s: float) -> float:
        return self._street.swelling(t_s) if self._sense.humidity_swells else 1.0

    def _scaled(self, name: str, t_s: float) -> float:
        true: Callable[[float], float] = getattr(self._street, name)
        return self._gain(name, t_s) * sum(weight * true(at_s) for at_s, weight in self._memory(t_s))

    def _offset(self, name: str, t_s: float) -> float:
        true: Callable[[float], float] = getattr(self._street, name)
        mean = sum(weight * true(at_s) for at_s, weight in self._memory(t_s))
        return mean + SCALES[name] * (self._gain(name, t_s) - 1.0)

    def _gain(self, what: str, t_s: float) -> float:
        """Return 1 and everything that is wrong with a reading, as a share of it."""
        sense, gain = self._sense, 1.0
        if sense.drift_per_day:
            gain += sense.drift_per_day * (t_s - self.start_s) / DAY_S
        if sense.cross_per_pct and what not in ("humidity_pct", "sound"):
            gain += sense.cross_per_pct * max(self._street.humidity_pct(t_s) - DRY_PCT, 0.0)
        if sense.noise:
            cell = np.array([math.floor(t_s / NOISE_S)])
            gain += sense.noise * float(draws.normal(self.seed, f"{self._stream} {what}", cell)[0])
        return float(gain)
