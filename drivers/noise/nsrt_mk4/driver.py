"""Convergence Instruments NSRT_mk4_Dev sound level transducer: asked for the LEQ of each second over USB.

Source: Convergence Instruments, NSRT_mk4_Dev Communication Protocol, February 2025.

    command  cmd u32 LE (bit 31: read) | address u32 LE = 0 | count u32 LE | data to write (count bytes)
    reply    read: count bytes, nothing around them;  write: 06
             no head, no check, no length: stale input must go before each question
    level    float32 LE, dB
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from drivers import opcodes
from drivers.base import Channel, Command, Decoded, Driver, Fault, Identify, Kind, Options, Poll, Uart
from drivers.checks import sift, stack, verdicts

READ = 0x8000_0000
A_WEIGHTING = 1  # 0 is C, 2 is Z
PLAUSIBLE_DB = (0.0, 200.0)  # beyond: not a level, but bytes that are out of step


def _read(name: str, code: int, count: int) -> Command:
    return Command(name, struct.pack("<III", READ | code, 0, count), rx=count, timeout_s=0.5, drain=True)


def _write(name: str, code: int, data: bytes, settle_s: float) -> Command:
    tx = struct.pack("<III", code, 0, len(data)) + data
    return Command(name, tx, rx=1, timeout_s=1.0, settle_s=settle_s, expect=b"\x06", drain=True, keep=False)


LEQ = _read("read_leq", 0x11, 4)  # since the last time that it was read: reading it starts the next one
WEIGHTING = _read("read_weighting", 0x20, 1)
MODEL = _read("read_model", 0x31, 32)
# Replies have no head: that of an LEQ which came too late would be taken for the weighting, and no reading would count
# any more. Once it says who it is, nothing is under way.
IN_STEP = Command("in_step", MODEL.tx, rx=32, timeout_s=0.5, drain=True, tries=3, expect=b"NSRT", keep=False)
# The first LEQ would cover all the time that nobody asked: it is read and thrown away.
DISCARD_LEQ = Command("discard_leq", LEQ.tx, rx=4, timeout_s=0.5, drain=True, keep=False)


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read LAeq in dB; `context` is empty or the weighting: with another one than A the value is no LAeq."""
    rows, index = stack(frames, 4)
    with np.errstate(invalid="ignore"):  # a signalling NaN
        level_db = rows.view("<f4")[:, 0].astype(np.float64)
    true = (level_db >= PLAUSIBLE_DB[0]) & (level_db <= PLAUSIBLE_DB[1])
    judged = verdicts(Fault.SANITY, (true, Fault.OK))
    if context and context != bytes([A_WEIGHTING]):
        judged.fill(Fault.DEVICE)
    fault, index, level_db = sift(len(frames), judged, index, level_db)
    return Decoded(level_db[:, None], np.zeros((len(level_db), 1), np.uint8), index, fault)


def _is_nsrt(reply: bytes) -> bool:
    return reply.startswith(b"NSRT")


DRIVER = Driver(
    name="nsrt_mk4",
    domain="noise",
    model="Convergence Instruments NSRT_mk4_Dev, NSRT_mk4, NSRT_mk3_Dev, NSRT_mk3",
    access=Poll((LEQ,), every_s=1.0),
    channels=(Channel("laeq", "dB", Kind.LEVEL, lo=20.0, hi=140.0, resolution=0.01),),
    source="Convergence Instruments, NSRT_mk4_Dev Communication Protocol, February 2025",
    decode=decode,
    bus=Uart((115_200,)),  # USB: any rate will do
    setup=(IN_STEP, WEIGHTING, DISCARD_LEQ),
    commands=MappingProxyType(
        {command.name: command for command in (LEQ, WEIGHTING, MODEL)}
        | {
            "read_level": _read("read_level", 0x10, 4),
            "read_temperature": _read("read_temperature", 0x12, 4),
            "read_sampling_rate": _read("read_sampling_rate", 0x21, 2),
            "read_tau": _read("read_tau", 0x22, 4),
            "read_serial": _read("read_serial", 0x32, 32),
            "read_firmware": _read("read_firmware", 0x33, 32),
            # Kept in flash that bears 10000 writes: once per device, by hand. Then 10 x tau to settle.
            "set_a_weighting": _write("set_a_weighting", 0x20, bytes([A_WEIGHTING]), settle_s=10.0),
        }
    ),
    identify=Identify((MODEL,), _is_nsrt),
    opcode=opcodes.nsrt,
)
