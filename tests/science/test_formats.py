"""Names of open data: units that UCUM knows, codes and attributes that a format knows, and our own channels in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import DRIVERS
from gateway import formats
from gateway.pipeline.exceedances import CHANNELS
from gateway.ucum import METRIC, NON_METRIC, PREFIXES, ucum_valid

# What ucumvert 0.3.2, a parser of the whole grammar, says of the same texts.
VALID = """
1 % [ppm] [ppb] ug/m3 mg/m3 ng/m3 g/m3{dry} Cel K m/s km/h [mi_i]/h [kn_i] hPa Pa mbar mm[Hg] m[H2O] dB dB[SPL] dB{A}
B[V] Np deg rad lx W/m2 V mV Ohm kOhm Hz 1/cm3 /m3 {#}/cm3 10{x} {vehicles}/h {detections} 1/min m2 m-2 m+2 m.s-1 1.5
10*3/ul 10^-6 kg.m/(s2.A) (m/s) ((m)) m/(s.d) m2{a} {} By MiBy By/s [degF] [in_i'Hg] cal_[15] a_j mo wk dar dam b
"""
INVALID = """
dB(A) dBA \u00b5g/m3 \u00b0C ppb ppm %RH degC kmh lux sec hr m^2 m**2 m*2 m/ m// //m m--1 (m m) (m/s)2x m{a}2 mb
{a {a\u00e9} kmin mdeg k% [X] k[ppb] -1 . / \u212b vehicles/h Celsius
"""


@pytest.mark.parametrize("code", VALID.split())
def test_units(code: str) -> None:
    assert ucum_valid(code)


@pytest.mark.parametrize("code", [*INVALID.split(), "", " ", "m s", "ug m-3", "{a b}"])
def test_what_is_no_unit(code: str) -> None:
    assert not ucum_valid(code)


@given(st.text(alphabet="mgs/.(){}[]%123dBAkhP-+C \u00b5", max_size=300))
def test_any_text_is_judged(text: str) -> None:
    assert ucum_valid(text) in (True, False)
    assert not ucum_valid(text + "(")


@given(st.sampled_from(sorted(METRIC)), st.sampled_from(sorted(NON_METRIC)), st.sampled_from(["", *PREFIXES]))
def test_every_symbol_and_every_prefix(metric: str, other: str, prefix: str) -> None:
    assert ucum_valid(f"{prefix}{metric}")
    assert ucum_valid(f"{prefix}{metric}2/{other}")
    assert ucum_valid(f"({prefix}{metric}.{other}{{note}})/s-1")


def test_long_texts_do_not_run_away() -> None:
    assert not ucum_valid("m." * 100_000 + "m")
    assert not ucum_valid("(" * 150 + "m" + ")" * 49)
    assert ucum_valid("(" * 50 + "m" + ")" * 50)


def test_all_our_channels_have_a_unit_that_ucum_knows() -> None:
    units = {channel.unit for driver in DRIVERS.values() for channel in driver.channels}
    assert [unit for unit in sorted(units | {one.unit for one in CHANNELS}) if not ucum_valid(unit)] == []


def test_every_code_is_of_a_valid_unit_and_no_two_quantities_share_one() -> None:
    assert all(ucum_valid(unit) for unit in formats.UNECE)
    alike = [{"dB", "dB[SPL]"}, {"l", "L"}]
    by_code: dict[str, set[str]] = {}
    for unit, code in formats.UNECE.items():
        by_code.setdefault(code, set()).add(unit)
    assert [units for units in by_code.values() if len(units) > 1 and units not in alike] == []
    with pytest.raises(KeyError):
        formats.unit_code_unece("furlong")


def test_smart_data_models() -> None:
    assert formats.sdm_required("AirQualityObserved") == ("id", "type", "dateObserved", "location")
    assert formats.fraction(54.0) == 0.54
    assert formats.km_h(10.0) == 36.0
    assert formats.sonometer_class("2") == formats.sonometer_class(2) == "2"
    with pytest.raises(ValueError, match="no sound level meter of class 3"):
        formats.sonometer_class(3)
    with pytest.raises(KeyError):
        formats.sdm_required("CatObserved")


def test_sensor_community() -> None:
    """Their P1 is PM10 and their P2 is PM2.5: swapped, as it looks."""
    assert formats.value_type_and_x_pin("pm10", "SDS011") == ("P1", "1")
    assert formats.value_type_and_x_pin("pm2_5", "SDS011") == ("P2", "1")
    assert formats.value_type_and_x_pin("humidity", "DHT22") == ("humidity", "7")
    assert formats.value_text(formats.pa(1013.25)) == "101325.00"
    channels = {channel.name for driver in DRIVERS.values() for channel in driver.channels}
    assert formats.VALUE_TYPE.keys() <= channels
