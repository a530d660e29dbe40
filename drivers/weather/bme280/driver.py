"""Bosch BME280: temperature, pressure and humidity, measured on demand (forced mode) so that it does not heat itself.

Source: Bosch Sensortec, Data sheet BME280, BST-BME280-DS001, sections 4.2 (compensation), 5.4 (registers), 9.1 (time);
where it leaves a choice, the double-precision code of boschsensortec/BME280_driver c90d419.

    D0       chip id: 60 BME280, 58 BMP280 (has no humidity)
    88..A1   T1 T2 T3  P1 .. P9  (16 bit, LE; T1 and P1 unsigned)  A0: unused  A1: H1 (u8)
    E1..E7   E1 E2: H2 (i16 LE) | E3: H3 (u8) | E4 e5 : H4 = i8(E4) << 4 | E5 & 0F
             | e5 E6: H5 = i8(E6) << 4 | E5 >> 4 | E7: H6 (i8)
    F2 F4    how often to sample: humidity | temperature, pressure, mode;  F3 bit 3: measuring, bit 0: still starting
    F7..FE   P (20 bit) T (20 bit) H (16 bit), big-endian;  80000, 8000: skipped
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from drivers import opcodes
from drivers.base import F8, U1, Channel, Command, Decoded, Driver, Fault, I2c, Identify, Mark, Option, Options, Poll
from drivers.checks import stack

CALIB = np.dtype(
    {
        "names": ["T1", "T", "P1", "P", "unused", "H1", "H2", "H3", "E4", "E5", "E6", "H6"],
        "formats": ["<u2", "(2,)<i2", "<u2", "(8,)<i2", "u1", "u1", "<i2", "u1", "i1", "u1", "i1", "i1"],
    }
)
CALIB_SIZE, DATA_SIZE = CALIB.itemsize, 8
OSRS = MappingProxyType({1: 1, 2: 2, 4: 3, 8: 4, 16: 5})  # oversampling -> register code
BMP280_ID, BME280_ID = 0x58, 0x60
FULL = 0xFFFFF  # of 20 bits


def measurement_s(temperature: int, pressure: int, humidity: int) -> float:
    """Tell the longest time of one measurement for the oversampling of each quantity (section 9.1)."""
    return 1e-3 * (1.25 + 2.3 * temperature + (2.3 * pressure + 0.575) + (2.3 * humidity + 0.575))


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read temperature, pressure, humidity; `context`: chip id (1, may be absent), calibration (24, 26 or 33).

    A frame of 41 bytes, without context, brings its own calibration (26 + 7) before the data.
    """
    fault = np.full(len(frames), Fault.LENGTH, np.uint8)
    rows, index = stack(frames, DATA_SIZE if context else CALIB_SIZE + DATA_SIZE)
    if context:
        calibration, has_humidity, trouble = _read_context(context)
        calibration = np.broadcast_to(calibration, (len(rows), CALIB_SIZE))
    else:
        calibration, has_humidity, trouble = rows[:, :CALIB_SIZE], True, Fault.OK
        fault[stack(frames, DATA_SIZE)[1]] = Fault.NOT_READY
    values = compensate(calibration, rows[:, -DATA_SIZE:])
    if not has_humidity:
        values[:, 2] = np.nan
    sane = ~np.isinf(values).any(axis=1) & (trouble == Fault.OK)
    fault[index] = np.where(sane, Fault.OK, trouble or Fault.SANITY)
    values = values[sane]
    mark = np.where(np.isnan(values), Mark.MISSING, Mark.OK).astype(np.uint8)
    return Decoded(values, mark, index[sane], fault)


def _read_context(context: bytes) -> tuple[U1, bool, Fault]:
    """Split the context: calibration padded to 33 bytes, whether it has humidity, and what is wrong with it."""
    chip_id, body = (context[0], context[1:]) if len(context) in (25, 27, 34) else (BME280_ID, context)
    trouble = Fault.OK if len(body) in (24, 26, CALIB_SIZE) else Fault.NOT_READY
    if chip_id not in (BMP280_ID, BME280_ID):
        trouble = Fault.DEVICE
    padded = np.frombuffer(body[:CALIB_SIZE].ljust(CALIB_SIZE, b"\x00"), np.uint8)
    return padded, chip_id == BME280_ID and len(body) == CALIB_SIZE, trouble


def compensate(calibration: U1, data: U1) -> F8:
    """Compute Cel, Pa, % [n, 3] from u1[n, 33] and u1[n, 8]; skipped is NaN, what cannot be is infinite."""
    c = np.ascontiguousarray(calibration).view(CALIB)[:, 0]
    t, p = c["T"].astype(np.float64), c["P"].astype(np.float64)
    b = data.astype(np.int64)
    adc_p, adc_t = (b[:, i] << 12 | b[:, i + 1] << 4 | b[:, i + 2] >> 4 for i in (0, 3))
    adc_h = b[:, 6] << 8 | b[:, 7]
    fine = (adc_t / 16384 - c["T1"] / 1024) * t[:, 0] + (adc_t / 131072 - c["T1"] / 8192) ** 2 * t[:, 1]

    x = fine / 2 - 64000
    offset = (x * x * p[:, 4] / 32768 + x * p[:, 3] * 2) / 4 + p[:, 2] * 65536
    slope = (1 + (p[:, 1] * x * x / 524288 + p[:, 0] * x) / 524288 / 32768) * c["P1"]
    with np.errstate(all="ignore"):
        q = (1048576 - adc_p - offset / 4096) * 6250 / slope
        pressure = q + (p[:, 7] * q * q / 2147483648 + q * p[:, 6] / 32768 + p[:, 5]) / 16
    pressure = np.where(np.isfinite(pressure), pressure, np.inf)

    h4, h5 = (c[high].astype(np.int64) << 4 | low for high, low in (("E4", c["E5"] & 15), ("E6", c["E5"] >> 4)))
    y = fine - 76800
    gain = c["H2"] / 65536 * (1 + c["H6"] / 67108864 * y * (1 + c["H3"] / 67108864 * y))
    h = (adc_h - (h4 * 64.0 + h5 / 16384 * y)) * gain
    humidity = np.clip(h * (1 - c["H1"] * h / 524288), 0.0, 100.0)

    no_t, no_p, no_h = adc_t == 0x80000, adc_p == 0x80000, adc_h == 0x8000  # no temperature: nothing to correct with
    values = np.column_stack([fine / 5120, pressure, humidity])
    values[np.column_stack([no_t, no_t | no_p, no_t | no_h])] = np.nan
    values[(adc_t == 0) | (adc_t == FULL)] = np.inf  # no part measures there: it is another one, or none
    return values


def _code(options: Options) -> int:
    samples = options.get("oversampling", 1)
    return OSRS.get(samples, 1) if isinstance(samples, int) else 1


POLL_S = 0.005
SHORTEST_S, LONGEST_S = measurement_s(1, 1, 1), measurement_s(16, 16, 16)
CHIP_ID = Command("chip_id", b"\xd0", rx=1)
STARTED = Command("started", b"\xf3", rx=1, until=(0, 0x01, 0), tries=5, keep=False)
CALIB_TP = Command("calib_tp", b"\x88", rx=26)
CALIB_H = Command("calib_h", b"\xe1", rx=7)
# F2 takes effect with the write to F4 that follows it; both go in one transfer, as pairs (section 6.2.1).
FORCE = Command(
    "force", lambda _, o: bytes([0xF2, _code(o), 0xF4, _code(o) << 5 | _code(o) << 2 | 0b01]), settle_s=SHORTEST_S
)
TRIES = 1 + math.ceil((LONGEST_S - SHORTEST_S) / POLL_S)
MEASURED = Command("measured", b"\xf3", rx=1, until=(0, 0x08, 0), poll_s=POLL_S, tries=TRIES, keep=False)
READ = Command("read", b"\xf7", rx=DATA_SIZE)

DRIVER = Driver(
    name="bme280",
    domain="weather",
    model="Bosch BME280, Bosch BMP280",
    access=Poll((FORCE, MEASURED, READ), every_s=1.0, min_s=0.2),
    channels=(
        Channel("temperature", "Cel", lo=-40.0, hi=85.0, resolution=0.01),
        Channel("pressure", "Pa", lo=30_000.0, hi=110_000.0, resolution=0.18),
        Channel("humidity", "%", lo=0.0, hi=100.0, resolution=0.008),
    ),
    source="Bosch Sensortec, Data sheet BME280, BST-BME280-DS001",
    decode=decode,
    bus=I2c((0x76, 0x77), max_hz=400_000),
    setup=(STARTED, CHIP_ID, CALIB_TP, CALIB_H),
    options=(Option("oversampling", int, 1, help="samples for one value, all quantities", choices=tuple(OSRS)),),
    commands=MappingProxyType(
        {command.name: command for command in (CHIP_ID, FORCE, MEASURED, READ)}
        | {"reset": Command("reset", b"\xe0\xb6", settle_s=0.01)}
    ),
    identify=Identify((CHIP_ID,), lambda reply: reply in (bytes([BME280_ID]), bytes([BMP280_ID]))),
    opcode=opcodes.one_byte,
)
