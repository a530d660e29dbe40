"""DNMS, the noise sensor of sensor.community: asked for LAeq, LAmin and LAmax since it was asked last.

Source: hbitter/DNMS, firmware 2.1.5 and 6.0 for Teensy 4.0; opendata-stuttgart/sensors-software dnms_i2c.

    0001 reset   0003 close the interval and open the next   001B 001C which microphone (firmware 6)
    0002 version   18 letters, "DNMS Version .."                               27 bytes
    0004 ready     1: the closed interval can be read                          3 bytes
    0005 levels    LAeq LAmin LAmax, float32 BE, dB;  0011 LZ.., 0020 LC..     18 bytes
    each reply: hi lo crc  hi lo crc  ..                CRC-8 (31, FF) after each word
A level of exactly 0 was never set: the interval held no sound, or was read before.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from drivers import opcodes
from drivers.base import Channel, Command, Decoded, Driver, Fault, I2c, Identify, Kind, Mark, Options, Poll
from drivers.checks import floats, stack, words

LEVELS_SIZE, VERSION_SIZE = 18, 27
PLAUSIBLE_DB = (-20.0, 200.0)
PAUSE_S = 0.001  # from the question to the answer: a stop lies between


def _ask(name: str, code: int, size: int) -> Command:
    return Command(name, code.to_bytes(2, "big"), rx=size, wait_s=PAUSE_S)


def _do(name: str, code: int, settle_s: float) -> Command:
    return Command(name, code.to_bytes(2, "big"), settle_s=settle_s)


VERSION, LEVELS = _ask("version", 0x0002, VERSION_SIZE), _ask("levels", 0x0005, LEVELS_SIZE)
RESET = _do("reset", 0x0001, settle_s=1.5)  # it starts within a second, and then throws its first samples away
# An interval is closed with the next block of samples: 35 ms long at firmware 2, 93 ms at firmware 6. Who asks more
# often than this hears "not yet" the more often, and keeps the bus from others.
LOOK_S = 0.015
CLOSE = _do("close_interval", 0x0003, settle_s=LOOK_S)
READY = Command("ready", b"\x00\x04", rx=3, wait_s=PAUSE_S, until=(1, 0xFF, 1), poll_s=LOOK_S, tries=9, keep=False)


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read LAeq, LAmin, LAmax in dB; `context` is empty or the version, which begins with DNMS."""
    fault = np.full(len(frames), Fault.LENGTH, np.uint8)
    rows, index = stack(frames, LEVELS_SIZE)
    raw, fits = words(rows)
    level_db = floats(raw)
    true = ((level_db >= PLAUSIBLE_DB[0]) & (level_db <= PLAUSIBLE_DB[1])).all(axis=1)
    stranger = bool(context) and not _is_dnms(context[:VERSION_SIZE])
    verdict = Fault.DEVICE if stranger else Fault.OK
    fault[index] = np.select([~fits.all(axis=1), ~true], [Fault.CHECK, Fault.SANITY], verdict)
    good = fault[index] == Fault.OK
    level_db = level_db[good]
    never_set = level_db == 0.0
    mark = np.where(never_set, Mark.MISSING, Mark.OK).astype(np.uint8)
    return Decoded(np.where(never_set, np.nan, level_db), mark, index[good], fault)


def _is_dnms(reply: bytes) -> bool:
    rows, _ = stack([reply], VERSION_SIZE)
    raw, fits = words(rows)
    return bool(len(rows) and fits.all()) and raw.astype(">u2").tobytes().startswith(b"DNMS")


DRIVER = Driver(
    name="dnms",
    domain="noise",
    model="sensor.community DNMS",
    access=Poll((CLOSE, READY, LEVELS), every_s=1.0, min_s=1.0),
    channels=tuple(
        Channel(name, "dB", Kind.LEVEL, lo=20.0, hi=130.0, resolution=0.01) for name in ("laeq", "la_min", "la_max")
    ),
    source="hbitter/DNMS firmware for Teensy; opendata-stuttgart/sensors-software dnms_i2c",
    decode=decode,
    bus=I2c((0x55,), max_hz=100_000),
    # The reset ends the interval that has run since nobody asked, and brings back a part that hangs.
    setup=(VERSION, RESET),
    commands=MappingProxyType(
        {command.name: command for command in (VERSION, RESET, CLOSE, READY, LEVELS)}
        | {
            "levels_z": _ask("levels_z", 0x0011, LEVELS_SIZE),
            "levels_c": _ask("levels_c", 0x0020, LEVELS_SIZE),
            "microphone_ics43434": _do("microphone_ics43434", 0x001B, settle_s=3.0),
            "microphone_im72d128": _do("microphone_im72d128", 0x001C, settle_s=3.0),
        }
    ),
    identify=Identify((VERSION,), _is_dnms),
    opcode=opcodes.sensirion,
)
