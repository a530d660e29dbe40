"""Bytes that a host wrote, read back: which command of a driver they are.

A request is known by its op-code, its length and its checksum. Each function here reads one protocol and returns what
stands for the command, whatever its arguments; b"" where length or checksum are wrong. `recognise` looks that up among
the commands of one driver.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from drivers.base import Command, Driver, Poll
from drivers.checks import crc8

NONE = b""


def recognise(driver: Driver, written: bytes) -> str | None:
    """Name the command that `written` is, or return None.

    Of several commands with one op-code (sleep and wake, say) the one that is byte for byte the same is named.
    Arguments may differ from those that the driver itself would send.
    """
    code = _code(driver, written)
    found = [
        (said != written, i, name) for i, (name, said) in enumerate(said_by(driver)) if _code(driver, said) == code
    ]
    return min(found)[2] if code and found else None


def said_by(driver: Driver) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of everything that a driver can say, with its default options and inputs."""
    access = driver.access
    scripts = [access.script if isinstance(access, Poll) else access.alive, driver.setup, driver.shutdown]
    scripts += [chore.script for chore in driver.chores]
    scripts += [driver.duty.wake, driver.duty.sleep] if driver.duty else []
    scripts += [driver.identify.script] if driver.identify else []
    inputs, options = driver.default_inputs(), driver.defaults()
    for name, command in (*driver.commands.items(), *((one.name, one) for script in scripts for one in script)):
        said = _bytes(command, inputs, options)
        if said:
            yield name, said


def sensirion(written: bytes) -> bytes:
    """Read a 16-bit command and its words, each with a CRC-8 behind it."""
    rows = np.frombuffer(written[2:], np.uint8)
    if len(written) < 2 or len(rows) % 3:
        return NONE
    words = rows.reshape(-1, 3)
    return _sized(written, slice(0, 2)) if (crc8(words[:, :2]) == words[:, 2]).all() else NONE


def one_byte(written: bytes) -> bytes:
    """Read a register pointer, with or without what is written into the registers from there on."""
    return _sized(written, slice(0, 1))


def plantower(written: bytes) -> bytes:
    """Read `42 4D` command, two bytes of data and a 16-bit sum."""
    good = len(written) == 7 and written[:2] == b"\x42\x4d" and sum(written[:5]) == int.from_bytes(written[5:], "big")
    return _sized(written, slice(2, 3)) if good else NONE


def sds011(written: bytes) -> bytes:
    """Read `AA B4`, 15 bytes, their sum and `AB`."""
    good = len(written) == 19 and written[:2] == b"\xaa\xb4" and written[18] == 0xAB
    return _sized(written, slice(2, 3)) if good and sum(written[2:17]) & 0xFF == written[17] else NONE


def winsen(written: bytes) -> bytes:
    """Read `FF 01`, command, five bytes of data and the two's complement of their sum."""
    good = len(written) == 9 and written[:2] == b"\xff\x01" and sum(written[1:9]) & 0xFF == 0
    return _sized(written, slice(2, 3)) if good else NONE


def hpma(written: bytes) -> bytes:
    """Read `68`, length, command and data, and what makes the sum of all bytes a multiple of 256."""
    good = len(written) >= 4 and written[0] == 0x68 and written[1] == len(written) - 3
    return _sized(written, slice(2, 3)) if good and sum(written) & 0xFF == 0 else NONE


def nextpm(written: bytes) -> bytes:
    """Read `81`, command and data; the sum of all bytes is a multiple of 256."""
    good = len(written) >= 3 and written[0] == 0x81 and sum(written) & 0xFF == 0
    return _sized(written, slice(1, 2)) if good else NONE


def shdlc(written: bytes) -> bytes:
    """Read a stuffed frame `7E` address command length data checksum `7E`, or the wake pulse `FF`."""
    if written == b"\xff":
        return written
    if len(written) < 6 or written[:1] != b"\x7e" or written[-1:] != b"\x7e" or 0x7E in written[1:-1]:
        return NONE
    body = re.sub(rb"\x7d(.)", lambda found: bytes([found[1][0] ^ 0x20]), written[1:-1], flags=re.DOTALL)
    good = len(body) >= 4 and body[2] == len(body) - 4 and sum(body) & 0xFF == 0xFF
    return body[1:3] if good else NONE


def modbus(written: bytes) -> bytes:
    """Read unit, function, register, number or value, and a CRC-16."""
    crc = 0xFFFF
    for byte in written[:-2]:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    good = len(written) == 8 and crc.to_bytes(2, "little") == written[-2:]
    return _sized(written, slice(1, 2)) if good else NONE


def nsrt(written: bytes) -> bytes:
    """Read a command, an address and a number of bytes, u32 each, then as many bytes for a write."""
    if len(written) < 12:
        return NONE
    code, count = int.from_bytes(written[:4], "little"), int.from_bytes(written[8:12], "little")
    return written[:4] if len(written) == 12 + (0 if code >> 31 else count) else NONE


def hi_link(written: bytes) -> bytes:
    """Read `FD FC FB FA`, length, command and data, `04 03 02 01`."""
    good = written[:4] == b"\xfd\xfc\xfb\xfa" and written[-4:] == b"\x04\x03\x02\x01" and len(written) >= 12
    return (
        _sized(written, slice(6, 8)) if good and int.from_bytes(written[4:6], "little") == len(written) - 10 else NONE
    )


def packet(written: bytes) -> bytes:
    """Read four letters, a length and a payload."""
    good = len(written) >= 8 and int.from_bytes(written[4:8], "little") == len(written) - 8
    return _sized(written, slice(0, 4)) if good else NONE


def benewake(written: bytes) -> bytes:
    """Read `5A`, length, command and data, and the low byte of their sum."""
    good = len(written) >= 4 and written[0] == 0x5A and written[1] == len(written)
    return _sized(written, slice(2, 3)) if good and sum(written[:-1]) & 0xFF == written[-1] else NONE


def letters(written: bytes) -> bytes:
    """Read a command of letters and signs; a number in it is an argument, and asks for CR behind it."""
    found = re.fullmatch(rb"([ -/:-~]{2,3})([+-]?[0-9.]+)?(\r?\n?)", written)
    if found is None:
        return NONE
    return found[1] + (b"#" if found[2] else b"")


def _code(driver: Driver, written: bytes) -> bytes:
    return driver.opcode(written) if driver.opcode else written


def _sized(written: bytes, code: slice) -> bytes:
    return written[code] + len(written).to_bytes(2, "big")


def _bytes(command: Command, inputs: dict[str, float], options: dict[str, bool | int | float | str]) -> bytes:
    return command.tx(inputs, options) if callable(command.tx) else command.tx
