"""Plantower particle sensors: a frame every 2.3 s, faster while the air changes; all models share one shape of frame.

Source: Plantower, PMS5003 series data manual V2.3; PMS5003ST series data manual V2.6; captures named in vectors.toml.

    frame    42 4D  length u16  data ..  sum u16        big-endian; length: of what follows it, sum: of all before it
    data     at 4 6 8     PM1.0 PM2.5 PM10 u16 in ug/m3, CF=1: factory environment
             at 10 12 14  the same, atmospheric environment
             at 16 .. 26  particles beyond 0.3 0.5 1.0 2.5 5.0 10 um, u16 in 1/(0.1 L)
    24 bytes PMS3003      16 .. 21 reserved
    32 bytes PMS5003      28 version, 29 error          also PMS7003, PMSA003, and PMSA003I on I2C
             PMS5003S     28 HCHO u16 in ug/m3; no version, no error
             PMS5003T     24 T i16 in 0.1 Cel, 26 RH u16 in 0.1 %, 28 version, 29 error
    40 bytes PMS5003ST    28 HCHO, 30 T, 32 RH, 36 version, 37 error
     8 bytes 42 4D 00 04  command, data, sum: acknowledgement, in the midst of the data
    command  42 4D  command u8  data u16  sum u16
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from drivers import base, opcodes
from drivers.base import Channel, Command, Decoded, Driver, Duty, Fault, I2c, Identify, Mark, Poll, Stream, Uart
from drivers.checks import ends_in_sum16, lengths, sift, stack, verdicts
from drivers.framing import SizedFramer

ACK, HEADS = 8, MappingProxyType({length: b"\x42\x4d\x00" + bytes([length - 4]) for length in (8, 24, 32, 40)})
PLACES = MappingProxyType({"pm1_0": 10, "pm2_5": 12, "pm10": 14, "pm1_0_cf1": 4, "pm2_5_cf1": 6, "pm10_cf1": 8})
BINS = ("n0_3", "n0_5", "n1_0", "n2_5", "n5_0", "n10")


class Field(NamedTuple):
    """A quantity and its place in the frame; from `full` on the true value may be higher."""

    channel: Channel
    at: int
    per_unit: float = 1.0
    full: float = np.inf
    signed: bool = False


def _mass(name: str, at: int, full: float = 1000.0) -> Field:
    return Field(Channel(name, "ug/m3", lo=0.0, hi=65535.0, resolution=1.0), at, full=full)


def _climate(at: int) -> tuple[Field, Field]:
    temperature = Channel("temperature", "Cel", lo=-40.0, hi=85.0, resolution=0.1)
    humidity = Channel("humidity", "%", lo=0.0, hi=100.0, resolution=0.1)
    return Field(temperature, at, 10.0, signed=True), Field(humidity, at + 2, 10.0)


COUNT = partial(Channel, unit="1/cm3", lo=0.0, hi=655.35, resolution=0.01)
G3 = tuple(_mass(name, at) for name, at in PLACES.items())
G5 = (*G3, *(Field(COUNT(name), 16 + 2 * i, per_unit=100.0, full=655.35) for i, name in enumerate(BINS)))
G5S = (*G5, _mass("hcho", 28, full=65535.0))


def _intact(rows: base.U1) -> npt.NDArray[np.bool_]:
    begin = int.from_bytes(HEADS[rows.shape[1]], "little")
    good: npt.NDArray[np.bool_] = (rows.view("<u4")[:, 0] == begin) & ends_in_sum16(rows)
    return good


def _decoder(fields: Sequence[Field], length: int, error: int) -> base.Decode:
    """Make the decode of a model: one row for each intact frame of its length; `error`: place of that byte, if any."""
    at, signed = np.array([field.at // 2 for field in fields]), [i for i, field in enumerate(fields) if field.signed]
    per_unit, full = np.array([field.per_unit for field in fields]), np.array([field.full for field in fields])

    def decode(frames: Sequence[bytes], context: bytes, options: base.Options) -> Decoded:  # noqa: ARG001
        rows, index = stack(frames, length)
        fault, index, rows = sift(len(frames), verdicts(Fault.CHECK, (_intact(rows), Fault.OK)), index, rows)
        for other in lengths(frames) & (HEADS.keys() - {length}) if len(index) < len(frames) else ():
            others, places = stack(frames, other)
            fault[places] = verdicts(Fault.CHECK, (_intact(others), Fault.NOT_DATA if other == ACK else Fault.SANITY))
        words = rows.view(">u2").take(at, axis=1)
        values = words.astype(np.float64)
        values /= per_unit
        for i in signed:
            values[:, i] = words[:, i].view(">i2") / per_unit[i]
        mark = verdicts(Mark.OK, (values >= full, Mark.SATURATED))
        if error and np.count_nonzero(rows[:, error]):
            mark[(mark == 0) & (rows[:, error, None] != 0)] = Mark.NOT_STABLE
        return Decoded(values, mark, index, fault)

    return decode


FRAMER = SizedFramer(
    tuple(HEADS.values()), 4, lambda begin: begin[3] + 4,
    lambda frame: sum(frame[:-2]) == frame[-2] << 8 | frame[-1], max(HEADS), _intact,
)  # fmt: skip


def _say(name: str, code: int, value: int, settle_s: float = 0.5, drain: bool = False) -> Command:
    body = bytes([0x42, 0x4D, code, 0, value])
    return Command(name, body + sum(body).to_bytes(2, "big"), settle_s=settle_s, drain=drain)


WAKE = _say("wake", 0xE4, 1, settle_s=2.0, drain=True)  # for 2 s it hears nothing else
ACTIVE, SLEEP = _say("active", 0xE1, 1), _say("sleep", 0xE4, 0)  # a host that crashed may have left it otherwise
SAY = MappingProxyType({c.name: c for c in (WAKE, ACTIVE, SLEEP, _say("passive", 0xE1, 0), _say("read", 0xE2, 0))})
DEAF = MappingProxyType[str, Any]({"setup": (), "duty": None, "shutdown": (), "opcode": None})  # takes no commands
LISTEN, READ_I2C = Command("listen", rx=FRAMER, timeout_s=3.5), Command("read", rx=32)


def _frame(fields: Sequence[Field], length: int, error: int = 0) -> dict[str, Any]:
    return {"channels": tuple(field.channel for field in fields), "decode": _decoder(fields, length, error)}


def _heard(length: int, seen: Callable[[bytes], bool] = bool, ask: Command = LISTEN) -> Identify:
    """Know a model by the length of its frames; `seen` tells models of one length apart, but never surely."""
    alone = length != 32 or ask is READ_I2C
    return Identify((ask,), lambda frame: bool(_intact(stack([frame], length)[0]).any()) and seen(frame), alone)


PMS5003 = Driver(
    "pms5003", "air", "Plantower PMS5003, Plantower PMS7003, Plantower PMSA003", family="plantower",
    source="Plantower, PMS5003 series data manual V2.3", setup=(WAKE, ACTIVE), shutdown=(SLEEP,),
    access=Stream(FRAMER, nominal_s=3.0, idle_s=10.0, alive=(WAKE, ACTIVE)), bus=Uart((9600,)),
    duty=Duty((WAKE, ACTIVE), (SLEEP,), 30.0), commands=SAY, opcode=opcodes.plantower, **_frame(G5, 32, 29),
    identify=_heard(32, lambda frame: frame[28] > 0 and frame[24:26] <= frame[22:24]),  # counts only fall
)  # fmt: skip
PMS3003 = replace(
    PMS5003, name="pms3003", model="Plantower PMS3003", identify=_heard(24), **_frame(G3, 24), **DEAF,
    access=Stream(FRAMER, nominal_s=3.0, idle_s=10.0), commands=MappingProxyType({"listen": LISTEN}),
)  # fmt: skip
PMS5003S = replace(
    PMS5003, name="pms5003s", model="Plantower PMS5003S", **_frame(G5S, 32),
    identify=_heard(32, lambda frame: frame[28] == 0 and any(frame[16:28])),
)  # fmt: skip
PMS5003T = replace(
    PMS5003, name="pms5003t", model="Plantower PMS5003T", **_frame((*G5[:10], *_climate(24)), 32, 29),
    identify=_heard(32, lambda frame: frame[28] > 0 and frame[24:26] > frame[22:24]),
)  # fmt: skip
PMS5003ST = replace(
    PMS5003, name="pms5003st", model="Plantower PMS5003ST", **_frame((*G5S, *_climate(30)), 40, 37),
    source="Plantower, PMS5003ST series data manual V2.6", identify=_heard(40),
)  # fmt: skip
PMSA003I = replace(
    PMS5003, name="pmsa003i", model="Plantower PMSA003I", identify=_heard(32, ask=READ_I2C), bus=I2c((0x12,)),
    access=Poll((READ_I2C,), every_s=1.0, min_s=1.0), commands=MappingProxyType({"read": READ_I2C}), **DEAF,
)  # fmt: skip
