"""Sensirion SHT3x humidity and temperature sensor: single shots, and a status register that knows of resets.

Source: Sensirion, Datasheet SHT3x-DIS; commands and times as in linux drivers/hwmon/sht3x.c and sensirion-i2c-sht3x.

    2400     single shot, high repeatability, no clock stretching: 15 ms; a read too early is not acknowledged
    reply    T hi lo crc  RH hi lo crc                  CRC-8 (31, FF) behind each word
             T = -45 + 175 w / 65535 Cel      RH = 100 w / 65535 %
    F32D     status: bit 13 heater on, 11 RH alert, 10 T alert, 4 reset seen, 1 last command not executed
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from drivers import opcodes
from drivers.base import Channel, Chore, Command, Decoded, Driver, Fault, I2c, Identify, Mark, Options, Poll
from drivers.checks import stack, words

FULL = 65535.0
HEATER = 1 << 13

READ = Command("read", b"\x24\x00", rx=6, wait_s=0.016, tries=2)
STATUS = Command("status", b"\xf3\x2d", rx=3, wait_s=0.001)
# A part left in periodic mode refuses everything but this; one that is idle refuses this.
STOP = Command("stop", b"\x30\x93", settle_s=0.002, nack_ok=True)
HEATER_OFF = Command("heater_off", b"\x30\x66", settle_s=0.001)
CLEAR_STATUS = Command("clear_status", b"\x30\x41", settle_s=0.001)
TABLE = (  # name, command, bytes of the reply, time that it takes
    ("heater_on", b"\x30\x6d", 0, 0.001), ("reset", b"\x30\xa2", 0, 0.002), ("fetch", b"\xe0\x00", 6, 0.001),
    ("read_medium", b"\x24\x0b", 6, 0.007), ("read_low", b"\x24\x16", 6, 0.005), ("serial", b"\x37\x80", 6, 0.001),
    ("periodic_1hz", b"\x21\x30", 0, 0.001), ("periodic_2hz", b"\x22\x36", 0, 0.001), ("art", b"\x2b\x32", 0, 0.001),
    ("periodic_4hz", b"\x23\x34", 0, 0.001), ("periodic_10hz", b"\x27\x37", 0, 0.001),
    ("periodic_half_hz", b"\x20\x32", 0, 0.001),
)  # fmt: skip


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read temperature in Cel and relative humidity in %; `context` ends in the last status, if there is one."""
    fault = np.full(len(frames), Fault.LENGTH, np.uint8)
    rows, index = stack(frames, 6)
    raw, fits = words(rows)
    intact = fits.all(axis=1)
    fault[index] = np.where(intact, Fault.OK, Fault.CHECK)
    ticks = raw[intact] / FULL
    values = np.column_stack([-45.0 + 175.0 * ticks[:, 0], 100.0 * ticks[:, 1]])
    doubt = Mark.NOT_STABLE if _status(context) & HEATER else Mark.OK
    return Decoded(values, np.full(values.shape, doubt, np.uint8), index[intact], fault)


def _status(context: bytes) -> int:
    """Read the status register; 0, no doubt, where there is none or its CRC is wrong."""
    rows, _ = stack([context], 3)
    raw, fits = words(rows)
    return int(raw[0, 0]) if len(rows) and fits.all() else 0


def _is_status(reply: bytes) -> bool:
    """Tell whether this is a status word with its CRC and nothing in the bits 14, 12, 3 and 2, which are always 0."""
    rows, _ = stack([reply], 3)
    raw, fits = words(rows)
    return bool(len(rows) and fits.all() and not int(raw[0, 0]) & 0b0101_0000_0000_1100)


DRIVER = Driver(
    name="sht3x",
    domain="weather",
    model="Sensirion SHT3x, Sensirion SHT30, Sensirion SHT31, Sensirion SHT35, Sensirion SHT31-D",
    access=Poll((READ,), every_s=1.0, min_s=0.1),
    channels=(
        Channel("temperature", "Cel", lo=-45.0, hi=130.0, resolution=0.01),
        Channel("humidity", "%", lo=0.0, hi=100.0, resolution=0.01),
    ),
    source="Sensirion, Datasheet SHT3x-DIS",
    decode=decode,
    bus=I2c((0x44, 0x45), max_hz=1_000_000),
    setup=(STOP, HEATER_OFF, CLEAR_STATUS),
    chores=(Chore((STATUS,), every_s=60.0, phase_s=5.0),),
    commands=MappingProxyType(
        {command.name: command for command in (READ, STATUS, STOP, HEATER_OFF, CLEAR_STATUS)}
        | {name: Command(name, tx, rx, s if rx else 0.0, 0.0 if rx else s) for name, tx, rx, s in TABLE}
    ),
    # F3 2D asks for two bytes of status: an SHT4x at this address takes no command of two bytes.
    identify=Identify((STATUS,), _is_status),
    opcode=opcodes.sensirion,
)
