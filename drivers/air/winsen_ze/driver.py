"""Winsen ZE07-CO, ZE07-CH2O, ZE08-CH2O and ZE25-O3 gas modules: each sends one frame a second for its one gas.

Source: Winsen, User's Manuals ZE07-CO, ZE07-CH2O (tables 4 to 8), ZE08-CH2O; ZE25-O3 as lukas-kurka/winsen-sensors-lib
5443f1f and IlorDash/HAQuDA read it.

    active   FF gas unit decimals  value u16 BE  range u16 BE  sum     value and range in 10^-decimals of the unit
             gas 04 CO, 17 CH2O, 2A O3;  unit 02 mg/m3, 03 [ppm], 04 [ppb]
    answer   FF 86  ug/m3 u16 BE  00 00  ppb u16 BE  sum               of the CH2O modules, to the question 86
    command  FF 01 code  b3 .. b7  sum                                 78 mode: b3 40 active, 41 answers;  86 read
             sum = -(byte 1 + .. + byte 7), low byte
All have one shape, so no frame is ever taken for another gas or another unit than that of the driver.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drivers import opcodes
from drivers.base import U1, Channel, Command, Decoded, Driver, Duty, Fault, Identify, Mark, Options, Stream, Uart
from drivers.checks import sift, stack, sum8, table, verdicts
from drivers.framing import HeadedFramer

FRAME = np.dtype(
    {
        "names": ["start", "gas", "gas_and_unit", "decimals", "value", "range", "sum"],
        "formats": ["u1", "u1", "<u2", "u1", ">u2", ">u2", "u1"],
        "offsets": [0, 1, 1, 3, 4, 6, 8],
    }
)
CO, CH2O, O3, ANSWER, MODE = 0x04, 0x17, 0x2A, 0x86, 0x78
PPM, PPB = 0x03, 0x04
MOST_DECIMALS = 3
REPLIES = table(Fault.SANITY, {ANSWER: Fault.NOT_DATA, MODE: Fault.NOT_DATA})
DIVISORS = 10.0 ** np.minimum(np.arange(256), MOST_DECIMALS)


class Gas(NamedTuple):
    """What the frames of one module say; `answers`: its answer to 86 is known."""

    code: int
    unit: int
    answers: bool = False


def _intact(frame: bytes) -> bool:
    return sum(frame[1:]) & 0xFF == 0


def _intact_rows(rows: U1) -> npt.NDArray[np.bool_]:
    good: npt.NDArray[np.bool_] = np.logical_not(sum8(rows[:, 1:]))
    return good


HEADS = tuple(bytes([0xFF, second]) for second in (CO, CH2O, O3, ANSWER, MODE))
FRAMER = HeadedFramer(HEADS, FRAME.itemsize, _intact, _intact_rows)


def _decode(gas: Gas, frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read the concentration in the unit of the channel: one row for each frame of this gas."""
    rows, index = stack(frames, FRAME.itemsize)
    fields = rows.view(FRAME)[:, 0]
    judged = REPLIES.take(fields["gas"])
    if gas.answers:
        judged[fields["gas"] == ANSWER] = Fault.OK
    ours = fields["gas_and_unit"] == gas.code | gas.unit << 8
    judged[ours & (fields["decimals"] <= MOST_DECIMALS)] = Fault.OK
    judged[(fields["start"] != 0xFF) | ~_intact_rows(rows)] = Fault.CHECK
    fault, index, fields = sift(len(frames), judged, index, fields)
    reading, span = fields["value"].astype(np.float64), fields["range"].astype(np.float64)
    value, full = reading / DIVISORS.take(fields["decimals"]), (reading >= span) & (span > 0)
    if gas.answers:
        answer = fields["gas"] == ANSWER
        value[answer], full[answer] = span[answer], False
    mark = verdicts(Mark.OK, (full, Mark.SATURATED))
    return Decoded(value[:, None], mark[:, None], index, fault)


def _tx(code: int, b3: int = 0) -> bytes:
    body = bytes([0x01, code, b3]).ljust(7, b"\x00")
    return b"\xff" + body + bytes([-sum(body) & 0xFF])


ACTIVE = Command("active", _tx(MODE, 0x40), settle_s=0.1)  # what is answered comes in the stream
ANSWERS = Command("answers", _tx(MODE, 0x41), settle_s=0.1)
READ = Command("read", _tx(ANSWER), settle_s=0.1)


def _is_of(code: int, frame: bytes) -> bool:
    return len(frame) == FRAME.itemsize and frame.startswith(bytes([0xFF, code])) and _intact(frame)


def _driver(name: str, model: str, gas: Gas, channel: Channel, *, sure: bool) -> Driver:
    return Driver(
        name=name,
        domain="air",
        model=f"Winsen {model}",
        access=Stream(FRAMER, nominal_s=1.0, idle_s=5.0, alive=(ACTIVE,)),
        channels=(channel,),
        source=f"Winsen, {model} User's Manual",
        decode=partial(_decode, gas),
        bus=Uart((9600,)),
        setup=(ACTIVE,),
        duty=Duty(warm_up_s=180.0),
        commands=MappingProxyType({command.name: command for command in (ACTIVE, ANSWERS, READ)}),
        identify=Identify((Command("listen", rx=FRAMER, timeout_s=2.5),), partial(_is_of, gas.code), sure=sure),
        opcode=opcodes.winsen,
        family="winsen_ze",
    )


CH2O_PPB = Gas(CH2O, PPB, answers=True)
HCHO = Channel("hcho", "[ppb]", lo=0.0, hi=5000.0, resolution=1.0)
ZE07_CO = _driver(
    "ze07_co", "ZE07-CO", Gas(CO, PPM), Channel("co", "[ppm]", lo=0.0, hi=500.0, resolution=0.1), sure=True
)
ZE07_CH2O = _driver("ze07_ch2o", "ZE07-CH2O", CH2O_PPB, HCHO, sure=False)
ZE08_CH2O = _driver("ze08_ch2o", "ZE08-CH2O", CH2O_PPB, HCHO, sure=False)
ZE25_O3 = _driver(
    "ze25_o3", "ZE25-O3", Gas(O3, PPB), Channel("o3", "[ppb]", lo=0.0, hi=10_000.0, resolution=1.0), sure=True
)
