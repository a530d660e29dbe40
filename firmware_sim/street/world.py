"""One street, seeded: what is physically true at a time, whoever asks and in whatever order.

Every random number is drawn from a counter (seed, stream, cell of time), never from a running state, so two
processes with one seed agree. Times are UTC seconds. Traffic, sound, air and weather hang together: a vehicle moves
the radar and the lidar, is heard, and leaves exhaust in the wind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from firmware_sim.street.air import Air
from firmware_sim.street.draws import F8
from firmware_sim.street.episodes import Episode, Episodes
from firmware_sim.street.parameters import StreetParameters
from firmware_sim.street.sound import STEP_S, Sound, weighted_db
from firmware_sim.street.traffic import Traffic, Vehicle
from firmware_sim.street.weather import Weather, growth

PM, WIND = ("pm2_5", "dust"), ("wind", "from_deg")


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


class Street:
    """The truth that all twins of one simulation share; `start_s` is when its episodes begin to count."""

    def __init__(
        self,
        seed: int,
        parameters: StreetParameters | None = None,
        episodes: Sequence[Episode] = (),
        start_s: float = 0.0,
    ) -> None:
        self.seed, self.start_s = seed, start_s
        self.parameters = parameters or StreetParameters()
        happens = Episodes(episodes, start_s)
        self._traffic = Traffic(seed, self.parameters, happens)
        self._weather = Weather(seed, self.parameters, happens)
        self._air = Air(seed, self.parameters, happens, self._weather, self.vehicles)
        self._sound = Sound(seed, self.parameters, happens, self.vehicles)
        self._own_sound = type(self).sound_level_db is Street.sound_level_db

    # -- particles ---------------------------------------------------------------------------------------------------

    def particles(self, t_s: float) -> Particles:
        """Dry PM in the air: weather over hours, traffic over the day, gusts over seconds."""
        pm2_5, dust = self._air.tables.row(PM, t_s)
        return Particles(0.7 * pm2_5, pm2_5, pm2_5 + 0.4 * dust, pm2_5 + dust)

    def counts_per_cm3(self, t_s: float) -> Counts:
        """Numbers that make up `particles`: spheres of the middle size of each class, and a few above 10 um."""
        air, density = self.particles(t_s), self.parameters.density_g_cm3
        fine = _per_cm3(air.pm1_0, 0.3, 1.0, density)
        coarse = air.pm10 - air.pm4_0
        classes = (
            0.7 * fine,  # 0.3 to 0.5 um: the share that SPS30 and PMS5003 captures have
            0.3 * fine,
            _per_cm3(air.pm2_5 - air.pm1_0, 1.0, 2.5, density),
            _per_cm3(air.pm4_0 - air.pm2_5, 2.5, 4.0, density),
            _per_cm3(0.2 * coarse, 4.0, 5.0, density),
            _per_cm3(0.8 * coarse, 5.0, 10.0, density),
            _per_cm3(0.3 * coarse, 10.0, 20.0, density),
        )
        return Counts(*reversed(list(accumulate(reversed(classes)))))

    def swelling(self, t_s: float) -> float:
        """Return by how much an optical counter overrates the dry mass: water on the particles, more of it in fog."""
        return growth(self.parameters.kappa, self.parameters.density_g_cm3, self.humidity_pct(t_s))

    # -- weather -----------------------------------------------------------------------------------------------------

    def temperature_degc(self, t_s: float) -> float:
        """Air temperature, warmest at 17 h local time."""
        return self._weather.tables.at("degc", t_s)

    def humidity_pct(self, t_s: float) -> float:
        """Relative humidity; it falls as the temperature rises."""
        return self._weather.tables.at("pct", t_s)

    def pressure_pa(self, t_s: float) -> float:
        """Station pressure."""
        return self._weather.tables.at("pa", t_s)

    def wind(self, t_s: float) -> tuple[float, float]:
        """Wind in m/s, and from where it blows in degrees."""
        speed, from_deg = self._weather.tables.row(WIND, t_s)
        return speed, from_deg

    # -- gases -------------------------------------------------------------------------------------------------------

    def voc_index(self, t_s: float) -> float:
        """VOC index 1..500; 100 is the usual air of the place."""
        return self._air.tables.at("voc_index", t_s)

    def nox_index(self, t_s: float) -> float:
        """NOx index 1..500; 1 is the usual air of the place."""
        return self._air.tables.at("nox_index", t_s)

    def co2_ppm(self, t_s: float) -> float:
        """CO2: the background, traffic, and still air that gathers it."""
        return self._air.tables.at("co2", t_s)

    def no_ppb(self, t_s: float) -> float:
        """NO: fresh exhaust, until it has met ozone."""
        return self._air.tables.at("no", t_s)

    def no2_ppb(self, t_s: float) -> float:
        """NO2: what hangs over the town, what the vehicles that just passed blew out, and what ozone makes of NO."""
        return self._air.tables.at("no2", t_s)

    def o3_ppb(self, t_s: float) -> float:
        """O3: most in the afternoon, and eaten up by exhaust."""
        return self._air.tables.at("o3", t_s)

    def co_ppm(self, t_s: float) -> float:
        """CO: the background, and the exhaust of the vehicles that just passed."""
        return self._air.tables.at("co", t_s)

    def hcho_ppb(self, t_s: float) -> float:
        """Formaldehyde: photochemistry over hours, and a little exhaust."""
        return self._air.tables.at("hcho", t_s)

    def voc_ticks(self, t_s: float) -> float:
        """Raw signal of a metal-oxide pixel for VOC: falls with the logarithm of what it smells."""
        return 30_000.0 - 800.0 * math.log(self.voc_index(t_s) / 100.0) + self._air.tables.at("voc_tick", t_s)

    def nox_ticks(self, t_s: float) -> float:
        """Raw signal of a metal-oxide pixel for NOx: rises with the logarithm of NO2."""
        return 15_500.0 + 900.0 * math.log1p(self.no2_ppb(t_s) / 10.0) + self._air.tables.at("nox_tick", t_s)

    # -- vehicles and sound ------------------------------------------------------------------------------------------

    def vehicles(self, from_s: float, to_s: float) -> list[Vehicle]:
        """Vehicles that are nearest within [from_s, to_s), in order of time."""
        return self._traffic.between(from_s, to_s)

    def sound_level_db(self, t_s: F8) -> F8:
        """A-weighted level at each time: a background and every vehicle in earshot."""
        return self._sound.level_db(t_s)

    def laeq_db(self, from_s: float, to_s: float) -> float:
        """Energy mean of the A-weighted level over [from_s, to_s]."""
        if to_s <= from_s:
            return float(self.sound_level_db(np.array([to_s]))[0])
        if self._own_sound:
            return self._sound.laeq_db(from_s, to_s)
        inner = np.arange(math.floor(from_s / STEP_S) + 1, math.ceil(to_s / STEP_S)) * STEP_S
        edges = np.concatenate(([from_s], inner, [to_s]))
        level_db = self.sound_level_db((edges[1:] + edges[:-1]) / 2.0)
        return 10.0 * math.log10(float(np.average(10.0 ** (level_db / 10.0), weights=np.diff(edges))))

    def weighted_level_db(self, t_s: float, tau_s: float) -> float:
        """Level as a meter with a time constant shows it: exponential mean of the A-weighted energy."""
        return self._sound.weighted_db(t_s, tau_s) if self._own_sound else weighted_db(self.sound_level_db, t_s, tau_s)


def _per_cm3(ug_m3: float, from_um: float, to_um: float, density_g_cm3: float) -> float:
    """How many spheres of the middle (geometric mean) diameter weigh that much."""
    return ug_m3 / _sphere(from_um, to_um, density_g_cm3)


@cache
def _sphere(from_um: float, to_um: float, density_g_cm3: float) -> float:
    middle_um = math.sqrt(from_um * to_um)
    volume_um3 = math.pi / 6.0 * middle_um**3
    return density_g_cm3 * volume_um3
