"""Tera Sensor NextPM particle sensor: asked for its average of the last 10 s, with its state in each reply.

Source: Tera Sensor, NextPM user guide (simple protocol) and datasheet; captures named in vectors.toml.

    command  81  code  check                            all bytes add up to 0 mod 256
    reply    81  code  state u8  data ..  check         words u16, big-endian
    11 12 13 N1 N2.5 N10 in 1/cm3, PM1 PM2.5 PM10 in 0.1 ug/m3, averaged over 10, 60, 900 s; 16 bytes
    14       T RH of the inside, in 0.01 Cel and 0.01 %; 8 bytes
    15       sleep if awake, wake if asleep; 4 bytes, with the new state
    16       state; 4 bytes. Also the reply to all others while there is nothing to read: asleep, or not ready yet
    17       firmware; 6 bytes                          01 id u32, batch u32; 12 bytes, from firmware 1047 on
    state    01 asleep  02 degraded  04 not ready  08 heat  10 T/RH  20 fan  40 memory  80 laser
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from drivers import base, opcodes
from drivers.base import Channel, Command, Decoded, Driver, Duty, Fault, Identify, Mark, Option, Options, Poll, Uart
from drivers.checks import stack, sum8
from drivers.framing import SizedFramer

FRAME = np.dtype(
    [("head", "u1"), ("code", "u1"), ("state", "u1"), ("number", ">u2", (3,)), ("mass", ">u2", (3,)), ("check", "u1")]
)
ASLEEP, NOT_READY, ERRORS = 0x01, 0x04, 0xFA
FULL = np.array([1000.0] * 3 + [65535.0] * 3)  # ug/m3, the end of the range; 1/cm3, the end of the word
SIZES = MappingProxyType(
    {0x01: 12, 0x11: 16, 0x12: 16, 0x13: 16, 0x14: 8, 0x15: 4, 0x16: 4, 0x17: 6, 0x41: 4, 0x42: 4, 0x43: 4}
)
SIZE_OF = np.array([SIZES.get(code, 0) for code in range(256)])
AVERAGES = MappingProxyType({10: 0x11, 60: 0x12, 900: 0x13})  # seconds -> code


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read concentrations in ug/m3 and numbers in 1/cm3: one row for each reading of a part that is awake.

    A state in place of a reading is NOT_READY while the part starts, DEVICE when it is asleep or says what ails it.
    """
    fault = np.full(len(frames), Fault.LENGTH, np.uint8)
    for length in sorted(set(SIZES.values())):
        rows, index = stack(frames, length)
        code, state = rows[:, 1], rows[:, 2]
        starting = ((state & NOT_READY) != 0) | (state == 0)
        state_said = np.where(starting, Fault.NOT_READY, Fault.DEVICE)
        reading_said = np.where((state & ASLEEP) != 0, Fault.DEVICE, Fault.OK)
        fault[index] = np.select(
            [(rows[:, 0] != 0x81) | (sum8(rows) != 0), SIZE_OF[code] != length, code == 0x16, length == 16],
            [Fault.CHECK, Fault.SANITY, state_said, reading_said],
            Fault.NOT_DATA,
        )
    rows, index = stack(frames, FRAME.itemsize)
    good = fault[index] == Fault.OK
    fields, index = rows[good].view(FRAME)[:, 0], index[good]
    values = np.hstack([fields["mass"] / 10.0, fields["number"]])
    mark = np.zeros(values.shape, np.uint8)
    mark[(fields["state"] & ERRORS) != 0] = Mark.NOT_STABLE
    mark[(fields["state"] & NOT_READY) != 0] = Mark.WARM_UP
    mark[values >= FULL] = Mark.SATURATED
    return Decoded(values, mark, index, fault)


def _adds_up(frame: bytes) -> bool:
    return sum(frame) & 0xFF == 0


FRAMER = SizedFramer((b"\x81",), 2, lambda begin: SIZES.get(begin[1], 0), _adds_up, max(SIZES.values()))


def _tx(code: int) -> bytes:
    return bytes([0x81, code, -(0x81 + code) & 0xFF])


def _reading(inputs: base.Inputs, options: Options) -> bytes:  # noqa: ARG001
    seconds = options.get("average_s")
    return _tx(AVERAGES.get(seconds, 0x11) if isinstance(seconds, int) else 0x11)


def _ask(name: str, code: int) -> Command:
    """Ask for one reply of known length; it begins after 50 ms."""
    return Command(name, _tx(code), rx=SIZES[code], timeout_s=0.3, tries=2, expect=_tx(code)[:2], drain=True)


def _toggle(name: str, state: int) -> Command:
    """Toggle until the part says that it is asleep (1) or awake (0): there is no command for one of the two alone."""
    until = (2, ASLEEP, state)
    return Command(name, _tx(0x15), rx=4, timeout_s=0.3, until=until, poll_s=1.0, tries=4, drain=True, keep=False)


STATE = _ask("state", 0x16)
WAKE, SLEEP = _toggle("wake", 0), _toggle("sleep", ASLEEP)
STARTED = (2, ASLEEP | NOT_READY, 0)
READY = Command("ready", STATE.tx, rx=4, timeout_s=0.2, until=STARTED, poll_s=1.0, tries=18, drain=True, keep=False)
READ = Command("read", _reading, rx=FRAMER, timeout_s=0.3, tries=2, drain=True)
CODES = (
    *(("read_10_s", 0x11), ("read_60_s", 0x12), ("read_900_s", 0x13), ("temperature_humidity", 0x14)),
    *(("firmware", 0x17), ("identity", 0x01), ("heater_off", 0x41), ("heater_on", 0x42), ("heater_auto", 0x43)),
)


def _is_nextpm(reply: bytes) -> bool:
    return len(reply) == 4 and reply.startswith(b"\x81\x16") and _adds_up(reply)


DRIVER = Driver(
    name="nextpm",
    domain="air",
    model="Tera Sensor NextPM",
    access=Poll((READ,), every_s=10.0, min_s=1.0),
    channels=(
        *(Channel(name, "ug/m3", lo=0.0, hi=6553.5, resolution=0.1) for name in ("pm1_0", "pm2_5", "pm10")),
        *(Channel(name, "1/cm3", lo=0.0, hi=65535.0, resolution=1.0) for name in ("n1_0", "n2_5", "n10")),
    ),
    source="Tera Sensor, NextPM user guide and datasheet",
    decode=decode,
    bus=Uart((115_200,), format="8E1"),
    setup=(WAKE, READY),
    duty=Duty(wake=(WAKE,), sleep=(SLEEP,), warm_up_s=30.0),
    options=(Option("average_s", int, 10, "s", "the part's own average that is read", choices=tuple(AVERAGES)),),
    commands=MappingProxyType(
        {command.name: command for command in (READ, STATE, WAKE, SLEEP, *(_ask(name, code) for name, code in CODES))}
    ),
    identify=Identify((STATE,), _is_nextpm),
    shutdown=(SLEEP,),
    opcode=opcodes.nextpm,
)
