"""Directions and wind: means on the circle, where 350 and 10 deg lie side by side."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gateway.block import F8
from gateway.pipeline.fields import NO_DIRECTION

SECTORS = 16
FULL_DEG = 360.0


class Wind(NamedTuple):
    """The vector mean of winds: where it comes from, how strong it is, and the mean of the speeds alone."""

    direction_deg: float
    resultant_speed: float
    scalar_speed: float


def resultant(angle_deg: F8, weight: F8 | float = 1.0) -> tuple[float, float]:
    """Return direction (deg, 0 to 360) and length of the weighted mean of unit vectors.

    atan2(mean sin, mean cos). NaN angles are left out. The direction is NaN where the vectors cancel each other, and
    both are NaN without an angle.
    """
    angle = np.asarray(angle_deg, np.float64)
    w = np.broadcast_to(np.asarray(weight, np.float64), angle.shape)
    fit = ~(np.isnan(angle) | np.isnan(w))
    if not fit.any() or w[fit].sum() == 0.0:
        return float("nan"), float("nan")
    radians = np.radians(angle[fit])
    sin, cos = (float((w[fit] * of(radians)).sum() / w[fit].sum()) for of in (np.sin, np.cos))
    length = float(np.hypot(sin, cos))
    direction = float(np.degrees(np.arctan2(sin, cos)) % FULL_DEG) if length > NO_DIRECTION else float("nan")
    return 0.0 if direction == FULL_DEG else direction, length  # a hair's breadth west of north is rounded up


def circular_mean_deg(angle_deg: F8) -> float:
    """Return the mean direction, every angle counting alike; NaN where there is none.

    Source: EPA-454/R-99-005, Meteorological Monitoring Guidance, 6.2.2 (unit vectors).
    """
    return resultant(angle_deg)[0]


def circular_mean_sector(sector: F8, sectors: int = SECTORS) -> float:
    """Return the mean of compass sectors, 0 (north) up to the number of sectors; NaN where there is none."""
    step = FULL_DEG / sectors
    return circular_mean_deg(np.asarray(sector, np.float64) * step) / step


def sector_of(angle_deg: F8, sectors: int = SECTORS) -> F8:
    """Return the compass sector of angles: 0 is centred on north; NaN stays NaN."""
    step = FULL_DEG / sectors
    return np.floor((np.asarray(angle_deg, np.float64) + step / 2.0) % FULL_DEG / step)


def vector_mean_wind(speed: F8, direction_deg: F8) -> Wind:
    """Return the mean of wind vectors: the direction weighted by speed, which is not that of unit vectors.

    Pairs with a NaN are left out; in a calm the direction is NaN. Source: EPA-454/R-99-005, 6.2.2.
    """
    v, angle = np.asarray(speed, np.float64), np.asarray(direction_deg, np.float64)
    fit = ~(np.isnan(v) | np.isnan(angle))
    if not fit.any():
        return Wind(float("nan"), float("nan"), float("nan"))
    scalar = float(v[fit].mean())
    direction, length = resultant(angle[fit], v[fit])
    return Wind(direction, scalar * length if scalar else 0.0, scalar)
