"""Captures: what real sensors said on their wires, byte by byte and when, in a file that explains itself.

    lamppost capture 1            so that `head` and `file` tell what it is
    {"made": ..., "parts": [...]} one line of JSON: when, on which clock, and what was on which wire
    blocks                        as in the raw log (gateway/rawblock.py), each with its sums

The records are those of the raw log, and EXCHANGE: one question and what came back. Times are monotonic.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from drivers.base import OptionValue
from gateway import rawblock
from gateway.record import Record

MAGIC = b"lamppost capture 1\n"
UART, I2C = "uart", "i2c"
STREAM, POLL = "stream", "poll"
HEADER_BYTES = 1 << 20  # a header is shorter


class CaptureError(Exception):
    """The file is no capture, or cannot be written; `hint` says what to do."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


class Part(msgspec.Struct, frozen=True):
    """One sensor: `driver` is empty where nobody knew it; `address` is that on a bus or shared line."""

    name: str
    driver: str
    link: str
    wire: str  # "uart" or "i2c"
    access: str  # "stream": it speaks by itself; "poll": it is asked
    address: int = 0
    baud: int = 0
    form: str = "8N1"
    options: dict[str, OptionValue] = {}


class Header(msgspec.Struct, frozen=True):
    """What stands at the head of a capture; UTC = mono_ns + offset_ns."""

    made: str  # UTC, ISO 8601
    boot_id: str
    begin_ns: int  # monotonic
    offset_ns: int
    synchronised: bool
    parts: list[Part]


class Exchange(msgspec.Struct, array_like=True, frozen=True):
    """Payload of EXCHANGE: what was written, how much was to be read, and what came; None: nothing, or a NAK."""

    address: int
    tx: bytes
    rx: int
    reply: bytes | None
    took_ns: int


class Capture(NamedTuple):
    """A capture that was read; `damaged` blocks could not be."""

    header: Header
    records: list[Record]
    damaged: int


class Writer:
    """Writes a capture, block by block; what was written before a crash can be read."""

    def __init__(self, path: Path, header: Header) -> None:
        """Begin a new file; raise CaptureError when it is there already, or cannot be made."""
        try:
            self._file: Any = path.open("xb")
        except FileExistsError:
            raise CaptureError(
                f"{path} is there already", "name another file: captures are never overwritten"
            ) from None
        except OSError as error:
            raise CaptureError(f"{path}: {error.strerror}", "name a file in a folder that can be written") from None
        self._file.write(MAGIC + msgspec.json.encode(header) + b"\n")
        self._sequence = 0

    def write(self, records: Sequence[Record]) -> None:
        """Add records; they are with the kernel when this returns."""
        if records:
            self._file.write(rawblock.block_of(rawblock.deflate(records), self._sequence, 0))
            self._file.flush()
            self._sequence += 1

    def close(self) -> None:
        """Bring all of it to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def read(path: Path) -> Capture:
    """Read a capture; raise CaptureError when it is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CaptureError(f"{path}: {error.strerror}", "name a file that `gateway record` has written") from None
    line, _, _rest = data[len(MAGIC) : len(MAGIC) + HEADER_BYTES].partition(b"\n")
    try:
        if not data.startswith(MAGIC):
            raise ValueError("it does not begin as one")
        header = msgspec.json.decode(line, type=Header)
    except ValueError as error:
        raise CaptureError(f"{path} is no capture: {error}", "name a file that `gateway record` has written") from None
    records, damaged = list[Record](), 0
    for block in rawblock.scan(lambda at, n: data[at : at + n], len(data), len(MAGIC) + len(line) + 1):
        try:
            records += rawblock.inflate(block.payload or b"")
        except ValueError:
            damaged += 1
    return Capture(header, records, damaged)
