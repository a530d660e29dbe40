"""Weather over a street: temperature, humidity, pressure, wind, fog."""

from __future__ import annotations

import numpy as np

from firmware_sim.street import draws
from firmware_sim.street.clockwork import DAY_S, sun, winter
from firmware_sim.street.draws import F8
from firmware_sim.street.episodes import CALM, FOG, INVERSION, RAIN, Episodes
from firmware_sim.street.parameters import StreetParameters
from firmware_sim.street.tables import Tables

WARMEST_H = 17.0  # local: the sun is highest four hours before
PCT_PER_K = 2.2  # relative humidity falls as it gets warmer, for the water stays the same
STILL_M_S = 0.3
LAPSE_K = 4.0  # by which an inversion of strength 1 is colder at the ground


class Weather:
    """Tables of the weather, a value a second: degc, pct, pa, wind (m/s), slow wind, from_deg, fog (0 to 1)."""

    def __init__(self, seed: int, parameters: StreetParameters, episodes: Episodes) -> None:
        self._seed, self._of, self._episodes = seed, parameters, episodes
        self.tables = Tables(self.make)

    def make(self, t_s: F8) -> dict[str, F8]:
        """Compute all of it at some times."""
        of, strength = self._of, self._episodes.strength
        inversion, fog, rain = strength(INVERSION, t_s), strength(FOG, t_s), strength(RAIN, t_s)
        usual = of.mean_degc - of.season_swing_k * winter(t_s)
        swing = of.day_swing_k * (1.0 - 0.7 * np.minimum(fog, 1.0)) * sun(of, t_s, WARMEST_H)
        degc = usual + swing + 2.0 * self._drift("air mass", t_s, DAY_S) + 0.1 * self._drift("air", t_s, 60.0)
        degc -= LAPSE_K * inversion
        pct = of.mean_humidity_pct - PCT_PER_K * (degc - usual) + 6.0 * self._drift("damp", t_s, 4 * 3600.0)
        pct = np.clip(pct + (93.0 - pct) * np.minimum(rain, 1.0), 5.0, 100.0)
        pct = np.clip(pct + (99.0 - pct) * np.minimum(fog, 1.0), 5.0, 100.0)
        pa = of.pressure_pa + 700.0 * self._drift("pressure", t_s, 2 * DAY_S) + 2.0 * self._drift("draught", t_s, 30.0)
        slow, gust = self._wind(t_s, np.maximum(np.maximum(inversion, fog), strength(CALM, t_s)))
        turn = 120.0 * self._drift("wind from", t_s, 6 * 3600.0) + 25.0 * self._drift("wind turns", t_s, 120.0)
        return {
            "degc": degc, "pct": pct, "pa": pa, "slow": slow, "wind": gust,
            "from_deg": (240.0 + turn) % 360.0, "fog": np.minimum(fog, 1.0), "rain": rain, "inversion": inversion,
        }  # fmt: skip

    def _wind(self, t_s: F8, calm: F8) -> tuple[F8, F8]:
        """Make the wind of the hour, and that of the moment; still where it is calm."""
        slow = self._of.wind_m_s * np.exp(0.35 * self._drift("wind", t_s, 3 * 3600.0))
        slow = np.maximum(slow * (1.0 - 0.85 * np.minimum(calm, 1.0)), STILL_M_S)
        return slow, np.maximum(slow * np.exp(0.25 * self._drift("gust", t_s, 30.0)), STILL_M_S)

    def _drift(self, stream: str, t_s: F8, scale_s: float) -> F8:
        return draws.drift(self._seed, stream, t_s, scale_s)


def growth(kappa: float, density_g_cm3: float, pct: float, driest: float = 0.01) -> float:
    """Return by how much the mass that an optical counter sees exceeds the dry one: kappa-Koehler theory.

    Crilley et al. 2018, doi:10.5194/amt-11-709-2018, equation 3; `driest` keeps 1/aw - 1 above 0 in fog.
    """
    activity = min(max(pct / 100.0, 0.0), 1.0)
    if not activity:
        return 1.0
    return 1.0 + (kappa / density_g_cm3) / max(1.0 / activity - 1.0, driest)


def towards_post(from_deg: F8, share: float) -> F8:
    """Return how much denser plumes are at the post for the direction of the wind; the road lies to its south."""
    factor: F8 = 1.0 - share * np.cos(np.radians(from_deg))
    return factor
