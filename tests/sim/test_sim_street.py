from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from firmware_sim.street import Street

NOON_S = 1767182400.0  # 2025-12-31 12:00 UTC


def everything(street: Street, t_s: float) -> list[object]:
    return [
        street.particles(t_s),
        street.temperature_degc(t_s),
        street.humidity_pct(t_s),
        street.pressure_pa(t_s),
        street.voc_index(t_s),
        street.nox_index(t_s),
        street.laeq_db(t_s - 1.0, t_s),
        street.vehicles(t_s - 60.0, t_s),
    ]


def test_same_seed_same_street_in_any_order() -> None:
    times = [NOON_S + 0.37 * k for k in range(20)]
    forwards, backwards = Street(7), Street(7)
    there = [everything(forwards, t_s) for t_s in times]
    back = [everything(backwards, t_s) for t_s in reversed(times)]
    assert there == back[::-1]


def test_another_seed_is_another_street() -> None:
    assert all(a != b for a, b in zip(everything(Street(7), NOON_S), everything(Street(8), NOON_S), strict=True))


@pytest.mark.parametrize("seed", [0, 7, 2**40])
def test_values_are_those_of_a_street(seed: int) -> None:
    street = Street(seed)
    for t_s in np.linspace(NOON_S, NOON_S + 3 * 86400.0, 60):
        pm = street.particles(t_s)
        assert 0.0 < pm.pm1_0 < pm.pm2_5 < pm.pm4_0 < pm.pm10 < 500.0
        assert -15.0 < street.temperature_degc(t_s) < 40.0
        assert 5.0 <= street.humidity_pct(t_s) <= 100.0
        assert 95_000.0 < street.pressure_pa(t_s) < 106_000.0
        assert 1.0 <= street.voc_index(t_s) <= 500.0
        assert 1.0 <= street.nox_index(t_s) <= 500.0
        assert 35.0 < street.laeq_db(t_s, t_s + 1.0) < 90.0


def test_traffic_is_about_as_dense_as_promised_and_goes_both_ways() -> None:
    passed = Street(7).vehicles(NOON_S, NOON_S + 3600.0)
    assert 600 < len(passed) < 950  # Poisson of about 766
    assert passed == sorted(passed)
    towards = sum(v.speed_m_s > 0 for v in passed)
    assert 0.4 < towards / len(passed) < 0.6
    assert all(4.0 <= abs(v.speed_m_s) <= 28.0 for v in passed)


def test_vehicles_belong_to_exactly_one_interval() -> None:
    street, cuts = Street(7), [NOON_S, NOON_S + 3.25, NOON_S + 100.0, NOON_S + 100.5, NOON_S + 600.0]
    pieces = [v for a, b in pairwise(cuts) for v in street.vehicles(a, b)]
    assert pieces == street.vehicles(cuts[0], cuts[-1])


def test_a_passing_vehicle_is_heard() -> None:
    street = Street(7)
    loudest = max(street.vehicles(NOON_S, NOON_S + 600.0), key=lambda v: v.passby_db)
    assert street.laeq_db(loudest.pass_s - 0.2, loudest.pass_s + 0.2) > loudest.passby_db - 1.0


def test_laeq_of_a_whole_is_the_energy_mean_of_its_parts() -> None:
    street = Street(7)
    seconds = [10.0 ** (street.laeq_db(NOON_S + k, NOON_S + k + 1) / 10.0) for k in range(30)]
    assert street.laeq_db(NOON_S, NOON_S + 30) == pytest.approx(10.0 * math.log10(np.mean(seconds)), abs=1e-9)
