"""Benewake TFmini-S, TF-Luna and TFmini-Plus on a serial port: a distance a hundred times a second.

Source: Benewake, TF-Luna product manual A05 (appendices I and II), TFmini-S product manual, TFmini-Plus data sheet.

    frame    59 59  distance u16 LE (cm)  strength u16 LE  temperature u16 LE (1/8 Cel, + 256)  sum u8    9 bytes
             sum: low byte of the sum of all before it; 59 59 may also stand inside a frame
             TFmini, the first one, has mode and 00 where the others have the temperature
    command  5A  length  code  value ..  sum       length: of all; replies look alike. Forgotten without `save`
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from drivers import opcodes
from drivers.base import U1, Channel, Command, Decoded, Driver, Fault, Identify, Mark, Options, Stream, Uart
from drivers.checks import ends_in_sum8, lengths, stack, verdicts
from drivers.framing import SizedFramer

FRAME = np.dtype(
    [("head", "u1", (2,)), ("distance", "<u2"), ("strength", "<u2"), ("temperature", "<u2"), ("sum", "u1")]
)
WEAK, OVEREXPOSED = 100, 65535  # strength: from WEAK on the distance can be relied on
NO_DISTANCE = 65532  # and beyond: -1 too weak, -2 saturated, -4 too much light around
NO_TEMPERATURE = 256  # below: -224 Cel; it is the mode of a first TFmini
PERIOD_S = 0.01
CODES = MappingProxyType(
    {"version": 0x01, "soft_reset": 0x02, "set_rate": 0x03, "fire": 0x04, "set_format": 0x05, "set_output": 0x07}
    | {"factory_settings": 0x10, "save": 0x11}
)
REPLIES = (
    b"\x5a\x07\x01",
    b"\x5a\x05\x02",
    b"\x5a\x06\x03",
    b"\x5a\x05\x05",
    b"\x5a\x05\x07",
    b"\x5a\x05\x10",
    b"\x5a\x05\x11",
)


def _intact(rows: U1) -> npt.NDArray[np.bool_]:
    return ends_in_sum8(rows)


FRAMER = SizedFramer(
    heads=(b"\x59\x59", *REPLIES),
    need=3,
    size=lambda begin: FRAME.itemsize if begin[0] == 0x59 else begin[1],
    check=lambda frame: sum(frame[:-1]) & 0xFF == frame[-1],
    max_length=FRAME.itemsize,
    check_rows=_intact,
)


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read distance in m, strength of the echo and temperature in Cel: one row for each intact frame."""
    fault = np.full(len(frames), Fault.LENGTH, np.uint8)
    for length in lengths(frames) & {reply[1] for reply in REPLIES}:
        rows, index = stack(frames, length)
        reply = (rows[:, 0] == 0x5A) & (rows[:, 1] == length) & _intact(rows)
        fault[index] = verdicts(Fault.CHECK, (reply, Fault.NOT_DATA))
    rows, index = stack(frames, FRAME.itemsize)
    good = (rows[:, 0] == 0x59) & (rows[:, 1] == 0x59) & _intact(rows)
    fault[index] = verdicts(Fault.CHECK, (good, Fault.OK))
    fields = rows.view(FRAME)[:, 0][good]
    distance, strength, temperature = fields["distance"], fields["strength"], fields["temperature"]
    mark = np.zeros((len(fields), 3), np.uint8)
    mark[(strength < WEAK) | (strength == OVEREXPOSED) | (distance >= NO_DISTANCE), 0] = Mark.MISSING
    mark[strength == OVEREXPOSED, 1] = Mark.SATURATED
    mark[temperature < NO_TEMPERATURE, 2] = Mark.MISSING
    values = np.column_stack([distance / 100.0, strength, temperature / 8.0 - 256.0])
    values[mark == Mark.MISSING] = np.nan
    return Decoded(values, mark, index[good], fault, np.full(len(fields), PERIOD_S))


def _say(name: str, value: bytes = b"", drain: bool = False, told: str = "") -> Command:
    """Make a command; its reply comes back inside the stream, so none is awaited here."""
    body = bytes([0x5A, 4 + len(value), CODES[name]]) + value
    return Command(told or name, body + bytes([sum(body) & 0xFF]), settle_s=0.1, drain=drain)


OUTPUT, CENTIMETRES = _say("set_output", b"\x01", drain=True), _say("set_format", b"\x01")
RATE = _say("set_rate", b"\x64\x00")

DRIVER = Driver(
    name="tfmini",
    domain="traffic",
    model="Benewake TFmini-S, Benewake TF-Luna, Benewake TFmini-Plus, Benewake TFmini",
    # Ten frames to a slot: they come out of a port by the handful, and a clock of its own drives each part.
    access=Stream(FRAMER, nominal_s=0.1, idle_s=2.0, alive=(OUTPUT, RATE)),
    channels=(
        Channel("distance", "m", lo=0.0, hi=12.0, resolution=0.01),
        Channel("strength", "1", lo=0.0, hi=65535.0, resolution=1.0),
        Channel("temperature", "Cel", lo=-40.0, hi=125.0, resolution=0.125),
    ),
    source="Benewake, TF-Luna product manual A05; TFmini-S product manual",
    decode=decode,
    bus=Uart((115_200, 9_600, 19_200, 38_400, 57_600, 230_400, 460_800, 921_600)),
    setup=(OUTPUT, CENTIMETRES, RATE),
    commands=MappingProxyType(
        {said.name: said for said in (OUTPUT, CENTIMETRES, RATE)}
        | {name: _say(name) for name in ("version", "soft_reset", "fire", "factory_settings", "save")}
        | {"wait_for_fire": _say("set_rate", b"\x00\x00", told="wait_for_fire")}
    ),
    identify=Identify((Command("listen", rx=FRAMER, timeout_s=0.5),), lambda frame: frame.startswith(b"\x59\x59")),
    opcode=opcodes.benewake,
)
