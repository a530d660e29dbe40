"""One street, seeded: what is physically true at a time, whoever asks and in whatever order.

Every random number is drawn from a counter (seed, stream, cell of time), never from a running state, so two
processes with one seed agree. Times are UTC seconds.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

F8 = npt.NDArray[np.float64]

DAY_S = 86_400.0
NEAREST_M = 6.0  # between the lamp post and the middle of the road
SLOWEST_M_S = 4.0
EARSHOT_M = 120.0
SOUND_STEP_S = 0.125
PLUME_S = 15.0  # after the pass, exhaust is densest at the lamp post
PLUME_REACH_S = 10 * PLUME_S  # after which less than 0.2 % of the peak is left
DENSITY_G_CM3 = 1.65  # the usual assumption of optical counters for urban dust


class Particles(NamedTuple):
    """Mass concentrations in ug/m3, each including the smaller sizes."""

    pm1_0: float
    pm2_5: float
    pm4_0: float
    pm10: float


class Counts(NamedTuple):
    """Number concentrations in 1/cm3, each of all particles that are larger than the size in um."""

    n0_3: float
    n0_5: float
    n1_0: float
    n2_5: float
    n4_0: float
    n5_0: float
    n10: float


class Vehicle(NamedTuple):
    """A vehicle that is nearest at `pass_s`; `speed_m_s` is positive when it comes towards the radar before that."""

    pass_s: float
    speed_m_s: float
    passby_db: float


class Street:
    """The truth that all twins of one simulation share."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._arrivals = lru_cache(maxsize=1024)(self._draw_arrivals)

    def particles(self, t_s: float) -> Particles:
        """PM in the air: weather over hours, traffic over the day, gusts over seconds."""
        weather = 0.45 * self._drift("pm", t_s, 6 * 3600.0) + 0.12 * self._drift("pm gust", t_s, 20.0)
        pm2_5 = 8.0 * math.exp(weather + 0.3 * self._bustle(t_s))
        dust = 5.0 * math.exp(0.5 * self._drift("dust", t_s, 1800.0) + 0.6 * self._bustle(t_s))
        return Particles(0.7 * pm2_5, pm2_5, pm2_5 + 0.4 * dust, pm2_5 + dust)

    def temperature_degc(self, t_s: float) -> float:
        """Air temperature, warmest at 15 h UTC."""
        day = math.cos(2 * math.pi * (t_s / DAY_S - 15 / 24))
        return float(13.0 + 5.0 * day + 2.0 * self._drift("air mass", t_s, DAY_S) + 0.1 * self._drift("air", t_s, 60.0))

    def humidity_pct(self, t_s: float) -> float:
        """Relative humidity; it falls as the temperature rises."""
        percent = 62.0 - 2.2 * (self.temperature_degc(t_s) - 13.0) + 6.0 * self._drift("damp", t_s, 4 * 3600.0)
        return min(max(float(percent), 5.0), 100.0)

    def pressure_pa(self, t_s: float) -> float:
        """Station pressure."""
        weather = 700.0 * self._drift("pressure", t_s, 2 * DAY_S)
        return float(100_900.0 + weather + 2.0 * self._drift("draught", t_s, 30.0))

    def voc_index(self, t_s: float) -> float:
        """VOC index 1..500; 100 is the usual air of the place."""
        return min(max(100.0 * math.exp(0.3 * self._drift("voc", t_s, 900.0)), 1.0), 500.0)

    def nox_index(self, t_s: float) -> float:
        """NOx index 1..500; 1 is the usual air of the place."""
        return min(1.0 + 12.0 * float(self._bustle(t_s)) * math.exp(0.6 * self._drift("nox", t_s, 300.0)), 500.0)

    def counts_per_cm3(self, t_s: float) -> Counts:
        """Numbers that make up `particles`: spheres of the middle size of each class, and a few above 10 um."""
        air = self.particles(t_s)
        fine = _per_cm3(air.pm1_0, 0.3, 1.0)
        coarse = air.pm10 - air.pm4_0
        classes = (
            0.7 * fine,  # 0.3 to 0.5 um: the share that SPS30 and PMS5003 captures have
            0.3 * fine,
            _per_cm3(air.pm2_5 - air.pm1_0, 1.0, 2.5),
            _per_cm3(air.pm4_0 - air.pm2_5, 2.5, 4.0),
            _per_cm3(0.2 * coarse, 4.0, 5.0),
            _per_cm3(0.8 * coarse, 5.0, 10.0),
            _per_cm3(0.3 * coarse, 10.0, 20.0),
        )
        return Counts(*(math.fsum(classes[i:]) for i in range(len(classes))))

    def co2_ppm(self, t_s: float) -> float:
        """CO2: the background, traffic, and still air that gathers it."""
        gathered = 12.0 * math.exp(0.5 * self._drift("co2", t_s, 3600.0))
        return 418.0 + gathered + 1.2 * self._exhaust(t_s)

    def no2_ppb(self, t_s: float) -> float:
        """NO2: what hangs over the town, and the exhaust of the vehicles that just passed."""
        return 4.0 * math.exp(0.4 * self._drift("no2", t_s, 3600.0)) + 1.5 * self._exhaust(t_s)

    def o3_ppb(self, t_s: float) -> float:
        """O3: most in the early afternoon, and eaten up by exhaust."""
        sun = math.cos(2 * math.pi * (t_s / DAY_S - 14 / 24))
        oxidant = 36.0 + 12.0 * sun + 4.0 * self._drift("o3", t_s, 3 * 3600.0)
        return max(float(oxidant) - 0.8 * self.no2_ppb(t_s), 1.0)

    def co_ppm(self, t_s: float) -> float:
        """CO: the background, and the exhaust of the vehicles that just passed."""
        return 0.15 * math.exp(0.2 * self._drift("co", t_s, 3600.0)) + 0.03 * self._exhaust(t_s)

    def hcho_ppb(self, t_s: float) -> float:
        """Formaldehyde: photochemistry over hours, and a little exhaust."""
        return 3.0 * math.exp(0.4 * self._drift("hcho", t_s, 3600.0)) + 0.1 * self._exhaust(t_s)

    def voc_ticks(self, t_s: float) -> float:
        """Raw signal of a metal-oxide pixel for VOC: falls with the logarithm of what it smells."""
        return 30_000.0 - 800.0 * math.log(self.voc_index(t_s) / 100.0) + float(5.0 * self._drift("voc tick", t_s, 3.0))

    def nox_ticks(self, t_s: float) -> float:
        """Raw signal of a metal-oxide pixel for NOx: rises with the logarithm of NO2."""
        return 15_500.0 + 900.0 * math.log1p(self.no2_ppb(t_s) / 10.0) + float(5.0 * self._drift("nox tick", t_s, 3.0))

    def vehicles(self, from_s: float, to_s: float) -> list[Vehicle]:
        """Vehicles that are nearest within [from_s, to_s), in order of time."""
        found = [v for cell in range(math.floor(from_s), math.ceil(to_s)) for v in self._arrivals(cell)]
        return [v for v in found if from_s <= v.pass_s < to_s]

    def sound_level_db(self, t_s: F8) -> F8:
        """A-weighted level at each time: a background and every vehicle in earshot."""
        reach_s = EARSHOT_M / SLOWEST_M_S
        background_db = 47.0 + 6.0 * self._bustle(t_s) + self._drift("hum", t_s, 10.0)
        energy = 10.0 ** (background_db / 10.0)
        for vehicle in self.vehicles(float(t_s.min()) - reach_s, float(t_s.max()) + reach_s):
            along_m = vehicle.speed_m_s * (t_s - vehicle.pass_s)
            nearness = np.where(np.abs(along_m) < EARSHOT_M, NEAREST_M**2 / (NEAREST_M**2 + along_m**2), 0.0)
            energy = energy + 10.0 ** (vehicle.passby_db / 10.0) * nearness
        level_db: F8 = 10.0 * np.log10(energy)
        return level_db

    def laeq_db(self, from_s: float, to_s: float) -> float:
        """Energy mean of the A-weighted level over [from_s, to_s]."""
        if to_s <= from_s:
            return float(self.sound_level_db(np.array([to_s]))[0])
        inner = np.arange(math.floor(from_s / SOUND_STEP_S) + 1, math.ceil(to_s / SOUND_STEP_S)) * SOUND_STEP_S
        edges = np.concatenate(([from_s], inner, [to_s]))
        level_db = self.sound_level_db((edges[1:] + edges[:-1]) / 2.0)
        return 10.0 * math.log10(float(np.average(10.0 ** (level_db / 10.0), weights=np.diff(edges))))

    def _bustle(self, t_s: float | F8) -> F8:
        """How busy the street is, 0 in the dead of night to 1 in the afternoon."""
        return np.asarray(0.5 + 0.5 * np.cos(2 * math.pi * (t_s / DAY_S - 14 / 24)))

    def _exhaust(self, t_s: float) -> float:
        """Plumes of the vehicles that just passed; 1 is one plume at its densest."""
        ages = ((t_s - vehicle.pass_s) / PLUME_S for vehicle in self.vehicles(t_s - PLUME_REACH_S, t_s))
        return math.fsum(age * math.exp(1.0 - age) for age in ages)

    def _draw_arrivals(self, cell: int) -> tuple[Vehicle, ...]:
        """Vehicles of one second: Poisson, 300 to 800 an hour."""
        rng = self._rng("traffic", cell)
        count = int(rng.poisson((300.0 + 500.0 * float(self._bustle(cell))) / 3600.0))
        vehicles = []
        for offset_s in sorted(rng.uniform(size=count)):
            speed_m_s = min(max(float(rng.normal(11.5, 2.5)), SLOWEST_M_S), 28.0)
            passby_db = 62.0 + 25.0 * math.log10(speed_m_s / 11.5) + float(rng.normal(0.0, 2.5))
            sign = 1.0 if rng.uniform() < 0.5 else -1.0
            vehicles.append(Vehicle(cell + float(offset_s), sign * speed_m_s, passby_db))
        return tuple(vehicles)

    def _drift(self, stream: str, t_s: float | F8, scale_s: float) -> F8:
        """Smooth noise of about unit variance that changes over `scale_s`."""
        place = np.asarray(t_s / scale_s)
        cell = np.floor(place).astype(np.int64)
        first = int(cell.min())
        knots = np.array([self._rng(stream, k).normal() for k in range(first, int(cell.max()) + 2)])
        here, there = knots[cell - first], knots[cell - first + 1]
        part = place - cell
        return np.asarray(here + (there - here) * part * part * (3.0 - 2.0 * part))

    def _rng(self, stream: str, cell: int) -> np.random.Generator:
        key = np.array([self._seed, int.from_bytes(stream.encode()[:8].ljust(8), "little")], dtype=np.uint64)
        # the cell goes into the second word of the counter, so that the numbers of two cells never overlap
        counter = np.array([0, cell % 2**64, 0, 0], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(counter=counter, key=key))


def _per_cm3(ug_m3: float, from_um: float, to_um: float) -> float:
    """How many spheres of the middle (geometric mean) diameter weigh that much."""
    middle_um = math.sqrt(from_um * to_um)
    volume_um3 = math.pi / 6.0 * middle_um**3
    return ug_m3 / (DENSITY_G_CM3 * volume_um3)
