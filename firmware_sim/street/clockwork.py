"""The hours of people: how busy a street is, by local hour and day of the week."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from firmware_sim.street.draws import F8
from firmware_sim.street.parameters import StreetParameters

HOUR_S, DAY_S = 3600.0, 86_400.0
# Share of the busiest hour by local hour, at its beginning; two rush hours, a night that is empty. [usual]
WEEKDAY: Final = (
    0.05, 0.02, 0.00, 0.00, 0.03, 0.15, 0.45, 0.85, 1.00, 0.85, 0.76, 0.76,
    0.80, 0.86, 0.90, 0.93, 1.00, 1.00, 0.95, 0.75, 0.50, 0.35, 0.22, 0.12, 0.05,
)  # fmt: skip
WEEKEND: Final = (
    0.25, 0.18, 0.12, 0.08, 0.05, 0.05, 0.10, 0.20, 0.35, 0.55, 0.75, 0.90,
    1.00, 1.00, 0.95, 0.95, 0.95, 0.95, 0.90, 0.80, 0.65, 0.50, 0.40, 0.32, 0.25,
)  # fmt: skip
THURSDAY = 3  # the first of January 1970


def local_s(parameters: StreetParameters, t_s: F8) -> F8:
    """Return seconds of local time since 1970."""
    return t_s + parameters.utc_offset_h * HOUR_S


def bustle(parameters: StreetParameters, t_s: F8) -> F8:
    """Return how busy the street is: 0 in the dead of night, 1 in the busiest hour of a weekday."""
    local = local_s(parameters, t_s)
    hour = (local % DAY_S) / HOUR_S
    hours = np.arange(25.0)
    weekday = np.interp(hour, hours, WEEKDAY)
    weekend = parameters.weekend * np.interp(hour, hours, WEEKEND)
    return np.where(is_weekend(local), weekend, weekday)


def is_weekend(local: F8) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Tell for each local time whether it is Saturday or Sunday."""
    return (np.floor(local / DAY_S).astype(np.int64) + THURSDAY) % 7 >= 5


def sun(parameters: StreetParameters, t_s: F8, highest_h: float = 13.0) -> F8:
    """Return a cosine that is 1 at a local hour and -1 twelve hours later."""
    return np.cos(2.0 * math.pi * (local_s(parameters, t_s) / DAY_S - highest_h / 24.0))


def winter(t_s: F8) -> F8:
    """Return 1 on the 15th of January, -1 on the 15th of July."""
    return np.cos(2.0 * math.pi * (t_s / DAY_S - 14.0) / 365.25)
