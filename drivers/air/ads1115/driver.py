"""Texas Instruments ADS1115 converter: four inputs against ground, one single-shot conversion each.

Source: Texas Instruments, Data sheet ADS111x, SBAS444, sections 7.4 (modes), 7.6 (registers).

    00  conversion  i16 BE, in full scale / 32768       7FFF, 8000: at the end of the scale
    01  config      OS MUX(3) PGA(3) MODE               OS: write 1 to convert, read 1 when done;  MODE 1: single-shot
                    DR(3) 00011                         MUX 4..7: input 0..3 to ground;  00011: comparator off
    02  03          thresholds of the comparator        8000, 7FFF after a reset
    frame  config conversion, four times: the config as it was when the conversion was done
Reset, config is 8583. A part that was reset, or told something else, in the middle shows it there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import MappingProxyType

import numpy as np

from drivers import base, opcodes
from drivers.base import Channel, Command, Decoded, Driver, Fault, I2c, Identify, Mark, Option, Options, Poll
from drivers.checks import stack

FRAME = np.dtype([("config", ">u2"), ("raw", ">i2")])
INPUTS = 4
MUX_TO_GROUND = np.arange(4, 4 + INPUTS)
FULL_SCALE_V = MappingProxyType({6.144: 0, 4.096: 1, 2.048: 2, 1.024: 3, 0.512: 4, 0.256: 5})  # -> PGA
SCALE_V = np.array([*FULL_SCALE_V, 0.256, 0.256])
RATES_SPS = MappingProxyType({8: 0, 16: 1, 32: 2, 64: 3, 128: 4, 250: 5, 475: 6, 860: 7})  # -> DR
DONE, SINGLE_SHOT, NO_COMPARATOR = 1 << 15, 1 << 8, 0b00011
MUX_BITS, FIXED_BITS = 0b111 << 12, DONE | SINGLE_SHOT | 0b11111


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read four voltages; what the config says of a conversion must be what was asked for, and alike for all four."""
    fault = np.full(len(frames), Fault.LENGTH, np.uint8)
    rows, index = stack(frames, INPUTS * FRAME.itemsize)
    fields = rows.view(FRAME)
    config = fields["config"].astype(np.int64)
    asked = (config & FIXED_BITS) == DONE | SINGLE_SHOT | NO_COMPARATOR
    asked &= (config & MUX_BITS) >> 12 == MUX_TO_GROUND
    asked &= (config & ~MUX_BITS) == (config[:, :1] & ~MUX_BITS)
    kept = asked.all(axis=1)
    fault[index] = np.where(kept, Fault.OK, Fault.DEVICE)
    raw, config = fields["raw"][kept].astype(np.float64), config[kept]
    values = raw * SCALE_V[config >> 9 & 0b111] / 32768.0
    mark = np.where((raw == 32767) | (raw == -32768), Mark.SATURATED, Mark.OK).astype(np.uint8)
    return Decoded(values, mark, index[kept], fault)


def _start(mux: int, inputs: base.Inputs, options: Options) -> bytes:  # noqa: ARG001
    scale, rate = options.get("full_scale", 2.048), options.get("rate", 128)
    pga = FULL_SCALE_V.get(scale, 2) if isinstance(scale, float) else 2
    dr = RATES_SPS.get(rate, 4) if isinstance(rate, int) else 4
    config = DONE | mux << 12 | pga << 9 | SINGLE_SHOT | dr << 5 | NO_COMPARATOR
    return b"\x01" + config.to_bytes(2, "big")


# At the usual rate a conversion takes 7.8 ms and may be a tenth slower: asking before is in vain. The slowest takes
# 125 ms; for the faster ones these few milliseconds are nothing, of a second.
CONVERT = tuple(Command(f"convert_{i}", partial(_start, 4 + i), settle_s=0.0087) for i in range(INPUTS))
READY = Command("ready", b"\x01", rx=2, until=(0, DONE >> 8, DONE >> 8), poll_s=0.003, tries=50)
READ = Command("read", b"\x00", rx=2)
CONFIG = Command("config", b"\x01", rx=2)
THRESHOLDS = (Command("low_threshold", b"\x02", rx=2), Command("high_threshold", b"\x03", rx=2))


def _is_ads111x(reply: bytes) -> bool:
    """Know it by the comparator, which is off, and by its thresholds, which nobody has touched."""
    return len(reply) == 6 and reply[1] & 0b11111 == NO_COMPARATOR and reply[2:] == b"\x80\x00\x7f\xff"


DRIVER = Driver(
    name="ads1115",
    domain="air",
    model="Texas Instruments ADS1115",
    access=Poll(tuple(step for start in CONVERT for step in (start, READY, READ)), every_s=1.0, min_s=1.0),
    channels=tuple(Channel(f"v{i}", "V", lo=-6.144, hi=6.144, resolution=2.048 / 32768) for i in range(INPUTS)),
    source="Texas Instruments, Data sheet ADS111x, SBAS444",
    decode=decode,
    bus=I2c((0x48, 0x49, 0x4A, 0x4B), max_hz=400_000),
    options=(
        Option(
            "full_scale", float, 2.048, "V", "end of the scale; no input may exceed the supply", tuple(FULL_SCALE_V)
        ),
        Option("rate", int, 128, "1/s", "conversions per second: a slow one averages more noise", tuple(RATES_SPS)),
    ),
    commands=MappingProxyType(
        {command.name: command for command in (*CONVERT, READY, READ, CONFIG, *THRESHOLDS)}
        | {"convert_0_1": Command("convert_0_1", partial(_start, 0))}
    ),
    identify=Identify((CONFIG, *THRESHOLDS), _is_ads111x, sure=False),
    opcode=opcodes.one_byte,
)
