"""Sensirion SHT4x humidity and temperature sensor: a command of one byte, and six bytes when it has measured.

Source: Sensirion, Datasheet SHT4x; commands and times as in zephyr drivers/sensor/sensirion/sht4x and
sensirion-i2c-sht4x.

    measure  FD high, F6 medium, E0 low repeatability; a read too early is not acknowledged
    reply    T hi lo crc  RH hi lo crc                  CRC-8 (31, FF) behind each word
             T = -45 + 175 w / 65535 Cel      RH = -6 + 125 w / 65535 %, cropped to 0 .. 100
    89       serial number, two words                   94 reset
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from drivers import opcodes
from drivers.base import Channel, Command, Decoded, Driver, Fault, I2c, Identify, Identity, Mark, Option, Options, Poll
from drivers.checks import serial_words, stack, words

FULL = 65535.0
MEASURE = MappingProxyType({"high": b"\xfd", "medium": b"\xf6", "low": b"\xe0"})
READ = Command("read", lambda _, o: MEASURE.get(str(o.get("repeatability")), b"\xfd"), rx=6, wait_s=0.010, tries=2)
SERIAL = Command("serial", b"\x89", rx=6, wait_s=0.001)
RESET = Command("reset", b"\x94", settle_s=0.001)
HEATERS = (
    ("200mw_1s", 0x39, 1.1), ("200mw_100ms", 0x32, 0.11), ("110mw_1s", 0x2F, 1.1),
    ("110mw_100ms", 0x24, 0.11), ("20mw_1s", 0x1E, 1.1), ("20mw_100ms", 0x15, 0.11),
)  # fmt: skip


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read temperature in Cel and relative humidity in %: one row for each intact reply."""
    fault = np.full(len(frames), Fault.LENGTH, np.uint8)
    rows, index = stack(frames, 6)
    raw, fits = words(rows)
    intact = fits.all(axis=1)
    fault[index] = np.where(intact, Fault.OK, Fault.CHECK)
    ticks = raw[intact] / FULL
    # Around saturation the formula gives up to 119 %: the datasheet has it cropped, and that is no fault of the part.
    values = np.column_stack([-45.0 + 175.0 * ticks[:, 0], np.clip(-6.0 + 125.0 * ticks[:, 1], 0.0, 100.0)])
    return Decoded(values, np.full(values.shape, Mark.OK, np.uint8), index[intact], fault)


def _intact(reply: bytes) -> bool:
    rows, _ = stack([reply], 6)
    raw, fits = words(rows)
    return bool(len(rows) and fits.all() and raw.any())


DRIVER = Driver(
    name="sht4x",
    domain="weather",
    model="Sensirion SHT4x, Sensirion SHT40, Sensirion SHT41, Sensirion SHT45",
    access=Poll((READ,), every_s=1.0, min_s=0.1),
    channels=(
        Channel("temperature", "Cel", lo=-40.0, hi=125.0, resolution=0.01),
        Channel("humidity", "%", lo=0.0, hi=100.0, resolution=0.01),
    ),
    source="Sensirion, Datasheet SHT4x",
    decode=decode,
    bus=I2c((0x44, 0x45, 0x46), max_hz=1_000_000),
    # The part has no modes: what a crash may have left is a heater pulse of at most one second.
    setup=(RESET,),
    options=(
        Option(
            "repeatability", str, "high", help="how long the part measures: 8.3, 4.5 or 1.6 ms", choices=tuple(MEASURE)
        ),
    ),
    commands=MappingProxyType(
        {command.name: command for command in (SERIAL, RESET)}
        | {f"measure_{name}": Command(f"measure_{name}", tx, rx=6, wait_s=0.010) for name, tx in MEASURE.items()}
        | {f"heat_{name}": Command(f"heat_{name}", bytes([tx]), rx=6, wait_s=wait) for name, tx, wait in HEATERS}
    ),
    # One byte with a reply of two words and their CRCs; an SHT3x does not acknowledge a command of one byte.
    identify=Identify((SERIAL,), _intact),
    identity=Identity((SERIAL,), serial_words),
    opcode=opcodes.one_byte,
)
