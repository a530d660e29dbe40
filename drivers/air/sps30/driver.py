"""Sensirion SPS30 particle sensor, on UART (SHDLC) or on I2C: mass and number of particles, new each second.

Source: Sensirion, Datasheet SPS30, version 2.0, June 2023, sections 4 (modes, formats, status), 5 (UART), 6 (I2C).

    UART     7E 00 command state length data .. sum 7E, stuffed (drivers/shdlc.py);  state bit 7: bit 5 or 4 of the
             status is set, bits 6..0: 00 done, 43 not allowed now, 01 02 03 04 28 refused or broken
             03 read: 40 bytes of floats, 20 of integers, 0: nothing new;   D2 status: u32 and a byte of no meaning
    I2C      hi lo crc  hi lo crc ..  words, CRC-8 (31, FF) behind each;  0300 read: 20 words of floats, 10 of integers
    values   PM1.0 PM2.5 PM4.0 PM10 (ug/m3)  N0.5 N1.0 N2.5 N4.0 N10 (1/cm3)  typical size
             float32, size in um, or u16, size in nm;   status: bit 21 fan speed, 5 laser, 4 fan blocked
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from drivers import base, opcodes
from drivers.base import F8, U1, Channel, Chore, Command, Decoded, Driver, Fault, I2c, Identify, Mark, Options, Poll
from drivers.checks import every, floats, lengths, put, register, sift, stack, text, verdicts, words
from drivers.shdlc import ask, judge, read_replies, replies, say

FLOATS, INTEGERS = 40, 20  # bytes of a measurement
SCALE = {FLOATS: np.ones(10), INTEGERS: np.array([1.0] * 9 + [1e-3])}  # as an integer the size is in nm
MOST = np.array([1000.0] * 4 + [3000.0] * 5 + [np.inf])  # end of the specified range
TINY = 1e-20  # two integers side by side, read as one float, are less
TROUBLE = 1 << 21 | 1 << 5 | 1 << 4
AUTO_CLEAN = (("never", "8004000081000081"), ("weekly", "80040009093a80a7"))


def decode(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read ten channels from replies on UART; `context` is empty or the reply with the last status."""
    said = read_replies(frames)
    fault = judge(said, 0x03, SCALE)
    values = np.zeros((len(frames), 10))
    for size, dtype in ((FLOATS, ">f4"), (INTEGERS, ">u2")):
        index = np.flatnonzero((fault == Fault.OK) & (said.size == size))
        with np.errstate(invalid="ignore"):  # a signalling NaN
            values[index] = said.data(index, size).view(dtype).astype(np.float64) * SCALE[size]
    status = int.from_bytes(b"".join(replies(context, 0xD2)[-1:])[:4], "big")
    return _judge(values, fault, (said.state[:, None] >= 0x80) | np.full(values.shape, status & TROUBLE > 0))


def decode_i2c(frames: Sequence[bytes], context: bytes, options: Options) -> Decoded:  # noqa: ARG001
    """Read ten channels from replies on I2C, 60 or 30 bytes; `context` is empty or the six bytes of the last status."""
    fault, values = np.full(len(frames), int(Fault.LENGTH), np.uint8), np.zeros((len(frames), 10))
    for size in SCALE.keys() & {length // 3 * 2 for length in lengths(frames)}:
        rows, index = stack(frames, size // 2 * 3)
        raw, fits = words(rows)
        said = floats(raw) if size == FLOATS else raw * SCALE[INTEGERS]
        judged = verdicts(Fault.CHECK, (np.logical_and.reduce(fits, axis=1), Fault.OK))
        if size == INTEGERS:
            judged[(judged == 0) & ~_adds_up(said)] = Fault.SANITY
        fault, values = put(fault, index, judged), put(values, index, said)
    return _judge(values, fault, np.full(values.shape, register(context, 2) & TROUBLE > 0))


def _adds_up(values: F8) -> npt.NDArray[np.bool_]:
    """Tell whether larger sizes hold the smaller ones; half of ten floats, read as integers, does not."""
    sized: npt.NDArray[np.bool_] = (values[:, 8] == 0) | (values[:, 9] > 0)
    return sized & (values[:, 1:4] >= values[:, :3]).all(axis=1) & (values[:, 5:9] >= values[:, 4:8]).all(axis=1)


def _judge(values: F8, fault: U1, doubt: npt.NDArray[np.bool_]) -> Decoded:
    """Keep the rows [n] that are measurements; `doubt` [n, 10]: the device itself is not sure of them."""
    sane = np.logical_and.reduce(((values >= TINY) & np.isfinite(values)) | (values == 0), axis=1)
    fault[np.logical_not(fault | sane)] = Fault.SANITY
    fault, index, values, doubt = sift(len(fault), fault, every(len(fault)), values, doubt)
    mark = verdicts(Mark.OK, (doubt, Mark.NOT_STABLE), (values > MOST, Mark.SATURATED))
    return Decoded(values + 0.0, mark, index, fault)  # -0.0 was seen; it is 0


def _is_sps30(reply: bytes) -> bool:
    """Look at product type and serial number; old firmware tells the serial number alone."""
    *product, serial = (data.rstrip(b"\0") for data in replies(reply, 0xD0) or [b""])
    return product in ([], [b"00080000"]) and serial.isalnum()


def _is_sps30_i2c(reply: bytes) -> bool:
    """Look for a serial number, and that no name of a SEN5x, at home at the same address, stands before it."""
    return text(reply[-48:]).isalnum() and not text(reply[:-48]).startswith(b"SEN")


def _i2c(name: str, said: str, rx: int = 0, settle_s: float = 0.0, nack_ok: bool = False) -> Command:
    return Command(name, bytes.fromhex(said), rx, 0.005 if rx else 0.0, settle_s, nack_ok=nack_ok)


UART = MappingProxyType({one.name: one for one in (
    Command("pulse", b"\xff", drain=True),  # wakes the interface, for 100 ms
    replace(say("wake", 0x11, nack_ok=True), tries=2),  # the first reply may be lost
    ask("read", 0x03), ask("status", 0xD2, b"\x00"), say("clear_status", 0xD2, b"\x01", nack_ok=True),
    replace(ask("start", 0x00, b"\x01\x03"), settle_s=0.05, keep=False), say("stop", 0x01, b"", 0.05, nack_ok=True),
    say("clean", 0x56, settle_s=10.0),  # the values stand still meanwhile: nobody is to read them
    ask("product", 0xD0, b"\x00", nack_ok=True), ask("article", 0xD0, b"\x01"), ask("serial", 0xD0, b"\x03"),
    ask("version", 0xD1), say("sleep", 0x10), say("reset", 0xD3, settle_s=0.5), ask("auto_clean", 0x80, b"\x00"),
    say("auto_clean_never", 0x80, bytes(5)), say("auto_clean_weekly", 0x80, bytes.fromhex("0000093a80")),
)})  # fmt: skip
I2C = MappingProxyType({one.name: one for one in (
    _i2c("wake", "1103", settle_s=0.005, nack_ok=True),  # said twice: the first only wakes the interface, for 100 ms
    replace(_i2c("ready", "0202", 3), until=(1, 0xFF, 1), poll_s=0.02, tries=3, keep=False),
    _i2c("read", "0300", 60), _i2c("status", "d206", 6), _i2c("clear_status", "d210", settle_s=0.02, nack_ok=True),
    _i2c("start", "00100300ac", settle_s=0.05), _i2c("stop", "0104", settle_s=0.05, nack_ok=True),
    _i2c("clean", "5607", settle_s=10.0), _i2c("name_of_sen5x", "d014", 48, nack_ok=True), _i2c("serial", "d033", 48),
    _i2c("product", "d002", 12), _i2c("version", "d100", 3), _i2c("sleep", "1001"), _i2c("reset", "d304", settle_s=0.5),
    _i2c("auto_clean", "8004", 6), *(_i2c(f"auto_clean_{often}", said) for often, said in AUTO_CLEAN),
)})  # fmt: skip

SPS30 = Driver(
    name="sps30",
    domain="air",
    model="Sensirion SPS30",
    access=Poll((UART["read"],), every_s=1.0, min_s=1.0),
    channels=(
        *(Channel(name, "ug/m3", lo=0.0, hi=1000.0) for name in ("pm1_0", "pm2_5", "pm4_0", "pm10")),
        *(Channel(name, "1/cm3", lo=0.0, hi=3000.0) for name in ("n0_5", "n1_0", "n2_5", "n4_0", "n10")),
        Channel("typical_size", "um", lo=0.0, hi=10.0),
    ),
    source="Sensirion, Datasheet SPS30, version 2.0",
    decode=decode,
    bus=base.Uart((115_200,)),
    setup=tuple(UART[name] for name in ("pulse", "wake", "stop", "clear_status", "start")),
    # It cleans its fan by itself after a week of measuring, and counts anew whenever it was without power.
    chores=(Chore((UART["status"],), 60.0, phase_s=5.0), Chore((UART["clean"],), 604_800.0, phase_s=3600.0)),
    duty=base.Duty(warm_up_s=30.0),
    commands=UART,
    identify=Identify((UART["product"], UART["serial"]), _is_sps30, sure=False),
    shutdown=(UART["stop"],),
    family="sps30",
    opcode=opcodes.shdlc,
)
SPS30_I2C = replace(
    SPS30,
    name="sps30_i2c",
    model="Sensirion SPS30-I2C",
    access=Poll((I2C["ready"], I2C["read"]), every_s=1.0, min_s=1.0),
    decode=decode_i2c,
    bus=I2c((0x69,), max_hz=100_000),
    setup=tuple(I2C[name] for name in ("wake", "wake", "stop", "clear_status", "start")),
    chores=(Chore((I2C["status"],), 60.0, phase_s=5.0), Chore((I2C["clean"],), 604_800.0, phase_s=3600.0)),
    commands=I2C,
    identify=Identify((I2C["name_of_sen5x"], I2C["serial"]), _is_sps30_i2c),
    shutdown=(I2C["stop"],),
    opcode=opcodes.sensirion,
)
