"""The forecast: at the rate of the last day, how long the gateway can be offline, and what it costs card and modem.

Pure functions of numbers. What is not known is None and shown as unknown, never guessed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from gateway.held import ROW_BYTES
from gateway.last_day import LastDay

MB = 1_000_000
TB = 1_000_000_000_000
DAYS_PER_YEAR = 365.25
FREE_FLOOR_BYTES = 64 * MB  # what is left to the rest of the machine, where a site does not say it
FOREVER_DAYS = 3650.0  # beyond ten years a forecast is none


class Grower(NamedTuple):
    """Something on disk that grows until it is as large as it may be."""

    bytes_per_day: float
    room_bytes: float = math.inf


class Room(NamedTuple):
    """What there is room for now."""

    free_bytes: float  # of the file system of the data directory
    outbox_bytes: float = math.inf  # until the outbox is as large as it may be
    rawlog_bytes: float = 0.0  # until the raw log is
    history: Grower = Grower(0.0, 0.0)
    floor_bytes: float = FREE_FLOOR_BYTES


class Forecast(msgspec.Struct):
    """What the last day says of the days to come; MB are 10^6 bytes. None: not known yet, or not configured."""

    watched_h: float
    offline_days: float | None
    offline_until: str  # what ends it: `free space` or `outbox`
    card_mb_day: float | None  # written by this process
    device_mb_day: float | None  # written to the whole card, by everybody
    modem_mb_day: float | None  # with headers, acknowledgements and receipts, estimated
    card_life_years: float | None  # of a new card, at the rate of the whole card where that is known
    card_endurance_tb: float | None
    origin: str


def days_until_full(room_bytes: float, growers: Sequence[Grower]) -> float:
    """Return after how many days growing things have used up some room; inf where they never do."""
    if room_bytes <= 0:
        return 0.0
    growing = sorted((one for one in growers if one.bytes_per_day > 0), key=lambda one: one.room_bytes / one[0])
    days, used = 0.0, 0.0
    while growing:
        speed = sum(one.bytes_per_day for one in growing)
        full = days + (room_bytes - used) / speed
        first = growing.pop(0)
        stops = first.room_bytes / first.bytes_per_day
        if full <= stops:
            return full
        used += speed * (stops - days)
        days = stops
    return math.inf


def offline(day: LastDay, room: Room) -> tuple[float | None, str]:
    """Return how many days windows can wait on disk, and what ends it; None while the rate is unknown."""
    payloads, messages = day.per_day("payload_bytes"), day.per_day("messages")
    if payloads is None or messages is None:
        return None, ""
    queue = Grower(payloads + ROW_BYTES * messages)
    raw = Grower(day.per_day("rawlog_bytes") or 0.0, room.rawlog_bytes)
    by_disk = days_until_full(room.free_bytes - room.floor_bytes, [queue, raw, room.history])
    by_outbox = days_until_full(room.outbox_bytes, [queue])
    return min(by_disk, by_outbox, FOREVER_DAYS), "outbox" if by_outbox < by_disk else "free space"


def card_life_years(endurance_tb: float | None, bytes_per_day: float | None) -> float | None:
    """Return after how many years a new card has been written as often as its maker says it may be."""
    if endurance_tb is None or not bytes_per_day:
        return None
    return endurance_tb * TB / bytes_per_day / DAYS_PER_YEAR


def forecast(day: LastDay, room: Room, endurance_tb: float | None = None, origin: str = "") -> Forecast:
    """Make the forecast."""
    days, until = offline(day, room)
    card, device = day.per_day("card_bytes"), day.per_day("device_bytes")
    life = card_life_years(endurance_tb, card if device is None else device)
    return Forecast(
        watched_h=round(day.watched_s / 3600, 2),
        offline_days=None if days is None else round(days, 1),
        offline_until=until,
        card_mb_day=_mb(card),
        device_mb_day=_mb(device),
        modem_mb_day=_mb(day.per_day("modem_bytes")),
        card_life_years=None if life is None else round(life, 1),
        card_endurance_tb=endurance_tb,
        origin=origin,
    )


def _mb(count: float | None) -> float | None:
    return None if count is None else round(count / MB, 2)
