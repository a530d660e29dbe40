"""Golden vectors in the common format: the file in tests/data, and any other that is named with --vectors.

What is written to a part must be a command that its driver knows; what comes from it must be read as the vector says.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from vector_map import drivers_of, given, rows_of, tolerance, unread

from drivers.base import Decoded, Driver, Fault, Mark, PieceKind, Stream
from drivers.checks import SENSIRION, crc8
from drivers.opcodes import recognise
from drivers.weather.bme280.driver import measurement_s
from gateway.pipeline.cells import Zeros, corrected_mv, factor
from gateway.pipeline.gas_index import VOC, Recursion

OURS = Path(__file__).parents[1] / "data" / "sensor_vectors.json"
NOT_APPLICABLE: Mapping[str, str] = MappingProxyType(
    {
        "nsrtw_mk4 (wi-fi/mqtt, for reference)": "another product: it speaks MQTT over Wi-Fi, not to a gateway's port",
    }
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vector" in metafunc.fixturenames:
        files = [OURS, *metafunc.config.getoption("--vectors")]
        vectors = {}
        for file in files:
            for vector in json.loads(file.read_text(encoding="utf-8")):
                vectors[f"{vector['direction']}-{vector['id']}-{vector['hex'][:16]}"] = vector
        metafunc.parametrize("vector", vectors.values(), ids=vectors.keys())


def test_every_vector_says_what_it_should(vector: dict[str, Any]) -> None:
    name = vector["sensor"].casefold()
    if name in NOT_APPLICABLE:
        assert NOT_APPLICABLE[name]
        return
    if name in FUNCTIONS:
        FUNCTIONS[name](vector)
    elif "max_time" in vector["expected"]:
        check_measurement_time(vector)
    elif vector["direction"] == "tx":
        written = bytes.fromhex(vector["hex"])
        assert any(recognise(driver, written) for driver in drivers_of(vector)), "no command of the driver is like this"
    else:
        for driver in drivers_of(vector):
            check_reply(driver, vector)


def check_reply(driver: Driver, vector: dict[str, Any]) -> None:
    decoded = read(driver, vector)
    rows = rows_of(vector, driver)
    refused = isinstance(vector["expected"].get("error", {}).get("value"), str)
    if not rows or refused:
        said_of_itself = driver.identify is not None and driver.identify.match(bytes.fromhex(vector["hex"]))
        nothing = len(decoded.values) == 0 or set(decoded.fault.tolist()) == {Fault.NOT_DATA}
        assert nothing or said_of_itself, "this measures nothing"
        return
    if all(value is None for row in rows for value in row.values()) and not len(decoded.values):
        return  # nothing was measured, and nothing is said
    assert len(decoded.values) == len(rows), decoded.fault
    names = [channel.name for channel in driver.channels]
    for row, values, marks in zip(rows, decoded.values, decoded.mark, strict=True):
        for channel, wanted in row.items():
            value, mark = float(values[names.index(channel)]), Mark(int(marks[names.index(channel)]))
            if wanted is None:
                assert mark != Mark.OK, f"{channel} should be in doubt"
                continue
            assert not math.isnan(value), f"{channel} is missing"
            assert value == pytest.approx(wanted, rel=0, abs=tolerance(driver, channel, vector, wanted)), channel


def read(driver: Driver, vector: dict[str, Any]) -> Decoded:
    """Let the driver read the bytes of a vector as it would read them on the line."""
    what = given(vector, driver)
    options = driver.defaults() | dict(what.options)
    frames = [what.frame]
    if isinstance(driver.access, Stream):
        pieces, rest = driver.access.framer.split(what.frame, final=True)
        assert rest == b""
        frames = [piece.data for piece in pieces if piece.kind is PieceKind.FRAME]
    return driver.decode(frames, what.context, options)


def check_measurement_time(vector: dict[str, Any]) -> None:
    oversampling = vector["expected"]["oversampling"]["value"]
    assert measurement_s(*oversampling) * 1000 == pytest.approx(vector["expected"]["max_time"]["value"], abs=1e-6)


def check_crc(vector: dict[str, Any]) -> None:
    rows = np.frombuffer(bytes.fromhex(vector["hex"]), np.uint8)
    assert crc8(rows[None, :2], SENSIRION)[0] == rows[2] == vector["expected"]["crc"]["value"]


def check_cell(vector: dict[str, Any]) -> None:
    """A cell of four electrodes has no bytes of its own: its voltages come from an ADC, the rest is arithmetic."""
    said = {name: one["value"] for name, one in vector["expected"].items()}
    cell = vector["sensor"].split()[1]
    zeros = Zeros(said["we_e"], said["ae_e"])
    made_mv = corrected_mv(cell, 1, said["we"], said["ae"], said["temp"], zeros)
    assert factor(cell, 1, said["temp"]) == pytest.approx(said["nT_interp_20_30"])
    assert made_mv / said["sensitivity"] == pytest.approx(said["no2"], abs=0.001)


def check_voc_index(vector: dict[str, Any]) -> None:
    """An index is made of ticks alone: a vector gives the rule of its ticks, and what is to come of some of them."""
    said = {name: one["value"] for name, one in vector["expected"].items()}
    ticks = TICKS[said["input_rule"]]
    voc = Recursion(VOC, 1.0)
    index = [math.floor(voc.take(float(one)) + 0.5) for one in ticks]
    wanted = {i: (sraw, made) for i, sraw, made in said["samples_[i,sraw,index]"]}
    assert {i: (ticks[i], index[i]) for i in wanted} == wanted


TICKS: Mapping[str, list[int]] = MappingProxyType(
    {
        "sraw(i)=30000-(1500 if 150<=i<170 else 0)+(i%7)*10, i=0..199": [
            30000 - (1500 if 150 <= i < 170 else 0) + (i % 7) * 10 for i in range(200)
        ]
    }
)
FUNCTIONS: Mapping[str, Callable[[dict[str, Any]], None]] = MappingProxyType(
    {
        "sensirion crc-8": check_crc,
        "alphasense no2-b43f (isb + ads1115)": check_cell,
        "voc index algorithm": check_voc_index,
    }
)


# Acknowledgements, states, identities, intermediate results, and what a driver does not publish.
PASSED_OVER: Mapping[str, str] = MappingProxyType(
    {
        "ads1115": "full_scale",
        "bme280": "adc adc_P adc_T dig_H max_time oversampling t_fine",
        "bme680": "adc adc_H adc_P adc_T calibration gas_valid heat_stable range_sw_err t_fine variant",
        "cem_dt8852": "battery hold memory output range recording threshold time time_weighting weighting",
        "kld7": "angle_right detection direction_receding meaning micro_detection range_near response speed_high "
        "target",
        "ld2451": "ack alarm_approach detect_distance moving_distance moving_energy state status still_distance "
        "still_energy",
        "lidar_lite": "busy reason status",
        "mhz19": "raw_co2 reason s temperature_undocumented",
        "nextpm": "flags state",
        "ops243": "ascii clock count direction error product resolution sampling_rate time",
        "pcb_artists": "fw hw max min tavg thr_max thr_min variant",
        "pms5003": "ack error error_byte version_byte",
        "renke_noise": "exception meaning",
        "scd4x": "data_ready serial_number",
        "sds011": "device_id error pm100",
        "sgp40": "self_test",
        "sht3x": "alert_pending heater reset_detected status",
        "sps30": "address command fan_error laser_error length speed_warning state status_register",
        "sps30_i2c": "flags status_register",
        "tfluna_i2c": "error raw_distance ticks",
        "tfmini": "reason",
        "ze07_ch2o": "ch2o_ug_m3",
        "ze08_ch2o": "decimals full_range gas unit",
        "ze25_o3": "decimals error full_range gas unit",
    }
)


def test_fields_that_no_driver_reads_are_known(request: pytest.FixtureRequest) -> None:
    """So that a quantity is not passed over because its name was not understood."""
    left: dict[str, set[str]] = {}
    for vector in json.loads(OURS.read_text(encoding="utf-8")):
        name = vector["sensor"].casefold()
        if vector["direction"] == "rx" and name not in NOT_APPLICABLE and name not in FUNCTIONS:
            for driver in drivers_of(vector):
                left.setdefault(driver.name, set()).update(unread(vector, driver))
    assert {name: " ".join(sorted(fields)) for name, fields in left.items() if fields} == PASSED_OVER
