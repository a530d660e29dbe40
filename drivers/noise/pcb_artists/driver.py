"""PCB Artists decibel meter module: asked each second for its level, together with the settings that it was made with.

Source: PCB Artists, Decibel Meter Module Programming Manual, 2024, as transcribed in EngJay/pa-spl 979d698.

    00     version: hardware, firmware (4 bits each)    31 32 33 microphone on board, 81 on a cable
    01-04  identity   05 scratch, AA after a reset
    06     control: bits 2:1 filter (0 none, 1 A, 2 C), 3 interrupt, 4 its kind, 0 power down (ended by a reset alone)
    07 08  averaging time u16 BE, ms; writing 08 makes it count
    09     write 08 reset, 04 clear history, 02 clear minimum and maximum, 01 clear interrupt
    0A     level u8, dB; 0: none yet    0B 0C minimum, maximum since they were cleared
    frame  control  averaging time  level               4 bytes, read in two; there is no check
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from drivers import base, opcodes
from drivers.base import Channel, Command, Decoded, Driver, Duty, Fault, I2c, Identify, Kind, Mark, Option, Options
from drivers.checks import stack

FRAME = np.dtype([("control", "u1"), ("averaging_ms", ">u2"), ("level", "u1")])
FILTERS = MappingProxyType({"A": 1, "C": 2, "Z": 0})
AVERAGING_MS = (125, 1000)  # fast and slow
VERSIONS = (0x31, 0x32, 0x33, 0x81)


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read the level in dB; settings that are not those of the site show a part that was reset, or is off."""
    fault = np.full(len(frames), Fault.LENGTH, np.uint8)
    rows, index = stack(frames, FRAME.itemsize)
    fields = rows.view(FRAME)[:, 0]
    as_set = (fields["control"] == _control(options)) & (fields["averaging_ms"] == _averaging_ms(options))
    fault[index] = np.where(as_set, Fault.OK, Fault.DEVICE)
    level_db = fields["level"][as_set].astype(np.float64)[:, None]
    none_yet = level_db == 0.0
    mark = np.where(none_yet, Mark.MISSING, Mark.OK).astype(np.uint8)
    return Decoded(np.where(none_yet, np.nan, level_db), mark, index[as_set], fault)


def _control(options: Options) -> int:
    weighting = options.get("weighting", "A")
    return FILTERS.get(weighting, 1) << 1 if isinstance(weighting, str) else FILTERS["A"] << 1


def _averaging_ms(options: Options) -> int:
    averaging_ms = options.get("averaging_ms", 1000)
    return averaging_ms if isinstance(averaging_ms, int) and averaging_ms in AVERAGING_MS else 1000


def _set_control(inputs: base.Inputs, options: Options) -> bytes:  # noqa: ARG001
    return bytes([0x06, _control(options)])


def _set_high(inputs: base.Inputs, options: Options) -> bytes:  # noqa: ARG001
    return bytes([0x07, _averaging_ms(options) >> 8])


def _set_low(inputs: base.Inputs, options: Options) -> bytes:  # noqa: ARG001
    return bytes([0x08, _averaging_ms(options) & 0xFF])


VERSION, IDENTITY = Command("version", b"\x00", rx=1), Command("identity", b"\x01", rx=4)
SCRATCH = Command("scratch", b"\x05", rx=1)
SETTINGS, LEVEL = Command("settings", b"\x06", rx=3), Command("level", b"\x0a", rx=1)
RESET = Command("reset", b"\x09\x08", settle_s=0.05)  # ready 5 ms after power-up; also the one way out of power down
SET = tuple(
    Command(name, tx, settle_s=0.005)
    for name, tx in (("set_weighting", _set_control), ("set_averaging_high", _set_high), ("set_averaging", _set_low))
)
CLEAR = Command("clear", b"\x09\x06", settle_s=0.005)


def _is_decibel_meter(reply: bytes) -> bool:
    """Know it by version and scratch; an ADS1115 or a thermometer at this address has no sixth register."""
    return len(reply) == 6 and reply[0] in VERSIONS and reply[1:5] not in (bytes(4), b"\xff" * 4) and reply[5] == 0xAA


DRIVER = Driver(
    name="pcb_artists",
    domain="noise",
    model="PCB Artists I2C-decibel-meter",
    access=base.Poll((SETTINGS, LEVEL), every_s=1.0, min_s=0.2),
    channels=(Channel("level", "dB", Kind.LEVEL, lo=30.0, hi=130.0, resolution=1.0),),
    source="PCB Artists, Decibel Meter Module Programming Manual, 2024",
    decode=decode,
    bus=I2c((0x48,), max_hz=100_000),
    setup=(RESET, *SET, CLEAR),
    duty=Duty(warm_up_s=2.0),  # a level takes a second to settle, and a new filter one averaging time
    options=(
        Option("weighting", str, "A", help="frequency weighting", choices=tuple(FILTERS)),
        Option("averaging_ms", int, 1000, "ms", "averaging time: 125 is fast, 1000 is slow", choices=AVERAGING_MS),
    ),
    commands=MappingProxyType(
        {command.name: command for command in (VERSION, IDENTITY, SCRATCH, SETTINGS, LEVEL, RESET, *SET, CLEAR)}
        | {
            "averaging": Command("averaging", b"\x07", rx=2),
            "levels": Command("levels", b"\x0a", rx=3),
            "thresholds": Command("thresholds", b"\x0d", rx=2),
            "history": Command("history", b"\x14", rx=100),
        }
    ),
    identify=Identify((VERSION, IDENTITY, SCRATCH), _is_decibel_meter),
    opcode=opcodes.one_byte,
)
