from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from still_street import Heard, StillStreet

from firmware_sim.device import Nack
from firmware_sim.devices.bme280 import CALIBRATION, Bme280
from firmware_sim.devices.bme280_adc import Compensation, invert

# calibration 26 + 7 bytes, then ADC words of T, P and H; degC, Pa and % from BoschSensortec/BME280_driver c90d419
# (double) compiled. T and P of the first are also the worked example of the BMP280 datasheet, chapter 3.12
ORACLE = [
    (CALIBRATION, (519888, 415148, 28000), (25.0825, 100653.26, 43.859)),
    (
        "696d366432008f95ced6d00b761ff1fff9ffac260ad8bd10004b" + "6301001509001e",
        (480000, 330000, 26000),
        (9.743, 93842.12, 20.916),
    ),
]
FORCED = bytes.fromhex("f201f425")  # humidity x1; temperature x1, pressure x1, forced
SKIPPED = "8000008000008000"


@pytest.mark.parametrize(("nvm", "adc", "air"), ORACLE)
def test_compensation_agrees_with_bosch(nvm: str, adc: tuple[int, int, int], air: tuple[float, float, float]) -> None:
    formula = Compensation(bytes.fromhex(nvm))
    t_fine = formula.t_fine(adc[0])
    assert formula.temperature_degc(adc[0]) == pytest.approx(air[0], abs=0.001)
    assert formula.pressure_pa(adc[1], t_fine) == pytest.approx(air[1], abs=0.05)
    assert formula.humidity_pct(adc[2], t_fine) == pytest.approx(air[2], abs=0.002)


def test_datasheet_example_has_the_datasheets_t_fine() -> None:
    assert Compensation(bytes.fromhex(CALIBRATION)).t_fine(519888) == 128422


@given(st.integers(400_000, 600_000), st.integers(250_000, 550_000), st.integers(24_000, 34_000))
def test_the_inverse_finds_the_word_again(adc_t: int, adc_p: int, adc_h: int) -> None:
    formula = Compensation(bytes.fromhex(CALIBRATION))
    t_fine = formula.t_fine(adc_t)
    assert invert(formula.temperature_degc, formula.temperature_degc(adc_t), 20) == adc_t
    assert invert(lambda x: -formula.pressure_pa(x, t_fine), -formula.pressure_pa(adc_p, t_fine), 20) == adc_p
    humidity = formula.humidity_pct(adc_h, t_fine)
    found = invert(lambda x: formula.humidity_pct(x, t_fine), humidity, 16)
    assert formula.humidity_pct(found, t_fine) == humidity
    assert found == adc_h or humidity in (0.0, 100.0)


def burst(twin: Bme280, t_s: float, register: int = 0xF7, n: int = 8) -> bytes:
    twin.write(bytes([register]), t_s)
    return twin.read(n, t_s)


def golden(still: StillStreet, heard: Heard) -> Bme280:
    formula = Compensation(bytes.fromhex(CALIBRATION))
    t_fine = formula.t_fine(519888)
    still.air_degc = formula.temperature_degc(519888)
    still.pressure, still.humidity = formula.pressure_pa(415148, t_fine), formula.humidity_pct(28000, t_fine)
    return Bme280(still, heard)


@given(st.floats(-60.0, 100.0), st.integers(0, (1 << 20) - 1))
def test_a_guess_makes_no_difference(degc: float, guess: int) -> None:
    formula = Compensation(bytes.fromhex(CALIBRATION))
    assert invert(formula.temperature_degc, degc, 20, guess) == invert(formula.temperature_degc, degc, 20)


def test_forced_measurement_gives_the_golden_bytes(still: StillStreet, heard: Heard) -> None:
    twin = golden(still, heard)
    assert burst(twin, 0.0).hex() == SKIPPED
    twin.write(FORCED, 1.0)
    assert burst(twin, 1.009, 0xF3, 1) == b"\x08"
    assert burst(twin, 1.0095, 0xF3, 1) == b"\x00"  # 9.3 ms at the longest
    assert burst(twin, 1.01).hex() == "655ac07eed006d60"
    assert burst(twin, 1.02, 0xF4, 1) == b"\x24", "back to sleep"
    assert burst(twin, 9999.0).hex() == "655ac07eed006d60", "sleep keeps the last measurement"
    assert heard.values[0]["temperature"] == pytest.approx(25.0825, abs=1e-3)
    assert heard.values[0]["pressure"] == pytest.approx(100653.26, abs=0.05)
    assert heard.values[0]["humidity"] == pytest.approx(43.859, abs=0.002)


def test_registers_and_auto_increment(still: StillStreet, heard: Heard) -> None:
    twin = Bme280(still, heard)
    assert burst(twin, 0.0, 0xD0, 1) == b"\x60"
    assert burst(twin, 0.0, 0x88, 26) + burst(twin, 0.0, 0xE1, 7) == bytes.fromhex(CALIBRATION)
    twin.write(b"\x88", 0.0)
    assert twin.read(2, 0.0) + twin.read(2, 0.0) == bytes.fromhex(CALIBRATION)[:4]
    with pytest.raises(Nack):
        twin.write(b"\xf2\x01\xf4", 0.0)


def test_ctrl_hum_waits_for_ctrl_meas(still: StillStreet, heard: Heard) -> None:
    twin = golden(still, heard)
    twin.write(bytes.fromhex("f425f201"), 0.0)
    assert burst(twin, 1.0).hex() == "655ac07eed008000"  # BMP280 example: humidity skipped
    assert heard.values[-1]["humidity"] is None
    twin.write(bytes.fromhex("f425"), 2.0)
    assert burst(twin, 3.0).hex() == "655ac07eed006d60"


def test_skipped_channels(still: StillStreet, heard: Heard) -> None:
    twin = golden(still, heard)
    twin.write(bytes.fromhex("f421"), 0.0)
    assert burst(twin, 1.0).hex() == "8000007eed008000"


def test_more_oversampling_takes_longer(still: StillStreet, heard: Heard) -> None:
    twin = golden(still, heard)
    twin.write(bytes.fromhex("f205f4b5"), 0.0)  # x16 each: 112.8 ms by bme280_cal_meas_delay
    assert burst(twin, 0.1125, 0xF3, 1) == b"\x08"
    assert burst(twin, 0.1130, 0xF3, 1) == b"\x00"


def test_normal_mode_goes_on_by_itself(still: StillStreet, heard: Heard) -> None:
    twin = golden(still, heard)
    twin.write(bytes.fromhex("f201f5a0f427"), 0.0)  # standby 1 s
    first = burst(twin, 0.5)
    still.air_degc += 1.0
    assert burst(twin, 0.9) == first
    assert burst(twin, 1.1) != first
    still.air_degc -= 1.0
    assert burst(twin, 86400.0) == first


def test_reset_forgets(still: StillStreet, heard: Heard) -> None:
    twin = golden(still, heard)
    twin.write(FORCED, 0.0)
    assert burst(twin, 1.0).hex() != SKIPPED
    twin.write(bytes.fromhex("e0b6"), 2.0)
    assert burst(twin, 3.0).hex() == SKIPPED
    assert burst(twin, 3.0, 0xF2, 1) == b"\x00"


def test_playback_with_another_calibration(still: StillStreet, heard: Heard) -> None:
    nvm = ORACLE[1][0]
    twin = Bme280(still, heard, frames=["5091007530006590"], calibration=nvm)
    twin.write(FORCED, 0.0)
    assert burst(twin, 1.0).hex() == "5091007530006590"
    assert burst(twin, 1.0, 0x88, 26).hex() == nvm[:52]
    assert heard.values == [{}]
    with pytest.raises(ValueError, match="has 1 bytes"):
        Bme280(still, heard, calibration="00")
