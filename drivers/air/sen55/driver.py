"""Sensirion SEN55 environmental node: particles, humidity, temperature, VOC and NOx index, new each second.

Source: Sensirion, datasheet SEN5x; sentinels and words checked against sensirion-i2c-sen5x 0.1.1.

    reply    hi lo crc  hi lo crc  ..                   16-bit words, big-endian, CRC-8 (31, FF) after each word
    03C4     PM1.0 PM2.5 PM4.0 PM10  u16 in 0.1 ug/m3   FFFF unknown, FFFE beyond the range
             RH i16 in 0.01 %   T i16 in 0.005 Cel   VOC, NOx i16 in 0.1         7FFF unknown; FFFF is -1
    D206     u32 status: bit 4 fan blocked, 5 laser, 6 RH/T, 7 gas, 19 cleaning, 21 fan speed
    0202     low byte 1: a new measurement is there
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from drivers import opcodes
from drivers.base import U1, Channel, Chore, Command, Decoded, Driver, Fault, I2c, Identify, Mark, Options, Poll
from drivers.checks import crc8, stack, words

SCALE = np.array([10.0, 10.0, 10.0, 10.0, 100.0, 200.0, 10.0, 10.0])
PM_BITS = 1 << 4 | 1 << 5 | 1 << 19 | 1 << 21  # fan, laser, cleaning, fan speed
DOUBTS = np.array([PM_BITS] * 4 + [1 << 6] * 2 + [1 << 7] * 2, np.uint32)  # which status bits touch which channel

# Ready within 10 x 20 ms + 9 x 20 ms: a slot is over, one way or the other, in less than half a second.
# Few tries: a value that comes later than this is found ready at once in the next slot, and every slot after it.
READY = Command("ready", b"\x02\x02", rx=3, wait_s=0.02, until=(1, 0xFF, 0x01), poll_s=0.02, tries=3, keep=False)
READ = Command("read", b"\x03\xc4", rx=24, wait_s=0.02)
STATUS = Command("status", b"\xd2\x06", rx=6, wait_s=0.02)
START = Command("start", b"\x00\x21", settle_s=0.05)
STOP = Command("stop", b"\x01\x04", settle_s=0.2)
STOP_IF_RUNNING = Command("stop", b"\x01\x04", settle_s=0.2, nack_ok=True)
NAME = Command("name", b"\xd0\x14", rx=48, wait_s=0.05)


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read eight channels; `context` is empty or the six bytes of the last status."""
    fault = np.full(len(frames), Fault.LENGTH, np.uint8)
    rows, index = stack(frames, 24)
    raw, fits = words(rows)
    intact = fits.all(axis=1)
    fault[index] = np.where(intact, Fault.OK, Fault.CHECK)
    raw = raw[intact]
    pm, other = raw[:, :4], raw[:, 4:].view(np.int16)
    missing = np.hstack([pm == 0xFFFF, other == 0x7FFF])
    values = np.where(missing, np.nan, np.hstack([pm.astype(float), other.astype(float)]) / SCALE)
    mark = np.zeros(values.shape, np.uint8)
    mark[:, (DOUBTS & _status(context)) != 0] = Mark.NOT_STABLE
    mark[:, :4][pm == 0xFFFE] = Mark.SATURATED
    mark[missing] = Mark.MISSING
    return Decoded(values, mark, index[intact], fault)


def _status(context: bytes) -> np.uint32:
    """Read the status register; 0, no doubt, where there is none or its CRC is wrong."""
    rows, _ = stack([context], 6)
    raw, fits = words(rows)
    if not len(rows) or not fits.all():
        return np.uint32(0)
    return np.uint32(int(raw[0, 0]) << 16 | int(raw[0, 1]))


def _is_sen5x(reply: bytes) -> bool:
    rows, _ = stack([reply], 48)
    triples: U1 = rows.reshape(-1, 3)
    name = triples[:, :2].tobytes()
    return name.startswith(b"SEN5") and bool((crc8(triples[:, :2]) == triples[:, 2]).all())


DRIVER = Driver(
    name="sen55",
    domain="air",
    model="Sensirion SEN55, Sensirion SEN54, Sensirion SEN50",
    access=Poll((READY, READ), every_s=1.0, min_s=1.0),
    channels=(
        Channel("pm1_0", "ug/m3", lo=0.0, hi=1000.0, resolution=0.1),
        Channel("pm2_5", "ug/m3", lo=0.0, hi=1000.0, resolution=0.1),
        Channel("pm4_0", "ug/m3", lo=0.0, hi=1000.0, resolution=0.1),
        Channel("pm10", "ug/m3", lo=0.0, hi=1000.0, resolution=0.1),
        Channel("humidity", "%", lo=0.0, hi=100.0, resolution=0.01),
        Channel("temperature", "Cel", lo=-40.0, hi=85.0, resolution=0.005),
        Channel("voc_index", "1", lo=1.0, hi=500.0, resolution=0.1),
        Channel("nox_index", "1", lo=1.0, hi=500.0, resolution=0.1),
    ),
    source="Sensirion, Datasheet SEN5x",
    decode=decode,
    bus=I2c((0x69,), max_hz=100_000),
    # A part that still measures refuses to start: stop first. The gas index keeps what it has learnt.
    setup=(STOP_IF_RUNNING, START),
    chores=(Chore((STATUS,), every_s=60.0, phase_s=5.0),),
    commands=MappingProxyType(
        {command.name: command for command in (START, STOP, READY, READ, STATUS, NAME)}
        | {
            "clear_status": Command("clear_status", b"\xd2\x10", settle_s=0.02),
            "clean": Command("clean", b"\x56\x07", settle_s=0.02),
            "serial": Command("serial", b"\xd0\x33", rx=48, wait_s=0.05),
            "version": Command("version", b"\xd1\x00", rx=12, wait_s=0.02),
            "read_voc_state": Command("read_voc_state", b"\x61\x81", rx=12, wait_s=0.02),
            "reset": Command("reset", b"\xd3\x04", settle_s=0.1),
        }
    ),
    identify=Identify((NAME,), _is_sen5x),
    shutdown=(STOP,),
    opcode=opcodes.sensirion,
)
