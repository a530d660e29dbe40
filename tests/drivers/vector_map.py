"""What the names in a file of golden vectors mean here: one table each for sensors, fields, units and frames.

The format: a list of {id, sensor, transport, direction: "rx" | "tx", hex, expected: {field: {value, unit}}, note}.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from drivers import DRIVERS
from drivers.base import Driver, I2c

SENSORS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {  # what a vector calls the part -> our drivers of it; the transport tells which
        "pms5003/pms7003/pmsa003": ("pms5003",),
        "pmsa003i": ("pmsa003i",),
        "pms5003t": ("pms5003t",),
        "pms5003s": ("pms5003s",),
        "pms5003st": ("pms5003st",),
        "pms3003": ("pms3003",),
        "sds011": ("sds011",),
        "sds198": ("sds011",),
        "sps30": ("sps30", "sps30_i2c"),
        "sensirion crc-8": ("sen55",),
        "scd40/scd41": ("scd4x",),
        "scd30": ("scd30",),
        "sen54/sen55": ("sen55",),
        "sen66": ("sen66",),
        "sen63c": ("sen63c",),
        "sen65": ("sen65",),
        "sen68": ("sen68",),
        "sgp40": ("sgp40",),
        "sgp41": ("sgp41",),
        "sgp40/sgp41": ("sgp40",),
        "sht3x": ("sht3x",),
        "sht4x": ("sht4x",),
        "bme280": ("bme280",),
        "bme680": ("bme680",),
        "bme688": ("bme680",),
        "ads1115": ("ads1115",),
        "mh-z19b": ("mhz19",),
        "winsen ze07-ch2o": ("ze07_ch2o",),
        "winsen ze08-ch2o": ("ze08_ch2o",),
        "winsen ze07-co": ("ze07_co",),
        "winsen ze25-o3": ("ze25_o3",),
        "winsen ze07/ze08/ze25": ("ze08_ch2o",),
        "hpma115s0": ("hpma115s0",),
        "hpma115c0": ("hpma115c0",),
        "nsrt_mk3/mk4": ("nsrt_mk4",),
        "cem dt-8852 / peaktech 8005": ("cem_dt8852",),
        "dnms": ("dnms",),
        "pcb artists db meter": ("pcb_artists",),
        "modbus rtu noise transmitter (renke rs-zs-n01 / taidacent family)": ("renke_noise",),
        "modbus rtu noise transmitter (renke family)": ("renke_noise",),
        "modbus rtu noise transmitter (gemho)": ("gemho_noise",),
        "rfbeam k-ld7": ("kld7",),
        "hlk-ld2451": ("ld2451",),
        "hlk-ld2410 (same frame family)": ("ld2451",),
        "tfmini-s/tf-luna": ("tfmini",),
        "tf-luna (i2c)": ("tfluna_i2c",),
        "ops243-a/ops241-a": ("ops243",),
        "lidar-lite v3": ("lidar_lite",),
        "tera nextpm": ("nextpm",),
    }
)
FIELDS: Mapping[str, str] = MappingProxyType(
    {  # what a vector calls a quantity -> our channel; all others have the channel's own name
        "pm1_0_atm": "pm1_0",
        "pm2_5_atm": "pm2_5",
        "pm10_atm": "pm10",
        "sraw_voc": "voc_raw",
        "sraw_nox": "nox_raw",
        "spl": "level",
        "noise": "level",
        "level_or_leq": "laeq",
        "ch2o_ppb": "hcho",
        "voltage": "v0",
        "distance_m": "distance",
        "speed_kmh": "speed",
        "angle_deg": "angle",
        "snr": "signal_to_noise",
    }
)
CONCENTRATION: Mapping[str, str] = MappingProxyType({"ze07_co": "co", "ze25_o3": "o3"})  # of Winsen parts, else hcho
SCALE: Mapping[str, float] = MappingProxyType(
    {"#/0.1L": 0.01, "pcs/L": 0.001, "nm": 0.001, "cm": 0.01, "km/h": 1 / 3.6, "mV": 0.001}
)
FIELD_SCALE: Mapping[str, float] = MappingProxyType({"speed_kmh": 1 / 3.6})
# What the NextPM counts is per mL (Tera Sensor, NextPM user guide 2.2.1, with a worked example); its vector says per L.
UNIT_MEANT: Mapping[tuple[str, str], float] = MappingProxyType({("nextpm", "pcs/L"): 1.0})
AWAY_IS_POSITIVE = frozenset({"kld7"})  # in the vector; here what comes closer is positive
TOLERANCE: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {  # as the notes of the vectors say; elsewhere the last digit that is written
        "bme280": {"temperature": 0.01, "pressure": 0.2, "humidity": 0.02},
        "bme680": {"temperature": 0.021, "pressure": 6.0, "humidity": 0.12, "gas_resistance": 0.005},
    }
)


@dataclass(frozen=True)
class Given:
    """A vector as a driver gets it."""

    frame: bytes
    context: bytes = b""
    options: Mapping[str, Any] = field(default_factory=dict)


def drivers_of(vector: Mapping[str, Any]) -> list[Driver]:
    """Name the drivers that a vector speaks of; raise KeyError where the table does not know the part."""
    names = SENSORS[vector["sensor"].casefold()]
    if names == ("sgp41",) and len(vector["hex"]) == 6:  # while it is conditioned it says one word, as an SGP40 does
        names = ("sgp40",)
    on_i2c = vector["transport"].casefold().startswith(("i2c", "registers"))
    fitting = [DRIVERS[name] for name in names if isinstance(DRIVERS[name].bus, I2c) == on_i2c]
    return fitting or [DRIVERS[name] for name in names]


def rows_of(vector: Mapping[str, Any], driver: Driver) -> list[dict[str, float | None]]:
    """Return what the vector says in our channels and units, one dict a row; empty where it measures nothing."""
    expected = vector["expected"]
    if isinstance(targets := expected.get("targets", {}).get("value"), list):
        return [_target(driver, target) for target in targets]
    fields = {name: said for name, said in expected.items() if isinstance(said, dict) and "value" in said}
    known = {_channel(driver, name): said for name, said in fields.items() if _channel(driver, name)}
    rows = max((len(said["value"]) for said in known.values() if isinstance(said["value"], list)), default=1)
    sign = -1.0 if expected.get("direction", {}).get("value") == "outbound" else 1.0
    return [
        {name: _value(driver, name, said, i, sign) for name, said in known.items()} for i in range(rows) if known
    ]  # fmt: skip


def unread(vector: Mapping[str, Any], driver: Driver) -> set[str]:
    """Name the fields of a vector that are no channel of the driver."""
    return {name for name in vector["expected"] if name != "targets" and not _channel(driver, name)}


def _channel(driver: Driver, field: str) -> str:
    name = CONCENTRATION.get(driver.name, "hcho") if field == "concentration" else FIELDS.get(field, field)
    return name if name in {channel.name for channel in driver.channels} else ""


def _value(driver: Driver, channel: str, said: Mapping[str, Any], i: int, sign: float) -> float | None:
    value = said["value"][i] if isinstance(said["value"], list) else said["value"]
    if value is None:
        return None
    if driver.name in AWAY_IS_POSITIVE and channel == "speed":
        value = -value
    if sign < 0 and channel == "speed":
        value = -abs(value)
    unit = said.get("unit", "")
    return float(value) * UNIT_MEANT.get((driver.name, unit), SCALE.get(unit, 1.0))


def _target(driver: Driver, target: Mapping[str, Any]) -> dict[str, float | None]:
    """Read a target of a radar; `direction` carries the sign of its speed."""
    row: dict[str, float | None] = {}
    for name, value in target.items():
        channel = _channel(driver, name)
        if channel:
            row[channel] = float(value) * FIELD_SCALE.get(name, 1.0)
    speed = row.get("speed")
    if speed is not None and (target.get("direction") == "receding" or driver.name in AWAY_IS_POSITIVE):
        row["speed"] = -speed
    return row


def tolerance(driver: Driver, channel: str, vector: Mapping[str, Any], value: float) -> float:
    """Say how far a value may be off: as the notes say, else half of the last digit that is written."""
    own = TOLERANCE.get(driver.name, {}).get(channel)
    if own is not None:
        return own * abs(value) if channel == "gas_resistance" else own
    return max(_digits(vector, channel, driver), 1e-9) + 1e-6 * abs(value)


def _digits(vector: Mapping[str, Any], channel: str, driver: Driver) -> float:
    for name, said in vector["expected"].items():
        if _channel(driver, name) == channel and isinstance(said["value"], float):
            text = repr(said["value"])
            places = len(text.partition(".")[2]) if "e" not in text else 9
            return 0.51 * 10.0**-places * SCALE.get(said.get("unit", ""), 1.0)
    return 0.0


def given(vector: Mapping[str, Any], driver: Driver) -> Given:
    """Put the bytes of a vector into the frame that the driver would get."""
    data = bytes.fromhex(vector["hex"])
    adapt = FRAMES.get(driver.name)
    return adapt(vector, data) if adapt else Given(data)


def _worked_example(vector: Mapping[str, Any], data: bytes) -> Given:
    """BME280: the example gives eight bytes of data and names the calibration of the datasheet's example."""
    if len(data) != 8:
        return Given(data)
    return Given(bytes.fromhex("706b436718fc7d8e43d6d00b270b8c00f9ff8c3cf8c6701700") + bytes(8) + data)


def _with_status(vector: Mapping[str, Any], data: bytes) -> Given:
    """LIDAR-Lite: a frame is the status register (20: healthy, not busy), then the distance."""
    return Given(b"\x20" + data if len(data) == 2 else data)


def _register_image(vector: Mapping[str, Any], data: bytes) -> Given:
    """BME680, BME688: 23 + 14 + 5 bytes of calibration, then the field; or adc values and calibration by name."""
    variant = bytes([vector["expected"].get("variant", {}).get("value", 0)])
    if data:
        return Given(data[42:], b"\x61" + variant + data[:42])
    said = {name: one["value"] for name, one in vector["expected"].items()}
    adc_p, adc_t, adc_h = said["adc_P"], said["adc_T"], said["adc_H"]
    field20 = struct.pack(">I", adc_p << 4)[1:] + struct.pack(">I", adc_t << 4)[1:] + struct.pack(">H", adc_h)
    return Given(b"\x80\x00" + field20 + bytes(7), b"\x61" + variant + _calibration(said["calibration"]))


def _calibration(par: Mapping[str, int]) -> bytes:
    """Lay the parameters of a BME680 out as its registers 8A..A0, E1..EE, 00..04 have them."""
    first = [par[f"par_{name}"] for name in ("t2", "t3", "p1", "p2", "p3", "p4", "p5", "p7", "p6", "p8", "p9", "p10")]
    shared = (par["par_h2"] >> 4, (par["par_h2"] & 15) << 4 | par["par_h1"] & 15, par["par_h1"] >> 4)
    second = [par[f"par_{name}"] for name in ("h3", "h4", "h5", "h6", "h7", "t1", "gh2", "gh1", "gh3")]
    return (
        struct.pack("<hbxHhbxhhbbxxhhB", *first)
        + struct.pack("<BBBbbbBbHhbb", *shared, *second)
        + struct.pack("<bxBxb", par["res_heat_val"], par["res_heat_range"] << 4, par["range_sw_err"] << 4)
    )


def _four_conversions(vector: Mapping[str, Any], data: bytes) -> Given:
    """ADS1115: one conversion, said four times, each behind the settings that it was made with."""
    options = {"full_scale": float(vector["expected"]["full_scale"]["value"])}
    driver = DRIVERS["ads1115"]
    frame = b""
    for i in range(4):
        tx = driver.commands[f"convert_{i}"].tx
        assert callable(tx)
        frame += tx({}, driver.defaults() | options)[1:] + data
    return Given(frame, b"", options)


def _with_settings(vector: Mapping[str, Any], data: bytes) -> Given:
    """PCB Artists: a frame is the control register (A), the averaging time (1000 ms) and the level."""
    return Given(b"\x02\x03\xe8" + data[:1] if "reg 0x0A" in vector["transport"] else data)


def _registers(vector: Mapping[str, Any], data: bytes) -> Given:
    """Modbus transmitters: two registers are asked for where four bytes come."""
    return Given(data, b"", {"registers": 2} if data[2:3] == b"\x04" else {})


FRAMES: Mapping[str, Callable[[Mapping[str, Any], bytes], Given]] = MappingProxyType(
    {
        "bme280": _worked_example,
        "bme680": _register_image,
        "ads1115": _four_conversions,
        "pcb_artists": _with_settings,
        "lidar_lite": _with_status,
        "renke_noise": _registers,
        "gemho_noise": _registers,
    }
)
