"""Benewake TF-Luna in I2C mode (pin 5 to ground when it is switched on): registers that hold the last measurement.

Source: Benewake, TF-Luna product manual A05, appendix III; register maps of ideocentric/tflunai2c and
AnesBenmerzoug/embedded-tfluna.

    00  distance u16 LE (cm)  strength u16  temperature i16 (0.01 Cel)  ticks u16 (ms)  error u16
    0A  version (3)   10  serial number (14)   3C  "LUNA"
    20  1 save   21  2 restart   23  mode: 0 by itself, 1 when fired   24  1 fire   25  1 measure   26  rate u16 (Hz)
    28  1 low power   29  1 factory settings
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from drivers import opcodes
from drivers.base import Channel, Command, Decoded, Driver, Fault, I2c, Identify, Mark, Options, Poll
from drivers.checks import stack, verdicts

FRAME = np.dtype([("distance", "<u2"), ("strength", "<u2"), ("temperature", "<i2"), ("ticks", "<u2"), ("error", "<u2")])
WEAK, OVEREXPOSED = 100, 65535  # strength: from WEAK on the distance can be relied on
NO_DISTANCE = 65532  # and beyond: -1 too weak, -2 saturated, -4 too much light around
PLAUSIBLE_CEL = (-60.0, 125.0)


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read distance in m, strength of the echo and temperature in Cel: one row for each block of registers."""
    fault = np.full(len(frames), Fault.LENGTH, np.uint8)
    rows, index = stack(frames, FRAME.itemsize)
    fields = rows.view(FRAME)[:, 0]
    temperature = fields["temperature"] / 100.0
    # A line that nobody drives reads as ones.
    true = (temperature >= PLAUSIBLE_CEL[0]) & (temperature <= PLAUSIBLE_CEL[1]) & ~(rows == 0xFF).all(axis=1)
    fault[index] = verdicts(Fault.SANITY, (true, Fault.OK))
    fields, temperature = fields[true], temperature[true]
    distance, strength = fields["distance"], fields["strength"]
    mark = np.zeros((len(fields), 3), np.uint8)
    mark[fields["error"] != 0, :2] = Mark.NOT_STABLE
    mark[strength == OVEREXPOSED, 1] = Mark.SATURATED
    mark[(strength < WEAK) | (strength == OVEREXPOSED) | (distance >= NO_DISTANCE), 0] = Mark.MISSING
    values = np.column_stack([distance / 100.0, strength, temperature])
    values[mark == Mark.MISSING] = np.nan
    return Decoded(values, mark, index[true], fault)


def _write(name: str, *data: int, settle_s: float = 0.01) -> Command:
    return Command(name, bytes(data), settle_s=settle_s)


READ = Command("read", b"\x00", rx=FRAME.itemsize)
SIGNATURE = Command("signature", b"\x3c", rx=4)
WORK = (
    _write("measure", 0x25, 1),
    _write("by_itself", 0x23, 0),
    _write("full_power", 0x28, 0),
    _write("rate_100_hz", 0x26, 100, 0, settle_s=0.1),
)

DRIVER = Driver(
    name="tfluna_i2c",
    domain="traffic",
    model="Benewake TF-Luna-I2C",
    access=Poll((READ,), every_s=0.1, min_s=0.01),
    channels=(
        Channel("distance", "m", lo=0.0, hi=8.0, resolution=0.01),
        Channel("strength", "1", lo=0.0, hi=65535.0, resolution=1.0),
        Channel("temperature", "Cel", lo=-40.0, hi=125.0, resolution=0.01),
    ),
    source="Benewake, TF-Luna product manual A05, appendix III",
    decode=decode,
    bus=I2c((0x10,), max_hz=400_000),
    setup=WORK,
    commands=MappingProxyType(
        {said.name: said for said in (READ, SIGNATURE, *WORK)}
        | {
            "version": Command("version", b"\x0a", rx=3),
            "serial": Command("serial", b"\x10", rx=14),
            "save": _write("save", 0x20, 1, settle_s=0.1),
            "restart": _write("restart", 0x21, 2, settle_s=1.0),
            "when_fired": _write("when_fired", 0x23, 1),
            "fire": _write("fire", 0x24, 1),
            "rest": _write("rest", 0x25, 0),
            "low_power": _write("low_power", 0x28, 1),
            "factory_settings": _write("factory_settings", 0x29, 1, settle_s=1.0),
        }
    ),
    identify=Identify((SIGNATURE,), lambda reply: reply == b"LUNA"),
    opcode=opcodes.one_byte,
)
