from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from firmware_sim.street import Street, Vehicle

NOON_S = 1767182400.0  # 2025-12-31 12:00 UTC
GASES = ("co2_ppm", "no2_ppb", "o3_ppb", "co_ppm", "hcho_ppb", "voc_ticks", "nox_ticks")


def gases(street: Street, t_s: float) -> list[float]:
    return [getattr(street, name)(t_s) for name in GASES]


class OneCar(Street):
    """A street with exactly one vehicle a day."""

    def vehicles(self, from_s: float, to_s: float) -> list[Vehicle]:
        return [Vehicle(NOON_S, 12.0, 62.0)] if from_s <= NOON_S < to_s else []


def test_same_seed_same_air_in_any_order_and_another_seed_another() -> None:
    times = [NOON_S + 0.37 * k for k in range(20)]
    forwards, backwards = Street(7), Street(7)
    there = [(gases(forwards, t_s), forwards.counts_per_cm3(t_s)) for t_s in times]
    back = [(gases(backwards, t_s), backwards.counts_per_cm3(t_s)) for t_s in reversed(times)]
    assert there == back[::-1]
    assert all(a != b for a, b in zip(gases(Street(7), NOON_S), gases(Street(8), NOON_S), strict=True))


@pytest.mark.parametrize("seed", [0, 7, 2**40])
def test_values_are_those_of_a_street(seed: int) -> None:
    street = Street(seed)
    for t_s in np.linspace(NOON_S, NOON_S + 3 * 86400.0, 40):
        assert 410.0 < street.co2_ppm(t_s) < 700.0
        assert 0.5 < street.no2_ppb(t_s) < 120.0
        assert 1.0 <= street.o3_ppb(t_s) < 90.0
        assert 0.05 < street.co_ppm(t_s) < 3.0
        assert 0.3 < street.hcho_ppb(t_s) < 40.0
        assert 27_000.0 < street.voc_ticks(t_s) < 33_000.0
        assert 15_000.0 < street.nox_ticks(t_s) < 20_000.0


@pytest.mark.parametrize("name", ["no2_ppb", "co_ppm", "co2_ppm", "hcho_ppb", "nox_ticks"])
def test_a_passing_vehicle_is_smelt_and_blows_away(name: str) -> None:
    gas, empty = getattr(OneCar(7), name), getattr(OneCar(7), name)(NOON_S - 1.0)
    peak = gas(NOON_S + 15.0)
    assert peak > empty * 1.002
    assert gas(NOON_S + 5.0) < peak
    assert gas(NOON_S + 90.0) < peak
    before, after = gas(NOON_S + 149.9), gas(NOON_S + 150.1)
    assert math.isclose(before, after, rel_tol=2e-3), "a plume ends without a step"


def test_exhaust_eats_ozone() -> None:
    street = OneCar(7)
    assert street.o3_ppb(NOON_S + 15.0) < street.o3_ppb(NOON_S - 1.0)


def test_voc_lowers_the_raw_signal() -> None:
    street = Street(7)
    times = [NOON_S + 60.0 * k for k in range(200)]
    by_index = sorted(times, key=street.voc_index)
    assert street.voc_ticks(by_index[0]) > street.voc_ticks(by_index[-1])


def test_counts_are_of_all_that_is_larger_and_weigh_what_the_masses_say() -> None:
    street = Street(7)
    for t_s in np.linspace(NOON_S, NOON_S + 86400.0, 20):
        counts, air = street.counts_per_cm3(t_s), street.particles(t_s)
        assert all(a > b > 0.0 for a, b in pairwise(counts))
        sphere_pg = 1.65 * math.pi / 6.0 * math.sqrt(0.3) ** 3
        assert (counts.n0_3 - counts.n1_0) * sphere_pg == pytest.approx(air.pm1_0, rel=1e-9)
        # SPS30 captures have 26.3 of 37.0, PMS5003 captures (765 - 252) of (765 - 29)
        assert (counts.n0_3 - counts.n0_5) / (counts.n0_3 - counts.n1_0) == pytest.approx(0.7)
