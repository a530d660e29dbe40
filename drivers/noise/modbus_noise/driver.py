"""Noise transmitters on RS-485 with Modbus RTU: asked for one register that holds the A-weighted level.

Source: Modbus Application Protocol V1.1b3; registers as in public programs: myarduinosale/sensor1 and
sconklin/taidacent-decibel-meter (0000; 07D0, 07D1 of the Renke family), the sketch "GEMHO Noise Sensor Reader" (000E).

    request   unit 03 0000 0001 crc                     renke_noise;  gemho_noise asks for register 000E
    reply     unit 03 02 level u16 BE crc               level in 0.1 dB, in the first register where two are asked for
    refused   unit 83 exception crc                     01 function, 02 register, 03 number, 04 trouble of the part
There is no register that tells what the part is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import numpy as np

from drivers import base, modbus, opcodes
from drivers.base import F8, Channel, Command, Decoded, Driver, Fault, Identify, Kind, Mark, Option, Options, Poll, Uart
from drivers.checks import stack

PLAUSIBLE_DB = (0.0, 200.0)  # beyond: not a level, but another register
SIZES = (modbus.EXCEPTION_SIZE, modbus.OVERHEAD + 2, modbus.OVERHEAD + 4)  # refused, one register, two
FRAMER = modbus.replies((modbus.READ_HOLDING, modbus.READ_INPUT), max_registers=2)


def _whole(options: Options, name: str, default: int, lo: int, hi: int) -> int:
    """Read an option; what cannot be said on the wire is the default."""
    value = options.get(name, default)
    return value if type(value) is int and lo <= value <= hi else default


def _unit(options: Options) -> int:
    return _whole(options, "unit_id", 1, 1, 247)


def _function(options: Options) -> int:
    return _whole(options, "function", modbus.READ_HOLDING, modbus.READ_HOLDING, modbus.READ_INPUT)


def _registers(options: Options) -> int:
    return _whole(options, "registers", 1, 1, 2)


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read the level in dB: one row for each reply of this unit to this question."""
    unit, function, count = _unit(options), _function(options), 2 * _registers(options)
    fault = np.full(len(frames), Fault.LENGTH, np.uint8)
    for length in SIZES:
        rows, index = stack(frames, length)
        if length == modbus.EXCEPTION_SIZE:
            answer, verdict = rows[:, 1] == function | modbus.EXCEPTION, Fault.DEVICE
        else:
            answer, verdict = (rows[:, 1] == function) & (rows[:, 2] == count), Fault.OK
            answer &= length == modbus.OVERHEAD + count
        ours = (rows[:, 0] == unit) & answer
        fault[index] = np.select([~modbus.intact(rows), ours], [Fault.CHECK, verdict], Fault.NOT_DATA)
    rows, index = stack(frames, modbus.OVERHEAD + count)
    level_db = _level_db(np.ascontiguousarray(rows[:, 3:5]).view(">u2")[:, 0].astype(np.uint16), options)
    good = fault[index] == Fault.OK
    true = (level_db >= PLAUSIBLE_DB[0]) & (level_db <= PLAUSIBLE_DB[1])
    fault[index[good & ~true]] = Fault.SANITY
    values = level_db[good & true][:, None]
    return Decoded(values, np.full(values.shape, Mark.OK, np.uint8), index[good & true], fault)


def _level_db(raw: modbus.U2, options: Options) -> F8:
    said = options.get("scale", 0.1)
    scale = float(said) if isinstance(said, float | int) and said is not True and 0 < said <= 10 else 0.1
    return (raw.view(np.int16) if options.get("signed") is True else raw).astype(np.float64) * scale


def _ask(register: int | None, inputs: base.Inputs, options: Options) -> bytes:  # noqa: ARG001
    at = _whole(options, "register", 0, 0, 0xFFFF) if register is None else register
    return modbus.request(_unit(options), _function(options), at, _registers(options))


def _set_baud(code: int, inputs: base.Inputs, options: Options) -> bytes:  # noqa: ARG001
    return modbus.request(_unit(options), modbus.WRITE_SINGLE, 0x07D1, code)


def _from_unit(inputs: base.Inputs, options: Options) -> bytes:  # noqa: ARG001
    return bytes([_unit(options)])  # a refusal is an answer too


def _say(name: str, tx: base.Tx, framer: base.Framer = FRAMER, expect: base.Tx | None = _from_unit) -> Command:
    """Make a question; after its reply 3.5 characters of silence end the message: 16 ms at 2400 Bd."""
    return Command(name, tx, rx=framer, settle_s=0.02, timeout_s=0.3, expect=expect, drain=True)


SET_REPLY = modbus.replies((modbus.WRITE_SINGLE,))
BAUDS = tuple(
    _say(f"set_baud_{baud}", partial(_set_baud, code), SET_REPLY) for code, baud in enumerate((2400, 4800, 9600))
)
UNIT_ID = _say("read_unit_id", modbus.request(0xFF, modbus.READ_HOLDING, 0x07D0), expect=None)
OPTIONS = (
    Option("unit_id", int, 1, help="Modbus address, 1 to 247"),
    Option("registers", int, 1, help="how many registers are asked for; the level is in the first", choices=(1, 2)),
)
FREE_OPTIONS = (
    Option("register", int, 0, help="register of the level, as it stands in the request"),
    Option("function", int, modbus.READ_HOLDING, help="3: holding registers, 4: input registers", choices=(3, 4)),
    Option("scale", float, 0.1, "dB", "decibels for one count of the register"),
    Option("signed", bool, False, help="the register can be negative"),
)


def _is_level(reply: bytes) -> bool:
    return modbus.fits(reply) and not reply[1] & modbus.EXCEPTION and len(reply) == modbus.OVERHEAD + reply[2]


def _driver(
    name: str, model: str, bauds: tuple[int, ...], hi_db: float, register: int | None, *more: Command
) -> Driver:
    read = _say("read", partial(_ask, register))
    return Driver(
        name=name,
        domain="noise",
        model=model,
        access=Poll((read,), every_s=1.0, min_s=0.5),
        channels=(Channel("level", "dB", Kind.LEVEL, lo=30.0, hi=hi_db, resolution=0.1),),
        source="Renke and GEMHO register maps as in public sketches; Modbus Application Protocol V1.1b3",
        decode=decode,
        bus=Uart(bauds, shared=True),
        options=OPTIONS,
        commands=MappingProxyType({command.name: command for command in (read, *more)}),
        identify=Identify((read,), _is_level, sure=False),
        opcode=opcodes.modbus,
        family="modbus_noise",
    )


RENKE_NOISE = _driver("renke_noise", "Renke RS-ZS-N01", (4800, 9600, 2400), 130.0, 0x0000, UNIT_ID, *BAUDS)
GEMHO_NOISE = _driver("gemho_noise", "GEMHO noise-sensor", (9600, 4800), 120.0, 0x000E)
MODBUS_NOISE = replace(
    _driver("modbus_noise", "any Modbus-noise-transmitter", (9600, 4800, 2400, 19200), 140.0, None),
    options=OPTIONS + FREE_OPTIONS,
)
