"""Sensirion SCD4x carbon dioxide sensor: photoacoustic, a reading each five seconds.

Source: Sensirion, Datasheet SCD4x; commands and times as in sensirion-i2c-scd4x.

    21B1 start, a reading each 5 s     3F86 stop, 500 ms     36F6 wake, not acknowledged
    E4B8                               ready: the word & 07FF is not 0
    EC05                               9 bytes: CO2, T, RH words, CRC-8 (31, FF) behind each; read once, then NACK
         CO2 = w ppm      T = -45 + 175 w / 65535 Cel      RH = 100 w / 65535 %
    E000 pressure in hPa, also while it measures     2416 self-calibration     241D T offset     2427 altitude in m
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType

import numpy as np

from drivers import opcodes
from drivers.base import (
    Channel,
    Chore,
    Command,
    Decoded,
    Driver,
    Duty,
    Fault,
    I2c,
    Identify,
    Identity,
    Input,
    Inputs,
    Mark,
    Option,
    Options,
    Poll,
)
from drivers.checks import crc8, serial_words, stack, words

FULL = 65535.0
CO2_HI = 40_000
PRESSURE = Input("pressure", "Pa", 0.0, lo=70_000.0, hi=120_000.0, max_age_s=3600.0)  # 0: nobody knows, nothing is said


def _word(command: int, value: int) -> bytes:
    """Write a command and its argument."""
    argument = np.frombuffer(min(max(value, 0), 0xFFFF).to_bytes(2, "big"), np.uint8)
    return command.to_bytes(2, "big") + argument.tobytes() + bytes([int(crc8(argument))])


def _pressure(inputs: Inputs, options: Options) -> bytes:  # noqa: ARG001
    pressure_pa = inputs.get("pressure", PRESSURE.default)
    return _word(0xE000, round(pressure_pa / 100.0)) if pressure_pa > 0 else b""


def _option(command: int, option: str, default: float, scale: float) -> Callable[[Inputs, Options], bytes]:
    def tx(inputs: Inputs, options: Options) -> bytes:  # noqa: ARG001
        value = options.get(option, default)
        return _word(command, round((float(value) if isinstance(value, (int, float)) else default) * scale))

    return tx


def is_ready(reply: bytes) -> bool:
    """Tell whether a reading waits: the lower eleven bits of the word are not all 0."""
    return len(reply) == 3 and int.from_bytes(reply[:2], "big") & 0x07FF != 0


READY = Command("ready", b"\xe4\xb8", rx=3, wait_s=0.001, until=is_ready, poll_s=0.4, tries=5, keep=False)
READ = Command("read", b"\xec\x05", rx=9, wait_s=0.001)
WAKE = Command("wake", b"\x36\xf6", settle_s=0.03, nack_ok=True)
STOP = Command("stop", b"\x3f\x86", settle_s=0.5, nack_ok=True)
START = Command("start", b"\x21\xb1", settle_s=0.001)
SELF_CALIBRATION = Command("self_calibration", _option(0x2416, "asc", 0.0, 1.0), settle_s=0.001)
OFFSET = Command("temperature_offset", _option(0x241D, "temperature_offset_K", 4.0, FULL / 175.0), settle_s=0.001)
ALTITUDE = Command("altitude", _option(0x2427, "altitude_m", 0.0, 1.0), settle_s=0.001)
TELL_PRESSURE = Command("tell_pressure", _pressure, settle_s=0.001)
SERIAL = Command("serial", b"\x36\x82", rx=9, wait_s=0.001)
TABLE = (  # name, command, bytes of the reply, time that it takes
    ("start_low_power", 0x21AC, 0, 0.001), ("single_shot", 0x219D, 0, 5.0), ("single_shot_rht", 0x2196, 0, 0.05),
    ("persist", 0x3615, 0, 0.8), ("reinit", 0x3646, 0, 0.03), ("factory_reset", 0x3632, 0, 1.2),
    ("self_test", 0x3639, 3, 10.0), ("sleep", 0x36E0, 0, 0.001), ("variant", 0x202F, 3, 0.001),
    ("get_self_calibration", 0x2313, 3, 0.001), ("get_temperature_offset", 0x2318, 3, 0.001),
    ("get_altitude", 0x2322, 3, 0.001), ("get_target", 0x233F, 3, 0.001),
)  # fmt: skip
WITH_WORD = (("calibrate_400ppm", 0x362F, 400, 3), ("set_target", 0x243A, 400, 0), ("set_pressure", 0xE000, 1013, 0),
             ("set_initial_period", 0x2445, 44, 0), ("set_standard_period", 0x244E, 156, 0))  # fmt: skip


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read CO2 in ppm, temperature in Cel and humidity in %; a CO2 of 0 is said before the first true reading."""
    fault = np.full(len(frames), Fault.LENGTH, np.uint8)
    rows, index = stack(frames, 9)
    raw, fits = words(rows)
    intact = fits.all(axis=1)
    fault[index] = np.where(intact, Fault.OK, Fault.CHECK)
    co2, temperature, humidity = raw[intact].astype(np.float64).T
    values = np.column_stack([co2, -45.0 + 175.0 * temperature / FULL, 100.0 * humidity / FULL])
    mark = np.zeros(values.shape, np.uint8)
    mark[co2 == 0, 0] = Mark.NOT_STABLE
    mark[co2 >= CO2_HI, 0] = Mark.SATURATED
    return Decoded(values, mark, index[intact], fault)


def _answers(reply: bytes) -> bool:
    """Tell whether this is a word of ready, or a serial number: each word with its CRC."""
    if len(reply) not in (3, 9):
        return False
    return bool(words(np.frombuffer(reply, np.uint8)[None, :])[1].all())


DRIVER = Driver(
    name="scd4x",
    domain="air",
    model="Sensirion SCD4x, Sensirion SCD40, Sensirion SCD41, Sensirion SCD43",
    access=Poll((READY, READ), every_s=5.0, min_s=5.0),
    channels=(
        Channel("co2", "[ppm]", lo=1.0, hi=CO2_HI, resolution=1.0),
        Channel("temperature", "Cel", lo=-45.0, hi=130.0, resolution=0.01),
        Channel("humidity", "%", lo=0.0, hi=100.0, resolution=0.01),
    ),
    source="Sensirion, Datasheet SCD4x",
    decode=decode,
    bus=I2c((0x62,), max_hz=100_000),
    # Only an idle part takes settings; one that sleeps does not acknowledge being woken.
    setup=(WAKE, STOP, SELF_CALIBRATION, OFFSET, ALTITUDE, TELL_PRESSURE, START),
    chores=(Chore((TELL_PRESSURE,), every_s=300.0, phase_s=60.0),),
    duty=Duty(warm_up_s=10.0),
    inputs=(PRESSURE,),
    options=(
        Option("asc", bool, default=False, help="self-calibration: only where fresh air (400 ppm) comes each week"),
        Option("temperature_offset_K", float, 4.0, "K", help="how much the part is warmer than the air"),
        Option("altitude_m", int, 0, "m", help="height above the sea, where no pressure is told"),
    ),
    commands=MappingProxyType(
        {c.name: c for c in (READY, READ, WAKE, STOP, START, SELF_CALIBRATION, OFFSET, ALTITUDE, SERIAL)}
        | {name: Command(name, tx.to_bytes(2, "big"), rx=rx, wait_s=s if rx else 0.0) for name, tx, rx, s in TABLE}
        | {name: Command(name, _word(tx, value), rx=rx, wait_s=0.4 * bool(rx)) for name, tx, value, rx in WITH_WORD}
    ),
    # The only question that is answered in every mode; a serial number is given by an idle part alone.
    identify=Identify((Command("ready", b"\xe4\xb8", rx=3, wait_s=0.001),), _answers),
    identity=Identity((WAKE, STOP, SERIAL), serial_words),
    shutdown=(STOP,),
    opcode=opcodes.sensirion,
)
