"""Sensirion SCD30 carbon dioxide sensor: infrared, two channels, a reading each two seconds or slower.

Source: Sensirion, SCD30 Interface Description V1.0; commands as in linux drivers/iio/chemical/scd30_core.c.

    0010 pressure crc   start; pressure in mbar 700 .. 1400, or 0: not compensated        0104 stop
    4600 seconds crc    interval 2 .. 1800     5306 0|1 crc  self-calibration     5403 0.01 K crc  temperature offset
    5102 m crc          altitude, kept in its flash: not used, the pressure says the same
    0202                ready: 1 in the low byte of the word
    0300                18 bytes: CO2, T, RH as float32 big-endian, CRC-8 (31, FF) behind each 16 bits
             3 ms at least between write and read; clock stretching up to 30 ms, once a day 150 ms
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from drivers import base, opcodes
from drivers.base import (
    Channel,
    Chore,
    Command,
    Decoded,
    Driver,
    Fault,
    I2c,
    Identify,
    Input,
    Inputs,
    Mark,
    Option,
    Options,
    Poll,
)
from drivers.checks import floats, stack, word, words

CO2_HI = 10_000.0  # ppm; the specified range ends here, the part goes on to 40000
PRESSURE = Input("pressure", "Pa", 0.0, lo=70_000.0, hi=140_000.0, max_age_s=3600.0)  # 0: nobody knows


def _mbar(inputs: Inputs, options: Options) -> int:
    """Return the pressure of the air, else the usual one at the site's altitude, else 0."""
    pressure_pa, altitude_m = inputs.get("pressure", PRESSURE.default), options.get("altitude_m", 0)
    if not pressure_pa > 0 and isinstance(altitude_m, int) and altitude_m:
        pressure_pa = 101_325.0 * (1 - 2.25577e-5 * min(max(altitude_m, -400), 3000)) ** 5.25588  # ISO 2533
    return min(max(round(pressure_pa / 100.0), 700), 1400) if pressure_pa > 0 else 0


def _start(inputs: Inputs, options: Options) -> bytes:
    return b"\x00\x10" + word(_mbar(inputs, options))


def _start_again(inputs: Inputs, options: Options) -> bytes:
    """Tell a part that measures the pressure of the day; nothing where nobody measures it."""
    return _start(inputs, options) if inputs.get("pressure", PRESSURE.default) > 0 else b""


def _offset(inputs: Inputs, options: Options) -> bytes:  # noqa: ARG001
    """Say the offset, which the part keeps in its flash, only where the site asks for one."""
    offset_k = options.get("temperature_offset_K", 0.0)
    asked = isinstance(offset_k, (int, float)) and 0.0 < offset_k <= 655.0
    return b"\x54\x03" + word(round(float(offset_k) * 100.0)) if asked else b""


START = Command("start", _start, settle_s=0.01)
TELL_PRESSURE = Command("tell_pressure", _start_again, settle_s=0.01)
STOP = Command("stop", b"\x01\x04", settle_s=0.01, nack_ok=True)
INTERVAL = Command("interval", b"\x46\x00" + word(2), settle_s=0.01)
SELF_CALIBRATION = Command("self_calibration", lambda _, o: b"\x53\x06" + word(o.get("asc") is True), settle_s=0.01)
OFFSET = Command("temperature_offset", _offset, settle_s=0.01)
READY = Command("ready", b"\x02\x02", rx=3, wait_s=0.01, until=(1, 0xFF, 0x01), poll_s=0.1, tries=5, keep=False)
READ = Command("read", b"\x03\x00", rx=18, wait_s=0.01)
VERSION = Command("version", b"\xd1\x00", rx=3, wait_s=0.01)
MAIN = (START, TELL_PRESSURE, STOP, INTERVAL, SELF_CALIBRATION, OFFSET, READY, READ, VERSION)
SETTINGS = (("get_interval", b"\x46\x00"), ("get_self_calibration", b"\x53\x06"), ("get_reference", b"\x52\x04"),
            ("get_temperature_offset", b"\x54\x03"), ("get_altitude", b"\x51\x02"))  # fmt: skip
OTHERS = (
    Command("reset", b"\xd3\x04", settle_s=2.0),
    Command("calibrate_400ppm", b"\x52\x04" + word(400), settle_s=0.01),
    Command("reset_temperature_offset", b"\x54\x03" + word(0), settle_s=0.01),
    Command("reset_altitude", b"\x51\x02" + word(0), settle_s=0.01),
    Command("serial", b"\xd0\x33", rx=48, wait_s=0.01),
    *(Command(name, said, rx=3, wait_s=0.01) for name, said in SETTINGS),
)


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read CO2 in ppm, temperature in Cel and humidity in %; a CO2 of 0 is said before the first true reading."""
    fault = np.full(len(frames), Fault.LENGTH, np.uint8)
    rows, index = stack(frames, 18)
    raw, fits = words(rows)
    intact = fits.all(axis=1)
    fault[index] = np.where(intact, Fault.OK, Fault.CHECK)
    values = floats(raw[intact])
    mark = np.zeros(values.shape, np.uint8)
    mark[values[:, 0] <= 0.0, 0] = Mark.NOT_STABLE
    mark[values[:, 0] > CO2_HI, 0] = Mark.SATURATED
    unknown = ~np.isfinite(values)
    values[unknown], mark[unknown] = np.nan, Mark.MISSING
    return Decoded(values, mark, index[intact], fault)


def _is_version(reply: bytes) -> bool:
    rows, _ = stack([reply], 3)
    raw, fits = words(rows)
    return bool(len(rows) and fits.all() and 0 < int(raw[0, 0]) < 0x1000)


DRIVER = Driver(
    name="scd30",
    domain="air",
    model="Sensirion SCD30",
    access=Poll((READY, READ), every_s=2.0, min_s=2.0),
    channels=(
        Channel("co2", "[ppm]", lo=1.0, hi=40_000.0, resolution=0.01),
        Channel("temperature", "Cel", lo=-40.0, hi=70.0, resolution=0.01),
        Channel("humidity", "%", lo=0.0, hi=100.0, resolution=0.01),
    ),
    source="Sensirion, SCD30 Interface Description V1.0",
    decode=decode,
    bus=I2c((0x61,), max_hz=50_000, stretch_ms=150.0),
    setup=(STOP, INTERVAL, SELF_CALIBRATION, OFFSET, START),
    # That it measures is kept in its flash, too: so the pressure of the day is told four times a day, not more.
    chores=(Chore((TELL_PRESSURE,), every_s=21_600.0, phase_s=60.0),),
    duty=base.Duty(warm_up_s=20.0),
    inputs=(PRESSURE,),
    options=(
        Option("asc", bool, default=False, help="self-calibration: only where fresh air (400 ppm) comes each day"),
        Option("temperature_offset_K", float, 0.0, "K", help="how much the part is warmer than the air; 0: leave it"),
        Option("altitude_m", int, 0, "m", help="height above the sea: its usual pressure, where none is measured"),
    ),
    commands=MappingProxyType({command.name: command for command in (*MAIN, *OTHERS)}),
    identify=Identify((VERSION,), _is_version),
    opcode=opcodes.sensirion,
)
