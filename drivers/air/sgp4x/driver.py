"""Sensirion SGP40 and SGP41 gas sensors: raw signals of heated metal oxide, told the humidity with each question.

Source: Sensirion, Datasheet SGP40 (tables 9 to 13) and Datasheet SGP41; commands as in sensirion-i2c-sgp4x.

    260F RH crc T crc   SGP40: measure; 30 ms; reply VOC hi lo crc
    2619 RH crc T crc   SGP41: measure; 50 ms; reply VOC hi lo crc  NOx hi lo crc
    2612 RH crc T crc   SGP41: condition the NOx pixel until the next command, at most 10 s; reply VOC hi lo crc
    3615                heater off                   280E self-test: SGP40 D400 passed, 4B00 failed, 250 ms;
                                                     SGP41 four low bits 0: passed, 320 ms
    3682                serial number, three words   RH = % * 65535 / 100    T = (Cel + 45) * 65535 / 175
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import numpy as np

from drivers import base, opcodes
from drivers.base import Channel, Command, Decoded, Driver, Fault, I2c, Identify, Input, Inputs, Mark, Options, Poll
from drivers.checks import serial_words, stack, word, words

HUMIDITY = Input("humidity", "%", 50.0, lo=0.0, hi=100.0)
TEMPERATURE = Input("temperature", "Cel", 25.0, lo=-45.0, hi=130.0)


def _told(command: bytes) -> Callable[[Inputs, Options], bytes]:
    """Make what is written: the command, then humidity and temperature of the air, each with its CRC."""

    def tx(inputs: Inputs, options: Options) -> bytes:  # noqa: ARG001
        humidity = inputs.get("humidity", HUMIDITY.default) / 100.0
        temperature = (inputs.get("temperature", TEMPERATURE.default) + 45.0) / 175.0
        return command + _ticks(humidity) + _ticks(temperature)

    return tx


def _ticks(part: float) -> bytes:
    """Write a part of the full scale as a word, rounded to the next tick."""
    return word(int(min(max(0.0, part), 1.0) * 65535.0 + 0.5))


READ_VOC = Command("read", _told(b"\x26\x0f"), rx=3, wait_s=0.03)
READ_BOTH = Command("read", _told(b"\x26\x19"), rx=6, wait_s=0.05)
# It lasts until the first reading. Short, so that a gateway that is told to stop just now still ends it in order:
# a pixel that is conditioned for more than 10 s is damaged.
CONDITION = Command("condition", _told(b"\x26\x12"), rx=3, wait_s=0.05, settle_s=1.4, keep=False)
HEATER_OFF = Command("heater_off", b"\x36\x15", settle_s=0.001)
SELF_TEST = Command("self_test", b"\x28\x0e", rx=3, wait_s=0.32, nack_ok=True)
SERIAL = Command("serial", b"\x36\x82", rx=9, wait_s=0.001)


def decode(channels: int, frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read raw ticks: VOC, and NOx of an SGP41; `context` is empty or the reply to the self-test of the setup.

    A word at either end of its scale is marked saturated.
    """
    fault = np.full(len(frames), Fault.LENGTH, np.uint8)
    rows, index = stack(frames, 3 * channels)
    raw, fits = words(rows)
    intact = fits.all(axis=1)
    fault[index] = np.where(intact, Fault.OK, Fault.CHECK)
    ticks = raw[intact]
    doubt = Mark.NOT_STABLE if _failed(channels, context) else Mark.OK
    mark = np.where((ticks == 0) | (ticks == 0xFFFF), Mark.SATURATED, doubt).astype(np.uint8)
    return Decoded(ticks.astype(np.float64), mark, index[intact], fault)


def _failed(channels: int, self_test: bytes) -> bool:
    """Tell whether the self-test said that something is broken; no, where its reply is not there or is damaged."""
    raw, fits = words(stack([self_test], 3)[0])
    if not len(raw) or not fits.all():
        return False
    return bool(raw[0, 0] & 0x000F) if channels == 2 else int(raw[0, 0]) >> 8 != 0xD4


def _answers(reply: bytes, length: int, verdicts: Sequence[bytes] = ()) -> bool:
    """Tell whether this is a serial number and a measurement, each word with its CRC, or a verdict of the self-test."""
    rows, _ = stack([reply], length)
    return reply in verdicts or bool(len(rows) and words(rows)[1].all())


COMMANDS = (HEATER_OFF, SELF_TEST, SERIAL)
VOC = Channel("voc_raw", "1", lo=0.0, hi=65535.0, resolution=1.0)
NOX = Channel("nox_raw", "1", lo=0.0, hi=65535.0, resolution=1.0)
VERDICTS = (b"\xd4\x00\xc6", b"\x4b\x00\x12")

SGP40 = Driver(
    name="sgp40",
    family="sgp4x",
    domain="air",
    model="Sensirion SGP40",
    access=Poll((READ_VOC,), every_s=1.0, min_s=1.0),
    channels=(VOC,),
    source="Sensirion, Datasheet SGP40",
    decode=partial(decode, 1),
    bus=I2c((0x59,), max_hz=400_000),
    setup=(HEATER_OFF, SELF_TEST),
    duty=base.Duty(warm_up_s=45.0),
    inputs=(HUMIDITY, TEMPERATURE),
    commands=MappingProxyType({command.name: command for command in (READ_VOC, *COMMANDS)}),
    # Idle it tells its serial number; which of the two it is, shows the question that it answers.
    identify=Identify((HEATER_OFF, SERIAL, READ_VOC, HEATER_OFF), partial(_answers, length=12, verdicts=VERDICTS)),
    identity=base.Identity((HEATER_OFF, SERIAL), serial_words),
    shutdown=(HEATER_OFF,),
    opcode=opcodes.sensirion,
)
SGP41 = replace(
    SGP40,
    name="sgp41",
    model="Sensirion SGP41",
    access=Poll((READ_BOTH,), every_s=1.0, min_s=1.0),
    channels=(VOC, NOX),
    source="Sensirion, Datasheet SGP41",
    decode=partial(decode, 2),
    setup=(HEATER_OFF, SELF_TEST, CONDITION),
    commands=MappingProxyType({command.name: command for command in (READ_BOTH, CONDITION, *COMMANDS)}),
    identify=Identify((HEATER_OFF, SERIAL, READ_BOTH, HEATER_OFF), partial(_answers, length=15)),
)
