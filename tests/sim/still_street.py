"""A street on which nothing changes by itself, and an ear for what the twins report."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from firmware_sim.device import Values
from firmware_sim.street import F8, Particles, Street, Vehicle


class StillStreet(Street):
    """A working street on which nothing changes but the vehicles that a test sends along."""

    def __init__(self) -> None:
        super().__init__(0)
        self.pm = Particles(6.2, 8.1, 9.0, 9.5)
        self.air_degc, self.humidity, self.pressure, self.voc, self.nox = -0.005, 73.12, 100653.267, 100.0, 1.0
        self.level_db = 61.25
        self.traffic: list[Vehicle] = []

    def particles(self, t_s: float) -> Particles:
        return self.pm

    def temperature_degc(self, t_s: float) -> float:
        return self.air_degc

    def humidity_pct(self, t_s: float) -> float:
        return self.humidity

    def pressure_pa(self, t_s: float) -> float:
        return self.pressure

    def voc_index(self, t_s: float) -> float:
        return self.voc

    def nox_index(self, t_s: float) -> float:
        return self.nox

    def sound_level_db(self, t_s: F8) -> F8:
        return np.full(t_s.shape, self.level_db)

    def vehicles(self, from_s: float, to_s: float) -> list[Vehicle]:
        return [v for v in self.traffic if from_s <= v.pass_s < to_s]


@dataclass
class Heard:
    """What the twins reported, in order."""

    lines: list[tuple[float, Values]] = field(default_factory=list)

    def __call__(self, t_s: float, values: Values) -> None:
        self.lines.append((t_s, values))

    @property
    def values(self) -> list[Values]:
        return [values for _t_s, values in self.lines]
