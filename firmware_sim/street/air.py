"""Air over a street: background, exhaust that disperses with the wind, episodes, and the chemistry of ozone.

plume     after each pass age * exp(1 - age), age in units of `plume_s`; denser in still air and when the wind
          comes from the road
gathered  the background is denser the slower the wind of the hour, and under an inversion
NO + O3 -> NO2 + O2, NO2 + light -> NO + O3: in a steady state NO * O3 = NO2 * photolysis. At night exhaust eats all
          the ozone that it finds; by day light gives some of it back
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from firmware_sim.street import draws
from firmware_sim.street.clockwork import bustle, local_s, sun, winter
from firmware_sim.street.draws import F8
from firmware_sim.street.episodes import DUST, FIREWORKS, RAIN, WOOD_SMOKE, Episodes
from firmware_sim.street.parameters import CLASSES, StreetParameters
from firmware_sim.street.tables import Tables
from firmware_sim.street.traffic import Vehicle
from firmware_sim.street.weather import Weather, towards_post

REACH = 10.0  # plumes end after so many `plume_s`: less than 0.2 % of the peak is left
SMOKE_H = (17.0, 23.0)  # local: when the stoves burn
OZONE_H = 16.0  # local: when ozone peaks
LEAST_O3_PPB = 1.0
GATHERING = 4.0  # by which an inversion of strength 1 makes the background denser, above 1
WASHED = 0.4  # of the particles, by rain of strength 1 [usual]
CLEARING_S = 900.0  # smoke of fireworks hangs on


class Air:
    """Tables of the air, a value a second; PM is dry mass."""

    def __init__(
        self,
        seed: int,
        parameters: StreetParameters,
        episodes: Episodes,
        weather: Weather,
        vehicles: Callable[[float, float], Sequence[Vehicle]],
    ) -> None:
        self._seed, self._of, self._episodes = seed, parameters, episodes
        self._weather, self._vehicles = weather, vehicles
        self.tables = Tables(self.make)

    def make(self, t_s: F8) -> dict[str, F8]:
        """Compute all of it for consecutive seconds."""
        of = self._of
        weather = self._weather.make(t_s)
        gathers = np.clip((of.wind_m_s / weather["slow"]) ** 0.5, 0.4, 2.5) * (1.0 + GATHERING * weather["inversion"])
        spread = of.wind_m_s / weather["wind"]
        near = np.clip(spread, 0.3, 4.0) * towards_post(weather["from_deg"], of.wind_towards_post)
        plume = {name: near * sums for name, sums in self._plumes(t_s).items()}
        return {
            **self._particles(t_s, gathers, plume["pm"]),
            **self._ozone(t_s, gathers, plume["nox"], plume["no2"]),
            "co2": of.co2_ppm + 12.0 * gathers * np.exp(0.5 * self._drift("co2", t_s, 3600.0)) + plume["co2"],
            "co": of.co_ppm * gathers * np.exp(0.2 * self._drift("co", t_s, 3600.0)) + plume["co"],
            "hcho": of.hcho_ppb * np.exp(0.4 * self._drift("hcho", t_s, 3600.0)) + 0.1 * plume["cars"],
            **self._gas_parts(t_s),
        }

    def _plumes(self, t_s: F8) -> dict[str, F8]:
        """Sum up the exhaust of all who have passed, in the wind that is usual."""
        of, first_s = self._of, float(t_s[0])
        reach_s = REACH * of.plume_s
        passed = self._vehicles(first_s - reach_s, float(t_s[-1]))
        names = ("cars", "nox", "no2", "pm", "co", "co2")
        sums = np.zeros((len(names), len(t_s)))
        blown = {name: _blown(of, name)[:, None] for name in CLASSES}
        for vehicle in passed:
            begin = max(int(np.ceil(vehicle.pass_s - first_s)), 0)
            end = min(int(vehicle.pass_s + reach_s - first_s) + 1, len(t_s))
            age = (t_s[begin:end] - vehicle.pass_s) / of.plume_s
            sums[:, begin:end] += blown[vehicle.kind] * (age * np.exp(1.0 - age))
        return dict(zip(names, sums, strict=True))

    def _particles(self, t_s: F8, gathers: F8, exhaust: F8) -> dict[str, F8]:
        """Make dry masses: weather over hours, traffic over the day, gusts over seconds."""
        of, busy = self._of, bustle(self._of, t_s)
        weather = 0.45 * self._drift("pm", t_s, 6 * 3600.0) + 0.12 * self._drift("pm gust", t_s, 20.0)
        fine = of.pm2_5_ug_m3 * gathers * np.exp(weather + 0.3 * busy) + exhaust + self._smoke(t_s, gathers)
        dust = of.dust_ug_m3 * np.exp(0.5 * self._drift("dust", t_s, 1800.0) + 0.6 * busy)
        coarse = self._episodes.strength(DUST, t_s) * of.dust_episode_ug_m3
        dust = dust + coarse * np.exp(0.15 * self._drift("dust cloud", t_s, 300.0))
        fine = fine + 0.25 * coarse
        washed = 1.0 - WASHED * np.minimum(self._episodes.strength(RAIN, t_s), 1.0)
        return {"pm2_5": fine * washed, "dust": dust * washed}

    def _smoke(self, t_s: F8, gathers: F8) -> F8:
        """Make what stoves and fireworks add."""
        of = self._of
        hour = local_s(of, t_s) % 86_400.0 / 3600.0
        evening = np.clip(np.minimum(hour - SMOKE_H[0], SMOKE_H[1] - hour), 0.0, 1.0)
        cold = np.clip(2.0 * winter(t_s) - 0.9, 0.0, 1.0)  # December to February
        stoves = np.maximum(evening * cold, self._episodes.strength(WOOD_SMOKE, t_s))
        smoke = of.wood_smoke_ug_m3 * gathers * stoves * np.exp(0.3 * self._drift("stoves", t_s, 600.0))
        return smoke + of.firework_ug_m3 * self._hanging(t_s) * np.exp(0.2 * self._drift("sparks", t_s, 60.0))

    def _hanging(self, t_s: F8) -> F8:
        """Say how dense the smoke of fireworks is: it gathers while they last, and clears slowly."""
        dense = np.zeros(t_s.shape)
        for begin_s, end_s, strength in self._episodes.spans(FIREWORKS):
            since, over = np.maximum(t_s - begin_s, 0.0), np.maximum(t_s - end_s, 0.0)
            dense += strength * (np.exp(-over / CLEARING_S) - np.exp(-since / CLEARING_S))
        return dense

    def _ozone(self, t_s: F8, gathers: F8, nox_near: F8, no2_near: F8) -> dict[str, F8]:
        of = self._of
        far = of.no2_ppb * gathers * np.exp(0.4 * self._drift("no2", t_s, 3600.0))
        o3 = of.o3_ppb + of.o3_swing_ppb * sun(of, t_s, OZONE_H) + 4.0 * self._drift("o3", t_s, 3 * 3600.0)
        nox = 1.2 * far + nox_near
        oxidant = np.maximum(o3, LEAST_O3_PPB) + far + no2_near  # O3 + NO2: the reaction leaves it as it is
        light = of.photolysis_ppb * np.maximum(sun(of, t_s) - 0.1 * winter(t_s), 0.0)
        both = nox + oxidant + light
        no2 = (both - np.sqrt(np.maximum(both**2 - 4.0 * nox * oxidant, 0.0))) / 2.0
        return {"no2": no2, "no": nox - no2, "o3": np.maximum(oxidant - no2, LEAST_O3_PPB)}

    def _gas_parts(self, t_s: F8) -> dict[str, F8]:
        """Make what metal-oxide pixels and their indices say."""
        voc = np.clip(100.0 * np.exp(0.3 * self._drift("voc", t_s, 900.0)), 1.0, 500.0)
        busy = 12.0 * bustle(self._of, t_s) * np.exp(0.6 * self._drift("nox", t_s, 300.0))
        return {
            "voc_index": voc,
            "nox_index": np.minimum(1.0 + busy, 500.0),
            "voc_tick": 5.0 * self._drift("voc tick", t_s, 3.0),
            "nox_tick": 5.0 * self._drift("nox tick", t_s, 3.0),
        }

    def _drift(self, stream: str, t_s: F8, scale_s: float) -> F8:
        return draws.drift(self._seed, stream, t_s, scale_s)


def _blown(of: StreetParameters, name: str) -> F8:
    """Return what a vehicle of a class blows out: cars, NOx, NO2, PM, CO, CO2 at the peak of its plume."""
    kind = CLASSES[name]
    no2_ppb = kind.nox * kind.primary_no2 * of.plume_nox_ppb
    gases = (kind.nox * of.plume_nox_ppb, no2_ppb, kind.pm * of.plume_pm_ug_m3)
    return np.array([1.0, *gases, kind.co * of.plume_co_ppm, kind.co2 * of.plume_co2_ppm])
