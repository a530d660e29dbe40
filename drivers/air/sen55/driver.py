"""Sensirion SEN55 environmental node: particles, humidity, temperature, VOC and NOx index, new each second.

Source: Sensirion, datasheet SEN5x; sentinels and words checked against sensirion-i2c-sen5x 0.1.1.

    reply    hi lo crc  hi lo crc  ..                   16-bit words, big-endian, CRC-8 (31, FF) after each word
    03C4     PM1.0 PM2.5 PM4.0 PM10  u16 in 0.1 ug/m3   FFFF unknown, FFFE beyond the range
             RH i16 in 0.01 %   T i16 in 0.005 Cel   VOC, NOx i16 in 0.1         7FFF unknown; FFFF is -1
    D206     u32 status: bit 4 fan blocked, 5 laser, 6 RH/T, 7 gas, 19 cleaning, 21 fan speed; D210 the same, and clears
    0202     low byte 1: a new measurement is there
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from drivers import opcodes
from drivers.base import Channel, Chore, Command, Decoded, Driver, Fault, I2c, Identify, Identity, Mark, Options, Poll
from drivers.checks import register, serial_text, sift, stack, text, verdicts, words

SCALE = np.array([10.0, 10.0, 10.0, 10.0, 100.0, 200.0, 10.0, 10.0])
PM_BITS = 1 << 4 | 1 << 5 | 1 << 19 | 1 << 21  # fan, laser, cleaning, fan speed
DOUBTS = np.array([PM_BITS] * 4 + [1 << 6] * 2 + [1 << 7] * 2, np.uint32)  # which status bits touch which channel
ANY_DOUBT = int(np.bitwise_or.reduce(DOUBTS))
UNKNOWN = np.array([0xFFFF] * 4 + [0x7FFF] * 4, np.uint16)
BEYOND = np.array([0xFFFE] * 4 + [0x7FFF] * 4, np.uint16)  # said of particles alone

# Ready within 10 x 20 ms + 9 x 20 ms: a slot is over, one way or the other, in less than half a second.
# Few tries: a value that comes later than this is found ready at once in the next slot, and every slot after it.
READY = Command("ready", b"\x02\x02", rx=3, wait_s=0.02, until=(1, 0xFF, 0x01), poll_s=0.02, tries=3, keep=False)
READ = Command("read", b"\x03\xc4", rx=24, wait_s=0.02)
STATUS = Command("status", b"\xd2\x06", rx=6, wait_s=0.02)
# Reads and clears: bits of the status stay until then, also when what they speak of is long over.
CLEAR = Command("clear_status", b"\xd2\x10", rx=6, wait_s=0.02, nack_ok=True, keep=False)
START = Command("start", b"\x00\x21", settle_s=0.05)
STOP = Command("stop", b"\x01\x04", settle_s=0.2)
STOP_IF_RUNNING = Command("stop", b"\x01\x04", settle_s=0.2, nack_ok=True)
NAME = Command("name", b"\xd0\x14", rx=48, wait_s=0.05)


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read eight channels; `context` is empty or the six bytes of the last status."""
    rows, index = stack(frames, 24)
    raw, fits = words(rows)
    judged = verdicts(Fault.CHECK, (np.logical_and.reduce(fits, axis=1), Fault.OK))
    fault, index, raw = sift(len(frames), judged, index, raw)
    missing = raw == UNKNOWN
    values = raw.astype(np.float64)
    values[:, 4:] = raw[:, 4:].view(np.int16)
    values /= SCALE
    values[missing] = np.nan
    mark = verdicts(Mark.OK, (missing, Mark.MISSING), (raw == BEYOND, Mark.SATURATED))
    if status := register(context, 2) & ANY_DOUBT:
        mark[(mark == 0) & (DOUBTS & status != 0)] = Mark.NOT_STABLE
    return Decoded(values, mark, index, fault)


def _is_sen5x(reply: bytes) -> bool:
    return len(reply) == NAME.rx and text(reply).startswith(b"SEN5")


SERIAL = Command("serial", b"\xd0\x33", rx=48, wait_s=0.05)
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
    setup=(STOP_IF_RUNNING, CLEAR, START),
    chores=(Chore((STATUS,), every_s=60.0, phase_s=5.0),),
    commands=MappingProxyType(
        {command.name: command for command in (START, STOP, READY, READ, STATUS, CLEAR, NAME)}
        | {
            "clean": Command("clean", b"\x56\x07", settle_s=0.02),
            "serial": SERIAL,
            "version": Command("version", b"\xd1\x00", rx=12, wait_s=0.02),
            "read_voc_state": Command("read_voc_state", b"\x61\x81", rx=12, wait_s=0.02),
            "reset": Command("reset", b"\xd3\x04", settle_s=0.1),
        }
    ),
    identify=Identify((NAME,), _is_sen5x),
    identity=Identity((SERIAL,), serial_text),
    shutdown=(STOP,),
    opcode=opcodes.sensirion,
)
