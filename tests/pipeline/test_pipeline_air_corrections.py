"""Corrections of particles, moist air, and gases between share and mass."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pipeline.air_units import EU, MOLAR_MASS_G_MOL, US, ppb_to_ugm3, ugm3_per_ppb, ugm3_to_ppb
from gateway.pipeline.cells import CELLS, ox_to_o3, ppb
from gateway.pipeline.humidity import absolute_humidity, dew_point, saturation_pressure_pa
from gateway.pipeline.pm_correction import (
    JOINTS_UGM3,
    barkjohn_2021,
    epa_fire_smoke_map,
    growth,
    kappa_koehler,
    purpleair_channels_agree,
)  # fmt: skip

NAN = math.nan


@pytest.mark.parametrize(("cf1", "rh", "pm"), [(50, 30, 29.364), (20, 60, 11.058), (0, 100, -2.87), (NAN, 50, NAN)])
def test_barkjohn(cf1: float, rh: float, pm: float) -> None:
    np.testing.assert_allclose(barkjohn_2021(cf1, rh), pm, rtol=1e-12)


# (atm, humidity, corrected): worked from the published pieces
MAP = [
    (0, 50, 1.44), (29.9, 50, 17.1076), (40, 50, 27.64), (100, 50, 80.04), (200, 40, 159.502), (300, 30, 289.526),
    (300, 90, 289.526), (NAN, 50, NAN), (50, NAN, NAN),
]  # fmt: skip


@pytest.mark.parametrize(("atm", "rh", "pm"), MAP)
def test_fire_and_smoke_map(atm: float, rh: float, pm: float) -> None:
    np.testing.assert_allclose(epa_fire_smoke_map(atm, rh), pm, rtol=1e-9)


@given(st.sampled_from(JOINTS_UGM3), st.floats(0, 100))
def test_the_map_is_continuous_at_its_joints(joint: float, rh: float) -> None:
    below, at, above = epa_fire_smoke_map(np.array([joint - 1e-6, joint, joint + 1e-6]), rh)
    assert abs(at - below) < 1e-4
    assert abs(above - at) < 1e-4


def test_a_map_without_its_blend_would_jump() -> None:
    """What the property above would see: the slope of thick air from 30 on, without the way there."""
    assert abs((0.786 - 0.524) * JOINTS_UGM3[0]) > 1.0


@given(st.floats(0, 1000), st.floats(0, 1000), st.floats(0, 100))
def test_more_particles_are_never_fewer(one: float, other: float, rh: float) -> None:
    less, more = sorted((one, other))
    for correct in (barkjohn_2021, epa_fire_smoke_map, lambda x, h: kappa_koehler(x, h, 0.35).pm_dry):
        assert correct(less, rh) <= correct(more, rh) + 1e-9


@pytest.mark.parametrize(("rh", "by", "dry"), [(80, 1.969697, 10.153846), (50, 1.242424, 16.097561), (0, 1.0, 20.0)])
def test_kappa_koehler(rh: float, by: float, dry: float) -> None:
    assert kappa_koehler(20.0, rh, 0.4) == (pytest.approx(by, abs=1e-5), pytest.approx(dry, abs=1e-5))


def test_growth_has_a_cap() -> None:
    assert growth(95.0, 0.4) == pytest.approx(1 + 0.4 / 1.65 * 19)
    assert growth(100.0, 0.4) == growth(95.0, 0.4) == growth(130.0, 0.4)
    assert growth(100.0, 0.4, 85.0) == growth(85.0, 0.4)
    assert growth(-5.0, 0.4) == 1.0
    assert math.isnan(growth(NAN, 0.4))
    assert (np.diff(growth(np.linspace(0, 100, 201), 0.35)) >= 0).all()


# (a, b, agree): less than 5 apart, or less than 70 % of their mean
PAIRS = [
    (5, 9, True), (1, 8, False), (0, 0, True), (0, 4.999, True), (0, 5, False), (100, 207.6, True), (100, 207.8, False),
    (207.6, 100, True), (NAN, 5, False), (5, NAN, False), (-3, 1, True),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b", "agree"), PAIRS)
def test_two_counters_in_one_box(a: float, b: float, *, agree: bool) -> None:
    assert bool(purpleair_channels_agree(a, b)) is agree


# -- moist air -----------------------------------------------------------------------------------------------------


def test_known_states_of_moist_air() -> None:
    assert saturation_pressure_pa(0.0) == 611.2
    assert saturation_pressure_pa(20.0) == pytest.approx(2339, rel=3e-3)  # steam tables
    assert saturation_pressure_pa(40.0) == pytest.approx(7385, rel=3e-3)
    assert dew_point(20.0, 50.0) == pytest.approx(9.26, abs=0.01)
    assert dew_point(25.0, 60.0) == pytest.approx(16.7, abs=0.05)
    assert absolute_humidity(20.0, 50.0) == pytest.approx(8.65, abs=0.05)
    assert absolute_humidity(30.0, 100.0) == pytest.approx(30.4, abs=0.15)


@given(st.floats(-40, 60), st.floats(1, 100))
def test_a_dew_point_is_where_the_vapour_saturates(t: float, rh: float) -> None:
    at = dew_point(t, rh)
    assert at <= t + 1e-9
    assert saturation_pressure_pa(at) == pytest.approx(rh / 100 * saturation_pressure_pa(t), rel=1e-9)


@pytest.mark.parametrize("rh", [0.0, -1.0, NAN])
def test_air_without_water_has_no_dew_point(rh: float) -> None:
    assert math.isnan(dew_point(20.0, rh))
    np.testing.assert_equal(float(absolute_humidity(20.0, rh)), 0.0 if rh == 0 else NAN)


# -- share and mass ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gas", "eu", "us"),
    [("no2", 1.9125, 1.88), ("o3", 1.9953, 1.96), ("so2", 2.6632, 2.62), ("co", 1.1644, 1.145), ("no", 1.2473, 1.227)],
)
def test_published_factors(gas: str, eu: float, us: float) -> None:
    assert ugm3_per_ppb(gas) == pytest.approx(eu, abs=1e-4)
    assert ugm3_per_ppb(gas, US) == pytest.approx(us, rel=1e-3)
    assert ugm3_per_ppb(gas, EU) / ugm3_per_ppb(gas, US) == pytest.approx(1.017056, abs=1e-6)


@given(st.sampled_from(list(MOLAR_MASS_G_MOL)), st.floats(-1e4, 1e4))
def test_there_and_back(gas: str, share: float) -> None:
    assert ugm3_to_ppb(gas, ppb_to_ugm3(gas, share)) == pytest.approx(share, rel=1e-12, abs=1e-12)


def test_an_oxidant_cell_minus_nitrogen_dioxide() -> None:
    assert ox_to_o3(40.0, 60.0, 0.3, 0.4) == pytest.approx((40.0 - 18.0) / 0.4)
    assert ox_to_o3(10.0, 60.0, 0.3, 0.4) == pytest.approx(-20.0)  # too much taken off: left as it is
    assert math.isnan(ox_to_o3(40.0, NAN, 0.3, 0.4))
    assert ppb(np.array([24.8, -2.7]), 0.27) == pytest.approx([91.851852, -10.0])
    assert {cell.gas for cell in CELLS.values()} == {"no2", "o3", "co"}
