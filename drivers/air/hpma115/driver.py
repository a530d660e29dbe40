"""Honeywell HPMA115S0 (standard) and HPMA115C0 (compact) particle sensors: they send one frame each second.

Source: Honeywell, HPM Series datasheet 32322550, tables 4 to 7; captures named in vectors.toml.

    auto     42 4D 00 1C  13 words u16  sum u16         32 bytes, big-endian; sum: of all bytes before it; ug/m3
             S0  PM2.5 at 6, PM10 at 8                  C0  PM1.0 at 4, PM2.5 at 6, PM4.0 at 8, PM10 at 10
    reply    40  length u8  command u8  data ..  check  length: of command and data; all bytes add up to 0 mod 256
             40 05 04  S0: PM2.5 PM10 u16               40 0D 04  C0: PM1.0 PM2.5 PM4.0 PM10 u16, 4 bytes reserved
             40 02 10  coefficient u8 in %
             A5 A5     done                             96 96     refused
    command  68  length u8  command u8  data ..  check  as in a reply
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from drivers import opcodes
from drivers.base import U1, Channel, Command, Decoded, Driver, Duty, Fault, Identify, Mark, Options, Stream, Uart
from drivers.checks import ends_in_sum16, every, lengths, put, sift, stack, sum8, verdicts
from drivers.framing import SizedFramer

FULL = 1000.0  # ug/m3, the end of the range
SIZES = MappingProxyType(
    {b"\x42\x4d": 32, b"\x40\x05": 8, b"\x40\x0d": 16, b"\x40\x02": 5, b"\xa5\xa5": 2, b"\x96\x96": 2}
)
HEAD_OF_AUTO = int.from_bytes(b"\x42\x4d\x00\x1c", "little")
READINGS = (8, 16, 32)  # lengths of what carries readings, of one model or the other
S0, C0 = MappingProxyType({32: 6, 8: 3}), MappingProxyType({32: 4, 16: 3})  # length of a frame: place of its readings


def _intact(rows: U1) -> npt.NDArray[np.bool_]:
    """Tell which rows are frames; two equal bytes are all that an acknowledgement has of a check."""
    length = rows.shape[1]
    good: npt.NDArray[np.bool_]
    if length == 2:
        good = np.isin(rows, (0xA5, 0x96)).all(axis=1) & (rows[:, 0] == rows[:, 1])
    elif length == 32:
        good = (rows.view("<u4")[:, 0] == HEAD_OF_AUTO) & ends_in_sum16(rows)
    else:
        head = (0x40, length - 3, 0x10 if length == 5 else 0x04)
        good = (rows[:, :3] == head).all(axis=1) & (sum8(rows) == 0)
    return good


def decode(
    places: Mapping[int, int],
    frames: Sequence[bytes],
    context: bytes,  # noqa: ARG001
    options: Options,  # noqa: ARG001
) -> Decoded:
    """Read the concentrations in ug/m3: one row for each intact frame that has them; `places` tells where.

    Readings of the other model are SANITY. A refusal is NOT_DATA: it has no check, and frames go on without it.
    """
    fault = np.full(len(frames), int(Fault.LENGTH), np.uint8)
    words = np.zeros((len(frames), 2 if 8 in places else 4))
    for length in lengths(frames).intersection(SIZES.values()):
        rows, index = stack(frames, length)
        said = Fault.OK if length in places else Fault.SANITY if length in READINGS else Fault.NOT_DATA
        fault = put(fault, index, verdicts(Fault.CHECK, (_intact(rows), said)))
        if length in places:
            at = places[length]
            words = put(words, index, rows[:, at : at + 2 * words.shape[1]].view(">u2").astype(np.float64))
    fault, index, values = sift(len(frames), fault, every(len(frames)), words)
    return Decoded(values, verdicts(Mark.OK, (values >= FULL, Mark.SATURATED)), index, fault)


def _is_intact(frame: bytes) -> bool:
    """Say of one frame with a known head what `_intact` says of many."""
    if len(frame) == 2:
        return True
    if len(frame) == 32:
        return frame[2:4] == b"\x00\x1c" and sum(frame[:30]) == frame[30] << 8 | frame[31]
    return frame[2] == (0x10 if len(frame) == 5 else 0x04) and sum(frame) & 0xFF == 0


FRAMER = SizedFramer(tuple(SIZES), 2, lambda begin: SIZES[begin], _is_intact, max(SIZES.values()), _intact)


def _say(name: str, *said: int, settle_s: float = 0.5, drain: bool = False) -> Command:
    """Make a command; its acknowledgement comes back inside the stream, so none is awaited here."""
    body = bytes([0x68, len(said), *said])
    return Command(name, body + bytes([-sum(body) & 0xFF]), settle_s=settle_s, drain=drain)


START, STOP = _say("start", 0x01, drain=True), _say("stop", 0x02)  # fan and laser
AUTO, STOP_AUTO, READ = _say("auto", 0x40), _say("stop_auto", 0x20), _say("read", 0x04)
COEFFICIENT, RESET = _say("read_coefficient", 0x10), _say("reset_coefficient", 0x08, 100)
COMMANDS = MappingProxyType({c.name: c for c in (START, STOP, AUTO, STOP_AUTO, READ, COEFFICIENT, RESET)})


def _identify(head: bytes) -> Identify:
    """Ask for a reading: its length tells which model it is, where frames that come by themselves do not."""
    ask = Command("read", READ.tx, rx=FRAMER, timeout_s=1.5, tries=2, expect=head, drain=True)
    return Identify((ask,), lambda said: len(said) == SIZES[head[:2]] and said.startswith(head) and _is_intact(said))


def _channel(name: str) -> Channel:
    return Channel(name, "ug/m3", lo=0.0, hi=FULL, resolution=1.0)


HPMA115S0 = Driver(
    name="hpma115s0",
    domain="air",
    model="Honeywell HPMA115S0",
    access=Stream(FRAMER, nominal_s=1.0, idle_s=5.0, alive=(START, AUTO)),
    channels=(_channel("pm2_5"), _channel("pm10")),
    source="Honeywell, HPM Series datasheet 32322550",
    decode=partial(decode, S0),
    bus=Uart((9600,)),
    setup=(START, AUTO),  # a host that crashed may have left it without a fan, or silent until asked
    duty=Duty(wake=(START, AUTO), sleep=(STOP_AUTO, STOP), warm_up_s=10.0),
    commands=COMMANDS,
    identify=_identify(b"\x40\x05\x04"),
    shutdown=(STOP_AUTO, STOP),
    family="hpma115",
    opcode=opcodes.hpma,
)
HPMA115C0 = replace(
    HPMA115S0,
    name="hpma115c0",
    model="Honeywell HPMA115C0",
    channels=(_channel("pm1_0"), _channel("pm2_5"), _channel("pm4_0"), _channel("pm10")),
    decode=partial(decode, C0),
    identify=_identify(b"\x40\x0d\x04"),
)
