"""What sound level meters make of the street: time weighting, and what lies above the A-weighted level."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from firmware_sim.street import F8, Street

FAST_S, SLOW_S = 0.125, 1.0
C_ABOVE_A_DB, Z_ABOVE_A_DB = 8.0, 10.0  # the spectrum of a street
SAMPLES, TIME_CONSTANTS = 16, 5.0


def weighted_level_db(street: Street, t_s: float, tau_s: float) -> float:
    """Exponential mean of the A-weighted level, over the last five time constants."""
    ages_s, weights, whole = _memory(tau_s)
    energy = 10.0 ** (street.sound_level_db(t_s - ages_s) / 10.0)
    return 10.0 * math.log10(float((energy * weights).sum() / whole))


@cache
def _memory(tau_s: float) -> tuple[F8, F8, float]:
    """Return the ages that are looked at, what each weighs, and what all do."""
    ages_s = np.linspace(0.0, TIME_CONSTANTS * tau_s, SAMPLES)
    weights = np.exp(-ages_s / tau_s)
    return ages_s, weights, weights.sum()
