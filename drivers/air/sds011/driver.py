"""Nova SDS011 particle sensor: it sends one frame each second, and wears out its laser in 8000 hours.

Source: Nova Fitness, Laser Dust Sensor Control Protocol V1.3; captures named in vectors.toml.

    frame    AA id  d1 d2 d3 d4 d5 d6  sum AB           10 bytes, sum = low byte of d1 + .. + d6
             id C0  measurement: PM2.5 u16 LE, PM10 u16 LE, in 0.1 ug/m3; device id (2)
             id C5  reply to a command, same length, same sum: no measurement
    command  AA B4  d1 .. d13 FF FF  sum AB             19 bytes, sum = low byte of d1 + .. + d15
             d1 what, d2 0 ask / 1 set, d3 value; FF FF: any device
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from drivers import opcodes
from drivers.base import U1, Channel, Command, Decoded, Driver, Duty, Fault, Identify, Mark, Options, Stream, Uart
from drivers.checks import ends_in_sum8, sift, stack, table, verdicts
from drivers.framing import HeadedFramer

FRAME = np.dtype([("start", "<u2"), ("pm", "<u2", (2,)), ("device", "u1", (2,)), ("sum", "u1"), ("tail", "u1")])
VERDICTS = np.full(1 << 16, Fault.CHECK, np.uint8)  # by the start: AA, and the id of a measurement or of a reply
VERDICTS[0xAA::256] = table(Fault.SANITY, {0xC0: Fault.OK, 0xC5: Fault.NOT_DATA})
VERDICTS.setflags(write=False)
CHECK = int(Fault.CHECK)
HI = 999.9  # ug/m3, the end of the range


def _intact(frame: bytes) -> bool:
    return frame[9] == 0xAB and sum(frame[2:8]) & 0xFF == frame[8]


def _intact_rows(rows: U1) -> npt.NDArray[np.bool_]:
    good: npt.NDArray[np.bool_] = (rows[:, 9] == 0xAB) & ends_in_sum8(rows[:, 2:9])
    return good


FRAMER = HeadedFramer((b"\xaa\xc0", b"\xaa\xc5"), FRAME.itemsize, _intact, _intact_rows)


def _say(name: str, what: int, act: int, value: int, settle_s: float = 0.1, drain: bool = False) -> Command:
    """Make a command; its reply comes back inside the stream, so none is awaited here."""
    body = bytes([what, act, value]).ljust(13, b"\x00") + b"\xff\xff"
    return Command(name, b"\xaa\xb4" + body + bytes([sum(body) & 0xFF]) + b"\xab", settle_s=settle_s, drain=drain)


# Waking, the sensor sends junk (AD 50 10 5E DD was seen) and swallows the first command: so it is said twice.
WAKE = (_say("wake", 6, 1, 1, settle_s=1.0, drain=True), _say("wake", 6, 1, 1, settle_s=0.5, drain=True))
ACTIVE = _say("active", 2, 1, 0)
CONTINUOUS = _say("continuous", 8, 1, 0)
SLEEP = _say("sleep", 6, 1, 0)
ALIVE = _say("report_mode", 2, 0, 0)
FIRMWARE = _say("firmware", 7, 0, 0)


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read PM2.5 and PM10 in ug/m3: one row for each intact measurement."""
    rows, index = stack(frames, FRAME.itemsize)
    fields = rows.view(FRAME)[:, 0]
    judged = VERDICTS.take(fields["start"])
    judged[~_intact_rows(rows)] = CHECK
    fault, index, fields = sift(len(frames), judged, index, fields)
    values = fields["pm"].astype(np.float64) / 10.0
    return Decoded(values, verdicts(Mark.OK, (values >= HI, Mark.SATURATED)), index, fault)


def _answers(frame: bytes) -> bool:
    return len(frame) == 10 and frame.startswith(FRAMER.heads) and _intact(frame)


DRIVER = Driver(
    name="sds011",
    domain="air",
    model="Nova SDS011, Nova SDS018, Nova SDS021",
    access=Stream(FRAMER, nominal_s=1.0, idle_s=5.0, alive=(ALIVE,)),
    channels=(
        Channel("pm2_5", "ug/m3", lo=0.0, hi=HI, resolution=0.1),
        Channel("pm10", "ug/m3", lo=0.0, hi=HI, resolution=0.1),
    ),
    source="Nova Fitness, Laser Dust Sensor Control Protocol V1.3",
    decode=decode,
    bus=Uart((9600,)),
    # Mode, period and sleep outlive a power cut: each start puts them right.
    setup=(*WAKE, ACTIVE, CONTINUOUS),
    duty=Duty(wake=WAKE, sleep=(SLEEP,), warm_up_s=30.0),
    commands=MappingProxyType(
        {command.name: command for command in (WAKE[1], ACTIVE, CONTINUOUS, SLEEP, ALIVE, FIRMWARE)}
        | {"query_mode": _say("query_mode", 2, 1, 1), "query": _say("query", 4, 0, 0)}
    ),
    identify=Identify((Command("listen", rx=FRAMER, timeout_s=2.5),), _answers),
    shutdown=(SLEEP,),
    opcode=opcodes.sds011,
)
