"""BME680 and BME688: from the calibration to the values, and what a measurement is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_driver_scripts import polled, say

from drivers import DRIVERS
from drivers.base import Fault, Mark, Miss
from drivers.weather.bme680.driver import HEATER_MS, LONGEST_S, ONE_PART, SHORTEST_S, heater_code

DRIVER = DRIVERS["bme680"]
COEFFICIENTS = bytes.fromhex(
    "65670300418fedd658008e1c7fff2e1e000097f3b5f61e40542a002d14789cb9654e9fe21230001000008000564cd07a5f804a4b00000080350000"
)
CALIBRATION, FIELD = COEFFICIENTS[:42], COEFFICIENTS[42:]
CONTEXT = b"\x61\x00" + CALIBRATION
FORCED = "5a6a646570007110720175007425"
BUSY = b"\x20"


def field(**at: int) -> bytes:
    changed = bytearray(FIELD)
    for name, value in at.items():
        changed[int(name[1:])] = value
    return bytes(changed)


def gas_low(adc: int, gas_range: int, status: int = 0x30) -> bytes:
    return field(b13=adc >> 2, b14=(adc & 3) << 6 | status | gas_range)


def gas_high(adc: int, gas_range: int, status: int = 0x30) -> bytes:
    return field(b15=adc >> 2, b16=(adc & 3) << 6 | status | gas_range)


def ohms(frame: bytes, context: bytes = CONTEXT) -> float:
    return float(DRIVER.decode([frame], context, {}).values[0, 3])


def test_from_the_reset_to_the_values() -> None:
    read = [("8a", CALIBRATION[:23]), ("e1", CALIBRATION[23:37]), ("00", CALIBRATION[37:])]
    setup, table = say(DRIVER.setup, ("e0b6", b""), ("d0", b"\x61"), ("f0", b"\x00"), *read)
    assert table.steps[0].settle_s >= 0.01, "Bosch waits so long"
    assert setup.frame == CONTEXT
    exchanges = [(FORCED, b""), ("1d", BUSY), ("1d", b"\x60"), ("1d", b"\x80"), ("1d", FIELD)]
    answer, _ = say(polled(DRIVER), *exchanges, **DRIVER.defaults())
    assert answer.frame == FIELD
    values = DRIVER.decode([answer.frame] * 3, setup.frame, {}).values
    assert values[2] == pytest.approx([26.69, 98717, 42.41, 248262], rel=1e-3)


def test_the_values_of_before_are_not_taken_for_those_of_now() -> None:
    tries = next(command.tries for command in polled(DRIVER) if command.name == "measured")
    for status in (b"\x00", b"\xa0", b"\xc0"):  # nothing new; new from before, and still measuring
        answer, _ = say(polled(DRIVER), (FORCED, b""), *[("1d", status)] * tries)
        assert (answer.miss, answer.command) == (Miss.NOT_READY, "measured")


def test_the_longest_measurement_has_the_time_that_it_takes() -> None:
    options = {"oversampling": 16, "heater_ms": max(HEATER_MS)}
    tries = next(command.tries for command in polled(DRIVER) if command.name == "measured")
    told = "5a6a649f700071107205750074b5"
    answer, table = say(polled(DRIVER), (told, b""), *[("1d", BUSY)] * tries, **options)
    assert answer.miss is Miss.NOT_READY
    assert table.lasts_s > LONGEST_S + 0.5
    assert pytest.approx(0.011182) == SHORTEST_S
    assert pytest.approx(0.099517) == LONGEST_S


@pytest.mark.parametrize(
    ("target", "code"), [(200, 78.60), (250, 90.14), (300, 101.67), (320, 106.28), (350, 113.20), (400, 124.74)]
)
def test_the_heater_code_is_that_of_others(target: int, code: float) -> None:
    """As pimoroni bme680 2.0.0 computes it, in whole steps, for the same part at 25 Cel."""
    assert heater_code(ONE_PART, target, 25.0) == pytest.approx(code, abs=1.0)


@settings(deadline=None)
@given(st.floats(allow_nan=True, allow_infinity=True), st.integers(0, 400))
def test_any_air_gives_a_code(ambient: float, target: int) -> None:
    tx = DRIVER.commands["force"].tx
    assert callable(tx)
    said = tx({"temperature": ambient}, {"heater": target})
    assert len(said) == 14
    assert said[1] == heater_code(ONE_PART, target, ambient if -40 <= ambient <= 85 else 25.0)


def test_colder_air_wants_a_lower_code() -> None:
    codes = [heater_code(ONE_PART, 320, ambient) for ambient in (-40.0, 0.0, 25.0, 85.0)]
    assert codes == sorted(codes)
    assert codes[0] < codes[-1]


@pytest.mark.parametrize("absurd", [-1, 7, 1e9, "hot", float("nan"), None, 10**30])
def test_absurd_options_leave_the_usual_measurement(absurd: Any) -> None:
    names = ("model", "heater", "heater_ms", "heater_code", "oversampling")
    tx = DRIVER.commands["force"].tx
    assert callable(tx)
    for name in names:
        if (name, absurd) not in {("heater", 7), ("heater_code", 7)}:
            assert tx({}, {name: absurd}).hex() == FORCED, name


@pytest.mark.parametrize(
    ("written", "options"),
    [
        ("5a73646570007110720175007425", {"heater_code": 115}),
        ("5a6a645970007110720175007425", {"heater_ms": 100}),
        ("5a6a646570007120720175007425", {"model": "BME688"}),
        ("5a21646570087100720175007425", {"heater": 0}),
    ],
)
def test_a_measurement_is_told_what_the_site_wants(written: str, options: dict[str, Any]) -> None:
    say((DRIVER.commands["force"],), (written, b""), **options)


# --- gas


@settings(deadline=None)
@given(st.integers(0, 1023), st.integers(0, 15), st.sampled_from([0x00, 0x10, 0x20, 0x30]))
def test_gas_counts_only_when_it_is_valid_and_the_heater_is_stable(adc: int, gas_range: int, status: int) -> None:
    for frame, variant in ((gas_low(adc, gas_range, status), 0), (gas_high(adc, gas_range, status), 1)):
        decoded = DRIVER.decode([frame], bytes([0x61, variant]) + CALIBRATION, {})
        assert decoded.fault[0] == Fault.OK
        assert (decoded.mark[0, 3] == Mark.OK) == (status == 0x30)
        assert decoded.mark[0, :3].tolist() == [Mark.OK] * 3
        assert np.isnan(decoded.values[0, 3]) or 100 < decoded.values[0, 3] <= 102_400_000


@pytest.mark.parametrize(("adc", "gas_range", "value"), [(0, 0, 12946860), (512, 5, 248262), (300, 9, 18562)])
def test_gas_of_a_bme680(adc: int, gas_range: int, value: float) -> None:
    """As pimoroni's tests and BME68x_SensorAPI 80ea120 have it."""
    assert ohms(gas_low(adc, gas_range)) == pytest.approx(value, rel=1e-4)


def test_the_switching_error_is_signed() -> None:
    """Linux and pimoroni read F0 as 15: 882720 Ohm."""
    assert ohms(gas_low(700, 3), CONTEXT[:-1] + b"\xf0") == pytest.approx(876559, abs=1)
    assert ohms(gas_low(700, 3), CONTEXT[:-1] + b"\xf5") == pytest.approx(876559, abs=1), (
        "the low nibble is not part of it"
    )
    errors = [ohms(gas_low(700, 3), CONTEXT[:-1] + bytes([code << 4])) for code in (8, 12, 15, 0, 3, 7)]
    assert errors == sorted(errors)


@pytest.mark.parametrize(("adc", "gas_range", "value"), [(0, 0, 102_400_000), (512, 7, 500_000), (1023, 15, 1421.21)])
def test_gas_of_a_bme688(adc: int, gas_range: int, value: float) -> None:
    assert ohms(gas_high(adc, gas_range), b"\x61\x01" + CALIBRATION) == pytest.approx(value, rel=1e-4)


# --- trouble


@pytest.mark.parametrize(
    ("context", "fault"),
    [
        (b"", Fault.NOT_READY),
        (CONTEXT[:-1], Fault.NOT_READY),
        (CONTEXT + b"\x00", Fault.NOT_READY),
        (b"\x60" + CONTEXT[1:], Fault.DEVICE),
        (b"\x58", Fault.DEVICE),
        (b"\x61\x02" + CALIBRATION, Fault.DEVICE),
        (b"\x61\x00" + bytes(42), Fault.SANITY),
        (CONTEXT, Fault.OK),
    ],
)
def test_without_its_calibration_nothing_is_read(context: bytes, fault: Fault) -> None:
    assert DRIVER.decode([FIELD], context, {}).fault.tolist() == [fault]


@settings(deadline=None)
@given(st.binary(min_size=42, max_size=42), st.lists(st.binary(min_size=17, max_size=17), max_size=4), st.booleans())
def test_no_calibration_upsets_it(calibration: bytes, frames: list[bytes], high: bool) -> None:
    decoded = DRIVER.decode(frames, bytes([0x61, high]) + calibration, {})
    assert not np.isinf(decoded.values).any()
    np.testing.assert_array_equal(np.isnan(decoded.values), decoded.mark == Mark.MISSING)


def test_it_is_told_from_the_parts_that_sit_at_its_addresses() -> None:
    identify = DRIVER.identify
    assert identify is not None
    answer, _ = say(identify.script, ("d0", b"\x61"), ("f0", b"\x01"))
    assert identify.match(answer.frame)
    assert identify.sure
    assert not any(
        identify.match(reply) for reply in (b"\x60\x00", b"\x58\x00", b"\x61", b"\x61\x02", b"\x00\x00", b"")
    )
    bme280 = DRIVERS["bme280"].identify
    assert bme280 is not None
    assert not bme280.match(b"\x61")
