"""Winsen MH-Z19B infrared CO2 sensor: asked for its reading, and told not to recalibrate itself.

Source: Winsen, MH-Z19B User's Manual; arendst/Tasmota xsns_15_mhz19.ino for what the manual leaves open: bytes 4 to 7
of the reply, the place of the range, the reset.

    command  FF 01 code  b3 b4 b5 b6 b7  sum            sum = -(byte 1 + .. + byte 7), low byte; it may be 00
             86 read   79 self-calibration, b3 A0 on, 00 off   87 zero   88 span, b3 b4 ppm   99 range, b6 b7 ppm
    reply    FF 86 co2 u16 BE  T+40  S  U u16 BE  sum   co2 in [ppm]
             U 15000: it starts;  S 01: older versions start.  No other command has a reply
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import MappingProxyType

import numpy as np

from drivers import base, opcodes
from drivers.base import Channel, Chore, Command, Decoded, Driver, Duty, Fault, Identify, Mark, Option, Options, Poll
from drivers.checks import sift, stack, sum8, verdicts

FRAME = np.dtype(
    [("start", "u1"), ("code", "u1"), ("co2", ">u2"), ("t", "u1"), ("s", "u1"), ("u", ">u2"), ("sum", "u1")]
)
READ_CO2, SELF_CALIBRATE, ZERO, SPAN, RESET, RANGE = 0x86, 0x79, 0x87, 0x88, 0x8D, 0x99
STARTS_U, STARTS_S = 15_000, 1
RANGES_PPM = (2000, 5000, 10_000)
SPAN_GAS_PPM = 2000
SETTLE_S = 0.1
HALF_A_DAY_S = 43_200.0


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read CO2 in [ppm]; while the part starts, what it says is no measurement: WARM_UP."""
    rows, index = stack(frames, FRAME.itemsize)
    fields = rows.view(FRAME)[:, 0]
    intact = (fields["start"] == 0xFF) & (sum8(rows[:, 1:]) == 0)
    judged = verdicts(Fault.NOT_DATA, (~intact, Fault.CHECK), (fields["code"] == READ_CO2, Fault.OK))
    fault, index, fields = sift(len(frames), judged, index, fields)
    starts = (fields["u"] == STARTS_U) | (fields["s"] == STARTS_S)
    full = fields["co2"] >= _range_ppm(options)
    mark = verdicts(Mark.OK, (starts, Mark.WARM_UP), (full, Mark.SATURATED))
    return Decoded(fields["co2"].astype(np.float64)[:, None], mark[:, None], index, fault)


def _range_ppm(options: Options) -> int:
    range_ppm = options.get("range_ppm", 5000)
    return range_ppm if isinstance(range_ppm, int) and range_ppm in RANGES_PPM else 5000


def _tx(code: int, *data: int) -> bytes:
    body = bytes([0x01, code, *data]).ljust(7, b"\x00")
    return b"\xff" + body + bytes([-sum(body) & 0xFF])


def _self_calibrate(inputs: base.Inputs, options: Options) -> bytes:  # noqa: ARG001
    return _tx(SELF_CALIBRATE, 0xA0 if options.get("self_calibration") is True else 0x00)


def _set_range(inputs: base.Inputs, options: Options) -> bytes:  # noqa: ARG001
    return _tx(RANGE, 0, 0, 0, *_range_ppm(options).to_bytes(2, "big"))  # the manual says b3 b4; parts take b6 b7


_write = partial(Command, settle_s=SETTLE_S, drain=True)
READ = Command("read", _tx(READ_CO2), rx=FRAME.itemsize, timeout_s=0.5, expect=b"\xff\x86", drain=True)
SET_SELF_CALIBRATION = _write("set_self_calibration", _self_calibrate)


def _answers(reply: bytes) -> bool:
    return len(reply) == FRAME.itemsize and reply.startswith(b"\xff\x86") and sum(reply[1:]) & 0xFF == 0


DRIVER = Driver(
    name="mhz19",
    domain="air",
    model="Winsen MH-Z19B, Winsen MH-Z19C, Winsen MH-Z19",
    access=Poll((READ,), every_s=5.0, min_s=2.0),
    channels=(Channel("co2", "[ppm]", lo=0.0, hi=10_000.0, resolution=1.0),),
    source="Winsen, MH-Z19B User's Manual",
    decode=decode,
    bus=base.Uart((9600,)),
    setup=(SET_SELF_CALIBRATION,),
    # It forgets this when its supply fails, and then recalibrates itself a day later: say it again before that.
    chores=(Chore((SET_SELF_CALIBRATION,), every_s=HALF_A_DAY_S, phase_s=HALF_A_DAY_S),),
    duty=Duty(warm_up_s=180.0),
    options=(
        Option("self_calibration", bool, False, help="take the lowest reading of each day for 400 ppm (ABC)"),
        Option("range_ppm", int, 5000, "[ppm]", "the range that the part is set to", choices=RANGES_PPM),
    ),
    commands=MappingProxyType(
        {command.name: command for command in (READ, SET_SELF_CALIBRATION)}
        | {
            "self_calibration_on": _write("self_calibration_on", _tx(SELF_CALIBRATE, 0xA0)),
            "self_calibration_off": _write("self_calibration_off", _tx(SELF_CALIBRATE, 0x00)),
            "set_range": _write("set_range", _set_range),
            "zero": _write("zero", _tx(ZERO)),
            "span": _write("span", _tx(SPAN, *SPAN_GAS_PPM.to_bytes(2, "big"))),
            "reset": _write("reset", _tx(RESET)),
        }
    ),
    identify=Identify((READ,), _answers, sure=False),
    opcode=opcodes.winsen,
)
