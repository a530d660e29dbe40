"""Live values are never taken for newer than they are: they expire from when they were made."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.outbox import Outbox
from gateway.publish import OVERHEAD_BYTES, Extra, Publisher, Status, Terms

NS = 1_000_000_000


class Hands:
    """A clock that is moved by hand."""

    at_ns = 5 * NS

    def mono_ns(self) -> int:
        return self.at_ns

    def utc_ns(self) -> int:
        return self.at_ns

    def real_s(self, seconds: float) -> float:
        return seconds


class Line:
    """A connection that keeps what was published: topic -> payload, seconds until it expires."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[bytes, int | None]] = {}

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool, properties: Any) -> None:
        self.kept[topic.rsplit("/", 1)[1]] = payload, getattr(properties, "MessageExpiryInterval", None)


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[tuple[Publisher, Hands]]:
    clock: Any = Hands()
    terms = Terms("post-7", "localhost", 1, None, None, 60, 10, "receipt", 600.0, 21600.0, 60.0)
    with closing(Outbox(tmp_path / "gateway.db")) as outbox, ThreadPoolExecutor(1) as disk:
        yield Publisher(terms, outbox, clock, disk, lambda up, why: Status(1, up, why, "", "")), clock


async def sent(publisher: Publisher) -> dict[str, tuple[bytes, int | None]]:
    line: Any = Line()
    sending = asyncio.create_task(publisher._send_extras(line))
    await asyncio.sleep(0.02)
    sending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sending
    return dict(line.kept)


async def test_what_waited_for_the_broker_has_so_much_less_to_live(publisher: tuple[Publisher, Hands]) -> None:
    one, clock = publisher
    one.tell(Extra("now", b"{}", retain=True, expiry_s=180))
    assert await sent(one) == {"now": (b"{}", 180)}
    one.tell(Extra("now", b"{}", retain=True, expiry_s=180))
    clock.at_ns += 100 * NS
    assert await sent(one) == {"now": (b"{}", 80)}


async def test_what_has_expired_while_it_waited_is_not_sent(publisher: tuple[Publisher, Hands]) -> None:
    one, clock = publisher
    one.tell(Extra("now", b"{}", retain=True, expiry_s=180))
    one.tell(Extra("meta", b"{}", qos=1, retain=True))
    clock.at_ns += 180 * NS
    assert await sent(one) == {"meta": (b"{}", None)}


async def test_large_ones_are_deflated_and_all_are_counted(publisher: tuple[Publisher, Hands]) -> None:
    one, _ = publisher
    text = b'{"series":[' + b"1," * 5000 + b"1]}"
    one.tell(Extra("now", text, retain=True, expiry_s=180))
    found = await sent(one)
    payload, _ = found["now"]
    assert zlib.decompress(payload) == text
    assert len(payload) < 200
    assert one.out_bytes == len(payload) + OVERHEAD_BYTES[0]
