from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from still_street import Heard, StillStreet

from firmware_sim.device import Nack
from firmware_sim.devices.bme680 import CALIBRATION, Bme680
from firmware_sim.devices.bme680_adc import HIGH, LOW, Compensation

FORMULA = Compensation(bytes.fromhex(CALIBRATION))
# calibration of pimoroni/bme680-python issue 11; values of boschsensortec/BME68x_SensorAPI 80ea120 (float), compiled
ORACLE = [
    ("8000564cd07a5f804a4b00000080350000", LOW, (501240, 353485, 19019), (26.69, 98717, 42.41), 248262),
    ("8000564cd072bf0055f00000004b390000", LOW, (470000, 353485, 22000), (16.83, 97122, 60.07), 18562),
    ("8000564cd07a5f804a4b00000000008037", HIGH, (501240, 353485, 19019), (26.69, 98717, 42.41), 500000),
]
# humidity x1; step 0 at 300 degC for 100 ms; gas; temperature x1, pressure x1, forced
HEATED = bytes.fromhex("72015a736459")
FORCED = {LOW: bytes.fromhex("71107425"), HIGH: bytes.fromhex("71207425")}


@pytest.mark.parametrize(("field", "variant", "adc", "air", "ohm"), ORACLE)
def test_compensation_agrees_with_bosch(
    field: str, variant: int, adc: tuple[int, int, int], air: tuple[float, float, float], ohm: float
) -> None:
    degc = FORMULA.temperature_degc(adc[0])
    assert degc == pytest.approx(air[0], abs=0.005)
    assert FORMULA.pressure_pa(adc[1], degc) == pytest.approx(air[1], abs=1.0)
    assert FORMULA.humidity_pct(adc[2], degc) == pytest.approx(air[2], abs=0.005)
    word = int.from_bytes(bytes.fromhex(field)[13:15] if variant == LOW else bytes.fromhex(field)[15:17], "big")
    assert FORMULA.gas_ohm(word >> 6, word & 15, variant) == pytest.approx(ohm, abs=1.0)


def test_calibration_is_read_from_the_right_bytes() -> None:
    """The dictionary of pimoroni/bme680-python, tests/conftest.py."""
    assert FORMULA.t == (26041, 26469, 3)
    assert FORMULA.p == (36673, -10515, 88, 7310, -129, 30, 46, -3177, -2379, 30)
    assert FORMULA.h == (676, 1029, 0, 45, 20, 120, -100)


def test_the_range_switching_error_is_signed() -> None:
    """BME68x_SensorAPI: 882720 ohm, where readers that take it for unsigned have 876559."""
    off = Compensation(bytes.fromhex(CALIBRATION[:-2] + "f0"))
    assert off.range_sw_err == -1


@given(st.floats(2e3, 5e6), st.sampled_from([LOW, HIGH]))
def test_the_words_of_a_resistance_are_nearest(ohm: float, variant: int) -> None:
    gas_range, adc = FORMULA.gas_words(ohm, variant)
    assert FORMULA.gas_ohm(adc, gas_range, variant) == pytest.approx(ohm, rel=1e-3)


def burst(twin: Bme680, t_s: float, register: int = 0x1D, n: int = 17) -> bytes:
    twin.write(bytes([register]), t_s)
    return twin.read(n, t_s)


@pytest.mark.parametrize(("field", "variant", "adc", "air", "ohm"), ORACLE)
def test_forced_measurement_gives_the_golden_bytes(
    still: StillStreet,
    heard: Heard,
    field: str,
    variant: int,
    adc: tuple[int, int, int],
    air: tuple[float, float, float],
    ohm: float,
) -> None:
    still.air_degc = FORMULA.temperature_degc(adc[0])
    still.pressure, still.humidity = (
        FORMULA.pressure_pa(adc[1], still.air_degc),
        FORMULA.humidity_pct(adc[2], still.air_degc),
    )
    twin = Bme680(still, heard, variant=variant)
    twin.write(HEATED + FORCED[variant], 0.0)
    assert burst(twin, 0.005, n=1) == b"\x20"
    assert burst(twin, 0.050, n=1) == b"\x60", "the plate is hot"
    said = burst(twin, 0.125)
    wanted = bytes.fromhex(field)
    assert said[:10] == wanted[:10]
    at = 13 if variant == LOW else 15
    assert said[at + 1] & 0x30 == 0x30
    assert said[13 if variant == HIGH else 15 :][:2] == b"\0\0"
    (values,) = heard.values
    assert values["temperature"] == pytest.approx(air[0], abs=0.005)
    assert values["humidity"] == pytest.approx(air[2], abs=0.005)
    word = int.from_bytes(said[at : at + 2], "big")
    assert values["gas_resistance"] == FORMULA.gas_ohm(word >> 6, word & 15, variant)
    assert burst(twin, 1.0, 0x74, 1) == b"\x24", "back to sleep"


@pytest.mark.parametrize(
    ("commands", "flags"),
    [("72015a7364596f00" + "7425", 0x00), ("7201646471107425", 0x20), ("72015a73640571107425", 0x20)],
    ids=["gas is off", "the heater is off", "too short to be hot"],
)
def test_gas_that_must_be_discarded(still: StillStreet, heard: Heard, commands: str, flags: int) -> None:
    twin = Bme680(still, heard)
    twin.write(bytes.fromhex(commands), 0.0)
    assert burst(twin, 1.0)[14] & 0x30 == flags
    assert heard.values[0]["gas_resistance"] is None


def test_burn_in_and_smell(still: StillStreet, heard: Heard) -> None:
    twin = Bme680(still, heard)
    ohms = []
    for t_s, voc in ((0.0, 100.0), (600.0, 100.0), (601.0, 200.0)):
        still.voc = voc
        twin.write(HEATED + FORCED[LOW], t_s)
        burst(twin, t_s + 0.5)
        ohms.append(heard.values[-1]["gas_resistance"])
    assert ohms == [pytest.approx(72e3, rel=0.01), pytest.approx(119.7e3, rel=0.01), pytest.approx(68.7e3, rel=0.01)]


def test_skipped_channels_and_reset(still: StillStreet, heard: Heard) -> None:
    twin = Bme680(still, heard)
    assert burst(twin, 0.0)[:10] == bytes.fromhex("00008000008000008000")
    twin.write(bytes.fromhex("7421"), 0.0)
    assert burst(twin, 1.0)[2:5] == bytes.fromhex("800000")
    twin.write(bytes.fromhex("e0b6"), 2.0)
    assert burst(twin, 2.0)[:10] == bytes.fromhex("00008000008000008000")
    assert burst(twin, 2.0, 0xD0, 1) + burst(twin, 2.0, 0xF0, 1) == b"\x61\x00"
    with pytest.raises(Nack):
        twin.write(b"\x72\x01\x74", 3.0)


def test_calibration_blocks(still: StillStreet, heard: Heard) -> None:
    twin = Bme680(still, heard)
    blocks = [burst(twin, 0.0, start, n) for start, n in ((0x8A, 23), (0xE1, 14), (0x00, 5))]
    assert b"".join(blocks).hex() == CALIBRATION


def test_playback_and_options(still: StillStreet, heard: Heard) -> None:
    twin = Bme680(still, heard, frames=[ORACLE[0][0]])
    twin.write(HEATED + FORCED[LOW], 0.0)
    assert burst(twin, 1.0).hex() == ORACLE[0][0]
    assert heard.values == [{}]
    for options in ({"calibration": "00"}, {"variant": 2}):
        with pytest.raises(ValueError, match=r"23 \+ 14 \+ 5|BME688"):
            Bme680(still, heard, **options)  # type: ignore[arg-type]
