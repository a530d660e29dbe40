"""Bosch BME680 and BME688: temperature, pressure, humidity, gas resistance, measured on demand (forced mode).

Source: Bosch Sensortec, Data sheet BME680, BST-BME680-DS001, sections 3.3 (compensation), 5.3 (registers); where it
leaves a choice, the floating-point code of boschsensortec/BME68x_SensorAPI 80ea120.

    D0 F0    chip id 61; variant: 0 BME680, 1 BME688 (another gas converter)
    8A..A0   T2 T3 P1 .. P10  |  E1..EE  H2/H1 (12 bits each, E2 shared) H3 .. H7 T1 G2 G1 G3
    00..04   heater: 00 value i8, 02 bits 5:4 range  |  04 bits 7:4 range switching error, signed
    5A 64    heater resistance, time  |  70 71 heater, gas on/off  |  72 74 75 H, T P mode, filter
    1D..2D   1D bit 7 new data, 6 and 5 still measuring  |  1F P T (20 bits) H (16 bits), big-endian
             gas at 2A 2B (BME680) or 2C 2D (BME688): 10 bits, bit 5 valid, bit 4 heater stable, bits 3:0 range
    context  id, variant, 23 + 14 + 5 bytes of calibration  |  frame 1D..2D
"""

from __future__ import annotations

import struct
from collections.abc import Container, Sequence
from types import MappingProxyType

import numpy as np

from drivers import base, opcodes
from drivers.base import F8, U1, Channel, Command, Decoded, Driver, Fault, Input, Mark, Option, Options
from drivers.checks import stack

CALIB = struct.Struct("<hbx Hhbx hhbbxx hhB BBB bbbBb Hhbb bxBxb")  # in the order of the registers
FRAME_SIZE, CONTEXT_SIZE = 17, 2 + CALIB.size
OSRS = MappingProxyType({1: 1, 2: 2, 4: 3, 8: 4, 16: 5})  # oversampling -> register code
HEATER_MS = MappingProxyType({100: 0x59, 150: 0x65, 200: 0x72, 300: 0x92, 500: 0x9F})  # -> six bits, a power of 4 above
RUN_GAS = MappingProxyType({"BME680": 0x10, "BME688": 0x20})
ONE_PART = (
    -30,
    -24754,
    18,
    48,
    1,
)  # G1 .. of a BME680 in pimoroni/bme680-python 30fcb34: they differ from part to part
K1 = 1 + np.array([0, 0, 0, 0, 0, -1, 0, -0.8, 0, 0, -0.2, -0.5, 0, -1, 0, 0]) / 100
K2 = 1 + np.array([0, 0, 0, 0, 0.1, 0.7, 0, -0.8, -0.1, 0, 0, 0, 0, 0, 0, 0]) / 100


def heater_code(heater: Sequence[float], target_degc: float, ambient_degc: float) -> int:
    """Compute what register 5A takes (section 3.3.5); `heater` is G1, G2, G3, value and range of the part."""
    g1, g2, g3, value, of = heater
    x = (g1 / 16 + 49) * (1 + (g2 / 32768 * 0.0005 + 0.00235) * target_degc) + g3 / 1024 * ambient_degc
    return int(min(max(3.4 * (x * 4 / (4 + of) / (1 + value * 0.002) - 25), 0.0), 255.0))


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read Cel, Pa, %, Ohm; without a valid conversion and a stable heater the resistance is MISSING."""
    fault = np.full(len(frames), Fault.LENGTH, np.uint8)
    rows, index = stack(frames, FRAME_SIZE)
    trouble = Fault.OK if len(context) == CONTEXT_SIZE else Fault.NOT_READY
    if context and (context[0] != 0x61 or context[1:2] > b"\x01"):
        trouble = Fault.DEVICE
    values = compensate(context[2:CONTEXT_SIZE], rows, gas_high=context[1:2] == b"\x01")
    stale, mad = rows[:, 0] & 0xE0 != 0x80, np.isinf(values).any(axis=1)
    fault[index] = trouble or np.select([stale, mad], [Fault.NOT_READY, Fault.SANITY], Fault.OK)
    good = fault[index] == Fault.OK
    mark = np.where(np.isnan(values[good]), Mark.MISSING, Mark.OK).astype(np.uint8)
    return Decoded(values[good], mark, index[good], fault)


def compensate(calibration: bytes, rows: U1, *, gas_high: bool) -> F8:
    """Compute Cel, Pa, %, Ohm [n, 4] from u1[n, 17]; skipped or not valid is NaN, without a solution is infinite."""
    read = CALIB.unpack(calibration.ljust(CALIB.size, b"\x00"))
    t2, t3, p1, p2, p3, p4, p5, p7, p6, p8, p9, p10, e1, e2, e3, h3, h4, h5, h6, h7, t1, *_, error = read
    b = rows.astype(np.int64)
    adc_p, adc_t = (b[:, i] << 12 | b[:, i + 1] << 4 | b[:, i + 2] >> 4 for i in (2, 5))
    adc_h = b[:, 8] << 8 | b[:, 9]
    fine = (adc_t / 16384 - t1 / 1024) * t2 + (adc_t / 131072 - t1 / 8192) ** 2 * t3 * 16
    t = fine / 5120

    x = fine / 2 - 64000
    offset = (x * x * p6 / 131072 + x * p5 * 2) / 4 + p4 * 65536
    slope = (1 + (p3 * x * x / 16384 + p2 * x) / 524288 / 32768) * p1
    with np.errstate(all="ignore"):
        q = (1048576 - adc_p - offset / 4096) * 6250 / slope
        pressure = q + (p9 * q * q / 2147483648 + q * p8 / 32768 + (q / 256) ** 3 * p10 / 131072 + p7 * 128) / 16
    pressure = np.where(np.isfinite(pressure), pressure, np.inf)

    h = adc_h - ((e3 << 4 | e2 & 15) * 16 + h3 / 2 * t)
    h = h * (e1 << 4 | e2 >> 4) / 262144 * (1 + h4 / 16384 * t + h5 / 1048576 * t * t)
    humidity = np.clip(h + (h6 / 16384 + h7 / 2097152 * t) * h * h, 0.0, 100.0)

    msb, lsb = (b[:, 15], b[:, 16]) if gas_high else (b[:, 13], b[:, 14])
    adc_g, of = (msb << 2 | lsb >> 6) - 512, lsb & 15
    if gas_high:
        gas = 1e6 * (262144 >> of) / (4096 + 3 * adc_g)
    else:
        gas = 1 / (K2[of] * 0.125e-6 * (1 << of) * (adc_g / ((1340 + 5 * (error >> 4)) * K1[of]) + 1))

    no_t, no_p, no_h = adc_t == 0x80000, adc_p == 0x80000, adc_h == 0x8000  # no temperature: nothing to correct with
    values = np.column_stack([t, pressure, humidity, gas])
    values[np.column_stack([no_t, no_t | no_p, no_t | no_h, lsb & 0x30 != 0x30])] = np.nan
    return values


def _chosen(options: Options, name: str, default: int, among: Container[int]) -> int:
    value = options.get(name, default)
    return value if isinstance(value, int) and value in among else default


def _force(inputs: base.Inputs, options: Options) -> bytes:
    """Say all that one measurement needs: a part that lost its supply since the last one does the same."""
    target, told = _chosen(options, "heater", 320, range(401)), inputs.get("temperature", 25.0)
    code = _chosen(options, "heater_code", 0, range(256))
    code = code or heater_code(ONE_PART, target, told if -40.0 <= told <= 85.0 else 25.0)
    wait = HEATER_MS[_chosen(options, "heater_ms", 150, HEATER_MS)]
    heat = (0x70, 0x00, 0x71, RUN_GAS.get(str(options.get("model")), 0x10)) if target else (0x70, 0x08, 0x71, 0x00)
    n = OSRS[_chosen(options, "oversampling", 1, OSRS)]
    return bytes((0x5A, code, 0x64, wait, *heat, 0x72, n, 0x75, 0x00, 0x74, n << 5 | n << 2 | 0b01))


CHIP_ID, VARIANT = Command("chip_id", b"\xd0", rx=1), Command("variant", b"\xf0", rx=1)
CALIBRATION = tuple(Command(f"calibration_{at:02x}", bytes([at]), rx=n) for at, n in ((0x8A, 23), (0xE1, 14), (0, 5)))
RESET = Command("reset", b"\xe0\xb6", settle_s=0.01)
SHORTEST_S, LONGEST_S = (1e-6 * (3 * samples * 1963 + 9 * 477 + 1000) for samples in (1, 16))
FORCE = Command("force", _force, settle_s=SHORTEST_S)
MEASURED = Command("measured", b"\x1d", rx=1, until=(0, 0xE0, 0x80), poll_s=0.02, tries=40, keep=False)
READ = Command("read", b"\x1d", rx=FRAME_SIZE)
DRIVER = Driver(
    name="bme680",
    domain="weather",
    model="Bosch BME680, Bosch BME688",
    access=base.Poll((FORCE, MEASURED, READ), every_s=10.0, min_s=3.0),
    channels=(
        Channel("temperature", "Cel", lo=-40.0, hi=85.0, resolution=0.01),
        Channel("pressure", "Pa", lo=30_000.0, hi=110_000.0, resolution=0.18),
        Channel("humidity", "%", lo=0.0, hi=100.0, resolution=0.008),
        Channel("gas_resistance", "Ohm", lo=0.0, hi=102_400_000.0),
    ),
    source="Bosch Sensortec, Data sheet BME680, BST-BME680-DS001",
    decode=decode,
    bus=base.I2c((0x76, 0x77), max_hz=400_000),
    setup=(RESET, CHIP_ID, VARIANT, *CALIBRATION),
    inputs=(Input("temperature", "Cel", 25.0, -40.0, 85.0),),
    options=(
        Option("model", str, "BME680", help="which part it is: gas is started differently", choices=tuple(RUN_GAS)),
        Option("heater", int, 320, "Cel", "temperature of the gas heater, 200 to 400; 0: off"),
        Option("heater_ms", int, 150, "ms", "time that it heats before it measures", tuple(HEATER_MS)),
        Option("heater_code", int, 0, help="what register 5A takes, from the calibration of the part; 0: typical"),
        Option("oversampling", int, 1, help="samples for one value, all quantities", choices=tuple(OSRS)),
    ),
    commands=MappingProxyType({one.name: one for one in (CHIP_ID, VARIANT, *CALIBRATION, RESET, FORCE, READ)}),
    identify=base.Identify((CHIP_ID, VARIANT), lambda reply: reply in (b"\x61\x00", b"\x61\x01")),
    opcode=opcodes.one_byte,
)
