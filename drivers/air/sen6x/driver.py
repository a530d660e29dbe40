"""Sensirion SEN6x environmental nodes: particles, humidity, temperature and gases, new each second.

Source: Sensirion, Datasheet SEN6x; commands, words and bits as in sensirion-i2c-sen66 1.3.1 and, 1.1.0 each, -sen63c,
-sen65, -sen68.

    reply    hi lo crc  hi lo crc  ..  16-bit words, big-endian, CRC-8 (31, FF) after each word; FFFF, 7FFF: unknown
             PM1.0 PM2.5 PM4.0 PM10  u16 in 0.1 ug/m3   RH i16 in 0.01 %   T i16 in 0.005 Cel,  and behind them
    0471     SEN63C: CO2 i16 in ppm
    0446     SEN65:  VOC NOx i16 in 0.1
    0300     SEN66:  VOC NOx i16 in 0.1   CO2 u16 in ppm
    0467     SEN68:  VOC NOx i16 in 0.1   HCHO u16 in 0.1 ppb
    D206     u32 status: bit 4 fan, 6 RH/T, 7 gas, 9 CO2 (SEN66), 10 HCHO, 11 particles, 12 CO2 (SEN63C), 21 fan speed
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from drivers import base, opcodes
from drivers.base import Channel, Chore, Command, Decoded, Driver, Fault, I2c, Identify, Inputs, Mark, Option, Options
from drivers.checks import register, serial_text, stack, text, word, words

U16, I16 = 0xFFFF, 0x7FFF  # the word for "unknown" of an unsigned and of a signed number
BEYOND = 0xFFFE  # particles: more than it can tell


class Field(NamedTuple):
    """A word of a reply: what it measures, how much one of it is, and which bits of the status touch it."""

    channel: Channel
    per_unit: float
    unknown: int
    doubts: int


def _field(name: str, unit: str, per_unit: float, unknown: int, doubts: int, lo: float, hi: float) -> Field:
    return Field(Channel(name, unit, lo=lo, hi=hi, resolution=1 / per_unit), per_unit, unknown, doubts)


PARTICLES = 1 << 4 | 1 << 11 | 1 << 21
COMMON = (
    *(_field(name, "ug/m3", 10, U16, PARTICLES, 0, 1000) for name in ("pm1_0", "pm2_5", "pm4_0", "pm10")),
    _field("humidity", "%", 100, I16, 1 << 6, 0, 100),
    _field("temperature", "Cel", 200, I16, 1 << 6, -40, 85),
)
GAS = tuple(_field(f"{name}_index", "1", 10, I16, 1 << 7, 1, 500) for name in ("voc", "nox"))
CO2_I16 = _field("co2", "[ppm]", 1, I16, 1 << 12, 1, 32_766)
CO2_U16 = _field("co2", "[ppm]", 1, U16, 1 << 9, 1, 40_000)
HCHO = _field("hcho", "[ppb]", 10, U16, 1 << 10, 0, 6553.4)


def decode(fields: Sequence[Field], frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read the words of one model; `context` is empty or the six bytes of the last status."""
    fault = np.full(len(frames), Fault.LENGTH, np.uint8)
    rows, index = stack(frames, 3 * len(fields))
    raw, fits = words(rows)
    intact = fits.all(axis=1)
    fault[index] = np.where(intact, Fault.OK, Fault.CHECK)
    raw = raw[intact]
    unknown = np.array([field.unknown for field in fields], np.uint16)
    numbers = np.where(unknown == I16, raw.view(np.int16), raw.astype(np.int32))
    missing = raw == unknown
    values = np.where(missing, np.nan, numbers / np.array([field.per_unit for field in fields]))
    doubts = np.array([field.doubts for field in fields], np.uint32) & np.uint32(register(context, 2))
    mark = np.zeros(values.shape, np.uint8)
    mark[:, doubts != 0] = Mark.NOT_STABLE
    mark[:, :4][raw[:, :4] == BEYOND] = Mark.SATURATED
    mark[missing] = Mark.MISSING
    return Decoded(values, mark, index[intact], fault)


def _pressure(inputs: Inputs, options: Options) -> bytes:  # noqa: ARG001
    """Say the pressure of the air in hPa; nothing where nobody measures it, for then the altitude stays in force."""
    pressure_pa = inputs.get("pressure", 0.0)
    return b"\x67\x20" + word(round(min(max(70_000.0, pressure_pa), 120_000.0) / 100)) if pressure_pa > 0 else b""


def _altitude(inputs: Inputs, options: Options) -> bytes:  # noqa: ARG001
    altitude_m = options.get("altitude_m", 0)
    return b"\x67\x36" + word(min(max(altitude_m, 0), 3000) if isinstance(altitude_m, int) else 0)


def _ask(name: str, code: str, rx: int, wait_s: float = 0.02) -> Command:
    return Command(name, bytes.fromhex(code), rx=rx, wait_s=wait_s)


READY = replace(_ask("ready", "0202", 3), until=(1, 0xFF, 1), poll_s=0.02, tries=3, keep=False)
STATUS, NAME = _ask("status", "d206", 6), _ask("name", "d014", 48)
CLEAR = replace(_ask("clear_status", "d210", 6), nack_ok=True, keep=False)  # what it tells is the past
START = Command("start", b"\x00\x21", settle_s=0.05)
STOP = Command("stop", b"\x01\x04", settle_s=1.4, nack_ok=True)
PRESSURE = Command("set_pressure", _pressure, settle_s=0.02, nack_ok=True)
ALTITUDE = Command("set_altitude", _altitude, settle_s=0.02, nack_ok=True)
ASC = Command("set_asc", lambda _, o: b"\x67\x11" + word(o.get("asc", True) is not False), settle_s=0.02, nack_ok=True)
FURTHER = (
    *(READY, STATUS, CLEAR, NAME, START, STOP, _ask("serial", "d033", 48), _ask("version", "d100", 3)),
    *(_ask("product", "d002", 48), _ask("read_numbers", "0316", 15), _ask("heater_result", "6790", 6)),
    *(Command("heater", b"\x67\x65", settle_s=1.3), Command("reset", b"\xd3\x04", settle_s=1.2)),
    Command("clean", b"\x56\x07", settle_s=10.0),  # only after `stop`; then `start`
)
OF_GAS = (_ask("read_voc_state", "6181", 12), _ask("voc_tuning", "60d0", 18), _ask("nox_tuning", "60e1", 18))
OF_CO2 = (
    *(PRESSURE, ALTITUDE, ASC, _ask("pressure", "6720", 3), _ask("asc", "6711", 3), _ask("altitude", "6736", 3)),
    Command("reset_co2", b"\x67\x54", settle_s=1.4),
    Command("calibrate_at_420_ppm", b"\x67\x07" + word(420), rx=3, wait_s=0.5),  # only after `stop`
)
OPTIONS_OF_CO2 = (
    Option("asc", bool, True, help="the lowest CO2 of some days is fresh air: the part calibrates itself by it"),
    Option("altitude_m", int, 0, "m", "height above the sea, where no pressure is told"),
)


def _model(name: str, read: Command, raw: Command, *fields: Field) -> Driver:
    names = {field.channel.name for field in fields}
    co2 = "co2" in names
    more = (OF_GAS if "voc_index" in names else ()) + (OF_CO2 if co2 else ())
    return Driver(
        name=name.lower(),
        domain="air",
        model=f"Sensirion {name}",
        access=base.Poll((READY, read), every_s=1.0, min_s=1.0),
        channels=tuple(field.channel for field in fields),
        source="Sensirion, Datasheet SEN6x",
        decode=partial(decode, fields),
        bus=I2c((0x6B,), max_hz=100_000),
        setup=(STOP, CLEAR, *((ASC, ALTITUDE, PRESSURE) if co2 else ()), START),  # measuring, it refuses to start
        chores=(Chore((STATUS,), 60.0, phase_s=5.0), *((Chore((PRESSURE,), 300.0, phase_s=60.0),) if co2 else ())),
        inputs=(base.Input("pressure", "Pa", 0.0, lo=70_000.0, hi=120_000.0, max_age_s=3600.0),) if co2 else (),
        options=OPTIONS_OF_CO2 if co2 else (),
        commands=MappingProxyType({one.name: one for one in (*FURTHER, read, raw, *more)}),
        identify=Identify((NAME,), lambda reply: len(reply) == 48 and text(reply) == name.encode()),
        identity=base.Identity((_ask("serial", "d033", 48),), serial_text),
        shutdown=(STOP,),
        family="sen6x",
        opcode=opcodes.sensirion,
    )


SEN66 = _model("SEN66", _ask("read", "0300", 27), _ask("read_raw", "0405", 15), *COMMON, *GAS, CO2_U16)
SEN63C = _model("SEN63C", _ask("read", "0471", 21), _ask("read_raw", "0492", 6), *COMMON, CO2_I16)
SEN65 = _model("SEN65", _ask("read", "0446", 24), _ask("read_raw", "0455", 12), *COMMON, *GAS)
SEN68 = _model("SEN68", _ask("read", "0467", 27), _ask("read_raw", "0455", 12), *COMMON, *GAS, HCHO)
