"""Garmin LIDAR-Lite v3 laser rangefinder: told to measure, waited for, read.

Source: Garmin, LIDAR-Lite v3 Operation Manual and Technical Specifications; Linux drivers/iio/proximity
pulsedlight-lidar-lite-v2.c; adafruit-circuitpython-lidarlite 1.3.14.

    00  4: measure, with correction of the receiver's bias; 3: without; 0: reset
    01  status: bit 0 busy  3 no valid echo  5 healthy  6 error
    8F  distance u16 BE in cm (0F, 10, with the bit that steps through registers)
    65  power: 0 on
    frame    status (1)  distance (2)

A register is written, and after a stop condition read: older units do not take a repeated start.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from drivers import opcodes
from drivers.base import Channel, Command, Decoded, Driver, Fault, I2c, Identify, Mark, Options, Poll
from drivers.checks import stack, verdicts

FRAME = np.dtype([("status", "u1"), ("distance", ">u2")])
BUSY, NO_ECHO, HEALTHY, ERROR = 0x01, 0x08, 0x20, 0x40
GAP_S = 0.0005  # between the two halves of reading a register


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read the distance in m: one row for each measurement that met something."""
    fault = np.full(len(frames), Fault.LENGTH, np.uint8)
    rows, index = stack(frames, FRAME.itemsize)
    fields = rows.view(FRAME)[:, 0]
    status = fields["status"]
    nobody = (rows == 0xFF).all(axis=1)  # a line that nobody drives reads as ones
    busy, error = (status & BUSY) > 0, (status & ERROR) > 0
    fault[index] = verdicts(Fault.OK, (nobody, Fault.SANITY), (busy, Fault.NOT_READY), (error, Fault.DEVICE))
    met = (fault[index] == Fault.OK) & ((status & NO_ECHO) == 0)
    mark = verdicts(Mark.NOT_STABLE, ((status[met] & HEALTHY) > 0, Mark.OK))
    return Decoded(fields["distance"][met][:, None] / 100.0, mark[:, None], index[met], fault)


def _is_one(reply: bytes) -> bool:
    """Tell whether a status is that of a healthy unit at rest."""
    return len(reply) == 1 and reply[0] & 0xE1 == HEALTHY


MEASURE = Command("measure", b"\x00\x04")
# 20 ms are the longest that a measurement takes; each question takes about 3 ms.
STATUS = Command("status", b"\x01", rx=1, wait_s=GAP_S, until=(0, BUSY, 0), poll_s=0.002, tries=12)
DISTANCE = Command("distance", b"\x8f", rx=2, wait_s=GAP_S)
RESET = Command("reset", b"\x00\x00", settle_s=0.05, nack_ok=True)  # it may let go of the bus before it acknowledges
POWER_ON = Command("power_on", b"\x65\x00", settle_s=0.03)
PRESENT = Command("present", b"\x01", rx=1, wait_s=GAP_S)

DRIVER = Driver(
    name="lidar_lite",
    domain="traffic",
    model="Garmin LIDAR-Lite_v3, Garmin LIDAR-Lite",
    access=Poll((MEASURE, STATUS, DISTANCE), every_s=0.1, min_s=0.05),
    channels=(Channel("distance", "m", lo=0.0, hi=40.0, resolution=0.01),),
    source="Garmin, LIDAR-Lite v3 Operation Manual and Technical Specifications",
    decode=decode,
    bus=I2c((0x62,), max_hz=400_000),
    setup=(RESET, POWER_ON),
    commands=MappingProxyType(
        {said.name: said for said in (MEASURE, STATUS, DISTANCE, RESET, POWER_ON)}
        | {
            "measure_without_bias": Command("measure_without_bias", b"\x00\x03"),
            "power_off": Command("power_off", b"\x65\x04"),
            "unit_id": Command("unit_id", b"\x96", rx=2, wait_s=GAP_S),
        }
    ),
    identify=Identify((PRESENT,), _is_one, sure=False),
    opcode=opcodes.one_byte,
)
