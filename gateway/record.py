"""Record: the one thing that acquisition writes and everything else reads; replay starts here."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import msgspec


class RecordKind(IntEnum):
    """What a record holds; the numbers are on disk, so they never change."""

    FRAME = 1  # the reply of one polled script
    CHUNK = 2  # bytes of a stream, as read
    MISS = 3  # a scheduled poll that gave nothing; data is the reason
    CONTEXT = 4  # what decode must know besides the frame
    TICK = 5  # nothing stamped before it will still come
    CLOCK = 6  # how monotonic time becomes UTC from here on
    CONFIG = 7  # which configuration holds from here on
    EXCHANGE = 8  # a question on a wire and what came back; in captures alone (gateway/capture.py)


class Record(NamedTuple):
    """One event of acquisition: `mono_ns` on this boot's monotonic clock, `source` a sensor's name ('' = gateway)."""

    kind: RecordKind
    mono_ns: int
    source: str
    data: bytes


class Context(msgspec.Struct, array_like=True):
    """Payload of CONTEXT: `start` when a session with the device begins (its warm-up counts from here).

    `serial` is the number that the part has told of itself; empty while it has told none.
    """

    start: bool
    data: bytes
    serial: str = ""


class Tick(msgspec.Struct, array_like=True):
    """Payload of TICK: the promise, and the links that were up when it was made."""

    mono_ns: int
    up: list[str]


NO_EPOCH = -1


class ClockRecord(msgspec.Struct, array_like=True):
    """Payload of CLOCK: UTC = mono_ns + offset_ns within this boot; a new epoch breaks the time line.

    With NO_EPOCH it says that nobody knows the time: what follows waits for the next CLOCK, which holds for it too.
    `since_ns` is the monotonic time from which on it holds, where that is not the record's own.
    """

    boot_id: str
    offset_ns: int
    synchronised: bool
    epoch: int
    since_ns: int | None = None


class ConfigRecord(msgspec.Struct, array_like=True):
    """Payload of CONFIG: the hash under which the gateway knows the configuration."""

    hash: str


def encode(payload: msgspec.Struct) -> bytes:
    """Turn a payload into the bytes of a record."""
    return msgspec.msgpack.encode(payload)
