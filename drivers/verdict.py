"""Verdicts: what is said of a frame, of a value, and of a poll that gave nothing."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Fault(IntEnum):
    """The verdict on one frame."""

    OK = 0
    NOT_DATA = 1  # an acknowledgement, an echo: neither good nor bad
    LENGTH = 2
    CHECK = 3
    DEVICE = 4  # the device says that it is not well
    NOT_READY = 5
    SANITY = 6  # well-formed, but cannot be true
    BUG = 7  # our own decoder failed on it: never said by a decoder


class Mark(IntEnum):
    """The verdict on one value of a good frame."""

    OK = 0
    MISSING = 1  # a sentinel: the device says "unknown"
    SATURATED = 2
    WARM_UP = 3
    NOT_STABLE = 4  # a status register casts doubt on this value


class Miss(StrEnum):
    """Why a scheduled poll gave no frame."""

    TIMEOUT = "timeout"
    NACK = "nack"
    SHORT = "short"
    NOT_READY = "not_ready"
    LINK_DOWN = "link_down"
    BACK_OFF = "back_off"
    OVERRUN = "overrun"  # the bus was busy until the next slot was due
