"""The street hangs together: who passes is heard and smelt, weather moves the air, and all of it is a pure function."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.street import CLASSES, Episode, Sense, Street, StreetParameters, Vehicle, seen_by, v85_m_s
from firmware_sim.street.tables import BLOCK_S

MONDAY_S = 1_768_176_000.0  # 2026-01-12T00:00:00Z, a Monday
HOUR_S, DAY_S = 3600.0, 86_400.0
NOON_S = MONDAY_S + 11 * HOUR_S  # 13 h local
SCALARS = (
    "temperature_degc", "humidity_pct", "pressure_pa", "voc_index", "nox_index", "co2_ppm", "no_ppb", "no2_ppb",
    "o3_ppb", "co_ppm", "hcho_ppb", "voc_ticks", "nox_ticks", "swelling",
)  # fmt: skip


def everything(street: Street, t_s: float) -> list[object]:
    values: list[object] = [getattr(street, name)(t_s) for name in SCALARS]
    sound = street.sound_level_db(np.array([t_s, t_s + 0.3])).tolist()
    weighted = [street.weighted_level_db(t_s, tau_s) for tau_s in (0.125, 1.0)]
    return [*values, street.particles(t_s), street.wind(t_s), sound, weighted, street.vehicles(t_s - 30.0, t_s + 30.0)]


def busy(**changes: float) -> StreetParameters:
    return StreetParameters(**{"platoon_share": 0.5, "trams_per_h": 6.0, "sirens_per_day": 24.0, **changes})


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0.0, 7 * DAY_S), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_it_does_not_matter_in_which_order_it_is_asked(offsets: list[float], dice: object) -> None:
    times = [MONDAY_S + offset for offset in offsets]
    episodes = [Episode("inversion", 0.0, 5 * DAY_S), Episode("fireworks", 100.0, 4 * DAY_S)]
    one, other = (Street(7, busy(), episodes, MONDAY_S) for _ in range(2))
    there = {t_s: everything(one, t_s) for t_s in times}
    shuffled = list(times)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    assert {t_s: everything(other, t_s) for t_s in shuffled} == there


def test_another_seed_is_another_street() -> None:
    assert everything(Street(7, busy()), NOON_S) != everything(Street(8, busy()), NOON_S)


@pytest.mark.parametrize("name", SCALARS)
def test_nothing_jumps_where_two_tables_meet(name: str) -> None:
    street = Street(7, busy())
    border_s = (NOON_S // BLOCK_S) * BLOCK_S
    before, after = (getattr(street, name)(border_s + dt) for dt in (-1e-6, 1e-6))
    assert before == pytest.approx(after, rel=1e-5)


def test_the_level_is_the_same_on_both_sides_of_a_border() -> None:
    border_s = (NOON_S // BLOCK_S) * BLOCK_S
    before, after = Street(7, busy()).sound_level_db(np.array([border_s - 1e-6, border_s + 1e-6]))
    assert before == pytest.approx(after, abs=1e-3)


@pytest.mark.parametrize("at_s", [0.0, 1e-6, 0.06, 1.0, 300.03, 599.99])
@pytest.mark.parametrize("tau_s", [0.01, 0.125, 1.0, 10.0])
def test_a_weighted_level_is_the_mean_of_what_was_weighted_by_its_age(tau_s: float, at_s: float) -> None:
    street, t_s = Street(7, busy()), (NOON_S // BLOCK_S) * BLOCK_S + at_s
    ages_s = (np.arange(200_000) + 0.5) * 20.0 * tau_s / 200_000
    energy = 10.0 ** (street.sound_level_db(t_s - ages_s) / 10.0)
    mean_db = 10.0 * math.log10(np.average(energy, weights=np.exp(-ages_s / tau_s)))
    assert street.weighted_level_db(t_s, tau_s) == pytest.approx(mean_db, abs=1e-3)


def test_a_meter_may_have_any_time_constant_and_as_many_as_it_likes() -> None:
    street = Street(7, busy())
    usual_db = street.weighted_level_db(NOON_S, 1.0)
    levels_db = [street.weighted_level_db(NOON_S, tau_s) for tau_s in (1e-3, 0.035, 60.0, 1e4, 1e9)]
    assert all(20.0 < level_db < 120.0 for level_db in levels_db)
    assert street.weighted_level_db(NOON_S, 1.0) == usual_db


# -- traffic -------------------------------------------------------------------------------------------------------


def flow(street: Street, local_h: float, day: int = 0) -> int:
    start_s = MONDAY_S + day * DAY_S + (local_h - 2.0) * HOUR_S
    return len(street.vehicles(start_s, start_s + HOUR_S))


def test_rush_hours_nights_and_sundays() -> None:
    street = Street(5)
    assert flow(street, 8.0) > 1.3 * flow(street, 11.0) * 0.85
    assert flow(street, 8.0) > 2.0 * flow(street, 2.5)
    assert flow(street, 8.0, day=6) < 0.75 * flow(street, 8.0)


def test_as_many_vehicles_as_the_parameters_say() -> None:
    hours = [flow(Street(seed), 16.5) for seed in range(6)]
    assert np.mean(hours) == pytest.approx(800.0, rel=0.05)


def test_classes_come_in_their_shares_and_look_like_themselves() -> None:
    vehicles = Street(5, StreetParameters(lorry_share=0.2)).vehicles(MONDAY_S, MONDAY_S + DAY_S)
    shares = {kind: sum(v.kind == kind for v in vehicles) / len(vehicles) for kind in CLASSES}
    assert shares["lorry"] == pytest.approx(0.2, abs=0.02)
    assert shares["bus"] == pytest.approx(0.03, abs=0.01)
    assert shares["car"] == pytest.approx(1.0 - 0.2 - 0.10 - 0.03 - 0.03, abs=0.03)
    mean = {kind: np.mean([abs(v.speed_m_s) for v in vehicles if v.kind == kind]) for kind in CLASSES}
    assert mean["bus"] < mean["lorry"] < mean["car"] < mean["motorcycle"] + 0.5
    loud = {kind: np.mean([v.passby_db for v in vehicles if v.kind == kind]) for kind in CLASSES}
    assert loud["lorry"] > loud["car"] + 3.0
    assert np.mean([v.length_m for v in vehicles if v.kind == "bus"]) == pytest.approx(12.0, abs=0.2)


@pytest.mark.parametrize("platoon_share", [0.0, 0.9])
def test_nobody_drives_through_somebody_else(platoon_share: float) -> None:
    parameters = StreetParameters(busy_per_h=2400.0, platoon_share=platoon_share, gap_s=0.8)
    vehicles = Street(5, parameters).vehicles(NOON_S, NOON_S + HOUR_S)
    for lane in (0, 1):
        own = [v for v in vehicles if v.lane == lane]
        gaps = [b.pass_s - _half_s(b) - a.pass_s - _half_s(a) for a, b in pairwise(own)]
        assert min(gaps) > 0.8 - 1e-6


def _half_s(vehicle: Vehicle) -> float:
    return vehicle.length_m / 2.0 / abs(vehicle.speed_m_s)


def test_a_light_makes_platoons() -> None:
    def in_green(platoon_share: float) -> float:
        of = StreetParameters(platoon_share=platoon_share, light_cycle_s=80.0, green_share=0.4, gap_s=0.0)
        passed = [v.pass_s % 80.0 for v in Street(5, of).vehicles(NOON_S, NOON_S + 4 * HOUR_S)]
        return float(np.mean(np.array(passed) < 36.0))

    assert in_green(0.9) > 0.75
    assert in_green(0.0) == pytest.approx(0.45, abs=0.04)


def test_a_closed_street_is_empty() -> None:
    street = Street(5, None, [Episode("closed", 0.0, 2 * HOUR_S)], NOON_S)
    assert len(street.vehicles(NOON_S + 120.0, NOON_S + 1.9 * HOUR_S)) == 0
    assert len(street.vehicles(NOON_S + 2.1 * HOUR_S, NOON_S + 3 * HOUR_S)) > 100


def test_v85_is_a_speed_that_somebody_drove() -> None:
    vehicles = [Vehicle(float(k), -float(k), 60.0) for k in range(1, 126)]
    assert v85_m_s(vehicles) == 106.0  # TxDOT: of 125 the 106th
    assert math.isnan(v85_m_s([]))


# -- sound ---------------------------------------------------------------------------------------------------------


def laeq(street: Street, start_s: float, for_s: float = HOUR_S) -> float:
    return street.laeq_db(start_s, start_s + for_s)


def test_laeq_is_the_energy_mean_of_the_levels() -> None:
    street = Street(5, busy())
    t_s = NOON_S + (np.arange(120_000) + 0.5) * 0.01
    level = 10.0 * math.log10(float(np.mean(10.0 ** (street.sound_level_db(t_s) / 10.0))))
    assert laeq(street, NOON_S, 1200.0) == pytest.approx(level, abs=1e-3)


def test_traffic_makes_the_noise_of_the_street() -> None:
    empty = StreetParameters(quiet_per_h=0.0, busy_per_h=0.0)
    assert laeq(Street(5), NOON_S) > laeq(Street(5, empty), NOON_S) + 6.0


@pytest.mark.parametrize(
    ("parameters", "episodes", "least_db"),
    [
        (StreetParameters(trams_per_h=12.0, tram_db=85.0), [], 1.0),
        (StreetParameters(sirens_per_day=24.0 * 10), [], 5.0),
        (StreetParameters(construction_db=82.0), [], 1.0),
        (StreetParameters(), [Episode("fireworks", 0.0, HOUR_S)], 5.0),
        (StreetParameters(), [Episode("siren", 600.0, 60.0)], 5.0),
        (StreetParameters(), [Episode("rain", 0.0, HOUR_S)], 1.0),
    ],
)
def test_what_is_heard_besides(parameters: StreetParameters, episodes: list[Episode], least_db: float) -> None:
    assert laeq(Street(5, parameters, episodes, NOON_S), NOON_S) > laeq(Street(5), NOON_S) + least_db


def test_they_hammer_in_working_hours_only() -> None:
    works, quiet = Street(5, StreetParameters(construction_db=85.0)), Street(5)
    for local_h, day, louder in ((10, 0, True), (12.1, 0, False), (20, 0, False), (10, 6, False)):
        start_s = MONDAY_S + day * DAY_S + (local_h - 2.0) * HOUR_S
        more_db = laeq(works, start_s, 1800.0) - laeq(quiet, start_s, 1800.0)
        assert (more_db > 2.0) is louder, (local_h, day)
        assert louder or more_db == 0.0


# -- air -----------------------------------------------------------------------------------------------------------


def mean(street: Street, name: str, start_s: float, for_s: float = HOUR_S) -> float:
    return float(np.mean([getattr(street, name)(t_s) for t_s in np.arange(start_s, start_s + for_s, 10.0)]))


def pm2_5(street: Street, start_s: float, for_s: float = HOUR_S) -> float:
    return float(np.mean([street.particles(t_s).pm2_5 for t_s in np.arange(start_s, start_s + for_s, 10.0)]))


def test_exhaust_eats_ozone_and_makes_nitrogen_dioxide_of_it() -> None:
    dirty, clean = Street(5, StreetParameters(plume_nox_ppb=6.0)), Street(5, StreetParameters(plume_nox_ppb=0.0))
    assert mean(dirty, "o3_ppb", NOON_S) < 0.6 * mean(clean, "o3_ppb", NOON_S)
    gained = mean(dirty, "no2_ppb", NOON_S) - mean(clean, "no2_ppb", NOON_S)
    assert gained > mean(clean, "o3_ppb", NOON_S) - mean(dirty, "o3_ppb", NOON_S)  # and what came out of the pipe
    times = np.arange(NOON_S, NOON_S + HOUR_S, 5.0).tolist()
    assert np.corrcoef([dirty.no_ppb(t) for t in times], [dirty.o3_ppb(t) for t in times])[0, 1] < -0.5


def test_light_gives_ozone_back_and_the_night_does_not() -> None:
    of = StreetParameters(plume_nox_ppb=8.0, quiet_per_h=800.0)
    light, dark = Street(5, of), Street(5, StreetParameters(plume_nox_ppb=8.0, quiet_per_h=800.0, photolysis_ppb=0.0))
    assert mean(light, "o3_ppb", NOON_S) > mean(dark, "o3_ppb", NOON_S) + 0.5
    night_s = MONDAY_S + 23 * HOUR_S
    assert mean(light, "o3_ppb", night_s) == mean(dark, "o3_ppb", night_s)


def test_a_lorry_leaves_more_than_a_car() -> None:
    class OneVehicle(Street):
        kind = "car"

        def vehicles(self, from_s: float, to_s: float) -> list[Vehicle]:
            return [Vehicle(NOON_S, 12.0, 62.0, self.kind)] if from_s <= NOON_S < to_s else []

    class OneLorry(OneVehicle):
        kind = "lorry"

    def left(street: Street, name: str) -> float:
        return float(getattr(street, name)(NOON_S + 15.0) - getattr(street, name)(NOON_S - 1.0))

    for name in ("no2_ppb", "co2_ppm", "co_ppm"):
        assert left(OneLorry(5), name) > 1.2 * left(OneVehicle(5), name) > 0.0


def test_still_air_gathers_and_an_inversion_more_so() -> None:
    usual = pm2_5(Street(5), NOON_S)
    calm = pm2_5(Street(5, None, [Episode("calm", 0.0, 10 * HOUR_S)], NOON_S - 5 * HOUR_S), NOON_S)
    lid = Street(5, None, [Episode("inversion", 0.0, 10 * HOUR_S)], NOON_S - 5 * HOUR_S)
    assert usual * 1.3 < calm < pm2_5(lid, NOON_S)
    assert mean(lid, "co2_ppm", NOON_S) > mean(Street(5), "co2_ppm", NOON_S) + 20.0
    assert mean(lid, "temperature_degc", NOON_S) < mean(Street(5), "temperature_degc", NOON_S) - 2.0


def test_dust_is_coarse() -> None:
    street = Street(5, None, [Episode("dust", 0.0, 10 * HOUR_S)], NOON_S - 5 * HOUR_S)
    gained = [b - a for a, b in zip(Street(5).particles(NOON_S), street.particles(NOON_S), strict=True)]
    assert gained[3] > 3.0 * gained[1] > 0.0


def test_stoves_burn_on_winter_evenings() -> None:
    stoves, none = Street(5), Street(5, StreetParameters(wood_smoke_ug_m3=0.0))
    evening_s, summer_s = MONDAY_S + 18 * HOUR_S, MONDAY_S + 181 * DAY_S + 18 * HOUR_S
    assert pm2_5(stoves, evening_s) > pm2_5(none, evening_s) + 3.0
    assert pm2_5(stoves, NOON_S) == pm2_5(none, NOON_S)
    assert pm2_5(stoves, summer_s) == pm2_5(none, summer_s)


def test_the_smoke_of_fireworks_hangs_on() -> None:
    street = Street(5, None, [Episode("fireworks", 0.0, HOUR_S)], NOON_S)
    before, at_end, later = (pm2_5(street, NOON_S + dt, 60.0) for dt in (-300.0, 3500.0, HOUR_S + 1800.0))
    assert at_end > before + 150.0
    assert before + 15.0 < later < at_end / 3.0


def test_fog_is_wet_and_swells_particles_but_not_their_dry_mass() -> None:
    foggy = Street(5, None, [Episode("fog", 0.0, 10 * HOUR_S)], NOON_S - 5 * HOUR_S)
    assert foggy.humidity_pct(NOON_S) > 98.0
    assert foggy.swelling(NOON_S) > 4.0 > 1.3 > Street(5).swelling(NOON_S) > 1.0
    wet = seen_by(foggy, Sense(humidity_swells=True), "sds").particles(NOON_S)
    assert wet.pm2_5 == pytest.approx(foggy.swelling(NOON_S) * foggy.particles(NOON_S).pm2_5)


def test_swelling_is_that_of_kappa_koehler() -> None:
    """Crilley 2018: C = 1 + (kappa / 1.65) / (1 / aw - 1); at 80 % and kappa 0.3 that is 1.727."""
    from firmware_sim.street.weather import growth

    assert growth(0.3, 1.65, 80.0) == pytest.approx(1.0 + (0.3 / 1.65) / 0.25)
    assert growth(0.3, 1.65, 0.0) == 1.0
    assert growth(0.0, 1.65, 99.0) == 1.0
